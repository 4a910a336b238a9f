//! Datagrams in pieces, beyond what `fragments.rs` tells of wires.

use sg_tests::wire::Family;

use super::*;

#[test]
fn datagrams_in_pieces() {
    tell(
        &plane(),
        PORT,
        &[
            ("in order", in_order),
            ("overtaken", overtaken),
            ("of a denied datagram", of_a_denied_datagram),
            ("the last before the first", the_last_before_the_first),
            ("small first pieces", small_first_pieces),
            ("pieces over pieces", pieces_over_pieces),
            ("another first piece", another_first_piece),
            ("the same number, another protocol", another_protocol),
            ("somebody else's number", somebody_elses_number),
            ("half a minute", half_a_minute),
            ("pieces that nobody makes", pieces_that_nobody_makes),
            ("a single piece", a_single_piece),
            ("headers around the fragment header", headers_around),
            ("an answer in pieces", an_answer_in_pieces),
            ("pings in pieces", pings_in_pieces),
            ("GRE in pieces", gre_in_pieces),
        ],
    );
}

/// What a datagram to `port` carries: UDP header, payload.
fn datagram(port: u16) -> Vec<u8> {
    const HEADER: usize = 20;
    Family::V4.inward().carry(&Transport::udp(40_000, port).payload(&[0x5a; 2_392])).split_off(HEADER)
}

/// A fragment of it from `offset` on.
fn piece(family: Family, id: u32, port: u16, offset: usize) -> Vec<u8> {
    let whole = datagram(port);
    let end = whole.len().min(offset + 800);
    Ip { id, ..family.inward() }.fragment(17, offset, end < whole.len(), &whole[offset..end])
}

fn enters(life: &Life<'_>, piece: &[u8]) {
    life.goes_as(INGRESS, piece, None);
}

fn is_dropped(life: &Life<'_>, reason: Reason, piece: &[u8]) {
    life.goes_as(INGRESS, piece, Some(reason));
}

/// F01, F14
fn in_order(life: &Life<'_>) {
    // A copy of a later one changes nothing.
    for offset in [0, 800, 800, 1_600] {
        enters(life, &piece(life.family, 1, 5353, offset));
    }
    // When all have come, nothing is remembered: a copy has no first, and the number is free.
    for offset in [800, 1_600] {
        is_dropped(life, Reason::Default, &piece(life.family, 1, 5353, offset));
    }
    enters(life, &piece(life.family, 1, 5353, 0));
}

/// F14: copies pass for two seconds more.
fn overtaken(life: &Life<'_>) {
    for offset in [0, 1_600, 800, 800, 1_600] {
        enters(life, &piece(life.family, 24, 5353, offset));
    }
    life.waits(3);
    is_dropped(life, Reason::Default, &piece(life.family, 24, 5353, 800));
}

/// F02, F21: none of its pieces passes, whatever the order.
fn of_a_denied_datagram(life: &Life<'_>) {
    for offset in [1_600, 0, 800, 1_600] {
        is_dropped(life, Reason::Default, &piece(life.family, 2, 9, offset));
    }
}

/// F03, F04, A3: a later piece waits for nobody: before its first it is dropped, after it it passes.
fn the_last_before_the_first(life: &Life<'_>) {
    is_dropped(life, Reason::Default, &piece(life.family, 3, 5353, 1_600));
    enters(life, &piece(life.family, 3, 5353, 0));
    enters(life, &piece(life.family, 3, 5353, 1_600));
}

/// F05, A1: a first piece must have the whole transport header.
fn small_first_pieces(life: &Life<'_>) {
    let ip = Ip { id: 4, ..life.family.inward() };
    enters(life, &ip.fragment(17, 0, true, &datagram(5353)[..8]));
    for length in [8, 16] {
        is_dropped(life, Reason::BadFragment, &ip.fragment(6, 0, true, &to_guest(SYN).bytes[..length]));
    }
}

