//! The counters.

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray},
    helpers::bpf_get_smp_processor_id,
    macros::btf_map,
};
use sg_common::{
    opaque::opaque,
    stats::{DirectionStats, InterfaceStats, RuleCounter},
    verdict::Reason,
};

use crate::MMAPABLE;

#[btf_map]
static STATS: PerCpuArray<InterfaceStats, 4096> = PerCpuArray::new();
// A part for each CPU, one after the other: a per-CPU array could not be mapped by the agent.
#[btf_map]
static RULE_COUNTERS: Array<RuleCounter, 262144, MMAPABLE> = Array::new();

/// Counters of one CPU's part; the loader sets it.
#[unsafe(no_mangle)]
static SG_RULE_COUNTERS: u32 = 0;

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
    // SAFETY: a static is valid for reads; volatile because the loader writes it.
    let counters = unsafe { (&raw const SG_RULE_COUNTERS).read_volatile() };
    if counter >= counters {
        return;
    }
    // SAFETY: the helper takes no argument and cannot fail.
    let first = unsafe { bpf_get_smp_processor_id() } * counters;
    if let Some(counter) = RULE_COUNTERS.get_ptr_mut(first + counter) {
        // SAFETY: the element is this CPU's own.
        let counter = unsafe { &mut *counter };
        counter.packets += 1;
        counter.bytes += u64::from(bytes);
        counter.last_hit = now;
    }
}
