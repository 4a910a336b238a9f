//! Datagrams in pieces: the first is judged, the later ones follow it.

use sg_tests::{
    inject::mark,
    packets::{Ip, Transport},
    wire::{Family, Wire},
};

const POLICY: &str = "
security_groups:
  guest:
    default_policy: {ingress: deny, egress: deny}
    rules:
      - {direction: ingress, protocol: udp, ports: 5353}
      - {direction: ingress, protocol: gre}
";

/// The pieces of a datagram to `port`, each with its mark.
fn pieces(ip: &Ip, port: u16) -> Vec<(Vec<u8>, [u8; 8])> {
    let marks = [mark(), mark(), mark()];
    // Each piece carries 800 bytes and ends with its mark.
    let mut payload = vec![0; 2400 - 8];
    for (i, mark) in marks.iter().enumerate() {
        let end = (i + 1) * 800 - 8;
        payload[end - 8..end].copy_from_slice(mark);
    }
    ip.fragments(&Transport::udp(40_000, port).payload(&payload), 800).into_iter().zip(marks).collect()
}

/// F01, F14
#[test]
fn later_fragments_follow_an_allowed_first() {
    Wire::for_both(POLICY, |wire, family| {
        for (piece, mark) in pieces(&Ip { id: 77, ..family.inward() }, 5353) {
            assert!(wire.get_in(&piece, mark, true));
        }
    });
}

/// F02
#[test]
fn later_fragments_follow_a_dropped_first() {
    Wire::for_both(POLICY, |wire, family| {
        // Nothing is remembered of what was dropped: each piece is judged by itself.
        for (piece, mark) in pieces(&Ip { id: 77, ..family.inward() }, 9) {
            wire.stays_out("default", &piece, mark);
        }
    });
}

/// F03, F23, A3
#[test]
fn a_later_fragment_without_a_first_needs_a_rule_without_ports() {
    Wire::for_both(POLICY, |wire, family| {
        let ip = Ip { id: 78, ..family.inward() };
        let (piece, udp) = pieces(&ip, 5353).remove(1);
        wire.stays_out("default", &piece, udp);
        let gre = mark();
        assert!(wire.get_in(&ip.fragment(47, 800, false, &gre), gre, true));
    });
}

/// F08, A2
#[test]
fn a_second_first_fragment_is_dropped() {
    Wire::for_both(POLICY, |wire, family| {
        let ip = Ip { id: 79, ..family.inward() };
        let (first, seen) = pieces(&ip, 5353).remove(0);
        assert!(wire.get_in(&first, seen, true));
        let (again, unseen) = pieces(&ip, 9).remove(0);
        wire.stays_out("bad-fragment", &again, unseen);
    });
}

/// F10
#[test]
fn a_first_fragment_is_remembered_for_half_a_minute() {
    Wire::for_both(POLICY, |wire, family| {
        let pieces = pieces(&Ip { id: 80, ..family.inward() }, 5353);
        assert!(wire.get_in(&pieces[0].0, pieces[0].1, true));
        let mut clock = wire.clock();
        clock.advance_seconds(27);
        assert!(wire.get_in(&pieces[1].0, pieces[1].1, true));
        clock.advance_seconds(4);
        wire.stays_out("default", &pieces[2].0, pieces[2].1);
    });
}

/// F12, A4
#[test]
fn the_same_identification_from_somebody_else_is_another_datagram() {
    Wire::for_both(POLICY, |wire, family| {
        let (first, seen) = pieces(&Ip { id: 81, ..family.inward() }, 5353).remove(0);
        assert!(wire.get_in(&first, seen, true));
        let stranger = Ip { id: 81, ..Ip::new(family.router(), family.guest()) };
        let (later, unseen) = pieces(&stranger, 5353).remove(1);
        wire.stays_out("default", &later, unseen);
    });
}

/// Errors fit the smallest MTU, so nobody has to remember the first fragment of one.
#[test]
fn an_error_in_fragments_is_about_what_its_first_quotes() {
    Wire::for_both(POLICY, |wire, family| {
        wire.enters(&family.inward(), &Transport::udp(40_000, 5353));
        let quoted = family.inward().carry(&Transport::udp(40_000, 5353).payload(&[0; 16]));
        let error = match family {
            Family::V4 => Transport::icmp(3, 3, [0; 4]),
            Family::V6 => Transport::icmpv6(1, 4, [0; 4]),
        };
        // The first fragment has the whole quote and a mark, the second another mark.
        let (first, second) = (mark(), mark());
        let filling = vec![0; quoted.len().next_multiple_of(8) - quoted.len()];
        let error = error.payload(&[&quoted[..], &filling, &first, &second].concat());
        let size = error.bytes.len() - second.len();
        let pieces = Ip { id: 82, ..family.outward() }.fragments(&error, size);
        assert!(wire.get_out(&pieces[0], first, true));
        wire.agent.expect_drop("tap0", "egress", "default", || {
            assert!(!wire.get_out(&pieces[1], second, false));
        });
    });
}

/// 68 datagrams a second would otherwise fill an interface's share for good, and a number that comes again would be
/// refused.
#[test]
fn a_datagram_that_came_whole_is_forgotten() {
    Wire::for_both(POLICY, |wire, family| {
        let ip = Ip { id: 82, ..family.inward() };
        for _ in 0..2 {
            for (piece, mark) in pieces(&ip, 5353) {
                assert!(wire.get_in(&piece, mark, true));
            }
        }
        let (stray, unseen) = pieces(&ip, 5353).remove(1);
        assert!(!wire.get_in(&stray, unseen, false), "of a datagram that nobody has seen the start of");
    });
}

#[test]
fn a_fragment_that_others_have_overtaken_still_passes() {
    Wire::for_both(POLICY, |wire, family| {
        let ip = Ip { id: 83, ..family.inward() };
        let pieces_in = |order: [usize; 3]| {
            let pieces = pieces(&ip, 5353);
            for (piece, mark) in order.map(|at| &pieces[at]) {
                assert!(wire.get_in(piece, *mark, true), "{order:?}");
            }
        };
        pieces_in([0, 2, 1]);
        wire.clock().advance_seconds(3);
        pieces_in([0, 1, 2]);
    });
}

/// A last fragment ends what is remembered of its own datagram only, and only if it is in its place.
#[test]
fn a_last_fragment_does_not_end_a_datagram_with_gaps() {
    Wire::for_both(POLICY, |wire, family| {
        let pieces = pieces(&Ip { id: 84, ..family.inward() }, 5353);
        for at in [0, 2] {
            assert!(wire.get_in(&pieces[at].0, pieces[at].1, true));
        }
        wire.clock().advance_seconds(27);
        assert!(wire.get_in(&pieces[1].0, pieces[1].1, true));
    });
}
