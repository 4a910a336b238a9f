//! Whose entry is whose, and what makes none.

use super::*;

/// N12, N14: neighbour discovery, ARP and group management make no entries, however much of them there is.
#[test]
fn infrastructure_takes_no_room() {
    use sg_tests::packets::{Mac, arp, ethertype};
    let plane = plane(&["tap0"]);
    let [mac, nobody] = [Mac([2, 0, 0, 0, 0, 1]), Mac::default()];
    let put = |frame: &[u8]| {
        assert_eq!(plane.put("tap0", EGRESS, Hook::Xdp, frame), None);
        assert_eq!(plane.put("tap0", INGRESS, Hook::Xdp, frame), None);
    };
    let near = Ip {
        ttl: 255,
        ..Ip::new("fe80::2".parse().expect("an address"), "ff02::1".parse().expect("a group"))
    };
    let igmp = Ip::new(Family::V4.guest(), "224.0.0.22".parse().expect("a group"));
    for number in 0..500u16 {
        let [high, low] = number.to_be_bytes();
        let ask = arp(1, (mac, [10, 9, 2, 2]), (nobody, [10, 9, high, low]));
        put(&Ethernet::new(mac, Mac::BROADCAST).frame(ethertype::ARP, &ask));
        let mut target = [0xfe; 16];
        target[14..].copy_from_slice(&[high, low]);
        put(&Ethernet::new(mac, Mac::BROADCAST).ip(&near, &Transport::neighbour(135, target)));
        put(&Ethernet::new(mac, Mac::BROADCAST).ip(&near, &Transport::icmpv6(143, 0, [0, 0, high, low])));
        put(&Ethernet::new(mac, Mac::BROADCAST)
            .ip(&igmp, &Transport::raw(2, &[0x16, 0, 0, 0, 239, 1, high, low])));
    }
    let used = plane.counters.entries();
    assert_eq!((used.connections, used.fragments), (0, 0));
}

/// C14, C15: thousands of tuples of both families, among them IPv4 addresses written as IPv6: each finds its own entry
/// and nobody else's.
#[test]
fn every_tuple_has_an_entry_of_its_own() {
    let plane = plane(&["tap0"]);
    let mut random = fastrand::Rng::with_seed(0x5347);
    let mut flows = std::collections::BTreeSet::new();
    while flows.len() < usize::from(SHARE) {
        flows.insert((random.bool(), random.u16(1..), random.u8(1..=254)));
    }
    let header = |(v6, _, host): (bool, u16, u8)| {
        let peer = if v6 { format!("::10.9.1.{host}") } else { format!("10.9.1.{host}") };
        let family = if v6 { Family::V6 } else { Family::V4 };
        Ip::new(peer.parse().expect("an address"), family.guest())
    };
    let back = |flow| {
        let Ip { source, destination, .. } = header(flow);
        Ip::new(destination, source)
    };
    let life = on(&plane, "tap0", Family::V4);
    // Before its own packet none has an entry to go back by.
    for &flow in &flows {
        life.goes(EGRESS, &back(flow), &Transport::udp(53, flow.1), Some(Reason::Default));
        life.goes(INGRESS, &header(flow), &Transport::udp(flow.1, 53), None);
    }
    assert_eq!(plane.counters.entries().connections, u64::from(SHARE));
    for &flow in &flows {
        life.goes(EGRESS, &back(flow), &Transport::udp(53, flow.1), None);
        let twin = (!flow.0, flow.1, flow.2);
        if !flows.contains(&twin) {
            life.goes(EGRESS, &back(twin), &Transport::udp(53, flow.1), Some(Reason::Default));
        }
    }
    assert_eq!(plane.counters.entries().connections, u64::from(SHARE));
}

/// T35: connections come and go; each works, and none leaves anything behind.
#[test]
fn short_connections_leave_nothing() {
    let plane = plane(&["tap0"]);
    for (number, family) in (0..2_000).zip(Family::BOTH.into_iter().cycle()) {
        let life = on(&plane, "tap0", family);
        establish(&life, 10_000 + number..10_001 + number);
        life.leaves(&Transport::tcp(80, 10_000 + number, FIN | ACK));
        life.enters(&Transport::tcp(10_000 + number, 80, FIN | ACK));
        life.leaves(&Transport::tcp(80, 10_000 + number, ACK));
        plane.wait(50);
    }
    plane.wait(30_000);
    assert!(plane.connections().is_empty());
    plane.forget();
    assert_eq!(plane.counters.entries().connections, 0);
}

/// T41, C20, C23, U14, A25: the same tuple on two ports is two connections; an answer that takes another port belongs
/// to neither.
#[test]
fn a_tuple_on_another_port_is_another_connection() {
    let plane = plane(&["tap0", "tap1"]);
    for family in Family::BOTH {
        let (one, other) = (on(&plane, "tap0", family), on(&plane, "tap1", family));
        establish(&one, 10_000..10_001);
        other.is_kept_in(Reason::Default, &Transport::tcp(80, 10_000, SYN | ACK));
        other.is_kept_in(Reason::Default, &Transport::tcp(80, 10_000, ACK));
        other.is_kept_out(Reason::NoConnection, &Transport::tcp(10_000, 80, ACK));
        one.leaves(&Transport::tcp(80, 10_000, ACK));
    }
}
