//! Packets whose headers are cut short, lie, or contradict each other.

use sg_common::verdict::Reason;
use sg_tests::packets::{Ethernet, Ip, Transport, ethertype, extension, flag::SYN, padding};

use super::*;

const IPV4: usize = ETHERNET + 20;
const IPV6: usize = ETHERNET + 40;

pub fn cases() -> Vec<Case> {
    let mut cases = [ipv4(), ipv6(), transports(), fragments(), carriers_on_the_host()].concat();
    for family in families() {
        cases.extend([Side::In, Side::Out].into_iter().flat_map(|side| carriers(side, family)));
    }
    cases
}

/// A frame that passes, from which the cases are bent.
fn good(family: usize, transport: &Transport) -> Vec<u8> {
    let (peer, guest) = families()[family];
    Ethernet::new(ROUTER_MAC, GUEST_MAC).ip(&Ip::new(peer, guest), transport)
}

fn syn(family: usize) -> Vec<u8> {
    good(family, &Transport::tcp(50_000, 8080, SYN))
}

fn case(name: impl Into<String>, frame: Vec<u8>, verdict: Verdict) -> Case {
    Case { name: name.into(), side: Side::In, frame, verdict }
}

fn malformed(name: impl Into<String>, frame: Vec<u8>) -> Case {
    case(name, frame, dropped(Reason::Malformed))
}

