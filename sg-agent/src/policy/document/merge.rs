//! What the entries of a mapping come to in a template: merge keys and duplicates.

use std::collections::BTreeSet;

use super::{
    super::{code::Code, diagnostic::Diagnostic},
    tree::{self, Node},
};

/// Entries of a mapping.
type Entries<'a> = Vec<(Node<'a>, Node<'a>)>;

/// `entries` with those that `<<` brings (YAML 1.1's merge key) first, so that the mapping's own come last and win; of
/// several mappings in its list the first wins.
pub fn merged(entries: Entries<'_>) -> Result<Entries<'_>, Diagnostic> {
    if !entries.iter().any(|(key, _)| is_merge(key)) {
        return Ok(last_wins(entries));
    }
    let (mut brought, mut own) = (Vec::new(), Vec::new());
    for (key, value) in entries {
        match is_merge(&key) {
            true => brought.extend(mappings(value)?),
            false => own.push((key, value)),
        }
    }
    brought.append(&mut own);
    Ok(last_wins(brought))
}

/// `entries` with the last of each key only, as readers of JSON and YAML take them.
pub fn last_wins(entries: Entries<'_>) -> Entries<'_> {
    let mut seen = BTreeSet::new();
    let kept: Vec<bool> =
        entries.iter().rev().map(|(key, _)| named(key).is_none_or(|k| seen.insert(k))).collect();
    entries
        .into_iter()
        .zip(kept.into_iter().rev())
        .filter(|(_, kept)| *kept)
        .map(|(entry, _)| entry)
        .collect()
}

fn named<'v>(key: &'v Node<'_>) -> Option<&'v str> {
    match key {
        Node::Scalar(key) => Some(&key.text),
        _ => None,
    }
}

fn is_merge(key: &Node<'_>) -> bool {
    matches!(key, Node::Scalar(key) if key.plain && key.text == "<<")
}

/// The entries of a mapping, or of all in a list, the ones that win last.
fn mappings(value: Node<'_>) -> Result<Entries<'_>, Diagnostic> {
    let span = value.span();
    let all = match value {
        Node::List(_, items) => items,
        one => vec![one],
    };
    let mut entries = Vec::new();
    for one in all.into_iter().rev() {
        let Node::Map(_, inner) = one else {
            let help = "`<<` takes a mapping, or a list of mappings";
            return Err(tree::fault(Code::Yaml, span, "a merge key with something else than mappings", help));
        };
        entries.extend(inner);
    }
    Ok(entries)
}
