//! Random policies for sequences: a small world, in which many packets pass and many do not.

use fastrand::Rng;

use crate::{
    packets::Mac,
    random::{one_in, one_of},
};

/// The source MAC address of everybody who does not claim another.
pub const MAC: Mac = Mac([2, 0, 0, 0, 0, 5]);

/// Devices: two guests and a NIC of the host's own, each with its IPv4 and its IPv6 address.
pub(super) const DEVICES: [(&str, &str, &str); 3] =
    [("dev0", "10.9.2.2", "fd02::2"), ("dev1", "10.9.2.3", "fd02::3"), ("dev2", "10.9.3.1", "fd03::1")];

/// Everybody else, IPv4 and IPv6.
pub(crate) const PEERS: [(&str, &str); 3] =
    [("10.9.1.1", "fd01::1"), ("10.9.1.2", "fd01::2"), ("10.9.1.3", "fd01::3")];

/// Destination ports that rules and packets speak of.
pub(crate) const PORTS: [u16; 6] = [22, 25, 53, 80, 443, 8080];

/// A policy. What does not come from the groups stays as it is through all policies of a sequence.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    settings: String,
    list: &'static str,
    groups: Vec<String>,
    bound: Vec<Vec<usize>>,
    exempt: Vec<bool>,
}

const GROUPS: usize = 3;

impl Draft {
    pub(super) fn new(random: &mut Rng) -> Self {
        Self {
            settings: settings(random),
            list: list(random),
            groups: (0..GROUPS).map(|_| group(random)).collect(),
            bound: DEVICES.iter().map(|_| bound(random)).collect(),
            exempt: DEVICES.iter().map(|_| one_in(random, 10)).collect(),
        }
    }

    /// Another policy, made of this one.
    pub(super) fn change(&mut self, random: &mut Rng) {
        match random.u8(..8) {
            0 => self.settings = settings(random),
            1 => self.list = list(random),
            2 | 3 => {
                let place = random.usize(..self.bound.len());
                self.bound[place] = bound(random);
            }
            _ => {
                let place = random.usize(..self.groups.len());
                self.groups[place] = group(random);
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("version: 1\nsettings: {}\n", self.settings);
        text += &format!("address_groups: {{list: {{addresses: [{}]}}}}\nsecurity_groups:\n", self.list);
        for (number, group) in self.groups.iter().enumerate() {
            text += &format!("  g{number}:\n{group}");
        }
        text += "interfaces:\n";
        for (place, (name, v4, v6)) in DEVICES.iter().enumerate() {
            let groups: Vec<String> = self.bound[place].iter().map(|number| format!("g{number}")).collect();
            let groups = groups.join(", ");
            let exempt = if self.exempt[place] { ", exempt: [10.9.1.3, 'fd01::3']" } else { "" };
            let role = match place {
                0 => "role: guest, mac: '02:00:00:00:00:05'",
                1 => "role: guest",
                _ => "role: host",
            };
            text += &format!(
                "  - {{name: {name}, {role}, groups: [{groups}], addresses: [{v4}, '{v6}']{exempt}}}\n"
            );
        }
        text
    }
}

fn settings(random: &mut Rng) -> String {
    let timeouts = if random.bool() {
        String::new()
    } else {
        let mut seconds = |from: u32, to: u32| random.u32(from..to);
        format!(
            "timeouts: {{tcp_established: {}s, tcp_fin_wait: {}s, icmp: {}s, bidirectional: {}s, unidirectional: {}s}}, ",
            seconds(100, 600),
            seconds(10, 30),
            seconds(10, 60),
            seconds(90, 300),
            seconds(30, 60)
        )
    };
    let share = one_of(random, &[1024, 1024, 6]);
    let pickup = one_of(random, &["strict", "strict", "loose"]);
    format!(
        "{{{timeouts}conntrack: {{max_entries: 1024, max_per_interface: {share}, tcp_pickup: {pickup}}}}}"
    )
}

/// The addresses of a list that rules may name as `address-group:list`.
pub(crate) fn list(random: &mut Rng) -> &'static str {
    one_of(random, &["", "10.9.1.1, 'fd01::1'", "10.9.1.0/30", "10.9.2.3, 'fd01::/16'"])
}

fn bound(random: &mut Rng) -> Vec<usize> {
    let count = one_of(random, &[1, 1, 1, 1, 2, 2, 2, 0]);
    let mut bound = random.choose_multiple(0..GROUPS, count);
    bound.sort_unstable();
    bound
}

/// A group's text, for a policy that has a group `g0` and a list `list`. No rule is of priority 1.
pub(crate) fn group(random: &mut Rng) -> String {
    let action = |random: &mut Rng, allow: u32| if one_in(random, allow) { "allow" } else { "deny" };
    let (ingress, egress) = (action(random, 3), action(random, 2));
    let on_change = one_of(random, &["recheck", "recheck", "recheck", "clear", "keep"]);
    let members = one_of(random, &["", "10.9.1.1", "10.9.1.2, 'fd01::2'", "10.9.1.2/31, 'fd01::2/127'"]);
    let state = match one_in(random, 6) {
        true => "    stateful: false\n".to_owned(),
        false => format!("    on_ingress_change: {on_change}\n"),
    };
    let rules: Vec<String> = (0..random.usize(1..9)).map(|_| rule(random)).collect();
    let rules: String = rules.iter().map(|rule| format!("\n      - {rule}")).collect();
    format!(
        "    default_policy: {{ingress: {ingress}, egress: {egress}}}\n{state}    allow_smtp: {}\n    \
         members: [{members}]\n    rules:{}\n",
        one_in(random, 3),
        if rules.is_empty() { " []" } else { &rules }
    )
}

fn rule(random: &mut Rng) -> String {
    let direction = one_of(random, &["ingress", "ingress", "egress"]);
    let port = one_of(random, &PORTS);
    let matches = match random.u8(..14) {
        0 => String::new(),
        1 => ", service: ping".to_owned(),
        2 => ", protocol: icmp".to_owned(),
        3 => ", protocol: icmpv6".to_owned(),
        4 => ", protocol: gre".to_owned(),
        5 => format!(", protocol: sctp, ports: {port}"),
        6 => ", protocol: tcp".to_owned(),
        7 => ", protocol: udp".to_owned(),
        8 => ", protocol: icmp, icmp: {type: 13}".to_owned(),
        9 | 10 => format!(", protocol: udp, ports: {port}"),
        _ => format!(", protocol: tcp, ports: [{port}, {}]", one_of(random, &PORTS)),
    };
    let remote = match random.u8(..10) {
        0 => ", remote: 'group:g0'",
        4 => ", remote: 'address-group:list'",
        1 => ", remote: 10.9.1.0/31",
        2 => ", remote: 10.9.1.1",
        3 => ", remote: 'fd01::/16'",
        _ => "",
    };
    // A remote of one family and ICMP of the other contradict each other.
    let remote = if matches.contains("icmp") { "" } else { remote };
    let action = if one_in(random, 5) { ", action: deny" } else { "" };
    format!(
        "{{direction: {direction}{matches}{remote}{action}, priority: {}}}",
        one_of(random, &[2, 2, 3, 4])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_are_valid() {
        let seed = crate::random::seed();
        let mut random = Rng::with_seed(seed);
        for _ in 0..200 {
            let mut draft = Draft::new(&mut random);
            for _ in 0..3 {
                let text = draft.text();
                let accepted = std::panic::catch_unwind(|| crate::oracle::policy(&text));
                assert!(accepted.is_ok(), "SG_SEED={seed}\n{text}");
                draft.change(&mut random);
            }
        }
    }
}
