//! How TCP connections end, and what comes after them on the same ports.

use super::*;

#[test]
fn tcp_ends() {
    tell(
        &plane(),
        PORT,
        &[
            ("closed by both", closed_by_both),
            ("half closed", half_closed),
            ("half closed and silent", half_closed_and_silent),
            ("closed by both at once", closed_by_both_at_once),
            ("a FIN repeated", a_fin_repeated),
            ("a FIN by one alone", a_fin_by_one_alone),
            ("a reset", a_reset),
            ("a forged reset", a_forged_reset),
            ("a reset after a FIN", a_reset_after_a_fin),
            ("a port that is closed", a_port_that_is_closed),
            ("a reset and a SYN at once", a_reset_and_a_syn),
            ("the next connection on its ports", the_next_on_its_ports),
            ("a SYN into half a close", a_syn_into_half_a_close),
            ("a SYN of the other side after the close", a_syn_of_the_other_side),
            ("bad checksums", bad_checksums),
        ],
    );
}

/// T16: what follows both FINs is forgotten after half a minute.
fn closed_by_both(life: &Life<'_>) {
    open(life);
    life.leaves(&to_peer(FIN | ACK));
    life.is("fin-wait", 30);
    life.enters(&to_guest(ACK));
    life.enters(&to_guest(FIN | ACK));
    life.leaves(&to_peer(ACK));
    life.is("fin-wait", 30);
    life.waits(30);
    life.is_kept_out(Reason::NoConnection, &to_guest(ACK));
    let (freed, _) = life.plane.counters.loaded.kernel.sweep_all().expect("a sweep");
    assert_eq!(freed, 1);
}

/// T14: one side has no more to say, the other goes on; each packet counts anew.
fn half_closed(life: &Life<'_>) {
    open(life);
    life.enters(&to_guest(FIN | ACK));
    for _ in 0..4 {
        life.waits(20);
        life.leaves(&to_peer(PSH | ACK).payload(b"more"));
        life.enters(&to_guest(ACK));
        life.is("fin-wait", 30);
    }
}

/// T15
fn half_closed_and_silent(life: &Life<'_>) {
    open(life);
    life.enters(&to_guest(FIN | ACK));
    life.waits(30);
    life.is_kept_in(Reason::Default, &to_peer(PSH | ACK));
}

/// T17
fn closed_by_both_at_once(life: &Life<'_>) {
    open(life);
    life.enters(&to_guest(FIN | ACK));
    life.leaves(&to_peer(FIN | ACK));
    life.enters(&to_guest(ACK));
    life.leaves(&to_peer(ACK));
    life.is("fin-wait", 30);
}

/// T18: nothing brings the long timer back.
fn a_fin_repeated(life: &Life<'_>) {
    open(life);
    life.enters(&to_guest(FIN | ACK));
    life.leaves(&to_peer(FIN | ACK));
    life.enters(&to_guest(ACK));
    for _ in 0..5 {
        life.leaves(&to_peer(FIN | ACK));
        life.enters(&to_guest(ACK));
        life.is("fin-wait", 30);
    }
}

/// A14, A15: whoever forges a FIN shortens the timer and cuts nothing off: packets go on and keep the entry.
fn a_fin_by_one_alone(life: &Life<'_>) {
    open(life);
    life.enters(&to_guest(FIN | ACK));
    life.enters(&to_guest(FIN | ACK));
    for _ in 0..3 {
        life.waits(25);
        life.leaves(&to_peer(PSH | ACK));
    }
    life.is("fin-wait", 30);
}

/// T19: a reset shortens the timer.
fn a_reset(life: &Life<'_>) {
    open(life);
    life.leaves(&to_peer(RST | ACK));
    life.is("established", 30);
    life.waits(30);
    life.is_kept_out(Reason::NoConnection, &to_guest(ACK));
}

