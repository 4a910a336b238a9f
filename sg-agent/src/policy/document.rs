//! What the user wrote: the shape of a policy file, every value still text with its line and column.
//!
//! [`read`] takes YAML and gives a [`Document`] together with what is wrong with its shape (keys, lists, mappings).
//! What the values mean is left to [`validate`](super::validate), which also gets what could be read of a faulty file, so
//! that one run reports both kinds of faults.

mod bounded;
pub(crate) mod dialect;
mod fields;
pub(crate) mod merge;
mod read;
pub(crate) mod tree;

pub use fields::clip;
pub use tree::Scalar;

use super::{
    code::Code,
    diagnostic::{Report, Span},
    language::Key,
    source::FileId,
};

/// A policy file as written.
#[derive(Debug, Default)]
pub struct Document<'a> {
    /// `settings:`.
    pub settings: SettingsDoc<'a>,
    /// `address_groups:` in file order.
    pub address_groups: Vec<AddressGroupDoc<'a>>,
    /// `security_groups:` in file order.
    pub groups: Vec<GroupDoc<'a>>,
    /// `interfaces:` in file order.
    pub interfaces: Vec<InterfaceDoc<'a>>,
    /// Faults of the shape.
    pub report: Report,
}

/// `settings:`.
#[derive(Debug, Default)]
pub struct SettingsDoc<'a> {
    /// `timeouts:`, key and value.
    pub timeouts: Vec<(&'static Key, Scalar<'a>)>,
    /// `conntrack:`, key and value.
    pub conntrack: Vec<(&'static Key, Scalar<'a>)>,
    /// `quotas:`, key and value.
    pub quotas: Vec<(&'static Key, Scalar<'a>)>,
    /// `limits:`, key and value.
    pub limits: Vec<(&'static Key, Scalar<'a>)>,
    /// `default_group:`.
    pub default_group: Option<Scalar<'a>>,
}

/// One entry of `address_groups:`.
#[derive(Debug)]
pub struct AddressGroupDoc<'a> {
    /// Its name.
    pub name: Scalar<'a>,
    /// `description:`.
    pub description: Option<Scalar<'a>>,
    /// `addresses:`; `None` when the key is missing.
    pub addresses: Option<Vec<Scalar<'a>>>,
    /// `file:`.
    pub file: Option<Scalar<'a>>,
}

/// One entry of `security_groups:`.
#[derive(Debug)]
pub struct GroupDoc<'a> {
    /// Its name.
    pub name: Scalar<'a>,
    /// `description:`.
    pub description: Option<Scalar<'a>>,
    /// `stateful:`.
    pub stateful: Option<Scalar<'a>>,
    /// `default_policy.ingress`.
    pub default_ingress: Option<Scalar<'a>>,
    /// `default_policy.egress`.
    pub default_egress: Option<Scalar<'a>>,
    /// `allow_smtp:`.
    pub allow_smtp: Option<Scalar<'a>>,
    /// `on_ingress_change:`.
    pub on_ingress_change: Option<Scalar<'a>>,
    /// `audit:`.
    pub audit: Option<Scalar<'a>>,
    /// `template:`.
    pub template: Option<Scalar<'a>>,
    /// `members:`.
    pub members: Vec<Scalar<'a>>,
    /// `rules:`.
    pub rules: Vec<RuleDoc<'a>>,
}

/// One entry of `rules:`.
#[derive(Debug)]
pub struct RuleDoc<'a> {
    /// Where it starts.
    pub span: Span,
    /// `description:`.
    pub description: Option<Scalar<'a>>,
    /// `direction:`; a missing one is already reported.
    pub direction: Option<Scalar<'a>>,
    /// `protocol:`.
    pub protocol: Option<Scalar<'a>>,
    /// `ports:`; `None` when the key is missing.
    pub ports: Option<(Span, Vec<Scalar<'a>>)>,
    /// `icmp:`.
    pub icmp: Option<IcmpDoc<'a>>,
    /// `service:`.
    pub service: Option<Scalar<'a>>,
    /// `remote:`.
    pub remote: Option<Scalar<'a>>,
    /// `action:`.
    pub action: Option<Scalar<'a>>,
    /// `priority:`.
    pub priority: Option<Scalar<'a>>,
    /// `ethertype:`.
    pub ethertype: Option<Scalar<'a>>,
    /// `expires:`.
    pub expires: Option<Scalar<'a>>,
}

/// `icmp:` of a rule.
#[derive(Debug)]
pub struct IcmpDoc<'a> {
    /// Where it starts.
    pub span: Span,
    /// `type:`.
    pub kind: Option<Scalar<'a>>,
    /// `code:`.
    pub code: Option<Scalar<'a>>,
}

/// One entry of `interfaces:`.
#[derive(Debug)]
pub struct InterfaceDoc<'a> {
    /// Where it starts.
    pub span: Span,
    /// `name:`; a missing one is already reported.
    pub name: Option<Scalar<'a>>,
    /// `role:`.
    pub role: Option<Scalar<'a>>,
    /// `groups:`.
    pub groups: Vec<Scalar<'a>>,
    /// `addresses:`.
    pub addresses: Vec<Scalar<'a>>,
    /// `mac:`.
    pub mac: Option<Scalar<'a>>,
    /// `allowed_address_pairs:`.
    pub allowed_address_pairs: Vec<PairDoc<'a>>,
    /// `anti_spoof:`.
    pub anti_spoof: Option<Scalar<'a>>,
    /// `exempt:`.
    pub exempt: Vec<Scalar<'a>>,
    /// `rx_hook:`.
    pub rx_hook: Option<Scalar<'a>>,
    /// `zone:`.
    pub zone: Option<Scalar<'a>>,
    /// `link_local:`.
    pub link_local: Option<Scalar<'a>>,
}

/// One entry of `allowed_address_pairs:`.
#[derive(Debug)]
pub struct PairDoc<'a> {
    /// `address:`; a missing one is already reported.
    pub address: Option<Scalar<'a>>,
    /// `mac:`.
    pub mac: Option<Scalar<'a>>,
}

/// Reads `text`, the content of `file`. A file that is not YAML gives an empty document with the fault.
pub fn read(text: &str, file: FileId) -> Document<'_> {
    let mut report = Report::default();
    let mut document = match tree::parse(text, file, dialect::Dialect::Policy) {
        Ok(Some(tree::Node::Scalar(scalar))) if scalar.is_null() => nothing(file, &mut report),
        Ok(Some(root)) => read::document(root, &mut report),
        Ok(None) => nothing(file, &mut report),
        Err(fault) => {
            report.extend([fault]);
            Document::default()
        }
    };
    unfinished_line(text, file, &mut report);
    document.report = report;
    document
}

fn nothing<'a>(file: FileId, report: &mut Report) -> Document<'a> {
    let span = Span { file, line: 1, column: 1, end_column: 2 };
    report.push(Code::Empty, span, "the file holds no policy").help("the least is one line: `version: 1`");
    Document::default()
}

/// A writer that was stopped leaves a file that is often still YAML; its last line tells.
fn unfinished_line(text: &str, file: FileId, report: &mut Report) {
    let Some(last) = text.lines().last().filter(|_| !text.ends_with(['\n', '\r'])) else { return };
    let line = text.lines().count() as u32;
    let column = last.chars().count() as u32 + 1;
    report
        .push(
            Code::NoNewline,
            Span { file, line, column, end_column: column + 1 },
            "the last line has no line end, so the file may be half written",
        )
        .help("end the file with a line end");
}
