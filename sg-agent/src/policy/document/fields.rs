//! The keys of one mapping: each is taken once by name, and what is left over is a fault.

use super::{
    super::{
        code::Code,
        diagnostic::{Report, Span},
        language::Mapping,
        suggest,
    },
    tree::{Node, Scalar},
};

/// A mapping while it is read.
pub struct Fields<'a> {
    span: Span,
    mapping: &'static Mapping,
    entries: Vec<(Scalar<'a>, Node<'a>)>,
}

impl<'a> Fields<'a> {
    /// The keys of `node`, which is a `mapping`. Unknown and repeated keys are reported and left out.
    pub fn read(node: Node<'a>, mapping: &'static Mapping, report: &mut Report) -> Option<Self> {
        let (span, raw) = expect_map(node, mapping.what, report)?;
        let entries = distinct(raw, mapping.what, report);
        let present: Vec<String> = entries.iter().map(|(key, _)| key.text.to_string()).collect();
        let (good, unknown): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(key, _)| mapping.key(&key.text).is_some());
        for (key, _) in &unknown {
            unknown_key(key, mapping, &present, report);
        }
        Some(Self { span, mapping, entries: good })
    }

    /// A mapping without keys, in the place of one that could not be read.
    pub fn empty(span: Span, mapping: &'static Mapping) -> Self {
        Self { span, mapping, entries: Vec::new() }
    }

    /// Where the mapping starts.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The value of `key`, if it is there.
    pub fn take(&mut self, key: &str) -> Option<Node<'a>> {
        debug_assert!(self.mapping.key(key).is_some(), "`{key}` is not in the vocabulary");
        let at = self.entries.iter().position(|(name, _)| name.text == key)?;
        Some(self.entries.swap_remove(at).1)
    }

    /// The single value of `key`, if it is there.
    pub fn scalar(&mut self, key: &'static str, report: &mut Report) -> Option<Scalar<'a>> {
        scalar(self.take(key)?, key, report)
    }

    /// The single value of `key`, which must be there.
    pub fn required(&mut self, key: &'static str, report: &mut Report) -> Option<Scalar<'a>> {
        let node = self.take(key);
        if node.is_none() {
            report
                .push(Code::KeyMissing, self.span, format!("`{key}` is missing in {}", self.mapping.what))
                .help(self.mapping.key(key).and_then(|key| key.required).unwrap_or_default());
        }
        scalar(node?, key, report)
    }

    /// The values of `key`; empty when it is not there.
    pub fn list(&mut self, key: &'static str, report: &mut Report) -> Vec<Node<'a>> {
        self.take(key).and_then(|node| list(node, key, report)).unwrap_or_default()
    }

    /// The single values of the list `key`; empty when it is not there.
    pub fn scalars(&mut self, key: &'static str, report: &mut Report) -> Vec<Scalar<'a>> {
        let nodes = self.list(key, report);
        nodes.into_iter().filter_map(|node| scalar(node, key, report)).collect()
    }
}

/// The entries of the mapping `node` under names the user chose.
pub fn named<'a>(node: Node<'a>, what: &'static str, report: &mut Report) -> Vec<(Scalar<'a>, Node<'a>)> {
    expect_map(node, what, report).map(|(_, raw)| distinct(raw, what, report)).unwrap_or_default()
}

/// The items of the list `node`.
pub fn list<'a>(node: Node<'a>, what: &str, report: &mut Report) -> Option<Vec<Node<'a>>> {
    match node {
        Node::List(_, items) => Some(items),
        other => {
            wrong_kind(&other, what, "a list", "write `[a, b]`, or one `- item` per line", report);
            None
        }
    }
}

/// The single value `node`.
pub fn scalar<'a>(node: Node<'a>, what: &str, report: &mut Report) -> Option<Scalar<'a>> {
    match node {
        Node::Scalar(scalar) if !scalar.is_null() => Some(scalar),
        other => {
            let help = "write one value, or leave the key out";
            wrong_kind(&other, what, "a single value", help, report);
            None
        }
    }
}

type Entries<'a> = Vec<(Node<'a>, Node<'a>)>;

fn expect_map<'a>(node: Node<'a>, what: &str, report: &mut Report) -> Option<(Span, Entries<'a>)> {
    match node {
        Node::Map(span, entries) => Some((span, entries)),
        other => {
            wrong_kind(&other, what, "a mapping", "write `key: value` lines, or `{key: value}`", report);
            None
        }
    }
}

fn wrong_kind(node: &Node<'_>, what: &str, wanted: &str, help: &str, report: &mut Report) {
    let found = match node {
        Node::Scalar(scalar) if scalar.is_null() => "nothing".to_owned(),
        Node::Scalar(scalar) => format!("`{}`", clip(&scalar.text)),
        Node::List(..) => "a list".to_owned(),
        Node::Map(..) => "a mapping".to_owned(),
    };
    report.push(Code::Kind, node.span(), format!("`{what}` is {found}; it must be {wanted}")).help(help);
}

/// Entries with a plain key, the first of each name; a repeated one is reported where it stands again.
fn distinct<'a>(raw: Entries<'a>, what: &str, report: &mut Report) -> Vec<(Scalar<'a>, Node<'a>)> {
    let mut seen = std::collections::BTreeMap::new();
    let mut entries = Vec::with_capacity(raw.len());
    for (key, value) in raw {
        let Some(key) = scalar(key, "key", report) else { continue };
        if let Some(first) = seen.insert(key.text.to_string(), key.span.line) {
            let message = format!("`{}` is here a second time in `{what}`", clip(&key.text));
            report
                .push(Code::KeyDuplicate, key.span, message)
                .help(format!("a key stands once; the first is on line {first}"));
            continue;
        }
        entries.push((key, value));
    }
    entries
}

/// Keys of other products' groups and what they are called here.
const FOREIGN: &[(&str, &str)] = &[
    ("cidr", "remote"),
    ("source", "remote"),
    ("destination", "remote"),
    ("remote_cidr", "remote"),
    ("remote_group", "remote"),
    ("remote_group_id", "remote"),
    ("remote_ip_prefix", "remote"),
    ("from_port", "ports"),
    ("to_port", "ports"),
    ("port_range_min", "ports"),
    ("port_range_max", "ports"),
    ("proto", "protocol"),
    ("ip_version", "ethertype"),
    ("policy", "action"),
    ("security_groups", "groups"),
    ("fixed_ips", "addresses"),
    ("mac_address", "mac"),
];

fn unknown_key(key: &Scalar<'_>, mapping: &Mapping, present: &[String], report: &mut Report) {
    if key.text == "<<" {
        report
            .push(Code::KeyUnknown, key.span, "`<<` does not merge mappings here")
            .help("repeat the keys, or repeat a whole value with `*name`");
        return;
    }
    // Whoever has written `ports` does not mean `ports` with `prots`.
    let free = mapping.names().filter(|choice| !present.iter().any(|there| there == choice));
    let foreign = FOREIGN.iter().find(|(theirs, ours)| *theirs == key.text && mapping.key(ours).is_some());
    let suggestion = match foreign {
        Some((_, ours)) => Some(format!("did you mean `{ours}`?")),
        None => suggest::near_miss(&key.text, free),
    };
    report
        .push(Code::KeyUnknown, key.span, format!("`{}` is not a key of `{}`", clip(&key.text), mapping.what))
        .help(format!("it has {}", suggest::one_of(mapping.names()).replace(" or ", " and ")))
        .suggest(suggestion);
}

/// The start of a value, short enough for a message.
pub fn clip(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
