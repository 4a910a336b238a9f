//! A host with so much life that its dashboard is worth a look: guests that serve, one that floods, one that lies, a
//! scanner outside, a policy that changes.

use std::{
    f64::consts::TAU,
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use sg_agent::metrics::DEFAULT_ADDRESS;

use super::{Answers, Dashboard, Page, example, examples};
use crate::{
    agent::Agent,
    daemon::{self, Daemon},
    inject::Tap,
    packets::{Ethernet, Ip, Transport},
    prometheus::{self, Prometheus, Span},
    soak::Until,
    topology::{Cable, Topology},
    traffic::{self, Connection, Echo, PATIENT},
};

/// Grafana takes rates over four scrapes where a step is not longer; Prometheus scrapes every second here.
pub const WINDOW: u64 = 4;

/// The command line of the picture.
#[derive(clap::Parser, Debug)]
#[command(name = "sg-dashboard", about = "Draws the Grafana dashboard of a host under traffic of its own")]
pub struct Options {
    /// Where the picture goes, an SVG
    #[arg(long, value_name = "FILE")]
    picture: PathBuf,
    /// How long the host lives
    #[arg(long, default_value_t = 90)]
    seconds: u64,
}

/// Lets a host live and draws its dashboard; whether there is nothing wrong with the picture.
///
/// # Errors
/// Without root or Prometheus, if a question is refused, if the picture cannot be written.
pub fn run(options: &Options) -> Result<bool> {
    if !nix::unistd::geteuid().is_root() {
        bail!("loading BPF programs and making network namespaces needs root");
    }
    let program = prometheus::program("prometheus").context("there is no Prometheus to ask")?;
    let answers = live(&example()?, &program, Duration::from_secs(options.seconds))?;
    let page = Page::new(&answers);
    fs::write(&options.picture, page.svg()).with_context(|| options.picture.display().to_string())?;
    let faults: Vec<String> = answers.silent.into_iter().chain(page.faults()).collect();
    faults.iter().for_each(|fault| eprintln!("{fault}"));
    println!("{}: {} panels, {} faults", options.picture.display(), page.panels(), faults.len());
    Ok(faults.is_empty())
}

/// Seconds since the epoch.
pub fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

const WEB: u16 = 80;
const SSH: u16 = 22;
const DATABASE: u16 = 5432;
const BUILD: u16 = 8080;

/// What is in force in the beginning; `{}` is where rules come and go.
const POLICY: &str = r#"version: 1
settings: {conntrack: {max_entries: 16384, max_per_interface: 2000}}
security_groups:
  web:
    rules:
      - {direction: ingress, service: http, description: HTTP from anywhere}
      - {direction: ingress, service: ping, description: Ping from anywhere}
      - {direction: ingress, protocol: tcp, ports: 22, action: deny, description: No SSH from outside}
{}  db:
    rules:
      - {direction: ingress, service: postgresql, remote: "group:web", description: PostgreSQL from the web servers}
  build:
    rules:
      - {direction: ingress, protocol: tcp, ports: 8000-8999, description: Build masters}
  build-next:
    audit: true
    rules:
      - {direction: ingress, protocol: tcp, ports: 8080, action: deny, description: "To come: no 8080"}
interfaces:
  - {name: tap-web, role: guest, groups: [web], addresses: [10.77.1.10, "fd77:1::10"]}
  - {name: tap-db, role: guest, groups: [db], addresses: [10.77.2.10, "fd77:2::10"]}
  - {name: tap-build, role: guest, groups: [build, build-next], addresses: [10.77.3.10]}
  - {name: tap-noise, role: guest, groups: [db], addresses: [10.77.4.10]}
"#;

/// The policy with so many rules more.
fn policy(more: u16) -> String {
    let rule = |number: u16| {
        format!(
            "      - {{direction: ingress, protocol: tcp, ports: {}, description: Trial {number}}}\n",
            9_000 + number
        )
    };
    POLICY.replacen("{}", &(1..=more).map(rule).collect::<String>(), 1)
}

fn live(dashboard: &Dashboard, program: &std::path::Path, time: Duration) -> Result<Answers> {
    let net = Topology::new(&[
        Cable::new("web", "tap-web").address("10.77.1.10/24").address("fd77:1::10/64"),
        Cable::new("db", "tap-db").address("10.77.2.10/24").address("fd77:2::10/64"),
        Cable::new("build", "tap-build").address("10.77.3.10/24"),
        Cable::new("noise", "tap-noise").address("10.77.4.10/24"),
        Cable::new("client", "up0").address("203.0.113.7/24").address("2001:db8:1::7/64"),
    ]);
    let agent = Agent::new(&net.host);
    daemon::write_config(&agent, &policy(0));
    let daemon = Daemon::start(&agent);
    let rules = examples().join("sg.rules.yml");
    let metrics: SocketAddr = DEFAULT_ADDRESS.parse().context("the address of metrics")?;
    let prometheus = Prometheus::start(program, &net.host, metrics, &rules);
    let from = prometheus.wait("the first scrape", || {
        let up = prometheus.query("sg_build_info").ok()?;
        (!up.is_empty()).then(now)
    });
    let _servers = servers(&net);
    let until = Until::after(time);
    let start = Instant::now();
    thread::scope(|scope| {
        for work in [visitors, queries, crowd, scanner, intruder, builders, liar, noise] {
            let (net, until) = (&net, &until);
            scope.spawn(move || work(net, &Wave { start, until }));
        }
        scope.spawn(|| operator(&agent, &until, time));
    });
    let answers = Answers::ask(dashboard, &prometheus, Span { from, to: now(), step: 1 }, WINDOW);
    drop(daemon);
    answers.map_err(anyhow::Error::msg)
}

fn servers(net: &Topology) -> Vec<Echo> {
    let mut servers = Vec::new();
    for (name, port) in [("web", WEB), ("db", DATABASE), ("build", BUILD)] {
        let machine = net.machine(name);
        servers.push(Echo::tcp(&machine.ns, SocketAddr::new(machine.v4(), port)));
        if name == "web" {
            servers.push(Echo::tcp(&machine.ns, SocketAddr::new(machine.v6(), port)));
        }
    }
    servers
}

/// A load that comes and goes.
struct Wave<'a> {
    start: Instant,
    until: &'a Until,
}

