//! Single values: text, booleans, numbers, words, time spans. Each is judged by what its key wants, strictly.
//!
//! YAML 1.1 readers see a boolean in `no`, 10 in `012`, 1342 in `22:22`; YAML 1.2 readers do not. A file that two tools
//! read differently is a security fault, so none of these is guessed at.

use std::{ops::RangeInclusive, time::Duration};

use super::super::{
    code::Code,
    diagnostic::Report,
    document::{Scalar, clip},
    language, suggest,
};

/// Text that no YAML reader takes for anything else.
pub fn text(scalar: &Scalar<'_>, what: &str, report: &mut Report) -> Option<String> {
    let Some(other) = other_meaning(scalar) else { return Some(scalar.text.to_string()) };
    let value = clip(&scalar.text);
    report
        .push(Code::Text, scalar.span, format!("`{value}` as {what} is {other} to YAML readers"))
        .help(format!("put it in quotes: \"{value}\""));
    None
}

/// What a YAML 1.1 or 1.2 reader may take a plain value for, if not for text.
fn other_meaning(scalar: &Scalar<'_>) -> Option<&'static str> {
    if !scalar.plain {
        return None;
    }
    let lower = scalar.text.to_ascii_lowercase();
    match lower.as_str() {
        "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" => Some("a boolean"),
        ".inf" | "-.inf" | "+.inf" | ".nan" => Some("a number"),
        other => looks_numeric(other).then_some("a number"),
    }
}

fn looks_numeric(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']).replace('_', "");
    let radix = ["0x", "0o", "0b"].iter().find_map(|prefix| digits.strip_prefix(prefix));
    if let Some(rest) = radix {
        return !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_hexdigit());
    }
    let starts = digits.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    let sexagesimal = digits.contains(':')
        && digits.split(':').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    starts && (digits.parse::<f64>().is_ok() || sexagesimal)
}

/// `true` or `false`.
pub fn boolean(scalar: &Scalar<'_>, what: &str, report: &mut Report) -> Option<bool> {
    let wanted = match &*scalar.text {
        "true" | "True" | "TRUE" if scalar.plain => return Some(true),
        "false" | "False" | "FALSE" if scalar.plain => return Some(false),
        other => match other.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "1" | "enabled" => Some("did you mean `true`?".to_owned()),
            "false" | "no" | "off" | "n" | "0" | "disabled" => Some("did you mean `false`?".to_owned()),
            other => suggest::near_miss(other, ["true", "false"]),
        },
    };
    report
        .push(Code::Bool, scalar.span, format!("`{}` as `{what}` is not a boolean", clip(&scalar.text)))
        .help("write `true` or `false`, without quotes")
        .suggest(wanted);
    None
}

/// A decimal number in `range`.
pub fn number(
    scalar: &Scalar<'_>,
    what: &str,
    range: RangeInclusive<u64>,
    report: &mut Report,
) -> Option<u64> {
    let allowed = language::number(what, &range);
    if !scalar.plain {
        report
            .push(Code::Number, scalar.span, format!("\"{}\" as `{what}` is text", clip(&scalar.text)))
            .help(format!("{allowed}, without quotes"));
        return None;
    }
    match decimal(&scalar.text) {
        Ok(value) if range.contains(&value) => Some(value),
        Ok(_) | Err(NotDecimal::Outside) => {
            let message = format!("{} as `{what}` is out of range", clip(&scalar.text));
            report.push(Code::Range, scalar.span, message).help(allowed);
            None
        }
        Err(NotDecimal::Form(why)) => {
            let message = format!("`{}` as `{what}` is not a plain decimal number", clip(&scalar.text));
            report.push(Code::Number, scalar.span, message).help(format!("{allowed}{why}"));
            None
        }
    }
}

/// Why a text is not a number.
pub enum NotDecimal {
    /// A number, but negative or beyond 64 bits.
    Outside,
    /// Another form; says what is wrong with it, starting with `;` or empty.
    Form(&'static str),
}

/// A decimal number without sign, leading zeros, separators or fraction.
pub fn decimal(text: &str) -> Result<u64, NotDecimal> {
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if all_digits(text) {
        if text.len() > 1 && text.starts_with('0') {
            return Err(NotDecimal::Form("; a leading zero means octal to some readers"));
        }
        return text.parse().map_err(|_| NotDecimal::Outside);
    }
    Err(match text {
        _ if text.strip_prefix('-').is_some_and(all_digits) => NotDecimal::Outside,
        _ if text.contains('_') => NotDecimal::Form("; digits are not grouped with `_`"),
        _ if text.starts_with("0x") || text.starts_with("0o") => {
            NotDecimal::Form("; it is written in decimal")
        }
        _ if looks_numeric(text) && text.contains(':') => {
            NotDecimal::Form("; some readers take `:` for base 60")
        }
        _ if looks_numeric(text) => NotDecimal::Form("; without sign, point or exponent"),
        _ => NotDecimal::Form(""),
    })
}

/// One of the words in `choices`.
pub fn choice<T: Copy>(
    scalar: &Scalar<'_>,
    what: &str,
    choices: &[(&str, T)],
    report: &mut Report,
) -> Option<T> {
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == scalar.text) {
        return Some(*value);
    }
    let words = || choices.iter().map(|(word, _)| *word);
    report
        .push(Code::Choice, scalar.span, format!("`{}` is not a value of `{what}`", clip(&scalar.text)))
        .help(language::choice(what, words()))
        .suggest(synonym(&scalar.text, words()).or_else(|| suggest::near_miss(&scalar.text, words())));
    None
}

