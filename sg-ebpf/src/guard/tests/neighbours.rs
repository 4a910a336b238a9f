//! Neighbour discovery, router advertisements, redirects.

use super::*;
use crate::packet::Part;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

const SPOOFED_ND: Outcome = Err(Reason::SpoofedNd);

/// The answer on a message that the guest sends.
fn says(scene: &Scene, src: Addr, kind: u8, target: Addr) -> Outcome {
    scene.judge_message(EGRESS, &icmpv6(src, kind), true, &target)
}

/// N05, N06
#[test]
fn a_guest_advertises_its_own_addresses() {
    let guest = Scene::guest();
    for own in [OWN_V6, SHARED_V6, LINK_LOCAL] {
        assert_eq!(says(&guest, own, ADVERTISEMENT, own), INFRASTRUCTURE);
    }
    assert_eq!(says(&guest, LINK_LOCAL, ADVERTISEMENT, OWN_V6), INFRASTRUCTURE, "from another own one");
}

/// N06, A27
#[test]
fn a_guest_advertises_nobody_elses() {
    let guest = Scene::guest();
    for foreign in [NEIGHBOUR_V6, v6([0xfd00, 0, 0, 0, 0, 0, 0, 1]), UNSPECIFIED_V6, ALL_NODES] {
        assert_eq!(says(&guest, OWN_V6, ADVERTISEMENT, foreign), SPOOFED_ND, "{foreign:?}");
    }
}

/// N06: the pair's MAC address speaks for the pair's address only.
#[test]
fn an_advertisement_goes_with_the_mac_address() {
    let guest = Scene::guest();
    let partner =
        |target| guest.judge_message(EGRESS, &by(PARTNER, icmpv6(SHARED_V6, ADVERTISEMENT)), true, &target);
    assert_eq!(partner(SHARED_V6), INFRASTRUCTURE);
    assert_eq!(partner(OWN_V6), SPOOFED_ND);
}

/// N06, D05
#[test]
fn link_local_targets_may_be_narrowed_to_the_one_from_the_mac_address() {
    let mut guest = Scene::guest();
    guest.iface.flags |= flag::EUI64_ONLY;
    assert_eq!(says(&guest, OWN_V6, ADVERTISEMENT, EUI64), INFRASTRUCTURE);
    assert_eq!(says(&guest, OWN_V6, ADVERTISEMENT, LINK_LOCAL), SPOOFED_ND);
}

/// N05: address resolution.
#[test]
fn a_guest_asks_for_anybody() {
    assert_eq!(says(&Scene::guest(), OWN_V6, SOLICITATION, NEIGHBOUR_V6), INFRASTRUCTURE);
}

/// N05, A27: asking for a neighbour's address as if to take it would keep the neighbour from it.
#[test]
fn duplicate_address_detection_is_for_own_addresses() {
    let guest = Scene::guest();
    for own in [OWN_V6, SHARED_V6, LINK_LOCAL] {
        assert_eq!(says(&guest, UNSPECIFIED_V6, SOLICITATION, own), INFRASTRUCTURE);
    }
    assert_eq!(says(&guest, UNSPECIFIED_V6, SOLICITATION, NEIGHBOUR_V6), SPOOFED_ND);
}

/// A24: who sends it is judged first.
#[test]
fn a_message_with_a_spoofed_source_is_spoofed() {
    let guest = Scene::guest();
    assert_eq!(says(&guest, NEIGHBOUR_V6, SOLICITATION, OWN_V6), SPOOFED_ADDRESS);
    let packet = by(STRANGER, icmpv6(OWN_V6, ADVERTISEMENT));
    assert_eq!(guest.judge_message(EGRESS, &packet, true, &OWN_V6), SPOOFED_MAC);
}

/// N05: a host's guests are its own affair; of a guest without addresses nothing is known.
#[test]
fn targets_are_checked_where_addresses_are_known() {
    for scene in [Scene::stranger(), Scene::host()] {
        assert_eq!(says(&scene, NEIGHBOUR_V6, ADVERTISEMENT, NEIGHBOUR_V6), INFRASTRUCTURE);
    }
    let packet = icmpv6(NEIGHBOUR_V6, ADVERTISEMENT);
    assert_eq!(Scene::guest().judge_message(INGRESS, &packet, true, &NEIGHBOUR_V6), INFRASTRUCTURE);
}

/// N07, N13
#[test]
fn an_unsound_message_is_malformed_both_ways() {
    for kind in [ROUTER_SOLICITATION, SOLICITATION, ADVERTISEMENT] {
        for direction in [INGRESS, EGRESS] {
            let outcome = Scene::guest().judge_message(direction, &icmpv6(OWN_V6, kind), false, &OWN_V6);
            assert_eq!(outcome, Err(Reason::Malformed), "type {kind}");
        }
    }
}

