//! From one state to the next.

use sg_common::interface::{Interface, flag};

use super::make::{
    address_groups, allow, apply, apply_at, at, clock, first, group, interface, net, policy, try_apply,
};
use crate::{
    compile::{
        Clock, State,
        counters::{CounterRange, Run},
    },
    policy::{
        Policy,
        model::{Action, AddressPair, Group, Interface as Spec, OnIngressChange, Remote},
    },
};

fn two_groups() -> Policy {
    policy(vec![
        group("a", vec![allow(1, Remote::Any), allow(2, net("10.0.0.0/8"))]),
        group("b", vec![allow(3, Remote::Group("b".to_owned()))]),
    ])
}

fn row(state: &State, name: &str) -> Interface {
    state.interfaces()[name].row
}

#[test]
fn the_same_policy_again_is_an_empty_plan() {
    let policy = two_groups();
    let specs = [interface(&["a"], &["10.0.0.1"]), interface(&["b"], &["10.0.0.2"])];
    let state = first(&policy, &specs);
    let (plan, next) = apply(&state, &policy, &specs);
    assert!(plan.is_empty());
    assert_eq!(next.generation(), state.generation());
    // A description judges nothing, but is listed.
    let mut described = policy.clone();
    described.groups.get_mut("a").unwrap().rules[0].description = "web".to_owned();
    let (plan, next) = apply(&next, &described, &specs);
    assert!(plan.is_empty());
    assert!(next.rules().any(|listed| listed.rule.description == "web"));
}

#[test]
fn a_change_moves_only_the_generations_of_those_it_judges() {
    let mut policy = two_groups();
    let specs = [interface(&["a"], &["10.0.0.1"]), interface(&["b"], &["10.0.0.2"])];
    let old = first(&policy, &specs);
    policy.groups.get_mut("a").unwrap().rules.push(allow(9, Remote::Any));
    let (plan, new) = apply(&old, &policy, &specs);
    assert_eq!(row(&new, "tap1").generation, plan.generation);
    assert_eq!(row(&new, "tap1").born, row(&old, "tap1").born);
    assert_eq!(row(&new, "tap1").cleared, row(&old, "tap1").cleared);
    assert_eq!(row(&new, "tap2"), row(&old, "tap2"));
    // A new member of b judges b's interfaces anew.
    let more = [specs[0].clone(), specs[1].clone(), interface(&["b"], &["10.0.0.3"])];
    let (plan, newer) = apply(&new, &policy, &more);
    assert_eq!(row(&newer, "tap1"), row(&new, "tap1"));
    assert_eq!(row(&newer, "tap2").generation, plan.generation);
    assert_eq!(row(&newer, "tap3").born, plan.generation);
    assert_eq!(plan.members.len(), 1);
    let (plan, _) = apply(&newer, &policy, &specs);
    assert_eq!((plan.unbound, plan.members_to_remove.len()), (vec![3], 1));
}

#[test]
fn clear_and_keep_follow_the_strictest_group() {
    let mut policy = two_groups();
    policy.groups.get_mut("a").unwrap().on_ingress_change = OnIngressChange::Clear;
    policy.groups.get_mut("b").unwrap().on_ingress_change = OnIngressChange::Keep;
    let specs = [interface(&["a", "b"], &[]), interface(&["b"], &[])];
    let old = first(&policy, &specs);
    policy.groups.get_mut("b").unwrap().rules.push(allow(9, Remote::Any));
    let (plan, new) = apply(&old, &policy, &specs);
    assert_eq!(row(&new, "tap1").cleared, plan.generation);
    assert_eq!(row(&new, "tap2").cleared, row(&old, "tap2").cleared);
    let keeps = |name| row(&new, name).flags & flag::KEEP_INGRESS != 0;
    assert_eq!([keeps("tap1"), keeps("tap2")], [false, true]);
}

