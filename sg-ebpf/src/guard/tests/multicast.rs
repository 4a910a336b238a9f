//! MLD and IGMP.

use super::*;
use crate::packet::Part;

/// N10: queries in, reports out, with a hop limit of 1.
#[test]
fn mld_passes_both_ways() {
    for kind in [130, 131, 132, 143] {
        let packet = Packet { hop_limit: 1, ..icmpv6(LINK_LOCAL, kind) };
        for scene in [Scene::guest(), Scene::stranger(), Scene::host()] {
            assert_eq!(scene.sends(&packet), INFRASTRUCTURE, "type {kind}");
            assert_eq!(scene.receives(&packet), INFRASTRUCTURE, "type {kind}");
        }
        assert_eq!(Scene::guest().sends(&Packet { src: NEIGHBOUR_V6, ..packet }), SPOOFED_ADDRESS);
    }
}

/// N10
#[test]
fn other_icmpv6_is_left_to_the_rules() {
    for kind in (0..=129).chain(138..=142).chain(144..=255) {
        assert_eq!(Scene::guest().sends(&icmpv6(OWN_V6, kind)), TO_THE_RULES, "type {kind}");
        assert_eq!(Scene::guest().receives(&icmpv6(NEIGHBOUR_V6, kind)), TO_THE_RULES, "type {kind}");
    }
}

/// N11
#[test]
fn igmp_passes_both_ways() {
    let report = Packet { protocol: protocol::IGMP, dst: Addr::v4([224, 0, 0, 22]), ..from(OWN) };
    for scene in [Scene::guest(), Scene::stranger(), Scene::host()] {
        assert_eq!(scene.sends(&report), INFRASTRUCTURE);
        assert_eq!(scene.receives(&report), INFRASTRUCTURE);
    }
    assert_eq!(Scene::guest().sends(&Packet { src: NEIGHBOUR, ..report }), SPOOFED_ADDRESS);
}

/// N10, N11: a router hands on what goes to a wider group, unless it ends here.
#[test]
fn group_management_of_a_guest_ends_at_the_link() {
    let igmp = |hop_limit| {
        let dst = Addr::v4([239, 1, 2, 3]);
        Packet { protocol: protocol::IGMP, dst, hop_limit, ..from(OWN) }
    };
    let mld = |hop_limit| {
        let dst = v6([0xff0e, 0, 0, 0, 0, 0, 0, 0x1234]);
        Packet { dst, hop_limit, ..icmpv6(LINK_LOCAL, 131) }
    };
    for packet in [igmp, mld] {
        assert_eq!(Scene::guest().sends(&packet(1)), INFRASTRUCTURE);
        assert_eq!(Scene::guest().sends(&packet(64)), TO_THE_RULES);
        assert_eq!(Scene::guest().receives(&packet(64)), INFRASTRUCTURE);
        assert_eq!(Scene::host().sends(&packet(64)), INFRASTRUCTURE);
    }
}

/// N11: over IPv6 its number is a protocol like any other.
#[test]
fn igmp_over_ipv6_is_left_to_the_rules() {
    assert_eq!(Scene::guest().sends(&Packet { protocol: protocol::IGMP, ..from(OWN_V6) }), TO_THE_RULES);
}

/// N10
#[test]
fn a_later_fragment_of_icmpv6_is_left_to_the_rules() {
    let later = Packet { part: Part::Later, dst_port: [0; 2], ..icmpv6(OWN_V6, 0) };
    assert_eq!(Scene::guest().sends(&later), TO_THE_RULES);
}
