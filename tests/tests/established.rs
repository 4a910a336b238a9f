//! Lives of connections, packet by packet. Nothing but what opens a connection has a rule.

use sg_tests::{
    packets::{
        Transport,
        flag::{ACK, FIN, RST, SYN},
    },
    wire::{Family, Wire},
};

/// Only inbound connections to 8080, 5353 and GRE, and outbound ones to 443 and 53.
const POLICY: &str = "
security_groups:
  guest:
    default_policy: {ingress: deny, egress: deny}
    rules:
      - {direction: ingress, protocol: tcp, ports: 8080}
      - {direction: ingress, protocol: udp, ports: 5353}
      - {direction: ingress, protocol: gre}
      - {direction: egress, protocol: tcp, ports: 443}
      - {direction: egress, protocol: udp, ports: 53}
";

/// A segment from the peer's port 40000 to the guest's 8080.
fn to_guest(flags: u8) -> Transport {
    Transport::tcp(40_000, 8080, flags)
}

/// Its answer.
fn to_peer(flags: u8) -> Transport {
    Transport::tcp(8080, 40_000, flags)
}

fn open(wire: &Wire, family: Family) {
    wire.enters(&family.inward(), &to_guest(SYN));
    wire.leaves(&family.outward(), &to_peer(SYN | ACK));
    wire.enters(&family.inward(), &to_guest(ACK));
}

/// T01, T14, T16
#[test]
fn a_tcp_connection_from_outside() {
    Wire::for_both(POLICY, |wire, family| {
        let (inward, outward) = (family.inward(), family.outward());
        wire.is_kept_in("default", &outward, &Transport::tcp(8080, 40_000, SYN));
        wire.enters(&inward, &to_guest(SYN));
        assert_eq!(wire.entry().1, 30);
        wire.leaves(&outward, &to_peer(SYN | ACK));
        assert_eq!(wire.entry().1, 30);
        wire.enters(&inward, &to_guest(ACK));
        assert_eq!(wire.entry(), ("established".to_owned(), 600));
        wire.leaves(&outward, &to_peer(ACK));
        wire.leaves(&outward, &to_peer(FIN | ACK));
        assert_eq!(wire.entry().1, 30);
        wire.enters(&inward, &to_guest(ACK));
        wire.enters(&inward, &to_guest(FIN | ACK));
        wire.leaves(&outward, &to_peer(ACK));
        assert_eq!(wire.entry().1, 30);
        let mut clock = wire.clock();
        clock.advance_seconds(31);
        wire.is_kept_out("no-connection", &inward, &to_guest(ACK));
        wire.is_kept_in("default", &outward, &to_peer(ACK));
    });
}

/// T38
#[test]
fn a_tcp_connection_from_inside() {
    Wire::for_both(POLICY, |wire, family| {
        let (inward, outward) = (family.inward(), family.outward());
        wire.leaves(&outward, &Transport::tcp(50_000, 443, SYN));
        wire.enters(&inward, &Transport::tcp(443, 50_000, SYN | ACK));
        wire.leaves(&outward, &Transport::tcp(50_000, 443, ACK));
        assert_eq!(wire.entry(), ("established".to_owned(), 600));
        wire.enters(&inward, &Transport::tcp(443, 50_000, ACK));
        wire.is_kept_out("default", &inward, &Transport::tcp(443, 50_001, ACK));
    });
}

/// T32
#[test]
fn an_idle_connection_lives_ten_minutes() {
    let wire = Wire::new(POLICY);
    open(&wire, Family::V4);
    let mut clock = wire.clock();
    clock.advance_seconds(597);
    wire.leaves(&Family::V4.outward(), &to_peer(ACK));
    clock.advance_seconds(601);
    wire.is_kept_in("default", &Family::V4.outward(), &to_peer(ACK));
}

/// T09
#[test]
fn an_unanswered_syn_is_forgotten_after_half_a_minute() {
    let wire = Wire::new(POLICY);
    wire.enters(&Family::V6.inward(), &to_guest(SYN));
    wire.clock().advance_seconds(31);
    wire.is_kept_in("default", &Family::V6.outward(), &to_peer(SYN | ACK));
}

/// T19, T20
#[test]
fn a_reset_shortens_the_timer_and_traffic_restores_it() {
    Wire::for_both(POLICY, |wire, family| {
        open(wire, family);
        wire.enters(&family.inward(), &to_guest(RST));
        assert_eq!(wire.entry().1, 30);
        wire.leaves(&family.outward(), &to_peer(ACK));
        assert_eq!(wire.entry().1, 600);
    });
}

