//! Source addresses and MAC addresses.

use super::*;
use crate::packet::Part;

/// Addresses that are nobody's.
const NOBODYS: [Addr; 12] = [
    Addr::v4([0, 0, 0, 0]),
    Addr::v4([127, 0, 0, 1]),
    Addr::v4([127, 255, 255, 255]),
    Addr::v4([224, 0, 0, 1]),
    Addr::v4([239, 255, 255, 255]),
    Addr::v4([255, 255, 255, 255]),
    UNSPECIFIED_V6,
    v6([0, 0, 0, 0, 0, 0, 0, 1]),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0]),
    ALL_NODES,
    v6([0xff0e, 0, 0, 0, 0, 0, 0, 1]),
    v6([0xffff, 0, 0, 0, 0, 0, 0, 1]),
];

#[test]
fn a_guest_sends_from_its_own_addresses() {
    let guest = Scene::guest();
    for own in [OWN, SHARED, FREE, OWN_V6, SHARED_V6] {
        assert_eq!(guest.sends(&from(own)), TO_THE_RULES, "{own:?}");
    }
}

/// The first address is compared before the tree is searched: both ways agree.
#[test]
fn the_first_address_needs_no_place_of_its_own() {
    let mut guest = Scene::guest();
    guest.iface.first_v4 = [0; 4];
    guest.iface.first_v6 = [0; 16];
    for own in [OWN, OWN_V6] {
        assert_eq!(guest.sends(&from(own)), TO_THE_RULES);
        assert_eq!(guest.sends(&by(STRANGER, from(own))), SPOOFED_MAC);
    }
}

/// G35, A24
#[test]
fn an_own_address_with_a_foreign_mac_address_is_spoofed() {
    let guest = Scene::guest();
    for own in [OWN, SHARED, OWN_V6, SHARED_V6, LINK_LOCAL] {
        assert_eq!(guest.sends(&by(STRANGER, from(own))), SPOOFED_MAC, "{own:?}");
    }
}

/// G35, A24
#[test]
fn a_neighbours_address_is_spoofed_with_any_mac_address() {
    let guest = Scene::guest();
    let around = [[10, 0, 0, 4], [10, 0, 0, 6], [10, 0, 0, 99], [10, 0, 0, 102], [9, 255, 255, 255]];
    for foreign in
        around.map(Addr::v4).into_iter().chain([NEIGHBOUR_V6, v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 5])])
    {
        assert_eq!(guest.sends(&from(foreign)), SPOOFED_ADDRESS, "{foreign:?}");
        assert_eq!(guest.sends(&by(STRANGER, from(foreign))), SPOOFED_ADDRESS, "{foreign:?}");
    }
}

/// G36
#[test]
fn an_allowed_pair_goes_with_its_mac_addresses() {
    let guest = Scene::guest();
    for shared in [SHARED, SHARED_V6] {
        assert_eq!(guest.sends(&by(PARTNER, from(shared))), TO_THE_RULES);
    }
    for own in [OWN, OWN_V6] {
        assert_eq!(guest.sends(&by(PARTNER, from(own))), SPOOFED_MAC, "the partner shares one address only");
    }
    assert_eq!(guest.sends(&by(STRANGER, from(FREE))), TO_THE_RULES, "a pair without a MAC address");
}

/// G36: as many as a line holds; each byte counts.
#[test]
fn an_address_may_have_nine_mac_addresses() {
    let macs: Vec<[u8; 6]> = (1..=9).map(|n| [2, n, 0, n, 0, n]).collect();
    for count in 1..=9 {
        let mut guest = Scene::guest();
        let owner = guest.owner(&macs[..count]);
        guest.own_v4(&[(SHARED, owner)]);
        for (at, mac) in macs.iter().enumerate() {
            let expected = if at < count { TO_THE_RULES } else { SPOOFED_MAC };
            assert_eq!(guest.sends(&by(*mac, from(SHARED))), expected, "number {at} of {count}");
            for byte in 0..6 {
                let mut other = *mac;
                other[byte] ^= 0x80;
                assert_eq!(guest.sends(&by(other, from(SHARED))), SPOOFED_MAC);
            }
        }
        assert_eq!(guest.sends(&by([0; 6], from(SHARED))), SPOOFED_MAC, "unused places are nobody's");
    }
}

