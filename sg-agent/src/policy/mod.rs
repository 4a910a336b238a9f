//! From a policy file to a validated [`Policy`]: pure, no kernel, no async.
//!
//! [`load`] goes all the way: file -> [`document::read`] -> [`validate::validate`] -> [`lint::lint`]. It reads files and
//! nothing else; what it gives depends on their text and, for expired rules, on the time.

pub mod code;
pub mod diagnostic;
pub mod document;
pub mod language;
pub mod lint;
pub mod model;
pub mod render;
pub mod schema;
pub mod services;
pub mod source;
pub mod suggest;
pub mod templates;
pub mod validate;
pub mod words;

use std::{path::Path, sync::Arc, time::SystemTime};

pub use code::Code;
pub use diagnostic::{Diagnostic, Severity, Span};
pub use model::Policy;
pub use source::{FileId, Sources, Text};
pub use validate::Positions;

/// What came of a policy file.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The policy; `None` when a fault refuses the file.
    pub policy: Option<Policy>,
    /// Faults and warnings in file order.
    pub diagnostics: Vec<Diagnostic>,
    /// The text of the files, for [`render`].
    pub sources: Sources,
    /// Where the policy's items stand.
    pub positions: Positions,
}

impl Loaded {
    /// Whether the file is accepted; with `deny_warnings` also whether there is nothing to say about it.
    pub fn is_ok(&self, deny_warnings: bool) -> bool {
        self.policy.is_some() && (!deny_warnings || self.diagnostics.is_empty())
    }
}

/// Loads the policy file at `path`.
pub fn load(path: &Path) -> Loaded {
    let mut sources = Sources::default();
    let file = sources.add(path.display().to_string());
    match source::read(path, file, &mut sources) {
        Ok(text) => judge(text, path, None, file, sources),
        Err(fault) => Loaded { diagnostics: vec![fault], sources, ..Loaded::default() },
    }
}

/// Loads a policy file that somebody else has read: the first of `given`, which has the files that it names too. No
/// file is opened.
pub fn load_texts(given: &[Text]) -> Loaded {
    let mut sources = Sources::default();
    let path = given.first().map(|first| Path::new(&first.name)).unwrap_or(Path::new(""));
    let file = sources.add(path.display().to_string());
    match source::find(given, path, file, &mut sources) {
        Ok(text) => judge(text, path, Some(given), file, sources),
        Err(fault) => Loaded { diagnostics: vec![fault], sources, ..Loaded::default() },
    }
}

/// Loads the policy on standard input; address files are looked for in the working directory.
pub fn load_stdin() -> Loaded {
    let mut sources = Sources::default();
    let file = sources.add("standard input");
    match source::read_stdin(file, &mut sources) {
        Ok(text) => judge(text, Path::new(""), None, file, sources),
        Err(fault) => Loaded { diagnostics: vec![fault], sources, ..Loaded::default() },
    }
}

/// Loads `text` as if `file_name` held it; address files are looked for beside that name.
pub fn parse_str(text: &str, file_name: &str) -> Loaded {
    let mut sources = Sources::default();
    let file = sources.add(file_name);
    let text: Arc<str> = Arc::from(source::without_bom(text));
    sources.set_text(file, text.clone());
    judge(text, Path::new(file_name), None, file, sources)
}

/// Reads, validates and lints `text`, which `sources` already has as `file`.
fn judge(text: Arc<str>, path: &Path, given: Option<&[Text]>, file: FileId, mut sources: Sources) -> Loaded {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let base = directory.unwrap_or(Path::new("."));
    let document = document::read(&text, file);
    let mut files = match given {
        Some(given) => validate::Files::given(base, given, &mut sources),
        None => validate::Files::new(base, &mut sources),
    };
    let result = validate::validate(document, &mut files);
    match result {
        Err(diagnostics) => Loaded { diagnostics, sources, ..Loaded::default() },
        Ok(validate::Validated { policy, positions, warnings }) => {
            let mut report = warnings;
            lint::lint(&policy, &positions, SystemTime::now(), &mut report);
            Loaded { policy: Some(policy), diagnostics: report.into_sorted(), sources, positions }
        }
    }
}
