//! Sentences of the policy language that need time, changes, or several packets to show. What one packet and one policy
//! show is in the examples of the guide (`guide.rs`).

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use sg_common::verdict::{Reason, Stage};
use sg_tests::{
    agent::Agent,
    clock::Clock,
    netns::Netns,
    packets::{
        Ethernet, Ip, Mac, Transport,
        flag::{ACK, SYN},
    },
    progrun::{Hook, Programs, Verdict},
};

/// A host with guests' devices, what its agent loaded, and no wire.
struct Scene {
    host: Netns,
    agent: Agent,
    programs: Programs,
}

const PEER: &str = "203.0.113.7";
const GUEST: &str = "10.0.0.5";

impl Scene {
    fn new(devices: &[&str], policy: &str) -> Self {
        let host = Netns::with_devices(devices);
        let agent = Agent::new(&host);
        agent.apply(policy);
        let programs = Programs::of(&host);
        Self { host, agent, programs }
    }

    /// Whether a packet from the peer gets into `tap0`; it is counted and tracked.
    #[track_caller]
    fn enters(&self, transport: &Transport) -> bool {
        self.passes(Hook::TcxEgress, PEER, GUEST, transport)
    }

    /// Whether a packet to the peer gets out of `tap0`.
    #[track_caller]
    fn leaves(&self, transport: &Transport) -> bool {
        self.passes(Hook::TcxIngress, GUEST, PEER, transport)
    }

    #[track_caller]
    fn passes(&self, hook: Hook, source: &str, destination: &str, transport: &Transport) -> bool {
        self.programs.passes(hook, self.host.ifindex("tap0"), &frame(source, destination, transport))
    }

    fn entries(&self) -> u64 {
        self.agent.status().conntrack.entries
    }
}

fn frame(source: &str, destination: &str, transport: &Transport) -> Vec<u8> {
    let address = |text: &str| text.parse().expect("an address");
    Ethernet::new(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]))
        .ip(&Ip::new(address(source), address(destination)), transport)
}

/// G26, G27: what the stateless group allows is not tracked, what the stateful one allows is, on one interface.
#[test]
fn the_group_of_the_rule_says_whether_a_connection_is_tracked() {
    let scene = Scene::new(
        &["tap0"],
        "version: 1
security_groups:
  dns:
    stateful: false
    default_policy: {ingress: deny, egress: deny}
    rules: [{direction: ingress, protocol: udp, ports: 53}]
  admin:
    default_policy: {ingress: deny, egress: deny}
    rules: [{direction: ingress, protocol: udp, ports: 161}]
interfaces:
  - {name: tap0, groups: [dns, admin], addresses: [10.0.0.5]}
",
    );
    assert!(scene.enters(&Transport::udp(40_000, 53)));
    assert_eq!(scene.entries(), 0);
    assert!(!scene.leaves(&Transport::udp(53, 40_000)), "an answer needs a rule");
    assert!(scene.enters(&Transport::udp(40_000, 161)));
    assert_eq!(scene.entries(), 1);
    assert!(scene.leaves(&Transport::udp(161, 40_000)));
}

/// An audit group beside one that enforces: nothing more is dropped, nothing more passes, and its rules count.
#[test]
fn an_audit_group_counts_what_it_would_drop() {
    let scene = Scene::new(
        &["tap0"],
        "version: 1
security_groups:
  now: {rules: [{direction: ingress, protocol: udp, ports: 1-100}]}
  soon:
    audit: true
    rules:
      - {direction: ingress, protocol: udp, ports: 50, action: deny}
      - {direction: ingress, protocol: udp, ports: 200}
interfaces:
  - {name: tap0, groups: [now, soon], addresses: [10.0.0.5]}
",
    );
    assert!(scene.enters(&Transport::udp(40_000, 50)) && scene.enters(&Transport::udp(40_001, 50)));
    assert!(!scene.enters(&Transport::udp(40_000, 200)));
    let rules = scene.agent.rules();
    let count = |group: &str, index| {
        let of = rules.iter().filter(|rule| rule.group == group && rule.index == index);
        of.map(|rule| rule.packets).sum::<u64>()
    };
    assert_eq!(count("soon", 0), 2, "{rules:#?}");
}

/// A rule stops matching at its time, though nobody applies anything.
#[test]
fn a_rule_stops_at_its_time_without_an_agent() {
    let end = jiff::Timestamp::now() + Duration::from_secs(3600);
    let scene = Scene::new(
        &["tap0"],
        &format!(
            "version: 1
security_groups:
  web:
    rules:
      - {{direction: ingress, protocol: udp, ports: 53, expires: {end}}}
      - {{direction: ingress, protocol: udp, ports: 54}}
interfaces:
  - {{name: tap0, groups: [web], addresses: [10.0.0.5]}}
"
        ),
    );
    let mut clock = Clock::of(&scene.host);
    clock.advance_seconds(3_500);
    assert!(scene.enters(&Transport::udp(40_000, 53)));
    clock.advance_seconds(200);
    assert!(!scene.enters(&Transport::udp(40_001, 53)));
    assert!(scene.enters(&Transport::udp(40_001, 54)));
}

