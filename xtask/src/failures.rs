//! What failed, told once more at the end: the last lines are what a log of hours, or a machine far away, shows first.

use std::fmt;

use crate::summary::{Summary, without_colours};

/// Lines kept of a stage. A panic needs ten; the complaint of the verifier about a program may have thousands.
const MOST_LINES: usize = 300;

/// What came of a stage.
#[derive(Debug, Default)]
pub struct Report {
    /// How many passed and failed.
    pub summary: Summary,
    /// What it said of those that failed, in lines.
    pub failures: Vec<String>,
}

impl Report {
    /// Counts something that passed.
    pub fn pass(&mut self) {
        self.summary += Summary { passed: 1, failed: 0 };
    }

    /// Counts something that failed, of which `why` tells.
    pub fn fail(&mut self, why: String) {
        self.summary += Summary { passed: 0, failed: 1 };
        self.failures.push(why);
    }
}

/// What the stages said of their failures.
#[derive(Debug, Default)]
pub struct Failures {
    stages: Vec<(String, Vec<String>)>,
}

impl Failures {
    /// Adds what a stage said; nothing if it said nothing.
    pub fn add(&mut self, stage: &str, lines: Vec<String>) {
        if !lines.is_empty() {
            self.stages.push((stage.to_owned(), lines));
        }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (stage, lines) in &self.stages {
            writeln!(f, "== failed, or passed at the second try only: {stage}")?;
            for line in lines.iter().take(MOST_LINES) {
                writeln!(f, "{line}")?;
            }
            if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
                writeln!(f, "({more} lines more, above)")?;
            }
        }
        Ok(())
    }
}

/// Picks from what a test runner prints the part that tells of failures.
#[derive(Debug, Default)]
pub struct Picker {
    is_open: bool,
    lines: Vec<String>,
}

impl Picker {
    /// A line of nextest, which tells everything again after its closing line (`--failure-output=immediate-final`).
    pub fn nextest(&mut self, line: &str) {
        let line = without_colours(line);
        self.is_open |= line.trim_start().starts_with("Summary [");
        self.keep(line);
    }

    /// A line of libtest, which tells of failures between `failures:` and the closing line of each test program.
    pub fn libtest(&mut self, line: &str) {
        let line = without_colours(line);
        self.is_open = (self.is_open || line == "failures:") && !line.starts_with("test result: ");
        self.keep(line);
    }

    fn keep(&mut self, line: String) {
        if self.is_open {
            self.lines.push(line);
        }
    }

    /// What was picked.
    pub fn into_lines(self) -> Vec<String> {
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(take: fn(&mut Picker, &str), lines: &[&str]) -> Vec<String> {
        let mut picker = Picker::default();
        lines.iter().for_each(|line| take(&mut picker, line));
        picker.into_lines()
    }

    #[test]
    fn of_nextest_what_follows_its_closing_line() {
        let lines = [
            "  PASS [ 0.1s] a",
            "  FAIL [ 0.1s] b",
            "\u{1b}[31m Summary\u{1b}[0m [ 1s] 2 tests run",
            "  FAIL b",
        ];
        assert_eq!(picked(Picker::nextest, &lines), [" Summary [ 1s] 2 tests run", "  FAIL b"]);
    }

    #[test]
    fn of_libtest_what_each_program_says_of_failures() {
        let lines = [
            "test a ... ok",
            "test result: ok. 1 passed",
            "failures:",
            "---- b stdout ----",
            "test result: FAILED. 0 passed; 1 failed",
            "running 1 test",
        ];
        assert_eq!(picked(Picker::libtest, &lines), ["failures:", "---- b stdout ----"]);
    }

    #[test]
    fn a_stage_is_named_and_what_is_long_is_cut() {
        let mut failures = Failures::default();
        failures.add("fine", vec![]);
        failures.add("as root", vec!["b failed".to_owned(); MOST_LINES + 2]);
        let text = failures.to_string();
        assert!(
            text.starts_with("== failed, or passed at the second try only: as root\nb failed\n"),
            "{text}"
        );
        assert!(text.ends_with("b failed\n(2 lines more, above)\n"), "{text}");
        assert_eq!(text.lines().count(), MOST_LINES + 2);
    }
}
