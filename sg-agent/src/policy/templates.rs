//! The built-in templates: rules that `template:` adds to a group's own.

use super::model::{Action, Direction, Match, PortRange, Remote, Rule};
use super::validate::narrowed;

/// A template.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// The name that `template:` takes.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Its rules in order.
    pub rules: &'static [TemplateRule],
}

/// A rule of a template.
#[derive(Clone, Copy, Debug)]
pub struct TemplateRule {
    /// Free text.
    pub description: &'static str,
    /// Which way it applies.
    pub direction: Direction,
    /// Protocol and port.
    pub traffic: Traffic,
    /// Who the other end may be.
    pub peer: Peer,
}

/// What a template's rule matches above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Every protocol.
    All,
    /// One TCP port.
    Tcp(u16),
    /// Every ICMP type.
    Icmp,
    /// Every ICMPv6 type.
    Icmpv6,
}

/// The other end of a template's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Any address.
    Anyone,
    /// Members of the group that uses the template.
    Members,
}

const fn rule(description: &'static str, direction: Direction, traffic: Traffic, peer: Peer) -> TemplateRule {
    TemplateRule { description, direction, traffic, peer }
}

const FROM_ITSELF: TemplateRule =
    rule("Members reach each other", Direction::Ingress, Traffic::All, Peer::Members);
const ALL_OUT: TemplateRule = rule("All outbound traffic", Direction::Egress, Traffic::All, Peer::Anyone);

const fn inbound(description: &'static str, traffic: Traffic) -> TemplateRule {
    rule(description, Direction::Ingress, traffic, Peer::Anyone)
}

/// Every template.
pub const ALL: &[Template] = &[
    Template {
        name: "default",
        description: "Members reach each other; everything goes out",
        rules: &[FROM_ITSELF, ALL_OUT],
    },
    Template {
        name: "web-server",
        description: "Web, SSH, RDP and ICMP from anywhere; members reach each other; everything goes out",
        rules: &[
            inbound("ICMP from anywhere", Traffic::Icmp),
            inbound("ICMPv6 from anywhere", Traffic::Icmpv6),
            inbound("HTTPS from anywhere", Traffic::Tcp(443)),
            inbound("HTTP from anywhere", Traffic::Tcp(80)),
            inbound("SSH from anywhere", Traffic::Tcp(22)),
            inbound("RDP from anywhere", Traffic::Tcp(3389)),
            FROM_ITSELF,
            ALL_OUT,
        ],
    },
    Template {
        name: "full-access",
        description: "Everything in and out",
        rules: &[inbound("All inbound traffic", Traffic::All), ALL_OUT],
    },
];

/// The template `name`.
pub fn find(name: &str) -> Option<&'static Template> {
    ALL.iter().find(|template| template.name == name)
}

impl Template {
    /// Its rules in `group`, numbered from `first`.
    pub fn expand(&self, group: &str, first: u32) -> Vec<Rule> {
        (first..).zip(self.rules).filter_map(|(index, rule)| rule.expand(group, index)).collect()
    }
}

impl TemplateRule {
    fn expand(&self, group: &str, index: u32) -> Option<Rule> {
        let matches = match self.traffic {
            Traffic::All => Match::All,
            Traffic::Tcp(port) => Match::Ports(6, vec![PortRange { first: port, last: port }]),
            Traffic::Icmp => Match::Protocol(1),
            Traffic::Icmpv6 => Match::Protocol(58),
        };
        let remote = match self.peer {
            Peer::Anyone => Remote::Any,
            Peer::Members => Remote::Group(group.to_owned()),
        };
        let common = Rule {
            index,
            description: self.description.to_owned(),
            direction: self.direction,
            matches: Match::All,
            remote,
            families: [true, true],
            action: Action::Allow,
            priority: 1,
            expires: None,
        };
        narrowed(&common, matches)
    }
}
