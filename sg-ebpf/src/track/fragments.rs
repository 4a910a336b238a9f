//! Fragmented datagrams: the first fragment is judged and, if it passes, remembered; later ones follow it.

use sg_common::{
    conntrack::{Key6, State, timeout},
    events::End,
    limits::LATE_SECONDS,
    stats::NO_COUNTER,
    verdict::{Reason, Stage},
};

use super::ask;
use crate::{
    atomic::Atomic,
    case::{Answer, Case, Verdict},
    conntrack::{self, Found, Fragments, Limits, Newcomer},
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

/// A later fragment passes if the first has. A second first fragment could rewrite what the first one was judged by: it
/// is refused. `GoOn`: nothing is remembered of the datagram.
#[inline(always)]
pub fn judge(scene: &Scene, case: &mut Case) -> Answer {
    let key = key(scene, &case.packet);
    let place = conntrack::place_of::<Fragments>(&key, scene.control);
    let Some(found) = conntrack::find::<Fragments>(&key, &place, scene.now) else { return Answer::GoOn };
    // SAFETY: `entry` points into an array map.
    let generation = unsafe { (*found.entry).generation };
    // Of a predecessor in the interface's slot.
    if (generation.wrapping_sub(scene.iface.born) as i32) < 0 {
        return Answer::GoOn;
    }
    if case.packet.part == Part::First {
        return case.close(Verdict::without_rule(Err(Reason::BadFragment)));
    }
    if !scene.manner.probe {
        follow(scene, &case.packet, &found);
    }
    case.close(Verdict::without_rule(Ok(Stage::Established)))
}

/// A later fragment without a first passes if a rule without ports allows it; a default policy is no rule.
#[inline(always)]
pub fn judge_stray(scene: &Scene, case: &mut Case) -> Answer {
    let mut verdict = ask(scene, &case.packet);
    if verdict.outcome == Ok(Stage::Default) {
        verdict.outcome = Err(Reason::Default);
    }
    case.close(verdict)
}

/// Notes what has been seen of the datagram in the entry's counters: `packets[0]` is how far it goes without a gap, as
/// long as its fragments come in order; `bytes[0]` how many bytes have come, `bytes[1]` how long it is, once the last
/// fragment has told.
///
/// When it has come whole and in order, nothing can follow, and the entry goes at once. When as many bytes have come as
/// it is long, it may be whole, or bytes may have come twice: the entry stays a little for those that are late. Either
/// way nothing passes that would not have passed before.
#[inline(always)]
fn follow(scene: &Scene, packet: &Packet, found: &Found<Key6>) {
    let (offset, end) = (u32::from(packet.offset), u32::from(packet.offset) + u32::from(packet.piece));
    // SAFETY: `entry` points into an array map; each field is one word. CPUs that note fragments of one datagram at
    // once may lose its order, not its bytes.
    let (reached, length) = unsafe {
        let entry = found.entry;
        let in_order = (*entry).packets[0] == offset;
        if in_order {
            (*entry).packets[0] = end;
        }
        if packet.is_last {
            (*entry).bytes[1] = u64::from(end);
        }
        (in_order, (*entry).bytes[1])
    };
    let seen = add_seen(found, packet.piece);
    if packet.is_last && reached {
        conntrack::evict::<Fragments>(found.slot, found.life, End::Over);
    } else if length != 0 && seen >= length {
        conntrack::shorten(found, scene.now + u64::from(scene.control.hz) * LATE_SECONDS);
    }
}

/// Adds to the bytes that have been seen of a datagram; their sum.
#[inline(always)]
fn add_seen(found: &Found<Key6>, piece: u16) -> u64 {
    // SAFETY: `entry` points into an array map.
    let seen = unsafe { Atomic::new(&raw mut (*found.entry).bytes[0]) };
    seen.fetch_add(u64::from(piece)).wrapping_add(u64::from(piece))
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
        Ok(admitted) => {
            add_seen(&admitted.found, case.packet.piece);
            // SAFETY: `entry` points into an array map.
            unsafe { (*admitted.found.entry).packets[0] = u32::from(case.packet.piece) };
            Answer::GoOn
        }
        Err(reason) => case.drop_for(reason),
    }
}

/// Takes back what [`remember`] did, for a packet that is dropped after all.
#[inline(always)]
pub fn forget(scene: &Scene, case: &mut Case) -> Answer {
    let key = key(scene, &case.packet);
    let place = conntrack::place_of::<Fragments>(&key, scene.control);
    if let Some(found) = conntrack::find::<Fragments>(&key, &place, scene.now) {
        conntrack::evict::<Fragments>(found.slot, found.life, End::Over);
    }
    Answer::Done
}
