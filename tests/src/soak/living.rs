//! The living host: two guests, a client, real time, real sockets.

use std::{net::SocketAddr, thread, time::Duration};

use super::{
    Census, Compared, Service, Tally, Until,
    actors::{self, OPEN, OPEN_UDP, OUTSIDE},
    trouble::{self, Variant},
};
use crate::{
    agent::Agent,
    topology::{Cable, Topology},
    traffic::Echo,
};

/// After so long a daemon that nobody asks for anything holds what it holds for good.
const SETTLED: Duration = Duration::from_secs(2);

/// Runs every actor; what the daemon holds at the end beside what it held at the beginning.
pub fn run(seed: u64, until: &Until, tally: &Tally) -> Vec<Compared> {
    let net = Topology::new(&[
        Cable::new("web", "tap0").address("10.77.1.10/24").address("fd77:1::10/64"),
        Cable::new("noise", "tap1").address("10.77.2.10/24").address("fd77:2::10/64"),
        Cable::new("client", "up0").address("203.0.113.7/24").address("2001:db8:1::7/64"),
    ]);
    let listeners = listeners(&net);
    let agent = Agent::new(&net.host);
    let service = Service::start(&agent, &Variant::first().text());
    // Its metrics are served a moment after it is ready.
    thread::sleep(SETTLED);
    let before = service.census();
    thread::scope(|scope| {
        let (net, service) = (&net, &service);
        let (web, client) = (net.machine("web"), net.machine("client"));
        scope.spawn(|| actors::held(client, web, OPEN, "held in", until, tally));
        scope.spawn(|| actors::held(web, client, OUTSIDE, "held out", until, tally));
        scope.spawn(|| actors::newcomers(net, until, tally));
        scope.spawn(|| actors::forbidden(net, until, tally));
        scope.spawn(|| actors::flood(net, until, tally));
        scope.spawn(|| actors::churn(&net.host, service.agent(), seed, until, tally));
        scope.spawn(|| actors::reader(service.agent(), until, tally));
        scope.spawn(|| trouble::make(service, seed ^ 2, until, tally));
    });
    service.start_anew();
    // Devices that went last are forgotten in a moment.
    thread::sleep(SETTLED);
    let mut census = before.compared_with(&service.census());
    drop(service);
    drop((agent, listeners));
    census.push(Census::left_behind(&net.host));
    census
}

fn listeners(net: &Topology) -> Vec<Echo> {
    let mut listeners = Vec::new();
    for (name, port) in [("web", OPEN), ("client", OUTSIDE)] {
        let machine = net.machine(name);
        for address in [machine.v4(), machine.v6()] {
            listeners.push(Echo::tcp(&machine.ns, SocketAddr::new(address, port)));
        }
    }
    let web = net.machine("web");
    for address in [web.v4(), web.v6()] {
        listeners.push(Echo::udp(&web.ns, SocketAddr::new(address, OPEN_UDP)));
    }
    listeners
}
