//! The example groups of the cloud documentation, with the traffic that they speak of.

use std::{
    net::{IpAddr, SocketAddr},
    panic::resume_unwind,
    thread,
};

use sg_tests::{
    agent::Agent,
    inject::Tap,
    topology::{Cable, Topology},
    traffic::{self, BRIEF, Echo, PATIENT},
};

/// What somebody tries.
#[derive(Clone, Copy, Debug)]
enum What {
    Tcp(u16),
    Udp(u16),
    Ping,
}
use What::{Ping, Tcp, Udp};

/// From whom, to whom (machine and one of its addresses), what, and whether it works.
type Attempt<'a> = (&'a str, &'a str, What, bool);

/// Everybody listens on these.
const LISTENERS: &[u16] = &[22, 80, 443, 3306, 3389, 5000];

/// Machines behind a host that enforces a fixture.
struct Scene {
    net: Topology,
    _agent: Agent,
    _listeners: Vec<Echo>,
}

impl Scene {
    /// Machine, device, addresses.
    fn new(fixture: &str, machines: &[(&str, &str, [&str; 2])]) -> Self {
        let cables: Vec<Cable> = machines
            .iter()
            .map(|(name, port, addresses)| {
                addresses.iter().fold(Cable::new(name, port), |cable, a| cable.address(a))
            })
            .collect();
        let net = Topology::new(&cables);
        let mut listeners = Vec::new();
        for (name, ..) in machines {
            let machine = net.machine(name);
            for address in [machine.v4(), machine.v6()] {
                for port in LISTENERS {
                    listeners.push(Echo::tcp(&machine.ns, SocketAddr::new(address, *port)));
                }
                listeners.push(Echo::udp(&machine.ns, SocketAddr::new(address, 5000)));
            }
        }
        let agent = Agent::new(&net.host);
        agent.apply(fixture);
        Self { net, _agent: agent, _listeners: listeners }
    }

