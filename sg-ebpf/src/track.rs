//! Connection or rules: the verdict on an IP packet that the guards have let through.

use sg_common::{
    addr::{EGRESS, INGRESS},
    conntrack::{Step, opening, timeout},
    control::setting,
    events::End,
    heap::Decision,
    interface::flag,
    probe::probe_flag,
    verdict::{Reason, Stage},
};

use crate::{
    account,
    case::{Answer, Case, Verdict, key_of},
    classify::{Asked, Question, counter, decide},
    conntrack::{self, Admitted, Found, Limits, Table},
    events,
    packet::{Packet, protocol},
    scene::Scene,
    track::{
        flow::{Flow, FlowKey},
        standing::Standing,
    },
};

pub mod flow;
pub mod fragments;
pub mod related;
mod standing;

/// Looks the packet's connection up. One that the policy in force has admitted lets the packet pass, unless that is a
/// SYN; any other is noted in the case. `Again`: another CPU has moved it on meanwhile.
#[inline(always)]
pub fn established<T: Table<Key: FlowKey>>(scene: &Scene, case: &mut Case) -> Answer {
    let flow = Flow::of(&case.packet);
    let key = key_of::<T>(scene, case);
    let place = conntrack::place_of::<T>(&key, scene.control);
    case.set_place(&place);
    if !flow.tracked || scene.manner.flags & probe_flag::IGNORE_CONNTRACK != 0 {
        return Answer::GoOn;
    }
    let Some(found) = conntrack::find::<T>(&key, &place, scene.now) else { return Answer::GoOn };
    // SAFETY: `entry` points into an array map; each field is one word.
    let (generation, counter) = unsafe { ((*found.entry).generation, (*found.entry).counter) };
    if generation != scene.judged || flow.is_opening_syn() {
        case.meet(&found);
        return Answer::GoOn;
    }
    case.close(Verdict { outcome: Ok(Stage::Established), decision: Decision::NONE, counter });
    if scene.manner.probe || advance::<T>(scene, case.packet.end, flow.step, &found) {
        Answer::Done
    } else {
        Answer::Again
    }
}

/// Decides whether the entry that the packet has met still stands, and moves it on if it does.
#[inline(always)]
pub fn reconsider<T: Table<Key: FlowKey>>(scene: &Scene, case: &mut Case) -> Answer {
    let Some(found) = case.found::<T>() else { return Answer::GoOn };
    match standing::of(scene, &case.packet, &found) {
        // The rules decide on a SYN, whatever the entry says.
        Standing::Holds { .. } if is_opening_syn(case) => Answer::GoOn,
        Standing::Cut if is_opening_syn(case) => {
            case.cut = 1;
            Answer::GoOn
        }
        Standing::Holds { counter } => {
            if !scene.manner.probe {
                standing::adopt(scene, &found, counter);
                // If another CPU is faster, it refreshes the entry just as well.
                advance::<T>(scene, case.packet.end, Flow::of(&case.packet).step, &found);
            }
            case.close(Verdict { outcome: Ok(Stage::Established), decision: Decision::NONE, counter })
        }
        Standing::Gone => {
            forget::<T>(scene, &found, End::Gone);
            case.part();
            Answer::GoOn
        }
        Standing::Cut => {
            forget::<T>(scene, &found, End::Cut);
            case.close(Verdict::without_rule(Err(Reason::Cut)))
        }
    }
}

#[inline(always)]
fn is_opening_syn(case: &Case) -> bool {
    Flow::of(&case.packet).is_opening_syn()
}

#[inline(always)]
fn forget<T: Table>(scene: &Scene, found: &Found<T::Key>, end: End) {
    if !scene.manner.probe {
        conntrack::evict::<T>(found.slot, found.life, end);
    }
}

/// Moves a connection on and counts its packet of `bytes`; `false` if another CPU was faster.
#[inline(always)]
fn advance<T: Table>(scene: &Scene, bytes: u32, step: Step, found: &Found<T::Key>) -> bool {
    let from_opener = found.life.opened_by_egress() == scene.outward();
    let moved = conntrack::move_on(found, step, from_opener, scene.now, &scene.settings.timeouts);
    if moved {
        conntrack::count_packet(found, from_opener, bytes);
    }
    moved
}

