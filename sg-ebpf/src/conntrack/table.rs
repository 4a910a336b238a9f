//! The tables as maps, and what the verifier is to follow once for each of them.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use sg_common::{
    conntrack::{Entry, Key, Key4, Key6, Life, TableUse, Tags},
    control::table,
};

use super::{admit, sweep};
use crate::{
    MMAPABLE,
    events::{self, Describe},
};

#[btf_map]
static CT4_TAGS: Array<Tags, 49152, MMAPABLE> = Array::new();
#[btf_map]
static CT4: Array<Entry<Key4>, 393216, MMAPABLE> = Array::new();
#[btf_map]
static CT6_TAGS: Array<Tags, 49152, MMAPABLE> = Array::new();
#[btf_map]
static CT6: Array<Entry<Key6>, 393216, MMAPABLE> = Array::new();
#[btf_map]
static FRAG_TAGS: Array<Tags, 3072, MMAPABLE> = Array::new();
#[btf_map]
static FRAG: Array<Entry<Key6>, 24576, MMAPABLE> = Array::new();
#[btf_map]
static TABLE_USE: Array<TableUse, 4096> = Array::new();

/// One of the tables.
pub trait Table {
    /// What its entries are found by.
    type Key: Key + Describe;
    /// Its number, see [`table`].
    const NUMBER: usize;
    /// The tags of a bucket.
    fn tags(bucket: u32) -> Option<*mut Tags>;
    /// A slot.
    fn slot(slot: u32) -> Option<*mut Entry<Self::Key>>;
    /// Directory slot of the interface in a key.
    fn owner(key: &Self::Key) -> u32;
    /// The counter of slots in use that the table counts with.
    fn used(counters: *mut TableUse) -> *mut u64;
    /// Claims a slot in a bucket, or else in another; [`NO_SLOT`] if neither has one that holds nothing or an expired entry.
    fn claim(bucket: u32, other: u32, now: u64) -> u32;
    /// Frees the slot if its life word is still `life`, telling of its end unless that is [`UNTOLD`]; whether it was.
    fn release(slot: u32, life: Life, end: u32) -> bool;
    /// Tells that the entry in a slot is not tracked any more, see [`tell_closed`](super::tell_closed).
    fn closed(slot: u32, life: u64, end: u32) -> u32;
}

/// No slot has this number.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// An end of which nobody is told: of an entry that another CPU has made twice.
pub(super) const UNTOLD: u32 = u32::MAX;

macro_rules! table {
    (
        $(#[$doc:meta])* $name:ident: $key:ty, $number:expr, $tags:ident, $slots:ident, $used:ident,
        [$claim:ident, $release:ident, $closed:ident]
    ) => {
        $(#[$doc])*
        pub struct $name;

        impl Table for $name {
            type Key = $key;
            const NUMBER: usize = $number;

            #[inline(always)]
            fn tags(bucket: u32) -> Option<*mut Tags> {
                $tags.get_ptr_mut(bucket)
            }

            #[inline(always)]
            fn slot(slot: u32) -> Option<*mut Entry<$key>> {
                $slots.get_ptr_mut(slot)
            }

            #[inline(always)]
            fn owner(key: &$key) -> u32 {
                u32::from(key.slot)
            }

            #[inline(always)]
            fn used(counters: *mut TableUse) -> *mut u64 {
                // SAFETY: `counters` is an element of `TABLE_USE`.
                unsafe { &raw mut (*counters).$used }
            }

            #[inline(always)]
            fn claim(bucket: u32, other: u32, now: u64) -> u32 {
                $claim(bucket, other, now)
            }

            #[inline(always)]
            fn release(slot: u32, life: Life, end: u32) -> bool {
                $release(slot, life.0, end) != 0
            }

            #[inline(always)]
            fn closed(slot: u32, life: u64, end: u32) -> u32 {
                $closed(slot, life, end)
            }
        }

        // Global functions: the verifier follows them once, not once for each way that leads to each call. Inlined, these
        // and those below made the programs three times as long to verify.

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $claim(bucket: u32, other: u32, now: u64) -> u32 {
            admit::claim::<$name>(bucket, other, now)
        }
    };
}

table!(
    /// IPv4 connections.
    V4: Key4, table::V4, CT4_TAGS, CT4, connections,
    [sg_claim_v4, sg_release_v4, sg_closed_v4]
);
table!(
    /// IPv6 connections.
    V6: Key6, table::V6, CT6_TAGS, CT6, connections,
    [sg_claim_v6, sg_release_v6, sg_closed_v6]
);
table!(
    /// Fragmented datagrams.
    Fragments: Key6, table::FRAGMENTS, FRAG_TAGS, FRAG, fragments,
    [sg_claim_datagram, release_datagram, nobody_is_told]
);

macro_rules! ends {
    ($name:ident, $release:ident, $closed:ident) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $release(slot: u32, life: u64, end: u32) -> u32 {
            u32::from(sweep::release::<$name>(slot, Life(life), end))
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $closed(slot: u32, life: u64, end: u32) -> u32 {
            if let Some(entry) = $name::slot(slot) {
                events::closed(entry, life, end);
            }
            0
        }
    };
}

ends!(V4, sg_release_v4, sg_closed_v4);
ends!(V6, sg_release_v6, sg_closed_v6);

// Without the end, of which nobody is told: the compiler would not pass an argument that nobody reads ("R3 is not a scalar").
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sg_release_datagram(slot: u32, life: u64) -> u32 {
    u32::from(sweep::release::<Fragments>(slot, Life(life), UNTOLD))
}

#[inline(always)]
fn release_datagram(slot: u32, life: u64, _end: u32) -> u32 {
    sg_release_datagram(slot, life)
}

/// Datagrams are not connections.
#[inline(always)]
const fn nobody_is_told(_slot: u32, _life: u64, _end: u32) -> u32 {
    0
}

/// The counters of directory slot `slot`; 0 = the host's.
#[inline(always)]
pub(super) fn counters(slot: u32) -> Option<*mut TableUse> {
    TABLE_USE.get_ptr_mut(slot)
}
