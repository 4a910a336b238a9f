//! A host with machines around it, each in a namespace of its own, cabled with veth pairs and routed by the host.
//!
//! The host is what is tested: the agent runs in its namespace and filters its ends of the cables. A machine's end is
//! always `eth0`; the host's end has the name and the addresses (`.1`, `::1`) that the machine's gateway needs.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{netns::Netns, packets::Mac};

/// A cable to be: the machine at its end.
#[derive(Clone, Debug)]
pub struct Cable {
    name: String,
    port: String,
    addresses: Vec<IpNet>,
    silent: bool,
    queues: u8,
}

impl Cable {
    /// A machine called `name` behind the host's device `port`.
    pub fn new(name: &str, port: &str) -> Self {
        Self { name: name.to_owned(), port: port.to_owned(), addresses: Vec::new(), silent: false, queues: 1 }
    }

    /// Gives the machine an address. A prefix shorter than the address makes a network with the host as gateway. A
    /// whole address (`/32`, `/128`) is in no network: the host has a route to it.
    #[must_use]
    #[track_caller]
    pub fn address(mut self, address: &str) -> Self {
        self.addresses.push(address.parse().unwrap_or_else(|error| panic!("{address}: {error}")));
        self
    }

    /// Each end has so many queues each way, as the cards of servers do.
    #[must_use]
    pub fn queues(mut self, queues: u8) -> Self {
        self.queues = queues;
        self
    }

    /// The machine's kernel knows none of its addresses, so that it answers nothing: the other end of crafted frames.
    /// The host finds it all the same.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Its namespace.
    pub ns: Netns,
    /// The host's end of its cable.
    pub port: String,
    /// Its MAC address.
    pub mac: Mac,
    /// The MAC address of the host's end.
    pub gateway_mac: Mac,
    name: String,
    addresses: Vec<IpNet>,
}

impl Machine {
    /// Its first address of the family of `like`.
    #[track_caller]
    pub fn address_like(&self, like: IpAddr) -> IpAddr {
        let mut of_family = self.addresses.iter().map(IpNet::addr).filter(|a| a.is_ipv4() == like.is_ipv4());
        of_family.next().unwrap_or_else(|| panic!("{} has no address of {like}'s family", self.name))
    }

    /// Its first IPv4 address.
    #[track_caller]
    pub fn v4(&self) -> IpAddr {
        self.address_like(IpAddr::from([0; 4]))
    }

    /// Its first IPv6 address.
    #[track_caller]
    pub fn v6(&self) -> IpAddr {
        self.address_like(IpAddr::from([0; 16]))
    }
}

/// A host and its machines.
#[derive(Debug)]
pub struct Topology {
    /// The host.
    pub host: Netns,
    machines: Vec<Machine>,
}

impl Topology {
    /// Builds it.
    #[track_caller]
    pub fn new(cables: &[Cable]) -> Self {
        Self::around(Netns::new(), cables)
    }

    /// Builds it around a host that is there.
    #[track_caller]
    pub fn around(host: Netns, cables: &[Cable]) -> Self {
        quiet(&host);
        host.sysctl("ipv4/ip_forward", "1");
        host.sysctl("ipv6/conf/all/forwarding", "1");
        let machines = cables.iter().zip(1..).map(|(cable, number)| connect(&host, cable, number)).collect();
        Self { host, machines }
    }

    /// The machine called `name`.
    #[track_caller]
    pub fn machine(&self, name: &str) -> &Machine {
        let mut named = self.machines.iter().filter(|machine| machine.name == name);
        named.next().unwrap_or_else(|| panic!("no machine {name}"))
    }
}

