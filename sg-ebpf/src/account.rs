//! The counters.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use sg_common::{
    opaque::opaque,
    stats::{DirectionStats, InterfaceStats, RuleCounter},
    verdict::Reason,
};

#[btf_map]
static STATS: PerCpuArray<InterfaceStats, 4096> = PerCpuArray::new();
#[btf_map]
static RULE_COUNTERS: PerCpuArray<RuleCounter, 262144> = PerCpuArray::new();

#[inline(always)]
fn with(slot: u32, direction: usize, count: impl FnOnce(&mut DirectionStats)) {
    if let Some(stats) = STATS.get_ptr_mut(slot) {
        // SAFETY: the element is this CPU's own; interrupting programs may lose an increment, not more.
        count(unsafe { &mut (*stats).0[direction & 1] });
    }
}

/// Counts a packet that passes.
#[inline(always)]
pub fn allowed(slot: u32, direction: usize, bytes: u32) {
    with(slot, direction, |stats| {
        stats.allowed += 1;
        stats.allowed_bytes += u64::from(bytes);
    });
}

/// Counts a dropped packet; slot 0 for an interface that is not known.
#[inline(always)]
pub fn dropped(slot: u32, direction: usize, reason: Reason) {
    // The compiler knows that a reason is below COUNT and leaves the mask out; the verifier does not ("R1 max value is
    // outside of the allowed memory range").
    let reason = opaque(reason as u64) as usize & (Reason::COUNT - 1);
    with(slot, direction, |stats| stats.dropped[reason] += 1);
}

/// Counts a packet that an audit group would have dropped.
#[inline(always)]
pub fn audited(slot: u32, direction: usize) {
    with(slot, direction, |stats| stats.audited += 1);
}

/// Counts a connection that was opened.
#[inline(always)]
pub fn opened(slot: u32, direction: usize) {
    with(slot, direction, |stats| stats.opened += 1);
}

/// Counts a packet for the rule that decided it; a number without a counter counts nowhere.
#[inline(always)]
pub fn rule(counter: u32, bytes: u32, now: u64) {
    if let Some(counter) = RULE_COUNTERS.get_ptr_mut(counter) {
        // SAFETY: the element is this CPU's own.
        let counter = unsafe { &mut *counter };
        counter.packets += 1;
        counter.bytes += u64::from(bytes);
        counter.last_hit = now;
    }
}
