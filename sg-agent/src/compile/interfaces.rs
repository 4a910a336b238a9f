//! What the kernel is told of an interface.

use std::{collections::BTreeSet, sync::Arc};

use sg_common::interface::{Interface, flag};

use super::{
    counters::CounterRange,
    error::DoesNotFit,
    heap::Heap,
    order::{PolicyKey, View},
    policy::CompiledPolicy,
    sources,
};
use crate::policy::{
    Policy,
    model::{self, Direction, Group, LinkLocal, OnIngressChange, Role},
};

/// A device and the entry of the policy file that speaks of it.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// Name of the device.
    pub name: &'a str,
    /// Its index.
    pub ifindex: u32,
    /// Its place in the directory, 1 or more.
    pub slot: u32,
    /// The entry.
    pub spec: &'a model::Interface,
}

/// Something for each view and direction: `[enforced, audited]` by `[ingress, egress]`.
pub type Each<T> = [[T; 2]; 2];

/// Directions in the order of their index.
const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];
/// Views in the order of their index.
const VIEWS: [View; 2] = [View::Enforced, View::Audited];
/// Flags that follow from membership, which is compared by itself.
const MEMBER_FLAGS: u32 = flag::MEMBERS_INGRESS | flag::MEMBERS_EGRESS;

/// The policies of an interface bound to `bound`: none without groups, audited ones only with an audit group.
pub fn keys(policy: &Policy, bound: &[String]) -> Each<Option<PolicyKey>> {
    let is_audited = bound.iter().any(|name| policy.groups.get(name).is_some_and(|group| group.audit));
    let exists = |view| !bound.is_empty() && (view == View::Enforced || is_audited);
    let key = |view, direction| PolicyKey { bound: bound.to_vec(), view, direction };
    VIEWS.map(|view| DIRECTIONS.map(|direction| exists(view).then(|| key(view, direction))))
}

/// The directory entry, but for generations and counters.
pub fn row(
    heap: &mut Heap,
    policy: &Policy,
    binding: &Binding,
    zone: u32,
    bound: &[String],
    compiled: &Each<Option<Arc<CompiledPolicy>>>,
) -> Result<Interface, DoesNotFit> {
    let spec = binding.spec;
    let expiries = compiled.iter().flatten().flatten().filter_map(|it| it.expiries.first());
    let (first_v4, first_v6) = sources::first(spec);
    let mut row = Interface {
        next_change: expiries.map(|expiry| expiry.tick).min().unwrap_or(u64::MAX),
        flags: flags(policy, spec, bound),
        zone,
        sources: sources::sources(heap, binding.name, spec)?,
        exempt: sources::exempt(heap, spec)?,
        ifindex: binding.ifindex,
        first_v4,
        first_v6,
        mac: spec.mac.unwrap_or_default(),
        ..Interface::default()
    };
    set_policies(&mut row, compiled);
    Ok(row)
}

/// Sets the policy roots of a directory entry and the flags that go with them.
pub fn set_policies(row: &mut Interface, compiled: &Each<Option<Arc<CompiledPolicy>>>) {
    let roots = |view: usize| {
        [0, 1].map(|direction: usize| compiled[view][direction].as_ref().map_or(0, |it| it.root))
    };
    row.policy = roots(0);
    row.audit = roots(1);
    row.flags = row.flags & !MEMBER_FLAGS | member_flags(compiled);
}

/// Sets the counter bases of a directory entry.
pub fn set_counters(row: &mut Interface, ranges: &Each<CounterRange>) {
    let bases = |view: usize| [ranges[view][0].base, ranges[view][1].base];
    row.counters = bases(0);
    row.audit_counters = bases(1);
}

/// Whether two sets of flags judge alike.
pub fn flags_judge_alike(a: u32, b: u32) -> bool {
    (a ^ b) & !MEMBER_FLAGS == 0
}

/// What a change does to connections from outside: the strictest that a bound group says.
pub fn on_change(policy: &Policy, bound: &[String]) -> OnIngressChange {
    // A stateless group has no connections, and its file may not say what becomes of them; an audit group cuts none.
    let has_a_say = |group: &&Group| group.stateful && !group.audit;
    let of = |name: &String| policy.groups.get(name).filter(has_a_say).map(|group| group.on_ingress_change);
    bound.iter().filter_map(of).max().unwrap_or_default()
}

/// Groups that a policy of the interface names as remote.
pub fn remotes(compiled: &Each<Option<Arc<CompiledPolicy>>>) -> BTreeSet<&str> {
    compiled.iter().flatten().flatten().flat_map(|it| &it.remotes).map(String::as_str).collect()
}

/// The policy bits of [`flag`] that depend on membership.
pub fn member_flags(compiled: &Each<Option<Arc<CompiledPolicy>>>) -> u32 {
    let looked_up = |direction: usize| {
        compiled.iter().any(|view| view[direction].as_ref().is_some_and(|compiled| compiled.has_members))
    };
    let flags = [flag::MEMBERS_INGRESS, flag::MEMBERS_EGRESS];
    (0..2).filter(|&direction| looked_up(direction)).fold(0, |all, direction| all | flags[direction])
}

/// `allow_smtp` adds up as allow rules do: one bound group that sets it is enough. An audit group neither opens nor
/// shuts anything, so where only such are bound, mail passes like the rest.
fn flags(policy: &Policy, spec: &model::Interface, bound: &[String]) -> u32 {
    let of = |name: &String| policy.groups.get(name).filter(|group| !group.audit);
    let mut enforced_groups = bound.iter().filter_map(of).peekable();
    let is_audited_only = !bound.is_empty() && enforced_groups.peek().is_none();
    let allows_smtp = is_audited_only || enforced_groups.any(|group| group.allow_smtp);
    let enforced = PolicyKey { bound: bound.to_vec(), view: View::Enforced, direction: Direction::Ingress };
    let keeps = !bound.is_empty() && on_change(policy, bound) == OnIngressChange::Keep;
    let when = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
    flag::BOUND
        | when(spec.role == Role::Guest, flag::GUEST)
        | when(spec.anti_spoof, flag::ANTI_SPOOF)
        | when(spec.link_local == LinkLocal::Eui64, flag::EUI64_ONLY)
        | when(allows_smtp, flag::ALLOW_SMTP)
        | when(keeps, flag::KEEP_INGRESS)
        | when(enforced.is_stateless(policy), flag::STATELESS_DEFAULT)
}