#[test]
fn without_a_mac_address_any_is_the_guests() {
    let mut guest = Scene::guest();
    guest.iface.mac = [0; 6];
    for own in [OWN, OWN_V6, LINK_LOCAL] {
        assert_eq!(guest.sends(&by(STRANGER, from(own))), TO_THE_RULES);
    }
    assert_eq!(guest.sends(&from(NEIGHBOUR)), SPOOFED_ADDRESS);
}

/// N05, D05: fe80::/10, and nothing beside it.
#[test]
fn any_link_local_address_is_the_guests() {
    let guest = Scene::guest();
    for own in [LINK_LOCAL, EUI64, v6([0xfebf, 0xffff, 0, 0, 0, 0, 0, 1])] {
        assert_eq!(guest.sends(&from(own)), TO_THE_RULES, "{own:?}");
    }
    for foreign in [0xfe7f, 0xfec0, 0xfe00, 0xfd80] {
        assert_eq!(guest.sends(&from(v6([foreign, 0, 0, 0, 0, 0, 0, 1]))), SPOOFED_ADDRESS, "{foreign:04x}");
    }
}

/// D05
#[test]
fn link_local_addresses_may_be_narrowed_to_the_one_from_the_mac_address() {
    let mut guest = Scene::guest();
    guest.iface.flags |= flag::EUI64_ONLY;
    assert_eq!(guest.sends(&from(EUI64)), TO_THE_RULES);
    assert_eq!(guest.sends(&by(STRANGER, from(EUI64))), SPOOFED_MAC);
    assert_eq!(guest.sends(&from(LINK_LOCAL)), SPOOFED_ADDRESS);
    assert_eq!(guest.sends(&from(v6([0xfe80, 0, 0, 1, 0x5054, 0x00ff, 0xfe12, 0x3456]))), SPOOFED_ADDRESS);
}

#[test]
fn a_guest_with_addresses_of_one_family_has_none_of_the_other() {
    let mut guest = Scene::guest();
    guest.iface.sources[1] = 0;
    guest.iface.first_v6 = [0; 16];
    assert_eq!(guest.sends(&from(OWN_V6)), SPOOFED_ADDRESS);
    assert_eq!(guest.sends(&from(LINK_LOCAL)), TO_THE_RULES);
    let mut guest = Scene::guest();
    guest.iface.sources[0] = 0;
    guest.iface.first_v4 = [0; 4];
    assert_eq!(guest.sends(&from(OWN)), SPOOFED_ADDRESS);
}

/// P29
#[test]
fn nobodys_addresses_are_spoofed_whoever_sends_them() {
    for scene in [Scene::guest(), Scene::stranger()] {
        for nobodys in NOBODYS {
            assert_eq!(scene.sends(&from(nobodys)), SPOOFED_ADDRESS, "{nobodys:?}");
        }
    }
}

/// A22: mapped, compatible, NAT64, 6to4, Teredo.
#[test]
fn an_own_ipv4_address_inside_an_ipv6_one_is_spoofed() {
    let guest = Scene::guest();
    let [high, low] = [0x0a00, 0x0005];
    let disguises = [
        [0, 0, 0, 0, 0, 0xffff, high, low],
        [0, 0, 0, 0, 0, 0, high, low],
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low],
        [0x2002, high, low, 0, 0, 0, 0, 1],
        [0x2001, 0, 0, 0, 0, 0, !high, !low],
    ];
    for disguise in disguises {
        let packet = Packet { family: V6, ..from(v6(disguise)) };
        assert_eq!(guest.sends(&packet), SPOOFED_ADDRESS, "{disguise:04x?}");
    }
}

/// A22: Linux takes no such packet either, and group membership is looked up by the mapped form.
#[test]
fn an_ipv4_mapped_address_is_nobodys() {
    let mapped = Packet { family: V6, ..from(NEIGHBOUR) };
    assert_eq!(Scene::stranger().sends(&mapped), SPOOFED_ADDRESS);
}