#[test]
fn an_unchanged_rule_takes_its_count_along() {
    let mut policy = two_groups();
    let specs = [interface(&["a"], &[])];
    let old = first(&policy, &specs);
    let mut urgent = allow(7, Remote::Any);
    urgent.index = 2;
    urgent.action = crate::policy::model::Action::Deny;
    policy.groups.get_mut("a").unwrap().rules.push(urgent);
    let (plan, new) = apply(&old, &policy, &specs);
    let (from, to) = (row(&old, "tap1").counters[0], row(&new, "tap1").counters[0]);
    assert_ne!(from, to);
    assert_eq!(plan.counters_to_zero, [CounterRange { base: to, len: 4 }]);
    let moves: Vec<_> =
        plan.counter_moves.iter().flat_map(Run::pairs).map(|(a, b)| (a - from, b - to)).collect();
    assert_eq!(moves, [(0, 1), (1, 2), (2, 3)]);
    assert_eq!(row(&old, "tap1").counters[1], row(&new, "tap1").counters[1]);
    let listed: Vec<_> = new.rules().map(|listed| (listed.counter - to, listed.rule.index)).collect();
    assert_eq!(listed, [(0, 2), (1, 0), (2, 1)]);
    // The old range is free for the plan after.
    policy.groups.get_mut("a").unwrap().rules.pop();
    let (_, newer) = apply(&new, &policy, &specs);
    assert_eq!(row(&newer, "tap1").counters[0], from);
}

#[test]
fn a_full_half_is_left_for_the_other_and_a_policy_too_large_is_refused() {
    let make = |round: u16, rules: u16| {
        let rule = |n: u16| allow(round * 2000 + n, net(&format!("10.{round}.{}.{}/32", n >> 8, n & 255)));
        let mut policy = policy(vec![group("a", (0..rules).map(rule).collect())]);
        policy.settings.limits.policy_bytes = 1 << 20;
        policy
    };
    let specs = [interface(&["a"], &["10.0.0.1"])];
    let mut state = first(&make(0, 2000), &specs);
    let mut switches = 0;
    for round in 1..12 {
        let policy = make(round, 2000);
        let (plan, next) = apply(&state, &policy, &specs);
        switches += u32::from(plan.switches_heap_half);
        let middle = (1 << 20) / 64 / 2;
        for (first, lines) in &plan.lines {
            let last = first + lines.len() as u32 - 1;
            assert_eq!((*first < middle, last < middle), (next.heap().half() == 0, next.heap().half() == 0));
        }
        assert!(apply(&next, &policy, &specs).0.is_empty());
        state = next;
    }
    assert!(switches >= 3, "{switches}");
    let error = try_apply(&state, &make(0, 20_000), &specs).unwrap_err().to_string();
    assert!(error.contains("settings.limits.policy_bytes (1048576)"), "{error}");
}

#[test]
fn limits_name_their_setting() {
    let refused = |change: fn(&mut Policy)| {
        let mut policy = two_groups();
        policy.groups.get_mut("b").unwrap().members = vec!["10.0.0.9/32".parse().unwrap()];
        change(&mut policy);
        let specs = [interface(&["b"], &["10.0.0.1"]), interface(&["a"], &[])];
        try_apply(&State::new(policy.settings.limits), &policy, &specs).unwrap_err().to_string()
    };
    assert!(
        refused(|policy| policy.settings.limits.rule_counters = 6)
            .contains("settings.limits.rule_counters (now 6)")
    );
    assert!(refused(|policy| policy.settings.limits.members = 1).contains("settings.limits.members (now 1)"));
    assert!(
        refused(|policy| policy.settings.limits.interfaces = 1)
            .contains("settings.limits.interfaces (now 1)")
    );
}

