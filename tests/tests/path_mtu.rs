//! Path-MTU discovery from end to end: a router on the way has a smaller MTU than both ends, and the policy names no ICMP.
//! (I23, after the topology of Linux's `conntrack_icmp_related.sh`.)
//!
//! ```text
//!   guest ── tap0 [host with sg] up0 ── near router ── 1280 bytes ── far router ── client
//! ```

use std::{net::SocketAddr, process::Command, time::Duration};

use sg_tests::{
    agent::Agent,
    netns::Netns,
    topology::{Cable, Topology},
    traffic::{Connection, Echo, PATIENT},
    wire::PORT,
};

/// The guest serves on port 8080; its own packets need no rule where connections are tracked.
const STATEFUL: &str = "
security_groups:
  guest:
    default_policy: {ingress: deny, egress: deny}
    rules:
      - {direction: ingress, protocol: tcp, ports: 8080}
";

/// The same without connections, to which an error could be related.
const STATELESS: &str = "
security_groups:
  guest:
    stateful: false
    default_policy: {ingress: deny, egress: deny}
    rules:
      - {direction: ingress, protocol: tcp, ports: 8080}
      - {direction: egress, protocol: tcp}
";

/// More than fits into a few segments.
const LENGTH: usize = 300_000;

/// How long a transfer that cannot go on is watched.
const STALLED: Duration = Duration::from_secs(1);

const CLIENT: [&str; 2] = ["10.77.7.2", "fd77:7::2"];

struct Scene {
    topology: Topology,
    agent: Agent,
    client: Netns,
    // Between the near router and the client.
    _far: Netns,
}

impl Scene {
    fn new(groups: &str) -> Self {
        let topology = Topology::new(&[
            Cable::new("guest", PORT).address("10.77.1.10/24").address("fd77:1::10/64"),
            Cable::new("near", "up0").address("10.77.9.2/24").address("fd77:9::2/64"),
        ]);
        let (far, client) = (router(), Netns::new());
        client.sysctl("ipv6/conf/default/accept_dad", "0");
        let near = &topology.machine("near").ns;
        forward(near);
        join(near, ("far0", ["10.77.8.1/24", "fd77:8::1/64"]), &far, ["10.77.8.2/24", "fd77:8::2/64"], 1280);
        join(&far, ("client0", ["10.77.7.1/24", "fd77:7::1/64"]), &client, [&net(0), &net(1)], 1500);
        route(&topology.host, "10.77.7.0/24 via 10.77.9.2", "fd77:7::/64 via fd77:9::2");
        route(near, "10.77.7.0/24 via 10.77.8.2", "fd77:7::/64 via fd77:8::2");
        route(&far, "default via 10.77.8.1", "default via fd77:8::1");
        route(&client, "default via 10.77.7.1", "default via fd77:7::1");
        let agent = Agent::new(&topology.host);
        agent.apply(&format!(
            "version: 1\n{groups}\ninterfaces:\n  \
             - {{name: {PORT}, role: guest, groups: [guest], addresses: [10.77.1.10, \"fd77:1::10\"]}}\n"
        ));
        Self { topology, agent, client, _far: far }
    }

    /// Whether everything comes back that the client sends to the guest.
    fn carries(&self, family: usize, patience: Duration) -> bool {
        let guest = self.topology.machine("guest");
        let from = CLIENT[family].parse().expect("an address");
        let server = Echo::tcp(&guest.ns, SocketAddr::new(guest.address_like(from), 8080));
        let opened = Connection::open(&self.client, from, server.address(), PATIENT);
        opened.expect("a connection").carries(LENGTH, patience)
    }

    /// What the guest knows of the way to the client.
    fn way(&self, family: usize) -> String {
        let guest = &self.topology.machine("guest").ns;
        let output = guest.output(Command::new("ip").args(["route", "get", CLIENT[family]]));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// The client's address with its network.
fn net(family: usize) -> String {
    format!("{}/{}", CLIENT[family], [24, 64][family])
}

fn router() -> Netns {
    let ns = Netns::new();
    ns.sysctl("ipv6/conf/default/accept_dad", "0");
    ns.sysctl("ipv4/icmp_ratelimit", "0");
    forward(&ns);
    ns
}

fn forward(ns: &Netns) {
    ns.sysctl("ipv4/ip_forward", "1");
    ns.sysctl("ipv6/conf/all/forwarding", "1");
}

/// A cable between the device `name` of `here` and `eth0` of `there`.
fn join(here: &Netns, (name, near): (&str, [&str; 2]), there: &Netns, far: [&str; 2], mtu: u32) {
    here.ip(&format!(
        "link add {name} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {}",
        there.path().display()
    ));
    for (ns, device, [v4, v6]) in [(here, name, near), (there, "eth0", far)] {
        ns.ip(&format!("link set {device} up\naddr add {v4} dev {device}\naddr add {v6} dev {device} nodad"));
    }
}

fn route(ns: &Netns, v4: &str, v6: &str) {
    ns.ip(&format!("route add {v4}\n-6 route add {v6}"));
}

#[test]
fn a_large_transfer_finds_the_smallest_mtu() {
    let scene = Scene::new(STATEFUL);
    for family in 0..2 {
        assert!(scene.carries(family, PATIENT), "{}", scene.way(family));
        assert!(scene.way(family).contains("mtu 1280"), "{}", scene.way(family));
    }
}

/// What the test above would see if the errors were not related: a black hole.
#[test]
fn it_does_not_where_errors_belong_to_no_connection() {
    let scene = Scene::new(STATELESS);
    for family in 0..2 {
        let drops = scene.agent.drops_during(|| assert!(!scene.carries(family, STALLED)));
        let errors =
            drops.iter().find(|drops| (drops.direction, drops.reason.as_str()) == ("ingress", "default"));
        assert!(errors.is_some_and(|errors| errors.interface == PORT), "{drops:?}");
        assert!(!scene.way(family).contains("mtu 1280"), "{}", scene.way(family));
    }
}
