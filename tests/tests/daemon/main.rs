//! The daemon on a host: what is in force while it starts, runs, is killed, and is started again.

mod killed;
mod live;
mod memory;
mod reload;
mod service;
mod socket;
mod sweep;

use std::net::SocketAddr;

use sg_tests::{
    agent::Agent,
    daemon::write_config,
    topology::{Cable, Topology},
    traffic::{self, BRIEF, Echo, PATIENT},
};

/// A guest that serves TCP and UDP on 80 and 81, another, and a client.
struct Scene {
    agent: Agent,
    net: Topology,
    _servers: Vec<Echo>,
}

impl Scene {
    /// With `ports` open in the policy file; nothing runs yet.
    fn new(ports: &str) -> Self {
        let net = Topology::new(&[
            Cable::new("web", "tap0").address("10.77.1.10/24"),
            Cable::new("db", "tap1").address("10.77.2.10/24"),
            Cable::new("client", "up0").address("203.0.113.7/24"),
        ]);
        let machines = [("web", 80), ("web", 81), ("db", 80), ("db", 81)];
        let serve = |(name, port): (&str, u16)| {
            let machine = net.machine(name);
            let address = SocketAddr::new(machine.v4(), port);
            [Echo::tcp(&machine.ns, address), Echo::udp(&machine.ns, address)]
        };
        let servers = machines.into_iter().flat_map(serve).collect();
        let scene = Self { agent: Agent::new(&net.host), net, _servers: servers };
        write_config(&scene.agent, &policy(ports));
        scene
    }

    fn at(&self, name: &str, port: u16) -> SocketAddr {
        SocketAddr::new(self.net.machine(name).v4(), port)
    }

    /// Ports 80 and 81 of the guest `name` can be reached, or not, by TCP and UDP.
    #[track_caller]
    fn expect(&self, name: &str, reached: [bool; 2]) {
        let client = self.net.machine("client");
        for (port, expected) in [80, 81].into_iter().zip(reached) {
            let patience = if expected { PATIENT } else { BRIEF };
            let to = self.at(name, port);
            let got =
                [traffic::tcp, traffic::udp].map(|try_it| try_it(&client.ns, client.v4(), to, patience));
            assert_eq!(got, [expected; 2], "{name}:{port}, by TCP and UDP");
        }
    }
}

/// Opens `ports` of the guest behind tap0.
fn policy(ports: &str) -> String {
    format!(
        "version: 1
security_groups:
  web:
    rules:
      - {{direction: ingress, protocol: tcp, ports: [{ports}]}}
      - {{direction: ingress, protocol: udp, ports: [{ports}]}}
interfaces:
  - {{name: tap0, role: guest, groups: [web], addresses: [10.77.1.10]}}
"
    )
}
