//! The program's reply with the names of group and rule.

use std::{net::IpAddr, time::SystemTime};

use serde::Serialize;
use sg_common::{
    heap::Decision,
    probe::ProbeReply,
    verdict::{Reason, Stage},
};

use super::{
    nearest::{Nearest, nearest},
    packet::Packet,
};
use crate::{
    compile::{State, order::View, state::Bound},
    policy::model::{Action, Direction, Group, Rule},
};

/// `explain --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Whether the packet passes.
    pub verdict: Action,
    /// The stage that lets it pass or the reason why it is dropped, in a word.
    pub stage: &'static str,
    /// Group of the rule that decided, or that admitted the connection; `None` if no rule did.
    pub group: Option<String>,
    /// Index of the rule in the group.
    pub rule: Option<u32>,
    /// Description of the rule.
    pub description: Option<String>,
    /// Where no rule matched and the default is deny: the rule that comes closest.
    pub nearest: Option<Nearest>,
    /// Name of the interface.
    pub interface: String,
    /// The groups bound to it.
    pub groups: Vec<String>,
    /// Which way the packet goes.
    pub direction: Direction,
    /// What it speaks.
    pub service: String,
    /// The protected side.
    pub local: IpAddr,
    /// The other end.
    pub remote: IpAddr,
    /// Generation of the policy that judged.
    pub generation: u32,
    /// The same as `verdict` and `stage`, for the sentence.
    #[serde(skip)]
    pub outcome: Result<Stage, Reason>,
}

/// Names what `reply` numbers. `state` is of the same generation.
pub fn answer(
    state: &State,
    (interface, bound): (&str, &Bound),
    packet: &Packet,
    reply: &ProbeReply,
    now: SystemTime,
) -> Answer {
    let outcome = outcome(reply);
    let rule = rule(state, bound, packet.direction, reply);
    let is_default = outcome == Err(Reason::Default);
    Answer {
        verdict: if outcome.is_ok() { Action::Allow } else { Action::Deny },
        stage: outcome.map_or_else(Reason::name, Stage::name),
        group: rule.map(|(group, _)| group.name.clone()),
        rule: rule.map(|(_, rule)| rule.index),
        description: rule.map(|(_, rule)| rule.description.clone()),
        nearest: is_default.then(|| nearest(state, bound, packet, now)).flatten(),
        interface: interface.to_owned(),
        groups: bound.groups.clone(),
        direction: packet.direction,
        service: packet.service(),
        local: packet.local(),
        remote: packet.remote(),
        generation: reply.generation,
        outcome,
    }
}

fn outcome(reply: &ProbeReply) -> Result<Stage, Reason> {
    let number = reply.why as u8;
    if reply.allowed == 1 {
        Ok(Stage::from_number(number).unwrap_or(Stage::Default))
    } else {
        Err(Reason::from_number(number).unwrap_or(Reason::Internal))
    }
}

/// The rule behind the decision; without one, the rule behind the counter that a connection carries.
fn rule<'a>(
    state: &'a State,
    bound: &Bound,
    direction: Direction,
    reply: &ProbeReply,
) -> Option<(&'a Group, &'a Rule)> {
    let decision = Decision(reply.decision);
    if decision != Decision::NONE {
        let key = bound.keys[View::Enforced as usize][direction as usize].as_ref()?;
        return if decision.has(Decision::DEFAULT) { None } else { state.rule(key, decision.rank()) };
    }
    state.rule_with_counter(bound, reply.counter)
}

#[cfg(test)]
pub(super) mod tests {
    use sg_common::stats::NO_COUNTER;

    use super::*;
    use crate::{compile::tests::make, explain::asked::tests::asked, policy::model::Remote};

    /// The answer about TCP to port 80 from 192.0.2.1, where `web` allows 443.
    pub fn answered(reply: impl Fn(&Bound) -> ProbeReply) -> Answer {
        let mut https = make::allow(443, Remote::Any);
        https.description = "HTTPS".to_owned();
        let policy = make::policy(vec![make::group("web", vec![https])]);
        let state = make::first(&policy, &[make::interface(&["web"], &["10.0.0.5"])]);
        let bound = &state.interfaces()["tap1"];
        let packet = asked(Direction::Ingress, 6, "192.0.2.1", Some(80)).packet(&bound.spec).unwrap();
        answer(&state, ("tap1", bound), &packet, &reply(bound), make::at(0))
    }

    pub fn reply(outcome: Result<Stage, Reason>, decision: Decision, counter: u32) -> ProbeReply {
        let (allowed, why) = match outcome {
            Ok(stage) => (1, stage as u32),
            Err(reason) => (0, reason as u32),
        };
        ProbeReply { allowed, why, decision: decision.0, counter, generation: 1, ..ProbeReply::default() }
    }

    #[test]
    fn a_rule_in_json() {
        let decision = Decision::new(0, Decision::ALLOW);
        let answer = answered(|_| reply(Ok(Stage::Rule), decision, NO_COUNTER));
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"verdict":"allow","stage":"rule","group":"web","rule":0,"description":"HTTPS","#.to_owned()
                + r#""nearest":null,"interface":"tap1","groups":["web"],"direction":"ingress","#
                + r#""service":"tcp/80","local":"10.0.0.5","remote":"192.0.2.1","generation":1}"#
        );
    }

    #[test]
    fn a_default_deny_in_json() {
        let decision = Decision::new(1, Decision::DEFAULT);
        let answer = answered(|_| reply(Err(Reason::Default), decision, NO_COUNTER));
        let json = serde_json::to_string(&answer).unwrap();
        let start = r#"{"verdict":"deny","stage":"default","group":null,"rule":null,"description":null,"#;
        let nearest =
            r#""nearest":{"group":"web","rule":0,"description":"HTTPS","differs":"port: 443, not 80"}"#;
        assert!(json.starts_with(start) && json.contains(nearest), "{json}");
    }

    #[test]
    fn a_connection_names_the_rule_that_admitted_it() {
        let established = |place: u32| {
            let of = move |bound: &Bound| {
                let counter = bound.counters[0][0].base + place;
                reply(Ok(Stage::Established), Decision::NONE, counter)
            };
            answered(of).rule
        };
        assert_eq!((established(0), established(1)), (Some(0), None));
    }

    #[test]
    fn a_guard_names_no_rule() {
        let answer = answered(|_| reply(Err(Reason::SpoofedMac), Decision::NONE, NO_COUNTER));
        assert_eq!((answer.stage, answer.group, answer.nearest), ("spoofed-mac", None, None));
    }
}
