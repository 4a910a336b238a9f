//! Who may send what. Identifiers such as N06 are those of the scenario catalogue.

use sg_common::{
    addr::{Addr, EGRESS, INGRESS},
    interface::flag,
    verdict::{Reason, Stage},
};

use super::{Message, check, check_arp};
use crate::packet::{Packet, V4, V6, protocol};

mod arp;
mod dhcp;
mod exempt;
mod multicast;
mod neighbours;
mod scene;
mod sources;

use scene::*;

/// What becomes of a packet: `Ok(None)` is left to connections and rules.
type Outcome = Result<Option<Stage>, Reason>;

const TO_THE_RULES: Outcome = Ok(None);
const INFRASTRUCTURE: Outcome = Ok(Some(Stage::Infrastructure));
const SPOOFED_ADDRESS: Outcome = Err(Reason::SpoofedAddress);
const SPOOFED_MAC: Outcome = Err(Reason::SpoofedMac);

impl Scene {
    /// The guard's answer, for what is no neighbour discovery.
    fn judge(&self, direction: usize, packet: &Packet) -> Outcome {
        self.judge_message(direction, packet, false, &Addr::default())
    }

    fn judge_message(&self, direction: usize, packet: &Packet, sound: bool, target: &Addr) -> Outcome {
        let message = Message { sound, target, options: 0 };
        check(&self.lines[..], &self.iface, direction, packet, &message)
    }

    /// Its answer on what the guest sends.
    fn sends(&self, packet: &Packet) -> Outcome {
        self.judge(EGRESS, packet)
    }

    /// Its answer on what the guest is sent.
    fn receives(&self, packet: &Packet) -> Outcome {
        self.judge(INGRESS, packet)
    }
}
