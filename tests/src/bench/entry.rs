//! Measurements: samples, ratios, targets.

use serde::Serialize;

use super::sample::above;

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

/// What the ratio is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Not above this.
    AtMost(f64),
    /// Not below this.
    AtLeast(f64),
}

impl Target {
    /// The number.
    pub const fn number(self) -> f64 {
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

    /// How far `ratio` is, where 1 is the target itself and more is better.
    pub fn reached(self, ratio: f64) -> f64 {
        match self {
            Self::AtMost(most) => most / ratio,
            Self::AtLeast(least) => ratio / least,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if matches!(self, Self::AtMost(_)) { "<=" } else { ">=" };
        write!(to, "{sign} {:.2}", self.number())
    }
}

/// What ours is held against.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its samples.
    pub spread: Spread,
    /// Ours over it.
    pub ratio: Spread,
}

/// How something was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Number of the target that it belongs to, 1 to 12; 0: none.
    pub row: u8,
    /// How packets, or the policy, met what was measured.
    pub mode: &'static str,
    /// Rules in force.
    pub rules: usize,
}

/// One measurement.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What.
    pub name: String,
    /// Of the numbers.
    pub unit: &'static str,
    /// Ours.
    pub ours: Spread,
    /// Theirs.
    pub reference: Option<Reference>,
    /// What the ratio is to be.
    pub target: Option<Target>,
    /// How.
    pub about: About,
    /// A few words for who wonders.
    pub note: &'static str,
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
    /// Samples that are held against nothing.
    pub fn alone(name: &str, unit: &'static str, ours: Spread) -> Self {
        let about = About { row: 0, mode: "", rules: 0 };
        Self { name: name.to_owned(), unit, ours, reference: None, target: None, about, note: "" }
    }

    /// Sizes, times or counts, which may be `limit` at most.
    pub fn limited(name: &str, unit: &'static str, samples: &[f64], limit: f64) -> Self {
        let ours = Spread::of(samples);
        let ratio = ours.over(limit);
        let reference = Reference { name: "the limit".to_owned(), spread: Spread::of(&[limit]), ratio };
        let target = Some(Target::AtMost(1.0));
        Self { reference: Some(reference), target, ..Self::alone(name, unit, ours) }
    }

    /// Something of which there must be none.
    pub fn none(name: &str, unit: &'static str, samples: &[f64]) -> Self {
        let ours = Spread::of(samples);
        let worst = samples.iter().copied().fold(0.0, f64::max);
        let ratio = Spread { median: worst, ..ours };
        let reference = Reference { name: "none".to_owned(), spread: Spread::of(&[0.0]), ratio };
        Self {
            reference: Some(reference),
            target: Some(Target::AtMost(0.0)),
            ..Self::alone(name, unit, ours)
        }
    }

    /// How many per second against another's, by the ns that each takes for one.
    pub fn rate(
        name: &str,
        unit: &'static str,
        ours: &[f64],
        theirs: (&str, &[f64]),
        target: Option<Target>,
    ) -> Self {
        let per_second = |ns: &[f64]| ns.iter().map(|ns| 1e9 / ns).collect::<Vec<f64>>();
        let (reference, theirs) = (theirs.0, per_second(theirs.1));
        let ours = per_second(ours);
        let by_round: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        let (ours, spread) = (Spread::of(&ours), Spread::of(&theirs));
        let ratio = Spread { median: ours.median / spread.median, ..Spread::of(&by_round) };
        let reference = Some(Reference { name: reference.to_owned(), spread, ratio });
        Self { reference, target, ..Self::alone(name, unit, ours) }
    }

    /// The time of a program held against another's, both above the trivial program's.
    pub fn against(name: &str, ours: Timed, theirs: (&str, Timed), target: Option<Target>) -> Self {
        let (reference, theirs) = theirs;
        let by_round: Vec<f64> = above(ours.samples, ours.floor)
            .iter()
            .zip(above(theirs.samples, theirs.floor))
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        let (ours, spread) = (ours.own(), theirs.own());
        let ratio = Spread { median: ours.median / spread.median, ..Spread::of(&by_round) };
        let reference = Some(Reference { name: reference.to_owned(), spread, ratio });
        Self { reference, target, ..Self::alone(name, "ns", ours) }
    }

    /// Belongs to target `row`, was measured so, with so many rules in force.
    #[must_use]
    pub fn about(self, row: u8, mode: &'static str, rules: usize) -> Self {
        Self { about: About { row, mode, rules }, ..self }
    }

    /// With a few words for who wonders.
    #[must_use]
    pub fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// Whether the target is met, if there is one.
    pub fn met(&self) -> Option<bool> {
        Some(self.target?.is_met_by(self.reference.as_ref()?.ratio.median))
    }
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
        let entry = Entry::against("x", ours, ("y", theirs), Some(Target::AtMost(1.5)));
        assert_eq!(entry.reference.as_ref().map(|reference| reference.ratio.median), Some(2.0));
        assert_eq!(entry.met(), Some(false));
    }

    #[test]
    fn one_lost_of_many_rounds_is_one_too_many() {
        assert_eq!(Entry::none("x", "lost", &[0.0, 0.0, 0.0]).met(), Some(true));
        assert_eq!(Entry::none("x", "lost", &[0.0, 0.0, 1.0]).met(), Some(false));
    }

    #[test]
    fn rates_are_better_when_higher() {
        let entry = |least| {
            Entry::rate("x", "packets/s", &[100.0], ("y", &[200.0]), Some(Target::AtLeast(least))).met()
        };
        assert_eq!((entry(1.9), entry(2.1)), (Some(true), Some(false)));
    }

    #[test]
    fn more_than_one_is_better_than_the_target() {
        let all = [Target::AtMost(2.0).reached(1.0), Target::AtLeast(2.0).reached(1.0)];
        assert_eq!(all, [2.0, 0.5]);
    }
}
