//! Filtered ports of every kind, each on a bridge: frames go in on one side and are seen, or not, on the other.
//!
//! ```text
//! near end ── port ── bridge ── far end (a tap)
//! ```
//!
//! What the near end sends is received by the port and judged there; what the far end sends is judged when the port
//! transmits it. The bridge looks into nothing, so even frames that no stack would take come out as they went in.

use std::{fmt, io, path::Path, time::Duration};

use sg_common::addr::{EGRESS, INGRESS};

use crate::{
    counters::{Counters, Moved},
    inject::{ARRIVES, Tap, mark},
    netns::Netns,
    packets::{Ethernet, Mac, arp, ethertype},
    tun::{Offload, Tun},
};

/// What the port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// One end of a veth pair.
    Veth,
    /// A tap.
    Tap,
}

/// Whether a guest's interface or the host's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The near end is a guest.
    Guest,
    /// The near end is the network.
    Host,
}

/// The way of a frame through the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Received by it, sent by the near end.
    Receive,
    /// Transmitted by it, sent by the far end.
    Transmit,
}

/// A kind of port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Device.
    pub link: Link,
    /// Word for the receive hook in a policy.
    pub rx_hook: &'static str,
    /// Role.
    pub role: Role,
}

impl Kind {
    /// Every kind of port with this role.
    pub fn all(role: Role) -> Vec<Self> {
        let hooks = ["xdp-native", "xdp-generic", "tcx"];
        let of = |link| hooks.into_iter().map(move |rx_hook| Self { link, rx_hook, role });
        of(Link::Veth).chain(of(Link::Tap)).collect()
    }

    /// What is judged, from the protected side, when a frame goes this way.
    pub fn direction(self, way: Way) -> usize {
        if (self.role == Role::Guest) == (way == Way::Receive) { EGRESS } else { INGRESS }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:?} {:?}, {}", self.role, self.link, self.rx_hook)
    }
}

/// A port with its bridge and both ends.
#[derive(Debug)]
pub struct Port {
    /// Name of the filtered device.
    pub device: String,
    /// What it is.
    pub kind: Kind,
    near: End,
    far: End,
    /// MAC and IPv4 address that the near end may use.
    near_address: (Mac, [u8; 4]),
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// It came out, byte for byte.
    pub passed: bool,
    /// Counters that moved, but for the frame that was sent after it.
    pub moved: Vec<Moved>,
    /// No entry was made.
    pub no_entry: bool,
}

#[derive(Debug)]
enum End {
    Socket(Tap),
    Tap(Tun),
}

impl End {
    fn send(&self, frame: &[u8], offload: Offload) -> io::Result<()> {
        match self {
            Self::Socket(socket) => socket.try_send(frame),
            Self::Tap(tap) => tap.send(frame, offload),
        }
    }

    fn next(&self, patience: Duration) -> Option<Vec<u8>> {
        match self {
            Self::Socket(socket) => socket.next(patience),
            Self::Tap(tap) => tap.receive(patience),
        }
    }

    /// Forgets what has come so far.
    fn drain(&self) {
        match self {
            Self::Socket(socket) => socket.drain(),
            Self::Tap(tap) => while tap.receive(Duration::ZERO).is_some() {},
        }
    }
}

/// A namespace for ports: bridges in it look into no packet, and nothing speaks unasked.
pub fn quiet_host() -> Netns {
    let host = Netns::new();
    host.sysctl("ipv6/conf/default/disable_ipv6", "1");
    for family in ["ip", "ip6", "arp"] {
        let key = format!("bridge/bridge-nf-call-{family}tables");
        if host.enter(|| Path::new("/proc/sys/net").join(&key).exists()) {
            host.sysctl(&key, "0");
        }
    }
    host
}

impl Port {
    /// Makes port number `number` in `host`, for frames of up to `mtu` bytes. `near_address` is what its near end may
    /// send from.
    #[track_caller]
    pub fn new(host: &Netns, number: usize, kind: Kind, mtu: usize, near_address: (Mac, [u8; 4])) -> Self {
        let device = format!("port{number}");
        let near = match kind.link {
            Link::Veth => {
                host.ip(&format!("link add {device} type veth peer name near{number}"));
                host.ip(&format!("link set near{number} mtu {mtu} arp off up"));
                End::Socket(Tap::open(host, &format!("near{number}")))
            }
            Link::Tap => End::Tap(Tun::create(host, &device)),
        };
        let far = End::Tap(Tun::create(host, &format!("far{number}")));
        // A bridge that learns nothing sends every frame everywhere.
        host.ip(&format!("link add bridge{number} type bridge ageing_time 0 mcast_snooping 0"));
        for part in [&device, &format!("far{number}")] {
            host.ip(&format!("link set {part} mtu {mtu} arp off master bridge{number} up"));
        }
        host.ip(&format!("link set bridge{number} mtu {mtu} arp off up"));
        Self { device, kind, near, far, near_address }
    }

