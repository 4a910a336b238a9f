//! Crafted packets through a host: in from a peer to a guest, and out again.
//!
//! Guest and peer are silent: what arrives is seen, and nothing is answered but by the test. So a test can tell a
//! connection's life packet by packet.

use std::net::IpAddr;

use crate::{
    agent::Agent,
    clock::Clock,
    inject::{ARRIVES, IS_LOST, Tap, mark},
    packets::{Ethernet, Ip, Transport},
    topology::{Cable, Topology},
};

/// The host's device in front of the guest.
pub const PORT: &str = "tap0";

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The peer's address.
    pub fn peer(self) -> IpAddr {
        self.of(["10.9.1.2", "fd01::2"])
    }

    /// The address of somebody else out there.
    pub fn router(self) -> IpAddr {
        self.of(["10.9.1.9", "fd01::9"])
    }

    /// The guest's address.
    pub fn guest(self) -> IpAddr {
        self.of(["10.9.2.2", "fd02::2"])
    }

    /// The header of a packet to the guest.
    pub fn inward(self) -> Ip {
        Ip::new(self.peer(), self.guest())
    }

    /// The header of a packet from the guest.
    pub fn outward(self) -> Ip {
        Ip::new(self.guest(), self.peer())
    }

    fn of(self, [v4, v6]: [&str; 2]) -> IpAddr {
        let text = if self == Self::V4 { v4 } else { v6 };
        text.parse().expect("an address")
    }
}

/// A guest and a peer, with a host between them that enforces a policy on the guest.
#[derive(Debug)]
pub struct Wire {
    /// The host's agent.
    pub agent: Agent,
    topology: Topology,
    inside: Tap,
    outside: Tap,
}

impl Wire {
    /// Builds it. `groups` is the policy's text from `security_groups:` on, with a group `guest` for the guest.
    #[track_caller]
    pub fn new(groups: &str) -> Self {
        let topology = Topology::new(&[
            Cable::new("guest", PORT).address("10.9.2.2/24").address("fd02::2/64").silent(),
            Cable::new("peer", "up0").address("10.9.1.2/24").address("fd01::2/64").silent(),
        ]);
        let agent = Agent::new(&topology.host);
        agent.apply(&policy(groups));
        let end = |name| Tap::open(&topology.machine(name).ns, "eth0");
        Self { inside: end("guest"), outside: end("peer"), agent, topology }
    }

    /// Applies another policy; see [`Self::new`].
    #[track_caller]
    pub fn apply(&self, groups: &str) {
        self.agent.apply(&policy(groups));
    }

    /// The host's clock.
    #[track_caller]
    pub fn clock(&self) -> Clock {
        Clock::of(&self.topology.host)
    }

    /// Lets so much time pass that no connection is left.
    #[track_caller]
    pub fn forget(&self) {
        self.clock().advance_seconds(1_000);
        assert_eq!(self.agent.status().conntrack.entries, 0, "connections that outlive the longest timeout");
    }

    /// Does the same for both families, one after the other.
    #[track_caller]
    pub fn for_both(groups: &str, work: impl Fn(&Self, Family)) {
        let wire = Self::new(groups);
        for family in Family::BOTH {
            work(&wire, family);
            wire.forget();
        }
    }

    /// Sends a packet to the guest, which gets it.
    #[track_caller]
    pub fn enters(&self, ip: &Ip, transport: &Transport) {
        let (datagram, mark) = marked(ip, transport);
        assert!(self.get_in(&datagram, mark, true), "the packet was to enter");
    }

    /// Sends a packet from the guest, and the peer gets it.
    #[track_caller]
    pub fn leaves(&self, ip: &Ip, transport: &Transport) {
        let (datagram, mark) = marked(ip, transport);
        assert!(self.get_out(&datagram, mark, true), "the packet was to leave");
    }

    /// Sends a packet to the guest that is dropped for `reason`, makes no entry and moves one counter.
    #[track_caller]
    pub fn is_kept_out(&self, reason: &str, ip: &Ip, transport: &Transport) {
        let (datagram, mark) = marked(ip, transport);
        self.stays_out(reason, &datagram, mark);
    }

    /// The same for `datagram`. `mark` is some eight bytes of it.
    #[track_caller]
    pub fn stays_out(&self, reason: &str, datagram: &[u8], mark: [u8; 8]) {
        self.agent.expect_drop(PORT, "ingress", reason, || {
            assert!(!self.get_in(datagram, mark, false), "the packet was to be kept out");
        });
    }

    /// Sends a packet from the guest that is dropped for `reason`, makes no entry and moves one counter.
    #[track_caller]
    pub fn is_kept_in(&self, reason: &str, ip: &Ip, transport: &Transport) {
        let (datagram, mark) = marked(ip, transport);
        self.stays_in(reason, &datagram, mark);
    }

    /// The same for `datagram`. `mark` is some eight bytes of it.
    #[track_caller]
    pub fn stays_in(&self, reason: &str, datagram: &[u8], mark: [u8; 8]) {
        self.agent.expect_drop(PORT, "egress", reason, || {
            assert!(!self.get_out(datagram, mark, false), "the packet was to be kept in");
        });
    }

    /// Sends a packet to the guest that does not arrive, whatever is counted.
    #[track_caller]
    pub fn is_lost(&self, ip: &Ip, transport: &Transport) {
        let (datagram, mark) = marked(ip, transport);
        assert!(!self.get_in(&datagram, mark, false), "the packet was to be lost");
    }

    /// Sends `datagram` to the guest; whether it gets it. `mark` is some eight bytes of it.
    #[track_caller]
    pub fn get_in(&self, datagram: &[u8], mark: [u8; 8], expected: bool) -> bool {
        self.send_in(datagram);
        self.inside.receive(mark, if expected { ARRIVES } else { IS_LOST }).is_some()
    }

    /// Sends `datagram` to the guest and does not look what becomes of it.
    #[track_caller]
    pub fn send_in(&self, datagram: &[u8]) {
        let peer = self.topology.machine("peer");
        self.outside.send(&Ethernet::new(peer.mac, peer.gateway_mac).datagram(datagram));
    }

    /// Sends `datagram` from the guest; whether the peer gets it. `mark` is some eight bytes of it.
    #[track_caller]
    pub fn get_out(&self, datagram: &[u8], mark: [u8; 8], expected: bool) -> bool {
        let guest = self.topology.machine("guest");
        self.inside.send(&Ethernet::new(guest.mac, guest.gateway_mac).datagram(datagram));
        self.outside.receive(mark, if expected { ARRIVES } else { IS_LOST }).is_some()
    }

    /// State and remaining seconds of the only entry.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[track_caller]
    pub fn entry(&self) -> (String, u64) {
        let entries = self.agent.connections();
        match entries.as_slice() {
            [entry] => (entry.state.clone(), entry.expires_in_seconds.round() as u64),
            entries => panic!("one entry was expected: {entries:?}"),
        }
    }
}

fn policy(groups: &str) -> String {
    format!(
        "version: 1\n{groups}\ninterfaces:\n  \
         - {{name: {PORT}, role: guest, groups: [guest], addresses: [10.9.2.2, \"fd02::2\"]}}\n"
    )
}

fn marked(ip: &Ip, transport: &Transport) -> (Vec<u8>, [u8; 8]) {
    let mark = mark();
    (ip.carry(&transport.clone().payload(&mark)), mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_binds_the_guest() {
        let policy = crate::oracle::policy(&policy("security_groups: {guest: {rules: []}}"));
        assert_eq!(policy.interfaces[0].addresses, [Family::V4.guest(), Family::V6.guest()]);
    }
}
