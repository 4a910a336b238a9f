//! Fragmented datagrams one after the other, without a pause, under the default limits.

use super::*;

/// A guest that may be reached on udp/53, with the limits that nobody set.
fn default_plane() -> Plane {
    Plane::new(
        &["tap0"],
        "version: 1
security_groups:
  guest:
    default_policy: {ingress: deny, egress: deny}
    rules: [{direction: ingress, protocol: udp, ports: 53}]
interfaces:
  - {name: tap0, role: guest, groups: [guest], addresses: [10.9.2.2, \"fd02::2\"]}
",
    )
}

/// The pieces of a datagram of `length` bytes of UDP payload, 800 bytes each.
fn pieces(family: Family, id: u32, length: usize) -> Vec<Vec<u8>> {
    let datagram = Transport::udp(7, 53).payload(&vec![0; length]);
    Ip { id, ..family.inward() }.fragments(&datagram, 800)
}

/// How many of `pieces` are dropped.
fn dropped(plane: &Plane, pieces: &[Vec<u8>]) -> usize {
    let passes = |piece: &&Vec<u8>| {
        let frame = Ethernet::default().datagram(piece);
        plane.programs.passes(Hook::TcxEgress, plane.ifindex("tap0"), &frame)
    };
    pieces.len() - pieces.iter().filter(passes).count()
}

/// F01, F11: more than twice as many as an interface may have incomplete; nothing is left of them.
#[test]
fn datagrams_that_come_in_order_take_no_room() {
    let plane = default_plane();
    for (id, family) in (1..=5_000).zip(Family::BOTH.into_iter().cycle()) {
        let pieces = pieces(family, id, 2_392);
        assert_eq!((pieces.len(), dropped(&plane, &pieces)), (3, 0), "datagram {id}, {family:?}");
    }
    assert_eq!(plane.counters.entries().fragments, 0);
}

/// F14: one whose pieces overtook each other is remembered for two seconds more; its number is free then.
#[test]
fn a_datagram_out_of_order_takes_room_for_two_seconds() {
    let plane = default_plane();
    for family in Family::BOTH {
        let life = on(&plane, "tap0", family);
        let pieces = pieces(family, 9, 2_392);
        for at in [0, 2, 1, 1] {
            life.goes_as(INGRESS, &pieces[at], None);
        }
        assert_eq!(plane.counters.entries().fragments, 1);
        life.goes_as(INGRESS, &pieces[0], Some(Reason::BadFragment));
        life.waits(3);
        life.goes_as(INGRESS, &pieces[1], Some(Reason::Default));
        assert_eq!(dropped(&plane, &pieces), 0);
        plane.forget();
    }
}

/// F08: a sender's identifications come round within seconds; of the datagrams that had them nothing is remembered.
#[test]
fn identifications_that_come_round_are_new_datagrams() {
    let plane = default_plane();
    for id in (0..=u16::MAX).chain(0..1_000) {
        let pieces = pieces(Family::V4, u32::from(id), 832);
        assert_eq!((pieces.len(), dropped(&plane, &pieces)), (2, 0), "datagram {id}");
    }
    assert_eq!(plane.counters.entries().fragments, 0);
}
