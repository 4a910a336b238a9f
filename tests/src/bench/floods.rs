//! A thousand established connections, and floods of new ones that are many times more than the tables hold
//! (target 12): how many of the thousand are lost.
//!
//! The connections are real ones, from outside to a guest. Floods come from outside or from a neighbour guest, and the
//! guest answers each datagram or none.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use sg_bench_ebpf::draw::Draw;

use super::{Plan, entry::Entry, firewalls::receive_in_batches, generator::Generator, machine};
use crate::{
    agent::Agent,
    clock::Clock,
    interrupt,
    topology::{Cable, Machine, Topology},
    traffic::PATIENT,
};

const HELD: usize = 1_000;
/// Connections of one guest, and of all.
const SHARE: u32 = 8_192;
const TABLE: u32 = 16_384;
/// Packets of one flood; nearly all of them would be connections of their own.
const FLOOD: u32 = 40_960;
/// As many at once as the answering socket has room for, until the guest's share is full.
const BURST: u32 = 32;
/// How long the answering socket waits for one more datagram of a burst.
const PAUSE: Duration = Duration::from_millis(2);
/// Floods of each kind, at most.
const FLOODS: u64 = 3;
const HELD_PORT: u16 = 7_001;
const SILENT_PORT: u16 = 9_000;
const ECHO_PORT: u16 = 9_001;
const MODE: &str = "TCX on veth, sockets, live frames";

/// Where a flood comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Outside,
    Neighbour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flood {
    from: From,
    is_answered: bool,
}

impl Flood {
    const ALL: [Self; 4] = [
        Self { from: From::Outside, is_answered: false },
        Self { from: From::Outside, is_answered: true },
        Self { from: From::Neighbour, is_answered: false },
        Self { from: From::Neighbour, is_answered: true },
    ];

    fn name(&self) -> String {
        let from = if self.from == From::Outside { "outside" } else { "a neighbour guest" };
        let way = if self.is_answered { "two-way" } else { "one-way" };
        format!("connections lost, {way} flood from {from}")
    }

    const fn machine(&self) -> &'static str {
        match self.from {
            From::Outside => "client",
            From::Neighbour => "neighbour",
        }
    }

    /// From outside any source; a neighbour has but one address.
    fn draw(&self, seed: u64) -> Draw {
        let port = if self.is_answered { ECHO_PORT } else { SILENT_PORT };
        let common =
            Draw { state: seed, source_port: 1_024, source_port_mask: 0x7fff, port, ..Draw::default() };
        match self.from {
            From::Outside => Draw { base: 0x0a00_0000, blocks: 1 << 16, shift: 6, host_mask: 63, ..common },
            From::Neighbour => {
                Draw { base: u32::from(NEIGHBOUR).into(), blocks: 1, source_port_mask: 0xffff, ..common }
            }
        }
    }
}

const GUEST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

/// What they are called.
pub fn names(plan: &Plan) -> Vec<String> {
    if plan.thorough() { Flood::ALL.iter().map(Flood::name).collect() } else { Vec::new() }
}

/// Sends those that are wanted.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    let wanted = plan.wanted(Flood::ALL.to_vec(), Flood::name);
    if wanted.is_empty() || !plan.thorough() {
        return Ok(Vec::new());
    }
    let mut scene = Scene::new()?;
    let mut entries = Vec::new();
    for flood in wanted {
        plan.begin(&flood.name());
        let lost: Vec<f64> = (1..=FLOODS.min(plan.slow_rounds as u64))
            .map(|round| scene.lost(&flood, round))
            .collect::<Result<_>>()?;
        entries.push(Entry::none(&flood.name(), "of 1,000", &lost).about(12, MODE, 2));
    }
    Ok(entries)
}

/// Client, guest and neighbour around a host that filters both guests.
struct Scene {
    net: Topology,
    agent: Agent,
    clock: Clock,
    generator: Generator,
    held: Vec<Held>,
    _silent: UdpSocket,
    echo: UdpSocket,
}

