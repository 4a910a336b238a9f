//! ICMP errors about tracked connections.

use super::{
    flow::{Flow, FlowKey},
    standing,
};
use crate::{
    conntrack::{self, Table},
    packet::Packet,
    scene::Scene,
};

/// Whether the ICMP error quotes a packet of a live connection and goes to that packet's sender. Its own source may
/// be any router. Neither makes, nor refreshes, nor closes anything.
#[inline(always)]
pub fn is_related<T: Table<Key: FlowKey>>(scene: &Scene, error: &Packet, quoted: &Packet) -> bool {
    if quoted.src != error.dst || !Flow::of(quoted).tracked {
        return false;
    }
    // The quoted packet went the other way.
    let key = T::Key::of(scene.slot, !scene.outward(), quoted);
    let place = conntrack::place_of::<T>(&key, scene.control);
    match conntrack::find::<T>(&key, &place, scene.now) {
        Some(found) => standing::still_stands(scene, quoted, &found),
        None => false,
    }
}
