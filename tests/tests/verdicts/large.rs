//! Frames above a page, frames whose headers are not in one piece, and super-packets: judged like small ones.

use sg_tests::{
    packets::flag::{ACK, PSH, SYN},
    port::{Link, Port, Role, Way},
    tun::{Offload, gso},
};

use super::{
    ports::{Ports, agrees},
    *,
};

/// The longest that a tap takes, but for its Ethernet header.
const LONGEST: usize = 65_521;

/// What becomes of a datagram to a guest, and of one from it.
fn way_of(case: &Case) -> Way {
    if case.side == Side::In { Way::Transmit } else { Way::Receive }
}

#[track_caller]
fn expect(ports: &Ports, port: &Port, case: &Case, offload: Offload) {
    let way = way_of(case);
    let name = format!("{}: {} ({offload:?})", port.kind, case.name);
    let seen = port.put_as(&ports.counters, way, &case.frame, offload);
    let seen = seen.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(agrees(&seen, port, way, case.verdict), "{name}: expected {:?}, seen {seen:?}", case.verdict);
}

/// UDP datagrams of `length` bytes of payload, allowed and not, both ways.
fn datagrams(family: (IpAddr, IpAddr), length: usize, port: u16) -> Vec<Case> {
    let payload = vec![0x5a; length];
    let udp = |to: u16| Transport::udp(port, to).payload(&payload);
    let gre = Transport::raw(47, &payload);
    vec![
        into(&format!("{length} bytes to an allowed port"), family, &udp(5353), BY_RULE),
        into(&format!("{length} bytes to another port"), family, &udp(9), BY_DEFAULT),
        out_of(&format!("{length} bytes out"), family, &udp(53), BY_RULE),
        out_of(&format!("{length} bytes of a protocol without a rule"), family, &gre, BY_DEFAULT),
    ]
}

fn of_both_families(length: usize, port: u16) -> Vec<Case> {
    families().into_iter().flat_map(|family| datagrams(family, length, port)).collect()
}

/// P37: datagrams as long as the device takes them, through every kind of port.
#[test]
fn frames_up_to_64_kib_are_judged_by_their_headers() {
    let ports = Ports::new(Role::Guest, "web", LONGEST);
    for (length, source) in [(3_000, 30_000), (8_900, 30_001), (LONGEST - 48, 30_002)] {
        for case in of_both_families(length, source) {
            for port in &ports.ports {
                expect(&ports, port, &case, Offload::default());
            }
        }
    }
}

/// P38, A10: frames of which the kernel has but the first bytes in one piece. The program fetches the rest.
#[test]
fn headers_in_other_pages_are_read_all_the_same() {
    let ports = Ports::new(Role::Guest, "web", 9_000);
    // Ethernet only, half an IP header, no transport header, all of it.
    for (hdr_len, source) in [(14, 31_000), (24, 31_001), (34, 31_002), (40, 31_003), (62, 31_004)] {
        let mut cases = of_both_families(6_000, source);
        for family in families() {
            let long = Transport::raw(6, &[&Transport::tcp(source, 8080, 0).bytes[..], &[0; 6_000]].concat());
            cases.push(into("impossible flags", family, &long, dropped(Reason::TcpFlags)));
        }
        let mut lying = of_both_families(6_000, source).remove(0);
        lying.frame[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&60_000u16.to_be_bytes());
        cases.push(Case {
            verdict: dropped(Reason::Malformed),
            name: "a length that lies".to_owned(),
            ..lying
        });
        for (case, port) in cases.iter().flat_map(|case| ports.ports.iter().map(move |port| (case, port))) {
            // A veth's near end is a socket, which cannot say where a frame is to be cut.
            if case.side == Side::In || port.kind.link == Link::Tap {
                expect(&ports, port, case, Offload { hdr_len, ..Offload::default() });
            }
        }
    }
}

/// P39: super-packets: what is to become many datagrams is judged as one.
#[test]
fn a_super_packet_of_datagrams_is_judged_as_one() {
    const SEGMENT: u16 = 1_400;
    let ports = Ports::new(Role::Guest, "web", 1_500);
    for family in families() {
        let ip = if family.0.is_ipv4() { 20 } else { 40 };
        let start = (ETHERNET + ip) as u16;
        let offload = Offload {
            flags: 1,
            gso_type: gso::UDP,
            hdr_len: start + 8,
            gso_size: SEGMENT,
            csum_start: start,
            csum_offset: 6,
        };
        for case in datagrams(family, usize::from(SEGMENT) * 40, 32_000) {
            if case.verdict != BY_RULE && case.side == Side::Out {
                continue; // GRE is no kind of super-packet.
            }
            for port in ports.ports.iter().filter(|port| takes_offload(port, way_of(&case))) {
                check_super_packet(&ports, port, &case, offload);
            }
        }
    }
}

/// Whether whoever sends this way can send super-packets.
fn takes_offload(port: &Port, way: Way) -> bool {
    way == Way::Transmit || port.kind.link == Link::Tap
}

