//! Giving slots back.

use aya_ebpf::helpers::generated::bpf_loop;
use sg_common::{
    conntrack::{Entry, Kind, Life},
    control::Control,
    limits::BUCKET_SLOTS,
    sweep::SweepReply,
};

use super::{Fragments, Table, V4, V6, atomic, count, counters, life_of, read_life, set_tag, swap_life};
use crate::scene;

/// What a run over buckets carries along.
#[repr(C)]
struct Run {
    now: u64,
    first: u32,
    freed: u32,
    live: u32,
    pad: u32,
}

/// Frees the slot if its life word is still `life`.
#[inline(always)]
pub(super) fn release<T: Table>(slot: u32, entry: *mut Entry<T::Key>, life: Life) -> bool {
    let claim = life.claim();
    if !swap_life(entry, life, claim) {
        return false;
    }
    // SAFETY: the slot is claimed: nobody else writes the key.
    let owner = T::owner(unsafe { &(*entry).key });
    set_tag::<T>(slot, 0);
    life_of(entry).set(claim.free().0);
    count::<T>(owner, 1u64.wrapping_neg());
    true
}

/// Frees one slot if its life word is still `life`.
#[inline(always)]
pub fn evict<T: Table>(slot: u32, life: Life) -> bool {
    match T::slot(slot) {
        Some(entry) if life.kind() == Kind::Live => release::<T>(slot, entry, life),
        _ => false,
    }
}

/// Frees the expired slots of `buckets` buckets from `first` on.
#[inline(always)]
pub fn sweep<T: Table>(control: &Control, first: u32, buckets: u32, now: u64) -> SweepReply {
    // Zeros that the verifier does not know: from known ones it would count along and never see a state again ("BPF
    // program is too large. Processed 1000001 insn").
    let zero = control.reserved[0];
    let mut run = Run { now, first, freed: zero, live: zero, pad: 0 };
    let each: unsafe extern "C" fn(u32, *mut Run) -> i64 = sweep_bucket::<T>;
    // SAFETY: the callback has the signature that bpf_loop calls, and `run` outlives the call.
    unsafe { bpf_loop(buckets, each as *mut _, (&raw mut run).cast(), 0) };
    SweepReply { freed: run.freed, live: run.live, ..SweepReply::default() }
}

unsafe extern "C" fn sweep_bucket<T: Table>(index: u32, run: *mut Run) -> i64 {
    // SAFETY: bpf_loop hands over the pointer that `sweep` gave it.
    let run = unsafe { &mut *run };
    let bucket = run.first.wrapping_add(index);
    for lane in 0..BUCKET_SLOTS as u32 {
        let slot = bucket.wrapping_mul(BUCKET_SLOTS as u32) + lane;
        let Some(entry) = T::slot(slot) else { return 1 };
        let life = read_life(entry);
        if life.kind() != Kind::Live {
            continue;
        }
        if life.is_live_at(run.now) {
            run.live += 1;
        } else if release::<T>(slot, entry, life) {
            run.freed += 1;
        }
    }
    0
}

/// Searches the whole table for expired slots because it, or the share of the interface in directory slot `slot`, is
/// full: what the agent's sweeps normally make needless. The number of slots freed. At most once a second for each
/// interface, so that a flood against a table that is full of live entries cannot buy a search with every packet.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sg_reclaim(table: u32, slot: u32, now: u64) -> u32 {
    let (Some(control), Some(own)) = (scene::control(), counters(slot)) else { return 0 };
    // SAFETY: `own` points into an array map.
    let last = atomic(unsafe { &raw mut (*own).reclaimed });
    let before = last.load();
    let due = now.wrapping_sub(before) >= u64::from(control.hz);
    if !due || !last.replace(before, now) {
        return 0;
    }
    if table == Fragments::NUMBER as u32 {
        return sweep::<Fragments>(control, 0, control.buckets[Fragments::NUMBER], now).freed;
    }
    // Both families share one count.
    let v4 = sweep::<V4>(control, 0, control.buckets[V4::NUMBER], now).freed;
    let v6 = sweep::<V6>(control, 0, control.buckets[V6::NUMBER], now).freed;
    v4 + v6
}