/// The rules decide: on a packet of no connection, and on every SYN that opens one.
#[inline(always)]
pub fn by_rules(scene: &Scene, case: &mut Case) -> Answer {
    let flow = Flow::of(&case.packet);
    if is_blocked_mail(scene, &case.packet) {
        return case.close(Verdict::without_rule(Err(Reason::Smtp)));
    }
    let verdict = ask(scene, &case.packet);
    case.close(verdict);
    if verdict.outcome.is_err() || !flow.tracked || verdict.decision.has(Decision::STATELESS) {
        return Answer::Done;
    }
    let may_open = flow.opens || flow.is_mid_stream() && scene.settings.flags & setting::TCP_LOOSE != 0;
    if may_open { Answer::GoOn } else { case.drop_for(Reason::NoConnection) }
}

/// Outbound mail without leave (spec section 3).
#[inline(always)]
fn is_blocked_mail(scene: &Scene, packet: &Packet) -> bool {
    const SMTP: u16 = 25;
    const SUBMISSIONS: u16 = 465;
    const SUBMISSION: u16 = 587;
    packet.protocol == protocol::TCP
        && scene.outward()
        && scene.iface.flags & flag::ALLOW_SMTP == 0
        && matches!(u16::from_be_bytes(packet.dst_port), SMTP | SUBMISSIONS | SUBMISSION)
}

/// Asks the policies in force, and those that are only audited.
#[inline(always)]
pub fn ask(scene: &Scene, packet: &Packet) -> Verdict {
    let remote = if scene.outward() { &packet.dst } else { &packet.src };
    let mut question = Question {
        asked: Asked::Enforced,
        direction: scene.direction,
        family: usize::from(packet.family),
        remote,
        service: packet.service(),
    };
    let decision = decide(scene, &question);
    let counter = counter(scene, &question, decision);
    let outcome = match (decision.has(Decision::ALLOW), decision.has(Decision::DEFAULT)) {
        (true, false) => Ok(Stage::Rule),
        (true, true) => Ok(Stage::Default),
        (false, false) => Err(Reason::Rule),
        (false, true) if scene.policy(scene.direction) == 0 => Err(Reason::NoPolicy),
        (false, true) => Err(Reason::Default),
    };
    let audited = if scene.outward() { scene.iface.audit[EGRESS] } else { scene.iface.audit[INGRESS] };
    if audited != 0 && !scene.manner.probe && outcome.is_ok() {
        question.asked = Asked::Audited;
        audit(scene, packet, &question);
    }
    Verdict { outcome, decision, counter }
}

/// Counts what the audit groups would do, and tells of what they would drop.
#[inline(always)]
fn audit(scene: &Scene, packet: &Packet, question: &Question) {
    let decision = decide(scene, question);
    let counter = counter(scene, question, decision);
    if !decision.has(Decision::ALLOW) {
        account::audited(scene.slot, scene.direction);
        if scene.is_heard() {
            let by_rule = !decision.has(Decision::DEFAULT);
            let reason = if by_rule { Reason::Rule } else { Reason::Default };
            events::audited(scene, reason, counter, packet.end);
        }
    }
    account::rule(counter, packet.end, scene.now);
}

/// A SYN that the rules allow, on an entry. `Opened`: it is a connection of its own.
#[inline(always)]
pub fn reopen<T: Table<Key: FlowKey>>(scene: &Scene, case: &mut Case) -> Answer {
    if let Some(found) = case.found::<T>() {
        let (flow, cut) = (Flow::of(&case.packet), case.cut != 0);
        if standing::reopen::<T>(scene, &case.packet, &flow, &found, case.counter, cut) {
            return Answer::Opened;
        }
    }
    Answer::GoOn
}

/// Makes the entry of a connection that the rules allow. `Opened`: it had none before.
#[inline(always)]
pub fn open<T: Table<Key: FlowKey>>(scene: &Scene, case: &mut Case) -> Answer {
    let flow = Flow::of(&case.packet);
    let state = opening(flow.step);
    let new = conntrack::Newcomer {
        key: &key_of::<T>(scene, case),
        place: &case.place(),
        state,
        expires: scene.now + timeout(state, false, &scene.settings.timeouts),
        counter: case.counter,
    };
    match conntrack::admit::<T>(scene, &new, &limits(scene)) {
        Ok(Admitted { found: mine, is_new }) => {
            if is_new {
                account::opened(scene.slot, scene.direction);
            }
            let from_opener = mine.life.opened_by_egress() == scene.outward();
            conntrack::count_packet(&mine, from_opener, case.packet.end);
            if is_new { Answer::Opened } else { Answer::GoOn }
        }
        Err(reason) => case.drop_for(reason),
    }
}

#[inline(always)]
fn limits(scene: &Scene) -> Limits {
    Limits {
        host: scene.settings.max_entries,
        interface: scene.settings.max_per_interface,
        host_full: Reason::ConntrackFull,
        interface_full: Reason::InterfaceFull,
    }
}
