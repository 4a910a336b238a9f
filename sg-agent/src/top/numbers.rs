//! Numbers in few characters.

/// A number in up to five characters: `0`, `0.4`, `12`, `999`, `1.2k`, `56k`, `3.4M`.
pub fn short(value: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    // What would be rounded up to the next unit is of that unit.
    let unit = UNITS.iter().find(|(unit, _)| value >= unit * 0.9995);
    match unit {
        Some((unit, name)) if value / unit < 9.95 => format!("{:.1}{name}", value / unit),
        Some((unit, name)) => format!("{:.0}{name}", value / unit),
        None if value < 0.05 => "0".to_owned(),
        None if value < 9.95 => format!("{value:.1}"),
        None => format!("{value:.0}"),
    }
}

/// The same of a whole number.
pub fn whole(value: u64) -> String {
    if value < 1000 { value.to_string() } else { short(value as f64) }
}

/// With a comma after each three digits: `262,144`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Values as bars of one character each, the last `width` of them; the highest is full.
pub fn sparkline(values: &[f64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &values[values.len().saturating_sub(width)..];
    let highest = shown.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| match *value {
        value if value <= 0.0 || highest <= 0.0 => ' ',
        value => BARS[((value / highest * 8.0).ceil() as usize).clamp(1, 8) - 1],
    };
    let bars: String = shown.iter().map(bar).collect();
    format!("{bars:>width$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.04, "0"),
            (0.44, "0.4"),
            (9.96, "10"),
            (999.0, "999"),
            (999.6, "1.0k"),
            (1234.0, "1.2k"),
            (56_000.0, "56k"),
            (999_400.0, "999k"),
            (999_600.0, "1.0M"),
            (3.4e9, "3.4G"),
            (2e15, "2000T"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!((whole(7), whole(1500)), ("7".to_owned(), "1.5k".to_owned()));
        assert_eq!([grouped(7), grouped(1000), grouped(262_144)], ["7", "1,000", "262,144"]);
    }

    #[test]
    fn bars_grow_with_values() {
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0], 4), " ▁▄█");
        assert_eq!(sparkline(&[8.0], 3), "  █");
        assert_eq!(sparkline(&[9.0, 1.0, 1.0], 2), "██");
        assert_eq!(sparkline(&[0.0, 0.0], 2), "  ");
    }
}
