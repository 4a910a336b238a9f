//! A table under attack: who is there stays, who comes is refused with a reason, and neighbours notice nothing.

mod keys;
mod pieces;

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
    plane.wait(165_000);
    all_go_on(&life, 10_000..10_000 + ESTABLISHED);
    life.is_kept_out(Reason::InterfaceFull, &Transport::udp(9_999, 53));
    plane.wait(20_000);
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
    let used = plane.counters.entries();
    assert_eq!((used.connections, used.fragments), (0, 0));
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
    let used = plane.counters.entries();
    assert!(used.fragments <= 1_024, "{used:?}");
    life.goes_as(INGRESS, &first(5_000, Family::V4), Some(Reason::FragmentsFull));
    life.enters(&Transport::udp(8, 53));
    life.leaves(&Transport::udp(8, 53));
    all_go_on(&life, 10_000..10_100);
    // A neighbour has a share of its own.
    on(&plane, "tap1", Family::V4).goes_as(INGRESS, &first(5_001, Family::V4), None);
    plane.wait(30_000);
    life.goes_as(INGRESS, &first(5_002, Family::V4), None);
}