/// The same for a key that may be missing.
pub fn optional_choice<T: Copy>(
    scalar: &Option<Scalar<'_>>,
    what: &str,
    choices: &[(&str, T)],
    report: &mut Report,
) -> Option<T> {
    scalar.as_ref().and_then(|scalar| choice(scalar, what, choices, report))
}

/// Words of other products for ours.
const SYNONYMS: &[(&str, &str)] = &[
    ("permit", "allow"),
    ("accept", "allow"),
    ("pass", "allow"),
    ("drop", "deny"),
    ("reject", "deny"),
    ("block", "deny"),
    ("in", "ingress"),
    ("inbound", "ingress"),
    ("input", "ingress"),
    ("out", "egress"),
    ("outbound", "egress"),
    ("output", "egress"),
    ("v4", "ipv4"),
    ("inet", "ipv4"),
    ("v6", "ipv6"),
    ("inet6", "ipv6"),
    ("vm", "guest"),
    ("xdp", "xdp-native"),
    ("any", "all"),
];

/// A synonym of `written`, also as its beginning (`inbound2`), among `words`.
pub fn synonym<'a>(written: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    let lower = written.to_ascii_lowercase();
    let exact = SYNONYMS.iter().find(|(theirs, _)| *theirs == lower);
    let start = || {
        SYNONYMS.iter().filter(|(theirs, _)| theirs.len() > 3).find(|(theirs, _)| lower.starts_with(theirs))
    };
    let (_, ours) = exact.or_else(start)?;
    let mut words = words;
    words.find(|word| word == ours).map(|word| format!("did you mean `{word}`?"))
}

/// Longest time span: a year.
const MAX_SECONDS: u64 = 365 * 86_400;

/// A time span such as `600s`, `10m`, `1h30m`: from one second to 365 days, the unit always written.
pub fn duration(scalar: &Scalar<'_>, what: &str, report: &mut Report) -> Option<Duration> {
    let (message, suggestion) = match seconds(&scalar.text) {
        Some(value) if (1..=MAX_SECONDS).contains(&value) => return Some(Duration::from_secs(value)),
        Some(_) => ("is out of range", None),
        None => ("is not a time span", duration_hint(&scalar.text)),
    };
    report
        .push(Code::Duration, scalar.span, format!("`{}` as `{what}` {message}", clip(&scalar.text)))
        .help(language::DURATION)
        .suggest(suggestion);
    None
}

/// Seconds in `1h30m`; too large saturates.
pub fn seconds(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut number = None::<u64>;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(u64::from(digit)));
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.saturating_add(number.take()?.saturating_mul(unit));
    }
    (number.is_none() && !text.is_empty()).then_some(total)
}

fn duration_hint(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let with_unit = if compact.bytes().all(|b| b.is_ascii_digit()) { format!("{compact}s") } else { compact };
    let good = seconds(&with_unit).is_some_and(|value| (1..=MAX_SECONDS).contains(&value));
    (good && text.len() < 32).then(|| format!("did you mean `{with_unit}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans() {
        assert_eq!(seconds("600s"), Some(600));
        assert_eq!(seconds("1h30m"), Some(5400));
        for bad in ["", "600", "10 m", "-1s", "s", "1.5h", "10ms"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
        assert_eq!(seconds("99999999999999999999d"), Some(u64::MAX));
    }

    #[test]
    fn numbers_in_disguise() {
        for text in ["1", "012", "1_000", "0x1f", "22:22", "1e3", "80.5", "-1", "+3"] {
            assert!(looks_numeric(text), "{text}");
        }
        for text in ["tap0", "a1", "1a", "10.0.0.1", "fd00::1", "52:54:ab", "e3", "-", ""] {
            assert!(!looks_numeric(text), "{text}");
        }
    }
}
