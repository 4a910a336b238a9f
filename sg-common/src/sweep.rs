//! Asking the kernel side to reclaim conntrack slots.
//!
//! Slots are claimed and freed by the kernel side only, so that a sweep and a packet can never disagree: the sweep
//! program looks at each slot again at the moment it frees it. Both requests are run with `BPF_PROG_TEST_RUN`; the
//! program writes the reply over the request.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Buckets that one run may visit.
pub const MAX_BUCKETS: u32 = 4096;

/// Input of the sweep program (`sg_sweep`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SweepRequest {
    /// Table, see [`crate::control::table`].
    pub table: u32,
    /// First bucket to visit; or, with `evict`, the slot to free.
    pub first: u32,
    /// Number of buckets, at most [`MAX_BUCKETS`].
    pub buckets: u32,
    /// Not 0 = free one slot if its life word is still `life`, expired or not; why, as the number of an
    /// [`End`](crate::events::End).
    pub evict: u32,
    /// See `evict`.
    pub life: u64,
    /// Unused.
    pub reserved: u64,
}

/// Output of the sweep program.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SweepReply {
    /// [`MAGIC`], so that a request that came back unanswered is noticed.
    pub magic: u32,
    /// Slots freed.
    pub freed: u32,
    /// Live entries met.
    pub live: u32,
    /// Unused.
    pub reserved: [u32; 5],
}

/// "sgsw", the mark of an answered request.
pub const MAGIC: u32 = 0x7367_7377;

const _: () = assert!(size_of::<SweepRequest>() == size_of::<SweepReply>());