    /// Sends a frame one way and sees what becomes of it.
    #[track_caller]
    pub fn put(&self, counters: &Counters, way: Way, frame: &[u8]) -> Seen {
        self.put_as(counters, way, frame, Offload::default())
            .unwrap_or_else(|error| panic!("{}: {} bytes: {error}", self.kind, frame.len()))
    }

    /// The same for a frame with an offload header, if the sender is a tap.
    ///
    /// # Errors
    /// The kernel's, if it does not take the frame.
    #[track_caller]
    pub fn put_as(&self, counters: &Counters, way: Way, frame: &[u8], offload: Offload) -> io::Result<Seen> {
        let (entrance, exit) = self.ends(way);
        exit.drain();
        let before = counters.read();
        entrance.send(frame, offload)?;
        let between = counters.read();
        let passed = self.overtaken(way, |out| out == frame);
        let mut moved = counters.read().since(&before);
        let direction = self.kind.direction(way);
        let follower = moved.iter_mut().find(|one| one.direction == direction && one.reason.is_none());
        follower.expect("the frame that follows passes").count -= 1;
        moved.retain(|one| one.count > 0);
        Ok(Seen { passed, moved, no_entry: between.adds_no_entry_to(&before) })
    }

    /// Sends frames one way, and says which frames come out that were not sent by the test just now.
    #[track_caller]
    pub fn come_out(&self, way: Way, frame: &[u8], offload: Offload) -> io::Result<Vec<Vec<u8>>> {
        let (entrance, exit) = self.ends(way);
        exit.drain();
        entrance.send(frame, offload)?;
        let mut all = Vec::new();
        self.overtaken(way, |out| {
            all.push(out.to_vec());
            false
        });
        Ok(all)
    }

    /// Whether the kernel refuses to take a frame that is sent this way.
    pub fn refuses(&self, way: Way, frame: &[u8]) -> bool {
        self.ends(way).0.send(frame, Offload::default()).is_err()
    }

    fn ends(&self, way: Way) -> (&End, &End) {
        match way {
            Way::Receive => (&self.near, &self.far),
            Way::Transmit => (&self.far, &self.near),
        }
    }

    /// Sends a frame that always passes, and asks `is_it` of each frame that comes out before that one.
    #[track_caller]
    fn overtaken(&self, way: Way, mut is_it: impl FnMut(&[u8]) -> bool) -> bool {
        let (entrance, exit) = self.ends(way);
        let (mark, follower) = self.follower(way);
        entrance.send(&follower, Offload::default()).expect("an ARP message");
        let mut found = false;
        loop {
            let frame = exit.next(ARRIVES).unwrap_or_else(|| panic!("{}: nothing comes out", self.kind));
            if frame.windows(mark.len()).any(|window| window == mark) {
                return found;
            }
            found |= is_it(&frame);
        }
    }

    /// An ARP message, with a mark in what pads its frame.
    fn follower(&self, way: Way) -> ([u8; 8], Vec<u8>) {
        const SOMEBODY: (Mac, [u8; 4]) = (Mac([0x52, 0x54, 0, 0xee, 0xee, 1]), [192, 0, 2, 1]);
        let sender = if way == Way::Receive { self.near_address } else { SOMEBODY };
        let mark = mark();
        let message = [arp(1, sender, (Mac::default(), [192, 0, 2, 2])), mark.to_vec()].concat();
        (mark, Ethernet::new(sender.0, Mac::BROADCAST).frame(ethertype::ARP, &message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direction_is_seen_from_the_protected_side() {
        let kind = |role| Kind { link: Link::Tap, rx_hook: "tcx", role };
        assert_eq!(kind(Role::Guest).direction(Way::Receive), EGRESS);
        assert_eq!(kind(Role::Guest).direction(Way::Transmit), INGRESS);
        assert_eq!(kind(Role::Host).direction(Way::Receive), INGRESS);
        assert_eq!(Kind::all(Role::Host).len(), 6);
    }
}
