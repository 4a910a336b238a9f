//! What only real stacks do: finding the path's MTU, sending again.

use std::{net::SocketAddr, process::Command, thread, time::Duration};

use sg_tests::{
    agent::Agent,
    inject::Tap,
    topology::{Cable, Topology},
    traffic::{Connection, Echo, PATIENT},
};

/// The guests may open tcp/80 to anywhere, and there is no other rule.
fn policy(guests: &[(&str, &str, &str)], rule: &str) -> String {
    let interface = |(port, address, hook): &(&str, &str, &str)| {
        format!("  - {{name: {port}, role: guest, groups: [g], addresses: [{address}], rx_hook: {hook}}}\n")
    };
    format!(
        "version: 1
security_groups:
  g: {{default_policy: {{ingress: deny, egress: deny}}, rules: [{rule}]}}
interfaces:
{}",
        guests.iter().map(interface).collect::<String>()
    )
}

const TO_80: &str = "{direction: egress, protocol: tcp, ports: 80}";

/// I23, I08, I20: a link of 1280 bytes behind the host, no rule for ICMP: the sender learns of it all the same, and the
/// transfer completes.
#[test]
fn a_narrow_path_is_found_without_a_rule_for_icmp() {
    let net = Topology::new(&[
        Cable::new("guest", "tap0").address("10.1.0.10/24").address("fd01::10/64"),
        Cable::new("client", "up0").address("10.2.0.10/24").address("fd02::10/64"),
    ]);
    net.host
        .ip("route add 10.2.0.10/32 dev up0 mtu lock 1280\n-6 route add fd02::10/128 dev up0 mtu lock 1280");
    let (guest, client) = (net.machine("guest"), net.machine("client"));
    let agent = Agent::new(&net.host);
    for hook in ["xdp-native", "tcx"] {
        agent.apply(&policy(&[("tap0", "10.1.0.10, \"fd01::10\"", hook)], TO_80));
        guest.ns.ip("route flush cache\n-6 route flush cache");
        for (from, to) in [(guest.v4(), client.v4()), (guest.v6(), client.v6())] {
            let server = Echo::tcp(&client.ns, SocketAddr::new(to, 80));
            let mut held =
                Connection::open(&guest.ns, from, server.address(), PATIENT).expect("a connection");
            assert!(held.carries(1 << 20, 5 * PATIENT), "from {from}, {hook}");
            let route = guest.ns.output(Command::new("ip").args(["route", "get", &to.to_string()]));
            let route = String::from_utf8_lossy(&route.stdout).into_owned();
            assert!(route.contains("mtu 1280"), "nothing was learnt: {route}");
        }
    }
}

/// P46: what a local socket sends again goes the same way through the hook as the first time, wherever that is: none of
/// it passes once the rule is gone.
#[test]
fn what_is_sent_again_is_judged_again() {
    let cable =
        |name: &str, port: &str, net: u8| Cable::new(name, port).address(&format!("10.{net}.0.10/24"));
    let net = Topology::new(&[
        cable("a", "tap0", 1),
        cable("b", "tap1", 2),
        cable("c", "tap2", 3),
        cable("outside", "up0", 9),
    ]);
    let guests = [
        ("tap0", "10.1.0.10", "xdp-native"),
        ("tap1", "10.2.0.10", "xdp-generic"),
        ("tap2", "10.3.0.10", "tcx"),
    ];
    let outside = net.machine("outside");
    let server = Echo::tcp(&outside.ns, SocketAddr::new(outside.v4(), 80));
    let agent = Agent::new(&net.host);
    agent.apply(&policy(&guests, TO_80));
    let mut held: Vec<Connection> = ["a", "b", "c"]
        .iter()
        .map(|name| {
            let guest = net.machine(name);
            Connection::open(&guest.ns, guest.v4(), server.address(), PATIENT).expect("a connection")
        })
        .collect();
    assert!(held.iter_mut().all(|one| one.echoes(PATIENT)));
    agent.apply(&policy(&guests, ""));
    assert_eq!(agent.run(&["conntrack", "flush"]).status, 0);
    let arrivals = Tap::open(&outside.ns, "eth0");
    let drops = agent.drops_during(|| {
        thread::scope(|scope| {
            for one in &mut held {
                scope.spawn(|| assert!(!one.echoes(Duration::from_secs(4))));
            }
        });
    });
    for (name, (port, ..)) in ["a", "b", "c"].iter().zip(guests) {
        assert!(!arrivals.has_seen(net.machine(name).v4(), outside.v4()), "{port}: something passed");
        let dropped: u64 = drops.iter().filter(|one| one.interface == port).map(|one| one.count).sum();
        assert!(dropped >= 3, "{port}: {dropped} packets were dropped: was anything sent again?");
    }
}
