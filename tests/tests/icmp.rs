//! Pings, and the errors that belong to a connection.

use sg_tests::{
    packets::{Ip, Transport},
    wire::{Family, Wire},
};

/// The guest may ping and send to port 53; nobody may ping it.
const POLICY: &str = "
security_groups:
  guest:
    default_policy: {ingress: deny, egress: deny}
    rules:
      - {direction: egress, service: ping}
      - {direction: egress, protocol: udp, ports: 53}
";

/// An error of either family: unreachable port, time exceeded, packet too big.
fn errors(family: Family) -> [(u8, u8, [u8; 4]); 3] {
    match family {
        Family::V4 => [(3, 3, [0; 4]), (11, 0, [0; 4]), (3, 4, [0, 0, 5, 0])],
        Family::V6 => [(1, 4, [0; 4]), (3, 0, [0; 4]), (2, 0, [0, 0, 5, 0])],
    }
}

fn error(family: Family, (kind, code, rest): (u8, u8, [u8; 4]), quoted: &[u8]) -> Transport {
    let message = match family {
        Family::V4 => Transport::icmp(kind, code, rest),
        Family::V6 => Transport::icmpv6(kind, code, rest),
    };
    message.payload(quoted)
}

/// A datagram from the guest to port 53, as an error would quote it.
fn query(family: Family, port: u16) -> Vec<u8> {
    family.outward().carry(&Transport::udp(port, 53))
}

/// I01, I02, I03, I22
#[test]
fn a_reply_needs_its_own_request() {
    Wire::for_both(POLICY, |wire, family| {
        let (inward, outward) = (family.inward(), family.outward());
        wire.is_kept_out("default", &inward, &Transport::pong(family.peer(), 7));
        wire.leaves(&outward, &Transport::ping(family.peer(), 7));
        wire.enters(&inward, &Transport::pong(family.peer(), 7));
        wire.enters(&inward, &Transport::pong(family.peer(), 7));
        wire.is_kept_out("default", &inward, &Transport::pong(family.peer(), 8));
        wire.clock().advance_seconds(31);
        wire.is_kept_out("default", &inward, &Transport::pong(family.peer(), 7));
    });
}

/// I04, A17
#[test]
fn a_request_never_rides_on_a_replys_entry() {
    Wire::for_both(POLICY, |wire, family| {
        wire.leaves(&family.outward(), &Transport::ping(family.peer(), 7));
        wire.enters(&family.inward(), &Transport::pong(family.peer(), 7));
        wire.is_kept_out("default", &family.inward(), &Transport::ping(family.peer(), 7));
    });
}

/// I03
#[test]
fn a_reply_is_never_new() {
    let wire = Wire::new(
        "
security_groups:
  guest:
    rules:
      - {direction: ingress, protocol: icmp}
      - {direction: ingress, protocol: icmpv6}
",
    );
    for family in Family::BOTH {
        wire.is_kept_out("no-connection", &family.inward(), &Transport::pong(family.peer(), 7));
    }
}

/// I06, I08, I09, I20, I21
#[test]
fn errors_about_a_connection_pass_from_any_router() {
    Wire::for_both(POLICY, |wire, family| {
        wire.leaves(&family.outward(), &Transport::udp(40_000, 53));
        let from_router = Ip::new(family.router(), family.guest());
        for kind in errors(family) {
            wire.enters(&family.inward(), &error(family, kind, &query(family, 40_000)));
            wire.enters(&from_router, &error(family, kind, &query(family, 40_000)));
        }
        assert_eq!(wire.agent.status().conntrack.entries, 1);
    });
}

/// I07, A16
#[test]
fn errors_about_nothing_are_dropped() {
    Wire::for_both(POLICY, |wire, family| {
        wire.leaves(&family.outward(), &Transport::udp(40_000, 53));
        for kind in errors(family) {
            wire.is_kept_out("default", &family.inward(), &error(family, kind, &query(family, 40_001)));
        }
    });
}