/// T20, A14: one that was forged kills nothing: traffic takes it back, as often as it comes.
fn a_forged_reset(life: &Life<'_>) {
    open(life);
    for _ in 0..10 {
        life.enters(&to_guest(RST));
        life.is("established", 30);
        life.waits(27);
        life.leaves(&to_peer(ACK));
        life.is("established", 600);
    }
}

/// T21
fn a_reset_after_a_fin(life: &Life<'_>) {
    open(life);
    life.enters(&to_guest(FIN | ACK));
    life.enters(&to_guest(RST));
    life.leaves(&to_peer(ACK));
    life.is("fin-wait", 30);
}

/// T22: the answer of a closed port, and another try on the same ports.
fn a_port_that_is_closed(life: &Life<'_>) {
    life.enters(&to_guest(SYN));
    life.leaves(&to_peer(RST | ACK));
    open(life);
}

/// T23: the SYN behind a reset begins anew, judged by the rules, opened by whoever sends it.
fn a_reset_and_a_syn(life: &Life<'_>) {
    open(life);
    life.enters(&to_guest(RST));
    life.enters(&to_guest(SYN));
    life.is("syn-sent", 30);
    life.leaves(&to_peer(SYN | ACK));
    life.enters(&to_guest(ACK));
    life.is("established", 600);
}

/// T24: ports are used again while the last connection's end is remembered.
fn the_next_on_its_ports(life: &Life<'_>) {
    open(life);
    life.enters(&to_guest(FIN | ACK));
    life.leaves(&to_peer(FIN | ACK));
    life.enters(&to_guest(ACK));
    life.enters(&to_guest(SYN));
    life.is("syn-sent", 30);
    life.leaves(&to_peer(SYN | ACK));
    life.enters(&to_guest(ACK));
    life.is("established", 600);
}

/// T25
fn a_syn_into_half_a_close(life: &Life<'_>) {
    open(life);
    life.leaves(&to_peer(FIN | ACK));
    life.enters(&to_guest(SYN));
    life.is("syn-sent", 30);
    life.leaves(&to_peer(SYN | ACK));
    life.enters(&to_guest(ACK));
    life.is("established", 600);
}

/// T26, A13
fn a_syn_of_the_other_side(life: &Life<'_>) {
    open(life);
    life.enters(&to_guest(FIN | ACK));
    life.leaves(&to_peer(FIN | ACK));
    life.is_kept_in(Reason::Default, &to_peer(SYN));
    life.is("fin-wait", 30);
}

/// P18, A40: checksums are the receiver's to judge. A FIN or a reset that it will ignore does to the entry what any
/// other does: it shortens a timer, which traffic restores or keeps.
fn bad_checksums(life: &Life<'_>) {
    open(life);
    let mut datagram = life.family.inward().carry(&to_guest(RST));
    let sum = datagram.len() - 4;
    datagram[sum] ^= 0xff;
    life.goes_as(INGRESS, &datagram, None);
    life.leaves(&to_peer(ACK));
    life.is("established", 600);
}

/// T29: a SYN on a live entry is judged by the rules of the day, in both directions; outbound connections go on.
#[test]
fn a_syn_is_judged_by_the_rules_of_today() {
    let mut plane = plane();
    for family in sg_tests::wire::Family::BOTH {
        let life = Life { plane: &plane, device: PORT, family, receive: sg_tests::progrun::Hook::Xdp };
        life.leaves(&Transport::tcp(50_000, 443, SYN));
        life.enters(&Transport::tcp(443, 50_000, SYN | ACK));
        life.leaves(&Transport::tcp(50_000, 443, ACK));
    }
    plane.apply(&policy("- {direction: ingress, protocol: tcp, ports: 8080}"));
    for family in sg_tests::wire::Family::BOTH {
        let life = Life { plane: &plane, device: PORT, family, receive: sg_tests::progrun::Hook::Xdp };
        life.leaves(&Transport::tcp(50_000, 443, ACK));
        life.is_kept_in(Reason::Default, &Transport::tcp(50_000, 443, SYN));
        life.enters(&Transport::tcp(443, 50_000, ACK));
    }
}