/// F06, F07, A1, A2: none overwrites a header that has been judged.
fn pieces_over_pieces(life: &Life<'_>) {
    let ip = Ip { id: 5, ..life.family.inward() };
    let syn = to_guest(SYN).payload(&[0; 12]);
    enters(life, &ip.fragment(6, 0, true, &syn.bytes));
    is_dropped(life, Reason::BadFragment, &ip.fragment(6, 8, false, &[0; 16]));
    is_dropped(life, Reason::BadFragment, &ip.fragment(6, 0, true, &syn.bytes));
    is_dropped(
        life,
        Reason::BadFragment,
        &ip.fragment(6, 0, true, &Transport::tcp(40_000, 9, SYN).payload(&[0; 4]).bytes),
    );
}

/// F08, A2: a second first piece, with another port, is dropped and judges nothing.
fn another_first_piece(life: &Life<'_>) {
    enters(life, &piece(life.family, 6, 5353, 0));
    is_dropped(life, Reason::BadFragment, &piece(life.family, 6, 9, 0));
    enters(life, &piece(life.family, 6, 5353, 800));
}

/// F09
fn another_protocol(life: &Life<'_>) {
    enters(life, &piece(life.family, 7, 5353, 0));
    let other = Ip { id: 7, ..life.family.inward() }.fragment(132, 800, false, &[0; 80]);
    is_dropped(life, Reason::Default, &other);
}

/// F12, A4: numbers belong to their sender.
fn somebody_elses_number(life: &Life<'_>) {
    enters(life, &piece(life.family, 8, 5353, 0));
    let ip = Ip { id: 8, ..Ip::new(life.family.router(), life.family.guest()) };
    is_dropped(life, Reason::Default, &ip.fragment(17, 800, false, &[0; 80]));
    is_dropped(life, Reason::Default, &piece(life.family, 9, 5353, 800));
}

/// F10
fn half_a_minute(life: &Life<'_>) {
    enters(life, &piece(life.family, 10, 5353, 0));
    life.waits(28);
    enters(life, &piece(life.family, 10, 5353, 800));
    // Following does not refresh.
    life.waits(2);
    is_dropped(life, Reason::Default, &piece(life.family, 10, 5353, 1_600));
}

/// F13
fn pieces_that_nobody_makes(life: &Life<'_>) {
    let ip = Ip { id: 11, ..life.family.inward() };
    is_dropped(life, Reason::BadFragment, &ip.fragment(17, 0, true, &datagram(5353)[..20]));
    is_dropped(life, Reason::BadFragment, &ip.fragment(17, 65_528, false, &[0; 16]));
    if life.family == Family::V4 {
        let flagged = |bits: u8| {
            let mut first = piece(life.family, 12, 5353, 0);
            first[6] |= bits;
            first
        };
        is_dropped(life, Reason::BadFragment, &flagged(0x40));
        is_dropped(life, Reason::Malformed, &flagged(0x80));
    }
}

/// F15: a fragment header around a whole packet changes nothing.
fn a_single_piece(life: &Life<'_>) {
    if life.family == Family::V6 {
        let ip = Ip { id: 13, ..life.family.inward() };
        enters(life, &ip.fragment(6, 0, false, &to_guest(SYN).bytes));
        is_dropped(life, Reason::Default, &ip.fragment(6, 0, false, &Transport::tcp(40_000, 9, SYN).bytes));
        enters(life, &ip.fragment(6, 0, false, &to_guest(SYN).bytes));
        life.leaves(&to_peer(SYN | ACK));
    }
}

/// F16, F17, A6: headers before the fragment header are walked, as are those behind it; the chain must end in the first
/// piece, and there is one fragment header at most.
fn headers_around(life: &Life<'_>) {
    use sg_tests::packets::{extension, padding};
    if life.family == Family::V4 {
        return;
    }
    let before = Ip { id: 14, extensions: vec![(extension::HOP_BY_HOP, padding(1))], ..life.family.inward() };
    // Next header, length, padding: then UDP.
    let behind = |port| [&[17, 0][..], &padding(1), &datagram(port)[..800]].concat();
    enters(life, &before.fragment(extension::DESTINATION, 0, true, &behind(5353)));
    let other = Ip { id: 15, ..before.clone() };
    is_dropped(life, Reason::Default, &other.fragment(extension::DESTINATION, 0, true, &behind(9)));
    is_dropped(
        life,
        Reason::BadFragment,
        &other.fragment(extension::DESTINATION, 0, true, &behind(5353)[..8]),
    );
    let twice = [&[17, 0, 0, 1, 0, 0, 0, 99][..], &datagram(5353)[..800]].concat();
    is_dropped(life, Reason::BadFragment, &other.fragment(extension::FRAGMENT, 0, true, &twice));
}

