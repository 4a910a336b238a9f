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

/// The findings so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    list: Vec<Diagnostic>,
}

impl Report {
    /// Adds a finding; the result takes help and suggestion.
    pub fn push(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.list.len();
        self.list.push(Diagnostic::new(code, span, message));
        &mut self.list[at]
    }

    /// Takes over the findings of another stage.
    pub fn extend(&mut self, other: impl IntoIterator<Item = Diagnostic>) {
        self.list.extend(other);
    }

    /// Whether a finding refuses the file.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|one| one.severity() == Severity::Error)
    }

    /// The findings in file order.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort_by(|a, b| (a.span, a.code, &a.message).cmp(&(b.span, b.code, &b.message)));
        self.list.dedup();
        self.list
    }
}
