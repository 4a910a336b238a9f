//! Making an entry.

use aya_ebpf::helpers::generated::bpf_loop;
use sg_common::{
    conntrack::{Entry, Kind, Life, Place, State},
    events::End,
    limits::BUCKET_SLOTS,
    verdict::Reason,
};

use super::{
    Found, NO_SLOT, Table, UNTOLD, atomic, count, counters, life_of, read_life, set_tag, swap_life,
    tell_closed,
};
use crate::scene::Scene;

/// How many entries there may be, and what to say when there are.
#[derive(Clone, Copy)]
pub struct Limits {
    /// On the host.
    pub host: u32,
    /// Of one interface.
    pub interface: u32,
    /// Reason when the host's are used up.
    pub host_full: Reason,
    /// Reason when the interface's are used up.
    pub interface_full: Reason,
}

/// What a new entry says.
pub struct Newcomer<'a, K> {
    /// Its key.
    pub key: &'a K,
    /// Where the key belongs.
    pub place: &'a Place,
    /// Its state.
    pub state: State,
    /// Tick at which it expires.
    pub expires: u64,
    /// Rule counter of the rule that admits it.
    pub counter: u32,
}

/// The entry of a flow that was admitted.
pub struct Admitted<K> {
    /// The entry.
    pub found: Found<K>,
    /// Whether the flow had none before: of CPUs that admit a flow at once one is told so.
    pub is_new: bool,
}

/// Makes an entry, or finds the one that another CPU has just made for the same flow.
#[inline(always)]
pub fn admit<T: Table>(
    scene: &Scene,
    new: &Newcomer<T::Key>,
    limits: &Limits,
) -> Result<Admitted<T::Key>, Reason> {
    if let Some(reason) = reserve::<T>(scene, limits) {
        return Err(reason);
    }
    let Some(mine) = settle::<T>(scene, new) else {
        count::<T>(scene.slot, 1u64.wrapping_neg());
        return Err(limits.host_full);
    };
    if !has_namesakes::<T>(new.place, mine.slot) {
        return Ok(Admitted { found: mine, is_new: true });
    }
    let rivals = rivals::<T>(new.key, new.place, mine.slot, scene.now);
    let (earliest, latest) = (rivals as u32, (rivals >> 32) as u32);
    match T::slot(earliest) {
        Some(entry) if earliest != mine.slot => {
            // If the earlier one has taken ours back meanwhile, it takes us for the one that was new.
            let is_new = !T::release(mine.slot, mine.life, UNTOLD);
            Ok(Admitted { found: Found { entry, slot: earliest, life: read_life(entry) }, is_new })
        }
        // Whoever is taken back has counted the flow, or will not.
        _ => {
            let life = Life(life_in::<T>(new.key, latest, scene.now));
            let is_new = latest == mine.slot || !T::release(latest, life, UNTOLD);
            Ok(Admitted { found: mine, is_new })
        }
    }
}

/// Looks for other live entries of `key` than that in slot `mine`: slot of the first that look-ups find (low half) and of the
/// last (high half), of which the one that comes after ours is to be taken back. (More than two CPUs at once may leave the
/// others: look-ups do not find them, and they count until they expire.)
// A function of its own: inlined, it takes the stage past its part of the 512-byte stack.
#[inline(never)]
fn rivals<T: Table>(key: &T::Key, place: &Place, mine: u32, now: u64) -> u64 {
    let (first, second) = (place.first, place.second);
    let mut rivals = Rivals { key, now, first, second, mine, earliest: mine, latest: mine };
    let each: unsafe extern "C" fn(u32, *mut Rivals<T::Key>) -> i64 = rival::<T>;
    // SAFETY: the callback has the signature that bpf_loop calls, and `rivals` outlives the call.
    unsafe { bpf_loop(2 * BUCKET_SLOTS as u32, each as *mut _, (&raw mut rivals).cast(), 0) };
    u64::from(rivals.latest) << 32 | u64::from(rivals.earliest)
}

/// The life word of a slot, if it holds a live entry of `key` still; else that of a free one.
// A function of its own: likewise.
#[inline(never)]
fn life_in<T: Table>(key: &T::Key, slot: u32, now: u64) -> u64 {
    super::at_slot::<T>(key, slot, now).map_or(0, |found| found.life.0)
}

/// Whether another slot than `mine` may have the tag of a key in one of its buckets.
// A function of its own: likewise.
#[inline(never)]
fn has_namesakes<T: Table>(place: &Place, mine: u32) -> bool {
    has_namesake::<T>(place.first, place.tag, mine) || has_namesake::<T>(place.second, place.tag, mine)
}

#[inline(always)]
fn has_namesake<T: Table>(bucket: u32, tag: u16, mine: u32) -> bool {
    let Some(tags) = T::tags(bucket) else { return false };
    let words = super::tag_words(tags);
    let own = |first: u32| if mine & !3 == first { 0x8000u64 << ((mine & 3) * 16) } else { 0 };
    let first = bucket * BUCKET_SLOTS as u32;
    let low = super::lanes(words[0], u64::from(tag)) & !own(first);
    let high = super::lanes(words[1], u64::from(tag)) & !own(first + 4);
    low | high != 0
}

