//! DHCP over both families.

use super::*;
use crate::packet::Part;

const EVERYBODY: Addr = Addr::v4([255; 4]);
const SERVERS: Addr = v6([0xff02, 0, 0, 0, 0, 0, 1, 2]);
const SERVER: Addr = Addr::v4([10, 0, 0, 1]);
const DHCP_SERVER: Outcome = Err(Reason::DhcpServer);

/// D01, D05
#[test]
fn a_client_asks_everybody() {
    let guest = Scene::guest();
    for discover in [udp(Addr::v4([0; 4]), 68, EVERYBODY, 67), udp(OWN, 68, EVERYBODY, 67)] {
        assert_eq!(guest.sends(&discover), INFRASTRUCTURE);
    }
    assert_eq!(guest.sends(&udp(LINK_LOCAL, 546, SERVERS, 547)), INFRASTRUCTURE);
}

/// D02, D06: from anywhere, to an address that is not yet the guest's.
#[test]
fn a_servers_answer_comes_in() {
    let guest = Scene::guest();
    for client in [EVERYBODY, OWN, NEIGHBOUR] {
        assert_eq!(guest.receives(&udp(SERVER, 67, client, 68)), INFRASTRUCTURE);
    }
    assert_eq!(guest.receives(&udp(LINK_LOCAL, 547, OWN_V6, 546)), INFRASTRUCTURE);
}

/// D03, D06, A28: whatever is known of the guest.
#[test]
fn a_guest_is_no_server() {
    for scene in [Scene::guest(), Scene::stranger()] {
        for part in [Part::Whole, Part::First] {
            assert_eq!(scene.sends(&Packet { part, ..udp(OWN, 67, EVERYBODY, 68) }), DHCP_SERVER);
            assert_eq!(scene.sends(&Packet { part, ..udp(OWN, 67, NEIGHBOUR, 68) }), DHCP_SERVER);
            assert_eq!(scene.sends(&Packet { part, ..udp(LINK_LOCAL, 547, OWN_V6, 546) }), DHCP_SERVER);
        }
    }
}

/// D03: on a host NIC the rules judge.
#[test]
fn a_host_may_be_a_server() {
    assert_eq!(Scene::host().sends(&udp(SERVER, 67, EVERYBODY, 68)), TO_THE_RULES);
}

/// D04, D05
#[test]
fn a_client_with_a_spoofed_address_is_spoofed() {
    let mut guest = Scene::guest();
    assert_eq!(guest.sends(&udp(NEIGHBOUR, 68, EVERYBODY, 67)), SPOOFED_ADDRESS);
    assert_eq!(guest.sends(&by(STRANGER, udp(OWN, 68, EVERYBODY, 67))), SPOOFED_MAC);
    guest.iface.flags |= flag::EUI64_ONLY;
    assert_eq!(guest.sends(&udp(LINK_LOCAL, 546, SERVERS, 547)), SPOOFED_ADDRESS);
    assert_eq!(guest.sends(&udp(EUI64, 546, SERVERS, 547)), INFRASTRUCTURE);
}

/// D07: to one chosen host it would be a tunnel.
#[test]
fn unicast_from_a_client_is_left_to_the_rules() {
    let guest = Scene::guest();
    for chosen in [SERVER, Addr::v4([8, 8, 8, 8]), Addr::v4([10, 0, 0, 255]), Addr::v4([224, 0, 0, 1])] {
        assert_eq!(guest.sends(&udp(OWN, 68, chosen, 67)), TO_THE_RULES);
    }
    for chosen in [NEIGHBOUR_V6, ALL_NODES, v6([0xff05, 0, 0, 0, 0, 0, 1, 3])] {
        assert_eq!(guest.sends(&udp(OWN_V6, 546, chosen, 547)), TO_THE_RULES);
    }
}

/// D07, A11: the same ports the other way round, or one of them only.
#[test]
fn other_ports_and_ways_are_left_to_the_rules() {
    let guest = Scene::guest();
    for (from_port, to_port) in [(67, 67), (68, 68), (68, 53), (1024, 67), (546, 547), (547, 546)] {
        assert_eq!(guest.sends(&udp(OWN, from_port, EVERYBODY, to_port)), TO_THE_RULES);
    }
    for (from_port, to_port) in [(68, 67), (67, 67), (67, 69), (53, 68), (547, 546)] {
        assert_eq!(guest.receives(&udp(SERVER, from_port, OWN, to_port)), TO_THE_RULES);
    }
    let tcp = Packet { protocol: protocol::TCP, ..udp(SERVER, 67, OWN, 68) };
    assert_eq!(guest.receives(&tcp), TO_THE_RULES);
}

/// D08
#[test]
fn fragments_of_dhcp_are_left_to_the_rules() {
    let guest = Scene::guest();
    for part in [Part::First, Part::Later] {
        assert_eq!(guest.sends(&Packet { part, ..udp(OWN, 68, EVERYBODY, 67) }), TO_THE_RULES);
        assert_eq!(guest.receives(&Packet { part, ..udp(SERVER, 67, OWN, 68) }), TO_THE_RULES);
    }
}
