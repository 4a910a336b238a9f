//! An event in words and numbers. Serialised it is a line of `monitor --json`.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::{
    observe::{
        connection::{Both, End},
        time,
    },
    policy::model::Direction,
};

/// What a reader is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Told {
    /// Something has happened.
    Event(Box<Event>),
    /// More has happened than was told.
    Missed(Missed),
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in RFC 3339, to the millisecond.
    pub time: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// Name of the interface; its index, where the name is not known any more.
    pub interface: String,
    /// IP protocol, by name where it has one; `None` if it was no IP packet, or one that could not be read.
    pub protocol: Option<String>,
    /// The protected side; `None` likewise.
    pub local: Option<End>,
    /// The other side; `None` likewise.
    pub remote: Option<End>,
    /// Of an ICMP packet its type and code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp: Option<Icmp>,
    /// The rule that decided (of an audited packet the audit group's), or that admitted the connection; `None` if no rule
    /// did.
    #[serde(flatten)]
    pub rule: Option<Rule>,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum What {
    /// A packet was dropped.
    Dropped {
        /// Which way it went.
        direction: Direction,
        /// Why, in a word of [`Reason`](sg_common::verdict::Reason).
        reason: String,
        /// Its length in bytes, as the counters have it.
        packet_bytes: u32,
        /// The sender's MAC address, where it was read.
        #[serde(skip_serializing_if = "Option::is_none")]
        source_mac: Option<String>,
    },
    /// The rules in force let a packet pass that an audit group would have dropped.
    Audited {
        /// Which way it went.
        direction: Direction,
        /// Why it would have been dropped: `rule` or `default`.
        reason: String,
        /// Its length in bytes, as the counters have it.
        packet_bytes: u32,
    },
    /// A connection was opened.
    Opened {
        /// Who has opened it.
        opener: Direction,
    },
    /// A connection is no longer tracked.
    Closed {
        /// Who had opened it.
        opener: Direction,
        /// How it ended.
        how: How,
        /// Its packets.
        packets: Both,
        /// Their bytes.
        bytes: Both,
        /// From its first packet to its end. One that was not ended lives on for its timeout after the last packet.
        duration_seconds: f64,
    },
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// No packet came for its timeout.
    Expired,
    /// By FIN, and then its timeout.
    Fin,
    /// By RST, likewise.
    Rst,
    /// A change of policy has cut it.
    Cut,
    /// By `conntrack flush`.
    Flushed,
    /// Its interface is gone, or what admitted it is not tracked any more.
    Gone,
}

impl How {
    /// The word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Cut => "cut",
            Self::Flushed => "flushed",
            Self::Gone => "gone",
        }
    }
}

/// Type and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Icmp {
    /// Type.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Code.
    pub code: u8,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Name of its group.
    pub group: String,
    /// Its index there.
    pub rule: u32,
    /// Its description.
    pub description: String,
}

/// How much was not told, because there was too much of it or only a sample was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// Packets dropped.
    pub dropped_not_shown: u64,
    /// Connections opened.
    pub opened_not_shown: u64,
    /// Connections closed.
    pub closed_not_shown: u64,
    /// Packets that an audit group would have dropped; an older daemon does not say.
    #[serde(default)]
    pub audited_not_shown: u64,
}

impl Missed {
    /// All of it.
    pub const fn total(&self) -> u64 {
        self.dropped_not_shown + self.opened_not_shown + self.closed_not_shown + self.audited_not_shown
    }

    /// One more like `what`.
    pub const fn count(&mut self, what: &What) {
        match what {
            What::Dropped { .. } => self.dropped_not_shown += 1,
            What::Audited { .. } => self.audited_not_shown += 1,
            What::Opened { .. } => self.opened_not_shown += 1,
            What::Closed { .. } => self.closed_not_shown += 1,
        }
    }

    /// Both together.
    pub const fn and(self, other: Self) -> Self {
        Self {
            dropped_not_shown: self.dropped_not_shown + other.dropped_not_shown,
            opened_not_shown: self.opened_not_shown + other.opened_not_shown,
            closed_not_shown: self.closed_not_shown + other.closed_not_shown,
            audited_not_shown: self.audited_not_shown + other.audited_not_shown,
        }
    }
}

impl Event {
    /// Which way the packet went, or the first one of the connection.
    pub const fn direction(&self) -> Direction {
        match self.what {
            What::Dropped { direction, .. } | What::Audited { direction, .. } => direction,
            What::Opened { opener } | What::Closed { opener, .. } => opener,
        }
    }

    /// `time` as events have it.
    pub fn stamp(time: SystemTime) -> String {
        time::rfc3339_millis(time).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_another_build_are_understood() {
        let read = |text: &str| serde_json::from_str::<Told>(text).ok();
        let older = r#"{"dropped_not_shown":1,"opened_not_shown":2,"closed_not_shown":3}"#;
        let missed =
            Missed { dropped_not_shown: 1, opened_not_shown: 2, closed_not_shown: 3, ..Missed::default() };
        assert_eq!(read(older), Some(Told::Missed(missed)));
        let later = older.replace('}', r#","audited_not_shown":4,"more_not_shown":5}"#);
        assert_eq!(read(&later), Some(Told::Missed(Missed { audited_not_shown: 4, ..missed })));
        assert_eq!(read(r#"{"event":"more","dropped":{}}"#), None);
    }
}