/// `frame` with `bytes` at `at`.
fn bent(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

fn cut(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame.truncate(length);
    frame
}

/// P02-P05, P09-P12, A8
fn ipv4() -> Vec<Case> {
    let udp = || good(0, &Transport::udp(50_001, 5353).payload(&[0; 20]));
    let mut cases: Vec<Case> = (0..20)
        .map(|length| malformed(format!("IPv4 header of {length} bytes"), cut(syn(0), ETHERNET + length)))
        .collect();
    for length in 0..5 {
        cases.push(malformed(
            format!("IPv4 header length {length}"),
            bent(syn(0), ETHERNET, &[0x40 | length]),
        ));
    }
    let mut padded = udp();
    padded.resize(ETHERNET + 60, 0);
    cases.extend([
        malformed("IPv4 header longer than the packet", bent(syn(0), ETHERNET, &[0x4f])),
        malformed("version 5 in an IPv4 frame", bent(syn(0), ETHERNET, &[0x55])),
        malformed("version 6 in an IPv4 frame", bent(syn(0), ETHERNET, &[0x65])),
        malformed("IPv4 length beyond the frame", bent(udp(), ETHERNET + 2, &508u16.to_be_bytes())),
        malformed("IPv4 length below the header's", bent(udp(), ETHERNET + 2, &19u16.to_be_bytes())),
        malformed("IPv4 length that cuts the UDP header", bent(udp(), ETHERNET + 2, &27u16.to_be_bytes())),
        case("Ethernet padding behind the IPv4 packet", padded, BY_RULE),
    ]);
    cases
}

/// P09-P11, P20, P23, A8
fn ipv6() -> Vec<Case> {
    let udp = || good(1, &Transport::udp(50_002, 5353).payload(&[0; 20]));
    let [_, (peer, guest)] = families();
    let hop_by_hop = |bytes: Vec<u8>| {
        let ip = Ip { extensions: vec![(extension::HOP_BY_HOP, bytes)], ..Ip::new(peer, guest) };
        Ethernet::new(ROUTER_MAC, GUEST_MAC).ip(&ip, &Transport::tcp(50_003, 8080, SYN))
    };
    let mut cases: Vec<Case> = (0..40)
        .map(|length| malformed(format!("IPv6 header of {length} bytes"), cut(syn(1), ETHERNET + length)))
        .collect();
    cases.extend([
        malformed("version 4 in an IPv6 frame", bent(syn(1), ETHERNET, &[0x45])),
        malformed("IPv6 length beyond the frame", bent(udp(), ETHERNET + 4, &500u16.to_be_bytes())),
        malformed("IPv6 length that cuts the UDP header", bent(udp(), ETHERNET + 4, &7u16.to_be_bytes())),
        malformed("extension header beyond the packet", bent(hop_by_hop(padding(1)), IPV6 + 1, &[200])),
        malformed("jumbo payload", bent(hop_by_hop(vec![0xc2, 4, 0, 1, 0, 0]), ETHERNET + 4, &[0, 0])),
    ]);
    cases.extend(header_chains());
    cases
}

/// P26, P27, P28: extension headers out of place, and what is none.
fn header_chains() -> Vec<Case> {
    use extension::{DESTINATION, FRAGMENT, HOP_BY_HOP};
    let [_, (peer, guest)] = families();
    let chain = |extensions: &[(u8, Vec<u8>)], transport: &Transport| {
        let ip = Ip { extensions: extensions.to_vec(), ..Ip::new(peer, guest) };
        Ethernet::new(ROUTER_MAC, GUEST_MAC).ip(&ip, transport)
    };
    let syn = Transport::tcp(50_007, 8080, SYN);
    let (padded, whole) = ((HOP_BY_HOP, padding(1)), (FRAGMENT, vec![0; 6]));
    // Next header, reserved, offset and flags, identification; then TCP.
    let hidden = Transport::raw(50, &[&[6, 0, 0, 1, 0, 0, 0, 1][..], &syn.bytes].concat());
    vec![
        malformed("hop-by-hop options twice", chain(&[padded.clone(), padded.clone()], &syn)),
        malformed("hop-by-hop options in second place", chain(&[(DESTINATION, padding(1)), padded], &syn)),
        case(
            "two fragment headers",
            chain(&[whole.clone(), whole.clone()], &syn),
            dropped(Reason::BadFragment),
        ),
        case("a fragment header behind ESP", chain(&[], &hidden), BY_DEFAULT),
        case("next header 253", chain(&[], &Transport::raw(253, &syn.bytes)), BY_DEFAULT),
        case("next header 253 behind options", chain(&[whole], &Transport::raw(253, &syn.bytes)), BY_DEFAULT),
    ]
}

/// P13-P16, P18, A8
fn transports() -> Vec<Case> {
    let mut cases = Vec::new();
    for (family, start) in [(0, IPV4), (1, IPV6)] {
        let ip = |transport: &Transport| good(family, transport);
        for length in 1..20 {
            let short = Transport::raw(6, &Transport::tcp(50_004, 8080, SYN).bytes[..length]);
            cases.push(malformed(format!("TCP header of {length} bytes, family {family}"), ip(&short)));
        }
        for words in 0..5u8 {
            let frame = bent(syn(family), start + 12, &[words << 4]);
            cases.push(malformed(format!("TCP header of {words} words, family {family}"), frame));
        }
        let udp = || ip(&Transport::udp(50_005, 5353).payload(&[0; 20]));
        let another = ip(&Transport::udp(50_006, 5353));
        cases.extend([
            malformed("TCP header longer than the segment", bent(syn(family), start + 12, &[0xf0])),
            malformed("UDP header missing", ip(&Transport::raw(17, &[]))),
            malformed("UDP length 7", bent(udp(), start + 4, &7u16.to_be_bytes())),
            malformed("UDP length 0", bent(udp(), start + 4, &[0, 0])),
            malformed("UDP length beyond the packet", bent(udp(), start + 4, &29u16.to_be_bytes())),
            case("UDP length within the packet", bent(udp(), start + 4, &20u16.to_be_bytes()), BY_RULE),
            case("wrong UDP checksum", bent(another, start + 6, &[0x12, 0x34]), BY_RULE),
        ]);
        let number = if family == 0 { 1 } else { 58 };
        for length in 0..8 {
            let echo = &Transport::ping(families()[family].0, 50).bytes[..length];
            cases.push(malformed(
                format!("echo request of {length} bytes, family {family}"),
                ip(&Transport::raw(number, echo)),
            ));
        }
    }
    cases
}

/// F05, F06, F13, A1
fn fragments() -> Vec<Case> {
    let bad = dropped(Reason::BadFragment);
    let mut cases = Vec::new();
    for (number, (peer, guest)) in (1..).zip(families()) {
        let ip = Ip { id: 0x5000 + number, ..Ip::new(peer, guest) };
        let ethernet = Ethernet::new(ROUTER_MAC, GUEST_MAC);
        let tcp = Transport::tcp(51_000, 8080, SYN);
        let piece =
            |offset, more, bytes: &[u8]| ethernet.frame(ip.ethertype(), &ip.fragment(6, offset, more, bytes));
        cases.extend([
            case("first TCP fragment of 8 bytes", piece(0, true, &tcp.bytes[..8]), bad),
            case("first TCP fragment of 16 bytes", piece(0, true, &tcp.bytes[..16]), bad),
            case("TCP fragment that rewrites the flags", piece(8, false, &[0; 16]), bad),
            case("fragment of 12 bytes with more to come", piece(64, true, &[0; 12]), bad),
            case("fragment beyond 64 KiB", piece(65_528, false, &[0; 16]), bad),
        ]);
    }
    cases
}

/// P31, P33-P36, N04, A9: an allowed packet in the wrong envelope.
fn carriers(side: Side, (peer, guest): (IpAddr, IpAddr)) -> Vec<Case> {
    let (ethernet, ip, port) = match side {
        Side::Out => (Ethernet::new(GUEST_MAC, ROUTER_MAC), Ip::new(guest, peer), 80),
        _ => (Ethernet::new(ROUTER_MAC, GUEST_MAC), Ip::new(peer, guest), 8080),
    };
    let datagram = ip.carry(&Transport::tcp(52_000, port, SYN));
    let case = |name: &str, frame, verdict| {
        let name = named(&format!("{name}, {side:?}"), peer);
        Case { name, side, frame, verdict }
    };
    let by = |tags: &[(u16, u16)]| Ethernet { tags: tags.to_vec(), ..ethernet.clone() };
    let tagged = |tags: &[(u16, u16)]| by(tags).frame(ip.ethertype(), &datagram);
    let (tag, service) = ((ethertype::VLAN, 5), (ethertype::SERVICE_VLAN, 6));
    let vlan = dropped(Reason::Vlan);
    let non_ip = dropped(Reason::NonIp);
    vec![
        case("VLAN tag", tagged(&[tag]), vlan),
        case("VLAN tag around ARP", by(&[tag]).frame(ethertype::ARP, &[0; 28]), vlan),
        case("priority tag", tagged(&[(ethertype::VLAN, 0)]), vlan),
        case("last VLAN number", tagged(&[(ethertype::VLAN, 4095)]), vlan),
        case("service tag", tagged(&[service]), vlan),
        case("service tag and VLAN tag", tagged(&[service, tag]), vlan),
        case("two VLAN tags", tagged(&[tag, tag]), vlan),
        case("three tags", tagged(&[service, tag, tag]), vlan),
        case("VLAN tag and nothing else", ethernet.frame(ethertype::VLAN, &[]), vlan),
        case("LLDP", ethernet.frame(0x88cc, &[0; 46]), non_ip),
        case("RARP", ethernet.frame(0x8035, &[0; 28]), non_ip),
    ]
    .into_iter()
    .chain(envelopes(&ethernet, &ip, &datagram).map(|(name, frame)| case(name, frame, non_ip)))
    .collect()
}

/// The datagram in MPLS, PPPoE and SNAP.
fn envelopes(ethernet: &Ethernet, ip: &Ip, datagram: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let point_to_point = if ip.source.is_ipv4() { 0x21 } else { 0x57 };
    let [high, low] = ip.ethertype().to_be_bytes();
    let mpls = [&[0, 0, 0x11, 0x40], datagram].concat();
    let pppoe = [&[0x11, 0, 0, 1, 0, 42, 0, point_to_point], datagram].concat();
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, high, low], datagram].concat();
    [
        ("MPLS", ethernet.frame(0x8847, &mpls)),
        ("PPPoE", ethernet.frame(0x8864, &pppoe)),
        ("802.3 SNAP", ethernet.frame(snap.len() as u16, &snap)),
    ]
}

/// P35, P36, A9: a host NIC speaks with its neighbours, but no envelope is a way round.
fn carriers_on_the_host() -> Vec<Case> {
    let ethernet = Ethernet::new(ROUTER_MAC, GUEST_MAC);
    let case = |name: &str, frame, verdict| Case {
        name: format!("host: {name}"),
        side: Side::HostIn,
        frame,
        verdict,
    };
    let mut cases = vec![
        case("LLDP", ethernet.frame(0x88cc, &[0; 46]), INFRASTRUCTURE),
        case("spanning tree", ethernet.frame(38, &[0x42; 46]), INFRASTRUCTURE),
    ];
    for (peer, host) in families() {
        let ip = Ip::new(peer, host);
        let datagram = ip.carry(&Transport::tcp(52_002, 22, SYN));
        let refused = envelopes(&ethernet, &ip, &datagram);
        cases.extend(refused.map(|(name, frame)| case(&named(name, peer), frame, dropped(Reason::NonIp))));
    }
    cases
}