/// No duplicate address detection, no reverse path filter, no rate limit on ICMP; anyone may ping.
fn quiet(ns: &Netns) {
    for (key, value) in [
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/icmp_ratelimit", "0"),
        ("ipv4/ping_group_range", "0 2147483647"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/all/accept_dad", "0"),
    ] {
        ns.sysctl(key, value);
    }
}

fn connect(host: &Netns, cable: &Cable, number: u8) -> Machine {
    let ns = Netns::new();
    quiet(&ns);
    if cable.silent {
        ns.sysctl("ipv6/conf/default/disable_ipv6", "1");
    }
    let machine = Machine {
        mac: Mac([2, 0, 0, 0, 1, number]),
        gateway_mac: Mac([2, 0, 0, 0, 0, number]),
        ns,
        port: cable.port.clone(),
        name: cable.name.clone(),
        addresses: cable.addresses.clone(),
    };
    let Machine { port, mac, gateway_mac, .. } = &machine;
    let there = machine.ns.path();
    let queues = format!("numtxqueues {0} numrxqueues {0}", cable.queues);
    host.ip(&format!(
        "link add {port} address {gateway_mac} {queues} type veth peer name eth0 address {mac} {queues} netns {}
         link set {port} up",
        there.display()
    ));
    machine.ns.ip("link set eth0 up");
    for address in &cable.addresses {
        host.ip(&host_side(port, *address));
        match cable.silent {
            true => host.ip(&format!("neigh add {} lladdr {mac} dev {port} nud permanent", address.addr())),
            false => machine.ns.ip(&machine_side(*address)),
        }
    }
    for like in [IpAddr::from([0; 4]), IpAddr::from([0; 16])] {
        let mut of_family =
            cable.addresses.iter().filter(|address| address.addr().is_ipv4() == like.is_ipv4()).peekable();
        if of_family.peek().is_some() && of_family.all(is_whole) && !cable.silent {
            route_without_network(host, &machine, like);
        }
    }
    machine
}

/// A machine outside any network reaches its host at an address that is the same on every cable.
fn route_without_network(host: &Netns, machine: &Machine, like: IpAddr) {
    let port = &machine.port;
    if like.is_ipv4() {
        host.ip(&format!("addr add 169.254.1.1/32 dev {port}"));
        machine.ns.ip("route add 169.254.1.1 dev eth0\nroute add default via 169.254.1.1");
    } else {
        host.ip(&format!("addr add fe80::1/64 dev {port} nodad"));
        machine.ns.ip("-6 route add default via fe80::1 dev eth0");
    }
}

fn host_side(port: &str, address: IpNet) -> String {
    match gateway(address) {
        Some(gateway) => format!("addr add {gateway}{} dev {port}", nodad(gateway)),
        None => format!("route add {} dev {port}", address),
    }
}

fn machine_side(address: IpNet) -> String {
    let family = if address.addr().is_ipv4() { "-4" } else { "-6" };
    let own = format!("addr add {address}{} dev eth0", nodad(address));
    match gateway(address) {
        Some(gateway) => format!("{own}\n{family} route add default via {}", gateway.addr()),
        None => own,
    }
}

/// The host's address in the network of `address`: the first after the network's own.
fn gateway(address: IpNet) -> Option<IpNet> {
    let first = match address {
        IpNet::V4(net) => net.hosts().next().map(IpAddr::from),
        IpNet::V6(net) => Some(IpAddr::from((u128::from(net.network()) + 1).to_be_bytes())),
    };
    first.filter(|_| !is_whole(&address)).and_then(|first| IpNet::new(first, address.prefix_len()).ok())
}

fn is_whole(address: &IpNet) -> bool {
    address.prefix_len() == address.max_prefix_len()
}

fn nodad(address: IpNet) -> &'static str {
    if address.addr().is_ipv4() { "" } else { " nodad" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic;

    #[test]
    fn machines_reach_each_other_through_the_host() {
        let net = Topology::new(&[
            Cable::new("guest", "tap0").address("10.77.1.10/24").address("fd77:1::10/64"),
            Cable::new("client", "uplink")
                .address("203.0.113.7/24")
                .address("198.51.100.7/32")
                .address("fd99::7/64"),
        ]);
        let (guest, client) = (net.machine("guest"), net.machine("client"));
        for (from, to) in [
            (client.v4(), guest.v4()),
            (client.v6(), guest.v6()),
            ("198.51.100.7".parse().expect("an address"), guest.v4()),
        ] {
            assert!(traffic::ping(&client.ns, from, to, traffic::PATIENT), "{from} -> {to}");
        }
    }

    #[test]
    fn machines_without_a_network_reach_each_other() {
        let net = Topology::new(&[
            Cable::new("a", "tap-a").address("10.5.6.10/32").address("fd05:6::10/128"),
            Cable::new("b", "tap-b").address("10.5.6.11/32").address("fd05:6::11/128"),
        ]);
        let (a, b) = (net.machine("a"), net.machine("b"));
        assert!(traffic::ping(&a.ns, a.v4(), b.v4(), traffic::PATIENT));
        assert!(traffic::ping(&b.ns, b.v6(), a.v6(), traffic::PATIENT));
    }

    #[test]
    fn a_gateway_is_the_first_address_of_its_network() {
        let of =
            |address: &str| gateway(address.parse().expect("a prefix")).map(|gateway| gateway.to_string());
        assert_eq!(of("10.77.1.10/24").as_deref(), Some("10.77.1.1/24"));
        assert_eq!(of("fd77:1::10/64").as_deref(), Some("fd77:1::1/64"));
        assert_eq!(of("198.51.100.7/32"), None);
    }
}