#[test]
fn a_saved_state_goes_on_where_it_was() {
    let policy = two_groups();
    let mut specs = vec![interface(&["a"], &["10.0.0.1"]), interface(&["b"], &["10.0.0.2", "fd00::2"])];
    specs[1].zone = "blue".to_owned();
    let state = first(&policy, &specs);
    let bytes = postcard::to_stdvec(&state.save()).unwrap();
    let saved: crate::compile::Saved = postcard::from_bytes(&bytes).unwrap();
    let saved = saved.with_policy(Policy::clone(state.policy()));
    assert_eq!(saved.heap_lines(), state.heap().base()..state.heap().high_water());
    let restored = State::restore(saved, state.heap().new_lines_since(0));
    let (plan, _) = apply(&restored, &policy, &specs);
    assert!(plan.is_empty());
    specs[1].addresses.pop();
    let (a, b) = (apply(&state, &policy, &specs), apply(&restored, &policy, &specs));
    assert_eq!(a.0, b.0);
}

#[test]
fn sources_carry_their_mac_addresses() {
    use sg_common::{
        heap::{TreeRef, search_v4},
        interface::Owner,
    };
    let policy = two_groups();
    let own = Some([2, 0, 0, 0, 0, 1]);
    let vrrp = Some([0, 0, 0x5e, 0, 1, 1]);
    let mut spec = interface(&["a"], &["10.0.0.5", "10.0.0.6", "fd00::5"]);
    let pair = |prefix: &str, mac| AddressPair { prefix: prefix.parse().unwrap(), mac };
    spec.allowed_address_pairs =
        vec![pair("10.0.0.5/32", vrrp), pair("10.0.1.0/24", None), pair("10.0.1.9/32", vrrp)];
    spec.exempt = vec!["192.168.0.0/16".parse().unwrap()];
    let state = first(&policy, &[spec]);
    let row = row(&state, "tap1");
    let macs = |addr: [u8; 4]| {
        let line = state.heap().line(search_v4(state.heap(), TreeRef(row.sources[0]), addr))?;
        let owner: Owner = zerocopy::transmute!(*line);
        Some(owner.macs[..owner.count as usize].iter().copied().map(Some).collect::<Vec<_>>())
    };
    assert_eq!(macs([10, 0, 0, 5]), Some(vec![vrrp, own]));
    assert_eq!(macs([10, 0, 0, 6]), Some(vec![own]));
    assert_eq!(macs([10, 0, 1, 1]), Some(vec![own]));
    assert_eq!(macs([10, 0, 1, 9]), Some(vec![vrrp, own]));
    assert_eq!(macs([10, 0, 0, 7]), None);
    assert_eq!((row.first_v4, row.first_v6[15]), ([10, 0, 0, 6], 5));
    let exempt = |addr| search_v4(state.heap(), TreeRef(row.exempt[0]), addr) != 0;
    assert_eq!([exempt([192, 168, 3, 4]), exempt([192, 169, 0, 0])], [true, false]);
}

/// Whether a change of `tap1`'s group or entry has its connections judged again.
fn judged_again(change: impl Fn(&mut Group, &mut Spec)) -> bool {
    let mut policy = two_groups();
    let mut specs = [interface(&["a"], &["10.0.0.1"])];
    let old = first(&policy, &specs);
    change(policy.groups.get_mut("a").unwrap(), &mut specs[0]);
    let (plan, new) = apply(&old, &policy, &specs);
    // Whatever changed, what is made of it must be what a fresh start makes.
    let fresh = first(&policy, &specs);
    let defaults = |state: &State| {
        let roots = crate::compile::policy::chain(state.heap(), row(state, "tap1").policy[0]);
        (roots[0].default, row(state, "tap1").flags, row(state, "tap1").audit == [0, 0])
    };
    assert_eq!(defaults(&new), defaults(&fresh));
    row(&new, "tap1").generation == plan.generation
}

#[test]
fn what_judges_otherwise_has_connections_judged_again() {
    assert!(judged_again(|group, _| group.stateful = false));
    assert!(judged_again(|group, _| group.audit = true));
    assert!(judged_again(|group, _| group.default_ingress = Action::Allow));
    assert!(judged_again(|group, _| group.default_egress = Action::Deny));
    assert!(judged_again(|group, _| group.allow_smtp = true));
    assert!(judged_again(|group, _| group.rules[0].priority = 2));
    assert!(judged_again(|group, _| drop(group.rules.pop())));
    assert!(judged_again(|_, spec| spec.zone = "blue".to_owned()));
    assert!(judged_again(|_, spec| spec.groups.push("b".to_owned())));
    assert!(!judged_again(|group, _| group.description = "web".to_owned()));
    assert!(!judged_again(|group, _| group.rules[1].index = 7));
    assert!(!judged_again(|_, spec| spec.mac = None));
    assert!(!judged_again(|_, spec| spec.exempt = vec!["10.9.0.0/16".parse().unwrap()]));
}