/// D01, N11
#[test]
fn the_unspecified_address_is_for_those_who_have_none_yet() {
    let nobody = Addr::v4([0; 4]);
    let everybody = Addr::v4([255; 4]);
    let discover = udp(nobody, 68, everybody, 67);
    let report = Packet { protocol: protocol::IGMP, dst: Addr::v4([224, 0, 0, 22]), ..from(nobody) };
    for scene in [Scene::guest(), Scene::stranger()] {
        assert_eq!(scene.sends(&discover), INFRASTRUCTURE);
        assert_eq!(scene.sends(&report), INFRASTRUCTURE);
        for (from_port, to_port) in [(68, 68), (67, 67), (67, 68), (1068, 67), (68, 6700)] {
            assert_eq!(scene.sends(&udp(nobody, from_port, everybody, to_port)), SPOOFED_ADDRESS);
        }
        let tcp = Packet { protocol: protocol::TCP, ..discover };
        assert_eq!(scene.sends(&tcp), SPOOFED_ADDRESS);
    }
    assert_eq!(Scene::guest().sends(&by(STRANGER, discover)), SPOOFED_MAC);
}

/// N05, N10: duplicate address detection, router solicitation, MLD.
#[test]
fn over_ipv6_some_messages_start_without_an_address() {
    let guest = Scene::guest();
    for kind in 0..=255 {
        let packet = icmpv6(UNSPECIFIED_V6, kind);
        let outcome = guest.judge_message(EGRESS, &packet, true, &OWN_V6);
        let starts = matches!(kind, 130..=133 | 135 | 143);
        assert_eq!(outcome, if starts { INFRASTRUCTURE } else { SPOOFED_ADDRESS }, "type {kind}");
        if starts {
            let foreign = guest.judge_message(EGRESS, &by(STRANGER, packet), true, &OWN_V6);
            assert_eq!(foreign, SPOOFED_MAC, "type {kind}");
        }
    }
    assert_eq!(guest.sends(&from(UNSPECIFIED_V6)), SPOOFED_ADDRESS);
}

/// D08: a fragment without an address is nobody's.
#[test]
fn fragments_are_checked_like_whole_packets() {
    let guest = Scene::guest();
    for part in [Part::First, Part::Later] {
        for foreign in [NEIGHBOUR, NEIGHBOUR_V6] {
            assert_eq!(guest.sends(&Packet { part, ..from(foreign) }), SPOOFED_ADDRESS);
        }
        assert_eq!(guest.sends(&Packet { part, ..from(OWN) }), TO_THE_RULES);
        let discover = Packet { part, ..udp(Addr::v4([0; 4]), 68, Addr::v4([255; 4]), 67) };
        assert_eq!(guest.sends(&discover), SPOOFED_ADDRESS);
    }
}

#[test]
fn without_known_addresses_any_is_the_guests() {
    for any in [OWN, NEIGHBOUR, NEIGHBOUR_V6, LINK_LOCAL] {
        assert_eq!(Scene::stranger().sends(&by(STRANGER, from(any))), TO_THE_RULES);
    }
}

/// What comes to a guest, and all of a host NIC, may have any source.
#[test]
fn only_what_a_guest_sends_is_checked() {
    let mut host = Scene::guest();
    host.iface.flags &= !flag::GUEST;
    for source in [NEIGHBOUR, NEIGHBOUR_V6, Addr::v4([127, 0, 0, 1])] {
        let packet = by(STRANGER, from(source));
        assert_eq!(Scene::guest().receives(&packet), TO_THE_RULES);
        assert_eq!(host.sends(&packet), TO_THE_RULES);
        assert_eq!(host.receives(&packet), TO_THE_RULES);
    }
}

/// A tree that cannot be read lets nothing pass.
#[test]
fn an_owner_outside_the_heap_owns_nothing() {
    let mut guest = Scene::guest();
    guest.own_v4(&[(SHARED, 9999)]);
    assert_eq!(guest.sends(&from(SHARED)), SPOOFED_MAC);
    guest.iface.sources[0] = 9999;
    assert_eq!(guest.sends(&from(SHARED)), SPOOFED_ADDRESS);
}
