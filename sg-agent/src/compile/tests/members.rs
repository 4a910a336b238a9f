//! Members changed one at a time.

use std::net::IpAddr;

use sg_common::{
    classify::classify,
    heap::{Decision, service},
    members::MemberKey,
};

use super::make::{allow, apply, clock, first, group, interface, policy};
use crate::{
    compile::{MemberChange, State, members::address, policy::chain, random::Random},
    policy::{Policy, model::Remote},
};

fn three_groups() -> Policy {
    policy(vec![
        group("a", vec![allow(1, Remote::Group("a".to_owned())), allow(2, Remote::Group("b".to_owned()))]),
        group("b", vec![allow(3, Remote::Any)]),
        group("c", vec![]),
    ])
}

fn change(addr: &str, group: &str, is_added: bool) -> MemberChange {
    MemberChange { zone: String::new(), addr: addr.parse().unwrap(), group: group.to_owned(), is_added }
}

/// Whether TCP from `remote` to `port` of `tap1` passes.
fn passes(state: &State, remote: &str, port: u16) -> bool {
    let row = state.interfaces()["tap1"].row;
    let root = chain(state.heap(), row.policy[0])[0];
    let addr = address(remote.parse::<IpAddr>().unwrap());
    let set = state.members().set_of(&MemberKey { addr, zone: 0 });
    classify(state.heap(), &root, 0, &addr, set, service(6, port)).has(Decision::ALLOW)
}

#[test]
fn a_member_of_a_known_set_is_one_update() {
    let specs = [interface(&["a"], &["10.0.0.1"]), interface(&["b"], &["10.0.0.2"])];
    let mut state = first(&three_groups(), &specs);
    assert!(passes(&state, "10.0.0.1", 1) && !passes(&state, "10.0.0.9", 1));
    let generation = state.generation();
    let plan = state.change_members(&[change("10.0.0.9", "a", true)], &clock()).unwrap();
    assert!(plan.lines.is_empty() && !plan.is_empty());
    let (_, membership) = plan.members[0];
    assert_eq!((membership.before, membership.since), (0, generation + 1));
    assert!(passes(&state, "10.0.0.9", 1));
    // Its group is named by tap1's policy and by none of tap2's.
    let generations = |state: &State| ["tap1", "tap2"].map(|name| state.interfaces()[name].row.generation);
    assert_eq!(generations(&state), [generation + 1, generation]);
    let plan = state.change_members(&[change("10.0.0.9", "a", false)], &clock()).unwrap();
    assert_eq!(plan.members_to_remove.len(), 1);
    assert!(!passes(&state, "10.0.0.9", 1));
    assert!(state.change_members(&[change("10.0.0.9", "a", false)], &clock()).unwrap().is_empty());
}

#[test]
fn a_new_set_makes_only_membership_trees_again() {
    let mut state = first(&three_groups(), &[interface(&["a"], &["10.0.0.1"])]);
    let before = chain(state.heap(), state.interfaces()["tap1"].row.policy[0])[0];
    let changes = [change("10.0.0.9", "a", true), change("10.0.0.9", "b", true)];
    let plan = state.change_members(&changes, &clock()).unwrap();
    assert_eq!((plan.members.len(), plan.members[0].1.before), (1, 0));
    assert!(passes(&state, "10.0.0.9", 1) && passes(&state, "10.0.0.9", 2) && !passes(&state, "10.0.0.1", 2));
    let after = chain(state.heap(), state.interfaces()["tap1"].row.policy[0])[0];
    assert_eq!((before.base, before.prefixes), (after.base, after.prefixes));
    assert_ne!(before.members, after.members);
    // A group that nobody names changes the set, not the verdict.
    state.change_members(&[change("10.0.0.9", "c", true)], &clock()).unwrap();
    assert!(passes(&state, "10.0.0.9", 1) && passes(&state, "10.0.0.9", 2));
}

#[test]
fn a_member_for_two_reasons_stays_when_one_goes() {
    let specs = [interface(&["a"], &["10.0.0.1"]), interface(&["a"], &["10.0.0.1"])];
    let mut state = first(&three_groups(), &specs);
    assert!(state.change_members(&[change("10.0.0.1", "a", false)], &clock()).unwrap().is_empty());
    assert!(passes(&state, "10.0.0.1", 1));
    assert!(!state.change_members(&[change("10.0.0.1", "a", false)], &clock()).unwrap().is_empty());
    assert!(!passes(&state, "10.0.0.1", 1));
}

#[test]
fn a_change_that_does_not_fit_changes_nothing() {
    let mut policy = three_groups();
    policy.settings.limits.members = 2;
    let mut state = first(&policy, &[interface(&["a"], &["10.0.0.1"])]);
    let changes = [change("10.0.0.8", "b", true), change("10.0.0.9", "b", true)];
    let error = state.change_members(&changes, &clock()).unwrap_err();
    assert!(error.to_string().contains("settings.limits.members"), "{error}");
    assert_eq!(state.members().len(), 1);
    assert!(!passes(&state, "10.0.0.8", 2));
    assert!(apply(&state, &policy, &[interface(&["a"], &["10.0.0.1"])]).0.is_empty());
}

#[test]
fn a_new_set_without_room_for_its_rows_changes_nothing() {
    let mut policy = three_groups();
    let specs = [interface(&["a"], &["10.0.0.1"])];
    let lines = first(&policy, &specs).heap().high_water();
    // Room in a half for just what there is, and two rows less than the new sets need.
    policy.settings.limits.policy_bytes = u64::from(lines + 2) * 2 * 64;
    let mut state = first(&policy, &specs);
    let changes =
        [change("10.0.0.8", "b", true), change("10.0.0.9", "a", true), change("10.0.0.9", "b", true)];
    let error = state.change_members(&changes, &clock()).unwrap_err();
    assert!(error.to_string().contains("settings.limits.policy_bytes"), "{error}");
    assert_eq!((state.heap().high_water(), state.members().len()), (lines, 1));
    assert!(apply(&state, &policy, &specs).0.is_empty());
}

#[test]
fn changing_one_by_one_ends_where_a_whole_plan_does() {
    let mut random = Random::new(7);
    let mut policy = three_groups();
    let specs = [interface(&["a", "b"], &["10.0.0.1"]), interface(&["a"], &["10.0.0.2"])];
    let mut state = first(&policy, &specs);
    for _ in 0..200 {
        let addr = format!("10.0.0.{}", random.below(6));
        let name = *random.pick(&["a", "b", "c"]);
        let members = &mut policy.groups.get_mut(name).unwrap().members;
        let net = format!("{addr}/32").parse().unwrap();
        let at = members.iter().position(|&member| member == net);
        match at {
            Some(at) => drop(members.remove(at)),
            None => members.push(net),
        }
        state.change_members(&[change(&addr, name, at.is_none())], &clock()).unwrap();
        let whole = first(&policy, &specs);
        for last in 0..6 {
            for port in 1..4 {
                let remote = format!("10.0.0.{last}");
                assert_eq!(passes(&state, &remote, port), passes(&whole, &remote, port), "{remote} {port}");
            }
        }
        let groups = |state: &State| -> Vec<_> {
            let sets = state.members().sets();
            state.members().all().map(|(key, set)| (key, sets.groups(set).to_vec())).collect()
        };
        assert_eq!(groups(&state), groups(&whole));
    }
}