impl Wave<'_> {
    /// How high it is, 0 to 1, if it has so many seconds from crest to crest.
    fn height(&self, seconds: f64) -> f64 {
        0.5 - 0.5 * (self.start.elapsed().as_secs_f64() * TAU / seconds).cos()
    }

    /// Does `work` again and again, after pauses from `long` milliseconds in a trough to `short` on a crest.
    fn ride(&self, seconds: f64, (long, short): (f64, f64), mut work: impl FnMut(u16)) {
        let mut number = 0;
        while self.until.goes_on() {
            work(number);
            number = number.wrapping_add(1);
            let pause = long + (short - long) * self.height(seconds);
            self.until.pause(Duration::from_secs_f64(pause / 1000.0));
        }
    }

    /// Whether it is time for a burst: `share` of so many seconds.
    fn bursts(&self, seconds: f64, share: f64) -> bool {
        (self.start.elapsed().as_secs_f64() / seconds + 0.5).fract() < share
    }
}

/// Connections from outside that fetch pages.
fn visitors(net: &Topology, wave: &Wave<'_>) {
    let (web, client) = (net.machine("web"), net.machine("client"));
    let ends = [(client.v4(), web.v4()), (client.v6(), web.v6())];
    wave.ride(40.0, (120.0, 8.0), |number| {
        let (near, far) = ends[usize::from(number % 2)];
        if let Ok(mut connection) = Connection::open(&client.ns, near, SocketAddr::new(far, WEB), PATIENT) {
            connection.carries(2_000 + 500 * usize::from(number % 40), PATIENT);
        }
        if number % 8 == 0 {
            traffic::ping(&client.ns, near, far, PATIENT);
        }
    });
}

