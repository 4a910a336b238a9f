//! ARP senders.

use super::*;
use crate::packet::Arp;

const SPOOFED: Result<(), Reason> = Err(Reason::SpoofedArp);

fn arp(sender: Addr, sender_mac: [u8; 6]) -> Arp {
    Arp { src_mac: sender_mac, sender_mac, sender: sender.v4_octets() }
}

fn sends(scene: &Scene, arp: &Arp) -> Result<(), Reason> {
    check_arp(&scene.lines[..], &scene.iface, EGRESS, arp, 60)
}

/// N01: what hangs behind an ARP packet is no ARP.
#[test]
fn a_guest_sends_no_more_than_arp() {
    for scene in [Scene::guest(), Scene::stranger()] {
        let long =
            |direction, length| check_arp(&scene.lines[..], &scene.iface, direction, &arp(OWN, MAC), length);
        assert_eq!((long(EGRESS, 42), long(EGRESS, 60)), (Ok(()), Ok(())));
        assert_eq!((long(EGRESS, 61), long(INGRESS, 1500)), (Err(Reason::Malformed), Ok(())));
    }
    let host = Scene::host();
    assert_eq!(check_arp(&host.lines[..], &host.iface, EGRESS, &arp(OWN, MAC), 1500), Ok(()));
}

/// N01, N02: requests, replies, gratuitous ones: the sender is what counts.
#[test]
fn a_guest_speaks_for_its_own_addresses() {
    let guest = Scene::guest();
    for own in [OWN, SHARED, FREE] {
        assert_eq!(sends(&guest, &arp(own, MAC)), Ok(()));
    }
    assert_eq!(sends(&guest, &arp(SHARED, PARTNER)), Ok(()));
    assert_eq!(sends(&guest, &arp(FREE, STRANGER)), Ok(()));
}

/// N02, A26
#[test]
fn a_guest_speaks_for_nobody_else() {
    let guest = Scene::guest();
    for foreign in [NEIGHBOUR, Addr::v4([10, 0, 0, 1]), Addr::v4([127, 0, 0, 1]), Addr::v4([255; 4])] {
        assert_eq!(sends(&guest, &arp(foreign, MAC)), SPOOFED, "{foreign:?}");
    }
}

/// N02
#[test]
fn an_own_address_goes_with_the_own_mac_address() {
    let guest = Scene::guest();
    assert_eq!(sends(&guest, &arp(OWN, STRANGER)), SPOOFED);
    assert_eq!(sends(&guest, &arp(OWN, PARTNER)), SPOOFED);
    assert_eq!(sends(&guest, &arp(SHARED, STRANGER)), SPOOFED);
}

/// N03
#[test]
fn both_hardware_senders_are_the_same() {
    let guest = Scene::guest();
    assert_eq!(sends(&guest, &Arp { src_mac: STRANGER, ..arp(OWN, MAC) }), SPOOFED);
    assert_eq!(sends(&guest, &Arp { src_mac: MAC, ..arp(OWN, STRANGER) }), SPOOFED);
    assert_eq!(
        sends(&guest, &Arp { src_mac: PARTNER, ..arp(SHARED, MAC) }),
        SPOOFED,
        "both may, each for itself"
    );
}

/// N02: RFC 5227.
#[test]
fn a_probe_has_no_sender_but_the_own_mac_address() {
    let nobody = Addr::v4([0; 4]);
    assert_eq!(sends(&Scene::guest(), &arp(nobody, MAC)), Ok(()));
    assert_eq!(sends(&Scene::guest(), &arp(nobody, STRANGER)), SPOOFED);
}

/// N01
#[test]
fn arp_passes_where_nothing_is_known_of_the_sender() {
    let foreign = Arp { src_mac: MAC, ..arp(NEIGHBOUR, STRANGER) };
    let guest = Scene::guest();
    assert_eq!(check_arp(&guest.lines[..], &guest.iface, INGRESS, &foreign, 60), Ok(()));
    assert_eq!(sends(&Scene::stranger(), &foreign), Ok(()));
    assert_eq!(sends(&Scene::host(), &foreign), Ok(()));
}
