//! What there is to draw. Rates are per second.

use sg_common::verdict::Reason;

use crate::{
    observe::connection::End,
    policy::model::{Action, Direction},
};

/// One moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Name of the host.
    pub host: String,
    /// Time of day, as `14:07:12`, in UTC.
    pub time: String,
    /// Generation in force.
    pub generation: u32,
    /// Seconds since it came into force, where that is known.
    pub age: Option<u64>,
    /// Connections and how many there may be.
    pub connections: (u64, u64),
    /// Connections opened.
    pub opened: f64,
    /// Packets refused because a table was full.
    pub refused: f64,
    /// By interface.
    pub interfaces: Vec<Interface>,
    /// Live connections.
    pub flows: Vec<Flow>,
    /// Drops by reason; only reasons that there were drops for.
    pub drops: Vec<Drops>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// Seconds between the samples; `None` of the first one, when there are no rates yet.
    pub interval: Option<f64>,
}

/// Packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Packets that passed.
    pub packets: f64,
    /// Their bytes.
    pub bytes: f64,
    /// Packets dropped.
    pub drops: f64,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Towards the protected side.
    pub ingress: Rate,
    /// From it.
    pub egress: Rate,
    /// Connections opened.
    pub opened: f64,
    /// Packets both ways at the last samples, the oldest first.
    pub history: Vec<f64>,
}

/// A connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Name of its interface.
    pub interface: String,
    /// Protocol.
    pub protocol: String,
    /// State in a word.
    pub state: &'static str,
    /// Who has opened it.
    pub opener: Direction,
    /// The protected side.
    pub local: End,
    /// The other side.
    pub remote: End,
    /// Bytes, both ways.
    pub bytes: f64,
    /// Packets, both ways.
    pub packets: f64,
    /// Seconds since its first packet.
    pub age: u64,
    /// Seconds that it lives without another.
    pub expires: u64,
}

/// Drops for one reason, on all interfaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Drops {
    /// The reason.
    pub reason: Reason,
    /// Towards the protected side.
    pub ingress: f64,
    /// From it.
    pub egress: f64,
    /// Since the tables were made.
    pub total: u64,
    /// Name of the interface with most of them.
    pub most: String,
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Name of the interface.
    pub interface: String,
    /// Direction.
    pub direction: Direction,
    /// Name of the group.
    pub group: String,
    /// Index in it.
    pub index: u32,
    /// What it does.
    pub action: Action,
    /// Free text.
    pub description: String,
    /// Packets that it decided.
    pub packets: f64,
    /// Their bytes.
    pub bytes: f64,
    /// Packets since it has been in force.
    pub total: u64,
}
