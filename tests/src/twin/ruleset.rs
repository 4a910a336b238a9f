//! An nft rule set that says what a policy says.
//!
//! Evaluation order and group membership are those of the [`Oracle`]; matching, sets, connections and what is related to
//! them are the kernel's. Chains are in the order in which the specification lists what comes before the rules.

use std::{collections::BTreeMap, net::IpAddr, time::SystemTime};

use ipnet::IpNet;
use sg_agent::policy::{
    Policy,
    model::{Action, Direction, Group, Interface, Match, Remote, Role, Rule},
};

use super::{INSIDE, OUTSIDE};
use crate::{
    oracle::{Oracle, in_order},
    packets::Mac,
};

/// The table's name, in family `inet`.
pub const TABLE: &str = "sg";

const FAMILIES: [(&str, &str); 2] = [("ipv4", "ip"), ("ipv6", "ip6")];

/// The rule set for `interface`, which is one side of a router from [`OUTSIDE`] to [`INSIDE`].
///
/// # Panics
/// If the interface is bound to stateful groups and to stateless ones whose rules do not each name a prefix: the
/// kernel decides what it tracks before it asks any rule.
#[track_caller]
pub fn ruleset(policy: &Policy, interface: &Interface) -> String {
    let groups: Vec<&Group> =
        Oracle::new(policy).groups_of(interface).into_iter().filter(|group| !group.audit).collect();
    let writer = Writer { policy, interface, groups, sets: Sets::of(policy, interface) };
    let lines = |lines: Vec<String>| lines.iter().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "flush ruleset\ntable inet {TABLE} {{\n{sets}\
         \x20 chain untracked {{\n    type filter hook prerouting priority raw; policy accept;\n{untracked}  }}\n\
         \x20 chain forward {{\n    type filter hook forward priority filter; policy drop;\n    \
         iifname \"{OUTSIDE}\" jump ingress\n    iifname \"{INSIDE}\" jump egress\n  }}\n\
         \x20 chain silent {{\n    type filter hook output priority filter; policy drop;\n  }}\n\
         \x20 chain connections {{\n{connections}  }}\n\
         \x20 chain source {{\n{source}  }}\n\
         \x20 chain ingress {{\n{ingress}  }}\n\
         \x20 chain egress {{\n{egress}  }}\n}}\n",
        sets = writer.sets.text(),
        untracked = lines(writer.untracked()),
        connections = lines(connections()),
        source = lines(writer.source()),
        ingress = lines(writer.chain(Direction::Ingress)),
        egress = lines(writer.chain(Direction::Egress)),
    )
}

/// What is known, and what belongs to it. Without helpers only ICMP errors are related to anything.
fn connections() -> Vec<String> {
    let lines = [
        "ct state invalid counter drop comment \"invalid\"",
        "ct state established counter accept comment \"established\"",
        "ct state related meta l4proto { icmp, icmpv6 } counter accept comment \"related\"",
    ];
    lines.map(str::to_owned).to_vec()
}

struct Writer<'a> {
    policy: &'a Policy,
    interface: &'a Interface,
    groups: Vec<&'a Group>,
    sets: Sets,
}