#[test]
fn an_address_group_that_changes_judges_those_who_name_it() {
    let mut policy = two_groups();
    policy.groups.get_mut("a").unwrap().rules.push(allow(9, Remote::AddressGroup("office".to_owned())));
    policy.address_groups = address_groups(&[("office", &["192.0.2.0/24"])]);
    let specs = [interface(&["a"], &[]), interface(&["b"], &[])];
    let old = first(&policy, &specs);
    policy.address_groups = address_groups(&[("office", &[])]);
    let (plan, new) = apply(&old, &policy, &specs);
    assert_eq!(row(&new, "tap1").generation, plan.generation);
    assert_eq!(row(&new, "tap2"), row(&old, "tap2"));
}

#[test]
fn an_expiry_that_has_passed_stays_passed() {
    let mut policy = two_groups();
    policy.groups.get_mut("a").unwrap().rules[0].expires = Some(at(10));
    policy.settings.limits.policy_bytes = 64 * 64;
    let specs = [interface(&["a"], &[]), interface(&["b"], &[])];
    let old = first(&policy, &specs);
    let later = Clock { now_wall: at(20), now_tick: 7001, ..clock() };
    // The chain of roots went on by itself: nothing to do.
    let (plan, mut state) = apply_at(&old, &policy, &specs, &later).unwrap();
    assert!(plan.is_empty());
    // Filling the heap moves everything into the other half, where the expired rule has no root any more: versions
    // count anew there, above all that were.
    for round in 0.. {
        let network = format!("10.{round}.0.0/16");
        policy.groups.get_mut("b").unwrap().rules = vec![allow(3, net(&network))];
        let (plan, next) = apply_at(&state, &policy, &specs, &later).unwrap();
        let is_anew = row(&next, "tap1").generation != row(&state, "tap1").generation;
        assert_eq!(is_anew, plan.switches_heap_half);
        state = next;
        if is_anew {
            assert!(row(&state, "tap1").generation > row(&old, "tap1").generation + 1);
            assert_eq!(row(&state, "tap1").next_change, u64::MAX);
            break;
        }
    }
}

#[test]
fn a_clock_that_was_set_moves_the_expiries() {
    let mut policy = two_groups();
    policy.groups.get_mut("a").unwrap().rules[0].expires = Some(at(100));
    let specs = [interface(&["a"], &[]), interface(&["b"], &[])];
    let old = first(&policy, &specs);
    assert_eq!(row(&old, "tap1").next_change, 5000 + 100 * 100);
    // Ten seconds later by the ticks, 70 by the wall clock: somebody has set it ahead by a minute.
    let ahead = Clock { now_wall: at(70), now_tick: 6000, ..clock() };
    let (plan, new) = apply_at(&old, &policy, &specs, &ahead).unwrap();
    assert!(!plan.is_empty());
    assert_eq!(row(&new, "tap1").next_change, 6000 + 30 * 100);
    assert!(row(&new, "tap1").generation > row(&old, "tap1").generation);
    assert_eq!(row(&new, "tap2"), row(&old, "tap2"));
    // And back, past the rule's end: it has another life.
    let back = Clock { now_wall: at(0), now_tick: 9000, ..clock() };
    let (_, new) = apply_at(&new, &policy, &specs, &back).unwrap();
    assert_eq!(row(&new, "tap1").next_change, 9000 + 100 * 100);
    let (plan, _) = apply_at(&new, &policy, &specs, &back).unwrap();
    assert!(plan.is_empty());
}
