//! What is decided before the rules: who a guest may claim to be, what it may never send, what always passes.

use sg_common::verdict::Reason;
use sg_tests::packets::{Ethernet, Ip, Mac, Transport, arp, ethertype, flag::SYN};

use super::*;

const STRANGER: Mac = Mac([2, 0, 0, 0, 0, 0x99]);
const GUEST_ARP: [u8; 4] = [10, 9, 2, 2];
const ROUTER_ARP: [u8; 4] = [10, 9, 2, 1];

/// What is malformed from a guest only: more than infrastructure needs.
pub const TOO_MUCH: [&str; 3] = [
    "with more behind it than fills the shortest frame",
    "neighbour solicitation with a load of options",
    "neighbour solicitation to a group beyond the link",
];

pub fn cases() -> Vec<Case> {
    [sources(), address_resolution(), neighbours(), dhcp()].concat()
}

fn from(name: &str, mac: Mac, ip: &Ip, transport: &Transport, verdict: Verdict) -> Case {
    let frame = Ethernet::new(mac, ROUTER_MAC).ip(ip, transport);
    Case { name: name.to_owned(), side: Side::Out, frame, verdict }
}

fn ip(source: &str, destination: &str) -> Ip {
    Ip::new(address(source), address(destination))
}

/// P29, A22, A24
fn sources() -> Vec<Case> {
    let spoofed = dropped(Reason::SpoofedAddress);
    let case = |name: &str, source: &str, port: u16, verdict| {
        let destination = if address(source).is_ipv4() { "10.9.1.2" } else { "fd01::2" };
        from(name, GUEST_MAC, &ip(source, destination), &Transport::tcp(60_000 + port, 80, SYN), verdict)
    };
    let wrong_mac = Transport::tcp(60_100, 80, SYN);
    vec![
        case("own IPv4 address", "10.9.2.2", 0, BY_RULE),
        case("own IPv6 address", "fd02::2", 1, BY_RULE),
        case("allowed address pair", "10.9.2.100", 2, BY_RULE),
        case("link-local address", "fe80::1234", 3, BY_RULE),
        case("a neighbour's IPv4 address", "10.9.2.3", 4, spoofed),
        case("a neighbour's IPv6 address", "fd02::3", 5, spoofed),
        case("IPv4 loopback", "127.0.0.1", 6, spoofed),
        case("IPv4 broadcast", "255.255.255.255", 7, spoofed),
        case("IPv4 multicast", "224.0.0.5", 8, spoofed),
        case("IPv4 unspecified", "0.0.0.0", 9, spoofed),
        case("IPv6 loopback", "::1", 10, spoofed),
        case("IPv6 multicast", "ff02::5", 11, spoofed),
        case("IPv4-mapped IPv6", "::ffff:10.9.2.2", 12, spoofed),
        from(
            "a stranger's MAC address",
            STRANGER,
            &ip("10.9.2.2", "10.9.1.2"),
            &wrong_mac,
            dropped(Reason::SpoofedMac),
        ),
        from(
            "a stranger's MAC address, IPv6",
            STRANGER,
            &ip("fd02::2", "fd01::2"),
            &wrong_mac,
            dropped(Reason::SpoofedMac),
        ),
    ]
}

/// N01, N02, N03, A26
fn address_resolution() -> Vec<Case> {
    let out = |name, message: &[u8], verdict| resolution(name, Side::Out, message, verdict);
    let inward = |name, message: &[u8], verdict| resolution(name, Side::In, message, verdict);
    let spoofed = dropped(Reason::SpoofedArp);
    let request = |mac, sender| arp(1, (mac, sender), (NOBODY, ROUTER_ARP));
    let asked = arp(1, (ROUTER_MAC, ROUTER_ARP), (NOBODY, GUEST_ARP));
    let answered = arp(2, (ROUTER_MAC, ROUTER_ARP), (GUEST_MAC, GUEST_ARP));
    let pair = arp(2, (GUEST_MAC, [10, 9, 2, 100]), (ROUTER_MAC, ROUTER_ARP));
    let announced = arp(1, (GUEST_MAC, GUEST_ARP), (NOBODY, GUEST_ARP));
    let as_router = arp(2, (GUEST_MAC, ROUTER_ARP), (NOBODY, GUEST_ARP));
    let own = request(GUEST_MAC, GUEST_ARP);
    let padded = |with: u8, bytes| [own.clone(), vec![with; bytes]].concat();
    vec![
        out("request out", &own, INFRASTRUCTURE),
        inward("request in", &asked, INFRASTRUCTURE),
        inward("answer in", &answered, INFRASTRUCTURE),
        out("answer for an allowed pair", &pair, INFRASTRUCTURE),
        out("announcement of the own address", &announced, INFRASTRUCTURE),
        out("probe for an address, before it is used", &request(GUEST_MAC, [0; 4]), INFRASTRUCTURE),
        out("a neighbour's address", &request(GUEST_MAC, [10, 9, 2, 3]), spoofed),
        out("the router's address", &as_router, spoofed),
        out(TOO_MUCH[0], &padded(0x5a, 19), dropped(Reason::Malformed)),
        out("in the shortest frame", &padded(0, 18), INFRASTRUCTURE),
        out("a stranger's MAC address inside", &request(STRANGER, GUEST_ARP), spoofed),
        inward("cut short", &asked[..27], dropped(Reason::Malformed)),
    ]
}

