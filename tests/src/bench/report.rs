//! What was measured, for people and for programs.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};
use serde::Serialize;

use super::{
    entry::{Entry, Reference, Spread, Target},
    machine::Machine,
};

/// What the targets ask for, by number.
const ROWS: [&str; 13] = [
    "Beside the targets",
    "1. Established packet, against parsing and one look-up",
    "2. Denied packet, against 10 rules",
    "3. New connection, against 10 rules",
    "4. Denied flood end to end, against nft",
    "5. New flows end to end, against nft",
    "6. Established forwarding end to end",
    "7. TCP bulk by `rx_hook: auto`, against no firewall",
    "8. A policy in force after `apply`",
    "9. One member more in a large group",
    "10. Memory of a connection",
    "11. Expiry sweep of 1,000,000 entries",
    "12. Established connections lost in floods",
];

fn cells(entry: &Entry) -> [String; 9] {
    let reference = entry.reference.as_ref();
    [
        entry.name.clone(),
        entry.unit.to_owned(),
        number(entry.ours.median),
        reference.map_or_else(String::new, |reference| reference.name.clone()),
        reference.map_or_else(String::new, |reference| number(reference.spread.median)),
        reference.map_or_else(String::new, ratio),
        entry.target.map_or_else(String::new, |target| target.to_string()),
        entry.met().map_or_else(String::new, |met| if met { "met" } else { "NO" }.to_owned()),
        entry.note.to_owned(),
    ]
}

fn number(value: f64) -> String {
    match value {
        value if value.abs() >= 1e5 => format!("{value:.0}"),
        value if value.fract() == 0.0 => format!("{value}"),
        value if value.abs() < 1.0 => format!("{value:.3}"),
        value => format!("{value:.1}"),
    }
}

fn ratio(reference: &Reference) -> String {
    let Spread { median, low, high, .. } = reference.ratio;
    if low == high { format!("{median:.2}") } else { format!("{median:.2} ({low:.2}-{high:.2})") }
}

#[derive(Serialize)]
struct Json<'a> {
    name: &'a str,
    row: u8,
    unit: &'a str,
    ours: f64,
    reference: Option<f64>,
    reference_name: Option<&'a str>,
    ratio: Option<f64>,
    target: Option<f64>,
    met: Option<bool>,
    ours_spread: Spread,
    reference_spread: Option<Spread>,
    ratio_spread: Option<Spread>,
    kernel: &'a str,
    cpu: &'a str,
    cpus: usize,
    mode: &'a str,
    rules: usize,
    note: &'a str,
}

impl<'a> Json<'a> {
    fn of(entry: &'a Entry, machine: &'a Machine) -> Self {
        let reference = entry.reference.as_ref();
        Self {
            name: &entry.name,
            row: entry.about.row,
            unit: entry.unit,
            ours: entry.ours.median,
            reference: reference.map(|reference| reference.spread.median),
            reference_name: reference.map(|reference| reference.name.as_str()),
            ratio: reference.map(|reference| reference.ratio.median),
            target: entry.target.map(Target::number),
            met: entry.met(),
            ours_spread: entry.ours,
            reference_spread: reference.map(|reference| reference.spread),
            ratio_spread: reference.map(|reference| reference.ratio),
            kernel: &machine.kernel,
            cpu: &machine.cpu,
            cpus: machine.cpus,
            mode: entry.about.mode,
            rules: entry.about.rules,
            note: entry.note,
        }
    }
}

/// Prints the table; writes JSON where it is asked for.
pub fn publish(machine: &Machine, entries: &[Entry], json: Option<&Option<PathBuf>>) -> Result<()> {
    let list: Vec<Json> = entries.iter().map(|entry| Json::of(entry, machine)).collect();
    let text = serde_json::to_string_pretty(&list).context("the measurements as JSON")?;
    match json {
        Some(None) => {
            println!("{text}");
            return Ok(());
        }
        Some(Some(path)) => {
            fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
        }
        None => {}
    }
    println!("Linux {}, {}, {} CPUs", machine.kernel, machine.cpu, machine.cpus);
    println!("medians; ratios of medians, with the quartiles of the rounds' own in brackets");
    println!("ns of a program are above the trivial program's");
    println!("{}", table(entries));
    let judged: Vec<bool> = entries.iter().filter_map(Entry::met).collect();
    println!("{} of {} targets met", judged.iter().filter(|met| **met).count(), judged.len());
    Ok(())
}

/// By target, those without one at the end.
fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["what", "unit", "ours", "against", "theirs", "ratio", "target", "", "note"]);
    for row in (1..ROWS.len()).chain([0]) {
        let mut of_row = entries.iter().filter(|entry| usize::from(entry.about.row) == row).peekable();
        if of_row.peek().is_some() {
            table.add_row([ROWS[row]]);
            table.add_rows(of_row.map(|entry| {
                let [name, rest @ ..] = cells(entry);
                [format!("  {name}")].into_iter().chain(rest)
            }));
        }
    }
    for column in [2, 4, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let rate = Entry::rate("bulk", "Gb/s", &[100.0], ("none", &[90.0]), Some(Target::AtLeast(0.95)));
        vec![
            Entry::alone("floor", "ns", Spread::of(&[33.0])),
            rate.about(7, "TCX", 10).note("why"),
            Entry::limited("apply", "ms", &[5.0], 10.0).about(8, "apply", 5_000),
        ]
    }

    #[test]
    fn rows_stand_in_the_order_of_their_targets() {
        let text = table(&entries()).to_string();
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"));
        assert!(at("7. TCP") < at("bulk") && at("bulk") < at("8. A policy") && at("apply") < at("Beside"));
        assert!(text.contains("NO") && text.contains("met") && text.contains("why"), "{text}");
    }

    #[test]
    fn json_says_how_each_was_measured() {
        let machine = Machine { kernel: "6.18".to_owned(), cpu: "a CPU".to_owned(), cpus: 2 };
        let entries = entries();
        let list: Vec<Json> = entries.iter().map(|entry| Json::of(entry, &machine)).collect();
        let value = serde_json::to_value(list).expect("JSON");
        assert_eq!((value[0]["met"].as_bool(), value[0]["target"].as_f64()), (None, None));
        assert_eq!((value[1]["met"].as_bool(), value[1]["target"].as_f64()), (Some(false), Some(0.95)));
        assert_eq!((value[1]["mode"].as_str(), value[1]["row"].as_u64()), (Some("TCX"), Some(7)));
        assert_eq!((value[2]["rules"].as_u64(), value[2]["ratio"].as_f64()), (Some(5_000), Some(0.5)));
        assert_eq!(value[2]["kernel"].as_str(), Some("6.18"));
    }
}
