//! Designs of a table side by side, IPv4: what it costs to look a key up, to insert it, to remove it.
//!
//! Every program parses as the references do, does one thing with the key and counts whether that came about, for the
//! bench to compare with what it should have been. In sg's own table a key is inserted by the product's admission, with its
//! limits and its search for a rival, and removed as a connection whose time is over; events are not heard.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, HashMap, LruHashMap},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use sg_common::{
    addr::INGRESS,
    conntrack::{Key4, State},
    events::End,
    stats::NO_COUNTER,
    verdict::Reason,
};
use sg_ebpf::{
    conntrack::{Limits, Newcomer, V4, admit, evict, find, glance, place_of},
    scene::{self, Scene},
};

use crate::reference::{FLOWS4, ROOM, SLOT, key4};

/// `BPF_F_NO_PREALLOC`, include/uapi/linux/bpf.h.
const NO_PREALLOC: usize = 1;
/// `BPF_NOEXIST`, likewise.
const NO_EXIST: u64 = 1;

#[btf_map]
static GROWN4: HashMap<Key4, [u64; 6], ROOM, NO_PREALLOC> = HashMap::new();
#[btf_map]
static LRU4: LruHashMap<Key4, [u64; 6], ROOM> = LruHashMap::new();
/// Packets for which it did not come about, and those for which it did.
#[btf_map]
static OUTCOMES: Array<u64, 2> = Array::new();

/// How long a connection lives, in seconds: longer than the bench.
const LIFETIME: u64 = 3600;

/// A table of flows.
trait Design {
    /// Whether the key is there.
    fn has(key: &Key4) -> bool;
    /// Inserts a key; whether it was not there before and there was room.
    fn insert(key: &Key4) -> bool;
    /// Removes a key; whether it was there.
    fn remove(key: &Key4) -> bool;
}

macro_rules! kernel_map {
    ($name:ident, $map:ident) => {
        struct $name;

        impl Design for $name {
            #[inline(always)]
            fn has(key: &Key4) -> bool {
                // SAFETY: nobody changes the map while the program runs.
                unsafe { $map.get(key) }.is_some_and(|value| value[0] != 0)
            }

            #[inline(always)]
            fn insert(key: &Key4) -> bool {
                $map.insert(key, [1; 6], NO_EXIST).is_ok()
            }

            #[inline(always)]
            fn remove(key: &Key4) -> bool {
                $map.remove(key).is_ok()
            }
        }
    };
}

kernel_map!(Hash, FLOWS4);
kernel_map!(Grown, GROWN4);
kernel_map!(Lru, LRU4);

struct Own;

impl Design for Own {
    /// As a packet does it: the short way compares one key, the long way all whose tags are alike.
    #[inline(always)]
    fn has(key: &Key4) -> bool {
        let Some(control) = scene::control() else { return false };
        let (place, now) = (place_of::<V4>(key, control), scene::now(control));
        glance::<V4>(key, &place, now).or_else(|| find::<V4>(key, &place, now)).is_some()
    }

    #[inline(always)]
    fn insert(key: &Key4) -> bool {
        let Some(scene) = scene() else { return false };
        let new = Newcomer {
            key,
            place: &place_of::<V4>(key, scene.control),
            state: State::Established,
            expires: scene.now + LIFETIME * u64::from(scene.control.hz),
            counter: NO_COUNTER,
        };
        admit::<V4>(&scene, &new, &LIMITS).is_ok_and(|admitted| admitted.is_new)
    }

    #[inline(always)]
    fn remove(key: &Key4) -> bool {
        let Some(control) = scene::control() else { return false };
        let found = find::<V4>(key, &place_of::<V4>(key, control), scene::now(control));
        found.is_some_and(|found| evict::<V4>(found.slot, found.life, End::Over))
    }
}

const LIMITS: Limits = Limits {
    host: ROOM as u32,
    interface: ROOM as u32,
    host_full: Reason::ConntrackFull,
    interface_full: Reason::InterfaceFull,
};

/// What admission asks of a scene; the maps of the kernel would be asked without the rest too.
#[inline(always)]
fn scene() -> Option<Scene> {
    let mut place = scene::Place::default();
    place.now = scene::now(scene::control()?);
    place.slot = SLOT;
    place.direction = INGRESS as u32;
    Scene::at(&place)
}

#[inline(always)]
fn run(ctx: &XdpContext, act: fn(&Key4) -> bool) -> u32 {
    let Some(key) = key4(ctx) else { return xdp_action::XDP_ABORTED };
    let came_about = act(&key);
    let Some(count) = OUTCOMES.get_ptr_mut(u32::from(came_about)) else { return xdp_action::XDP_ABORTED };
    // SAFETY: one thread at a time runs these programs on a copy of the map.
    unsafe { *count += 1 };
    if came_about { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

macro_rules! programs {
    ($design:ident: $find:ident, $insert:ident, $remove:ident) => {
        /// Looks a key up.
        #[xdp(frags)]
        pub fn $find(ctx: XdpContext) -> u32 {
            run(&ctx, $design::has)
        }

        /// Inserts a key.
        #[xdp(frags)]
        pub fn $insert(ctx: XdpContext) -> u32 {
            run(&ctx, $design::insert)
        }

        /// Removes a key.
        #[xdp(frags)]
        pub fn $remove(ctx: XdpContext) -> u32 {
            run(&ctx, $design::remove)
        }
    };
}

programs!(Own: find_own, insert_own, remove_own);
programs!(Hash: find_hash, insert_hash, remove_hash);
programs!(Grown: find_grown, insert_grown, remove_grown);
programs!(Lru: find_lru, insert_lru, remove_lru);
