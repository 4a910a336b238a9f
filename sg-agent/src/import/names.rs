//! Names that the policy language takes, each once.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::{
    language::MAX_NAME,
    validate::{is_unprintable, name_fault},
};

/// A name and what tells it from another of the same name.
pub struct Wanted<'a> {
    /// What people call it.
    pub name: &'a str,
    /// Its network, project or resource.
    pub qualifier: &'a str,
}

/// A good name for each, different from all others. Of several with one name each gets its qualifier.
pub fn unique(wanted: &[Wanted<'_>], fallback: &str) -> Vec<String> {
    let plain: Vec<String> = wanted.iter().map(|one| valid(one.name, fallback)).collect();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for name in &plain {
        *times.entry(name).or_default() += 1;
    }
    let mut taken: BTreeSet<String> =
        times.iter().filter(|(_, times)| **times == 1).map(|(name, _)| (*name).to_owned()).collect();
    let mut next = BTreeMap::new();
    plain
        .iter()
        .zip(wanted)
        .map(|(name, one)| match times.get(name.as_str()) {
            Some(1) => name.clone(),
            _ => free(name, one.qualifier, &mut taken, &mut next),
        })
        .collect()
}

/// `name-qualifier`, or that with a number; `next` has the first that may be free.
fn free(
    name: &str,
    qualifier: &str,
    taken: &mut BTreeSet<String>,
    next: &mut BTreeMap<String, usize>,
) -> String {
    let base = match qualifier {
        "" => name.to_owned(),
        _ => valid(&format!("{}-{qualifier}", shortened(name, MAX_NAME / 2)), name),
    };
    let number = next.entry(base.clone()).or_insert(1);
    loop {
        let candidate = match *number {
            1 => base.clone(),
            number => format!("{}-{number}", shortened(&base, MAX_NAME - 12)),
        };
        *number += 1;
        if taken.insert(candidate.clone()) {
            return candidate;
        }
    }
}

/// The nearest name that the policy language takes.
fn valid(text: &str, fallback: &str) -> String {
    if name_fault(text).is_none() {
        return text.to_owned();
    }
    let stem = text.trim().trim_start_matches('.');
    let clean: String = stem.chars().map(|c| if c == '/' || is_unprintable(c) { '-' } else { c }).collect();
    let clean = shortened(clean.trim(), MAX_NAME).trim_end().to_owned();
    if name_fault(&clean).is_some() { fallback.to_owned() } else { clean }
}

/// The start of `text`, at most `most` bytes.
fn shortened(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[(&str, &str)]) -> Vec<String> {
        let wanted: Vec<Wanted<'_>> =
            list.iter().map(|(name, qualifier)| Wanted { name, qualifier }).collect();
        unique(&wanted, "group")
    }

    #[test]
    fn each_name_once() {
        let found = names(&[
            ("web", "vpc-1"),
            ("web", "vpc-2"),
            ("db", "vpc-1"),
            ("web", "vpc-2"),
            ("web-vpc-1", ""),
        ]);
        assert_eq!(found, ["web-vpc-1-2", "web-vpc-2", "db", "web-vpc-2-2", "web-vpc-1"]);
    }

    #[test]
    fn bad_names_become_good() {
        let long = "ä".repeat(300);
        let found =
            names(&[("../etc", ""), (" a/b\n", ""), ("", ""), ("...", ""), (&long, "x"), (&long, "y")]);
        assert_eq!(found[..2], ["-etc", "a-b"]);
        assert_eq!(found[2..4], ["group", "group-2"]);
        assert!(found.iter().all(|name| name_fault(name).is_none()), "{found:?}");
        assert_ne!(found[4], found[5]);
    }
}
