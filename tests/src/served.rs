//! A web server's guest and a client, both of which listen.

use std::net::SocketAddr;

use crate::{
    topology::{Cable, Topology},
    traffic::Echo,
};

/// The machine `web` behind `tap0` listens on 80 and 81, `client` behind `up0` on 443, both families.
pub fn web_and_client() -> (Topology, Vec<Echo>) {
    let net = Topology::new(&[
        Cable::new("web", "tap0").address("10.77.1.10/24").address("fd77:1::10/64"),
        Cable::new("client", "up0").address("203.0.113.7/24").address("2001:db8:1::7/64"),
    ]);
    let mut listeners = Vec::new();
    for (name, port) in [("web", 80), ("web", 81), ("client", 443)] {
        let machine = net.machine(name);
        for address in [machine.v4(), machine.v6()] {
            listeners.push(Echo::tcp(&machine.ns, SocketAddr::new(address, port)));
        }
    }
    (net, listeners)
}
