//! Queries, and errors about connections.

use sg_tests::{packets::query, wire::Family};

use super::*;

#[test]
fn queries_and_errors() {
    tell(
        &plane(),
        PORT,
        &[
            ("pings", pings),
            ("a request on a reply's entry", a_request_on_a_replys_entry),
            ("timestamps", timestamps),
            ("other messages", other_messages),
            ("the other family's", the_other_familys),
            ("errors from anywhere", errors_from_anywhere),
            ("errors about nothing", errors_about_nothing),
            ("errors to somebody else", errors_to_somebody_else),
            ("quotes cut short", quotes_cut_short),
            ("quotes with options", quotes_with_options),
            ("quotes of errors and later fragments", quotes_of_nothing),
            ("redirects and quenches", redirects),
            ("errors change nothing", errors_change_nothing),
            ("errors about TCP, from both sides", errors_about_tcp),
        ],
    );
}

fn ping(life: &Life<'_>, id: u16) -> Transport {
    Transport::ping(life.family.peer(), id)
}

fn pong(life: &Life<'_>, id: u16) -> Transport {
    Transport::pong(life.family.peer(), id)
}

/// I01, I02, I03, I22: a reply belongs to the request with its identifier, as often as it comes, for half a minute.
fn pings(life: &Life<'_>) {
    life.is_kept_out(Reason::Default, &pong(life, 7));
    life.leaves(&ping(life, 7));
    life.is("icmp", 30);
    for _ in 0..3 {
        life.waits(25);
        life.enters(&pong(life, 7));
    }
    life.is_kept_out(Reason::Default, &pong(life, 8));
    life.waits(30);
    life.is_kept_out(Reason::Default, &pong(life, 7));
}

/// I04, A17: who may be pinged is one thing, whom one may ping another.
fn a_request_on_a_replys_entry(life: &Life<'_>) {
    life.leaves(&ping(life, 7));
    life.enters(&pong(life, 7));
    life.is_kept_out(Reason::Default, &ping(life, 7));
    life.is_kept_in(Reason::Default, &pong(life, 7));
}

/// I05, I24: other queries are asked for by type; the code counts as well.
fn timestamps(life: &Life<'_>) {
    if life.family == Family::V6 {
        return; // ICMPv6 has no other queries.
    }
    life.is_kept_out(Reason::Default, &Transport::icmp(14, 0, query(9)));
    life.leaves(&Transport::icmp(13, 0, query(9)));
    life.enters(&Transport::icmp(14, 0, query(9)));
    life.is_kept_out(Reason::Default, &Transport::icmp(14, 0, query(10)));
    life.is_kept_out(Reason::Default, &Transport::icmp(0, 0, query(9)));
    life.is_kept_in(Reason::Default, &Transport::icmp(13, 1, query(11)));
    life.is_kept_in(Reason::Default, &Transport::icmp(17, 0, query(11)));
}

/// I05: nothing else makes an entry.
fn other_messages(life: &Life<'_>) {
    for kind in 0..=255 {
        let message = match life.family {
            Family::V4 if !matches!(kind, 5 | 8 | 13) => Transport::icmp(kind, 0, query(3)),
            Family::V6 if !matches!(kind, 128 | 130..=137 | 143) => Transport::icmpv6(kind, 0, query(3)),
            _ => continue,
        };
        life.is_kept_in(Reason::Default, &message);
    }
}

/// I25: a rule for the one is none for the other.
fn the_other_familys(life: &Life<'_>) {
    let message = match life.family {
        Family::V4 => Transport::raw(58, &[128, 0, 0, 0, 0, 7, 0, 1]),
        Family::V6 => Transport::raw(1, &[8, 0, 0, 0, 0, 7, 0, 1]),
    };
    life.is_kept_in(Reason::Default, &message);
}

/// Every error of a family: type and code.
fn errors(family: Family) -> Vec<(u8, u8)> {
    match family {
        Family::V4 => (0..16).map(|code| (3, code)).chain([(11, 0), (11, 1), (12, 0), (12, 1)]).collect(),
        Family::V6 => (0..7).map(|code| (1, code)).chain([(2, 0), (3, 0), (3, 1), (4, 0), (4, 2)]).collect(),
    }
}

fn error(family: Family, (kind, code): (u8, u8), quoted: &[u8]) -> Transport {
    let rest = [0, 0, 5, 0];
    match family {
        Family::V4 => Transport::icmp(kind, code, rest).payload(quoted),
        Family::V6 => Transport::icmpv6(kind, code, rest).payload(quoted),
    }
}

/// The guest's question, as an error quotes it.
fn asked(family: Family, port: u16) -> Vec<u8> {
    family.outward().carry(&Transport::udp(port, 53))
}

/// I06, I08, I09, I10, I20, I21: each error about a connection passes, from the peer and from any router.
fn errors_from_anywhere(life: &Life<'_>) {
    life.leaves(&Transport::udp(40_000, 53));
    let router = Ip::new(life.family.router(), life.family.guest());
    for kind in errors(life.family) {
        let error = error(life.family, kind, &asked(life.family, 40_000));
        life.enters(&error);
        life.goes(INGRESS, &router, &error, None);
    }
    life.is("one-way", 30);
}

/// I07, I19, I20, I21, A16: about one that never was they are dropped, before and after there is another.
fn errors_about_nothing(life: &Life<'_>) {
    for kind in errors(life.family) {
        life.is_kept_out(Reason::Default, &error(life.family, kind, &asked(life.family, 40_000)));
    }
    life.leaves(&Transport::udp(40_000, 53));
    for kind in errors(life.family) {
        life.is_kept_out(Reason::Default, &error(life.family, kind, &asked(life.family, 40_001)));
        let answer = life.family.inward().carry(&Transport::udp(54, 40_000));
        life.is_kept_in(Reason::Default, &error(life.family, kind, &answer));
    }
}

