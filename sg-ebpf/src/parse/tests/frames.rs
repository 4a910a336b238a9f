//! Frames, byte by byte, and what they are bent from.

/// 02:00:00:00:00:0a to 02:00:00:00:00:0b.
pub const MACS: [u8; 12] = [2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a];
/// The sender of every frame here.
pub const SRC_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];
/// The sender of every IPv4 packet here.
pub const SRC_V4: [u8; 4] = [10, 9, 1, 2];
/// Its receiver.
pub const DST_V4: [u8; 4] = [10, 9, 2, 2];
/// The sender of every IPv6 packet here.
pub const SRC_V6: [u8; 16] = [0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
/// Its receiver.
pub const DST_V6: [u8; 16] = [0xfd, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// Offset of the IP header.
pub const IP: usize = 14;
/// Offset of the transport header behind a plain IPv4 header.
pub const BEHIND_V4: usize = 34;
/// Offset of the transport header behind a plain IPv6 header.
pub const BEHIND_V6: usize = 54;

/// TCP 50000 -> 8080, SYN.
pub const TCP: [u8; 20] =
    [0xc3, 0x50, 0x1f, 0x90, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0];
/// UDP 50000 -> 5353 with 4 bytes of payload.
pub const UDP: [u8; 12] = [0xc3, 0x50, 0x14, 0xe9, 0, 12, 0, 0, b'a', b'b', b'c', b'd'];
/// SCTP 50000 -> 3366, INIT chunk to come.
pub const SCTP: [u8; 16] = [0xc3, 0x50, 0x0d, 0x26, 0, 0, 0, 0, 1, 2, 3, 4, 1, 0, 0, 4];
/// ICMP echo request, identifier 0x0107, sequence 1.
pub const ECHO: [u8; 10] = [8, 0, 0, 0, 1, 7, 0, 1, b'a', b'b'];
/// The same over ICMPv6.
pub const ECHO_V6: [u8; 10] = [128, 0, 0, 0, 1, 7, 0, 1, b'a', b'b'];
/// Who has 10.9.2.2? Tell 10.9.1.2.
#[rustfmt::skip]
pub const ARP_REQUEST: [u8; 28] = [
    0, 1, 8, 0, 6, 4, 0, 1,
    2, 0, 0, 0, 0, 0x0a, 10, 9, 1, 2,
    0, 0, 0, 0, 0, 0, 10, 9, 2, 2,
];

/// A whole frame: TCP over IPv4.
#[rustfmt::skip]
pub const TCP_V4: [u8; 54] = [
    2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a, 0x08, 0x00,
    // Version and IHL, TOS, total length 40, identification 0x1234, DF, TTL 64, protocol 6, checksum, addresses.
    0x45, 0, 0, 40, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 9, 1, 2, 10, 9, 2, 2,
    0xc3, 0x50, 0x1f, 0x90, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0,
];

/// A whole frame: TCP over IPv6.
#[rustfmt::skip]
pub const TCP_V6: [u8; 74] = [
    2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a, 0x86, 0xdd,
    // Version, traffic class and flow label, payload length 20, next header 6, hop limit 63, addresses.
    0x60, 0x0a, 0xbc, 0xde, 0, 20, 6, 63,
    0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
    0xfd, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
    0xc3, 0x50, 0x1f, 0x90, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0,
];

/// A frame with this ethertype.
pub fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&MACS[..], &ethertype.to_be_bytes(), payload].concat()
}

/// An IPv4 packet without Ethernet header. `field`: flags and fragment offset, in units of 8 bytes.
pub fn v4_packet(options: &[u8], field: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let [total0, total1] = ((header + payload.len()) as u16).to_be_bytes();
    let [field0, field1] = field.to_be_bytes();
    let first = 0x40 | (header / 4) as u8;
    let fixed = [first, 0, total0, total1, 0x12, 0x34, field0, field1, 64, protocol, 0, 0];
    [&fixed[..], &SRC_V4, &DST_V4, options, payload].concat()
}

/// A frame with an IPv4 packet in it.
pub fn v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &v4_packet(&[], 0, protocol, payload))
}