#[track_caller]
fn check_super_packet(ports: &Ports, port: &Port, case: &Case, offload: Offload) {
    let way = way_of(case);
    let name = format!("{}: {}", port.kind, case.name);
    let before = ports.counters.read();
    let out = port.come_out(way, &case.frame, offload).unwrap_or_else(|error| panic!("{name}: {error}"));
    let after = ports.counters.read();
    let bytes: usize = out.iter().map(|frame| frame.iter().filter(|byte| **byte == 0x5a).count()).sum();
    let direction = port.kind.direction(way);
    let counted = after.bytes(&port.device, direction) - before.bytes(&port.device, direction);
    let sent = usize::from(offload.gso_size) * 40;
    match case.verdict {
        Verdict::Pass(_) => {
            let drops = after.drops_since(&before);
            assert!(
                drops.is_empty() && counted >= sent as u64,
                "{name}: {drops:?}, {counted} bytes were counted"
            );
            assert!(bytes >= sent, "{name}: {bytes} bytes of it came out");
        }
        Verdict::Drop(reason) => {
            assert_eq!(out, Vec::<Vec<u8>>::new(), "{name}");
            let drops = after.drops_since(&before);
            assert_eq!(
                (drops.len(), drops[0].reason.as_str(), drops[0].count),
                (1, reason.name(), 1),
                "{name}"
            );
            assert!(after.adds_no_entry_to(&before), "{name}");
        }
    }
}

/// P39: a bulk transfer in super-packets, on a connection and without one.
#[test]
fn a_super_packet_of_tcp_belongs_to_its_connection() {
    let ports = Ports::new(Role::Guest, "web", 1_500);
    for family in families() {
        let data = |port: u16| Transport::tcp(port, 8080, PSH | ACK).payload(&[0x5a; 40 * 1_400]);
        let v4 = family.0.is_ipv4();
        let start = (ETHERNET + if v4 { 20 } else { 40 }) as u16;
        let gso_type = if v4 { gso::TCP_V4 } else { gso::TCP_V6 };
        let (hdr_len, csum_start) = (start + 20, start);
        let offload = Offload { flags: 1, gso_type, hdr_len, gso_size: 1_400, csum_start, csum_offset: 16 };
        for port in &ports.ports {
            let tcp = |from, to, flags| Transport::tcp(from, to, flags);
            let stranger =
                into("data of no connection", family, &data(33_001), dropped(Reason::NoConnection));
            check_super_packet(&ports, port, &stranger, offload);
            for case in [
                into("SYN", family, &tcp(33_000, 8080, SYN), BY_RULE),
                out_of("SYN+ACK", family, &tcp(8080, 33_000, SYN | ACK), BY_RULE),
                into("ACK", family, &tcp(33_000, 8080, ACK), BY_RULE),
            ] {
                assert!(port.put(&ports.counters, way_of(&case), &case.frame).passed, "{}", case.name);
            }
            check_super_packet(&ports, port, &into("data", family, &data(33_000), BY_RULE), offload);
        }
    }
}

/// P40, A39: offload headers that lie. The kernel takes them or not; what the rules refuse does not pass either way, and
/// the port goes on as before.
#[test]
fn lies_about_super_packets_open_nothing() {
    let honest = Offload {
        flags: 1,
        gso_type: gso::UDP,
        hdr_len: 42,
        gso_size: 1_400,
        csum_start: 34,
        csum_offset: 6,
    };
    let lies = [
        ("segments of no bytes", Offload { gso_size: 0, ..honest }),
        ("segments longer than the packet", Offload { gso_size: u16::MAX, ..honest }),
        ("headers longer than the packet", Offload { hdr_len: u16::MAX, ..honest }),
        ("headers of one byte", Offload { hdr_len: 1, ..honest }),
        ("a checksum behind the packet", Offload { csum_start: u16::MAX, csum_offset: u16::MAX, ..honest }),
        ("a checksum inside the Ethernet header", Offload { csum_start: 2, csum_offset: 0, ..honest }),
        ("an unknown kind", Offload { gso_type: 0x7f, ..honest }),
        ("TCP that is UDP", Offload { gso_type: gso::TCP_V4, ..honest }),
        ("the other family", Offload { gso_type: gso::TCP_V6, ..honest }),
    ];
    let ports = Ports::new(Role::Guest, "web", 1_500);
    let [family, _] = families();
    let payload = [0x5a; 2_800];
    let refused_in = into("in", family, &Transport::udp(34_000, 9).payload(&payload), BY_DEFAULT);
    let refused_out = out_of("out", family, &Transport::sctp(34_000, 9).payload(&payload), BY_DEFAULT);
    for (name, offload) in lies {
        for port in &ports.ports {
            for case in [&refused_in, &refused_out] {
                if takes_offload(port, way_of(case)) {
                    let out = port.come_out(way_of(case), &case.frame, offload).unwrap_or_default();
                    assert_eq!(out, Vec::<Vec<u8>>::new(), "{}: {name}, {}", port.kind, case.name);
                }
            }
        }
    }
    assert_eq!(ports.counters.entries().connections, 0);
}