/// What the web server asks of the database, on connections that it keeps.
fn queries(net: &Topology, wave: &Wave<'_>) {
    let (web, db) = (net.machine("web"), net.machine("db"));
    let mut pool: Vec<Connection> = (0..6)
        .filter_map(|_| Connection::open(&web.ns, web.v4(), SocketAddr::new(db.v4(), DATABASE), PATIENT).ok())
        .collect();
    wave.ride(40.0, (100.0, 10.0), |number| {
        let chosen = usize::from(number) % pool.len().max(1);
        if let Some(connection) = pool.get_mut(chosen) {
            connection.carries(6_000, PATIENT);
        }
    });
}

/// Connections that stay open a while, ever more, and then all end.
fn crowd(net: &Topology, wave: &Wave<'_>) {
    let (web, client) = (net.machine("web"), net.machine("client"));
    let mut held = Vec::new();
    wave.ride(30.0, (80.0, 40.0), |_| {
        held.extend(Connection::open(&client.ns, client.v6(), SocketAddr::new(web.v6(), WEB), PATIENT));
        if held.len() > 300 {
            held.clear();
        }
    });
}

fn socket(net: &Topology, name: &str) -> UdpSocket {
    let machine = net.machine(name);
    machine.ns.enter(|| UdpSocket::bind(SocketAddr::new(machine.v4(), 0))).expect("a socket")
}

/// Datagrams to port after port of two guests, in bursts.
fn scanner(net: &Topology, wave: &Wave<'_>) {
    let targets: [IpAddr; 2] = [net.machine("db").v4(), net.machine("web").v4()];
    let from = socket(net, "client");
    wave.ride(25.0, (12.0, 3.0), |number| {
        let target = targets[usize::from(wave.bursts(31.0, 0.5))];
        if wave.bursts(25.0, 0.6) {
            drop(from.send_to(b"anybody?", SocketAddr::new(target, 1024 + number % 4096)));
        }
    });
}

/// Somebody who tries SSH.
fn intruder(net: &Topology, wave: &Wave<'_>) {
    let (web, client) = (net.machine("web"), net.machine("client"));
    let target = SocketAddr::new(web.v4(), SSH);
    wave.ride(20.0, (200.0, 10.0), |_| {
        drop(Connection::open(&client.ns, client.v4(), target, Duration::from_millis(40)));
    });
}

/// What an audit group would drop.
fn builders(net: &Topology, wave: &Wave<'_>) {
    let (build, client) = (net.machine("build"), net.machine("client"));
    wave.ride(35.0, (400.0, 60.0), |_| {
        traffic::tcp(&client.ns, client.v4(), SocketAddr::new(build.v4(), BUILD), PATIENT);
    });
}

/// A guest that sends from addresses that are not its own.
fn liar(net: &Topology, wave: &Wave<'_>) {
    let (noise, client) = (net.machine("noise"), net.machine("client"));
    let tap = Tap::open(&noise.ns, "eth0");
    let ip = Ip::new(IpAddr::from([192, 0, 2, 99]), client.v4());
    let frame = Ethernet::new(noise.mac, noise.gateway_mac).ip(&ip, &Transport::udp(53, 53));
    wave.ride(45.0, (150.0, 20.0), |_| {
        if wave.bursts(45.0, 0.4) {
            drop(tap.try_send(&frame));
        }
    });
}

/// A guest that opens more than its share.
fn noise(net: &Topology, wave: &Wave<'_>) {
    let target = net.machine("client").v4();
    let from = socket(net, "noise");
    wave.ride(30.0, (60.0, 12.0), |number| {
        for one in 0..2 {
            drop(from.send_to(b"noise", SocketAddr::new(target, 1024 + number * 2 + one)));
        }
    });
}

/// Somebody who changes the policy now and then, once with a fault.
fn operator(agent: &Agent, until: &Until, time: Duration) {
    for step in [policy(1), policy(3), policy(3).replace("web:", "web"), policy(2)] {
        until.pause(time / 5);
        if until.goes_on() {
            daemon::write_config(agent, &step);
        }
    }
    until.pause(time);
}
