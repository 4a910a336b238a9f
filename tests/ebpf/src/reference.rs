//! The reference programs: they parse a TCP packet as shortly as is sound, and look one key up.
//!
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
    conntrack::{Table, V4, V6, find, place_of},
    frame::Frame,
    scene,
};

#[btf_map]
static FLOWS4: HashMap<Key4, [u64; 6], 262144> = HashMap::new();
#[btf_map]
static FLOWS6: HashMap<Key6, [u64; 6], 262144> = HashMap::new();

const TCP: u8 = 6;
/// The bench binds one interface: the first slot of the directory that is not reserved.
const SLOT: u16 = 1;

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
    let found = find::<T>(key, &place_of::<T>(key, control), scene::now(control))?;
    Some(found.life.expires())
}

#[inline(always)]
fn key4(ctx: &XdpContext) -> Option<Key4> {
    let [.., 0x08, 0x00] = ctx.head::<14>(0)? else { return None };
    let header = ctx.head::<20>(14)?;
    let [0x45, _, _, _, _, _, f0, f1, _, TCP, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = header else {
        return None;
    };
    if f0 & 0x3f != 0 || f1 != 0 {
        return None;
    }
    let [r0, r1, l0, l1, ..] = ctx.head::<20>(34)?;
    Some(Key4 {
        remote: [s0, s1, s2, s3],
        local: [d0, d1, d2, d3],
        remote_port: [r0, r1],
        local_port: [l0, l1],
        slot: SLOT,
        protocol: TCP,
        query: 0,
    })
}

#[inline(always)]
fn key6(ctx: &XdpContext) -> Option<Key6> {
    let [.., 0x86, 0xdd] = ctx.head::<14>(0)? else { return None };
    let header = ctx.head::<40>(14)?;
    if header[0] >> 4 != 6 || header[6] != TCP {
        return None;
    }
    let [r0, r1, l0, l1, ..] = ctx.head::<20>(54)?;
    Some(Key6 {
        remote: *header[8..].first_chunk()?,
        local: *header[24..].first_chunk()?,
        remote_port: [r0, r1],
        local_port: [l0, l1],
        slot: SLOT,
        protocol: TCP,
        query: 0,
    })
}
