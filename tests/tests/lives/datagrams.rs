//! UDP, SCTP and protocols without ports.

use super::*;
use sg_tests::wire::Family;

#[test]
fn datagrams_and_their_answers() {
    tell(
        &plane(),
        PORT,
        &[
            ("asked from outside", asked_from_outside),
            ("asked from inside", asked_from_inside),
            ("nothing but what was asked for", nothing_but_what_was_asked_for),
            ("two questions from one socket", two_questions),
            ("one way", one_way),
            ("port 0", port_zero),
            ("no checksum", no_checksum),
            ("to a group", to_a_group),
            ("UDP-Lite", udp_lite),
            ("another port of the client", another_port_of_the_client),
            ("GRE", gre),
            ("SCTP", sctp),
            ("other protocols", other_protocols),
            ("tunnels", tunnels),
        ],
    );
}

fn question() -> Transport {
    Transport::udp(40_000, 5353)
}

fn answer() -> Transport {
    Transport::udp(5353, 40_000)
}

/// U01, U05, U07: an answer needs no rule; from then on either side keeps the entry.
fn asked_from_outside(life: &Life<'_>) {
    life.is_kept_in(Reason::Default, &answer());
    life.enters(&question());
    life.is("one-way", 30);
    life.leaves(&answer());
    life.is("two-way", 180);
    life.waits(170);
    life.enters(&question());
    life.waits(170);
    life.leaves(&answer());
    life.is("two-way", 180);
    life.waits(180);
    life.is_kept_in(Reason::Default, &answer());
}

/// U03
fn asked_from_inside(life: &Life<'_>) {
    life.is_kept_out(Reason::Default, &Transport::udp(53, 40_000));
    life.leaves(&Transport::udp(40_000, 53));
    life.enters(&Transport::udp(53, 40_000));
    life.is_kept_out(Reason::Default, &Transport::udp(54, 40_000));
    life.is_kept_out(Reason::Default, &Transport::udp(53, 40_001));
}

/// U02, A11: the port that a packet comes from allows nothing.
fn nothing_but_what_was_asked_for(life: &Life<'_>) {
    life.is_kept_out(Reason::Default, &Transport::udp(40_000, 9));
    for source in [53, 67, 80, 5353] {
        life.is_kept_out(Reason::Default, &Transport::udp(source, 9));
        life.is_kept_out(Reason::Default, &Transport::tcp(source, 9, SYN));
    }
    assert!(life.plane.connections().is_empty());
}

/// U08
fn two_questions(life: &Life<'_>) {
    for _ in 0..2 {
        life.leaves(&Transport::udp(40_000, 53));
    }
    for _ in 0..2 {
        life.enters(&Transport::udp(53, 40_000));
    }
}

/// U04, U06: one side alone keeps an entry and never makes it a conversation.
fn one_way(life: &Life<'_>) {
    for _ in 0..15 {
        life.enters(&question());
        life.is("one-way", 30);
        life.waits(20);
    }
    life.waits(10);
    life.is_kept_in(Reason::Default, &answer());
}

/// U09, A30: port 0 is a port. Its entry is nobody else's.
fn port_zero(life: &Life<'_>) {
    life.is_kept_out(Reason::Default, &Transport::tcp(40_000, 0, SYN));
    life.enters(&Transport::udp(0, 0));
    life.leaves(&Transport::udp(0, 0));
    life.is_kept_in(Reason::Default, &Transport::udp(0, 40_000));
    life.is_kept_in(Reason::Default, &Transport::udp(5353, 0));
}

/// U10: allowed in IPv4; in IPv6 the receiver's business.
fn no_checksum(life: &Life<'_>) {
    let mut datagram = life.family.inward().carry(&question());
    let sum = datagram.len() - 2;
    datagram[sum..].copy_from_slice(&[0, 0]);
    life.goes_as(INGRESS, &datagram, None);
    life.leaves(&answer());
}

