//! The conntrack tables: find, admit, move on, evict, sweep.
//!
//! A table is two arrays. A *bucket* is eight 16-bit tags in 16 bytes; a *slot* is an [`Entry`]. A key may be in
//! either of two buckets, so a look-up that misses touches two words pairs of tags and no entry.
//!
//! **Races.** There is no lock. A slot changes hands through its [`Life`] word alone:
//!
//! - *Claim*: compare-and-swap from free, or from a live entry that has expired, to claimed. One CPU wins.
//! - *Publish*: the winner writes key and counters, then the live word (a full barrier), then the tag. A reader that
//!   compares a key reads the life word before and after; a slot that changed hands between has another claim count.
//! - *Twice*: two CPUs may admit the same flow at once, into two slots. Each looks for another after publishing, so at
//!   least one sees the other's. The entry that look-ups find first stays: whoever sees an earlier one takes its own back,
//!   whoever sees a later one takes that back. So one stays, and one CPU is told that the flow is new. Of more than two
//!   CPUs that admit a flow in the same instant, some may leave an entry that look-ups do not find, until it expires.
//! - *Move on*: compare-and-swap of the life word a packet has read. If another CPU was faster, the flow is looked up
//!   again, a few times; a packet that loses every time passes and moves nothing.
//! - *Sweep*: claims expired entries the same way, so a refreshed one is never removed.
//!
//! Nothing evicts a live entry for a new one. A slot that has expired is free to whoever needs it, so an agent that is
//! dead does not let the tables clog.

use sg_common::{
    conntrack::{Entry, Key, Kind, Life, Place, Step, Tags, after, place, refreshed},
    control::{Control, Timeouts},
    events::End,
    limits::BUCKET_SLOTS,
};

use crate::atomic::Atomic;

mod admit;
mod sweep;
mod table;
#[cfg(test)]
mod tests;

pub use admit::{Admitted, Limits, Newcomer, admit};
pub use sweep::{sg_reclaim, sweep};
pub use table::{Fragments, Table, V4, V6};
use table::{NO_SLOT, UNTOLD, counters};

/// An entry that was live when it was found.
pub struct Found<K> {
    /// Where it is.
    pub entry: *mut Entry<K>,
    /// Its slot number.
    pub slot: u32,
    /// The life word it was found with.
    pub life: Life,
}

// Derived `Copy` would ask for `K: Copy`.
impl<K> Clone for Found<K> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Found<K> {}

#[inline(always)]
fn atomic(word: *mut u64) -> Atomic {
    // SAFETY: every `*mut u64` here points into an array map.
    unsafe { Atomic::new(word) }
}

/// The life word of a slot.
#[inline(always)]
pub fn life_of<K>(entry: *mut Entry<K>) -> Atomic {
    // SAFETY: `entry` points into an array map.
    atomic(unsafe { &raw mut (*entry).life })
}

#[inline(always)]
fn read_life<K>(entry: *mut Entry<K>) -> Life {
    Life(life_of(entry).load())
}

/// Swaps the life word; whether nobody else had changed it.
#[inline(always)]
fn swap_life<K>(entry: *mut Entry<K>, from: Life, to: Life) -> bool {
    life_of(entry).replace(from.0, to.0)
}

/// Where `key` belongs in table `T`.
#[inline(always)]
pub fn place_of<T: Table>(key: &T::Key, control: &Control) -> Place {
    place(key.words().as_ref(), control.seed, control.buckets[T::NUMBER])
}

/// In each lane of the result, bit 15 is set if that 16-bit lane of `tags` holds `tag`. A lane above a hit may be
/// set by its borrow; keys are compared anyway.
#[inline(always)]
const fn lanes(tags: u64, tag: u64) -> u64 {
    const ONES: u64 = 0x0001_0001_0001_0001;
    let differing = tags ^ tag.wrapping_mul(ONES);
    differing.wrapping_sub(ONES) & !differing & ONES << 15
}

