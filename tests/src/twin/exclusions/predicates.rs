//! What exclusions ask about a difference.

use std::{ops::RangeInclusive, time::SystemTime};

use sg_agent::policy::model::Direction;
use sg_common::verdict::Reason;

use crate::{
    oracle::{Oracle, Question, Service},
    packets::{
        extension,
        flag::{ACK, FIN, RST, SYN},
        protocol,
    },
    twin::{decode::Decoded, judge::Difference, reassembly::datagrams},
};

/// Extension headers that sg walks.
const WALKED: usize = sg_common::limits::MAX_EXTENSION_HEADERS;

fn judged<'a>(difference: &'a Difference) -> &'a Decoded {
    difference.judged().expect("what differs is IP")
}

pub(super) fn dropped_for(difference: &Difference, reason: Reason) -> bool {
    difference.reasons.contains(&reason)
}

pub(super) fn in_pieces(difference: &Difference) -> bool {
    difference.sent.iter().any(Decoded::is_piece)
}

pub(super) fn without_whole(received: &[Vec<u8>]) -> bool {
    datagrams(received).is_empty()
}

/// Whether sg let the first fragment through, or a rule without ports allows the later ones.
pub(super) fn following_its_first(difference: &Difference) -> bool {
    let passed = |bytes: &Vec<u8>| Decoded::of(bytes).is_some_and(|one| !one.is_later());
    difference.sg.iter().any(passed)
        || allows(difference, Service::LaterFragment(judged(difference).protocol))
}

/// Whether a later fragment was sent before the first.
pub(super) fn out_of_order(difference: &Difference) -> bool {
    difference.sent[0].is_later()
}

/// Whether the first fragment ends inside its transport header, or TCP goes on at offset 8.
pub(super) fn tiny(difference: &Difference) -> bool {
    let first = judged(difference);
    let header = match first.protocol {
        protocol::TCP => first.payload.get(12).map_or(20, |byte| usize::from(byte >> 4) * 4).max(20),
        protocol::SCTP => 12,
        _ => 8,
    };
    in_pieces(difference) && (first.payload.len() < header || rewriting(difference))
}

/// Whether a fragment of TCP starts at offset 8.
pub(super) fn rewriting(difference: &Difference) -> bool {
    difference
        .sent
        .iter()
        .any(|one| one.protocol == protocol::TCP && one.fragment.is_some_and(|fragment| fragment.offset == 8))
}

pub(super) fn an_error(difference: &Difference) -> bool {
    judged(difference).is_error()
}

pub(super) fn sctp(difference: &Difference) -> bool {
    judged(difference).protocol == protocol::SCTP
}

fn has_type(packet: &Decoded, kinds: RangeInclusive<u8>) -> bool {
    packet.icmp().is_some_and(|(kind, _)| kinds.contains(&kind))
}

/// Neither query nor reply nor error, nor of the types that Linux does not track.
pub(super) fn icmp_of_unknown_type(difference: &Difference) -> bool {
    let packet = judged(difference);
    match (packet.is_v4(), packet.icmp()) {
        (true, Some((kind, _))) => !matches!(kind, 0 | 3..=5 | 8 | 11..=18),
        (false, Some((kind, _))) => !matches!(kind, 0..=137 | 143),
        (_, None) => false,
    }
}

/// A query or reply whose code is not 0, or an error about one.
pub(super) fn query_with_code(difference: &Difference) -> bool {
    let packet = judged(difference);
    let is_one = |packet: &Decoded| match (packet.is_v4(), packet.icmp()) {
        (true, Some((0 | 8 | 13..=18, code))) | (false, Some((128 | 129, code))) => code != 0,
        _ => false,
    };
    is_one(packet) || packet.quoted().is_some_and(|quoted| is_one(&quoted))
}

/// A node information query or reply, or an error about one.
pub(super) fn node_information(difference: &Difference) -> bool {
    let packet = judged(difference);
    let is_one = |packet: &Decoded| !packet.is_v4() && has_type(packet, 139..=140);
    is_one(packet) || packet.quoted().is_some_and(|quoted| is_one(&quoted))
}

pub(super) fn icmp_of_other_family(difference: &Difference) -> bool {
    let packet = judged(difference);
    packet.protocol == if packet.is_v4() { protocol::ICMPV6 } else { protocol::ICMP }
}

