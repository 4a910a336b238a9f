//! New connections are refused when there is no room; those that are there stay.

use sg_tests::{
    packets::{
        Transport,
        flag::{ACK, SYN},
    },
    wire::{Family, PORT, Wire},
};

const POLICY: &str = "
settings: {conntrack: {max_entries: 1024, max_per_interface: 64}}
security_groups:
  guest:
    default_policy: {ingress: deny, egress: deny}
    rules: [{direction: ingress, protocol: tcp, ports: 80}, {direction: ingress, protocol: udp, ports: 53}]
";

/// C01, C02
#[test]
fn an_interface_that_used_up_its_share_keeps_what_it_has() {
    let wire = Wire::new(POLICY);
    let (inward, outward) = (Family::V4.inward(), Family::V4.outward());
    wire.enters(&inward, &Transport::tcp(40_000, 80, SYN));
    wire.leaves(&outward, &Transport::tcp(80, 40_000, SYN | ACK));
    wire.enters(&inward, &Transport::tcp(40_000, 80, ACK));
    for port in 1..64 {
        wire.enters(&inward, &Transport::udp(50_000 + port, 53));
    }
    assert_eq!(wire.agent.status().conntrack.entries, 64);
    wire.is_kept_out("interface-full", &inward, &Transport::udp(51_000, 53));
    wire.is_kept_out("interface-full", &inward, &Transport::tcp(51_000, 80, SYN));
    wire.leaves(&outward, &Transport::tcp(80, 40_000, ACK));
    // Room again, once the datagrams are forgotten.
    wire.clock().advance_seconds(31);
    wire.enters(&inward, &Transport::udp(51_000, 53));
    wire.leaves(&outward, &Transport::tcp(80, 40_000, ACK));
}

/// T36, A18
#[test]
fn a_flood_of_denied_packets_leaves_nothing() {
    let wire = Wire::new(POLICY);
    let drops = wire.agent.drops_during(|| {
        for port in 0..200 {
            wire.send_in(&Family::V6.inward().carry(&Transport::tcp(20_000 + port, 81, SYN)));
        }
        // The last of them, followed to its end.
        wire.is_lost(&Family::V6.inward(), &Transport::tcp(30_000, 81, SYN));
    });
    assert_eq!(drops.len(), 1);
    assert_eq!(
        (drops[0].interface.as_str(), drops[0].reason.as_str(), drops[0].count),
        (PORT, "default", 201)
    );
    assert_eq!(wire.agent.status().conntrack.entries, 0);
}
