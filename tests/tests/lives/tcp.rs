//! TCP from its first packet to the last that belongs to an open connection.

use super::*;

#[test]
fn tcp_opens_and_goes_on() {
    tell(
        &plane(),
        PORT,
        &[
            ("opened from outside", opened_from_outside),
            ("opened from inside", opened_from_inside),
            ("only a SYN opens", only_a_syn_opens),
            ("repeated SYNs", repeated_syns),
            ("an answer that comes too late", an_answer_too_late),
            ("a challenge", a_challenge),
            ("an old answer", an_old_answer),
            ("data before the handshake ends", data_before_the_handshake_ends),
            ("data again, probes, urgent data", what_an_open_connection_carries),
            ("options", options),
            ("a SYN against the grain", a_syn_against_the_grain),
            ("a SYN again on an open connection", a_syn_again),
            ("idle and kept alive", idle_and_kept_alive),
            ("one packet to itself", one_packet_to_itself),
            ("to its own second address", to_its_own_second_address),
        ],
    );
}

/// T01: a handshake makes one entry, established when the opener confirms the answer.
fn opened_from_outside(life: &Life<'_>) {
    life.enters(&to_guest(SYN));
    life.is("syn-sent", 30);
    life.leaves(&to_peer(SYN | ACK));
    life.is("syn-received", 30);
    life.enters(&to_guest(ACK));
    life.is("established", 600);
    // The guest has no rule of its own for any of this.
    life.is_kept_in(Reason::Default, &Transport::tcp(8080, 40_001, ACK));
}

/// T38: the same from inside.
fn opened_from_inside(life: &Life<'_>) {
    let (out, back) =
        (|flags| Transport::tcp(50_000, 443, flags), |flags| Transport::tcp(443, 50_000, flags));
    life.is_kept_out(Reason::Default, &back(SYN | ACK));
    life.leaves(&out(SYN));
    life.enters(&back(SYN | ACK));
    life.leaves(&out(ACK));
    life.is("established", 600);
    life.leaves(&out(FIN | ACK));
    life.is("fin-wait", 30);
    life.enters(&back(FIN | ACK));
    life.leaves(&out(ACK));
    life.waits(31);
    life.is_kept_out(Reason::Default, &back(ACK));
    life.is_kept_in(Reason::NoConnection, &out(ACK));
}

/// T02, T03, T04, T05, T06, A12: nothing else opens one, allowed port or not.
fn only_a_syn_opens(life: &Life<'_>) {
    for flags in [SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK, ACK | URG] {
        life.is_kept_out(Reason::NoConnection, &to_guest(flags));
        life.is_kept_in(Reason::NoConnection, &Transport::tcp(50_000, 443, flags));
        life.is_kept_out(Reason::Default, &Transport::tcp(40_000, 9, flags));
    }
    for flags in [0, FIN, FIN | PSH | URG, SYN | FIN, SYN | RST, FIN | RST, PSH] {
        life.is_kept_out(Reason::TcpFlags, &to_guest(flags));
        life.is_kept_in(Reason::TcpFlags, &Transport::tcp(50_000, 443, flags));
    }
    life.is_kept_out(Reason::Default, &Transport::tcp(40_000, 9, SYN));
    assert!(life.plane.connections().is_empty());
}

/// T08: each SYN refreshes the one entry.
fn repeated_syns(life: &Life<'_>) {
    for _ in 0..5 {
        life.enters(&to_guest(SYN));
        life.is("syn-sent", 30);
        life.waits(20);
    }
    life.leaves(&to_peer(SYN | ACK));
}

/// T09
fn an_answer_too_late(life: &Life<'_>) {
    life.enters(&to_guest(SYN));
    life.waits(30);
    life.is_kept_in(Reason::Default, &to_peer(SYN | ACK));
}

/// T10: the server of a half-forgotten connection answers a SYN with an ACK, the client resets it and tries again.
fn a_challenge(life: &Life<'_>) {
    life.enters(&to_guest(SYN));
    life.leaves(&to_peer(ACK));
    life.enters(&to_guest(RST));
    life.enters(&to_guest(SYN));
    life.leaves(&to_peer(SYN | ACK));
    life.enters(&to_guest(ACK));
    life.is("established", 600);
}

/// T11: sequence numbers are not followed, so an answer of the past passes, and the right one after it as well.
fn an_old_answer(life: &Life<'_>) {
    life.enters(&to_guest(SYN));
    life.leaves(&to_peer(SYN | ACK));
    life.leaves(&to_peer(SYN | ACK));
    life.enters(&to_guest(ACK));
    life.is("established", 600);
}