/// The live entry of `key`, if there is one.
#[inline(always)]
pub fn find<T: Table>(key: &T::Key, at: &Place, now: u64) -> Option<Found<T::Key>> {
    match in_bucket::<T>(key, at.first, at.tag, now) {
        None => in_bucket::<T>(key, at.second, at.tag, now),
        found => found,
    }
}

#[inline(always)]
fn in_bucket<T: Table>(key: &T::Key, bucket: u32, tag: u16, now: u64) -> Option<Found<T::Key>> {
    let mut hits = hits::<T>(bucket, tag)?;
    for _ in 0..BUCKET_SLOTS {
        let slot = hits.take_first()?;
        if let Some(found) = at_slot::<T>(key, bucket * BUCKET_SLOTS as u32 + slot, now) {
            return Some(found);
        }
    }
    None
}

/// The live entry of `key`, if no other key with its tag comes before it: what [`find`] finds, with one key compared.
#[inline(always)]
pub fn glance<T: Table>(key: &T::Key, at: &Place, now: u64) -> Option<Found<T::Key>> {
    let slot = match hits::<T>(at.first, at.tag)?.first() {
        Some(slot) => at.first * BUCKET_SLOTS as u32 + slot,
        None => at.second * BUCKET_SLOTS as u32 + hits::<T>(at.second, at.tag)?.first()?,
    };
    at_slot::<T>(key, slot, now)
}

/// Slots of a bucket that may hold a tag: bit 15 of the lane is set, in order of the slots.
struct Hits([u64; 2]);

#[inline(always)]
fn hits<T: Table>(bucket: u32, tag: u16) -> Option<Hits> {
    let words = tag_words(T::tags(bucket)?);
    Some(Hits(words.map(|word| lanes(word, u64::from(tag)))))
}

impl Hits {
    /// The first, if there is one. By branches: where they are foreseen, the slot is read without waiting for the tags.
    #[inline(always)]
    fn first(&self) -> Option<u32> {
        let [low, high] = self.0;
        if low != 0 { lane_of(low) } else { lane_of(high).map(|lane| lane + 4) }
    }

    /// Takes the first away. By arithmetic: the verifier would follow each branch, for each of eight slots.
    #[inline(always)]
    fn take_first(&mut self) -> Option<u32> {
        let (word, before) = if self.0[0] != 0 { (&mut self.0[0], 0) } else { (&mut self.0[1], 4) };
        if *word == 0 {
            return None;
        }
        // 1, 2^16, 2^32 or 2^48 moves 0, 1, 2 or 3 up into the highest lane.
        let lane = ((*word & word.wrapping_neg()) >> 15).wrapping_mul(0x0000_0001_0002_0003) >> 48;
        *word &= word.wrapping_sub(1);
        Some(lane as u32 + before)
    }
}

/// The first of four lanes with bit 15 set.
#[inline(always)]
fn lane_of(lanes: u64) -> Option<u32> {
    (0..4).find(|lane| lanes & 0x8000 << (lane * 16) != 0)
}

/// Both words of a bucket's tags; each is changed by single atomic operations.
#[inline(always)]
fn tag_words(tags: *mut Tags) -> [u64; 2] {
    // SAFETY: `tags` points into an array map.
    unsafe { [(&raw const (*tags).0[0]).read_volatile(), (&raw const (*tags).0[1]).read_volatile()] }
}

#[inline(always)]
fn at_slot<T: Table>(key: &T::Key, slot: u32, now: u64) -> Option<Found<T::Key>> {
    let entry = T::slot(slot)?;
    let life = read_life(entry);
    if !life.is_live_at(now) || !holds(entry, key) || !same_owner(life, read_life(entry)) {
        return None;
    }
    Some(Found { entry, slot, life })
}

/// Whether two life words are of one claim of the slot.
#[inline(always)]
fn same_owner(one: Life, other: Life) -> bool {
    one.free() == other.free() && other.kind() == Kind::Live
}

