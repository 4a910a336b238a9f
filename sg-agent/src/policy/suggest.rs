//! Near misses: what someone probably meant.

/// Words closer than this are offered; found by trying the misspellings in the tests.
const CLOSE: f64 = 0.8;

/// `did you mean ...?` with the closest of `choices`, at most two.
pub fn near_miss<'a>(written: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // A long value is not a misspelling, and comparing it costs its length times the number of choices.
    if written.len() > 64 {
        return None;
    }
    let wanted = written.to_lowercase();
    let mut close: Vec<(f64, &str)> = choices
        .into_iter()
        .map(|choice| (likeness(&wanted, &choice.to_lowercase()), choice))
        .filter(|(score, _)| *score >= CLOSE)
        .collect();
    close.sort_by(|a, b| b.0.total_cmp(&a.0));
    match close.as_slice() {
        [] => None,
        [(best, one), (next, _), ..] if best - next > 0.1 => Some(format!("did you mean `{one}`?")),
        [(_, one), (_, other), ..] => Some(format!("did you mean `{one}` or `{other}`?")),
        [(_, one)] => Some(format!("did you mean `{one}`?")),
    }
}

/// From 0 to 1. One slip of the finger is close in short words too, where shares of letters say little.
fn likeness(a: &str, b: &str) -> f64 {
    let slip = a.len() > 2 && strsim::osa_distance(a, b) == 1;
    strsim::jaro_winkler(a, b).max(if slip { 0.9 } else { 0.0 })
}

/// `` `a`, `b` or `c` ``.
pub fn one_of<'a>(choices: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = choices.into_iter().map(|choice| format!("`{choice}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_what_is_close() {
        assert_eq!(near_miss("tpc", ["tcp", "udp"]).as_deref(), Some("did you mean `tcp`?"));
        assert_eq!(near_miss("xyzzy", ["tcp", "udp"]), None);
    }

    #[test]
    fn lists_choices() {
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
