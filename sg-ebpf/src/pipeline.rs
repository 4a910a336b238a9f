//! The life of a packet.

use aya_log_ebpf::debug;
use sg_common::{
    addr::EGRESS,
    heap::Decision,
    probe::{MAGIC, ProbeReply},
    stats::NO_COUNTER,
    verdict::{Reason, Stage},
};

use crate::{
    account,
    case::{self, Case, Verdict},
    classify::{Heap, version},
    events,
    frame::Frame,
    guard,
    packet::Content,
    parse,
    scene::{self, Hook, Manner, Scene},
    short,
};

/// Judges a frame on interface `ifindex` for good; whether it passes.
#[inline(always)]
pub fn judge<F: Frame + ?Sized>(frame: &F, ifindex: u32, hook: Hook) -> bool {
    let mut scene = match Scene::set(ifindex, hook, Manner::default()) {
        Ok(scene) => scene,
        Err((slot, reason)) => {
            if scene::is_unfiltered(ifindex) {
                return true;
            }
            account::dropped(slot, EGRESS, reason);
            events::dropped_unseen(slot, ifindex, reason);
            return false;
        }
    };
    if short::passes(frame, &scene) {
        return true;
    }
    let mut bytes = 0;
    let verdict = verdict(frame, &mut scene, &mut bytes);
    account::rule(verdict.counter, bytes, scene.now);
    match verdict.outcome {
        Ok(_) => account::allowed(scene.slot, scene.direction, bytes),
        Err(reason) => {
            account::dropped(scene.slot, scene.direction, reason);
            // The interface's own number: `ifindex`, kept for here, takes a place on the stack.
            let (ifindex, direction) = (scene.iface.ifindex, scene.direction);
            log_drop(ifindex, direction as u32, reason as u32);
            if scene.is_heard() {
                events::dropped(scene.slot, direction, ifindex, reason, verdict.counter, bytes);
            }
        }
    }
    verdict.outcome.is_ok()
}

/// Says on the kernel side's log that a packet was dropped. The level is a constant that the loader sets before the
/// verifier sees the program: with the log off, nothing of this is left in it.
// A function of its own: the record is put together on the stack.
#[inline(never)]
fn log_drop(ifindex: u32, direction: u32, reason: u32) {
    debug!(&(), "interface {}, direction {}: dropped, reason {}", ifindex, direction, reason);
}

/// What would happen to the frame, without a trace.
#[inline(always)]
pub fn probe<F: Frame + ?Sized>(frame: &F, ifindex: u32, hook: Hook, flags: u32, reply: &mut ProbeReply) {
    reply.magic = MAGIC;
    reply.decision = Decision::NONE.0;
    reply.counter = NO_COUNTER;
    let mut scene = match Scene::set(ifindex, hook, Manner { probe: true, flags }) {
        Ok(scene) => scene,
        Err((_, reason)) => {
            let passes = scene::is_unfiltered(ifindex);
            reply.allowed = u32::from(passes);
            reply.why = if passes { Stage::Exempt as u32 } else { reason as u32 };
            return;
        }
    };
    let verdict = verdict(frame, &mut scene, &mut 0);
    (reply.allowed, reply.why) = match verdict.outcome {
        Ok(stage) => (1, stage as u32),
        Err(reason) => (0, reason as u32),
    };
    reply.decision = verdict.decision.0;
    reply.counter = verdict.counter;
    reply.generation = scene.generation;
    reply.slot = scene.slot;
    reply.direction = scene.direction as u32;
}

/// Parse; then guards, connection, rules (in [`case`]). `bytes` becomes the length to account: of an IP packet without
/// what pads its frame.
#[inline(always)]
fn verdict<F: Frame + ?Sized>(frame: &F, scene: &mut Scene, bytes: &mut u32) -> Verdict {
    let Some(case) = Case::open() else { return Verdict::without_rule(Err(Reason::Internal)) };
    match parse::parse(frame, scene.is_guest(), &mut case.packet, &mut case.arp) {
        Ok(Content::Ip) => *bytes = case.packet.end,
        Ok(Content::Arp) => {
            *bytes = frame.len();
            let passes = guard::check_arp(&Heap, scene.iface, scene.direction, &case.arp, *bytes);
            return Verdict::without_rule(passes.map(|()| Stage::Infrastructure));
        }
        Ok(Content::Other) => {
            *bytes = frame.len();
            return Verdict::without_rule(Ok(Stage::Infrastructure));
        }
        Err(reason) => return Verdict::without_rule(Err(reason)),
    }
    if scene.now >= scene.iface.next_change {
        scene.judged = scene.iface.generation.wrapping_add(version(scene));
    }
    case::judge(frame, scene, case)
}