#[inline(always)]
fn holds<K: Key>(entry: *mut Entry<K>, key: &K) -> bool {
    let words = key.words();
    let mut differing = 0;
    for (at, word) in words.as_ref().iter().enumerate() {
        // SAFETY: `entry` points into an array map; its key is aligned to 8 and as long as `key`. It may be in the
        // middle of being rewritten, which the caller finds out from the life word. (Word by word: a volatile copy of
        // the whole would live on the stack.)
        differing |= word ^ unsafe { (&raw const (*entry).key).cast::<u64>().add(at).read_volatile() };
    }
    differing == 0
}

/// Moves a connection on by one packet. `false`: another CPU was faster, and the entry must be looked up again.
#[inline(always)]
pub fn move_on<K>(found: &Found<K>, step: Step, from_opener: bool, now: u64, timeouts: &Timeouts) -> bool {
    becomes(found, after(found.life, step, from_opener, now, timeouts))
}

/// Moves a connection on by a packet that changes nothing but its expiry. `false`: it changes more, or likewise.
#[inline(always)]
pub fn refresh<K>(found: &Found<K>, step: Step, from_opener: bool, now: u64, timeouts: &Timeouts) -> bool {
    match refreshed(found.life, step, from_opener, now, timeouts) {
        Some(moved) => becomes(found, moved),
        None => false,
    }
}

/// Swaps the life word, if the new one is another; whether nobody else had changed it.
#[inline(always)]
fn becomes<K>(found: &Found<K>, moved: Life) -> bool {
    moved == found.life || swap_life(found.entry, found.life, moved)
}

/// Ends an entry at `expires`, if it would live longer and nobody moves it on at the same moment.
#[inline(always)]
pub fn shorten<K>(found: &Found<K>, expires: u64) {
    if expires < found.life.expires() {
        swap_life(found.entry, found.life, found.life.until(expires));
    }
}

/// Counts a packet of the connection.
#[inline(always)]
pub fn count_packet<K>(found: &Found<K>, from_opener: bool, bytes: u32) {
    // By arithmetic: which way a packet goes is not foreseen.
    let way = usize::from(!from_opener) & 1;
    // SAFETY: `entry` points into an array map. CPUs that count the same way at once may lose an increment: the
    // figures are for people.
    unsafe {
        let entry = found.entry;
        (*entry).packets[way] = (*entry).packets[way].wrapping_add(1);
        (*entry).bytes[way] = (*entry).bytes[way].wrapping_add(u64::from(bytes));
    }
}

/// Adds to the slots in use of an interface and of the host.
#[inline(always)]
fn count<T: Table>(owner: u32, change: u64) {
    for slot in [owner, 0] {
        if let Some(counters) = counters(slot) {
            atomic(T::used(counters)).fetch_add(change);
        }
    }
}

/// Tells that the connection in a slot is not tracked any more; `life` was its life word. Nobody else may write the slot's key
/// meanwhile: this program has claimed it, or it is this program's by its policy.
#[inline(always)]
pub fn tell_closed<T: Table>(slot: u32, life: Life, end: End) {
    T::closed(slot, life.0, end as u32);
}

/// Frees a slot if its life word is still `life`.
#[inline(always)]
pub fn evict<T: Table>(slot: u32, life: Life, end: End) -> bool {
    T::release(slot, life, end as u32)
}

/// Writes `tag` into the lane of `slot`; `false` if other CPUs were faster eight times in a row.
#[inline(always)]
fn set_tag<T: Table>(slot: u32, tag: u64) -> bool {
    let Some(tags) = T::tags(slot / BUCKET_SLOTS as u32) else { return false };
    let shift = (slot & 3) * 16;
    // SAFETY: `tags` points into an array map; the index is 0 or 1.
    let word = unsafe {
        let words = &raw mut (*tags).0;
        atomic(if slot & 4 == 0 { &raw mut (*words)[0] } else { &raw mut (*words)[1] })
    };
    for _ in 0..8 {
        let old = word.load();
        let new = old & !(0xffff << shift) | tag << shift;
        if word.replace(old, new) {
            return true;
        }
    }
    false
}