/// What a run over the two buckets of a key carries along.
#[repr(C)]
struct Rivals<'a, K> {
    key: &'a K,
    now: u64,
    first: u32,
    second: u32,
    mine: u32,
    /// Slot of the first live entry of the key.
    earliest: u32,
    /// Slot of the last.
    latest: u32,
}

/// One slot of the two buckets, in the order in which look-ups go through them.
unsafe extern "C" fn rival<T: Table>(index: u32, rivals: *mut Rivals<T::Key>) -> i64 {
    // SAFETY: bpf_loop hands over the pointer that `rivals` gave it.
    let rivals = unsafe { &mut *rivals };
    let in_first = index < BUCKET_SLOTS as u32;
    let bucket = if in_first { rivals.first } else { rivals.second };
    let slot = bucket.wrapping_mul(BUCKET_SLOTS as u32) + index % BUCKET_SLOTS as u32;
    if slot == rivals.mine || super::at_slot::<T>(rivals.key, slot, rivals.now).is_none() {
        return 0;
    }
    if rivals.is_behind(slot, in_first) {
        rivals.latest = slot;
        return 0;
    }
    rivals.earliest = slot;
    1
}

impl<K> Rivals<'_, K> {
    /// Whether look-ups come to `slot` after ours.
    #[inline(always)]
    fn is_behind(&self, slot: u32, in_first: bool) -> bool {
        let ours_in_first = self.mine / BUCKET_SLOTS as u32 == self.first;
        if in_first == ours_in_first || self.first == self.second { slot > self.mine } else { ours_in_first }
    }
}

/// Counts the newcomer in, or says why there is no room. Expired entries count until they are reclaimed.
#[inline(always)]
fn reserve<T: Table>(scene: &Scene, limits: &Limits) -> Option<Reason> {
    let (Some(own), Some(host)) = (counters(scene.slot), counters(0)) else { return Some(Reason::Internal) };
    let (own, host) = (atomic(T::used(own)), atomic(T::used(host)));
    if own.fetch_add(1) >= u64::from(limits.interface) {
        own.decrement();
        return Some(limits.interface_full);
    }
    if host.fetch_add(1) >= u64::from(limits.host) {
        host.decrement();
        own.decrement();
        return Some(limits.host_full);
    }
    None
}

/// Claims a slot in the emptier of the two buckets, or one that holds an expired entry, and publishes the newcomer.
#[inline(always)]
fn settle<T: Table>(scene: &Scene, new: &Newcomer<T::Key>) -> Option<Found<T::Key>> {
    let (first, second) = (new.place.first, new.place.second);
    let start = if free_lanes::<T>(second) > free_lanes::<T>(first) { second } else { first };
    let slot = T::claim(start, first ^ second ^ start, scene.now);
    let entry = T::slot(slot)?;
    publish::<T>(scene, new, slot, entry, read_life(entry))
}

/// See [`Table::claim`].
#[inline(always)]
pub(super) fn claim<T: Table>(bucket: u32, other: u32, now: u64) -> u32 {
    for step in 0..2 * BUCKET_SLOTS as u32 {
        let bucket = if step < BUCKET_SLOTS as u32 { bucket } else { other };
        let slot = bucket.wrapping_mul(BUCKET_SLOTS as u32) + step % BUCKET_SLOTS as u32;
        if claim_slot::<T>(slot, now) {
            return slot;
        }
    }
    NO_SLOT
}

/// How many slots of a bucket hold nothing.
#[inline(always)]
fn free_lanes<T: Table>(bucket: u32) -> u64 {
    let Some(tags) = T::tags(bucket) else { return 0 };
    let words = super::tag_words(tags);
    let ones = |word: u64| (super::lanes(word, 0) >> 15).wrapping_mul(0x0001_0001_0001_0001) >> 48;
    ones(words[0]) + ones(words[1])
}

/// Claims a slot that holds nothing, or an expired entry.
#[inline(always)]
fn claim_slot<T: Table>(slot: u32, now: u64) -> bool {
    let Some(entry) = T::slot(slot) else { return false };
    let life = read_life(entry);
    let expired = match life.kind() {
        Kind::Free => false,
        Kind::Live if !life.is_live_at(now) => true,
        _ => return false,
    };
    if !swap_life(entry, life, life.claim()) {
        return false;
    }
    if expired {
        // SAFETY: the slot is claimed: nobody else writes the key.
        let owner = T::owner(unsafe { &(*entry).key });
        tell_closed::<T>(slot, life, End::Over);
        count::<T>(owner, 1u64.wrapping_neg());
    }
    true
}

#[inline(always)]
fn publish<T: Table>(
    scene: &Scene,
    new: &Newcomer<T::Key>,
    slot: u32,
    entry: *mut Entry<T::Key>,
    claim: Life,
) -> Option<Found<T::Key>> {
    // SAFETY: the slot is claimed: nobody else writes it. `life` is left alone.
    unsafe {
        (*entry).key = *new.key;
        (*entry).generation = scene.judged;
        (*entry).counter = new.counter;
        (*entry).created = scene.now;
        (*entry).packets = [0; 2];
        (*entry).bytes = [0; 2];
    }
    let life = Life::live(claim, new.state, scene.outward(), new.expires);
    life_of(entry).set(life.0);
    if set_tag::<T>(slot, u64::from(new.place.tag)) {
        return Some(Found { entry, slot, life });
    }
    // The caller takes the newcomer out of the count.
    life_of(entry).set(claim.free().0);
    None
}
