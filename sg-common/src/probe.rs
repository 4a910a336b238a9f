//! Asking the loaded program about a packet.
//!
//! The probe program is the packet path itself, compiled a second time with everything that leaves a trace switched
//! off. Its input is a [`ProbeRequest`] followed by an Ethernet frame; it writes a [`ProbeReply`] over the request.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What stands before the frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ProbeRequest {
    /// Interface that the packet is on.
    pub ifindex: u32,
    /// 0 = the device received it, 1 = the device is to transmit it.
    pub transmit: u32,
    /// [`probe_flag`] bits.
    pub flags: u32,
    /// VLAN tag in metadata (0x10000 | TCI), or 0.
    pub vlan: u32,
    /// Unused; makes room for the reply.
    pub reserved: [u32; 8],
}

/// Bits of [`ProbeRequest::flags`].
pub mod probe_flag {
    /// Judge by the rules even if the packet belongs to a tracked connection.
    pub const IGNORE_CONNTRACK: u32 = 1;
}

/// The answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ProbeReply {
    /// [`probe::MAGIC`](MAGIC), so that a request that came back unanswered is noticed.
    pub magic: u32,
    /// 1 = the packet passes.
    pub allowed: u32,
    /// [`Stage`](crate::verdict::Stage) if it passes, [`Reason`](crate::verdict::Reason) if not.
    pub why: u32,
    /// The [`Decision`](crate::heap::Decision) taken or carried by the connection; `u32::MAX` = none.
    pub decision: u32,
    /// Rule counter of that decision; `u32::MAX` = none.
    pub counter: u32,
    /// Generation that judged.
    pub generation: u32,
    /// Directory slot of the interface.
    pub slot: u32,
    /// Direction: 0 = ingress, 1 = egress.
    pub direction: u32,
    /// The clock, in ticks (the tests' offset included).
    pub now: u64,
    /// `CLOCK_MONOTONIC` at the same moment, in nanoseconds.
    pub monotonic: u64,
}

/// "sgpr", the mark of an answered probe.
pub const MAGIC: u32 = 0x7367_7072;

const _: () = assert!(size_of::<ProbeRequest>() == size_of::<ProbeReply>());
