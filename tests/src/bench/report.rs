//! What was measured, for people and for programs.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};
use serde::Serialize;

use super::{machine::Machine, sample::above};

/// Median, minimum and quartiles of samples.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// Half are below.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// A quarter are below.
    pub low: f64,
    /// A quarter are above.
    pub high: f64,
}

impl Spread {
    /// Of these samples; there is at least one.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted[(share * (sorted.len() - 1) as f64).round() as usize];
        Self { median: at(0.5), min: at(0.0), low: at(0.25), high: at(0.75) }
    }

    fn over(&self, number: f64) -> Self {
        let Self { median, min, low, high } = *self;
        Self { median: median / number, min: min / number, low: low / number, high: high / number }
    }
}

/// One measurement.
#[derive(Debug)]
pub struct Entry {
    name: String,
    unit: &'static str,
    ours: Spread,
    reference: Option<Reference>,
    target: Option<Target>,
}

/// What the ratio is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Not above this.
    AtMost(f64),
    /// Not below this.
    AtLeast(f64),
}

impl Target {
    const fn number(self) -> f64 {
        match self {
            Self::AtMost(number) | Self::AtLeast(number) => number,
        }
    }

    fn is_met_by(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if matches!(self, Self::AtMost(_)) { "<=" } else { ">=" };
        write!(to, "{sign} {:.2}", self.number())
    }
}

#[derive(Debug)]
struct Reference {
    name: String,
    spread: Spread,
    ratio: Spread,
}

/// Samples of a contender, and of the trivial program in the same rounds.
#[derive(Clone, Copy, Debug)]
pub struct Timed<'a> {
    /// The contender's.
    pub samples: &'a [f64],
    /// The trivial program's.
    pub floor: &'a [f64],
}

impl Timed<'_> {
    /// What the contender took longer. Median and minimum are differences of medians and of minima, so that a bad
    /// round of one does not speak for the other.
    pub fn own(&self) -> Spread {
        let (all, floor) = (Spread::of(self.samples), Spread::of(self.floor));
        let by_round = Spread::of(&above(self.samples, self.floor));
        Spread { median: all.median - floor.median, min: all.min - floor.min, ..by_round }
    }
}

impl Entry {
    /// A time in ns that is held against nothing.
    pub fn alone(name: &str, ours: Spread) -> Self {
        Self { name: name.to_owned(), unit: "ns", ours, reference: None, target: None }
    }

    /// Sizes or times, which may be `limit` at most.
    pub fn limited(name: &str, unit: &'static str, samples: &[f64], limit: Option<f64>) -> Self {
        let ours = Spread::of(samples);
        let reference = limit.map(|limit| Reference {
            name: "the limit".to_owned(),
            spread: Spread::of(&[limit]),
            ratio: ours.over(limit),
        });
        let target = limit.map(|_| Target::AtMost(1.0));
        Self { name: name.to_owned(), unit, ours, reference, target }
    }

    /// Packets per second against another's, by the ns that each takes for one.
    pub fn rate(name: &str, ours: &[f64], theirs: (&str, &[f64]), target: Option<Target>) -> Self {
        let per_second = |ns: &[f64]| ns.iter().map(|ns| 1e9 / ns).collect::<Vec<f64>>();
        let (reference, theirs) = (theirs.0, per_second(theirs.1));
        let ours = per_second(ours);
        let by_round: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        let (ours, spread) = (Spread::of(&ours), Spread::of(&theirs));
        let ratio = Spread { median: ours.median / spread.median, ..Spread::of(&by_round) };
        let reference = Some(Reference { name: reference.to_owned(), spread, ratio });
        Self { name: name.to_owned(), unit: "packets/s", ours, reference, target }
    }

    /// The time of a program held against another's, both above the trivial program's.
    pub fn against(name: String, ours: Timed, theirs: (&str, Timed), target: Option<Target>) -> Self {
        let (reference, theirs) = theirs;
        let by_round: Vec<f64> = above(ours.samples, ours.floor)
            .iter()
            .zip(above(theirs.samples, theirs.floor))
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        let (ours, spread) = (ours.own(), theirs.own());
        let ratio = Spread { median: ours.median / spread.median, ..Spread::of(&by_round) };
        let reference = Some(Reference { name: reference.to_owned(), spread, ratio });
        Self { name, unit: "ns", ours, reference, target }
    }

