//! A table under attack: who is there stays, who comes is refused with a reason, and neighbours notice nothing.

use sg_common::{
    addr::{EGRESS, INGRESS},
    verdict::Reason,
};
use sg_tests::{
    life::{Life, Plane},
    packets::{
        Ethernet, Ip, Transport,
        flag::{ACK, FIN, SYN},
    },
    progrun::Hook,
    wire::Family,
};

/// Connections of one interface, and of all.
const SHARE: u16 = 1_500;
const TABLE: u16 = 4_096;
const ESTABLISHED: u16 = 1_000;

/// Guests with the same groups; all may be reached on tcp/80 and udp/53 and may ask udp/53.
fn plane(guests: &[&str]) -> Plane {
    let interfaces: String = guests
        .iter()
        .map(|name| {
            format!(
                "  - {{name: {name}, role: guest, groups: [guest], addresses: [10.9.2.2, \"fd02::2\"]}}\n"
            )
        })
        .collect();
    let rules = "[{direction: ingress, protocol: tcp, ports: 80}, {direction: ingress, protocol: udp, ports: 53}, \
                 {direction: ingress, service: ping}, {direction: egress, protocol: udp, ports: 53}]";
    Plane::new(
        guests,
        &format!(
            "version: 1
settings:
  conntrack: {{max_entries: {TABLE}, max_per_interface: {SHARE}}}
  limits: {{policy_bytes: 1048576, fragments: 1024}}
security_groups:
  guest: {{default_policy: {{ingress: deny, egress: deny}}, rules: {rules}}}
interfaces:
{interfaces}"
        ),
    )
}

fn on<'a>(plane: &'a Plane, device: &'a str, family: Family) -> Life<'a> {
    Life { plane, device, family, receive: Hook::Xdp }
}

fn establish(life: &Life<'_>, ports: std::ops::Range<u16>) {
    for port in ports {
        life.enters(&Transport::tcp(port, 80, SYN));
        life.leaves(&Transport::tcp(80, port, SYN | ACK));
        life.enters(&Transport::tcp(port, 80, ACK));
    }
}

/// Every one of the connections lets packets of both directions pass.
fn all_go_on(life: &Life<'_>, ports: std::ops::Range<u16>) {
    for port in ports {
        life.enters(&Transport::tcp(port, 80, ACK));
        life.leaves(&Transport::tcp(80, port, ACK));
    }
}

/// Runs a packet without looking at what is counted; whether it passes.
fn passes(plane: &Plane, device: &str, ip: &Ip, transport: &Transport) -> bool {
    let frame = Ethernet::default().ip(ip, transport);
    plane.programs.passes(Hook::TcxEgress, plane.ifindex(device), &frame)
}

/// A peer that is not the one with connections.
fn flooder(family: Family) -> Ip {
    Ip::new(family.router(), family.guest())
}

/// C01, C02, C05, T37, A18, A21: half-open and one-way floods fill the guest's share. What comes then is refused; of a
/// thousand connections none is lost, in either family; the guest's own new ones are refused like all others.
#[test]
fn a_flood_costs_no_established_connection() {
    let plane = plane(&["tap0"]);
    let lives = Family::BOTH.map(|family| on(&plane, "tap0", family));
    let half = 10_000..10_000 + ESTABLISHED / 2;
    lives.iter().for_each(|life| establish(life, half.clone()));
    for (number, family) in (0..SHARE).zip(Family::BOTH.into_iter().cycle()) {
        let transport = match number % 3 {
            0 => Transport::tcp(20_000 + number, 80, SYN),
            1 => Transport::udp(20_000 + number, 53),
            _ => Transport::ping(family.peer(), 20_000 + number),
        };
        let fits = number < SHARE - ESTABLISHED;
        assert_eq!(
            passes(&plane, "tap0", &flooder(family), &transport),
            fits,
            "packet {number} of the flood"
        );
    }
    for life in &lives {
        life.is_kept_out(Reason::InterfaceFull, &Transport::tcp(9_999, 80, SYN));
        life.is_kept_out(Reason::InterfaceFull, &Transport::udp(9_999, 53));
        life.is_kept_in(Reason::InterfaceFull, &Transport::udp(9_999, 53));
        all_go_on(life, half.clone());
    }
    // The flood is forgotten after half a minute, without a sweep; the connections are not.
    plane.wait(31_000);
    lives.iter().for_each(|life| life.enters(&Transport::tcp(9_999, 80, SYN)));
    lives.iter().for_each(|life| all_go_on(life, half.clone()));
}

