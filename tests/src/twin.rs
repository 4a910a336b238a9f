//! Linux's own firewall as a second judge: two routers that look the same from outside, one with the policy in sg, one
//! with an nft rule set that is made of the same policy. The same frames go through both, and the same is to come out.
//!
//! ```text
//!   peer ── up0 [router: sg on tap0 or up0] tap0 ── guest          peer ── up0 [router: nft] tap0 ── guest
//! ```
//!
//! What is known to differ is listed, with reasons, in [`exclusions`].

pub mod decode;
pub mod exclusions;
pub mod flips;
mod judge;
mod lives;
mod netfilter;
mod policies;
mod reassembly;
mod router;
mod ruleset;
mod session;
mod sg;

use sg_agent::policy::model::Direction;

pub use judge::Twin;
pub use policies::{Draft, near_rules, of_rules};
pub use session::session;

use crate::packets::{Ethernet, Mac};
use decode::Decoded;

/// The routers' device towards the guest.
pub const INSIDE: &str = "tap0";
/// The routers' device towards everybody else.
pub const OUTSIDE: &str = "up0";
/// The guest's MAC address.
pub const GUEST_MAC: Mac = Mac([2, 0, 0, 0, 1, 1]);
/// TCP flags by letter, lowest bit first.
pub const FLAGS: &str = "FSRPAUEC";

/// Frames that are sent one after the other: one, or the fragments of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shot {
    /// To the guest, or from it.
    pub direction: Direction,
    /// The frames.
    pub frames: Vec<Vec<u8>>,
    /// The connection that it belongs to, by its number in the session.
    pub life: Option<u16>,
}

impl Shot {
    /// The shot of some datagrams.
    pub fn new(direction: Direction, datagrams: &[Vec<u8>]) -> Self {
        let ethernet = ethernet(direction);
        Self::raw(direction, datagrams.iter().map(|datagram| ethernet.datagram(datagram)).collect())
    }

    /// The shot of some frames.
    pub fn raw(direction: Direction, frames: Vec<Vec<u8>>) -> Self {
        Self { direction, frames, life: None }
    }

    /// What its frames carry, as far as they carry IP.
    pub fn decoded(&self) -> Vec<Decoded> {
        self.frames.iter().filter_map(|frame| Decoded::of(frame.get(ETHERNET..)?)).collect()
    }
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// The Ethernet header of frames to the guest's router: from the peer, or from the guest.
pub fn ethernet(direction: Direction) -> Ethernet {
    let router = |number| Mac([2, 0, 0, 0, 0, number]);
    match direction {
        Direction::Egress => Ethernet::new(GUEST_MAC, router(1)),
        Direction::Ingress => Ethernet::new(Mac([2, 0, 0, 0, 1, 2]), router(2)),
    }
}

/// The other direction.
fn reversed(direction: Direction) -> Direction {
    if direction == Direction::Ingress { Direction::Egress } else { Direction::Ingress }
}
