//! Where the two are known to differ, and why that is meant. A difference that none of these explains is a fault.
//!
//! The list in `docs/testing/second-judge.md` is made of this one; a test holds them together.

mod predicates;

use std::{collections::BTreeMap, fmt};

use sg_common::verdict::Reason;

use super::judge::Difference;
use predicates as is;

/// A difference that is meant to be.
pub struct Exclusion {
    /// Its name.
    pub name: &'static str,
    /// What sg does, what Linux does, and why.
    pub what: &'static str,
    /// What that rests on.
    pub source: &'static str,
    /// The test that says what sg does there, without Linux: file and function.
    pub test: (&'static str, &'static str),
    applies: fn(&Difference) -> bool,
}

/// All of them; the first that applies counts.
pub static ALL: [Exclusion; 22] = [
    Exclusion {
        name: "fragments-incomplete",
        what: "sg judges the first fragment and lets the others follow at once; Linux waits for all. Nothing whole \
               comes of it.",
        source: "spec section 3, Fragments; nf_defrag_ipv4, nf_defrag_ipv6",
        test: ("tests/tests/fragments.rs", "later_fragments_follow_an_allowed_first"),
        applies: |d| {
            d.is_wrong_allow() && is::in_pieces(d) && is::without_whole(&d.sg) && is::following_its_first(d)
        },
    },
    Exclusion {
        name: "fragments-out-of-order",
        what: "sg does not hold back a later fragment that comes before the first, it drops it; Linux puts the \
               datagram together.",
        source: "spec section 3, Fragments",
        test: ("tests/tests/fragments.rs", "a_later_fragment_without_a_first_needs_a_rule_without_ports"),
        applies: |d| is::in_pieces(d) && is::out_of_order(d) && is::without_whole(&d.sg),
    },
    Exclusion {
        name: "fragments-tiny",
        what: "sg drops a first fragment that does not hold the transport header, and TCP at offset 8, which would \
               overwrite the flags; Linux judges the datagram that it puts together.",
        source: "RFC 1858, RFC 3128, RFC 7112",
        test: ("sg-ebpf/src/parse/tests/fragments.rs", "a_tiny_first_fragment_is_dropped"),
        applies: |d| is::dropped_for(d, Reason::BadFragment) && is::tiny(d) && is::without_whole(&d.sg),
    },
    Exclusion {
        name: "fragments-overlapping",
        what: "Linux drops a datagram of which fragments overlap. sg drops the fragment that would overwrite a TCP \
               header, and the datagram is whole without it.",
        source: "RFC 5722; RFC 3128",
        test: ("sg-ebpf/src/parse/tests/fragments.rs", "tcp_at_offset_1_is_dropped"),
        applies: |d| d.is_wrong_allow() && is::dropped_for(d, Reason::BadFragment) && is::rewriting(d),
    },
    Exclusion {
        name: "fragments-error",
        what: "sg reads what an ICMP error quotes from its first fragment, where the quote may be cut, and does not \
               remember the error for its later fragments; Linux puts it together first.",
        source: "RFC 792, RFC 4443: an error fits the smallest MTU",
        test: ("tests/tests/fragments.rs", "an_error_in_fragments_is_about_what_its_first_quotes"),
        applies: |d| !d.is_wrong_allow() && is::in_pieces(d) && is::an_error(d),
    },
    Exclusion {
        name: "icmp-type",
        what: "ICMP that is neither query nor error is for sg's rules alone; to Linux it is invalid.",
        source: "spec section 3, State; nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c",
        test: ("tests/tests/icmp.rs", "other_icmp_is_for_the_rules_alone"),
        applies: |d| d.is_wrong_allow() && is::allowed_by_rules(d) && is::icmp_of_unknown_type(d),
    },
    Exclusion {
        name: "icmp-code",
        what: "sg tracks ICMP queries of code 0, the only one there is; others, and errors about them, are for the \
               rules alone. Linux tracks any code.",
        source: "RFC 792, RFC 4443: the code of queries and replies is 0",
        test: ("tests/tests/icmp.rs", "only_code_0_asks_or_answers"),
        applies: |d| is::query_with_code(d) && (!d.is_wrong_allow() || is::allowed_by_rules(d)),
    },
    Exclusion {
        name: "icmp-node-information",
        what: "sg has node information queries judged by the rules alone; Linux tracks them.",
        source: "RFC 4620; nf_conntrack_proto_icmpv6.c",
        test: ("tests/tests/icmp.rs", "other_icmp_is_for_the_rules_alone"),
        applies: |d| is::node_information(d) && (!d.is_wrong_allow() || is::allowed_by_rules(d)),
    },
    Exclusion {
        name: "icmp-other-family",
        what: "ICMPv6 in IPv4 and ICMP in IPv6 are protocols like any other to sg; to Linux they are invalid.",
        source: "spec section 3, Never means any; nf_conntrack_proto_icmp.c",
        test: ("tests/tests/verdicts/transport.rs", "others"),
        applies: |d| {
            d.is_wrong_allow()
                && is::icmp_of_other_family(d)
                && (is::allowed_by_rules(d) || d.connection.is_some())
        },
    },
    Exclusion {
        name: "icmp-error-unrelated",
        what: "An ICMP error about no live connection is for sg's rules, which may allow it by name; to Linux it is \
               invalid, whatever the rules.",
        source: "spec section 3, State; nf_conntrack_inet_error()",
        test: ("tests/tests/icmp.rs", "an_error_about_nothing_is_for_the_rules"),
        applies: |d| d.is_wrong_allow() && is::allowed_by_rules(d) && is::unrelated_error(d),
    },
    Exclusion {
        name: "icmp-redirect",
        what: "To Linux a redirect or a source quench may be related to a connection; to sg it never is.",
        source: "RFC 6633; RFC 1812 5.2.7.2",
        test: ("sg-ebpf/src/parse/tests/quote.rs", "other_types_are_no_errors"),
        applies: |d| !d.is_wrong_allow() && is::redirect(d) && d.related.is_some(),
    },
    Exclusion {
        name: "icmp-short-quote",
        what: "sg wants the eight quoted bytes of transport header that every router must include; Linux takes fewer.",
        source: "RFC 792; RFC 1812 4.3.2.3",
        test: ("sg-ebpf/src/parse/tests/quote.rs", "eight_quoted_bytes_are_enough_and_seven_are_not"),
        applies: |d| !d.is_wrong_allow() && d.related.is_some() && is::short_quote(d),
    },
    Exclusion {
        name: "tcp-handshake-order",
        what: "On a live connection sg leaves it to the receiver whether a segment comes too early or is a second \
               SYN+ACK; to Linux it is invalid.",
        source: "spec section 3, State; tcp_conntracks[] in nf_conntrack_proto_tcp.c",
        test: ("tests/tests/established.rs", "a_segment_out_of_turn_is_the_receivers_business"),
        applies: |d| d.is_wrong_allow() && d.connection.is_some() && is::invalid_in_its_state(d),
    },
    Exclusion {
        name: "tcp-syn-against-the-grain",
        what: "sg asks the rules about every SYN, also the answering side's, and lets it pass if they allow it; Linux \
               calls it invalid, or, if nobody answered yet, lets it pass without asking.",
        source: "spec section 3, State; RFC 9293 3.5",
        test: ("tests/tests/established.rs", "a_syn_against_the_grain_of_an_entry_is_judged"),
        applies: |d| is::syn_of_the_answering_side(d) && d.is_wrong_allow() == is::allowed_by_rules(d),
    },
    Exclusion {
        name: "tcp-reset",
        what: "Linux forgets a connection at once whose only answer is a RST; sg for another 30 s lets it go on, so \
               that a forged RST kills nothing.",
        source: "spec section 3, State; nf_conntrack_tcp_packet()",
        test: ("tests/tests/established.rs", "a_reset_shortens_the_timer_and_traffic_restores_it"),
        applies: |d| d.is_wrong_allow() && d.entry.is_none() && d.connection.is_some() && d.is_after_reset,
    },
    Exclusion {
        name: "sctp",
        what: "Linux checks SCTP's chunks and follows its associations; sg knows its ports.",
        source: "spec section 3, State; nf_conntrack_proto_sctp.c",
        test: ("tests/tests/verdicts/transport.rs", "others"),
        applies: |d| d.is_wrong_allow() && d.connection.is_some() && is::sctp(d),
    },
    Exclusion {
        name: "untracked-sanity",
        what: "sg drops impossible flags and broken transport headers always; Linux only where it tracks.",
        source: "spec section 3, Before the rules; tcp_error()",
        test: ("tests/tests/verdicts/malformed.rs", "transports"),
        applies: |d| {
            is::untracked(d) && (d.reasons == [Reason::TcpFlags] || d.reasons == [Reason::Malformed])
        },
    },
    Exclusion {
        name: "neighbour-discovery",
        what: "sg drops neighbour discovery that crossed a router; Linux leaves that to its own stack.",
        source: "RFC 4861 6.1, 7.1, 8.1: a receiver takes hop limit 255 only",
        test: ("sg-ebpf/src/parse/tests/discovery.rs", "a_message_from_beyond_the_link_is_not_sound"),
        applies: |d| is::dropped_for(d, Reason::Malformed) && is::neighbour_discovery(d),
    },
    Exclusion {
        name: "neighbour-spoofing",
        what: "sg drops neighbour discovery from a guest that speaks for another's address; the rule set does not look \
               into it.",
        source: "spec section 3, Before the rules",
        test: ("tests/tests/verdicts/guards.rs", "neighbours"),
        applies: |d| is::dropped_for(d, Reason::SpoofedNd) && is::neighbour_discovery(d),
    },
    Exclusion {
        name: "ipv6-headers",
        what: "sg drops routing header 0, more than eight extension headers, and hop-by-hop options that do not come \
               first; Linux forwards them.",
        source: "RFC 5095; RFC 8200 4.1",
        test: ("sg-ebpf/src/parse/tests/ipv6.rs", "hop_by_hop_options_come_first_or_not_at_all"),
        applies: is::refused_for_its_headers,
    },
    Exclusion {
        name: "ipv6-authentication",
        what: "An authentication header is protocol 51 to sg, and to nft's rules; Linux's connection tracking looks for \
               a connection behind it, and calls the packet invalid where none can be.",
        source: "RFC 4302; ipv6_skip_exthdr()",
        test: ("sg-ebpf/src/parse/tests/ipv6.rs", "what_is_no_extension_header_is_a_protocol"),
        applies: |d| d.is_wrong_allow() && is::authenticated(d) && is::allowed_by_rules(d),
    },
    Exclusion {
        name: "ipv4-reserved-flag",
        what: "sg drops a packet with the reserved flag; Linux forwards it.",
        source: "RFC 791 3.1: must be zero",
        test: ("sg-ebpf/src/parse/tests/ipv4.rs", "the_reserved_bit_is_malformed"),
        applies: |d| d.reasons == [Reason::Malformed] && d.sent.iter().any(|one| one.is_reserved),
    },
];

