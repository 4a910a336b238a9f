//! Two guests on one host: a packet has to leave the one and enter the other, and each keeps its own entry.

use std::net::SocketAddr;

use sg_tests::{
    agent::Agent,
    inject::Tap,
    topology::{Cable, Topology},
    traffic::{self, BRIEF, Connection, Echo, PATIENT},
};

/// The policy with these rules for guest `a` (egress) and guest `b` (ingress).
fn policy(leaves_a: &str, enters_b: &str) -> String {
    format!(
        "version: 1
security_groups:
  a: {{default_policy: {{ingress: deny, egress: deny}}, rules: [{leaves_a}]}}
  b: {{default_policy: {{ingress: deny, egress: deny}}, rules: [{enters_b}]}}
interfaces:
  - {{name: tap-a, role: guest, groups: [a], addresses: [10.1.0.10, \"fd01::10\"]}}
  - {{name: tap-b, role: guest, groups: [b], addresses: [10.2.0.10, \"fd02::10\"]}}
"
    )
}

const OUT: &str = "{direction: egress, protocol: tcp, ports: 80}";
const IN: &str = "{direction: ingress, protocol: tcp, ports: 80}";

/// T39: both guests' rules must agree.
#[test]
fn a_packet_leaves_one_guest_and_enters_the_other() {
    let net = Topology::new(&[
        Cable::new("a", "tap-a").address("10.1.0.10/24").address("fd01::10/64"),
        Cable::new("b", "tap-b").address("10.2.0.10/24").address("fd02::10/64"),
    ]);
    let (a, b) = (net.machine("a"), net.machine("b"));
    let agent = Agent::new(&net.host);
    for (from, to) in [(a.v4(), b.v4()), (a.v6(), b.v6())] {
        let target = SocketAddr::new(to, 80);
        let _server = Echo::tcp(&b.ns, target);
        for (rules, passes) in [((OUT, IN), true), ((OUT, ""), false), (("", IN), false), (("", ""), false)] {
            agent.apply(&policy(rules.0, rules.1));
            let patience = if passes { PATIENT } else { BRIEF };
            let arrivals = Tap::open(&b.ns, "eth0");
            assert_eq!(traffic::tcp(&a.ns, from, target, patience), passes, "{from}: {rules:?}");
            assert_eq!(arrivals.has_seen(from, to), passes, "{from}: {rules:?}");
        }
    }
}

/// T39, C23
#[test]
fn each_guest_has_its_own_entry() {
    let net = Topology::new(&[
        Cable::new("a", "tap-a").address("10.1.0.10/24").address("fd01::10/64"),
        Cable::new("b", "tap-b").address("10.2.0.10/24").address("fd02::10/64"),
    ]);
    let (a, b) = (net.machine("a"), net.machine("b"));
    let agent = Agent::new(&net.host);
    agent.apply(&policy(OUT, IN));
    let target = SocketAddr::new(b.v4(), 80);
    let _server = Echo::tcp(&b.ns, target);
    let held = Connection::open(&a.ns, a.v4(), target, PATIENT).expect("a connection");
    let mut entries = agent.connections();
    entries.sort_by(|one, other| one.interface.cmp(&other.interface));
    let seen: Vec<_> =
        entries.iter().map(|entry| (entry.interface.as_str(), entry.opener.as_str())).collect();
    assert_eq!(seen, [("tap-a", "egress"), ("tap-b", "ingress")]);
    assert!(entries[0].is_between(held.local(), target) && entries[1].is_between(target, held.local()));
}

/// P19, P37, P39: segments larger than the wire's, with checksums that nobody has computed yet, and frames of several buffers.
#[test]
fn a_large_transfer_arrives_as_it_was_sent() {
    for mtu in [1500, 9000] {
        let net = Topology::new(&[
            Cable::new("a", "tap-a").address("10.1.0.10/24").address("fd01::10/64"),
            Cable::new("b", "tap-b").address("10.2.0.10/24").address("fd02::10/64"),
        ]);
        let (a, b) = (net.machine("a"), net.machine("b"));
        for machine in [a, b] {
            net.host.ip(&format!("link set {} mtu {mtu}", machine.port));
            machine.ns.ip(&format!("link set eth0 mtu {mtu}"));
        }
        let agent = Agent::new(&net.host);
        agent.apply(&policy(OUT, IN));
        let drops = agent.drops_during(|| {
            for (from, to) in [(a.v4(), b.v4()), (a.v6(), b.v6())] {
                let server = Echo::tcp(&b.ns, SocketAddr::new(to, 80));
                let mut held =
                    Connection::open(&a.ns, from, server.address(), PATIENT).expect("a connection");
                assert!(held.carries(4 << 20, PATIENT), "from {from}, frames of {mtu}");
            }
        });
        assert_eq!(drops, [], "frames of {mtu}");
    }
}
