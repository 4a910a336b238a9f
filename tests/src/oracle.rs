//! What a policy says about the first packet of a connection, found the slow and obvious way: every rule of every bound
//! group, in order, against the packet.
//!
//! Written from the specification alone. It shares no code with the compiler, its tables or the search in them, so that
//! a mistake there cannot hide in the expected answer.

use std::{net::IpAddr, time::SystemTime};

use sg_agent::policy::{
    self, Policy,
    model::{Action, Direction, Family, Group, Interface, Match, PortRange, Remote, Rule},
};

/// The policy in `text`.
///
/// # Panics
/// If it is refused; says why.
#[track_caller]
pub fn policy(text: &str) -> Policy {
    let loaded = policy::parse_str(text, "policy.yaml");
    loaded
        .policy
        .unwrap_or_else(|| panic!("{}", policy::render::human(&loaded.diagnostics, &loaded.sources, false)))
}

/// A packet as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which way it goes.
    pub direction: Direction,
    /// The other end.
    pub remote: IpAddr,
    /// What it carries.
    pub service: Service,
    /// When.
    pub now: SystemTime,
}

impl Question {
    /// Its address family.
    pub fn family(&self) -> Family {
        if self.remote.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }
}

/// What a packet carries, as rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// TCP (6), UDP (17) or SCTP (132).
    Ports {
        /// IP protocol.
        protocol: u8,
        /// Destination port.
        destination: u16,
    },
    /// ICMP (1) or ICMPv6 (58).
    Icmp {
        /// IP protocol.
        protocol: u8,
        /// Message type.
        kind: u8,
        /// Message code.
        code: u8,
    },
    /// Any other protocol.
    Other(u8),
    /// A later fragment of any protocol, whose first was never seen.
    LaterFragment(u8),
}

impl Service {
    /// IP protocol.
    pub const fn protocol(self) -> u8 {
        match self {
            Self::Ports { protocol, .. } | Self::Icmp { protocol, .. } => protocol,
            Self::Other(protocol) | Self::LaterFragment(protocol) => protocol,
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the packet passes.
    pub allowed: bool,
    /// What decided.
    pub by: By,
    /// Whether what passes is tracked.
    pub stateful: bool,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A rule.
    Rule {
        /// Its place in evaluation order, among all rules bound to the interface in this direction.
        place: usize,
        /// Its group.
        group: String,
        /// [`Rule::index`].
        index: u32,
    },
    /// No rule matched.
    Default,
    /// Bound to no group, and there is no default group.
    NoPolicy,
    /// The remote is in an exempt network.
    Exempt,
    /// Outbound mail.
    Smtp,
}

/// Evaluates a policy.
#[derive(Clone, Copy, Debug)]
pub struct Oracle<'a> {
    policy: &'a Policy,
}

impl<'a> Oracle<'a> {
    /// For this policy.
    pub fn new(policy: &'a Policy) -> Self {
        Self { policy }
    }

    /// What the policy says about a packet on `interface` that belongs to no connection.
    pub fn judge(&self, interface: &Interface, question: &Question) -> Answer {
        let untracked = |allowed, by| Answer { allowed, by, stateful: false };
        if interface.exempt.iter().any(|network| network.contains(&question.remote)) {
            return untracked(true, By::Exempt);
        }
        let bound = self.groups_of(interface);
        if bound.is_empty() {
            return untracked(false, if is_mail(question) { By::Smtp } else { By::NoPolicy });
        }
        // An audit group drops nothing and, being on trial, opens nothing that the others keep shut.
        let enforced: Vec<&Group> = bound.into_iter().filter(|group| !group.audit).collect();
        if is_mail(question) && !enforced.is_empty() && !enforced.iter().any(|group| group.allow_smtp) {
            return untracked(false, By::Smtp);
        }
        let rules = in_order(&enforced, question.direction);
        let first = rules.iter().enumerate().find(|(_, (_, rule))| self.decides(rule, interface, question));
        match first {
            Some((place, (group, rule))) => Answer {
                allowed: rule.action == Action::Allow,
                by: By::Rule { place, group: group.name.clone(), index: rule.index },
                stateful: group.stateful,
            },
            None => by_default(&enforced, question),
        }
    }

