//! Numbers as Grafana shows them in the units that the dashboard has.

/// The units that [`shown`] knows.
pub const KNOWN: [&str; 6] = ["short", "percentunit", "pps", "cps", "Bps", "s"];

/// A value in a unit; `decimals` digits after the point, or as many as make three.
///
/// # Panics
/// On a unit that is not [`KNOWN`].
#[track_caller]
pub fn shown(value: f64, unit: &str, decimals: Option<usize>) -> String {
    let scaled = |steps: &[&str]| {
        let (value, prefix) = thousands(value, steps);
        format!("{}{prefix}", digits(value, decimals))
    };
    match unit {
        "short" => scaled(&["", " K", " Mil", " Bil"]),
        "percentunit" => format!("{}%", digits(value * 100.0, decimals)),
        "pps" => scaled(&[" p/s", " kp/s", " Mp/s", " Gp/s"]),
        "cps" => scaled(&[" c/s", " kc/s", " Mc/s", " Gc/s"]),
        "Bps" => scaled(&[" B/s", " kB/s", " MB/s", " GB/s"]),
        "s" => time(value, decimals),
        other => panic!("the unit {other} is not known"),
    }
}

/// The value as so many thousands, and what those are called.
fn thousands<'a>(value: f64, steps: &[&'a str]) -> (f64, &'a str) {
    let last = steps.len() - 1;
    let power = steps[..last].iter().take_while({
        let mut rest = value.abs();
        move |_| {
            let more = rest >= 1000.0;
            rest /= 1000.0;
            more
        }
    });
    let power = power.count();
    (value / 1000f64.powi(power as i32), steps[power])
}

fn time(seconds: f64, decimals: Option<usize>) -> String {
    const STEPS: [(f64, &str); 4] = [(86_400.0, "days"), (3_600.0, "hours"), (60.0, "mins"), (1.0, "s")];
    if seconds.abs() < 1.0 && seconds != 0.0 {
        return format!("{} ms", digits(seconds * 1000.0, decimals));
    }
    let (size, name) = STEPS.into_iter().find(|(size, _)| seconds.abs() >= *size).unwrap_or(STEPS[3]);
    format!("{} {name}", digits(seconds / size, decimals))
}

/// The number with so many digits after the point; without a wish three digits in all, zeros at the end left out.
fn digits(value: f64, decimals: Option<usize>) -> String {
    if let Some(decimals) = decimals {
        return format!("{value:.decimals$}");
    }
    let before = value.abs().max(1.0).log10().floor() as usize + 1;
    let all = format!("{value:.0$}", 3usize.saturating_sub(before));
    match all.contains('.') {
        true => all.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_unit() {
        for (value, unit, decimals, expected) in [
            (0.0, "short", None, "0"),
            (3.0, "short", None, "3"),
            (262_144.0, "short", None, "262 K"),
            (4.0, "short", Some(0), "4"),
            (0.053_4, "percentunit", None, "5.34%"),
            (1.0, "percentunit", None, "100%"),
            (12.345, "pps", None, "12.3 p/s"),
            (1_500.0, "pps", None, "1.5 kp/s"),
            (2.0, "cps", None, "2 c/s"),
            (1_234_567.0, "Bps", None, "1.23 MB/s"),
            (0.25, "s", None, "250 ms"),
            (90.0, "s", None, "1.5 mins"),
            (45.0, "s", None, "45 s"),
            (7_200.0, "s", None, "2 hours"),
        ] {
            assert_eq!(shown(value, unit, decimals), expected, "{value} {unit}");
        }
    }

    #[test]
    #[should_panic(expected = "the unit miles is not known")]
    fn an_unknown_unit_is_not_guessed() {
        shown(1.0, "miles", None);
    }
}
