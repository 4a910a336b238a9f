//! Making an entry.

use sg_common::{
    conntrack::{Entry, Kind, Life, Place, State},
    limits::BUCKET_SLOTS,
    verdict::Reason,
};

use super::{
    Found, Table, atomic, count, counters, find, life_of, read_life, set_tag, swap_life, sweep::release,
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

/// Makes an entry, or finds the one that another CPU has just made for the same flow.
#[inline(always)]
pub fn admit<T: Table>(
    scene: &Scene,
    new: &Newcomer<T::Key>,
    limits: &Limits,
) -> Result<Found<T::Key>, Reason> {
    if let Some(reason) = reserve::<T>(scene, limits) {
        return Err(reason);
    }
    let Some(mine) = settle::<T>(scene, new) else {
        count::<T>(scene.slot, 1u64.wrapping_neg());
        return Err(limits.host_full);
    };
    let slot = slot_of::<T>(new.key, new.place, scene.now);
    if slot == mine.slot || slot == NOWHERE {
        return Ok(mine);
    }
    let Some(entry) = T::slot(slot) else { return Ok(mine) };
    release::<T>(mine.slot, mine.entry, mine.life);
    Ok(Found { entry, slot, life: read_life(entry) })
}

const NOWHERE: u32 = u32::MAX;

/// Slot of the live entry of `key`, or [`NOWHERE`].
// A function of its own: inlined, it takes the stage past its part of the 512-byte stack.
#[inline(never)]
fn slot_of<T: Table>(key: &T::Key, place: &Place, now: u64) -> u32 {
    find::<T>(key, place, now).map_or(NOWHERE, |found| found.slot)
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
    let (slot, claim) = match claim_in::<T>(start, scene.now) {
        None => claim_in::<T>(first ^ second ^ start, scene.now)?,
        Some(claimed) => claimed,
    };
    publish::<T>(scene, new, slot, T::slot(slot)?, claim)
}

/// Claims a slot in a bucket.
#[inline(always)]
fn claim_in<T: Table>(bucket: u32, now: u64) -> Option<(u32, Life)> {
    for lane in 0..BUCKET_SLOTS as u32 {
        let slot = bucket * BUCKET_SLOTS as u32 + lane;
        if let Some(claim) = claim::<T>(T::slot(slot)?, now) {
            return Some((slot, claim));
        }
    }
    None
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
fn claim<T: Table>(entry: *mut Entry<T::Key>, now: u64) -> Option<Life> {
    let life = read_life(entry);
    let expired = match life.kind() {
        Kind::Free => false,
        Kind::Live if !life.is_live_at(now) => true,
        _ => return None,
    };
    let claim = life.claim();
    if !swap_life(entry, life, claim) {
        return None;
    }
    if expired {
        // SAFETY: the slot is claimed: nobody else writes the key.
        let owner = T::owner(unsafe { &(*entry).key });
        count::<T>(owner, 1u64.wrapping_neg());
    }
    Some(claim)
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
