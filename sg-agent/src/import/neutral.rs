//! What every source is read into: groups, rules and lists of addresses, with the names that the source uses.
//!
//! A reader narrows: what it cannot carry over is left out and noted, never widened to "any". Where the source itself hides
//! what would narrow, the note says [`Effect::Widened`].

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::{
    Span,
    model::{Direction, Family, Match, Remote},
};

/// Where something stands in an input.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The position.
    pub span: Span,
    /// What it is, in the words of the source: `sg-1 (web) IpPermissions[0]`.
    pub what: String,
}

/// What a note means for the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It is not in the policy.
    Dropped,
    /// It is in the policy and matches nothing until its addresses are filled in.
    Incomplete,
    /// It is in the policy, with an assumption or in another form.
    Changed,
    /// It is in the policy and may let more through, as the source does not show all of it.
    Widened,
}

/// Something that did not carry over as it stands.
#[derive(Clone, Debug)]
pub struct Note {
    /// What it means for the traffic.
    pub effect: Effect,
    /// Where.
    pub place: Place,
    /// What and why.
    pub message: String,
}

/// A security group of the source.
#[derive(Clone, Debug)]
pub struct Group {
    /// What the source's references say; unique.
    pub key: String,
    /// The name that people gave it.
    pub name: String,
    /// Tells it from another of the same name, such as the network it belongs to.
    pub qualifier: String,
    /// Free text.
    pub description: String,
    /// Where it comes from, for a comment.
    pub origin: String,
    /// Whether replies pass without a rule.
    pub stateful: bool,
    /// Its rules in the order of the source.
    pub rules: Vec<Rule>,
}

impl Group {
    /// A stateful group without rules.
    pub fn new(key: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            name: name.into(),
            qualifier: String::new(),
            description: String::new(),
            origin: String::new(),
            stateful: true,
            rules: Vec::new(),
        }
    }
}

/// An allow rule; group and address group remotes hold keys.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which way it applies.
    pub direction: Direction,
    /// Protocol, ports, ICMP type.
    pub matches: Match,
    /// The other end.
    pub remote: Remote,
    /// The family, where the source names one and the remote does not imply it.
    pub family: Option<Family>,
    /// Free text.
    pub description: String,
    /// Where it comes from.
    pub place: Place,
    /// Whether the source has it as a thing of its own, which a comment then names.
    pub alone: bool,
}

/// A list of addresses that the source names.
#[derive(Clone, Debug)]
pub struct List {
    /// What the source's references say; unique.
    pub key: String,
    /// The name that people gave it.
    pub name: String,
    /// Free text.
    pub description: String,
}

/// All that was read.
#[derive(Debug, Default)]
pub struct Neutral {
    /// Groups in the order of the inputs.
    pub groups: Vec<Group>,
    /// Lists of addresses in the order of their first use.
    pub lists: Vec<List>,
    /// What did not carry over as it stands.
    pub notes: Vec<Note>,
    /// Which input is being read: names that mean something in one file only are kept apart by it.
    pub input: usize,
    /// Name of that input without folder and ending.
    pub stem: String,
    index: BTreeMap<String, usize>,
    /// Further keys; `None` is one that several groups have: whoever refers to it means nobody.
    aliases: BTreeMap<String, Option<usize>>,
    listed: BTreeSet<String>,
    said: BTreeSet<String>,
}

/// Between the number of an input and a name in it; no name of any source has it.
const BETWEEN: char = '\u{1f}';

impl Neutral {
    /// The key of what one input calls `name`.
    pub fn scoped(&self, name: &str) -> String {
        format!("{}{BETWEEN}{name}", self.input)
    }

    /// The key of a group that only a deployment knows; `name` is for the reader.
    pub fn unknown(&self, name: &str) -> String {
        format!("{}{BETWEEN}?{BETWEEN}{name}", self.input)
    }

    /// Adds a note.
    pub fn note(&mut self, effect: Effect, place: &Place, message: impl Into<String>) {
        self.notes.push(Note { effect, place: place.clone(), message: message.into() });
    }

    /// Adds a note unless the same has been said before, wherever.
    pub fn note_once(&mut self, effect: Effect, place: &Place, message: impl Into<String>) {
        let message = message.into();
        if self.said.insert(message.clone()) {
            self.note(effect, place, message);
        }
    }

    /// Adds a group. One that was there already, because a rule or another listing came before it, keeps its rules, and
    /// what only that listing told.
    pub fn define(&mut self, group: Group) {
        let at = self.position(&group.key);
        let before = std::mem::replace(&mut self.groups[at], group);
        let now = &mut self.groups[at];
        now.rules.splice(0..0, before.rules);
        now.stateful &= before.stateful;
        if now.description.is_empty() {
            now.description = before.description;
        }
    }

