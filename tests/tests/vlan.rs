//! VLAN tags of guests, where the sending kernel leaves them beside the frame.

use sg_tests::{
    agent::Agent,
    inject::{IS_LOST, Tap, mark},
    packets::{Ethernet, Ip, Transport},
    topology::{Cable, Topology},
};

const POLICY: &str = "version: 1
security_groups: {guest: {default_policy: {ingress: deny, egress: allow}, rules: []}}
interfaces:
  - {name: tap0, role: guest, groups: [guest], addresses: [10.9.2.2]}
";

/// The kernel of a guest behind a veth hands the tag over beside the frame, where XDP would not see it.
#[test]
fn a_tag_beside_a_frame_is_a_tag() {
    let net = Topology::new(&[
        Cable::new("guest", "tap0").address("10.9.2.2/24").silent(),
        Cable::new("peer", "up0").address("10.9.1.2/24").silent(),
    ]);
    let agent = Agent::new(&net.host);
    agent.apply(POLICY);
    let (guest, peer) = (net.machine("guest"), net.machine("peer"));
    // What comes in on a cable has its tag put beside it, and a bridge leaves it there.
    guest.ns.ip("link add inner type veth peer name port
         link add bridge0 type bridge
         link set port master bridge0
         link set eth0 master bridge0
         link set inner up
         link set port up
         link set bridge0 up");
    let outside = Tap::open(&peer.ns, "eth0");
    let send = |tags: Vec<(u16, u16)>, mark: [u8; 8]| {
        let ip = Ip::new(guest.v4(), peer.v4());
        let transport = Transport::udp(40_000, 9).payload(&mark);
        let ethernet = Ethernet { tags, ..Ethernet::new(guest.mac, guest.gateway_mac) };
        Tap::open(&guest.ns, "inner").send(&ethernet.ip(&ip, &transport));
        outside.receive(mark, IS_LOST).is_some()
    };
    agent.expect_drop("tap0", "egress", "vlan", || assert!(!send(vec![(0x8100, 5)], mark())));
    assert!(send(Vec::new(), mark()), "without the tag");
}