/// C01, C02: the same with entries that were answered, which live longer.
#[test]
fn a_flood_that_is_answered_costs_no_established_connection_either() {
    let plane = plane(&["tap0"]);
    let life = on(&plane, "tap0", Family::V4);
    establish(&life, 10_000..10_000 + ESTABLISHED);
    for port in 20_000..20_000 + SHARE - ESTABLISHED {
        life.enters(&Transport::udp(port, 53));
        life.leaves(&Transport::udp(53, port));
    }
    for port in 30_000..30_100 {
        life.is_kept_out(Reason::InterfaceFull, &Transport::udp(port, 53));
    }
    plane.wait(179_000);
    all_go_on(&life, 10_000..10_000 + ESTABLISHED);
    life.is_kept_out(Reason::InterfaceFull, &Transport::udp(9_999, 53));
    plane.wait(2_000);
    life.enters(&Transport::udp(9_999, 53));
}

/// T36, C01, A18, A21: what is refused by the rules takes no room, however much of it comes.
#[test]
fn a_flood_that_the_rules_refuse_takes_no_room() {
    let plane = plane(&["tap0"]);
    for family in Family::BOTH {
        for port in 0..5_000 {
            assert!(!passes(&plane, "tap0", &flooder(family), &Transport::tcp(port, 81, SYN)));
            assert!(!passes(&plane, "tap0", &flooder(family), &Transport::udp(port, 81)));
        }
    }
    let use_ = plane.counters.entries();
    assert_eq!((use_.connections, use_.fragments), (0, 0));
}

/// C04: a guest whose share is used up is its own neighbour only: another opens a thousand connections beside it.
#[test]
fn neighbours_of_a_flooded_guest_notice_nothing() {
    let plane = plane(&["tap0", "tap1"]);
    for port in 0..SHARE + 500 {
        let fits = port < SHARE;
        assert_eq!(passes(&plane, "tap0", &flooder(Family::V4), &Transport::udp(20_000 + port, 53)), fits);
    }
    let neighbour = on(&plane, "tap1", Family::V4);
    establish(&neighbour, 10_000..10_000 + ESTABLISHED);
    all_go_on(&neighbour, 10_000..10_000 + ESTABLISHED);
}

/// C01, C02, C03: the whole table is full: nobody new is let in anywhere, and for that reason; who is there goes on. A
/// reply without an entry is no new connection the other way round.
#[test]
fn a_full_table_refuses_newcomers_everywhere() {
    let plane = plane(&["tap0", "tap1", "tap2", "tap3"]);
    let first = on(&plane, "tap0", Family::V6);
    establish(&first, 10_000..10_000 + ESTABLISHED);
    let mut refused = 0;
    for (device, number) in
        ["tap1", "tap2", "tap3"].iter().flat_map(|device| (0..SHARE).map(move |n| (device, n)))
    {
        refused +=
            u32::from(!passes(&plane, device, &flooder(Family::V4), &Transport::udp(20_000 + number, 53)));
    }
    // The share of the third guest did not fit any more: exactly the table's size is in use.
    assert_eq!(refused, u32::from(3 * SHARE + ESTABLISHED - TABLE));
    assert_eq!(plane.counters.entries().connections, u64::from(TABLE));
    let last = on(&plane, "tap3", Family::V4);
    last.is_kept_out(Reason::ConntrackFull, &Transport::tcp(9_999, 80, SYN));
    last.is_kept_in(Reason::ConntrackFull, &Transport::udp(9_999, 53));
    last.is_kept_in(Reason::Default, &Transport::udp(53, 9_999));
    all_go_on(&first, 10_000..10_000 + ESTABLISHED);
}

/// F11, A19: first pieces fill the memory for pieces, and nothing else: whole packets, new and old, pass as before.
#[test]
fn a_flood_of_first_pieces_costs_only_pieces() {
    let plane = plane(&["tap0", "tap1"]);
    let life = on(&plane, "tap0", Family::V4);
    establish(&life, 10_000..10_100);
    let first = |id: u32, family: Family| {
        let ip = Ip { id, ..family.inward() };
        // One flow: what is counted here is pieces.
        ip.fragments(&Transport::udp(7, 53).payload(&[0; 1_592]), 800).remove(0)
    };
    let mut refused = 0;
    for (id, family) in (1..2_000).zip(Family::BOTH.into_iter().cycle()) {
        let frame = Ethernet::default().datagram(&first(id, family));
        refused += u32::from(!plane.programs.passes(Hook::TcxEgress, plane.ifindex("tap0"), &frame));
    }
    assert!(refused > 1_000, "only {refused} were refused");
    let use_ = plane.counters.entries();
    assert!(use_.fragments <= 1_024, "{use_:?}");
    life.goes_as(INGRESS, &first(5_000, Family::V4), Some(Reason::FragmentsFull));
    life.enters(&Transport::udp(8, 53));
    life.leaves(&Transport::udp(8, 53));
    all_go_on(&life, 10_000..10_100);
    // A neighbour has a share of its own.
    on(&plane, "tap1", Family::V4).goes_as(INGRESS, &first(5_001, Family::V4), None);
    plane.wait(30_000);
    life.goes_as(INGRESS, &first(5_002, Family::V4), None);
}

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
    let use_ = plane.counters.entries();
    assert_eq!((use_.connections, use_.fragments), (0, 0));
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