/// I13, I17, I18, I19
#[test]
fn an_error_goes_to_the_sender_of_what_it_quotes() {
    Wire::for_both(POLICY, |wire, family| {
        wire.leaves(&family.outward(), &Transport::udp(40_000, 53));
        // The quoted packet goes to the guest, so its error is the peer's to get.
        let answer = family.inward().carry(&Transport::udp(53, 40_000));
        wire.is_kept_out("default", &family.inward(), &error(family, errors(family)[0], &answer));
        wire.leaves(&family.outward(), &error(family, errors(family)[0], &answer));
        // Nobody else gets it.
        let elsewhere = Ip::new(family.guest(), family.router());
        wire.is_kept_in("default", &elsewhere, &error(family, errors(family)[0], &answer));
    });
}

/// I16
#[test]
fn an_error_neither_makes_nor_refreshes_an_entry() {
    Wire::for_both(POLICY, |wire, family| {
        wire.leaves(&family.outward(), &Transport::udp(40_000, 53));
        let mut clock = wire.clock();
        clock.advance_seconds(20);
        wire.enters(&family.inward(), &error(family, errors(family)[0], &query(family, 40_000)));
        assert_eq!(wire.entry().1, 10);
        clock.advance_seconds(11);
        wire.is_kept_out(
            "default",
            &family.inward(),
            &error(family, errors(family)[0], &query(family, 40_000)),
        );
    });
}

/// I11, I12
#[test]
fn a_quote_may_be_cut_after_eight_bytes_and_have_options() {
    let wire = Wire::new(POLICY);
    wire.leaves(&Family::V4.outward(), &Transport::udp(40_000, 53));
    let kind = errors(Family::V4)[0];
    let with_options = Ip { options: vec![1; 8], ..Family::V4.outward() }.carry(&Transport::udp(40_000, 53));
    wire.enters(&Family::V4.inward(), &error(Family::V4, kind, &with_options));
    // Without ports there is nothing to find the connection by.
    let cut = &query(Family::V4, 40_000)[..22];
    let message = error(Family::V4, kind, cut);
    let datagram = Family::V4.inward().carry(&message);
    let mark = datagram[datagram.len() - 8..].try_into().expect("eight bytes");
    wire.stays_out("default", &datagram, mark);
}

/// Everybody may send ICMP to the guest, which may send nothing.
const OPEN: &str = "
security_groups:
  guest:
    default_policy: {ingress: deny, egress: deny}
    rules:
      - {direction: ingress, protocol: icmp}
      - {direction: ingress, protocol: icmpv6}
";

fn message(family: Family, kind: u8, code: u8) -> Transport {
    error(family, (kind, code, [0, 7, 0, 1]), &[0; 16])
}

#[test]
fn other_icmp_is_for_the_rules_alone() {
    Wire::for_both(OPEN, |wire, family| {
        let pairs = if family == Family::V4 { [(30, 31), (42, 43)] } else { [(139, 140), (200, 201)] };
        for (request, reply) in pairs {
            wire.enters(&family.inward(), &message(family, request, 0));
            wire.is_kept_in("default", &family.outward(), &message(family, reply, 0));
        }
        assert_eq!(wire.agent.status().conntrack.entries, 0);
    });
}

#[test]
fn only_code_0_asks_or_answers() {
    Wire::for_both(OPEN, |wire, family| {
        let (request, reply) = if family == Family::V4 { (8, 0) } else { (128, 129) };
        wire.enters(&family.inward(), &message(family, request, 1));
        assert_eq!(wire.agent.status().conntrack.entries, 0);
        wire.is_kept_in("default", &family.outward(), &message(family, reply, 1));
        wire.enters(&family.inward(), &message(family, reply, 1));
        wire.is_kept_out("no-connection", &family.inward(), &message(family, reply, 0));
    });
}

#[test]
fn an_error_about_nothing_is_for_the_rules() {
    Wire::for_both(OPEN, |wire, family| {
        for kind in errors(family) {
            wire.enters(&family.inward(), &error(family, kind, &query(family, 40_000)));
        }
        assert_eq!(wire.agent.status().conntrack.entries, 0);
    });
}
