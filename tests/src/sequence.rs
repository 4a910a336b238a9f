//! Sequences of packets, clock steps and changes of policy, for a host and for the model of it.
//!
//! A sequence is text that a person can read ([`Sequence`]'s `Display`, and [`str::parse`]): one step a line, a packet
//! as `INTERFACE in|out [mac MAC] [first ID|later ID] SOURCE > DESTINATION CONTENT`, the clock as `wait N ms`, a policy
//! as `policy:` with its indented text below. `#` begins a comment.

mod frame;
mod generate;
mod host;
mod packets;
mod policy;
mod shrink;
mod text;

use std::time::Duration;

pub use frame::frame;
pub use generate::{Shape, generate};
pub use host::{Control, Host, Timed, add_own_devices};
pub use policy::MAC;
pub(crate) use policy::{PEERS, PORTS, group, list};
pub use shrink::{shrink, shrink_list};
pub use text::step;

use crate::model::Packet;

/// What happens, in order. The first step is a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A policy is put in force.
    Policy(String),
    /// Time passes.
    Wait(Duration),
    /// A packet comes.
    Packet(Packet),
}
