//! Whether a tracked connection still stands: its interface's slot may have a new tenant, the policy may have changed,
//! a SYN may want to open it again.

use sg_common::{
    addr::{Addr, EGRESS, INGRESS},
    conntrack::{Life, State, opening, timeout},
    events::End,
    heap::{Decision, service},
    interface::flag,
    stats::NO_COUNTER,
};

use super::{
    advance,
    flow::{Flow, FlowKey},
};
use crate::{
    atomic::Atomic,
    classify::{Asked, Question, counter, decide},
    conntrack::{Found, Table, life_of, tell_closed},
    packet::Packet,
    scene::Scene,
};

/// What becomes of a packet that met an entry.
pub enum Standing {
    /// It passes; the entry takes on the generation in force and `counter`.
    Holds { counter: u32 },
    /// The entry is not there for this packet: its interface is gone, or its rule is stateless now.
    Gone,
    /// The policy has changed and refuses the connection.
    Cut,
}

/// Generations wrap: `one` is before `other` if the difference is negative.
#[inline(always)]
const fn is_before(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) < 0
}

/// The standing of the entry that `packet` has met.
#[inline(always)]
pub fn of<K: FlowKey>(scene: &Scene, packet: &Packet, found: &Found<K>) -> Standing {
    // SAFETY: `entry` points into an array map; each field is one word.
    let (generation, counter) = unsafe { ((*found.entry).generation, (*found.entry).counter) };
    if is_before(generation, scene.iface.born) {
        return Standing::Gone;
    }
    // Another CPU may have seen the next policy already: what that has judged is not for the one before it.
    if !is_before(generation, scene.judged) {
        return Standing::Holds { counter };
    }
    let remote = if scene.outward() { &packet.dst } else { &packet.src };
    judged_again(scene, packet, remote, found, generation)
}

/// The standing of an entry that an older policy has admitted. Connections opened from inside go on under the old
/// rule; the new policy is asked only to know which rule counts them. Those opened from outside go on if it allows
/// them.
#[inline(always)]
fn judged_again<K: FlowKey>(
    scene: &Scene,
    packet: &Packet,
    remote: &Addr,
    found: &Found<K>,
    generation: u32,
) -> Standing {
    let by_egress = found.life.opened_by_egress();
    let keeps = by_egress || scene.iface.flags & flag::KEEP_INGRESS != 0;
    // What was cleared stays so, even if a later policy would have kept it.
    if !by_egress && is_before(generation, scene.iface.cleared) {
        return Standing::Cut;
    }
    let (decision, counter) = opener(scene, packet, remote, found, by_egress);
    let allowed = decision.has(Decision::ALLOW);
    let tracked = !decision.has(Decision::STATELESS);
    match (allowed, tracked) {
        (true, true) => Standing::Holds { counter },
        _ if keeps => Standing::Holds { counter: NO_COUNTER },
        (true, false) => Standing::Gone,
        (false, _) => Standing::Cut,
    }
}

/// What the policy in force decides about the packet that opened the connection, and that rule's counter.
#[inline(always)]
fn opener<K: FlowKey>(
    scene: &Scene,
    packet: &Packet,
    remote: &Addr,
    found: &Found<K>,
    by_egress: bool,
) -> (Decision, u32) {
    // SAFETY: `entry` points into an array map; the key of a live entry does not change.
    let key = unsafe { &(*found.entry).key };
    let port = if by_egress { key.egress_service() } else { key.ingress_service() };
    let question = Question {
        asked: Asked::Enforced,
        direction: if by_egress { EGRESS } else { INGRESS },
        family: usize::from(packet.family),
        remote,
        service: service(packet.protocol, port),
    };
    let decision = decide(scene, &question);
    (decision, counter(scene, &question, decision))
}

/// The entry takes on the generation in force, and the counter of the rule that admits it now. Both are swapped as one
/// word, so that a slot that has got another owner meanwhile keeps that owner's, and a later generation stays.
#[inline(always)]
pub fn adopt<K>(scene: &Scene, found: &Found<K>, counter: u32) {
    // SAFETY: `entry` points into an array map; `judgement` is aligned to 8.
    let judgement = unsafe { Atomic::new((&raw mut (*found.entry).generation).cast::<u64>()) };
    let before = judgement.load();
    let same_owner = Life(life_of(found.entry).load()).free() == found.life.free();
    if same_owner && !is_before(scene.judged, before as u32) {
        judgement.replace(before, u64::from(counter) << 32 | u64::from(scene.judged));
    }
}

/// Whether the connection of an entry would still be let through. Changes nothing: for ICMP errors about it.
#[inline(always)]
pub fn still_stands<K: FlowKey>(scene: &Scene, quoted: &Packet, found: &Found<K>) -> bool {
    // SAFETY: `entry` points into an array map.
    let generation = unsafe { (*found.entry).generation };
    if is_before(generation, scene.iface.born) {
        return false;
    }
    if !is_before(generation, scene.judged) {
        return true;
    }
    // The remote end is the quoted packet's, not the router's that reports.
    let remote = if scene.outward() { &quoted.src } else { &quoted.dst };
    matches!(judged_again(scene, quoted, remote, found, generation), Standing::Holds { .. })
}

/// A SYN that the rules allow, on an entry: a retransmission or the other half of a simultaneous open moves it on. Where
/// a connection is closing, or `cut` by a change of policy, another begins, opened by whoever sent the SYN; whether one
/// did.
#[inline(always)]
pub fn reopen<T: Table<Key: FlowKey>>(
    scene: &Scene,
    packet: &Packet,
    flow: &Flow,
    found: &Found<T::Key>,
    counter: u32,
    cut: bool,
) -> bool {
    adopt(scene, found, counter);
    if !(cut || found.life.state() == State::FinWait || found.life.is_reset()) {
        // If another CPU is faster, it refreshes the entry just as well.
        advance::<T>(scene, packet.end, flow.step, found);
        return false;
    }
    let state = opening(flow.step);
    let expires = scene.now + timeout(state, false, &scene.settings.timeouts);
    let fresh = Life::live(found.life.claim(), state, scene.outward(), expires);
    let begins = life_of(found.entry).replace(found.life.0, fresh.0);
    if begins {
        tell_closed::<T>(found.slot, found.life, if cut { End::Cut } else { End::Over });
        // SAFETY: as above.
        unsafe {
            (*found.entry).created = scene.now;
            (*found.entry).packets = [1, 0];
            (*found.entry).bytes = [u64::from(packet.end), 0];
        }
    }
    begins
}
