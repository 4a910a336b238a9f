//! From what other products have to a policy file.
//!
//! Each source has a reader of its own that fills a [`neutral::Neutral`]; [`write`] makes the policy file. A reader
//! narrows: a rule that cannot be carried over is left out and noted, addresses that are not known match nobody.

mod aws;
mod cloudformation;
mod heat;
mod json;
mod names;
pub mod neutral;
mod openstack;
mod parts;
mod template;
mod terraform;
mod value;
mod write;

use std::path::{Path, PathBuf};

use neutral::{Neutral, Note};
use template::Template;
use value::Value;

use crate::policy::{
    Code, Diagnostic, FileId, Severity, Sources, Span,
    diagnostic::Report,
    document::{
        dialect::Dialect,
        tree::{self, Node},
    },
    source,
};

/// Where a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum From {
    /// `aws ec2 describe-security-groups`
    Aws,
    /// `openstack security group rule list --long -f json`, also `list` and `show`
    Openstack,
    /// A Heat template
    Heat,
    /// A CloudFormation template, JSON or YAML
    Cloudformation,
    /// `terraform show -json`, of a state or a plan
    Terraform,
    /// Whichever the content looks like
    Auto,
}

/// What came of the inputs.
#[derive(Debug)]
pub struct Imported {
    /// The policy file.
    pub policy: String,
    /// Groups in it.
    pub groups: usize,
    /// Rules in it.
    pub rules: usize,
    /// What did not carry over as it stands.
    pub notes: Vec<Note>,
    /// Names of the inputs.
    pub sources: Sources,
}

/// Reads `files`; an input that is of no use is a fault.
pub fn import(files: &[PathBuf], from: From) -> Result<Imported, (Vec<Diagnostic>, Sources)> {
    let mut sources = Sources::default();
    let mut read = Neutral::default();
    let mut report = Report::default();
    for (number, path) in files.iter().enumerate() {
        read.input = number;
        read.stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file = sources.add(name(path));
        if let Err(mut fault) = one(path, from, file, &mut sources, &mut read) {
            if path.extension().is_some_and(|extension| extension == "tf") {
                fault.help("Terraform's own files are not read; take `terraform show -json`");
            }
            report.extend([fault]);
        }
    }
    if !report.has_errors() && read.groups.is_empty() {
        let fault = nothing(Span::default(), "no security group is in the input");
        report.extend([fault]);
    }
    if report.has_errors() {
        return Err((report.into_sorted(), sources));
    }
    read.close();
    read.notes.sort_by_key(|note| note.place.span);
    let head = head(files, &read, &sources);
    let rules = read.groups.iter().map(|group| group.rules.len()).sum();
    let policy = write::policy(&read, &head);
    if let Some(fault) = refused(&policy) {
        return Err((vec![fault], sources));
    }
    Ok(Imported { policy, groups: read.groups.len(), rules, notes: read.notes, sources })
}

/// Why `check` would refuse the result, such as its size.
fn refused(policy: &str) -> Option<Diagnostic> {
    let loaded = crate::policy::parse_str(policy, "the result");
    let fault = loaded.diagnostics.into_iter().find(|one| one.severity() == Severity::Error)?;
    let message = format!("the policy file that it makes would be refused: {}", fault.message);
    Some(Diagnostic::new(Code::Import, Span::whole(FileId::default()), message))
}

fn one(
    path: &Path,
    from: From,
    file: FileId,
    sources: &mut Sources,
    into: &mut Neutral,
) -> Result<(), Diagnostic> {
    let text = match path == Path::new("-") {
        true => source::read_stdin(file, sources)?,
        false => source::read(path, file, sources)?,
    };
    let node = parse(&text, file)?;
    let root = Value::new(&node);
    let from = match from {
        From::Auto => recognised(root).ok_or_else(|| nothing(root.span(), UNKNOWN))?,
        named => named,
    };
    match from {
        From::Aws if aws::recognises(root) => aws::read(root, into),
        From::Openstack if openstack::recognises(root) => openstack::read(root, into)?,
        From::Terraform if terraform::recognises(root) => terraform::read(root, into),
        // Heat takes CloudFormation's resources, too.
        From::Heat | From::Cloudformation if Template::recognises(root) => {
            let template = Template::new(root);
            heat::read(&template, into);
            cloudformation::read(&template, into);
            template.leftovers(into);
        }
        _ => return Err(nothing(root.span(), "this is not what `--from` says")),
    }
    Ok(())
}

fn recognised(root: Value<'_>) -> Option<From> {
    type Recognises = fn(Value<'_>) -> bool;
    let known: [(Recognises, From); 4] = [
        (aws::recognises, From::Aws),
        (terraform::recognises, From::Terraform),
        (Template::recognises, From::Cloudformation),
        (openstack::recognises, From::Openstack),
    ];
    known.into_iter().find(|(recognises, _)| recognises(root)).map(|(_, from)| from)
}

/// JSON by its first character, else YAML.
fn parse(text: &str, file: FileId) -> Result<Node<'_>, Diagnostic> {
    let json = text.trim_start().starts_with(['{', '[']);
    let yaml = |text| tree::parse(text, file, Dialect::Template);
    let read = match json {
        true => json::parse(text, file).map(Some).or_else(|fault| {
            // A template may be YAML in braces.
            yaml(text).map_err(|_| fault)
        }),
        false => yaml(text),
    };
    read?.ok_or_else(|| nothing(Span { file, ..Span::default() }, "the file is empty"))
}

const UNKNOWN: &str = "this is none of the formats that can be imported";

fn nothing(span: Span, message: &str) -> Diagnostic {
    let mut fault = Diagnostic::new(Code::Import, span, message);
    fault.help(
        "take `aws ec2 describe-security-groups`, `openstack security group rule list --long -f json`, a Heat or \
         CloudFormation template, or `terraform show -json`",
    );
    fault
}

/// What messages call an input.
fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// The comment above the policy file.
fn head(files: &[PathBuf], read: &Neutral, sources: &Sources) -> Vec<String> {
    let names: Vec<String> = files.iter().map(|path| name(path)).collect();
    let mut lines = vec![format!("Made by `sg-agent import` from {}.", names.join(", "))];
    if !read.notes.is_empty() {
        lines.push(String::new());
        lines.push("Not carried over as it stands:".to_owned());
        lines.extend(listed(&read.notes, sources));
    }
    lines.push(String::new());
    lines.push("No interface is bound yet: add `interfaces`, then try `sg-agent check`.".to_owned());
    lines
}

/// The notes as numbered lines.
pub fn listed(notes: &[Note], sources: &Sources) -> Vec<String> {
    let line = |(number, note): (usize, &Note)| {
        let effect = match note.effect {
            neutral::Effect::Dropped => "dropped",
            neutral::Effect::Incomplete => "incomplete",
            neutral::Effect::Changed => "changed",
            neutral::Effect::Widened => "widened",
        };
        let at = position(note, sources);
        format!("{number}. {at}: {}: {effect}: {}", note.place.what, note.message)
    };
    (1..).zip(notes).map(line).collect()
}

fn position(note: &Note, sources: &Sources) -> String {
    let Span { file, line, column, .. } = note.place.span;
    format!("{}:{line}:{column}", sources.name(file))
}
