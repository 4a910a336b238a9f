//! Policy roots: order, defaults, expiry, audit.

use std::net::IpAddr;

use sg_common::{
    classify::classify,
    heap::{Decision, PolicyRoot},
    interface::flag,
    members::MemberKey,
};

use super::{
    make::{address_groups, allow, apply, at, first, group, interface, net, policy, rule, tcp, try_apply},
    naive::Packet,
};
use crate::{
    compile::{State, members::address, policy::chain},
    policy::model::{Action, Direction, Match, OnIngressChange, Remote},
};

const INGRESS: usize = 0;
const ENFORCED: usize = 0;
const AUDITED: usize = 1;

fn roots(state: &State, view: usize, direction: usize) -> Vec<PolicyRoot> {
    let row = &state.interfaces()["tap1"].row;
    chain(state.heap(), [row.policy, row.audit][view][direction])
}

fn judge(state: &State, root: &PolicyRoot, remote: &str, protocol: u8, detail: Option<u16>) -> Decision {
    let remote: IpAddr = remote.parse().unwrap();
    let packet = Packet { direction: Direction::Ingress, remote, protocol, detail };
    let addr = address(remote);
    let set = state.members().set_of(&MemberKey { addr, zone: 0 });
    classify(state.heap(), root, usize::from(remote.is_ipv6()), &addr, set, packet.service())
}

fn tcp_to(state: &State, remote: &str, port: u16) -> Decision {
    judge(state, &roots(state, ENFORCED, INGRESS)[0], remote, 6, Some(port))
}

#[test]
fn priority_comes_before_deny_and_deny_before_allow() {
    let deny = |port| rule(Direction::Ingress, tcp(port), Remote::Any, Action::Deny);
    let mut urgent = allow(3, Remote::Any);
    let mut late = deny(2);
    (urgent.priority, late.priority) = (1, 2);
    let mut deny_three = deny(3);
    deny_three.priority = 2;
    let rules = vec![allow(1, Remote::Any), deny(1), allow(2, Remote::Any), late, urgent, deny_three];
    let state = first(&policy(vec![group("a", rules)]), &[interface(&["a"], &[])]);
    let place = |port| {
        let decision = tcp_to(&state, "192.0.2.1", port);
        let key = state.interfaces()["tap1"].keys[ENFORCED][INGRESS].clone().unwrap();
        (decision.has(Decision::ALLOW), state.rule(&key, decision.rank()).map(|(_, rule)| rule.index))
    };
    assert_eq!([place(1), place(2), place(3)], [(false, Some(1)), (true, Some(2)), (true, Some(4))]);
    assert_eq!(place(4), (false, None));
}

#[test]
fn a_default_is_open_only_if_every_group_agrees() {
    let (mut a, b) = (group("a", vec![]), group("b", vec![]));
    a.default_ingress = Action::Allow;
    let policy = policy(vec![a, b]);
    let opens = |groups: &[&str]| {
        let state = first(&policy, &[interface(groups, &[])]);
        tcp_to(&state, "192.0.2.1", 1).has(Decision::ALLOW | Decision::DEFAULT)
    };
    assert!(opens(&["a"]));
    assert!(!opens(&["a", "b"]));
}

#[test]
fn an_audit_group_has_no_say_about_mail() {
    let (mut trial, shut, mut open) = (group("trial", vec![]), group("shut", vec![]), group("open", vec![]));
    (trial.audit, trial.allow_smtp, open.allow_smtp) = (true, true, true);
    let mut policy = policy(vec![trial, shut, open]);
    let allows = |policy: &_, groups: &[&str]| {
        let state = first(policy, &[interface(groups, &[])]);
        state.interfaces()["tap1"].row.flags & flag::ALLOW_SMTP != 0
    };
    assert!(!allows(&policy, &["trial", "shut"]));
    assert!(allows(&policy, &["trial", "shut", "open"]));
    if let Some(trial) = policy.groups.get_mut("trial") {
        trial.allow_smtp = false;
    }
    assert!(allows(&policy, &["trial"]), "an audit group drops nothing");
}

#[test]
fn an_audit_group_cuts_nothing() {
    let (mut trial, mut keeper) = (group("trial", vec![]), group("keeper", vec![]));
    (trial.audit, trial.on_ingress_change) = (true, OnIngressChange::Clear);
    keeper.on_ingress_change = OnIngressChange::Keep;
    let policy = policy(vec![trial, keeper]);
    let state = first(&policy, &[interface(&["trial", "keeper"], &[])]);
    assert_ne!(state.interfaces()["tap1"].row.flags & flag::KEEP_INGRESS, 0);
}

#[test]
fn never_means_any() {
    let rules = vec![
        allow(1, Remote::Group("nobody".to_owned())),
        allow(1, Remote::AddressGroup("empty".to_owned())),
        rule(
            Direction::Ingress,
            Match::Icmp { protocol: 1, kind: 0, code: None },
            Remote::Any,
            Action::Allow,
        ),
    ];
    let mut policy = policy(vec![group("a", rules), group("nobody", vec![])]);
    policy.address_groups = address_groups(&[("empty", &[])]);
    let state = first(&policy, &[interface(&["a"], &["10.0.0.1"])]);
    assert!(!tcp_to(&state, "10.0.0.1", 1).has(Decision::ALLOW));
    let root = roots(&state, ENFORCED, INGRESS)[0];
    assert_eq!((root.prefixes, root.members), ([0; 2], [0; 2]));
    let icmp = |kind: u16| judge(&state, &root, "10.0.0.1", 1, Some(kind << 8)).has(Decision::ALLOW);
    assert_eq!([icmp(0), icmp(8)], [true, false]);
    assert_eq!(state.interfaces()["tap1"].row.flags & flag::MEMBERS_INGRESS, 0);
}