    /// Makes all attempts with both families at once.
    #[track_caller]
    fn expect_both(&self, attempts: &[Attempt<'_>]) {
        thread::scope(|scope| {
            let other = scope.spawn(|| self.expect(1, attempts));
            self.expect(0, attempts);
            other.join().unwrap_or_else(|panic| resume_unwind(panic));
        });
    }

    /// Makes all attempts with one family (0 = IPv4) and reports which went otherwise than expected.
    #[track_caller]
    fn expect(&self, family: usize, attempts: &[Attempt<'_>]) {
        let wrong: Vec<String> = attempts
            .iter()
            .filter(|attempt| self.works(family, **attempt) != attempt.3)
            .map(|attempt| format!("IPv{}: {attempt:?}", if family == 0 { 4 } else { 6 }))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn works(&self, family: usize, (from, to, what, expected): Attempt<'_>) -> bool {
        let address = |name| -> IpAddr { [self.net.machine(name).v4(), self.net.machine(name).v6()][family] };
        let patience = if expected { PATIENT } else { BRIEF };
        let (ns, source, target) = (&self.net.machine(from).ns, address(from), address(to));
        let arrivals = Tap::open(&self.net.machine(to).ns, "eth0");
        let answered = match what {
            Tcp(port) => traffic::tcp(ns, source, SocketAddr::new(target, port), patience),
            Udp(port) => traffic::udp(ns, source, SocketAddr::new(target, port), patience),
            Ping => traffic::ping(ns, source, target, patience),
        };
        // What is denied does not even arrive: that the answer is dropped is not enough.
        answered || arrivals.has_seen(source, target)
    }
}

#[test]
fn sg_ab() {
    let scene = Scene::new(
        include_str!("../fixtures/sg-ab.yaml"),
        &[
            ("a", "tap-a", ["10.5.6.10/32", "fd05:6::10/128"]),
            ("b", "tap-b", ["10.5.6.11/32", "fd05:6::11/128"]),
            ("client", "client", ["10.5.6.30/32", "fd05:6::30/128"]),
            ("world", "world", ["198.51.100.7/24", "2001:db8:99::7/64"]),
        ],
    );
    scene.expect(
        0,
        &[
            ("a", "b", Tcp(3306), true),
            ("b", "a", Udp(5000), true),
            ("b", "a", Ping, true),
            ("world", "a", Tcp(22), true),
            ("world", "b", Tcp(3389), true),
            ("world", "a", Tcp(80), false),
            ("world", "a", Udp(5000), false),
            ("world", "a", Ping, false),
            ("client", "a", Tcp(80), true),
            ("client", "b", Tcp(80), true),
            ("client", "a", Tcp(443), false),
            ("a", "world", Tcp(443), true),
            ("a", "world", Ping, true),
        ],
    );
    scene.expect(
        1,
        &[
            ("a", "b", Tcp(3306), true),
            ("a", "b", Ping, true),
            ("world", "a", Tcp(22), false),
            ("client", "a", Tcp(80), false),
            ("b", "world", Udp(5000), true),
        ],
    );
}

#[test]
fn default_group() {
    let scene = Scene::new(
        include_str!("../fixtures/default.yaml"),
        &[
            ("a", "tap-a", ["10.6.0.10/32", "fd06::10/128"]),
            ("b", "tap-b", ["10.6.0.11/32", "fd06::11/128"]),
            ("world", "world", ["198.51.100.7/24", "2001:db8:99::7/64"]),
        ],
    );
    scene.expect_both(&[
        ("a", "b", Tcp(22), true),
        ("b", "a", Udp(5000), true),
        ("a", "b", Ping, true),
        ("world", "a", Tcp(22), false),
        ("world", "b", Ping, false),
        ("a", "world", Tcp(443), true),
        ("b", "world", Udp(5000), true),
        ("b", "world", Ping, true),
    ]);
}

#[test]
fn sys_webserver() {
    let scene = Scene::new(
        include_str!("../fixtures/sys-webserver.yaml"),
        &[
            ("one", "tap-web1", ["10.7.0.10/32", "fd07::10/128"]),
            ("two", "tap-web2", ["10.7.0.11/32", "fd07::11/128"]),
            ("world", "world", ["198.51.100.7/24", "2001:db8:99::7/64"]),
        ],
    );
    scene.expect_both(&[
        ("world", "one", Ping, true),
        ("world", "one", Tcp(443), true),
        ("world", "one", Tcp(80), true),
        ("world", "two", Tcp(22), true),
        ("world", "two", Tcp(3389), true),
        ("world", "one", Tcp(3306), false),
        ("world", "one", Udp(5000), false),
        ("two", "one", Tcp(3306), true),
        ("one", "two", Udp(5000), true),
        ("one", "world", Tcp(5000), true),
    ]);
}

#[test]
fn web_database_bastion() {
    let scene = Scene::new(
        include_str!("../fixtures/trio.yaml"),
        &[
            ("web", "tap-web", ["10.8.1.10/24", "fd08:1::10/64"]),
            ("db", "tap-db", ["10.8.2.10/24", "fd08:2::10/64"]),
            ("bastion", "tap-bastion", ["10.8.3.10/24", "fd08:3::10/64"]),
            ("office", "office", ["203.0.113.7/24", "2001:db8:1::7/64"]),
            ("world", "world", ["198.51.100.7/24", "2001:db8:99::7/64"]),
        ],
    );
    scene.expect_both(&[
        ("world", "web", Tcp(80), true),
        ("world", "web", Tcp(443), true),
        ("world", "web", Tcp(22), false),
        ("office", "web", Tcp(22), true),
        ("office", "bastion", Tcp(22), true),
        ("world", "bastion", Tcp(22), false),
        ("office", "db", Tcp(22), false),
        ("bastion", "db", Tcp(22), true),
        ("web", "db", Tcp(3306), true),
        ("web", "db", Tcp(22), false),
        ("bastion", "db", Tcp(3306), false),
        ("world", "db", Tcp(3306), false),
        ("db", "web", Tcp(443), true),
        ("db", "web", Tcp(3306), false),
        ("world", "web", Ping, false),
        ("web", "world", Udp(5000), true),
    ]);
}
