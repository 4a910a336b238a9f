//! Fragmented datagrams: the first fragment is judged and, if it passes, remembered; later ones follow it.

use sg_common::{
    conntrack::{Key6, Place, State, timeout},
    stats::NO_COUNTER,
    verdict::{Reason, Stage},
};

use super::ask;
use crate::{
    case::{Answer, Case, Verdict},
    conntrack::{self, Fragments, Limits, Newcomer},
    packet::{Packet, Part, V4},
    scene::Scene,
};

#[inline(always)]
fn key(scene: &Scene, packet: &Packet) -> Key6 {
    let [a, b, c, d] = packet.datagram.to_be_bytes();
    Key6 {
        remote: packet.src.0,
        local: packet.dst.0,
        remote_port: [a, b],
        local_port: [c, d],
        slot: scene.slot as u16,
        protocol: packet.datagram_protocol,
        query: if packet.family == V4 { 4 } else { 6 },
    }
}

/// A later fragment passes if the first has; without a first, if a rule without ports allows it (a default policy is no
/// rule). A second first fragment could rewrite what the first one was judged by: it is refused.
#[inline(always)]
pub fn judge(scene: &Scene, case: &mut Case) -> Answer {
    let key = key(scene, &case.packet);
    let place = conntrack::place_of::<Fragments>(&key, scene.control);
    let is_first = case.packet.part == Part::First;
    match (is_live(scene, &key, &place), is_first) {
        (true, true) => case.close(Verdict::without_rule(Err(Reason::BadFragment))),
        (true, false) => case.close(Verdict::without_rule(Ok(Stage::Established))),
        (false, true) => Answer::GoOn,
        (false, false) => {
            let mut verdict = ask(scene, &case.packet);
            if verdict.outcome == Ok(Stage::Default) {
                verdict.outcome = Err(Reason::Default);
            }
            case.close(verdict)
        }
    }
}

/// Whether a live entry has this key.
#[inline(always)]
fn is_live(scene: &Scene, key: &Key6, place: &Place) -> bool {
    match conntrack::find::<Fragments>(key, place, scene.now) {
        // SAFETY: `entry` points into an array map.
        Some(found) => unsafe { (*found.entry).generation.wrapping_sub(scene.iface.born) as i32 >= 0 },
        None => false,
    }
}

/// Remembers the datagram of a first fragment.
#[inline(always)]
pub fn remember(scene: &Scene, case: &mut Case) -> Answer {
    let key = key(scene, &case.packet);
    let place = conntrack::place_of::<Fragments>(&key, scene.control);
    let state = State::Fragments;
    let new = Newcomer {
        key: &key,
        place: &place,
        state,
        expires: scene.now + timeout(state, false, &scene.settings.timeouts),
        counter: NO_COUNTER,
    };
    let limits = Limits {
        host: scene.settings.max_fragments,
        interface: scene.settings.max_fragments_per_interface,
        host_full: Reason::FragmentsFull,
        interface_full: Reason::FragmentsFull,
    };
    match conntrack::admit::<Fragments>(scene, &new, &limits) {
        Ok(_) => Answer::GoOn,
        Err(reason) => case.drop_for(reason),
    }
}

/// Takes back what [`remember`] did, for a packet that is dropped after all.
#[inline(always)]
pub fn forget(scene: &Scene, case: &mut Case) -> Answer {
    let key = key(scene, &case.packet);
    let place = conntrack::place_of::<Fragments>(&key, scene.control);
    if let Some(found) = conntrack::find::<Fragments>(&key, &place, scene.now) {
        conntrack::evict::<Fragments>(found.slot, found.life);
    }
    Answer::Done
}
