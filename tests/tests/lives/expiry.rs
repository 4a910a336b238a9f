//! When entries end: at the tick, by what the look-up says, whatever has been swept.

use super::*;

/// How long before the end a packet is still sent: what the slowest machine takes from one packet to the next.
const MARGIN: u64 = 2;

/// A life so far: its name, the packets (`+` into the guest, `-` out of it), the seconds it has left, and whether its
/// next packet comes out of the guest.
type Before = (&'static str, &'static [(char, Packet)], u64, (char, Packet));

#[derive(Clone, Copy, Debug)]
enum Packet {
    Tcp(u8),
    Udp,
    Gre,
    Ping,
}

use Packet::{Gre, Ping, Tcp, Udp};

const OPEN: [(char, Packet); 3] = [('+', Tcp(SYN)), ('-', Tcp(SYN | ACK)), ('+', Tcp(ACK))];

const LIVES: &[Before] = &[
    ("SYN", &[('+', Tcp(SYN))], 30, ('-', Tcp(SYN | ACK))),
    ("SYN, SYN+ACK", &[OPEN[0], OPEN[1]], 30, ('+', Tcp(ACK))),
    ("established", &OPEN, 600, ('-', Tcp(ACK))),
    ("one FIN", &[OPEN[0], OPEN[1], OPEN[2], ('+', Tcp(FIN | ACK))], 30, ('-', Tcp(ACK))),
    (
        "both FINs",
        &[OPEN[0], OPEN[1], OPEN[2], ('+', Tcp(FIN | ACK)), ('-', Tcp(FIN | ACK))],
        30,
        ('+', Tcp(ACK)),
    ),
    ("RST", &[OPEN[0], OPEN[1], OPEN[2], ('-', Tcp(RST))], 30, ('-', Tcp(ACK))),
    ("datagram", &[('+', Udp)], 30, ('-', Udp)),
    ("datagram and answer", &[('+', Udp), ('-', Udp)], 180, ('-', Udp)),
    ("GRE", &[('+', Gre)], 30, ('-', Gre)),
    ("GRE and answer", &[('+', Gre), ('-', Gre)], 180, ('-', Gre)),
    ("echo request", &[('-', Ping)], 30, ('+', Ping)),
    ("echo request and reply", &[('-', Ping), ('+', Ping)], 30, ('+', Ping)),
];

/// The packet, as its way has it.
fn transport(life: &Life<'_>, way: char, packet: Packet) -> Transport {
    let inward = way == '+';
    match packet {
        Tcp(flags) => {
            if inward {
                to_guest(flags)
            } else {
                to_peer(flags)
            }
        }
        Udp if inward => Transport::udp(40_000, 5353),
        Udp => Transport::udp(5353, 40_000),
        Gre => Transport::raw(47, &[0; 8]),
        Ping if inward => Transport::pong(life.family.peer(), 7),
        Ping => Transport::ping(life.family.peer(), 7),
    }
}

fn goes(life: &Life<'_>, (way, packet): (char, Packet), passes: bool) {
    let transport = transport(life, way, packet);
    let (direction, ip) =
        if way == '+' { (INGRESS, life.family.inward()) } else { (EGRESS, life.family.outward()) };
    let rule = if way == '+' && matches!(packet, Tcp(_)) { Reason::NoConnection } else { Reason::Default };
    life.goes(direction, &ip, &transport, (!passes).then_some(rule));
}

/// T09, T15, T16, T32, U04, U05, I02, X09, C07, C09: just before its end an entry lets its packet pass, from
/// then on it does not, though nobody has swept it; and it is then freed by a sweep.
#[test]
fn entries_end_when_they_should() {
    tell(
        &plane(),
        PORT,
        &[("ends", |life| {
            for (name, packets, seconds, next) in LIVES {
                eprintln!("  {name}");
                let begin = || packets.iter().for_each(|packet| goes(life, *packet, true));
                begin();
                life.waits(seconds - MARGIN);
                goes(life, *next, true);
                life.plane.forget();
                begin();
                life.waits(*seconds);
                assert!(life.plane.connections().is_empty(), "{name}: it is still listed");
                let entries = life.plane.counters.entries().connections;
                assert_eq!(entries, 1, "{name}: it has been swept");
                goes(life, *next, false);
                let (freed, live) = life.plane.counters.loaded.kernel.sweep_all().expect("a sweep");
                assert_eq!((freed, live), (1, 0), "{name}");
            }
        })],
    );
}

/// C09: a sweep takes those that have ended, each kind at its time, and leaves the rest.
#[test]
fn a_sweep_frees_what_has_ended_and_nothing_else() {
    tell(
        &plane(),
        PORT,
        &[("swept", |life| {
            let kernel = &life.plane.counters.loaded.kernel;
            for (_, packets, ..) in LIVES
                .iter()
                .filter(|(name, ..)| matches!(*name, "established" | "datagram" | "GRE and answer"))
            {
                packets.iter().for_each(|packet| goes(life, *packet, true));
            }
            for (wait, freed, live) in
                [(28, 0, 3), (2, 1, 2), (148, 0, 2), (2, 1, 1), (418, 0, 1), (2, 1, 0), (7_200, 0, 0)]
            {
                life.waits(wait);
                assert_eq!(kernel.sweep_all().expect("a sweep"), (freed, live), "after {wait} s more");
            }
        })],
    );
}

/// C16, C18, A36: the wall clock is nobody's clock: entries count ticks of a clock that only goes forward, so a test can only
/// move it forward, and far ahead nothing is immortal.
#[test]
fn nothing_is_immortal_far_ahead() {
    tell(
        &plane(),
        PORT,
        &[("far ahead", |life| {
            // Past 32 bits of ticks, whatever the tick rate.
            life.waits((1 << 32) / 100);
            open(life);
            life.waits(598);
            life.leaves(&to_peer(ACK));
            life.waits(600);
            life.is_kept_in(Reason::Default, &to_peer(ACK));
        })],
    );
}

/// C22: whoever has seen an entry before a packet refreshed it cannot free it any more, ended or not. (Sweep and flush
/// free entries that way: by what they have seen.)
#[test]
fn an_entry_is_freed_only_as_it_was_seen() {
    tell(
        &plane(),
        PORT,
        &[("freed", |life| {
            let kernel = &life.plane.counters.loaded.kernel;
            let see = || life.plane.connections().pop().expect("an entry");
            goes(life, ('+', Udp), true);
            let before = see();
            life.waits(20);
            goes(life, ('+', Udp), true);
            life.waits(20);
            assert!(!kernel.evict(before.table, before.slot, before.life, End::Flushed).expect("an answer"));
            goes(life, ('-', Udp), true);
            let now = see();
            assert!(kernel.evict(now.table, now.slot, now.life, End::Flushed).expect("an answer"));
            goes(life, ('-', Udp), false);
        })],
    );
}
