//! Random policies for one interface, and the policies of the fixed cases.

use fastrand::Rng;

use sg_agent::policy::Policy;

use super::{
    GUEST_MAC, INSIDE, OUTSIDE, Shot, ethernet,
    router::{FENCE, FENCE_GROUP},
};
use crate::{
    random::{Probe, Shape, one_in, one_of, packet, policy},
    sequence::{group, list},
};

/// A policy file for one interface of the routers.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Address group `list`.
    list: String,
    /// Groups by name, with their text.
    groups: Vec<(&'static str, String)>,
    /// Name, role, MAC address.
    interface: String,
    /// How many of the groups are bound.
    bound: usize,
}

impl Draft {
    /// A random one. Groups that are bound are all stateful, or none is: the kernel decides what it tracks before it
    /// asks any rule, so no rule set says what sg does where they differ.
    pub fn random(random: &mut Rng) -> Self {
        let bound = one_of(random, &[1, 1, 2]);
        let is_stateful = !one_in(random, 6);
        let mut groups = Vec::new();
        while groups.len() < 2 {
            let text = group(random);
            let name = ["g0", "g1"][groups.len()];
            if text.contains("stateful: false") != is_stateful || groups.len() >= bound {
                groups.push((name, text));
            }
        }
        let exempt = if one_in(random, 10) { ", exempt: [10.9.1.3, 'fd01::3']" } else { "" };
        let interface = match one_in(random, 3) {
            true => format!("name: {OUTSIDE}, role: host{exempt}"),
            false => format!("name: {INSIDE}, role: guest, mac: '{GUEST_MAC}'{exempt}{}", pairs(random)),
        };
        Self { list: list(random).to_owned(), groups, interface: with_hook(random, interface), bound }
    }

    /// Binds an interface of this role to the one group `g0`, whose text is `group`.
    pub fn of(role: &str, group: &str) -> Self {
        let name = if role == "guest" { INSIDE } else { OUTSIDE };
        let interface = format!("name: {name}, role: {role}");
        Self { list: String::new(), groups: vec![("g0", group.to_owned())], interface, bound: 1 }
    }

    /// The file.
    pub fn text(&self) -> String {
        let groups: String = self.groups.iter().map(|(name, text)| format!("  {name}:\n{text}")).collect();
        let bound: Vec<&str> = self.groups.iter().take(self.bound).map(|(name, _)| *name).collect();
        format!(
            "version: 1\nsettings: {{conntrack: {{max_entries: 4096, max_per_interface: 4096}}}}\naddress_groups: {{list: {{addresses: [{}]}}}}\nsecurity_groups:\n{FENCE_GROUP}{groups}\
             interfaces:\n  - {{{}, groups: [fence, {}], addresses: [10.9.2.2, 'fd02::2']}}\n",
            self.list,
            self.interface,
            bound.join(", ")
        )
    }
}

/// A random policy of many rules for one interface, all of whose groups are stateful: connections are not its matter.
/// The [`FENCE`] is exempt.
pub fn of_rules(random: &mut Rng) -> String {
    let (device, guest) = one_of(random, &[(INSIDE, true), (OUTSIDE, false)]);
    let shape = Shape { devices: vec![(device.to_owned(), guest)], groups: 4, rules: 25 };
    let text = policy(random, &shape).replace("stateful: false", "stateful: true");
    let fence = std::net::Ipv4Addr::from(FENCE);
    if text.contains("exempt: [") {
        return text.replace("exempt: [", &format!("exempt: [{fence}, "));
    }
    let start = text.find("interfaces:").expect("an interface");
    let (groups, interfaces) = text.split_at(start);
    format!("{groups}{}", interfaces.replacen('}', &format!(", exempt: [{fence}]}}"), 1))
}

/// A packet near the edges of a policy that opens a connection.
pub fn near_rules(random: &mut Rng, policy: &Policy) -> Shot {
    let Probe { question, mut frame, .. } = packet(random, policy);
    frame[..6].copy_from_slice(&ethernet(question.direction).destination.0);
    Shot::raw(question.direction, vec![frame])
}

fn pairs(random: &mut Rng) -> &'static str {
    let pairs =
        ", allowed_address_pairs: [{address: 10.9.2.7, mac: '02:00:00:00:01:01'}, {address: 'fd02::7'}]";
    if one_in(random, 4) { pairs } else { "" }
}

fn with_hook(random: &mut Rng, interface: String) -> String {
    let hook = one_of(random, &["auto", "auto", "xdp-generic", "tcx"]);
    format!("{interface}, rx_hook: {hook}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracle, twin::netfilter::rules};

    #[test]
    fn drafts_are_valid_and_have_a_rule_set() {
        let mut random = Rng::with_seed(1);
        for _ in 0..100 {
            let policy = oracle::policy(&Draft::random(&mut random).text());
            assert!(rules(&policy).contains("jump connections"));
        }
    }
}