/// U12, P43, A29: what is sent to a group is judged by the rules, and an answer from one of its members is not its
/// answer.
fn to_a_group(life: &Life<'_>) {
    let group = match life.family {
        Family::V4 => "239.1.2.3",
        Family::V6 => "ff05::123",
    };
    let out = Ip::new(life.family.guest(), group.parse().expect("a group"));
    life.goes(EGRESS, &out, &Transport::udp(40_000, 53), None);
    life.goes(EGRESS, &out, &Transport::udp(40_000, 54), Some(Reason::Default));
    life.is_kept_out(Reason::Default, &Transport::udp(53, 40_000));
    let back = Ip::new(group.parse().expect("a group"), life.family.guest());
    life.goes(INGRESS, &back, &Transport::udp(53, 40_000), None);
}

/// U11, X10: a protocol of its own, whose ports are not UDP's, as UDP's are not TCP's.
fn udp_lite(life: &Life<'_>) {
    life.is_kept_out(Reason::Default, &Transport::raw(136, &question().bytes));
    life.is_kept_out(Reason::Default, &Transport::udp(40_000, 8080));
    life.is_kept_out(Reason::Default, &Transport::tcp(40_000, 5353, SYN));
}

/// U15: a client that moves to another port is a new one.
fn another_port_of_the_client(life: &Life<'_>) {
    life.leaves(&Transport::udp(40_000, 53));
    life.enters(&Transport::udp(53, 40_000));
    life.is_kept_out(Reason::Default, &Transport::udp(61_000, 40_000));
    life.enters(&Transport::udp(40_000, 5353));
    assert_eq!(life.plane.connections().len(), 2);
}

/// X01, X02, X07, X09: GRE is known by its addresses; what is inside it, keys included, is nobody's concern.
fn gre(life: &Life<'_>) {
    let key = |key: u8| Transport::raw(47, &[0x20, 0, 8, 0, 0, 0, 0, key]);
    life.is_kept_in(Reason::Default, &key(1));
    life.enters(&key(1));
    life.is("one-way", 30);
    life.leaves(&key(2));
    life.is("two-way", 180);
    life.waits(175);
    life.enters(&key(3));
    life.waits(180);
    life.is_kept_in(Reason::Default, &key(1));
}

/// X03, X04: SCTP's ports count, its chunks do not; a second address of the peer needs a rule of its own.
fn sctp(life: &Life<'_>) {
    life.is_kept_out(Reason::Default, &Transport::sctp(40_000, 3367));
    life.enters(&Transport::sctp(40_000, 3366));
    life.leaves(&Transport::sctp(3366, 40_000));
    life.is("two-way", 180);
    life.is_kept_in(Reason::Default, &Transport::sctp(3366, 40_001));
    let second = Ip::new(life.family.guest(), life.family.router());
    life.goes(EGRESS, &second, &Transport::sctp(3366, 40_000), Some(Reason::Default));
}

/// X05, X06, X08, A23, A30: every number is itself: none stands for any other, 0 and 255 included.
fn other_protocols(life: &Life<'_>) {
    let v6 = life.family == Family::V6;
    // Over IPv6, 0, 43, 44 and 60 are extension headers; the rest of those missing have headers of their own.
    let walked = |number: u8| v6 && matches!(number, 0 | 43 | 44 | 60);
    let known = |number: u8| matches!(number, 1 | 2 | 6 | 17 | 47 | 58 | 132);
    for number in (0..=255).filter(|number| !walked(*number) && !known(*number)) {
        life.is_kept_out(Reason::Default, &Transport::raw(number, &[0x45; 40]));
        life.is_kept_in(Reason::Default, &Transport::raw(number, &[0x45; 40]));
    }
    assert!(life.plane.connections().is_empty());
}

/// X07, A23: an allowed packet inside one that no rule allows stays where it is.
fn tunnels(life: &Life<'_>) {
    let inner = life.family.inward().carry(&to_guest(SYN));
    let number = if life.family == Family::V4 { 4 } else { 41 };
    life.is_kept_out(Reason::Default, &Transport::raw(number, &inner));
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0], &[2; 14][..], &inner].concat();
    life.is_kept_out(Reason::Default, &Transport::udp(40_000, 4789).payload(&vxlan));
}
