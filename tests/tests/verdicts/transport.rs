//! Well-formed packets: what they carry decides.

use sg_common::verdict::Reason;
use sg_tests::packets::{
    Ethernet, Ip, Transport, ethertype, extension,
    flag::{ACK, FIN, PSH, RST, SYN, URG},
    padding,
};

use super::*;

/// ECN-Echo and Congestion Window Reduced.
const ECN: u8 = 0xc0;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in families() {
        cases.extend(tcp_openings(family));
        cases.extend(tcp_flags(family));
        cases.extend(others(family));
        cases.extend(outbound(family));
    }
    cases.extend(headers_between());
    cases.extend(on_the_host());
    cases
}

/// T02, T07, X10
fn tcp_openings(family: (IpAddr, IpAddr)) -> Vec<Case> {
    let tcp = |port| Transport::tcp(40_000 + port % 1000, port, SYN);
    let stranger = match family.0.is_ipv4() {
        true => (address("10.9.1.3"), family.1),
        false => (address("fd01::3"), family.1),
    };
    vec![
        into("SYN to an allowed port", family, &tcp(8080), BY_RULE),
        into("SYN to the last port of the range", family, &tcp(8081), BY_RULE),
        into("SYN below the range", family, &tcp(8079), BY_DEFAULT),
        into("SYN above the range", family, &tcp(8082), BY_DEFAULT),
        into("SYN to a denied port", family, &tcp(23), dropped(Reason::Rule)),
        into("SYN from somebody who is no member", stranger, &tcp(8080), BY_DEFAULT),
        into("SYN with data", family, &Transport::tcp(41_000, 8080, SYN).payload(b"cookie"), BY_RULE),
        into("UDP to an allowed TCP port", family, &Transport::udp(41_001, 8080), BY_DEFAULT),
    ]
}

/// T03-T07, A12
fn tcp_flags(family: (IpAddr, IpAddr)) -> Vec<Case> {
    let no_connection = dropped(Reason::NoConnection);
    let impossible = dropped(Reason::TcpFlags);
    let flags = [
        ("SYN+PSH", SYN | PSH, BY_RULE),
        ("SYN+URG", SYN | URG, BY_RULE),
        ("SYN with ECN bits", SYN | ECN, BY_RULE),
        ("SYN+ACK", SYN | ACK, no_connection),
        ("ACK", ACK, no_connection),
        ("PSH+ACK", PSH | ACK, no_connection),
        ("FIN+ACK", FIN | ACK, no_connection),
        ("RST", RST, no_connection),
        ("RST+ACK", RST | ACK, no_connection),
        ("no flags", 0, impossible),
        ("FIN", FIN, impossible),
        ("FIN+PSH+URG", FIN | PSH | URG, impossible),
        ("SYN+FIN", SYN | FIN, impossible),
        ("SYN+RST", SYN | RST, impossible),
        ("FIN+RST", FIN | RST, impossible),
        ("SYN+FIN+ACK", SYN | FIN | ACK, impossible),
        ("every flag", 0xff, impossible),
    ];
    let with = |(i, (name, bits, verdict)): (u16, (&str, u8, Verdict))| {
        into(name, family, &Transport::tcp(42_000 + i, 8080, bits), verdict)
    };
    (0..).zip(flags).map(with).collect()
}

/// U02, U09, U11, I03, I25, X03, X05, X06, A11
fn others(family: (IpAddr, IpAddr)) -> Vec<Case> {
    vec![
        into("UDP to an allowed port", family, &Transport::udp(43_000, 5353), BY_RULE),
        into("UDP to another port", family, &Transport::udp(43_000, 9), BY_DEFAULT),
        into("UDP from an allowed port to another", family, &Transport::udp(5353, 9), BY_DEFAULT),
        into("UDP to port 0", family, &Transport::udp(43_000, 0), BY_DEFAULT),
        into(
            "UDP-Lite to an allowed UDP port",
            family,
            &Transport::raw(136, &Transport::udp(43_001, 5353).bytes),
            BY_DEFAULT,
        ),
        into("SCTP to an allowed port", family, &Transport::sctp(43_000, 3366), BY_RULE),
        into("SCTP to another port", family, &Transport::sctp(43_000, 3367), BY_DEFAULT),
        into("GRE", family, &Transport::raw(47, &[0; 20]), BY_RULE),
        into("ESP", family, &Transport::raw(50, &[1; 40]), BY_DEFAULT),
        into("IP in IP", family, &Transport::raw(4, &[0x45; 40]), BY_DEFAULT),
        into("protocol 255", family, &Transport::raw(255, &[0; 20]), BY_DEFAULT),
        into("echo request", family, &Transport::ping(family.0, 7), BY_RULE),
        into("echo reply that nobody asked for", family, &Transport::pong(family.0, 8), BY_DEFAULT),
        into("the other family's ICMP", family, &other_icmp(family.0), BY_DEFAULT),
    ]
}

/// ICMPv6 in IPv4, ICMP in IPv6.
fn other_icmp(like: IpAddr) -> Transport {
    if like.is_ipv4() {
        Transport::raw(58, &[128, 0, 0, 0, 0, 1, 0, 1])
    } else {
        Transport::raw(1, &[8, 0, 0, 0, 0, 1, 0, 1])
    }
}