const NOBODY: Mac = Mac([0; 6]);

fn resolution(name: &str, side: Side, message: &[u8], verdict: Verdict) -> Case {
    let source = if side == Side::Out { GUEST_MAC } else { ROUTER_MAC };
    let frame = Ethernet::new(source, Mac::BROADCAST).frame(ethertype::ARP, message);
    Case { name: format!("ARP: {name}"), side, frame, verdict }
}

/// N05-N11, A27
fn neighbours() -> Vec<Case> {
    [neighbours_of_the_guest(), what_only_routers_say(), groups(), neighbours_inward()].concat()
}

/// What a guest says to its neighbours.
fn neighbours_of_the_guest() -> Vec<Case> {
    let router = segments("fd02::1");
    let near = hop("fd02::2", "ff02::1:ff00:1");
    let usual = icmpv6(135, &[router, ND_OPTIONS].concat());
    let long = icmpv6(135, &[&router[..], &ND_OPTIONS, &[200, 3], &[0x5a; 22]].concat());
    let own = Transport::neighbour(136, segments("fd02::2"));
    let as_router = Transport::neighbour(136, router);
    let detection = Transport::neighbour(135, segments("fd02::2"));
    let asks = Transport::neighbour(135, router);
    let to_router = hop("fd02::2", "fd02::1");
    vec![
        out("neighbour solicitation out", &near, &asks, INFRASTRUCTURE),
        out("neighbour solicitation with its usual options", &near, &usual, INFRASTRUCTURE),
        out(TOO_MUCH[1], &near, &long, dropped(Reason::Malformed)),
        out(TOO_MUCH[2], &hop("fd02::2", "ff0e::1:ff00:1"), &asks, dropped(Reason::Malformed)),
        out("duplicate address detection", &hop("::", "ff02::1:ff00:2"), &detection, INFRASTRUCTURE),
        out("neighbour advertisement of the own address", &to_router, &own, INFRASTRUCTURE),
        out(
            "neighbour advertisement of the router's address",
            &to_router,
            &as_router,
            dropped(Reason::SpoofedNd),
        ),
        out("router solicitation", &hop("fe80::2", "ff02::2"), &icmpv6(133, &[]), INFRASTRUCTURE),
    ]
}

/// From a guest it is dropped.
fn what_only_routers_say() -> Vec<Case> {
    let redirect = Transport::icmp(5, 1, [10, 9, 2, 1]).payload(&[0; 28]);
    vec![
        out(
            "router advertisement from the guest",
            &hop("fe80::2", "ff02::1"),
            &advertisement(),
            dropped(Reason::RouterAdvertisement),
        ),
        out(
            "redirect from the guest",
            &hop("fe80::2", "fd02::1"),
            &icmpv6(137, &[0; 32]),
            dropped(Reason::Redirect),
        ),
        out(
            "IPv4 redirect from the guest",
            &ip("10.9.2.2", "10.9.1.2"),
            &redirect,
            dropped(Reason::Redirect),
        ),
    ]
}

fn groups() -> Vec<Case> {
    let report = Transport::raw(2, &[0x22; 16]);
    vec![
        out("MLD report", &Ip { ttl: 1, ..ip("fe80::2", "ff02::16") }, &icmpv6(143, &[]), INFRASTRUCTURE),
        out("IGMP report", &ip("10.9.2.2", "224.0.0.22"), &report, INFRASTRUCTURE),
    ]
}

