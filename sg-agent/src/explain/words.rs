//! The answer for people: what happens, who decided, and what would change it.

use sg_common::verdict::{Reason, Stage};

use super::answer::Answer;
use crate::policy::{
    model::{Action, Direction},
    render::printable,
};

/// A sentence or a few.
pub fn sentence(answer: &Answer) -> String {
    let verb = if answer.verdict == Action::Allow { "passes" } else { "is dropped" };
    let (from, to, direction) = match answer.direction {
        Direction::Ingress => (answer.remote, answer.local, "ingress"),
        Direction::Egress => (answer.local, answer.remote, "egress"),
    };
    let (service, interface) = (&answer.service, &answer.interface);
    let why = match answer.outcome {
        Ok(stage) => passes(stage, answer),
        Err(reason) => dropped(reason, answer),
    };
    let text = format!("{service} from {from} to {to}, {direction} on {interface}, {verb}: {why}");
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// `rule 0 of group web (HTTPS)`.
fn rule(answer: &Answer) -> Option<String> {
    let (group, index) = (answer.group.as_ref()?, answer.rule?);
    Some(named(group, index, answer.description.as_deref().unwrap_or_default()))
}

fn named(group: &str, index: u32, description: &str) -> String {
    match description {
        "" => format!("rule {index} of group {group}"),
        text => format!("rule {index} of group {group} ({text})"),
    }
}

fn passes(stage: Stage, answer: &Answer) -> String {
    let rule = rule(answer);
    match (stage, rule) {
        (Stage::Rule, Some(rule)) => format!("{rule} allows it."),
        (Stage::Rule, None) => "a rule allows it.".to_owned(),
        (Stage::Default, _) => {
            format!("no rule of {} matches it, and the default is allow.", groups(answer))
        }
        (Stage::Established, Some(rule)) => {
            format!("it belongs to a connection that {rule} admitted. Rules are not asked again.")
        }
        (Stage::Established, None) => {
            "it belongs to a tracked connection, or is an ICMP error about one. Rules are not asked again."
                .to_owned()
        }
        (Stage::Exempt, _) => {
            format!("{} is in a network that is exempt on this interface.", answer.remote)
        }
        (Stage::Infrastructure, _) => {
            "neighbour discovery, multicast membership and DHCP clients need no rule.".to_owned()
        }
    }
}

fn dropped(reason: Reason, answer: &Answer) -> String {
    match (reason, rule(answer)) {
        (Reason::Default, _) => by_default(answer),
        (Reason::Rule, Some(rule)) => format!("{rule} denies it."),
        (Reason::NoConnection, Some(rule)) => {
            format!("{rule} allows it, but only the start of a connection may open one, and none is tracked.")
        }
        (Reason::SpoofedMac | Reason::SpoofedAddress, _) => {
            format!("{} ({} is asked as its source).", means(reason), answer.local)
        }
        _ => format!("{}.", means(reason)),
    }
}

fn by_default(answer: &Answer) -> String {
    let none = format!("no rule of {} matches it, and the default is deny.", groups(answer));
    match &answer.nearest {
        Some(near) => {
            let rule = named(&near.group, near.rule, &near.description);
            format!("{none}\nNearest is {rule}, which differs in {}.", near.differs)
        }
        None => format!("{none}\nNo rule allows anything in this direction."),
    }
}

fn groups(answer: &Answer) -> String {
    match answer.groups.as_slice() {
        [one] => format!("group {one}"),
        several => format!("groups {}", several.join(", ")),
    }
}

/// What a reason means, in a clause.
pub fn means(reason: Reason) -> &'static str {
    match reason {
        Reason::Malformed => "a header is cut short or contradicts another",
        Reason::NonIp => "only IPv4, IPv6 and ARP pass",
        Reason::Vlan => "it has a VLAN tag, which a guest may not send, or more than two",
        Reason::IpOptions => "it has an IPv4 source route",
        Reason::RoutingHeader => "it has an IPv6 routing header of type 0",
        Reason::ExtensionHeaders => "it has more than eight IPv6 extension headers",
        Reason::TcpFlags => "no TCP sends this combination of flags",
        Reason::BadFragment => "it is a fragment that hides or rewrites a header",
        Reason::SpoofedMac => "the source address does not go with the source MAC address",
        Reason::SpoofedAddress => "the source address is none of the instance's `addresses` or allowed pairs",
        Reason::SpoofedArp => "the ARP sender is not the instance",
        Reason::SpoofedNd => "the neighbour discovery target is not the instance's",
        Reason::RouterAdvertisement => "a guest may not send router advertisements",
        Reason::Redirect => "a guest may not send redirects",
        Reason::DhcpServer => "a guest may not answer DHCP",
        Reason::Smtp => {
            "outbound mail (tcp/25, 465, 587) is blocked; `allow_smtp: true` in a bound group lets it pass"
        }
        Reason::Rule => "a rule denies it",
        Reason::Default => "no rule matches it, and the default is deny",
        Reason::NoConnection => "only the start of a connection may open one, and none is tracked",
        Reason::Cut => "the policy has changed and refuses its connection",
        Reason::ConntrackFull => "the connection table is full; see `settings.conntrack.max_entries`",
        Reason::InterfaceFull => {
            "the interface has as many connections as it may; see `settings.conntrack.max_per_interface`"
        }
        Reason::FragmentsFull => {
            "no more fragmented datagrams can be remembered; see `settings.limits.fragments`"
        }
        Reason::NoPolicy => "no group is bound to the interface, so nothing passes",
        Reason::Internal => "a table could not be read",
    }
}

#[cfg(test)]
mod tests {
    use sg_common::{heap::Decision, stats::NO_COUNTER};

    use super::*;
    use crate::explain::answer::tests::{answered, reply};

    fn said(outcome: Result<Stage, Reason>, decision: Decision) -> String {
        sentence(&answered(|_| reply(outcome, decision, NO_COUNTER)))
    }

    const START: &str = "tcp/80 from 192.0.2.1 to 10.0.0.5, ingress on tap1,";

    #[test]
    fn a_rule_is_named() {
        let rule = Decision::new(0, Decision::ALLOW);
        let expected = format!("{START} passes: rule 0 of group web (HTTPS) allows it.");
        assert_eq!(said(Ok(Stage::Rule), rule), expected);
    }

    #[test]
    fn a_default_deny_teaches() {
        let expected = format!(
            "{START} is dropped: no rule of group web matches it, and the default is deny.\n\
             Nearest is rule 0 of group web (HTTPS), which differs in port: 443, not 80."
        );
        assert_eq!(said(Err(Reason::Default), Decision::new(1, Decision::DEFAULT)), expected);
    }

    #[test]
    fn every_reason_and_stage_has_a_sentence() {
        for reason in Reason::ALL {
            assert!(said(Err(reason), Decision::NONE).ends_with(['.', ')']), "{reason:?}");
        }
        for stage in Stage::ALL {
            assert!(said(Ok(stage), Decision::NONE).contains(" passes: "), "{stage:?}");
        }
    }
}