#[test]
fn an_interface_without_a_group_lets_nothing_pass() {
    let mut policy = policy(vec![group("a", vec![])]);
    let row = |policy: &_| first(policy, &[interface(&[], &[])]).interfaces()["tap1"].row;
    assert_eq!(row(&policy).policy, [0, 0]);
    policy.settings.default_group = "a".to_owned();
    assert_ne!(row(&policy).policy, [0, 0]);
}

#[test]
fn a_rule_that_expires_is_gone_from_the_next_root_and_keeps_its_rank_until_then() {
    let expiring = |port, seconds| {
        let mut rule = allow(port, net("10.0.0.0/8"));
        rule.expires = Some(at(seconds));
        rule
    };
    let mut egress = expiring(9, 20);
    egress.direction = Direction::Egress;
    let rules = vec![expiring(1, 0), expiring(2, 10), allow(3, Remote::Any), expiring(4, 30), egress];
    let state = first(&policy(vec![group("a", rules)]), &[interface(&["a"], &[])]);
    let ingress = roots(&state, ENFORCED, INGRESS);
    let untils: Vec<u64> = ingress.iter().map(|root| root.until).collect();
    assert_eq!(untils, [6000, 7000, 8000, u64::MAX]);
    assert_eq!(roots(&state, ENFORCED, 1).iter().map(|root| root.until).collect::<Vec<_>>(), untils);
    assert_eq!(ingress.iter().map(|root| root.version).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let ranks =
        |root: &PolicyRoot| [1, 2, 3, 4].map(|port| judge(&state, root, "10.0.0.1", 6, Some(port)).rank());
    assert_eq!(ranks(&ingress[0]), [4, 1, 2, 3]);
    assert_eq!(ranks(&ingress[1]), [4, 4, 2, 3]);
    assert_eq!(ranks(&ingress[3]), [4, 4, 2, 4]);
    assert_eq!(state.interfaces()["tap1"].row.next_change, 6000);
}

#[test]
fn too_many_expiry_times_are_refused() {
    let rules = |count| {
        let expiring = |n| {
            let mut rule = allow(1, Remote::Any);
            rule.expires = Some(at(n));
            rule
        };
        policy(vec![group("a", (1..=count).map(expiring).collect())])
    };
    let plan = |count| {
        let policy = rules(count);
        try_apply(&State::new(policy.settings.limits), &policy, &[interface(&["a"], &[])])
    };
    assert!(plan(63).is_ok());
    let error = plan(64).unwrap_err().to_string();
    assert!(error.contains("64 different times: at most 63"), "{error}");
}

#[test]
fn an_audit_group_drops_nothing_and_is_counted() {
    let mut a = group("a", vec![allow(1, Remote::Any)]);
    a.audit = true;
    let b = group("b", vec![allow(2, Remote::Any)]);
    let policy = policy(vec![a, b]);
    let allows = |state: &State, view, port| {
        judge(state, &roots(state, view, INGRESS)[0], "192.0.2.1", 6, Some(port)).has(Decision::ALLOW)
    };
    let alone = first(&policy, &[interface(&["a"], &[])]);
    assert!([1, 2, 3].iter().all(|&port| allows(&alone, ENFORCED, port)));
    assert_eq!([1, 2, 3].map(|port| allows(&alone, AUDITED, port)), [true, false, false]);
    let both = first(&policy, &[interface(&["a", "b"], &[])]);
    assert_eq!([1, 2, 3].map(|port| allows(&both, ENFORCED, port)), [false, true, false]);
    assert_eq!([1, 2, 3].map(|port| allows(&both, AUDITED, port)), [true, true, false]);
    let plain = first(&policy, &[interface(&["b"], &[])]);
    assert_eq!(plain.interfaces()["tap1"].row.audit, [0, 0]);
}

#[test]
fn stateless_marks_what_stateless_groups_allow() {
    let mut a = group("a", vec![allow(1, Remote::Any)]);
    a.stateful = false;
    let b = group("b", vec![allow(2, Remote::Any)]);
    let policy = policy(vec![a, b]);
    let marks = |groups: &[&str]| {
        let state = first(&policy, &[interface(groups, &[])]);
        let flags = state.interfaces()["tap1"].row.flags;
        let mark = |port| tcp_to(&state, "192.0.2.1", port).has(Decision::STATELESS);
        ([mark(1), mark(2), mark(3)], flags & flag::STATELESS_DEFAULT != 0)
    };
    assert_eq!(marks(&["a"]), ([true, true, true], true));
    assert_eq!(marks(&["a", "b"]), ([true, false, false], false));
}

#[test]
fn interfaces_with_the_same_groups_share_one_policy() {
    let rules = (0..50).map(|n| allow(n, net(&format!("10.0.{n}.0/24")))).collect();
    let policy = policy(vec![group("a", rules)]);
    let lines = |count| first(&policy, &vec![interface(&["a"], &["10.0.0.1"]); count]).heap().high_water();
    assert_eq!(lines(1), lines(1000));
    let (plan, _) = apply(&State::new(policy.settings.limits), &policy, &vec![interface(&["a"], &[]); 1000]);
    assert!(plan.interfaces.iter().all(|(_, row)| row.policy == plan.interfaces[0].1.policy));
}