    /// The bound groups: those named, else the default group, if there is one.
    pub(crate) fn groups_of(&self, interface: &Interface) -> Vec<&'a Group> {
        let default = std::slice::from_ref(&self.policy.settings.default_group);
        let names = if interface.groups.is_empty() { default } else { &interface.groups };
        names.iter().filter_map(|name| self.policy.groups.get(name)).collect()
    }

    /// Whether the rule is the one to decide, once no rule before it did.
    fn decides(&self, rule: &Rule, interface: &Interface, question: &Question) -> bool {
        let in_force = rule.expires.is_none_or(|end| question.now < end);
        in_force
            && rule.applies_to(question.family())
            && self.is_remote(&rule.remote, &interface.zone, question.remote)
            && match question.service {
                Service::LaterFragment(protocol) => decides_fragment(rule, protocol),
                service => matches(&rule.matches, service),
            }
    }

    fn is_remote(&self, remote: &Remote, zone: &str, address: IpAddr) -> bool {
        match remote {
            Remote::Any => true,
            Remote::Prefix(prefix) => prefix.contains(&address),
            Remote::AddressGroup(name) => {
                let group = self.policy.address_groups.get(name);
                group.is_some_and(|group| group.prefixes.iter().any(|prefix| prefix.contains(&address)))
            }
            Remote::Group(name) => self.is_member(name, zone, address),
        }
    }

    /// Members of a group are its members on other hosts and the instances of the same tenant that are bound to it.
    fn is_member(&self, name: &str, zone: &str, address: IpAddr) -> bool {
        let elsewhere = self.policy.groups.get(name).map_or(&[][..], |group| &group.members);
        let is_bound =
            |interface: &Interface| self.groups_of(interface).iter().any(|group| group.name == name);
        let mut neighbours =
            self.policy.interfaces.iter().filter(|other| other.zone == zone && is_bound(other));
        elsewhere.iter().any(|prefix| prefix.contains(&address))
            || neighbours.any(|other| other.addresses.contains(&address))
    }
}

/// Smallest priority first; inside one priority deny before allow; then as written.
pub(crate) fn in_order<'a>(groups: &[&'a Group], direction: Direction) -> Vec<(&'a Group, &'a Rule)> {
    let every = groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (*group, rule)));
    let mut rules: Vec<_> = every.filter(|(_, rule)| rule.direction == direction).collect();
    rules.sort_by_key(|(_, rule)| (rule.priority, rule.action == Action::Allow));
    rules
}

/// Allow only if every bound group's default is allow; where none is enforced, nothing is dropped. A later fragment
/// needs a rule.
fn by_default(groups: &[&Group], question: &Question) -> Answer {
    let default = |group: &&Group| match question.direction {
        Direction::Ingress => group.default_ingress,
        Direction::Egress => group.default_egress,
    };
    let is_fragment = matches!(question.service, Service::LaterFragment(_));
    Answer {
        allowed: groups.iter().all(|group| default(group) == Action::Allow) && !is_fragment,
        by: By::Default,
        stateful: groups.is_empty() || groups.iter().any(|group| group.stateful),
    }
}

fn matches(wanted: &Match, service: Service) -> bool {
    match (wanted, service) {
        (Match::All, _) => true,
        (Match::Protocol(number), _) => *number == service.protocol(),
        (Match::Ports(number, ranges), Service::Ports { protocol, destination }) => {
            *number == protocol && ranges.iter().any(|range| is_within(range, destination))
        }
        (Match::Icmp { protocol: number, kind, code }, Service::Icmp { protocol, kind: k, code: c }) => {
            *number == protocol && *kind == k && code.is_none_or(|code| code == c)
        }
        (Match::Ports(..) | Match::Icmp { .. }, _) => false,
    }
}

/// A later fragment hides its ports. An allow with ports might not have matched, so it does not decide; a deny with
/// ports might have matched, so it does.
fn decides_fragment(rule: &Rule, protocol: u8) -> bool {
    match &rule.matches {
        Match::All => true,
        Match::Protocol(number) => *number == protocol,
        Match::Ports(number, _) | Match::Icmp { protocol: number, .. } => {
            *number == protocol && rule.action == Action::Deny
        }
    }
}

fn is_within(range: &PortRange, port: u16) -> bool {
    range.first <= port && port <= range.last
}

fn is_mail(question: &Question) -> bool {
    question.direction == Direction::Egress
        && matches!(question.service, Service::Ports { protocol: 6, destination: 25 | 465 | 587 })
}

#[cfg(test)]
mod tests;
