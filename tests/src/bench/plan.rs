//! What is measured, how thoroughly, and how far it has come.

use std::{cell::Cell, time::Instant};

use sg_agent::top::numbers::grouped;

/// How thoroughly to measure, and what.
#[derive(Debug)]
pub struct Plan {
    /// Rounds of what takes microseconds.
    pub rounds: usize,
    /// Rounds of what takes up to a second each, and of what no target is for.
    pub slow_rounds: usize,
    /// Packets per sample.
    pub packets: u32,
    /// Numbers of rules that are held against ten.
    pub rules: Vec<usize>,
    quick: bool,
    only: Option<String>,
    begun: Cell<usize>,
    total: Cell<usize>,
    start: Instant,
}

impl Plan {
    /// A quick one or a thorough one, of the measurements whose name contains `only`; all of so many rounds, if a
    /// number is given.
    pub fn new(quick: bool, only: Option<String>, given: Option<usize>) -> Self {
        let (rounds, slow_rounds, packets, rules) = match quick {
            true => (9, 5, 100_000, vec![5_000]),
            false => (21, 11, 300_000, vec![250, 5_000, 100_000]),
        };
        let (rounds, slow_rounds) = given.map_or((rounds, slow_rounds), |rounds| (rounds, rounds));
        let (begun, total) = (Cell::new(0), Cell::new(0));
        Self { rounds, slow_rounds, packets, rules, quick, only, begun, total, start: Instant::now() }
    }

    /// Whether there is more time than a minute.
    pub const fn thorough(&self) -> bool {
        !self.quick
    }

    /// Whether a measurement of this name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|part| name.contains(part))
    }

    /// Those of `cases` that are asked for by the names that they have.
    pub fn wanted<C>(&self, cases: Vec<C>, name: impl Fn(&C) -> String) -> Vec<C> {
        cases.into_iter().filter(|case| self.wants(&name(case))).collect()
    }

    /// So many measurements there will be.
    pub fn expect(&self, total: usize) {
        self.total.set(total);
    }

    /// Says that the measurement of this name begins.
    pub fn begin(&self, name: &str) {
        self.begin_together(&[name.to_owned()]);
    }

    /// Says that measurements begin which take turns with each other; those that nobody asked for come with them.
    pub fn begin_together(&self, names: &[String]) {
        let wanted: Vec<&String> = names.iter().filter(|name| self.wants(name)).collect();
        self.begun.set(self.begun.get() + wanted.len());
        let (seconds, all) = (self.start.elapsed().as_secs(), names.join(" | "));
        let (begun, total) = (self.begun.get(), self.total.get());
        eprintln!("[{begun:>3}/{total}] {}:{:02} {all}", seconds / 60, seconds % 60);
    }
}

/// A number with separators.
pub fn thousands(number: usize) -> String {
    grouped(number as u64)
}

/// So many flows.
pub fn of_flows(flows: u32) -> String {
    if flows == 1 { "1 flow".to_owned() } else { format!("{} flows", thousands(flows as usize)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_groups_of_three() {
        let all = [1, 999, 1_000, 64_000, 1_048_576].map(thousands);
        assert_eq!(all, ["1", "999", "1,000", "64,000", "1,048,576"]);
    }

    #[test]
    fn a_part_of_a_name_chooses() {
        let names = || vec!["denied, 10 rules", "floor"];
        let plan = |only: Option<&str>| Plan::new(true, only.map(str::to_owned), None);
        assert_eq!(plan(Some("den")).wanted(names(), |name| (*name).to_owned()), ["denied, 10 rules"]);
        assert_eq!(plan(None).wanted(names(), |name| (*name).to_owned()), names());
    }
}