/// I13, I17, I18: an error goes to the sender of what it quotes: the guest's, or the peer's.
fn errors_to_somebody_else(life: &Life<'_>) {
    let kind = errors(life.family)[3];
    life.leaves(&Transport::udp(40_000, 53));
    let answer = life.family.inward().carry(&Transport::udp(53, 40_000));
    life.leaves(&error(life.family, kind, &answer));
    life.is_kept_out(Reason::Default, &error(life.family, kind, &answer));
    life.is_kept_in(Reason::Default, &error(life.family, kind, &asked(life.family, 40_000)));
    let elsewhere = Ip::new(life.family.guest(), life.family.router());
    life.goes(EGRESS, &elsewhere, &error(life.family, kind, &answer), Some(Reason::Default));
}

/// I11: eight bytes of the quoted transport header are enough, seven are not.
fn quotes_cut_short(life: &Life<'_>) {
    let kind = errors(life.family)[3];
    life.leaves(&Transport::tcp(50_000, 443, SYN));
    let quoted = life.family.outward().carry(&Transport::tcp(50_000, 443, SYN));
    let header = quoted.len() - 20;
    life.enters(&error(life.family, kind, &quoted[..header + 8]));
    for length in [0, 3, 4, 7] {
        life.is_kept_out(Reason::Default, &error(life.family, kind, &quoted[..header + length]));
    }
    let mut lying = quoted.clone();
    lying[0] ^= 0x30;
    life.is_kept_out(Reason::Default, &error(life.family, kind, &lying));
}

/// I12: options, extension headers and what RFC 4884 appends do not hide the quoted ports.
fn quotes_with_options(life: &Life<'_>) {
    use sg_tests::packets::{extension, padding};
    let kind = errors(life.family)[3];
    life.leaves(&Transport::udp(40_000, 53));
    let plain = life.family.outward();
    let quoted = match life.family {
        Family::V4 => Ip { options: vec![1; 24], ..plain },
        Family::V6 => {
            let headers = [(extension::HOP_BY_HOP, padding(1)), (extension::DESTINATION, padding(3))];
            Ip { extensions: headers.to_vec(), ..plain }
        }
    };
    let of = |port| quoted.carry(&Transport::udp(port, 53));
    life.enters(&error(life.family, kind, &of(40_000)));
    life.is_kept_out(Reason::Default, &error(life.family, kind, &of(40_001)));
    let mut extended = of(40_000);
    extended.resize(128, 0);
    extended.extend([0x20, 0, 0, 0, 0, 8, 1, 1, 0, 0, 0x10, 1]);
    life.enters(&error(life.family, kind, &extended));
}

/// I14, I15: an error about an error, or about a fragment without ports, is about nothing.
fn quotes_of_nothing(life: &Life<'_>) {
    let kind = errors(life.family)[3];
    life.leaves(&Transport::udp(40_000, 53));
    let inner = error(life.family, kind, &asked(life.family, 40_000));
    life.is_kept_out(Reason::Default, &error(life.family, kind, &life.family.outward().carry(&inner)));
    let later = life.family.outward().fragment(17, 8, false, &Transport::udp(40_000, 53).bytes);
    life.is_kept_out(Reason::Default, &error(life.family, kind, &later));
}

/// I10: redirects and source quenches are no errors about a connection; a redirect from a guest is never right.
fn redirects(life: &Life<'_>) {
    life.leaves(&Transport::udp(40_000, 53));
    let quoted = asked(life.family, 40_000);
    if life.family == Family::V6 {
        let redirect = Transport::icmpv6(137, 0, [0; 4]).payload(&[0; 32]);
        let near = |ip: Ip| Ip { ttl: 255, ..ip };
        life.goes(INGRESS, &near(life.family.inward()), &redirect, Some(Reason::Default));
        life.goes(EGRESS, &near(life.family.outward()), &redirect, Some(Reason::Redirect));
        return;
    }
    for kind in [(4, 0), (5, 0), (5, 1)] {
        life.is_kept_out(Reason::Default, &error(life.family, kind, &quoted));
    }
    let answer = life.family.inward().carry(&Transport::udp(53, 40_000));
    life.is_kept_in(Reason::Redirect, &error(life.family, (5, 1), &answer));
}

/// I16, A16: thousands of them neither refresh nor shorten nor close the entry.
fn errors_change_nothing(life: &Life<'_>) {
    let kind = errors(life.family)[3];
    life.leaves(&Transport::udp(40_000, 53));
    life.enters(&Transport::udp(53, 40_000));
    life.waits(100);
    for _ in 0..1_000 {
        life.enters(&error(life.family, kind, &asked(life.family, 40_000)));
    }
    life.is("two-way", 80);
    life.waits(80);
    life.is_kept_out(Reason::Default, &error(life.family, kind, &asked(life.family, 40_000)));
}

/// I17, I18
fn errors_about_tcp(life: &Life<'_>) {
    open(life);
    let kind = errors(life.family)[3];
    let theirs = life.family.inward().carry(&to_guest(ACK));
    let ours = life.family.outward().carry(&to_peer(ACK));
    life.enters(&error(life.family, kind, &ours));
    life.leaves(&error(life.family, kind, &theirs));
    life.is("established", 600);
}