/// The same with options.
pub fn v4_options(options: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &v4_packet(options, 0, protocol, payload))
}

/// The same with flags and fragment offset.
pub fn v4_fragment(field: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &v4_packet(&[], field, protocol, payload))
}

/// An IPv6 packet without Ethernet header; hop limit 255.
pub fn v6_packet(next: u8, payload: &[u8]) -> Vec<u8> {
    let [length0, length1] = (payload.len() as u16).to_be_bytes();
    [&[0x60, 0, 0, 0, length0, length1, next, 255][..], &SRC_V6, &DST_V6, payload].concat()
}

/// A frame with an IPv6 packet in it.
pub fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(0x86dd, &v6_packet(next, payload))
}

/// Extension headers in front of a transport header: what the header is, and its bytes from the second on.
pub fn v6_chain(headers: &[(u8, &[u8])], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, (_, body)) in headers.iter().enumerate() {
        bytes.push(headers.get(at + 1).map_or(protocol, |(next, _)| *next));
        bytes.extend_from_slice(body);
    }
    bytes.extend_from_slice(payload);
    v6(headers.first().map_or(protocol, |(first, _)| *first), &bytes)
}

/// Body of an options header of 8 bytes: PadN.
pub const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];

/// Body of a fragment header: offset in units of 8 bytes, more fragments; identification 0xaabbccdd.
pub fn fragment_header(offset: u16, more: bool) -> [u8; 7] {
    let [field0, field1] = (offset << 3 | u16::from(more)).to_be_bytes();
    [0, field0, field1, 0xaa, 0xbb, 0xcc, 0xdd]
}

/// `frame` with `bytes` at `at`.
pub fn bent(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// One valid frame of each kind, and whether a guest may send it.
pub fn every_kind() -> Vec<(&'static str, Vec<u8>, bool)> {
    let arp = ethernet(0x0806, &ARP_REQUEST);
    let tagged = |tags: &[u8], frame: &[u8]| [&frame[..12], tags, &frame[12..]].concat();
    let quote = v4_packet(&[], 0, 17, &UDP[..8]);
    let quote_v6 = v6_packet(17, &UDP[..8]);
    let error = |start: [u8; 8], quote: &[u8]| [&start[..], quote].concat();
    let solicitation = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &DST_V6, &[1, 1, 2, 0, 0, 0, 0, 0x0a]].concat();
    vec![
        ("TCP over IPv4", TCP_V4.to_vec(), true),
        ("UDP over IPv4", v4(17, &UDP), true),
        ("SCTP over IPv4", v4(132, &SCTP), true),
        ("ICMP", v4(1, &ECHO), true),
        ("GRE over IPv4", v4(47, &[0; 8]), true),
        ("IPv4 with options", v4_options(&[7, 7, 4, 0, 0, 0, 0, 1], 6, &TCP), true),
        ("first fragment over IPv4", v4_fragment(0x2000, 17, &[&UDP[..], &[0; 4]].concat()), true),
        ("later fragment over IPv4", v4_fragment(2, 17, &UDP), true),
        ("ICMP error", v4(1, &error([3, 3, 0, 0, 0, 0, 0, 0], &quote)), true),
        ("TCP over IPv6", TCP_V6.to_vec(), true),
        ("UDP over IPv6", v6(17, &UDP), true),
        ("SCTP over IPv6", v6(132, &SCTP), true),
        ("ICMPv6", v6(58, &ECHO_V6), true),
        ("extension headers", v6_chain(&[(0, &PADDING), (60, &PADDING)], 6, &TCP), true),
        ("first fragment over IPv6", v6_chain(&[(44, &fragment_header(0, true))], 6, &[0x50; 24]), true),
        ("later fragment over IPv6", v6_chain(&[(44, &fragment_header(3, false))], 17, &UDP), true),
        ("ICMPv6 error", v6(58, &error([1, 4, 0, 0, 0, 0, 0, 0], &quote_v6)), true),
        ("neighbour solicitation", v6(58, &solicitation), true),
        ("ARP", arp, true),
        ("one tag", tagged(&[0x81, 0, 0, 5], &TCP_V4), false),
        ("two tags", tagged(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6], &TCP_V6), false),
    ]
}
