//! Networks that the groups do not apply to.

use super::*;

const EXEMPT: Outcome = Ok(Some(Stage::Exempt));

/// A guest with 192.168.0.0/16 and fd99::/32 exempt.
fn guest() -> Scene {
    let mut guest = Scene::guest();
    guest.iface.exempt[0] = guest.tree(&[(0xc0a8_0000, 0xc0a8_ffff, 1)]).0;
    guest.iface.exempt[1] = guest.tree(&[(0xfd99_0000, 0xfd99_0000, 1)]).0;
    guest
}

#[test]
fn the_other_end_decides() {
    let guest = guest();
    for (remote, own) in [(Addr::v4([192, 168, 7, 7]), OWN), (v6([0xfd99, 0, 1, 2, 3, 4, 5, 6]), OWN_V6)] {
        assert_eq!(guest.sends(&Packet { dst: remote, ..from(own) }), EXEMPT);
        assert_eq!(guest.receives(&Packet { dst: own, ..from(remote) }), EXEMPT);
    }
}

#[test]
fn what_lies_beside_is_not_exempt() {
    let guest = guest();
    for remote in [[192, 167, 255, 255], [192, 169, 0, 0], [10, 0, 0, 6]].map(Addr::v4) {
        assert_eq!(guest.sends(&Packet { dst: remote, ..from(OWN) }), TO_THE_RULES);
        assert_eq!(guest.receives(&Packet { dst: OWN, ..from(remote) }), TO_THE_RULES);
    }
    assert_eq!(guest.sends(&Packet { dst: v6([0xfd99, 1, 0, 0, 0, 0, 0, 1]), ..from(OWN_V6) }), TO_THE_RULES);
}

/// An exempt local address exempts nothing.
#[test]
fn the_own_end_does_not_decide() {
    let mut guest = guest();
    guest.iface.exempt[0] = guest.tree(&[(0x0a00_0005, 0x0a00_0005, 1)]).0;
    assert_eq!(guest.sends(&from(OWN)), TO_THE_RULES);
    assert_eq!(guest.receives(&Packet { dst: OWN, ..from(NEIGHBOUR) }), TO_THE_RULES);
}

/// Spoofing, and what a guest may never send, come first.
#[test]
fn an_exempt_network_excuses_nothing() {
    let guest = guest();
    let remote = Addr::v4([192, 168, 7, 7]);
    assert_eq!(guest.sends(&Packet { dst: remote, ..from(NEIGHBOUR) }), SPOOFED_ADDRESS);
    assert_eq!(guest.sends(&by(STRANGER, Packet { dst: remote, ..from(OWN) })), SPOOFED_MAC);
    assert_eq!(guest.sends(&udp(OWN, 67, remote, 68)), Err(Reason::DhcpServer));
}

#[test]
fn without_exempt_networks_nothing_is_exempt() {
    let packet = Packet { dst: Addr::v4([192, 168, 7, 7]), ..from(OWN) };
    assert_eq!(Scene::guest().sends(&packet), TO_THE_RULES);
}
