//! One finding about a policy file, and the list that collects them.
//!
//! Stages push into a [`Report`] and go on with what is left, so that one run names every fault.

use super::{code::Code, source::FileId};

/// Whether a finding refuses the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is accepted; `--deny-warnings` refuses it.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// Where a value stands: one stretch of one line. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Which file.
    pub file: FileId,
    /// Line; 0 = the file as a whole.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// The column after the last one.
    pub end_column: u32,
}

impl Span {
    /// The file as a whole, for faults that no line causes.
    pub fn whole(file: FileId) -> Self {
        Self { file, line: 0, column: 0, end_column: 0 }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What it is about; decides the severity.
    pub code: Code,
    /// Where.
    pub span: Span,
    /// What is wrong, naming the bad value.
    pub message: String,
    /// What is allowed.
    pub help: Option<String>,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Diagnostic {
    /// A finding without help.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { code, span, message: message.into(), help: None, suggestion: None }
    }

    /// Whether it refuses the file.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Says what is allowed.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help = Some(text.into());
        self
    }

    /// Says what was probably meant, when something was found.
    pub fn suggest(&mut self, text: Option<String>) -> &mut Self {
        self.suggestion = text;
        self
    }

    /// Help and suggestion in one sentence, as every format shows them.
    pub fn advice(&self) -> Option<String> {
        match (&self.suggestion, &self.help) {
            (Some(suggestion), Some(help)) => Some(format!("{suggestion} {help}")),
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (None, None) => None,
        }
    }
}

/// Most faults that one run lists, and most warnings: a generated file with one mistake has it a million times.
pub const MOST: usize = 10_000;

/// The findings so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    list: Vec<Diagnostic>,
    /// Faults and warnings, listed or not.
    found: [usize; 2],
    /// The last finding that is not listed.
    unlisted: Option<Diagnostic>,
}

impl Report {
    /// Adds a finding; the result takes help and suggestion.
    pub fn push(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Diagnostic::new(code, span, message))
    }

    /// Takes over the findings of another stage.
    pub fn extend(&mut self, other: impl IntoIterator<Item = Diagnostic>) {
        for one in other {
            self.add(one);
        }
    }

    fn add(&mut self, one: Diagnostic) -> &mut Diagnostic {
        let found = &mut self.found[one.severity() as usize];
        *found += 1;
        if *found > MOST {
            return self.unlisted.insert(one);
        }
        let at = self.list.len();
        self.list.push(one);
        &mut self.list[at]
    }

    /// Whether a finding refuses the file.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|one| one.severity() == Severity::Error)
    }

    /// The findings in file order, then how many are not listed.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        fn key(one: &Diagnostic) -> (FileId, bool, Span, Code, &str) {
            (one.span.file, one.code == Code::More, one.span, one.code, &one.message)
        }
        self.list.sort_by(|a, b| key(a).cmp(&key(b)));
        self.list.dedup();
        let file = self.list.last().map(|one| one.span.file).unwrap_or_default();
        for (code, found, what) in
            [(Code::More, self.found[0], "faults"), (Code::MoreWarnings, self.found[1], "warnings")]
        {
            let Some(more) = found.checked_sub(MOST).filter(|more| *more > 0) else { continue };
            let mut rest = Diagnostic::new(code, Span::whole(file), format!("and {more} more {what}"));
            rest.help("mend those that are listed, then run it again");
            self.list.push(rest);
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_an_end() {
        let mut report = Report::default();
        for line in 1..=20_003 {
            let span = Span { line, ..Span::default() };
            report.push(Code::Port, span, "bad").help("good");
            report.push(Code::Expired, span, "old");
        }
        assert!(report.has_errors());
        let list = report.into_sorted();
        assert_eq!(list.len(), 2 * MOST + 2);
        let last: Vec<&str> = list[2 * MOST..].iter().map(|one| one.message.as_str()).collect();
        assert_eq!(last, ["and 10003 more faults", "and 10003 more warnings"]);
        assert_eq!((list[0].help.as_deref(), list[2 * MOST - 1].span.line), (Some("good"), MOST as u32));
    }
}