impl Scene {
    fn new() -> Result<Self> {
        let net = Topology::new(&[
            Cable::new("client", "up0").address("10.99.1.2/24"),
            Cable::new("guest", "tap0").address(&format!("{GUEST}/24")),
            Cable::new("neighbour", "tap1").address(&format!("{NEIGHBOUR}/24")),
        ]);
        net.host.ip("route add 10.0.0.0/8 via 10.99.1.2");
        for port in ["up0", "tap1"] {
            receive_in_batches(&net.host, port)?;
        }
        let agent = Agent::new(&net.host);
        agent.apply(&policy());
        let guest = net.machine("guest");
        let socket =
            |port| guest.ns.enter(|| UdpSocket::bind((GUEST, port))).context("a socket of the guest");
        let (silent, echo) = (socket(SILENT_PORT)?, socket(ECHO_PORT)?);
        echo.set_read_timeout(Some(PAUSE)).context("a time limit")?;
        let held = hold(net.machine("client"), guest)?;
        Ok(Self {
            clock: Clock::of(&net.host),
            generator: Generator::load(machine::cpu()?)?,
            _silent: silent,
            echo,
            held,
            agent,
            net,
        })
    }

    /// Floods, and counts the connections that carry nothing any more. Then what the flood left is let expire.
    fn lost(&mut self, flood: &Flood, round: u64) -> Result<f64> {
        let (mut sent, mut answers, mut is_full) = (0, 0, !flood.is_answered);
        while sent < FLOOD {
            interrupt::check()?;
            let draw = flood.draw((round << 32 | u64::from(sent)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let from = self.net.machine(flood.machine());
            let burst = if is_full { FLOOD - sent } else { BURST };
            self.generator.send(from, GUEST.into(), &draw, burst)?;
            sent += burst;
            if !is_full {
                let answered = self.answer();
                answers += answered;
                is_full = answered == 0;
            }
        }
        let entries = self.agent.counters().entries().connections;
        ensure!(entries >= u64::from(SHARE), "{entries} entries: the flood did not fill the guest's share");
        ensure!(flood.is_answered == (answers > SHARE / 2), "{answers} answers to {flood:?}");
        let lost = self.unheard();
        self.clock.advance_seconds(200);
        Ok(lost.max(self.unheard()) as f64)
    }

    /// Answers the datagrams that have come; how many.
    fn answer(&self) -> u32 {
        let mut datagram = [0; 128];
        let mut answers = 0;
        while let Ok((length, from)) = self.echo.recv_from(&mut datagram) {
            // One that cannot be sent is not answered.
            answers += u32::from(self.echo.send_to(&datagram[..length], from).is_ok());
        }
        answers
    }

    /// Connections that carry nothing any more.
    fn unheard(&mut self) -> usize {
        self.held.iter_mut().filter_map(|held| held.carries().err()).count()
    }
}

fn policy() -> String {
    let guest = |name: &str, address: Ipv4Addr| {
        format!("  - {{name: {name}, role: guest, groups: [guest], addresses: [{address}]}}\n")
    };
    format!(
        "version: 1
settings:
  conntrack: {{max_entries: {TABLE}, max_per_interface: {SHARE}}}
security_groups:
  guest:
    rules:
      - {{direction: ingress, protocol: tcp, ports: {HELD_PORT}}}
      - {{direction: ingress, protocol: udp, ports: {SILENT_PORT}-{ECHO_PORT}}}
interfaces:
{}{}",
        guest("tap0", GUEST),
        guest("tap1", NEIGHBOUR)
    )
}

/// A connection, both ends of it.
struct Held {
    near: TcpStream,
    far: TcpStream,
}

impl Held {
    /// Whether bytes go either way.
    fn carries(&mut self) -> std::io::Result<()> {
        let mut byte = [0];
        self.near.write_all(&[1])?;
        self.far.read_exact(&mut byte)?;
        self.far.write_all(&[2])?;
        self.near.read_exact(&mut byte)
    }
}

fn hold(client: &Machine, guest: &Machine) -> Result<Vec<Held>> {
    let to = SocketAddr::new(IpAddr::from(GUEST), HELD_PORT);
    let listener = guest.ns.enter(|| TcpListener::bind(to)).context("listening")?;
    client.ns.enter(|| {
        (0..HELD)
            .map(|_| {
                let near = TcpStream::connect_timeout(&to, PATIENT).context("connecting")?;
                let (far, _) = listener.accept().context("accepting")?;
                near.set_read_timeout(Some(PATIENT)).context("a time limit")?;
                far.set_read_timeout(Some(PATIENT)).context("a time limit")?;
                Ok(Held { near, far })
            })
            .collect()
    })
}