/// F19: what belongs to a connection needs no rule in pieces either.
fn an_answer_in_pieces(life: &Life<'_>) {
    life.leaves(&Transport::udp(40_000, 53));
    let answer = Transport::udp(53, 40_000).payload(&[0x5a; 1_592]);
    let ip = Ip { id: 16, ..life.family.inward() };
    for piece in ip.fragments(&answer, 800) {
        enters(life, &piece);
    }
    let unasked = Transport::udp(53, 40_001).payload(&[0x5a; 1_592]);
    for piece in (Ip { id: 17, ..ip }).fragments(&unasked, 800) {
        is_dropped(life, Reason::Default, &piece);
    }
}

/// F18: a ping in pieces, the last shorter than an ICMP header.
fn pings_in_pieces(life: &Life<'_>) {
    let ping = Transport::ping(life.family.peer(), 7).payload(&[0x5a; 1_596]);
    let out = Ip { id: 18, ..life.family.outward() };
    for piece in out.fragments(&ping, 800) {
        life.goes_as(EGRESS, &piece, None);
    }
    let pong = Transport::pong(life.family.peer(), 7).payload(&[0x5a; 1_596]);
    for piece in (Ip { id: 18, ..life.family.inward() }).fragments(&pong, 800) {
        enters(life, &piece);
    }
}

/// F23: without ports there is nothing to follow: each piece is judged by the addresses.
fn gre_in_pieces(life: &Life<'_>) {
    let gre = Ip { id: 19, ..life.family.inward() };
    enters(life, &gre.fragment(47, 800, false, &[0; 80]));
    enters(life, &gre.fragment(47, 0, true, &[0; 800]));
    let esp = Ip { id: 20, ..life.family.inward() };
    is_dropped(life, Reason::Default, &esp.fragment(50, 0, true, &[0; 800]));
    is_dropped(life, Reason::Default, &esp.fragment(50, 800, false, &[0; 80]));
}

/// F22: where nothing is tracked, a piece without ports matches only rules without ports.
#[test]
fn stateless_groups_and_pieces() {
    let stateless = policy(RULES).replace("  guest:\n", "  guest:\n    stateful: false\n");
    tell(
        &Plane::new(&[PORT], &stateless),
        PORT,
        &[("stateless", |life| {
            enters(life, &piece(life.family, 21, 5353, 0));
            is_dropped(life, Reason::Default, &piece(life.family, 22, 5353, 800));
            enters(life, &Ip { id: 23, ..life.family.inward() }.fragment(47, 800, false, &[0; 80]));
            assert!(life.plane.connections().is_empty());
        })],
    );
}

/// F21: a change of policy between the pieces: those that follow a first that passed still do, or are dropped with it;
/// those of one that was dropped never pass.
#[test]
fn pieces_across_a_change_of_policy() {
    let mut plane = plane();
    fn life(plane: &Plane) -> Life<'_> {
        Life { plane, device: PORT, family: Family::V4, receive: sg_tests::progrun::Hook::Xdp }
    }
    is_dropped(&life(&plane), Reason::Default, &piece(Family::V4, 30, 9, 0));
    enters(&life(&plane), &piece(Family::V4, 31, 5353, 0));
    plane.apply(&policy("- {direction: ingress, protocol: udp, ports: 9}"));
    is_dropped(&life(&plane), Reason::Default, &piece(Family::V4, 30, 9, 800));
    enters(&life(&plane), &piece(Family::V4, 31, 5353, 800));
    is_dropped(&life(&plane), Reason::Cut, &piece(Family::V4, 32, 5353, 0));
    is_dropped(&life(&plane), Reason::Default, &piece(Family::V4, 32, 5353, 800));
}
