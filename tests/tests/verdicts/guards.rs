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
    let case = |name: &str, side, source: Mac, message: Vec<u8>, verdict| {
        let frame = Ethernet::new(source, Mac::BROADCAST).frame(ethertype::ARP, &message);
        Case { name: format!("ARP: {name}"), side, frame, verdict }
    };
    let nobody = Mac::default();
    let spoofed = dropped(Reason::SpoofedArp);
    let request = |mac, sender| arp(1, (mac, sender), (nobody, ROUTER_ARP));
    vec![
        case("request out", Side::Out, GUEST_MAC, request(GUEST_MAC, GUEST_ARP), INFRASTRUCTURE),
        case(
            "request in",
            Side::In,
            ROUTER_MAC,
            arp(1, (ROUTER_MAC, ROUTER_ARP), (nobody, GUEST_ARP)),
            INFRASTRUCTURE,
        ),
        case(
            "answer in",
            Side::In,
            ROUTER_MAC,
            arp(2, (ROUTER_MAC, ROUTER_ARP), (GUEST_MAC, GUEST_ARP)),
            INFRASTRUCTURE,
        ),
        case(
            "answer for an allowed pair",
            Side::Out,
            GUEST_MAC,
            arp(2, (GUEST_MAC, [10, 9, 2, 100]), (ROUTER_MAC, ROUTER_ARP)),
            INFRASTRUCTURE,
        ),
        case(
            "announcement of the own address",
            Side::Out,
            GUEST_MAC,
            arp(1, (GUEST_MAC, GUEST_ARP), (nobody, GUEST_ARP)),
            INFRASTRUCTURE,
        ),
        case(
            "probe for an address, before it is used",
            Side::Out,
            GUEST_MAC,
            request(GUEST_MAC, [0; 4]),
            INFRASTRUCTURE,
        ),
        case("a neighbour's address", Side::Out, GUEST_MAC, request(GUEST_MAC, [10, 9, 2, 3]), spoofed),
        case(
            "the router's address",
            Side::Out,
            GUEST_MAC,
            arp(2, (GUEST_MAC, ROUTER_ARP), (nobody, GUEST_ARP)),
            spoofed,
        ),
        case(
            TOO_MUCH[0],
            Side::Out,
            GUEST_MAC,
            [request(GUEST_MAC, GUEST_ARP), vec![0x5a; 19]].concat(),
            dropped(Reason::Malformed),
        ),
        case(
            "in the shortest frame",
            Side::Out,
            GUEST_MAC,
            [request(GUEST_MAC, GUEST_ARP), vec![0; 18]].concat(),
            INFRASTRUCTURE,
        ),
        case("a stranger's MAC address inside", Side::Out, GUEST_MAC, request(STRANGER, GUEST_ARP), spoofed),
        case(
            "cut short",
            Side::In,
            ROUTER_MAC,
            arp(1, (ROUTER_MAC, ROUTER_ARP), (nobody, GUEST_ARP))[..27].to_vec(),
            dropped(Reason::Malformed),
        ),
    ]
}

/// N05-N11, A27
fn neighbours() -> Vec<Case> {
    let own = segments("fd02::2");
    let hop = |source: &str, destination: &str| Ip { ttl: 255, ..ip(source, destination) };
    let icmpv6 = |kind, rest: &[u8]| Transport::icmpv6(kind, 0, [0; 4]).payload(rest);
    // Reachable time and retransmission timer; then an option, the sender's MAC address.
    let advertisement = icmpv6(134, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x52, 0x54, 0, 0, 0, 1]);
    let out =
        |name: &str, ip: &Ip, transport: &Transport, verdict| from(name, GUEST_MAC, ip, transport, verdict);
    let inward = |name: &str, transport: &Transport| {
        let frame = Ethernet::new(ROUTER_MAC, GUEST_MAC).ip(&hop("fe80::1", "fd02::2"), transport);
        Case { name: name.to_owned(), side: Side::In, frame, verdict: INFRASTRUCTURE }
    };
    let unsound = |name: &str, ip: &Ip, transport: &Transport| {
        let frame = Ethernet::new(ROUTER_MAC, GUEST_MAC).ip(ip, transport);
        Case { name: name.to_owned(), side: Side::In, frame, verdict: dropped(Reason::Malformed) }
    };
    let near = hop("fd02::2", "ff02::1:ff00:1");
    let redirect = Transport::icmp(5, 1, [10, 9, 2, 1]).payload(&[0; 28]);
    vec![
        out(
            "neighbour solicitation out",
            &near,
            &Transport::neighbour(135, segments("fd02::1")),
            INFRASTRUCTURE,
        ),
        out(
            "neighbour solicitation with its usual options",
            &near,
            &icmpv6(135, &[segments("fd02::1"), ND_OPTIONS].concat()),
            INFRASTRUCTURE,
        ),
        out(
            TOO_MUCH[1],
            &near,
            &icmpv6(135, &[&segments("fd02::1")[..], &ND_OPTIONS, &[200, 3], &[0x5a; 22]].concat()),
            dropped(Reason::Malformed),
        ),
        out(
            TOO_MUCH[2],
            &hop("fd02::2", "ff0e::1:ff00:1"),
            &Transport::neighbour(135, segments("fd02::1")),
            dropped(Reason::Malformed),
        ),
        out(
            "duplicate address detection",
            &hop("::", "ff02::1:ff00:2"),
            &Transport::neighbour(135, own),
            INFRASTRUCTURE,
        ),
        out(
            "neighbour advertisement of the own address",
            &hop("fd02::2", "fd02::1"),
            &Transport::neighbour(136, own),
            INFRASTRUCTURE,
        ),
        out(
            "neighbour advertisement of the router's address",
            &hop("fd02::2", "fd02::1"),
            &Transport::neighbour(136, segments("fd02::1")),
            dropped(Reason::SpoofedNd),
        ),
        out("router solicitation", &hop("fe80::2", "ff02::2"), &icmpv6(133, &[]), INFRASTRUCTURE),
        out(
            "router advertisement from the guest",
            &hop("fe80::2", "ff02::1"),
            &advertisement,
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
        out("MLD report", &Ip { ttl: 1, ..ip("fe80::2", "ff02::16") }, &icmpv6(143, &[]), INFRASTRUCTURE),
        out("IGMP report", &ip("10.9.2.2", "224.0.0.22"), &Transport::raw(2, &[0x22; 16]), INFRASTRUCTURE),
        inward("neighbour solicitation in", &Transport::neighbour(135, own)),
        inward("neighbour advertisement in", &Transport::neighbour(136, segments("fe80::1"))),
        inward("router advertisement in", &advertisement),
        unsound(
            "neighbour solicitation that was routed",
            &ip("fe80::1", "fd02::2"),
            &Transport::neighbour(135, own),
        ),
        unsound("router advertisement without timers", &hop("fe80::1", "fd02::2"), &icmpv6(134, &[0; 7])),
        unsound(
            "router advertisement with an empty option",
            &hop("fe80::1", "fd02::2"),
            &icmpv6(134, &[0; 16]),
        ),
        unsound(
            "router solicitation with half an option",
            &hop("fe80::1", "ff02::2"),
            &icmpv6(133, &[1, 2, 0, 0]),
        ),
    ]
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
