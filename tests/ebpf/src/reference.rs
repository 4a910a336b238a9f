//! The reference programs: they parse a packet as sg's short way does, and look one key up.
//!
//! Parsing is all that is sound and no more: lengths against each other and the frame, fragments, TCP flags; then the key.
//! They ask for no interface, policy or guard, and write nothing: no timer, no counter.
//! Once in sg's own tables, in which the bench has opened the flows, and once in the kernel's hash map with the same
//! keys. The value has the size of an entry without its key. `XDP_PASS` is a hit.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::HashMap,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use sg_common::conntrack::{Key4, Key6};
use sg_ebpf::{
    conntrack::{Table, V4, V6, glance, place_of},
    frame::{Frame as _, Inner},
    parse::ethertype,
    scene,
    short::{Family, key_of},
};

/// Flows that the kernel's maps have room for.
pub const ROOM: usize = 262_144;

#[btf_map]
pub static FLOWS4: HashMap<Key4, [u64; 6], ROOM> = HashMap::new();
#[btf_map]
static FLOWS6: HashMap<Key6, [u64; 6], ROOM> = HashMap::new();

/// The bench binds one interface: the first slot of the directory that is not reserved.
pub const SLOT: u32 = 1;
/// Length of the Ethernet header, and where the ethertype is in it.
const ETHERNET: usize = 14;
const KIND: usize = 12;

/// IPv4, sg's table.
#[xdp(frags)]
pub fn reference_table_v4(ctx: XdpContext) -> u32 {
    answer(key4(&ctx).and_then(|key| in_table::<V4>(&key)))
}

/// IPv6, sg's table.
#[xdp(frags)]
pub fn reference_table_v6(ctx: XdpContext) -> u32 {
    answer(key6(&ctx).and_then(|key| in_table::<V6>(&key)))
}

/// IPv4, the kernel's hash map.
#[xdp(frags)]
pub fn reference_hash_v4(ctx: XdpContext) -> u32 {
    // SAFETY: nobody changes the map while the program runs.
    answer(key4(&ctx).and_then(|key| unsafe { FLOWS4.get(key) }.map(|value| value[0])))
}

/// IPv6, the kernel's hash map.
#[xdp(frags)]
pub fn reference_hash_v6(ctx: XdpContext) -> u32 {
    // SAFETY: as above.
    answer(key6(&ctx).and_then(|key| unsafe { FLOWS6.get(key) }.map(|value| value[0])))
}

#[inline(always)]
fn answer(expires: Option<u64>) -> u32 {
    match expires {
        Some(expires) if expires != 0 => xdp_action::XDP_PASS,
        _ => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn in_table<T: Table>(key: &T::Key) -> Option<u64> {
    let control = scene::control()?;
    let found = glance::<T>(key, &place_of::<T>(key, control), scene::now(control))?;
    Some(found.life.expires())
}

/// The key of an IPv4 packet's flow.
#[inline(always)]
pub fn key4(ctx: &XdpContext) -> Option<Key4> {
    key::<V4>(ctx, ethertype::IPV4)
}

#[inline(always)]
fn key6(ctx: &XdpContext) -> Option<Key6> {
    key::<V6>(ctx, ethertype::IPV6)
}

#[inline(always)]
fn key<T: Family>(ctx: &XdpContext, kind: u16) -> Option<T::Key> {
    let frame = Inner { frame: ctx, base: 0 };
    if frame.window(ETHERNET)?.read::<u16>(KIND)? != kind.to_be() {
        return None;
    }
    Some(key_of::<T>(SLOT, false, &T::read(&frame)?))
}