/// What neighbours and routers say to a guest; what no receiver would take is dropped.
fn neighbours_inward() -> Vec<Case> {
    let own = Transport::neighbour(135, segments("fd02::2"));
    let near = hop("fe80::1", "fd02::2");
    let case = |name: &str, ip: &Ip, transport: &Transport, verdict| {
        let frame = Ethernet::new(ROUTER_MAC, GUEST_MAC).ip(ip, transport);
        Case { name: name.to_owned(), side: Side::In, frame, verdict }
    };
    let sound = |name, transport: &Transport| case(name, &near, transport, INFRASTRUCTURE);
    let unsound = |name, ip: &Ip, transport| case(name, ip, transport, dropped(Reason::Malformed));
    vec![
        sound("neighbour solicitation in", &own),
        sound("neighbour advertisement in", &Transport::neighbour(136, segments("fe80::1"))),
        sound("router advertisement in", &advertisement()),
        unsound("neighbour solicitation that was routed", &ip("fe80::1", "fd02::2"), &own),
        unsound("router advertisement without timers", &near, &icmpv6(134, &[0; 7])),
        unsound("router advertisement with an empty option", &near, &icmpv6(134, &[0; 16])),
        unsound(
            "router solicitation with half an option",
            &hop("fe80::1", "ff02::2"),
            &icmpv6(133, &[1, 2, 0, 0]),
        ),
    ]
}

fn out(name: &str, ip: &Ip, transport: &Transport, verdict: Verdict) -> Case {
    from(name, GUEST_MAC, ip, transport, verdict)
}

fn hop(source: &str, destination: &str) -> Ip {
    Ip { ttl: 255, ..ip(source, destination) }
}

fn icmpv6(kind: u8, rest: &[u8]) -> Transport {
    Transport::icmpv6(kind, 0, [0; 4]).payload(rest)
}

/// Reachable time and retransmission timer; then an option, the sender's MAC address.
fn advertisement() -> Transport {
    icmpv6(134, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x52, 0x54, 0, 0, 0, 1])
}

/// The sender's MAC address; a nonce (RFC 3971, 5.3.2).
const ND_OPTIONS: [u8; 16] = [1, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 14, 1, 1, 2, 3, 4, 5, 6];

fn segments(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().expect("an IPv6 address").octets()
}

/// D01-D07, U13, A28
fn dhcp() -> Vec<Case> {
    let out = |name: &str, ip: &Ip, ports: (u16, u16), verdict| {
        from(name, GUEST_MAC, ip, &Transport::udp(ports.0, ports.1).payload(&[0; 64]), verdict)
    };
    let inward = |name: &str, ip: &Ip, ports: (u16, u16)| {
        let transport = Transport::udp(ports.0, ports.1).payload(&[0; 64]);
        let frame = Ethernet::new(ROUTER_MAC, GUEST_MAC).ip(ip, &transport);
        Case { name: name.to_owned(), side: Side::In, frame, verdict: INFRASTRUCTURE }
    };
    let server = dropped(Reason::DhcpServer);
    vec![
        out("DHCP discover", &ip("0.0.0.0", "255.255.255.255"), (68, 67), INFRASTRUCTURE),
        out("DHCPv6 solicit", &ip("fe80::2", "ff02::1:2"), (546, 547), INFRASTRUCTURE),
        out("DHCP offer from the guest", &ip("10.9.2.2", "255.255.255.255"), (67, 68), server),
        out("DHCPv6 reply from the guest", &ip("fe80::2", "fe80::9"), (547, 546), server),
        out("DHCP client to one server", &ip("10.9.2.2", "10.9.1.2"), (68, 67), BY_RULE),
        out(
            "DHCP client with a neighbour's address",
            &ip("10.9.2.3", "255.255.255.255"),
            (68, 67),
            dropped(Reason::SpoofedAddress),
        ),
        out(
            "DHCPv6 client with a neighbour's address",
            &ip("fd02::3", "ff02::1:2"),
            (546, 547),
            dropped(Reason::SpoofedAddress),
        ),
        inward("DHCP offer", &ip("10.9.2.1", "255.255.255.255"), (67, 68)),
        inward("DHCP acknowledgement", &ip("10.9.2.1", "10.9.2.2"), (67, 68)),
        inward("DHCPv6 reply", &ip("fe80::1", "fe80::2"), (547, 546)),
    ]
}
