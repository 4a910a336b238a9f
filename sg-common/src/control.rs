//! The generation word and the settings.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The single element of the control map: one cache line that every packet reads.
///
/// `generation` and `half` are one aligned 64-bit word, read and written at once: a packet that has read it sees one
/// whole policy, whatever is being written meanwhile.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Control {
    /// Low 32 bits: the generation in force. High 32 bits: which half (0 or 1) of directory and settings it reads.
    /// From `deadline` on `fallback` stands for it.
    pub word: u64,
    /// Secret of the conntrack hash, drawn when the tables are made.
    pub seed: u64,
    /// Added to the kernel's tick count: the clock that tests move. 0 in production.
    pub clock_offset: u64,
    /// Buckets of the IPv4 and IPv6 conntrack tables and of the fragment table.
    pub buckets: [u32; 3],
    /// Kernel ticks per second, as the agent found it. The kernel side never divides by it.
    pub hz: u32,
    /// Interfaces per half of the directory.
    pub interfaces: u32,
    /// Until when somebody listens to [`events`](crate::events), see [`Control::is_heard`]; 0 = nobody does.
    pub listening: u32,
    /// Tick from which on a change that nobody has confirmed is taken back; 0 = never.
    pub deadline: u64,
    /// The control word before that change.
    pub fallback: u64,
}

const _: () = assert!(size_of::<Control>() == 64);

impl Control {
    /// The control word of `generation`, reading `half`.
    pub const fn word_of(generation: u32, half: u32) -> u64 {
        (half as u64) << 32 | generation as u64
    }

    /// Generation in a control word.
    #[inline(always)]
    pub const fn generation(word: u64) -> u32 {
        word as u32
    }

    /// The control word that packets are judged by at tick `now`.
    #[inline(always)]
    pub const fn in_force(&self, now: u64) -> u64 {
        if self.is_taken_back(now) { self.fallback } else { self.word }
    }

    /// Whether the time to confirm the change in `word` is over at tick `now`.
    #[inline(always)]
    pub const fn is_taken_back(&self, now: u64) -> bool {
        self.deadline != 0 && now >= self.deadline
    }

    /// Whether somebody listens at tick `now`. A listener says so for a while ahead, again and again: one that was
    /// killed is soon forgotten.
    #[inline(always)]
    pub const fn is_heard(&self, now: u64) -> bool {
        self.listening as u64 > now >> LISTENING_SHIFT
    }

    /// What [`Control::listening`] says of somebody who listens until tick `until`, or a little longer.
    pub const fn listening_until(until: u64) -> u32 {
        let units = (until >> LISTENING_SHIFT) + 1;
        if units > u32::MAX as u64 { u32::MAX } else { units as u32 }
    }

    /// Half in a control word.
    #[inline(always)]
    pub const fn half(word: u64) -> u32 {
        (word >> 32) as u32 & 1
    }
}

/// [`Control::listening`] counts in units of so many ticks (as a power of two): 32 bits of them are 34 years at 1000 Hz.
const LISTENING_SHIFT: u32 = 8;

/// Which conntrack table an index of [`Control::buckets`] and of the table counters means.
pub mod table {
    /// IPv4 connections.
    pub const V4: usize = 0;
    /// IPv6 connections.
    pub const V6: usize = 1;
    /// Fragmented datagrams.
    pub const FRAGMENTS: usize = 2;
}

/// Settings of one half. Times are in kernel ticks.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Settings {
    /// Timeouts of connections and of fragments.
    pub timeouts: Timeouts,
    /// Connections on the host.
    pub max_entries: u32,
    /// Connections of one interface.
    pub max_per_interface: u32,
    /// Fragmented datagrams remembered on the host.
    pub max_fragments: u32,
    /// Fragmented datagrams remembered for one interface.
    pub max_fragments_per_interface: u32,
    /// [`setting`] bits.
    pub flags: u32,
    /// Unused.
    pub reserved: [u32; 5],
}

const _: () = assert!(size_of::<Settings>() == 64);

/// Bits of [`Settings::flags`].
pub mod setting {
    /// `tcp_pickup: loose`.
    pub const TCP_LOOSE: u32 = 1;
}

/// How long an entry lives after its last packet, in kernel ticks.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Timeouts {
    /// TCP established.
    pub established: u32,
    /// TCP after a FIN or a RST.
    pub fin_wait: u32,
    /// ICMP and ICMPv6 queries.
    pub icmp: u32,
    /// Other protocols, both directions seen.
    pub bidirectional: u32,
    /// One direction seen; TCP before it is established.
    pub unidirectional: u32,
    /// A fragmented datagram, after its first fragment.
    pub fragment: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_falls_back_at_its_deadline() {
        let [word, fallback] = [Control::word_of(7, 1), Control::word_of(6, 0)];
        let control = Control { word, fallback, deadline: 100, ..Control::default() };
        assert_eq!([0, 99, 100, u64::MAX].map(|now| control.in_force(now)), [word, word, fallback, fallback]);
        assert_eq!(Control { deadline: 0, ..control }.in_force(u64::MAX), word);
    }

    #[test]
    fn a_listener_is_heard_until_a_little_after_its_time() {
        let heard = |until, now| {
            Control { listening: Control::listening_until(until), ..Control::default() }.is_heard(now)
        };
        assert!(heard(1000, 0) && heard(1000, 1000) && !heard(1000, 1256));
        assert!(!Control::default().is_heard(0));
    }
}