/// An error, or an IPv6 redirect, about no connection, or not to the sender of what it quotes, or with a short quote.
pub(super) fn unrelated_error(difference: &Difference) -> bool {
    let error = judged(difference);
    let is_to_sender = error.quoted().is_some_and(|quoted| quoted.source == error.destination);
    let is_error = error.is_error() || !error.is_v4() && has_type(error, 137..=137);
    is_error && (difference.related.is_none() || !is_to_sender || short_quote(difference))
}

pub(super) fn redirect(difference: &Difference) -> bool {
    let packet = judged(difference);
    if packet.is_v4() { has_type(packet, 4..=5) } else { has_type(packet, 137..=137) }
}

/// An error that quotes fewer than eight bytes of transport header.
pub(super) fn short_quote(difference: &Difference) -> bool {
    judged(difference).quoted().is_some_and(|quoted| quoted.payload.len() < 8)
}

/// Whether the rules alone let the packet pass.
pub(super) fn allowed_by_rules(difference: &Difference) -> bool {
    let packet = judged(difference);
    let protocol = packet.protocol;
    let service = match (packet.ports(), packet.icmp()) {
        (Some((_, destination)), _) => Service::Ports { protocol, destination },
        (None, Some((kind, code))) => Service::Icmp { protocol, kind, code },
        (None, None) => Service::Other(protocol),
    };
    allows(difference, service)
}

/// Whether the rules let such a packet pass between the two.
fn allows(difference: &Difference, service: Service) -> bool {
    let (packet, direction) = (judged(difference), difference.shot.direction);
    let remote = if direction == Direction::Ingress { packet.source } else { packet.destination };
    let question = Question { direction, remote, service, now: SystemTime::now() };
    Oracle::new(difference.policy).judge(&difference.policy.interfaces[0], &question).allowed
}

/// The flags that Linux's automaton looks at, the state of its entry, and whether the packet goes the way of the first.
fn in_state<'a>(difference: &'a Difference) -> Option<(u8, &'a str, bool)> {
    let entry = difference.entry.as_ref()?;
    let flags = judged(difference).flags()? & (SYN | ACK | FIN | RST);
    Some((flags, entry.state.as_deref()?, entry.is_original))
}

/// The cells of `tcp_conntracks[]` that say `sIV`, but for a SYN of the answering side.
pub(super) fn invalid_in_its_state(difference: &Difference) -> bool {
    const SYN_ACK: u8 = SYN | ACK;
    let Some((flags, state, is_original)) = in_state(difference) else { return false };
    let is_unanswered = matches!(state, "SYN_SENT" | "SYN_SENT2");
    match (flags, is_original) {
        (SYN_ACK, true) => !matches!(state, "SYN_RECV" | "SYN_SENT2"),
        (ACK, true) => is_unanswered,
        (flags, _) if flags & (FIN | RST) == FIN => is_unanswered,
        _ => false,
    }
}

/// A SYN against the direction of the entry. One that nobody answered makes Linux's state `SYN_SENT2`.
pub(super) fn syn_of_the_answering_side(difference: &Difference) -> bool {
    in_state(difference).is_some_and(|(flags, state, is_original)| {
        flags == SYN && !is_original && difference.is_wrong_allow() == (state != "SYN_SENT2")
    })
}

/// Whether packets of this remote are not tracked: no bound group is stateful, or it is exempt.
pub(super) fn untracked(difference: &Difference) -> bool {
    let (interface, packet) = (&difference.policy.interfaces[0], judged(difference));
    let is_inward = difference.shot.direction == Direction::Ingress;
    let remote = if is_inward { packet.source } else { packet.destination };
    let groups = Oracle::new(difference.policy).groups_of(interface);
    groups.iter().all(|group| !group.stateful)
        || interface.exempt.iter().any(|network| network.contains(&remote))
}

pub(super) fn authenticated(difference: &Difference) -> bool {
    !judged(difference).is_v4() && judged(difference).protocol == protocol::AH
}

pub(super) fn neighbour_discovery(difference: &Difference) -> bool {
    !judged(difference).is_v4() && has_type(judged(difference), 133..=137)
}

pub(super) fn refused_for_its_headers(difference: &Difference) -> bool {
    let headers = &judged(difference).extensions;
    let misplaced = headers.iter().skip(1).any(|(number, _)| *number == extension::HOP_BY_HOP);
    let routes = headers.iter().any(|(number, bytes)| *number == extension::ROUTING && bytes[2] == 0);
    match difference.reasons[..] {
        [Reason::RoutingHeader] => routes,
        [Reason::ExtensionHeaders] => headers.len() > WALKED,
        [Reason::Malformed] => misplaced,
        _ => false,
    }
}