/// T28
#[test]
fn a_syn_against_the_grain_of_an_entry_is_judged() {
    let wire = Wire::new(POLICY);
    open(&wire, Family::V4);
    let entries = wire.agent.status().conntrack.entries;
    wire.is_kept_in("default", &Family::V4.outward(), &to_peer(SYN));
    assert_eq!(wire.agent.status().conntrack.entries, entries);
    wire.enters(&Family::V4.inward(), &to_guest(ACK));
}

/// T24
#[test]
fn a_closing_connection_makes_room_for_the_next_on_its_ports() {
    let wire = Wire::new(POLICY);
    open(&wire, Family::V4);
    wire.enters(&Family::V4.inward(), &to_guest(FIN | ACK));
    wire.leaves(&Family::V4.outward(), &to_peer(FIN | ACK));
    open(&wire, Family::V4);
    assert_eq!(wire.entry(), ("established".to_owned(), 600));
}

/// T12
#[test]
fn both_sides_may_open_at_once() {
    let wire = Wire::new(
        "
security_groups:
  guest:
    default_policy: {ingress: deny, egress: deny}
    rules:
      - {direction: ingress, protocol: tcp, ports: 8080}
      - {direction: egress, protocol: tcp, ports: 40000}
",
    );
    wire.enters(&Family::V4.inward(), &to_guest(SYN));
    wire.leaves(&Family::V4.outward(), &to_peer(SYN));
    wire.leaves(&Family::V4.outward(), &to_peer(SYN | ACK));
    wire.enters(&Family::V4.inward(), &to_guest(SYN | ACK));
    wire.enters(&Family::V4.inward(), &to_guest(ACK));
    assert_eq!(wire.entry(), ("established".to_owned(), 600));
}

/// U01, U05
#[test]
fn a_datagram_is_answered() {
    Wire::for_both(POLICY, |wire, family| {
        let (inward, outward) = (family.inward(), family.outward());
        wire.enters(&inward, &Transport::udp(40_000, 5353));
        assert_eq!(wire.entry().1, 30);
        wire.leaves(&outward, &Transport::udp(5353, 40_000));
        assert_eq!(wire.entry().1, 180);
        wire.is_kept_in("default", &outward, &Transport::udp(5353, 40_001));
        let mut clock = wire.clock();
        clock.advance_seconds(177);
        wire.leaves(&outward, &Transport::udp(5353, 40_000));
        clock.advance_seconds(181);
        wire.is_kept_in("default", &outward, &Transport::udp(5353, 40_000));
    });
}

/// U04, U06
#[test]
fn a_stream_one_way_never_becomes_two_way() {
    let wire = Wire::new(POLICY);
    let mut clock = wire.clock();
    for _ in 0..5 {
        wire.leaves(&Family::V4.outward(), &Transport::udp(40_000, 53));
        assert_eq!(wire.entry().1, 30);
        clock.advance_seconds(27);
    }
    wire.enters(&Family::V4.inward(), &Transport::udp(53, 40_000));
    assert_eq!(wire.entry().1, 180);
}

/// X01, X09
#[test]
fn a_protocol_without_ports_is_tracked_by_addresses() {
    Wire::for_both(POLICY, |wire, family| {
        let gre = Transport::raw(47, &[0; 4]);
        wire.is_kept_in("default", &family.outward(), &gre);
        wire.enters(&family.inward(), &gre);
        wire.leaves(&family.outward(), &gre);
        assert_eq!(wire.entry().1, 180);
    });
}

#[test]
fn a_stateless_group_tracks_nothing() {
    let wire = Wire::new(
        "
security_groups:
  guest:
    stateful: false
    default_policy: {ingress: deny, egress: deny}
    rules:
      - {direction: ingress, protocol: udp, ports: 5353}
",
    );
    wire.enters(&Family::V4.inward(), &Transport::udp(40_000, 5353));
    assert_eq!(wire.agent.status().conntrack.entries, 0);
    wire.is_kept_in("default", &Family::V4.outward(), &Transport::udp(5353, 40_000));
}

/// What Linux's connection tracking calls invalid: an ACK or a FIN before the answer, a SYN+ACK of the side that opened.
#[test]
fn a_segment_out_of_turn_is_the_receivers_business() {
    Wire::for_both(POLICY, |wire, family| {
        wire.enters(&family.inward(), &to_guest(SYN));
        wire.enters(&family.inward(), &to_guest(ACK));
        wire.enters(&family.inward(), &to_guest(SYN | ACK));
        wire.leaves(&family.outward(), &to_peer(SYN | ACK));
        wire.enters(&family.inward(), &to_guest(SYN | ACK));
        assert_eq!(wire.agent.status().conntrack.entries, 1);
    });
}
