//! What the kernel side tells whoever listens: packets dropped or audited, connections opened and closed.
//!
//! Records go through a ring buffer that has one reader. Nothing is told while nobody listens
//! ([`Control::is_heard`](crate::control::Control::is_heard)), and to a listener no more than it has asked for in its
//! [`Audience`]; what it is not told is counted in [`Told`]. Programs and listener may be of different builds: a kind that
//! the programs do not know is never told, one that the listener does not know it does not ask for and passes over. So
//! another [`Kind`] is no other ABI, as long as [`Told`] has room for it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::addr::Addr;

/// Size of the ring buffer in bytes, a power of two: 4096 records, so that a reader may be late by a moment.
pub const RING_BYTES: usize = 1 << 19;

/// Ticks for which [`Audience::budget`] lasts, as a power of two: 256 ms at 1000 Hz.
pub const WINDOW_SHIFT: u32 = 8;

/// What a record is about. Its number is [`Event::kind`], and an index of [`Audience::budget`] and of [`Told`].
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A packet was dropped.
    Dropped,
    /// A connection was opened.
    Opened,
    /// A connection is no longer tracked.
    Closed,
    /// The rules in force let a packet pass that an audit group would have dropped.
    Audited,
}

impl Kind {
    /// Every kind, at the index of its number.
    pub const ALL: [Self; 4] = [Self::Dropped, Self::Opened, Self::Closed, Self::Audited];

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its bit in [`Audience::kinds`].
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Why a connection is no longer tracked.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Its time was over, or a SYN opened it anew while it was closing: its life word says whether it was closed by FIN
    /// or RST.
    Over,
    /// Somebody has ended it by hand.
    Flushed,
    /// A change of policy has cut it.
    Cut,
    /// Its interface is gone, or what admitted it is not tracked any more.
    Gone,
}

impl End {
    /// Every end, at the index of its number.
    pub const ALL: [Self; 4] = [Self::Over, Self::Flushed, Self::Cut, Self::Gone];

    /// The end with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// One record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    /// When: the kernel side's clock, in ticks.
    pub tick: u64,
    /// Address of the protected side; zero = there is none (no IP packet, or one that could not be read).
    pub local: Addr,
    /// Address of the other side; likewise.
    pub remote: Addr,
    /// Port of the protected side in network order; the identifier of an ICMP query.
    pub local_port: [u8; 2],
    /// Port of the other side.
    pub remote_port: [u8; 2],
    /// Directory slot of the interface; 0 = it is not known.
    pub slot: u32,
    /// Of a drop, done or audited: index of the device that the packet was on.
    pub ifindex: u32,
    /// Bytes of that packet as the counters count them.
    pub length: u32,
    /// Rule counter of the rule that decided or that admitted the connection; of an audited packet that of the audit
    /// policy's answer.
    pub counter: u32,
    /// Generation that the packet was judged by; of a connection the one it was last judged under.
    pub generation: u32,
    /// Unused.
    pub reserved: u32,
    /// [`Kind`].
    pub kind: u8,
    /// Of a packet: [`INGRESS`](crate::addr::INGRESS) or [`EGRESS`](crate::addr::EGRESS).
    pub direction: u8,
    /// [`Reason`](crate::verdict::Reason) of a drop, done or audited; [`End`] of a connection.
    pub why: u8,
    /// IP protocol.
    pub protocol: u8,
    /// Of an ICMP packet its type and code.
    pub icmp: [u8; 2],
    /// Source MAC address of a packet, where it was read.
    pub mac: [u8; 6],
    /// Of a closed connection: its [`Life`](crate::conntrack::Life) word.
    pub life: u64,
    /// Of a closed connection: tick of its first packet.
    pub created: u64,
    /// Of a closed connection: its bytes, `[from the opener, to the opener]`.
    pub bytes: [u64; 2],
    /// Of a closed connection: its packets, likewise.
    pub packets: [u32; 2],
}

// With the header of the ring buffer two cache lines.
const _: () = assert!(size_of::<Event>() == 120);

/// What the listener wants to be told.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Audience {
    /// Which kinds, see [`Kind::bit`].
    pub kinds: u32,
    /// Of the interface in this directory slot only; 0 = of all.
    pub slot: u32,
    /// Every how many-th of a kind; 0 and 1 = every one.
    pub sample: u32,
    /// How many records of each kind a CPU may write in `2^WINDOW_SHIFT` ticks.
    pub budget: u32,
}

/// What a CPU had to tell of each kind, and what of it was told. Counts since the tables were made.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Told(pub [ToldKind; 4]);

/// Of one kind.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ToldKind {
    /// What the listener of that moment wanted to know of.
    pub seen: u64,
    /// What it was told.
    pub told: u64,
    /// Number of the window of ticks that `used` counts in.
    pub window: u64,
    /// Records written in it.
    pub used: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!((kind as usize, Kind::from_number(number as u8)), (number, Some(kind)));
        }
        for (number, end) in End::ALL.into_iter().enumerate() {
            assert_eq!((end as usize, End::from_number(number as u8)), (number, Some(end)));
        }
        assert!(Kind::ALL.len() <= Told::default().0.len());
        assert_eq!((Kind::from_number(4), End::from_number(4)), (None, None));
    }
}
