//! The vocabulary: every key with its meaning, its default and what it takes.
//!
//! The reader takes its lists of keys from here, the validation its words, ranges and what a message says is allowed,
//! and the [schema](super::schema) everything, so that none of them can say something else.

mod forms;
mod settings;
mod tables;
mod words;

use std::ops::RangeInclusive;

use serde_json::Value;

pub use forms::{
    ADDRESS, DURATION, ICMP_TYPE, INTERFACE_NAME, MAC, NAME, PATH, PORT, PREFIX, REMOTE, TIME, choice,
    number, protocol,
};
pub use settings::{CONNTRACK, LIMITS, QUOTAS, SETTINGS, TIMEOUTS};
pub use tables::{
    ADDRESS_GROUP, BYTE, DEFAULT_POLICY, DOCUMENT, GROUP, ICMP, INTERFACE, PAIR, PRIORITY, RULE,
};
pub use words::{
    ACTIONS, CHANGES, DIRECTIONS, ETHERTYPES, HOOKS, LINK_LOCAL, PICKUP, PROTOCOLS, ROLES, protocol_names,
    word,
};

/// Longest name of a group, address group or zone, in bytes.
pub const MAX_NAME: usize = 255;
/// Longest interface name in bytes (the kernel's IFNAMSIZ less its end).
pub const MAX_INTERFACE: usize = 15;

/// A mapping of the language.
#[derive(Debug)]
pub struct Mapping {
    /// What messages call it.
    pub what: &'static str,
    /// Its keys in the order that messages list them.
    pub keys: &'static [Key],
}

impl Mapping {
    /// The names of its keys.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.keys.iter().map(|key| key.name)
    }

    /// The key `name`.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// A key of a mapping.
#[derive(Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it means, one or two sentences.
    pub about: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What its absence means, where that is a value.
    pub default: Option<fn() -> Value>,
    /// For a key that must be there: how to write it.
    pub required: Option<&'static str>,
}

impl Key {
    /// The numbers it takes; every number for a key that takes none.
    pub fn range(&self) -> RangeInclusive<u64> {
        match &self.takes {
            Takes::One(Kind::Number(range)) => range.clone(),
            _ => 0..=u64::MAX,
        }
    }
}

/// The shape of a key's value.
#[derive(Debug)]
pub enum Takes {
    /// A single value.
    One(Kind),
    /// A single value or a list of them, which is not empty.
    OneOrMore(Kind),
    /// A list of single values.
    List(Kind),
    /// A mapping.
    Mapping(&'static Mapping),
    /// A list of mappings.
    Items(&'static Mapping),
    /// Mappings under names that the user chooses.
    Named(&'static Mapping),
}

/// A word and what it means; empty where the word says it.
pub type Word = (&'static str, &'static str);

/// What a single value is.
#[derive(Debug)]
pub enum Kind {
    /// The version of the language: 1.
    Version,
    /// Free text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A decimal number.
    Number(RangeInclusive<u64>),
    /// One of these words.
    Words(fn() -> Vec<Word>),
    /// A time span with its unit.
    Duration,
    /// A point in time.
    Time,
    /// A name of a group, an address group or a zone.
    Name,
    /// A name of a network interface, or a pattern.
    InterfaceName,
    /// A path of a file beside the policy file.
    Path,
    /// An address.
    Address,
    /// An address or a CIDR prefix.
    Prefix,
    /// A MAC address.
    Mac,
    /// A protocol by name or number.
    Protocol,
    /// A port or a range of ports.
    Port,
    /// The other end of a rule.
    Remote,
}
