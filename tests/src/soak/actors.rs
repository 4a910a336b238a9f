//! Who sends what on the living host, for as long as it goes on.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{Tally, Until};
use crate::{
    agent::Agent,
    netns::Netns,
    topology::{Machine, Topology},
    traffic::{self, Connection},
};

/// Connections that are held open from the client, and as many from the guest.
const HELD: usize = 50;

/// Longer than any answer takes on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(5);

/// Within so long a new device is enforced.
const ENFORCED: Duration = Duration::from_secs(5);

/// Ports of the guest `web`: open for TCP, open for UDP, never open.
pub const OPEN: u16 = 80;
pub const OPEN_UDP: u16 = 53;
pub const CLOSED: u16 = 81;
/// Port of the client that the guest may open.
pub const OUTSIDE: u16 = 443;

/// Connections that go on whatever is done to the daemon: each echoes again and again.
pub fn held(from: &Machine, to: &Machine, port: u16, what: &'static str, until: &Until, tally: &Tally) {
    let ends = [(from.v4(), to.v4()), (from.v6(), to.v6())];
    let mut connections = Vec::new();
    for number in 0..HELD {
        let (near, far) = ends[number % 2];
        match Connection::open(&from.ns, near, SocketAddr::new(far, port), PATIENCE) {
            Ok(connection) => connections.push(connection),
            Err(error) => tally.fault(format!("{what}: connection {number} could not be opened: {error}")),
        }
    }
    tally.add(what, "connections", connections.len() as u64);
    while until.goes_on() {
        connections.retain_mut(|connection| {
            if !until.goes_on() || connection.echoes(PATIENCE) {
                tally.count(what, "echoes");
                return true;
            }
            tally.count(what, "lost");
            tally.fault(format!("{what}: the connection from {} is lost", connection.local()));
            false
        });
        until.pause(Duration::from_millis(20));
    }
}

/// New connections and datagrams that the policy allows all the while.
pub fn newcomers(net: &Topology, until: &Until, tally: &Tally) {
    let (web, client) = (net.machine("web"), net.machine("client"));
    let ends = [(client.v4(), web.v4()), (client.v6(), web.v6())];
    let mut number = 0;
    while until.goes_on() {
        let (near, far) = ends[number % 2];
        number += 1;
        let datagram = traffic::udp(&client.ns, near, SocketAddr::new(far, OPEN_UDP), PATIENCE);
        let stream = traffic::tcp(&client.ns, near, SocketAddr::new(far, OPEN), PATIENCE);
        for (passed, what) in [(datagram, "datagrams answered"), (stream, "connections opened")] {
            match passed {
                true => tally.count("new", what),
                false => tally.fault(format!("new: {what}: one was not, from {near}")),
            }
        }
        until.pause(Duration::from_millis(10));
    }
}

/// Datagrams that no policy allows: a listener that must never hear one.
pub fn forbidden(net: &Topology, until: &Until, tally: &Tally) {
    let (web, client) = (net.machine("web"), net.machine("client"));
    let socket = |ns: &Netns, address| {
        let socket = ns.enter(|| UdpSocket::bind(address)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time limit");
        socket
    };
    thread::scope(|scope| {
        for (near, far) in [(client.v4(), web.v4()), (client.v6(), web.v6())] {
            let target = SocketAddr::new(far, CLOSED);
            let listener = socket(&web.ns, target);
            let sender = socket(&client.ns, SocketAddr::new(near, 0));
            scope.spawn(move || {
                let mut buffer = [0; 64];
                while until.goes_on() {
                    if listener.recv_from(&mut buffer).is_ok() {
                        tally.fault(format!("forbidden: a datagram got to {target}"));
                    }
                }
            });
            scope.spawn(move || {
                while until.goes_on() {
                    if sender.send_to(b"let me in", target).is_ok() {
                        tally.count("forbidden", "datagrams sent");
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
    });
}

/// Devices that are made, renamed, made again and removed; the pattern `churn*` binds each.
pub fn churn(host: &Netns, agent: &Agent, seed: u64, until: &Until, tally: &Tally) {
    let mut random = Rng::with_seed(seed);
    while until.goes_on() {
        let name = format!("churn{}", random.u8(..4));
        host.ip(&format!("link add {name} type veth peer name {name}x"));
        host.ip(&format!("link set {name}x up\nlink set {name} up"));
        tally.count("churn", "devices made");
        enforced(agent, &name, until, tally);
        if random.bool() {
            let other = format!("churn1{}", random.u8(..4));
            host.ip(&format!("link set {name} down\nlink set {name} name {other}\nlink set {other} up"));
            tally.count("churn", "devices renamed");
            enforced(agent, &other, until, tally);
            host.ip(&format!("link del {other}"));
        } else {
            host.ip(&format!("link del {name}"));
        }
        until.pause(Duration::from_millis(random.u64(..400)));
    }
}

/// Waits for `device` to be enforced. A daemon that is dead meanwhile has until it is alive again.
fn enforced(agent: &Agent, device: &str, until: &Until, tally: &Tally) {
    let start = Instant::now();
    while until.goes_on() {
        let run = agent.run(&["status", "--json"]);
        if run.status == 0 && is_enforced(&run.stdout, device) {
            return tally.time("churn", "enforced after", start.elapsed());
        }
        if start.elapsed() > ENFORCED {
            return tally
                .fault(format!("churn: {device} is not enforced after {ENFORCED:?}: {}", run.stderr));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_enforced(status: &str, device: &str) -> bool {
    let Ok(status) = serde_json::from_str::<crate::agent::Status>(status) else { return false };
    status.interfaces.iter().any(|one| one.name == device && one.enforced)
}

/// Somebody who reads, all the while.
pub fn reader(agent: &Agent, until: &Until, tally: &Tally) {
    const COMMANDS: [&[&str]; 4] =
        [&["conntrack", "list", "--json"], &["stats", "--json"], &["rules", "--json"], &["status"]];
    while until.goes_on() {
        for command in COMMANDS {
            let run = agent.run(command);
            match run.status {
                0 => tally.count("reader", "answers"),
                _ => tally.fault(format!("reader: {}: {}", command.join(" "), run.stderr)),
            }
        }
        until.pause(Duration::from_millis(500));
    }
}

/// Bursts of datagrams from ever new ports, which fill the share of the guest behind `noise` and must not cost anybody
/// else a connection.
pub fn flood(net: &Topology, until: &Until, tally: &Tally) {
    let (noise, client) = (net.machine("noise"), net.machine("client"));
    let socket = noise.ns.enter(|| UdpSocket::bind(SocketAddr::new(noise.v4(), 0))).expect("a socket");
    while until.goes_on() {
        // Every port is a connection of its own.
        for port in 1024..u16::MAX {
            if socket.send_to(b"noise", SocketAddr::new(client.v4(), port)).is_ok() {
                tally.count("flood", "datagrams sent");
            }
        }
        until.pause(Duration::from_secs(5));
    }
}
