//! `address_groups:`, with the files they name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    super::{
        code::Code,
        diagnostic::{Diagnostic, Report, Span},
        document::{AddressGroupDoc, Scalar, clip},
        language,
        model::AddressGroup,
        source::{self, FileId, Sources, Text},
    },
    names, net,
    positions::Positions,
    scalars,
};

/// Faults listed for one address file; a file of another kind would give one per line.
const MAX_FAULTS: usize = 1_000;

/// Most bytes of all address files together: a thousand groups may name one large file.
const MAX_TOTAL: usize = 128 << 20;

/// Where address files are looked for, and where their text is kept.
pub struct Files<'a> {
    /// The policy file's directory.
    pub base: &'a Path,
    /// Takes the text of each file.
    pub sources: &'a mut Sources,
    /// The files, where somebody else has read them.
    given: Option<&'a [Text]>,
    /// Bytes read so far.
    read: usize,
}

impl<'a> Files<'a> {
    /// Looks in `base` and keeps texts in `sources`.
    pub fn new(base: &'a Path, sources: &'a mut Sources) -> Self {
        Self { base, sources, given: None, read: 0 }
    }

    /// Takes files from `given` only.
    pub fn given(base: &'a Path, given: &'a [Text], sources: &'a mut Sources) -> Self {
        Self { base, sources, given: Some(given), read: 0 }
    }

    fn text(&mut self, path: &Path, id: FileId) -> Result<Arc<str>, Diagnostic> {
        match self.given {
            Some(given) => source::find(given, path, id, self.sources),
            None => source::read(path, id, self.sources),
        }
    }

    /// Whether another `bytes` stay within the bound.
    fn charge(&mut self, bytes: usize) -> bool {
        self.read = self.read.saturating_add(bytes);
        self.read <= MAX_TOTAL
    }
}

/// All address groups.
pub fn address_groups(
    docs: &[AddressGroupDoc<'_>],
    files: &mut Files<'_>,
    positions: &mut Positions,
    report: &mut Report,
) -> BTreeMap<String, AddressGroup> {
    let mut groups = BTreeMap::new();
    for doc in docs {
        let Some(name) = names::name(&doc.name, "an address group", report) else { continue };
        positions.address_groups.insert(name.clone(), doc.name.span);
        groups.insert(name, address_group(doc, files, report));
    }
    groups
}

fn address_group(doc: &AddressGroupDoc<'_>, files: &mut Files<'_>, report: &mut Report) -> AddressGroup {
    if doc.addresses.is_none() && doc.file.is_none() {
        report
            .push(
                Code::KeyMissing,
                doc.name.span,
                format!("address group `{}` has no addresses", clip(&doc.name.text)),
            )
            .help("give it `addresses: [...]` or `file: NAME`; `addresses: []` matches nobody");
    }
    let description = doc.description.as_ref();
    let mut prefixes: BTreeSet<IpNet> =
        net::prefixes(doc.addresses.as_deref().unwrap_or_default(), report).into_iter().collect();
    if let Some(file) = &doc.file {
        prefixes.extend(from_file(file, files, report));
    }
    AddressGroup {
        description: description.and_then(|d| scalars::text(d, "a description", report)).unwrap_or_default(),
        prefixes: prefixes.into_iter().collect(),
    }
}

fn from_file(scalar: &Scalar<'_>, files: &mut Files<'_>, report: &mut Report) -> Vec<IpNet> {
    let Some(path) = inside(scalar, files, report) else { return Vec::new() };
    let id = files.sources.add(path.display().to_string());
    match files.text(&path, id) {
        Ok(text) if files.charge(text.len()) => lines(&text, id, report),
        Ok(_) => {
            files.sources.set_text(id, Arc::from(""));
            report
                .push(
                    Code::FileSize,
                    scalar.span,
                    format!("address files together pass {MAX_TOTAL} bytes here"),
                )
                .help("let groups share one address group instead of naming a large file several times");
            Vec::new()
        }
        Err(mut fault) => {
            // A file that cannot be opened has no lines: the fault stands where it is named.
            if fault.span.line == 0 {
                fault.span = scalar.span;
            }
            report.extend([fault]);
            Vec::new()
        }
    }
}

/// The path of an address file, if it stays in the policy file's directory, links followed.
fn inside(scalar: &Scalar<'_>, files: &Files<'_>, report: &mut Report) -> Option<PathBuf> {
    let base = files.base;
    let relative = Path::new(&*scalar.text);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = base.join(relative);
    let escapes = || match (base.canonicalize(), path.canonicalize()) {
        (Ok(base), Ok(path)) => !path.starts_with(base),
        // What cannot be followed cannot be read either; reading says why.
        _ => false,
    };
    if !scalar.text.is_empty() && plain && (files.given.is_some() || !escapes()) {
        return Some(path);
    }
    report
        .push(
            Code::Path,
            scalar.span,
            format!("`{}` lies outside the policy file's directory", clip(&scalar.text)),
        )
        .help(language::PATH);
    None
}

/// One address or prefix per line, `#` starts a comment.
fn lines(text: &str, file: FileId, report: &mut Report) -> Vec<IpNet> {
    let mut prefixes = Vec::new();
    let mut faults = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.split('#').next().unwrap_or_default();
        let value = content.trim();
        if value.is_empty() {
            continue;
        }
        match net::parse_prefix(value) {
            Ok(net) => prefixes.push(net),
            Err(_) if faults >= MAX_FAULTS => faults += 1,
            Err(fault) => {
                faults += 1;
                fault.report(line_span(content, value, number, file), report);
            }
        }
    }
    if faults > MAX_FAULTS {
        let message = format!("{} more faults in this file", faults - MAX_FAULTS);
        report.push(Code::More, Span::whole(file), message).help("one address or CIDR prefix per line");
    }
    prefixes
}

fn line_span(content: &str, value: &str, line: u32, file: FileId) -> Span {
    let blanks = content.len() - content.trim_start().len();
    let column = content[..blanks].chars().count() as u32 + 1;
    Span { file, line, column, end_column: column + value.chars().count() as u32 }
}