/// Only a SYN opens a connection, unless `tcp_pickup: loose` lets the middle of one do it that the rules allow.
#[test]
fn loose_pickup_takes_what_the_rules_allow() {
    let policy = |pickup: &str| {
        format!(
            "version: 1
settings: {{conntrack: {{max_entries: 1024, tcp_pickup: {pickup}}}}}
security_groups:
  web: {{rules: [{{direction: ingress, protocol: tcp, ports: 80}}]}}
interfaces:
  - {{name: tap0, groups: [web], addresses: [10.0.0.5]}}
"
        )
    };
    let scene = Scene::new(&["tap0"], &policy("strict"));
    assert!(!scene.enters(&Transport::tcp(40_000, 80, ACK)));
    assert!(scene.enters(&Transport::tcp(40_001, 80, SYN)));
    scene.agent.apply(&policy("loose"));
    assert!(scene.enters(&Transport::tcp(40_000, 80, ACK)));
    assert!(!scene.enters(&Transport::tcp(40_000, 81, ACK)));
    assert_eq!(scene.entries(), 2);
}

/// An exempt network is let through both ways, untracked; what it is exempt from does not matter.
#[test]
fn exempt_networks_pass_both_ways_untracked() {
    let scene = Scene::new(
        &["tap0"],
        "version: 1
security_groups:
  shut: {default_policy: {ingress: deny, egress: deny}}
interfaces:
  - {name: tap0, groups: [shut], addresses: [10.0.0.5], exempt: [203.0.113.0/28]}
",
    );
    assert!(scene.enters(&Transport::tcp(40_000, 80, SYN)) && scene.leaves(&Transport::tcp(40_000, 25, SYN)));
    assert_eq!(scene.entries(), 0);
    assert!(!scene.passes(Hook::TcxEgress, "203.0.113.16", GUEST, &Transport::tcp(40_000, 80, SYN)));
}

/// Who speaks under another's address is dropped on a connection that is open as well.
#[test]
fn spoofed_packets_are_dropped_on_an_open_connection() {
    let scene = Scene::new(
        &["tap0"],
        "version: 1
security_groups:
  web: {rules: [{direction: ingress, protocol: udp, ports: 53}]}
interfaces:
  - {name: tap0, groups: [web], addresses: [10.0.0.5], mac: '02:00:00:00:00:01'}
",
    );
    assert!(scene.enters(&Transport::udp(40_000, 53)));
    let answer = Transport::udp(53, 40_000);
    assert!(scene.leaves(&answer));
    let ip = Ip::new(GUEST.parse().expect("an address"), PEER.parse().expect("an address"));
    let forged = Ethernet::new(Mac([2, 0, 0, 0, 0, 9]), Mac([2, 0, 0, 0, 0, 2])).ip(&ip, &answer);
    let verdict = scene.programs.verdict(scene.host.ifindex("tap0"), false, &forged);
    assert_eq!(verdict, Verdict::Drop(Reason::SpoofedMac));
}

const ATTACHING: &str = "version: 1
security_groups:
  web: {rules: [{direction: ingress, protocol: tcp, ports: 80}]}
  db: {rules: [{direction: ingress, protocol: tcp, ports: 5432, remote: 'group:web'}]}
interfaces:
  - {name: tap0, groups: [db], addresses: [10.0.0.5]}
";

/// Membership follows the interfaces: who is attached with an address is a member from then on, who is detached is not.
#[test]
fn members_come_and_go_with_their_interfaces() {
    let scene = Scene::new(&["tap0", "tap1"], ATTACHING);
    let reaches = || {
        let asked = "--interface tap0 --direction ingress --protocol tcp --port 5432 --remote 10.0.0.6";
        scene.agent.explain(asked).verdict == "allow"
    };
    assert!(!reaches());
    let run = scene.agent.run(&["attach", "tap1", "--group", "web", "--address", "10.0.0.6"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(reaches());
    assert_eq!(scene.agent.run(&["detach", "tap1"]).status, 0);
    assert!(!reaches());
}

/// Two policies that both refuse the peer, for reasons that lie in different tables: the one knows it as a member of a
/// group that is denied, the other has a default that denies. A packet judged by half of each would pass.
#[test]
fn no_packet_meets_half_a_policy() {
    let policy = |members: &str, default: &str| {
        format!(
            "version: 1
security_groups:
  bad: {{members: [{members}]}}
  web:
    default_policy: {{ingress: {default}, egress: allow}}
    rules: [{{direction: ingress, remote: 'group:bad', action: deny}}]
interfaces:
  - {{name: tap0, groups: [web], addresses: [10.0.0.5]}}
"
        )
    };
    let policies = [policy("203.0.113.7, 198.51.100.1", "allow"), policy("198.51.100.1", "deny")];
    let scene = Scene::new(&["tap0"], &policies[0]);
    let ifindex = scene.host.ifindex("tap0");
    let refused = frame(PEER, GUEST, &Transport::udp(40_000, 53));
    let is_over = AtomicBool::new(false);
    let asked = AtomicU64::new(0);
    let passed: Vec<Verdict> = thread::scope(|scope| {
        let prober = scope.spawn(|| {
            let mut passed = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let verdict = scene.programs.verdict(ifindex, true, &refused);
                if !matches!(verdict, Verdict::Drop(Reason::Rule | Reason::Default)) {
                    passed.push(verdict);
                }
                asked.fetch_add(1, Ordering::Relaxed);
            }
            passed
        });
        for round in 1..=20 {
            scene.agent.apply(&policies[round % 2]);
        }
        is_over.store(true, Ordering::Relaxed);
        prober.join().expect("the prober")
    });
    assert_eq!(passed, [], "of {} packets", asked.load(Ordering::Relaxed));
    assert!(asked.load(Ordering::Relaxed) > 100);
    // Both policies let somebody else pass, or the test would show nothing.
    let other = frame("192.0.2.1", GUEST, &Transport::udp(40_000, 53));
    assert_eq!(scene.programs.verdict(ifindex, true, &other), Verdict::Pass(Stage::Default));
}
