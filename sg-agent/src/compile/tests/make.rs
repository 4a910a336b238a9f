//! Policies in few words.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    compile::{Binding, Clock, DoesNotFit, Plan, State, plan},
    policy::{
        Policy,
        model::{
            Action, AddressGroup, Direction, Group, Interface, LinkLocal, Match, OnIngressChange, PortRange,
            Remote, Role, Rule, RxHook,
        },
    },
};

pub fn group(name: &str, rules: Vec<Rule>) -> Group {
    let mut group = Group {
        name: name.to_owned(),
        description: String::new(),
        stateful: true,
        default_ingress: Action::Deny,
        default_egress: Action::Allow,
        allow_smtp: false,
        on_ingress_change: OnIngressChange::Recheck,
        audit: false,
        members: Vec::new(),
        rules,
    };
    for (index, rule) in (0..).zip(&mut group.rules) {
        rule.index = index;
    }
    group
}

pub fn rule(direction: Direction, matches: Match, remote: Remote, action: Action) -> Rule {
    Rule {
        index: 0,
        description: String::new(),
        direction,
        matches,
        remote,
        families: [true, true],
        action,
        priority: 1,
        expires: None,
    }
}

/// An ingress rule that allows TCP to `port`.
pub fn allow(port: u16, remote: Remote) -> Rule {
    rule(Direction::Ingress, tcp(port), remote, Action::Allow)
}

pub fn tcp(port: u16) -> Match {
    Match::Ports(6, vec![PortRange { first: port, last: port }])
}

pub fn net(text: &str) -> Remote {
    Remote::Prefix(text.parse().unwrap())
}

pub fn interface(groups: &[&str], addresses: &[&str]) -> Interface {
    Interface {
        name: String::new(),
        role: Role::Guest,
        groups: groups.iter().map(|&name| name.to_owned()).collect(),
        addresses: addresses.iter().map(|addr| addr.parse::<IpAddr>().unwrap()).collect(),
        mac: Some([2, 0, 0, 0, 0, 1]),
        allowed_address_pairs: Vec::new(),
        anti_spoof: true,
        exempt: Vec::new(),
        rx_hook: RxHook::Auto,
        zone: String::new(),
        link_local: LinkLocal::Any,
        attached: false,
    }
}

pub fn policy(groups: Vec<Group>) -> Policy {
    let groups = groups.into_iter().map(|group| (group.name.clone(), group)).collect();
    Policy { groups, ..Policy::default() }
}

pub fn address_groups(lists: &[(&str, &[&str])]) -> BTreeMap<String, AddressGroup> {
    let group = |prefixes: &[&str]| AddressGroup {
        description: String::new(),
        prefixes: prefixes.iter().map(|text| text.parse().unwrap()).collect(),
    };
    lists.iter().map(|(name, prefixes)| ((*name).to_owned(), group(prefixes))).collect()
}

/// Wall time 1,000,000 s is tick 5000, at 100 ticks per second.
pub fn clock() -> Clock {
    Clock { now_wall: at(0), now_tick: 5000, hz: 100 }
}

/// Wall time so many seconds after that of [`clock`].
pub fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

/// Plans `policy` on interfaces named `tap1`, `tap2` ... in slots 1, 2 ...
pub fn try_apply(state: &State, policy: &Policy, specs: &[Interface]) -> Result<(Plan, State), DoesNotFit> {
    apply_at(state, policy, specs, &clock())
}

/// The same at another time.
pub fn apply_at(
    state: &State,
    policy: &Policy,
    specs: &[Interface],
    clock: &Clock,
) -> Result<(Plan, State), DoesNotFit> {
    let names: Vec<String> = (1..=specs.len()).map(|number| format!("tap{number}")).collect();
    let binding = |((slot, name), spec)| Binding { name, ifindex: 100 + slot, slot, spec };
    let bindings: Vec<Binding> =
        (1..).zip(&names).zip(specs).map(|((a, b), c)| binding(((a, b.as_str()), c))).collect();
    plan(state, &Arc::new(policy.clone()), &bindings, clock)
}

pub fn apply(state: &State, policy: &Policy, specs: &[Interface]) -> (Plan, State) {
    try_apply(state, policy, specs).unwrap()
}

pub fn first(policy: &Policy, specs: &[Interface]) -> State {
    apply(&State::new(policy.settings.limits), policy, specs).1
}
