//! One of the two routers, with its cables.
//!
//! It forwards whatever comes from one side to the other, whatever the destination address, and says nothing itself. So
//! that a test need not wait for what does not come, each shot is followed by a datagram that always passes (the
//! [`FENCE`] is its other end): what has not come out before it never will.

use std::time::Duration;

use sg_agent::policy::model::{Direction, Interface};

use super::{ETHERNET, INSIDE, OUTSIDE, Shot, ethernet};
use crate::{
    inject::{Tap, mark},
    netns::Netns,
    nft,
    packets::{Ip, Mac, Transport, ethertype},
    sequence::PEERS,
    topology::{Cable, Topology},
    wire::Family,
};

/// The other end of datagrams that always pass, if the policy has [`FENCE_GROUP`].
pub const FENCE: [u8; 4] = [10, 9, 250, 1];

/// A group that lets them pass, and says nothing else. No other rule may be of its priority.
pub const FENCE_GROUP: &str = "  fence:
    stateful: false
    default_policy: {ingress: allow, egress: allow}
    rules:
      - {direction: ingress, remote: 10.9.250.1, priority: 1}
      - {direction: egress, remote: 10.9.250.1, priority: 1}
";

/// No ICMP errors, no group management. A rule set of nothing else tracks no connections.
const SILENT: &str = "table inet silent {
  chain output { type filter hook output priority filter; policy drop; }
}
";

/// How long the machine may need for one datagram.
const PATIENCE: Duration = Duration::from_secs(20);

/// A router.
#[derive(Debug)]
pub struct Router {
    /// Its namespace.
    pub host: Netns,
    inside: Tap,
    outside: Tap,
    // Holds the namespaces of guest and peer.
    _topology: Topology,
}

impl Router {
    /// Builds it.
    pub fn new() -> Self {
        let topology = Topology::new(&[
            Cable::new("guest", INSIDE).address("10.9.2.2/32").address("fd02::2/128").silent(),
            PEERS.iter().fold(Cable::new("peer", OUTSIDE).silent(), |cable, (v4, v6)| {
                cable.address(&format!("{v4}/32")).address(&format!("{v6}/128"))
            }),
        ]);
        let host = topology.host.clone();
        nft::load(&host, SILENT).expect("a router that says nothing");
        for (from, to, table, v4, v6) in
            [(INSIDE, OUTSIDE, 100, PEERS[0].0, PEERS[0].1), (OUTSIDE, INSIDE, 101, "10.9.2.2", "fd02::2")]
        {
            host.ip(&format!(
                "rule add iif {from} lookup {table}
                 -6 rule add iif {from} lookup {table}
                 route add default via {v4} dev {to} onlink table {table}
                 -6 route add default via {v6} dev {to} onlink table {table}"
            ));
        }
        for (name, direction) in [("guest", Direction::Egress), ("peer", Direction::Ingress)] {
            let (machine, expected) = (topology.machine(name), ethernet(direction));
            assert_eq!((machine.mac, machine.gateway_mac), (expected.source, expected.destination));
        }
        let end = |name| Tap::open(&topology.machine(name).ns, "eth0");
        Self { host, inside: end("guest"), outside: end("peer"), _topology: topology }
    }

    /// Sends the frames of a shot; returns the datagrams that come out on the other side, [`normal`].
    ///
    /// # Panics
    /// If not even the fence comes out.
    #[track_caller]
    pub fn fire(&self, shot: &Shot, fence: &Fence) -> Vec<Vec<u8>> {
        let (near, far) = match shot.direction {
            Direction::Ingress => (&self.outside, &self.inside),
            Direction::Egress => (&self.inside, &self.outside),
        };
        for frame in shot.frames.iter().chain([&fence.frame]) {
            near.send(frame);
        }
        let mut out = Vec::new();
        loop {
            let frame = far.next(PATIENCE).expect("the datagram that always passes");
            if frame.windows(fence.mark.len()).any(|window| window == fence.mark) {
                return out;
            }
            out.extend(normal(&frame));
        }
    }
}

/// A datagram that always passes.
pub struct Fence {
    frame: Vec<u8>,
    mark: [u8; 8],
}

impl Fence {
    /// One from or to the instance at an interface whose policy lets it pass.
    pub fn of(interface: &Interface, direction: Direction) -> Self {
        let own = interface.addresses.iter().find(|address| address.is_ipv4());
        let (own, other, mark) = (own.copied().unwrap_or(Family::V4.guest()), FENCE.into(), mark());
        let ip = if direction == Direction::Ingress { Ip::new(other, own) } else { Ip::new(own, other) };
        let mut ethernet = ethernet(direction);
        if direction == Direction::Egress {
            ethernet.source = interface.mac.map_or(ethernet.source, Mac);
        }
        Self { frame: ethernet.ip(&ip, &Transport::udp(9, 9).payload(&mark)), mark }
    }
}

/// The datagram in a frame without what a router changes: time to live and header checksum are 0. `None` if it is none.
pub fn normal(frame: &[u8]) -> Option<Vec<u8>> {
    let (header, datagram) = frame.split_at_checked(ETHERNET)?;
    let mut datagram = datagram.to_vec();
    match u16::from_be_bytes([header[12], header[13]]) {
        ethertype::IPV4 => {
            *datagram.get_mut(8)? = 0;
            datagram.get_mut(10..12)?.fill(0);
        }
        ethertype::IPV6 => *datagram.get_mut(7)? = 0,
        _ => return None,
    }
    Some(datagram)
}