/// The first exclusion that explains a difference.
pub fn of(difference: &Difference) -> Option<&'static Exclusion> {
    difference.judged()?;
    ALL.iter().find(|exclusion| (exclusion.applies)(difference))
}

/// The list, as the documentation shows it.
pub fn table() -> String {
    let mut text = "| exclusion | what | rests on | sg's side is shown by |\n|---|---|---|---|\n".to_owned();
    for Exclusion { name, what, source, test: (file, function), .. } in &ALL {
        text += &format!("| `{name}` | {what} | {source} | `{function}` in `{file}` |\n");
    }
    text
}

/// What has been compared.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Frames that were sent to both.
    pub frames: usize,
    /// Shots that passed both.
    pub passed: usize,
    /// Shots that neither let pass.
    pub dropped: usize,
    /// Shots that sg let pass and its router's own stack did not.
    pub unjudged: usize,
    excluded: BTreeMap<&'static str, usize>,
}

impl Tally {
    /// Counts a difference that is excluded.
    pub fn exclude(&mut self, exclusion: &'static Exclusion) {
        *self.excluded.entry(exclusion.name).or_default() += 1;
    }

    /// How many differences were excluded.
    pub fn excluded(&self) -> usize {
        self.excluded.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, passed, dropped, unjudged, .. } = self;
        let excluded = self.excluded();
        write!(
            to,
            "{frames} frames; passed both: {passed}, neither: {dropped}, only the routers' stacks: {unjudged}, \
             excluded: {excluded}"
        )?;
        ALL.iter().try_for_each(|Exclusion { name, .. }| {
            write!(to, "\n  {:>5} {name}", self.excluded.get(name).unwrap_or(&0))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn read(path: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn the_documented_list_is_this_one() {
        let table = table();
        assert!(read("docs/testing/second-judge.md").contains(&table), "it should contain\n{table}");
    }

    #[test]
    fn every_exclusion_has_a_test_of_its_own() {
        for Exclusion { name, test: (file, function), .. } in &ALL {
            assert!(read(file).contains(&format!("fn {function}(")), "{name}: {function} in {file}");
        }
    }
}