    /// Another key of the group `key`. One that another group has, too, is nobody's.
    pub fn alias(&mut self, key: &str, alias: &str) {
        let at = self.position(key);
        let known = self.aliases.entry(alias.to_owned()).or_insert(Some(at));
        *known = known.filter(|known| *known == at);
    }

    /// Makes sure that there is a group for a rule of its own; one that is not in the input is noted.
    pub fn adopt(&mut self, key: &str, place: &Place) {
        if self.has(key) {
            return;
        }
        let group = self.group(key);
        group.origin = "not in the input, which only adds rules to it".to_owned();
        let message =
            format!("group `{}` itself is not in the input; its other rules are missing", group.name);
        self.note(Effect::Incomplete, place, message);
    }

    /// Whether there is a group `key`.
    pub fn has(&self, key: &str) -> bool {
        self.resolve(key).is_some()
    }

    /// The group `key`, which is made if there is none.
    pub fn group(&mut self, key: &str) -> &mut Group {
        let at = self.resolve(key).unwrap_or_else(|| self.position(key));
        &mut self.groups[at]
    }

    /// The place of the group `key` in [`Neutral::groups`].
    pub fn resolve(&self, key: &str) -> Option<usize> {
        self.index.get(key).copied().or_else(|| self.aliases.get(key).copied().flatten())
    }

    /// The place of the group whose own key it is; it is made if there is none.
    fn position(&mut self, key: &str) -> usize {
        if let Some(at) = self.index.get(key) {
            return *at;
        }
        let name = key.rsplit(BETWEEN).next().unwrap_or(key);
        self.groups.push(Group::new(key, name));
        self.index.insert(key.to_owned(), self.groups.len() - 1);
        self.groups.len() - 1
    }

    /// Adds a rule to the group `key`, unless it could never match.
    pub fn rule(&mut self, key: &str, rule: Rule) {
        let family = match &rule.remote {
            Remote::Prefix(net) if net.addr().is_ipv4() => Some(Family::Ipv4),
            Remote::Prefix(_) => Some(Family::Ipv6),
            _ => rule.family,
        };
        let own = match rule.matches {
            Match::Protocol(1) | Match::Icmp { protocol: 1, .. } => Some(Family::Ipv4),
            Match::Protocol(58) | Match::Icmp { protocol: 58, .. } => Some(Family::Ipv6),
            _ => None,
        };
        if let (Some(family), Some(own)) = (family, own)
            && family != own
        {
            let message = "a rule for ICMP of one family with addresses of the other matches nothing";
            return self.note(Effect::Dropped, &rule.place, message);
        }
        self.group(key).rules.push(rule);
    }

    /// A remote whose addresses the input does not hold: an empty list to be filled in. `id` is the source's name for it,
    /// `what` what it is.
    pub fn unknown_addresses(&mut self, id: &str, what: &str, place: &Place) -> Remote {
        self.unknown_list(id, id, what, place)
    }

    /// The same for one that only this input knows by that name.
    pub fn unknown_here(&mut self, name: &str, what: &str, place: &Place) -> Remote {
        self.unknown_list(&self.scoped(name), name, what, place)
    }

    fn unknown_list(&mut self, key: &str, name: &str, what: &str, place: &Place) -> Remote {
        if self.listed.insert(key.to_owned()) {
            let description = format!("{what}; fill in its addresses");
            self.lists.push(List { key: key.to_owned(), name: name.to_owned(), description });
            let message =
                format!("{what}: its addresses are not in the input; fill in address group `{name}`");
            self.note(Effect::Incomplete, place, message);
        }
        Remote::AddressGroup(key.to_owned())
    }

    /// Makes a group of every reference that found none, empty, so that it matches nobody.
    pub fn close(&mut self) {
        let mut missing: BTreeMap<String, Place> = BTreeMap::new();
        let mut order = Vec::new();
        for rule in self.groups.iter().flat_map(|group| &group.rules) {
            let Remote::Group(key) = &rule.remote else { continue };
            if !self.has(key) && !missing.contains_key(key) {
                missing.insert(key.clone(), rule.place.clone());
                order.push(key.clone());
            }
        }
        for key in order {
            let place = missing.remove(&key).unwrap_or_default();
            let name = &self.group(&key).name;
            let message = format!(
                "security group `{name}` is not in the input; it is made without members: add their addresses, or its rules"
            );
            self.note(Effect::Incomplete, &place, message);
            self.group(&key).origin =
                "not in the input: `members` takes the addresses of its members".to_owned();
        }
    }
}
