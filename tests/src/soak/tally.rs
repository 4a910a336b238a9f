//! What was done and what went wrong.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Faults beyond this many are counted only.
const KEPT: usize = 50;

/// Counts by name, in groups; the longest of some times; faults.
#[derive(Debug, Default)]
pub struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<(&'static str, &'static str), u64>,
    longest: BTreeMap<(&'static str, &'static str), Duration>,
    faults: Vec<String>,
    more_faults: u64,
}

impl Tally {
    /// One more of `what` in `group`.
    pub fn count(&self, group: &'static str, what: &'static str) {
        self.add(group, what, 1);
    }

    /// So many more of `what` in `group`.
    pub fn add(&self, group: &'static str, what: &'static str, number: u64) {
        *self.inner().counts.entry((group, what)).or_default() += number;
    }

    /// How often `what` in `group` was counted.
    pub fn number(&self, group: &'static str, what: &'static str) -> u64 {
        self.inner().counts.get(&(group, what)).copied().unwrap_or_default()
    }

    /// Remembers the longest time of `what` in `group`.
    pub fn time(&self, group: &'static str, what: &'static str, took: Duration) {
        let mut inner = self.inner();
        let longest = inner.longest.entry((group, what)).or_default();
        *longest = took.max(*longest);
    }

    /// Something went wrong.
    pub fn fault(&self, text: String) {
        eprintln!("FAULT: {text}");
        let mut inner = self.inner();
        if inner.faults.len() < KEPT { inner.faults.push(text) } else { inner.more_faults += 1 }
    }

    /// What went wrong.
    pub fn faults(&self) -> Vec<String> {
        let inner = self.inner();
        let more = (inner.more_faults > 0).then(|| format!("and {} more", inner.more_faults));
        inner.faults.iter().cloned().chain(more).collect()
    }

    /// How far it is, in a line.
    pub fn line(&self) -> String {
        let inner = self.inner();
        let counts = inner.counts.iter().map(|((group, what), number)| format!("{group} {what} {number}"));
        format!("{}, faults {}", counts.collect::<Vec<_>>().join(", "), inner.faults.len())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        for ((group, what), number) in &inner.counts {
            writeln!(to, "{group:>10}  {what:<32} {number:>12}")?;
        }
        for ((group, what), longest) in &inner.longest {
            writeln!(to, "{group:>10}  {what:<32} {:>9} ms at most", longest.as_millis())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_by_group_and_faults_are_bounded() {
        let tally = Tally::default();
        tally.add("held", "echoes", 2);
        tally.count("held", "echoes");
        tally.time("churn", "enforced after", Duration::from_millis(7));
        tally.time("churn", "enforced after", Duration::from_millis(3));
        (0..KEPT + 2).for_each(|number| tally.fault(number.to_string()));
        assert_eq!(tally.number("held", "echoes"), 3);
        assert!(tally.to_string().contains("7 ms at most"), "{tally}");
        assert_eq!(tally.faults().last().map(String::as_str), Some("and 2 more"));
    }
}