/// U03, X05
fn outbound(family: (IpAddr, IpAddr)) -> Vec<Case> {
    // Not the one whose GRE is tracked already.
    let other = match family.0.is_ipv4() {
        true => (address("10.9.1.4"), family.1),
        false => (address("fd01::4"), family.1),
    };
    let smtp = dropped(Reason::Smtp);
    vec![
        out_of("SYN out", family, &Transport::tcp(44_000, 9, SYN), BY_RULE),
        out_of("mail", family, &Transport::tcp(44_001, 25, SYN), smtp),
        out_of("mail over TLS", family, &Transport::tcp(44_002, 465, SYN), smtp),
        out_of("mail submission", family, &Transport::tcp(44_003, 587, SYN), smtp),
        out_of("UDP to port 25", family, &Transport::udp(44_004, 25), BY_RULE),
        out_of("echo request out", family, &Transport::ping(family.0, 9), BY_RULE),
        out_of(
            "GRE out, which only inbound rules allow",
            other,
            &Transport::raw(47, &[1; 20]),
            dropped(Reason::Default),
        ),
    ]
}

/// P06-P08, P21, P22, P24-P26, A5, A7: what stands between IP header and transport header does not hide the latter.
fn headers_between() -> Vec<Case> {
    let [(peer4, guest4), (peer6, guest6)] = families();
    let v4 = |options: &[u8]| Ip { options: options.to_vec(), ..Ip::new(peer4, guest4) };
    let v6 = |extensions: Vec<(u8, Vec<u8>)>| Ip { extensions, ..Ip::new(peer6, guest6) };
    let tcp = |source, port| Transport::tcp(source, port, SYN);
    let chain = |length| vec![(extension::DESTINATION, padding(1)); length];
    // To whoever takes the header for one without options, a SYN to port 8080: an experimental option and a sequence
    // number stand where ports, header length and flags would.
    let decoy = [94, 6, 0x1f, 0x90, 0, 0, 0, 0];
    let mut decoyed = tcp(45_002, 9);
    decoyed.bytes[4..6].copy_from_slice(&[5 << 4, SYN]);
    let hop_by_hop = vec![(extension::HOP_BY_HOP, padding(1)), (extension::DESTINATION, padding(2))];
    vec![
        into_by("no-operation options", &v4(&[1; 8]), &tcp(45_000, 8080), BY_RULE),
        into_by("longest options", &v4(&[1; 40]), &tcp(45_001, 8081), BY_RULE),
        into_by("options that look like an allowed port", &v4(&decoy), &decoyed, BY_DEFAULT),
        into_by(
            "an option beyond the header",
            &v4(&[1, 1, 31, 144]),
            &tcp(45_010, 8080),
            dropped(Reason::Malformed),
        ),
        into_by(
            "loose source route",
            &v4(&[131, 7, 4, 10, 0, 0, 1, 0]),
            &tcp(45_003, 8080),
            dropped(Reason::IpOptions),
        ),
        into_by(
            "strict source route",
            &v4(&[137, 7, 4, 10, 0, 0, 1, 0]),
            &tcp(45_004, 8080),
            dropped(Reason::IpOptions),
        ),
        into_by("extension headers", &v6(hop_by_hop.clone()), &tcp(45_005, 8080), BY_RULE),
        into_by("extension headers before a closed port", &v6(hop_by_hop), &tcp(45_006, 9), BY_DEFAULT),
        into_by("eight extension headers", &v6(chain(8)), &tcp(45_007, 8080), BY_RULE),
        into_by(
            "nine extension headers",
            &v6(chain(9)),
            &tcp(45_008, 8080),
            dropped(Reason::ExtensionHeaders),
        ),
        into_by(
            "routing header 0",
            &v6(vec![routing(0)]),
            &tcp(45_009, 8080),
            dropped(Reason::RoutingHeader),
        ),
        into_by("routing header 2", &v6(vec![routing(2)]), &tcp(45_011, 8080), BY_RULE),
        into_by("routing header 4 before a closed port", &v6(vec![routing(4)]), &tcp(45_012, 9), BY_DEFAULT),
        into_by("no next header", &v6(vec![]), &Transport::raw(59, &[]), BY_DEFAULT),
        into_by(
            "authentication header",
            &v6(vec![]),
            &Transport::raw(51, &[6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            BY_DEFAULT,
        ),
    ]
}

/// A routing header with one address.
fn routing(kind: u8) -> (u8, Vec<u8>) {
    let mut bytes = vec![kind, 1, 0, 0, 0, 0];
    bytes.extend([0xfd; 16]);
    (extension::ROUTING, bytes)
}

/// P31, P33: up to two tags are looked through.
fn on_the_host() -> Vec<Case> {
    let [(peer, host), _] = families();
    let case = |name: &str, tags: &[(u16, u16)], port, verdict| {
        let ethernet = Ethernet { tags: tags.to_vec(), ..Ethernet::new(ROUTER_MAC, GUEST_MAC) };
        let frame = ethernet.ip(&Ip::new(peer, host), &Transport::tcp(46_000 + tags.len() as u16, port, SYN));
        Case { name: name.to_owned(), side: Side::HostIn, frame, verdict }
    };
    let one = [(ethertype::VLAN, 5)];
    let two = [(ethertype::SERVICE_VLAN, 6), (ethertype::VLAN, 5)];
    let three = [(ethertype::SERVICE_VLAN, 6), (ethertype::VLAN, 5), (ethertype::VLAN, 4)];
    vec![
        case("host: SYN to an allowed port", &[], 22, BY_RULE),
        case("host: SYN to another port", &[], 23, BY_DEFAULT),
        case("host: one tag, allowed port", &one, 22, BY_RULE),
        case("host: one tag, another port", &one, 23, BY_DEFAULT),
        case("host: two tags, allowed port", &two, 22, BY_RULE),
        case("host: two tags, another port", &two, 23, BY_DEFAULT),
        case("host: three tags", &three, 22, dropped(Reason::Vlan)),
    ]
}