/// T13, T31: a server may talk at once, and packets may overtake each other.
fn data_before_the_handshake_ends(life: &Life<'_>) {
    life.enters(&to_guest(SYN));
    life.leaves(&to_peer(SYN | ACK));
    life.leaves(&to_peer(PSH | ACK).payload(b"220 hello"));
    life.enters(&to_guest(PSH | ACK).payload(b"overtook the ACK"));
    life.enters(&to_guest(ACK));
    life.is("established", 600);
}

/// T30, T31, T33: data sent again, keep-alives and window probes pass and refresh; URG is nothing special.
fn what_an_open_connection_carries(life: &Life<'_>) {
    open(life);
    let data = to_guest(PSH | ACK).payload(b"again");
    life.enters(&data);
    life.enters(&data);
    life.leaves(&to_peer(ACK | URG).payload(b"!"));
    for _ in 0..3 {
        life.waits(120);
        life.enters(&to_guest(ACK).payload(&[0]));
        life.leaves(&to_peer(ACK));
        life.is("established", 600);
    }
}

/// T07, T34: data beside the SYN, ECN bits, and options of any kind are a SYN like any other.
fn options(life: &Life<'_>) {
    const ECN: u8 = 0xc0;
    for (port, flags) in (41_000..).zip([SYN | ECN, SYN | PSH, SYN | URG]) {
        life.enters(&Transport::tcp(port, 8080, flags).payload(b"fast open"));
    }
    // MSS; TCP-AO (29); MPTCP (30) with what pads it.
    let kinds: [&[u8]; 3] = [&[2, 4, 5, 0xb4], &[29, 4, 1, 1], &[30, 12, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]];
    for (port, option) in (42_000..).zip(kinds) {
        let mut syn = Transport::tcp(port, 8080, SYN).payload(option);
        syn.bytes[12] = ((20 + option.len()) as u8 / 4) << 4;
        life.enters(&syn);
    }
}

/// T28, A13: an entry is no hole for SYNs of the other side.
fn a_syn_against_the_grain(life: &Life<'_>) {
    open(life);
    life.is_kept_in(Reason::Default, &to_peer(SYN));
    life.is("established", 600);
    life.leaves(&to_peer(ACK));
}

/// T27: the peer has restarted. Its SYN passes, and changes nothing until the connection is over.
fn a_syn_again(life: &Life<'_>) {
    open(life);
    life.enters(&to_guest(SYN));
    life.is("established", 600);
    life.leaves(&to_peer(ACK));
    life.enters(&to_guest(RST));
    open(life);
}

/// T32: ten minutes of silence, or packets now and then.
fn idle_and_kept_alive(life: &Life<'_>) {
    open(life);
    for _ in 0..24 {
        life.waits(300);
        life.enters(&to_guest(ACK));
    }
    life.waits(595);
    life.leaves(&to_peer(ACK));
    life.waits(600);
    life.is_kept_in(Reason::Default, &to_peer(ACK));
}

/// P30: a packet with the same addresses and ports on both sides is not the answer to itself.
fn one_packet_to_itself(life: &Life<'_>) {
    let guest = life.family.guest();
    let land = Ip::new(guest, guest);
    life.goes(INGRESS, &land, &Transport::tcp(8080, 8080, SYN), None);
    life.is("syn-sent", 30);
    life.goes(EGRESS, &land, &Transport::tcp(8080, 8080, SYN), Some(Reason::Default));
    life.is("syn-sent", 30);
}

/// T40: what a guest sends to an address of its own and gets back is judged both times: the first makes no way for the
/// second.
fn to_its_own_second_address(life: &Life<'_>) {
    let ip = Ip::new(life.family.guest(), life.family.router());
    life.goes(EGRESS, &ip, &Transport::tcp(50_000, 443, SYN), None);
    life.goes(INGRESS, &ip, &Transport::tcp(50_000, 443, SYN), Some(Reason::Default));
}

/// T12: both ends open at once, each by its own rule.
#[test]
fn tcp_opens_from_both_sides_at_once() {
    let rules = "- {direction: ingress, protocol: tcp, ports: 8080}\n- {direction: egress, protocol: tcp, ports: 40000}";
    tell(
        &Plane::new(&[PORT], &policy(rules)),
        PORT,
        &[("at once", |life| {
            life.enters(&to_guest(SYN));
            life.leaves(&to_peer(SYN));
            life.leaves(&to_peer(SYN | ACK));
            life.enters(&to_guest(SYN | ACK));
            life.leaves(&to_peer(ACK));
            life.enters(&to_guest(ACK));
            life.is("established", 600);
        })],
    );
}
