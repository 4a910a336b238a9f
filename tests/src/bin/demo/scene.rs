//! Who is there: a host, two guests, and the world outside, with listeners where somebody will knock.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use sg_agent::policy::{self, Policy, model::Interface};
use sg_tests::{
    agent::Agent,
    interrupt,
    netns::Netns,
    topology::{Cable, Topology},
    traffic::Echo,
};

use crate::screen::{Look, Screen};

/// The scene, drawn.
pub const PICTURE: &str = concat!(
    "   office    203.0.113.7   2001:db8:1::7   ─┐           ┌──────┐   ┌─ sg-web ── web  10.77.1.10  fd77:1::10\n",
    "                                            ├─ uplink ──┤ host ├───┤\n",
    "   internet  198.51.100.7  2001:db8:99::7  ─┘           └──────┘   └─ sg-db ─── db   10.77.2.10  fd77:2::10",
);

/// Somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// An administrator's machine.
    Office,
    /// Anybody's machine.
    Internet,
    /// The web server.
    Web,
    /// The database server.
    Db,
}

impl Who {
    /// In print.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Office => "office",
            Self::Internet => "internet",
            Self::Web => "web",
            Self::Db => "db",
        }
    }

    /// IPv4 and IPv6 address.
    pub fn addresses(self) -> [IpAddr; 2] {
        let [v4, v6] = match self {
            Self::Office => ["203.0.113.7", "2001:db8:1::7"],
            Self::Internet => ["198.51.100.7", "2001:db8:99::7"],
            Self::Web => ["10.77.1.10", "fd77:1::10"],
            Self::Db => ["10.77.2.10", "fd77:2::10"],
        };
        [v4, v6].map(|text| text.parse().expect("an address"))
    }

    /// The host's device in front of a guest.
    pub const fn port(self) -> Option<&'static str> {
        match self {
            Self::Web => Some("sg-web"),
            Self::Db => Some("sg-db"),
            Self::Office | Self::Internet => None,
        }
    }

    /// The machine in the topology.
    const fn machine(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Db => "db",
            Self::Office | Self::Internet => "outside",
        }
    }
}

/// Where somebody will knock: TCP ports and UDP ports.
const LISTENERS: [(Who, &[u16], &[u16]); 3] = [
    (Who::Web, &[22, 80, 443, 5432], &[53]),
    (Who::Db, &[22, 5432], &[5432]),
    (Who::Internet, &[25, 443], &[53]),
];

/// Everything that is there.
#[derive(Debug)]
pub struct Scene {
    topology: Topology,
    policy: Policy,
    /// Kept for their `Drop`.
    _listeners: Vec<Echo>,
}

impl Scene {
    /// Builds it; `text` is the policy file.
    pub fn build(text: &str) -> Result<Self> {
        let loaded = policy::parse_str(text, "the demo's policy");
        let faults = policy::render::human(&loaded.diagnostics, &loaded.sources, false);
        let policy = loaded.policy.with_context(|| faults)?;
        let topology = Topology::new(&[
            Cable::new("web", "sg-web").address("10.77.1.10/24").address("fd77:1::10/64"),
            Cable::new("db", "sg-db").address("10.77.2.10/24").address("fd77:2::10/64"),
            Cable::new("outside", "uplink")
                .address("203.0.113.7/24")
                .address("2001:db8:1::7/64")
                .address("198.51.100.7/32")
                .address("2001:db8:99::7/128"),
        ]);
        let mut listeners = Vec::new();
        for (who, tcp, udp) in LISTENERS {
            let ns = &topology.machine(who.machine()).ns;
            for address in who.addresses() {
                listeners.extend(tcp.iter().map(|port| Echo::tcp(ns, SocketAddr::new(address, *port))));
                listeners.extend(udp.iter().map(|port| Echo::udp(ns, SocketAddr::new(address, *port))));
            }
        }
        Ok(Self { topology, policy, _listeners: listeners })
    }

    /// Puts the policy in force and says so. It is unloaded when the agent is dropped.
    pub fn load(&self, screen: &mut Screen, path: &str) -> Result<Agent> {
        interrupt::check()?;
        screen.section("The policy", "One file, one command; no daemon stays.");
        let agent = Agent::new(&self.topology.host);
        let start = Instant::now();
        let run = agent.run(&["apply", path]);
        ensure!(run.status == 0, "sg-agent apply {path}: {}", run.stderr.trim());
        screen.line(Look::Bold, &format!("$ sg-agent apply {path}"));
        let status = agent.status();
        for interface in &status.interfaces {
            let groups = interface.groups.join(", ");
            let (rx, tx) = (&interface.rx_hook, &interface.tx_hook);
            let text =
                format!("{} is bound to group {groups}: received by {rx}, sent by {tx}", interface.name);
            screen.expect(interface.enforced, &text);
        }
        let took = start.elapsed().as_millis();
        screen.line(Look::Dim, &format!("generation {} in force, {took} ms", status.generation));
        Ok(agent)
    }

    /// The namespace that somebody is in.
    pub fn ns(&self, who: Who) -> &Netns {
        &self.topology.machine(who.machine()).ns
    }

    /// The host's namespace.
    pub fn host(&self) -> &Netns {
        &self.topology.host
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A guest's binding.
    pub fn interface(&self, who: Who) -> Option<&Interface> {
        let port = who.port()?;
        self.policy.interfaces.iter().find(|interface| interface.name == port)
    }
}