impl Writer<'_> {
    /// What is not tracked: what stateless groups speak of, exempt networks, answers of DHCP servers.
    fn untracked(&self) -> Vec<String> {
        let (stateful, stateless): (Vec<&Group>, Vec<&Group>) =
            self.groups.iter().partition(|group| group.stateful);
        if stateful.is_empty() && !stateless.is_empty() {
            return vec!["notrack".to_owned()];
        }
        let named = stateless.iter().flat_map(|group| &group.rules).map(|rule| match rule.remote {
            Remote::Prefix(prefix) => prefix,
            _ => {
                panic!("stateful and stateless groups are bound, and a rule of the latter is for any remote")
            }
        });
        let networks = named.chain(self.interface.exempt.iter().copied());
        let mut lines: Vec<String> = networks
            .flat_map(|network| {
                let ip = FAMILIES[usize::from(matches!(network, IpNet::V6(_)))].1;
                [format!("{ip} saddr {network} notrack"), format!("{ip} daddr {network} notrack")]
            })
            .collect();
        lines.extend(dhcp_answers().map(|answer| format!("iifname \"{OUTSIDE}\" {answer} notrack")));
        lines
    }

    fn chain(&self, direction: Direction) -> Vec<String> {
        let mut lines = Vec::new();
        if direction == Direction::Egress && self.interface.role == Role::Guest {
            lines.push("jump source".to_owned());
            lines.extend(forbidden());
        }
        lines.extend(infrastructure(direction));
        lines.extend(self.exempt(direction));
        lines.push("jump connections".to_owned());
        lines.extend(self.mail(direction));
        lines.extend(self.rules(direction));
        lines.push(self.default(direction));
        lines
    }

    /// A guest's source addresses, each with its MAC address.
    fn source(&self) -> Vec<String> {
        let interface = self.interface;
        if !interface.anti_spoof {
            return Vec::new();
        }
        let own = interface.addresses.iter().map(|address| (IpNet::from(*address), interface.mac));
        let pairs = interface.allowed_address_pairs.iter();
        let link_local = "fe80::/10".parse().map(|prefix| (prefix, interface.mac)).ok();
        let pairs = pairs.map(|pair| (pair.prefix, pair.mac.or(interface.mac))).chain(link_local);
        let mut lines = Vec::new();
        for (prefix, mac) in own.chain(pairs) {
            let ip = FAMILIES[usize::from(matches!(prefix, IpNet::V6(_)))].1;
            let mac = mac.map(|mac| format!(" ether saddr {}", Mac(mac))).unwrap_or_default();
            lines.push(format!("{ip} saddr {prefix}{mac} return"));
        }
        lines.push("counter drop comment \"spoofed\"".to_owned());
        lines
    }

    fn exempt(&self, direction: Direction) -> Vec<String> {
        let networks = self.interface.exempt.iter();
        networks
            .map(|network| format!("{} counter accept comment \"exempt\"", far(direction, network)))
            .collect()
    }

    fn mail(&self, direction: Direction) -> Option<String> {
        let is_blocked = direction == Direction::Egress
            && !self.groups.is_empty()
            && !self.groups.iter().any(|group| group.allow_smtp);
        is_blocked.then(|| "tcp dport { 25, 465, 587 } counter drop comment \"smtp\"".to_owned())
    }

    fn rules(&self, direction: Direction) -> Vec<String> {
        let now = SystemTime::now();
        let rules = in_order(&self.groups, direction);
        let in_force = rules.iter().filter(|(_, rule)| rule.expires.is_none_or(|end| now < end));
        in_force.flat_map(|(group, rule)| self.rule(group, rule)).collect()
    }

    /// A rule, once for each of its families.
    fn rule(&self, group: &Group, rule: &Rule) -> Vec<String> {
        let families = (0..2).filter(|family| rule.families[*family]);
        let lines = families.filter_map(|family| {
            let remote = self.remote(&rule.remote, rule.direction, family)?;
            let verdict = if rule.action == Action::Allow { "accept" } else { "drop" };
            let (service, name) = (service(&rule.matches), format!("{}/{}", group.name, rule.index));
            let parts = [&format!("meta nfproto {}", FAMILIES[family].0), &remote, &service];
            let parts: Vec<&str> =
                parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
            Some(format!("{} counter {verdict} comment \"{name}\"", parts.join(" ")))
        });
        lines.collect()
    }

    /// The match on the other end; `None` if nobody of the family is meant.
    fn remote(&self, remote: &Remote, direction: Direction, family: usize) -> Option<String> {
        match remote {
            Remote::Any => Some(String::new()),
            Remote::Prefix(prefix) => {
                (usize::from(matches!(prefix, IpNet::V6(_))) == family).then(|| far(direction, prefix))
            }
            Remote::Group(name) => Some(self.sets.far(&format!("group:{name}"), direction, family)),
            Remote::AddressGroup(name) => Some(self.sets.far(&format!("list:{name}"), direction, family)),
        }
    }

    fn default(&self, direction: Direction) -> String {
        let default = |group: &&Group| match direction {
            Direction::Ingress => group.default_ingress,
            Direction::Egress => group.default_egress,
        };
        let bound = !Oracle::new(self.policy).groups_of(self.interface).is_empty();
        match bound && self.groups.iter().all(|group| default(group) == Action::Allow) {
            true => "counter accept comment \"default\"".to_owned(),
            false => "counter drop comment \"default\"".to_owned(),
        }
    }
}

/// A match on the other end's address.
fn far(direction: Direction, network: &IpNet) -> String {
    let ip = FAMILIES[usize::from(matches!(network, IpNet::V6(_)))].1;
    format!("{ip} {} {network}", end(direction))
}

fn end(direction: Direction) -> &'static str {
    if direction == Direction::Ingress { "saddr" } else { "daddr" }
}