    fn met(&self) -> Option<bool> {
        Some(self.target?.is_met_by(self.reference.as_ref()?.ratio.median))
    }

    fn row(&self) -> Vec<String> {
        let number = |value: f64| if value < 1e5 { format!("{value:.1}") } else { format!("{value:.0}") };
        let reference = self.reference.as_ref();
        vec![
            self.name.clone(),
            self.unit.to_owned(),
            number(self.ours.median),
            number(self.ours.min),
            reference.map_or_else(String::new, |reference| reference.name.clone()),
            reference.map_or_else(String::new, |reference| number(reference.spread.median)),
            reference.map_or_else(String::new, |reference| number(reference.spread.min)),
            reference.map_or_else(String::new, ratio),
            self.target.map_or_else(String::new, |target| target.to_string()),
            self.met().map_or_else(String::new, |met| if met { "yes" } else { "NO" }.to_owned()),
        ]
    }

    fn json(&self, machine: &Machine) -> Json<'_> {
        let reference = self.reference.as_ref();
        Json {
            name: &self.name,
            unit: self.unit,
            ours: self.ours.median,
            reference: reference.map(|reference| reference.spread.median),
            reference_name: reference.map(|reference| reference.name.as_str()),
            ratio: reference.map(|reference| reference.ratio.median),
            target: self.target.map(Target::number),
            met: self.met(),
            ours_spread: self.ours,
            reference_spread: reference.map(|reference| reference.spread),
            ratio_spread: reference.map(|reference| reference.ratio),
            kernel: machine.kernel.clone(),
            cpu: machine.cpu.clone(),
            mode: MODE,
        }
    }
}

fn ratio(reference: &Reference) -> String {
    let Spread { median, low, high, .. } = reference.ratio;
    if low == high { format!("{median:.2}") } else { format!("{median:.2} ({low:.2}-{high:.2})") }
}

/// How packets meet the programs.
const MODE: &str = "BPF_PROG_TEST_RUN, XDP";

#[derive(Serialize)]
struct Json<'a> {
    name: &'a str,
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
    kernel: String,
    cpu: String,
    mode: &'a str,
}

/// Prints the table; writes JSON where it is asked for.
pub fn publish(machine: &Machine, entries: &[Entry], json: Option<&Option<PathBuf>>) -> Result<()> {
    let list: Vec<Json> = entries.iter().map(|entry| entry.json(machine)).collect();
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
    println!("Linux {}, {}, {} CPUs; {MODE}", machine.kernel, machine.cpu, machine.cpus);
    println!("ns are above the trivial program's; ratios of medians, with the quartiles of the rounds' own");
    println!("{}", table(entries));
    let judged: Vec<bool> = entries.iter().filter_map(Entry::met).collect();
    println!("{} of {} targets met", judged.iter().filter(|met| **met).count(), judged.len());
    Ok(())
}

fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["what", "unit", "median", "min", "against", "median", "min", "ratio", "target", "met"]);
    table.add_rows(entries.iter().map(Entry::row));
    for column in [2, 3, 5, 6, 7, 8] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_of_sorted_samples() {
        let spread = Spread::of(&[5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!((spread.min, spread.low, spread.median, spread.high), (1.0, 2.0, 3.0, 4.0));
    }

    #[test]
    fn the_floor_is_taken_off_both_sides() {
        let ours = Timed { samples: &[50.0], floor: &[30.0] };
        let theirs = Timed { samples: &[40.0], floor: &[30.0] };
        let entry = Entry::against("x".to_owned(), ours, ("y", theirs), Some(Target::AtMost(1.5)));
        assert_eq!(entry.reference.as_ref().map(|reference| reference.ratio.median), Some(2.0));
        assert_eq!(entry.met(), Some(false));
    }
}
