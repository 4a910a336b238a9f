//! Giving slots back.

use aya_ebpf::helpers::generated::bpf_loop;
use sg_common::{
    conntrack::{Kind, Life, TableUse},
    control::Control,
    events::End,
    limits::{BUCKET_SLOTS, SEARCHED_PER_TICK},
    sweep::SweepReply,
};

use super::{
    Fragments, Table, UNTOLD, V4, V6, atomic, count, counters, evict, life_of, read_life, set_tag, swap_life,
};
use crate::{atomic::Atomic, scene};

/// What a run over buckets carries along.
#[repr(C)]
struct Run {
    now: u64,
    first: u32,
    freed: u32,
    live: u32,
    pad: u32,
}

/// See [`Table::release`].
#[inline(always)]
pub(super) fn release<T: Table>(slot: u32, life: Life, end: u32) -> bool {
    let Some(entry) = T::slot(slot) else { return false };
    let claim = life.claim();
    if life.kind() != Kind::Live || !swap_life(entry, life, claim) {
        return false;
    }
    // SAFETY: the slot is claimed: nobody else writes the key.
    let owner = T::owner(unsafe { &(*entry).key });
    if end != UNTOLD {
        T::closed(slot, life.0, end);
    }
    set_tag::<T>(slot, 0);
    life_of(entry).set(claim.free().0);
    count::<T>(owner, 1u64.wrapping_neg());
    true
}

/// Frees the expired slots of `buckets` buckets from `first` on.
#[inline(always)]
pub fn sweep<T: Table>(control: &Control, first: u32, buckets: u32, now: u64) -> SweepReply {
    // Counted from a number that the verifier does not know: from zero it would count along and never see a state again
    // ("BPF program is too large. Processed 1000001 insn").
    let start = control.hz;
    let mut run = Run { now, first, freed: start, live: start, pad: 0 };
    let each: unsafe extern "C" fn(u32, *mut Run) -> i64 = sweep_bucket::<T>;
    // SAFETY: the callback has the signature that bpf_loop calls, and `run` outlives the call.
    unsafe { bpf_loop(buckets, each as *mut _, (&raw mut run).cast(), 0) };
    let [freed, live] = [run.freed, run.live].map(|count| count.wrapping_sub(start));
    SweepReply { freed, live, ..SweepReply::default() }
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
        } else if evict::<T>(slot, life, End::Over) {
            run.freed += 1;
        }
    }
    0
}

/// Searches for expired slots because the table, or the share of the interface in directory slot `slot`, is full: what
/// the agent's sweeps normally make needless. The number of slots freed.
///
/// At most once a second for each interface, so that a flood against a table that is full of live entries cannot buy a
/// search with every packet; and no more than [`SEARCHED_PER_TICK`] buckets on the whole host, so that floods on many
/// interfaces cannot either. What was not spent is saved up for one search of the whole table. A search goes on where
/// the one before ended, whoever asked for that: it frees everybody's slots.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sg_reclaim(table: u32, slot: u32, now: u64) -> u32 {
    let is_fragments = table == Fragments::NUMBER as u32;
    let run = allowed_run(is_fragments, slot, now);
    let (first, budget) = (run as u32, (run >> 32) as u32);
    if budget == 0 {
        return 0;
    }
    if is_fragments {
        return round::<Fragments>(first, budget, now);
    }
    round::<V4>(first, budget, now) + round::<V6>(first, budget, now)
}

/// How many buckets may be searched (high half) and from which on (low half).
// A function of its own: inlined, it takes the searches past the 512-byte stack.
#[inline(never)]
fn allowed_run(is_fragments: bool, slot: u32, now: u64) -> u64 {
    let (Some(control), Some(own), Some(host)) = (scene::control(), counters(slot), counters(0)) else {
        return 0;
    };
    let last = searched(own, is_fragments);
    let before = last.load();
    let due = now.wrapping_sub(before) >= u64::from(control.hz);
    if !due || !last.replace(before, now) {
        return 0;
    }
    // Both families share one count, and their tables are of one size.
    let buckets = if is_fragments { control.buckets[Fragments::NUMBER] } else { control.buckets[V4::NUMBER] };
    let budget = afford(searched(host, is_fragments), buckets, now);
    if budget == 0 {
        return 0;
    }
    u64::from(budget) << 32 | u64::from(advance_cursor(host, is_fragments, budget, buckets))
}

/// When slots were last searched for: by an interface a tick, by the host the tick up to which its allowance is spent.
#[inline(always)]
fn searched(counters: *mut TableUse, is_fragments: bool) -> Atomic {
    // SAFETY: `counters` points into an array map; the index is 0 or 1.
    atomic(unsafe {
        let words = &raw mut (*counters).searched;
        if is_fragments { &raw mut (*words)[1] } else { &raw mut (*words)[0] }
    })
}

/// How many of `buckets` buckets may be searched now. `spent` moves on by the ticks that this takes.
#[inline(always)]
fn afford(spent: Atomic, buckets: u32, now: u64) -> u32 {
    let whole = u64::from(buckets).div_ceil(SEARCHED_PER_TICK);
    let before = spent.load();
    let earliest = now.saturating_sub(whole);
    let start = if before > earliest { before } else { earliest };
    let ticks = now.saturating_sub(start);
    if ticks == 0 || !spent.replace(before, now) {
        return 0;
    }
    let budget = ticks * SEARCHED_PER_TICK;
    if budget < u64::from(buckets) { budget as u32 } else { buckets }
}

/// Where a search of `budget` buckets begins; the next begins where it ends.
#[inline(always)]
fn advance_cursor(host: *mut TableUse, is_fragments: bool, budget: u32, buckets: u32) -> u32 {
    // SAFETY: `host` points into an array map; the index is 0 or 1.
    let cursor = atomic(unsafe {
        let words = &raw mut (*host).cursor;
        if is_fragments { &raw mut (*words)[1] } else { &raw mut (*words)[0] }
    });
    (cursor.fetch_add(u64::from(budget)) % u64::from(buckets)) as u32
}

/// Frees the expired slots of `budget` buckets from `first` on; after the last bucket comes the first.
// A function of its own: it is needed three times.
#[inline(never)]
fn round<T: Table>(first: u32, budget: u32, now: u64) -> u32 {
    let Some(control) = scene::control() else { return 0 };
    let to_end = control.buckets[T::NUMBER].wrapping_sub(first);
    if budget <= to_end {
        return sweep::<T>(control, first, budget, now).freed;
    }
    sweep::<T>(control, first, to_end, now).freed + sweep::<T>(control, 0, budget - to_end, now).freed
}
