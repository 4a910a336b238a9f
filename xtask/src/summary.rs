//! Reads the numbers of passed and failed tests from what the test runners print.

use std::{fmt, ops::AddAssign};

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tests that passed, those of a later try included.
    pub passed: u32,
    /// Tests that failed, timed out or could not start.
    pub failed: u32,
}

impl Summary {
    /// The numbers on the line with which libtest closes each test program.
    pub fn of_libtest(line: &str) -> Option<Self> {
        Some(Self::counted(without_colours(line).strip_prefix("test result: ")?))
    }

    /// The numbers on the line with which nextest closes its run. It also shows what failed test programs printed,
    /// libtest's lines included: those would count a failure twice.
    pub fn of_nextest(line: &str) -> Option<Self> {
        let line = without_colours(line);
        let (_, counts) = line.trim_start().strip_prefix("Summary [")?.split_once("run: ")?;
        Some(Self::counted(counts))
    }

    fn counted(counts: &str) -> Self {
        let count = |word: &str| counted(counts, word);
        Self { passed: count("passed"), failed: count("failed") + count("timed out") + count("exec failed") }
    }

    /// The same, with one failure for a runner that failed without naming one: tests did not compile, or one aborted.
    pub fn with_exit(self, success: bool) -> Self {
        let unnamed = !success && self.failed == 0;
        Self { failed: self.failed + u32::from(unnamed), ..self }
    }

    /// Whether something ran and nothing failed.
    pub fn is_success(self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// N of the item `N word` among items that are separated by `;`, `,`, `.` or a parenthesis; 0 without one.
fn counted(counts: &str, word: &str) -> u32 {
    let items = counts.split([';', ',', '.', '(', ')']);
    items.filter_map(|item| item.trim().strip_suffix(word)?.trim().parse().ok()).next().unwrap_or(0)
}

/// `text` without the escape sequences that colour it (`ESC [ … m`).
pub fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default();
    let rest = pieces.map(|piece| piece.split_once('m').map_or(piece, |(_, text)| text));
    std::iter::once(first).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn libtest(line: &str) -> Option<(u32, u32)> {
        Summary::of_libtest(line).map(|summary| (summary.passed, summary.failed))
    }

    fn nextest(line: &str) -> Option<(u32, u32)> {
        Summary::of_nextest(line).map(|summary| (summary.passed, summary.failed))
    }

    #[test]
    fn libtest_closing_line() {
        let line =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(libtest(line), Some((12, 0)));
        let line = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(libtest(line), Some((3, 2)));
    }

    #[test]
    fn nextest_closing_line() {
        assert_eq!(nextest("     Summary [   0.013s] 7 tests run: 7 passed, 0 skipped"), Some((7, 0)));
        assert_eq!(nextest("     Summary [   1.2s] 1 test run: 0 passed, 1 failed, 4 skipped"), Some((0, 1)));
        let line = "     Summary [  61.013s] 9 tests run: 5 passed (1 slow, 1 flaky), 2 failed, 1 timed out, \
                    1 exec failed, 2 skipped";
        assert_eq!(nextest(line), Some((5, 4)));
        assert_eq!(nextest("     Summary [   0.000s] 0 tests run: 0 passed, 0 skipped"), Some((0, 0)));
        assert_eq!(
            nextest("     Summary [   0.5s] 3/10 tests run: 2 passed, 1 failed, 0 skipped"),
            Some((2, 1))
        );
    }

    #[test]
    fn a_failure_shown_by_nextest_is_not_counted_twice() {
        assert_eq!(
            nextest("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out"),
            None
        );
    }

    #[test]
    fn coloured() {
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.013s] \u{1b}[1m7\u{1b}[0m tests run: \
                    \u{1b}[1m6\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m1\u{1b}[0m \u{1b}[31;1mfailed\u{1b}[0m";
        assert_eq!(nextest(line), Some((6, 1)));
        assert_eq!(
            libtest("test result: \u{1b}[32mok\u{1b}[0m. 2 passed; 0 failed; 0 ignored"),
            Some((2, 0))
        );
    }

    #[test]
    fn other_lines_say_nothing() {
        for line in [
            "",
            "running 3 tests",
            "5 passed, 0 failed",
            "test summary ... ok",
            "note: test result: 1 passed",
        ] {
            assert_eq!((libtest(line), nextest(line)), (None, None), "{line}");
        }
    }

    #[test]
    fn zero_tests_are_no_success() {
        assert!(!Summary::default().is_success());
        assert!(!Summary { passed: 9, failed: 1 }.is_success());
        assert!(Summary { passed: 9, failed: 0 }.is_success());
    }

    #[test]
    fn a_runner_that_fails_counts_as_a_failure() {
        let (passed, mixed) = (Summary { passed: 2, failed: 0 }, Summary { passed: 2, failed: 3 });
        assert_eq!(passed.with_exit(true), passed);
        assert_eq!(passed.with_exit(false), Summary { passed: 2, failed: 1 });
        assert_eq!(mixed.with_exit(false), mixed);
    }

    #[test]
    fn prints_both_numbers() {
        assert_eq!(Summary { passed: 9, failed: 1 }.to_string(), "9 passed, 1 failed");
    }
}