fn service(matches: &Match) -> String {
    match matches {
        Match::All => String::new(),
        Match::Protocol(number) => format!("meta l4proto {number}"),
        Match::Ports(number, ranges) => {
            let name = match number {
                6 => "tcp",
                17 => "udp",
                _ => "sctp",
            };
            let ranges: Vec<String> =
                ranges.iter().map(|range| format!("{}-{}", range.first, range.last)).collect();
            format!("{name} dport {{ {} }}", ranges.join(", "))
        }
        Match::Icmp { protocol, kind, code } => {
            let name = if *protocol == 1 { "icmp" } else { "icmpv6" };
            let code = code.map(|code| format!(" {name} code {code}")).unwrap_or_default();
            format!("{name} type {kind}{code}")
        }
    }
}

/// What no guest may send: router advertisements, redirects, answers of DHCP servers.
fn forbidden() -> Vec<String> {
    let messages = ["icmpv6 type { 134, 137 }", "icmp type 5"].map(str::to_owned);
    let messages = messages.into_iter().chain(dhcp_answers().map(str::to_owned));
    messages.map(|message| format!("{message} counter drop comment \"forbidden\"")).collect()
}

fn dhcp_answers() -> impl Iterator<Item = &'static str> {
    ["meta nfproto ipv4 udp sport 67 udp dport 68", "meta nfproto ipv6 udp sport 547 udp dport 546"]
        .into_iter()
}

/// What passes without a rule, as far as a router forwards it.
fn infrastructure(direction: Direction) -> Vec<String> {
    let discovery = if direction == Direction::Ingress { "{ 133-136 }" } else { "{ 133, 135, 136 }" };
    let mut messages = vec![
        format!("icmpv6 type {discovery}"),
        "icmpv6 type { 130-132, 143 } ip6 daddr ff00::/8".to_owned(),
        "ip protocol 2 ip daddr 224.0.0.0/4".to_owned(),
    ];
    if direction == Direction::Ingress {
        messages.extend(dhcp_answers().map(str::to_owned));
    }
    messages.iter().map(|message| format!("{message} counter accept comment \"infrastructure\"")).collect()
}

/// Named sets of addresses: for each group and address group, one of each family.
struct Sets(BTreeMap<String, (usize, Vec<IpNet>)>);

impl Sets {
    fn of(policy: &Policy, interface: &Interface) -> Self {
        let lists = policy.address_groups.iter();
        let lists = lists.map(|(name, list)| (format!("list:{name}"), list.prefixes.clone()));
        let groups = policy.groups.values();
        let groups = groups.map(|group| (format!("group:{}", group.name), members(policy, group, interface)));
        let all = lists.chain(groups).enumerate();
        Self(all.map(|(number, (name, members))| (name, (number, members))).collect())
    }

    fn far(&self, name: &str, direction: Direction, family: usize) -> String {
        let (number, _) = self.0[name];
        format!("{} {} @s{number}_{}", FAMILIES[family].1, end(direction), FAMILIES[family].0)
    }

    fn text(&self) -> String {
        let every = self
            .0
            .iter()
            .flat_map(|(name, (number, members))| [false, true].map(|v6| set(name, *number, v6, members)));
        every.collect()
    }
}

fn set(name: &str, number: usize, v6: bool, members: &[IpNet]) -> String {
    let of_family = members.iter().filter(|member| matches!(member, IpNet::V6(_)) == v6);
    let elements: Vec<String> = of_family.map(ToString::to_string).collect();
    let elements = match elements.as_slice() {
        [] => String::new(),
        elements => format!("    elements = {{ {} }}\n", elements.join(", ")),
    };
    let family = FAMILIES[usize::from(v6)].0;
    format!(
        "  set s{number}_{family} {{\n    type {family}_addr\n    flags interval\n    auto-merge\n    \
         comment \"{name}\"\n{elements}  }}\n"
    )
}

/// Members of a group: those on other hosts, and the instances of the same tenant that are bound to it.
fn members(policy: &Policy, group: &Group, interface: &Interface) -> Vec<IpNet> {
    let is_bound =
        |other: &&Interface| Oracle::new(policy).groups_of(other).iter().any(|one| one.name == group.name);
    let tenants = policy.interfaces.iter().filter(|other| other.zone == interface.zone);
    let own = tenants.filter(is_bound).flat_map(|other| other.addresses.iter().copied().map(IpAddr::into));
    group.members.iter().copied().chain(own).collect()
}