/// N08
#[test]
fn router_advertisements_come_in_and_never_from_a_guest() {
    for scene in [Scene::guest(), Scene::stranger()] {
        for sound in [true, false] {
            let packet = icmpv6(LINK_LOCAL, ROUTER_ADVERTISEMENT);
            let outcome = scene.judge_message(EGRESS, &packet, sound, &UNSPECIFIED_V6);
            assert_eq!(outcome, Err(Reason::RouterAdvertisement));
        }
        let packet = icmpv6(LINK_LOCAL, ROUTER_ADVERTISEMENT);
        assert_eq!(scene.judge_message(INGRESS, &packet, true, &UNSPECIFIED_V6), INFRASTRUCTURE);
        assert_eq!(says(&scene, LINK_LOCAL, ROUTER_SOLICITATION, UNSPECIFIED_V6), INFRASTRUCTURE);
    }
    assert_eq!(says(&Scene::host(), LINK_LOCAL, ROUTER_ADVERTISEMENT, UNSPECIFIED_V6), TO_THE_RULES);
}

/// N09, I10: of either family; incoming ones are the rules' to judge.
#[test]
fn a_guest_sends_no_redirects() {
    let redirect = Packet { protocol: protocol::ICMP, dst_port: [5, 1], ..from(OWN) };
    for scene in [Scene::guest(), Scene::stranger()] {
        assert_eq!(says(&scene, LINK_LOCAL, REDIRECT, NEIGHBOUR_V6), Err(Reason::Redirect));
        assert_eq!(scene.sends(&redirect), Err(Reason::Redirect));
        assert_eq!(scene.receives(&redirect), TO_THE_RULES);
        let packet = icmpv6(LINK_LOCAL, REDIRECT);
        assert_eq!(scene.judge_message(INGRESS, &packet, true, &NEIGHBOUR_V6), TO_THE_RULES);
    }
}

/// N05: what no rule can refuse must not carry what one likes.
#[test]
fn a_guest_sends_no_long_options_and_to_no_group_beyond_the_link() {
    let outcome = |scene: &Scene, direction, packet: &Packet, options| {
        let message = Message { sound: true, target: &OWN_V6, options };
        check(&scene.lines[..], &scene.iface, direction, packet, &message)
    };
    for kind in [ROUTER_SOLICITATION, SOLICITATION, ADVERTISEMENT] {
        let packet = icmpv6(OWN_V6, kind);
        let far = Packet { dst: v6([0xff0e, 0, 0, 0, 0, 0, 0, 1]), ..packet };
        for scene in [Scene::guest(), Scene::stranger()] {
            assert_eq!(outcome(&scene, EGRESS, &packet, 32), INFRASTRUCTURE);
            assert_eq!(outcome(&scene, EGRESS, &packet, 40), Err(Reason::Malformed));
            assert_eq!(outcome(&scene, INGRESS, &packet, 1400), INFRASTRUCTURE);
            assert_eq!(outcome(&scene, EGRESS, &far, 0), Err(Reason::Malformed));
        }
        assert_eq!(outcome(&Scene::host(), EGRESS, &packet, 1400), INFRASTRUCTURE);
    }
}

/// N13, A27: a first fragment has the whole header, so it cannot hide what it is.
#[test]
fn fragments_do_not_hide_an_advertisement() {
    let first = Packet { part: Part::First, ..icmpv6(LINK_LOCAL, ROUTER_ADVERTISEMENT) };
    assert_eq!(Scene::guest().sends(&first), Err(Reason::RouterAdvertisement));
    let first = Packet { part: Part::First, ..icmpv6(LINK_LOCAL, ADVERTISEMENT) };
    assert_eq!(Scene::guest().sends(&first), Err(Reason::Malformed));
}

/// N13: what a later fragment would be read as is no type.
#[test]
fn a_later_fragment_is_left_to_the_rules() {
    for kind in [0, ROUTER_ADVERTISEMENT, ADVERTISEMENT, REDIRECT] {
        let later = Packet { part: Part::Later, ..icmpv6(LINK_LOCAL, kind) };
        assert_eq!(Scene::guest().sends(&later), TO_THE_RULES);
    }
}

/// I25: over IPv4 the numbers mean something else.
#[test]
fn icmpv6_over_ipv4_is_no_neighbour_discovery() {
    let packet = Packet { protocol: protocol::ICMPV6, ..from(OWN) };
    assert_eq!(Scene::guest().sends(&packet), TO_THE_RULES);
}
