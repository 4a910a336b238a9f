//! The keys of `settings:`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::model::{Conntrack, Limits, Quotas, Settings, Timeouts},
    Kind, Mapping,
    Takes::{self, One},
    tables::{key, only},
    words,
};

fn span(time: Duration) -> Value {
    json!(format!("{}s", time.as_secs()))
}

/// `settings:`.
pub static SETTINGS: Mapping = Mapping {
    what: "settings",
    keys: &[
        key("timeouts", Takes::Mapping(&TIMEOUTS), "How long a connection lives after its last packet."),
        key("conntrack", Takes::Mapping(&CONNTRACK), "The connection table."),
        key("quotas", Takes::Mapping(&QUOTAS), "How large a policy file may get before it is refused."),
        key(
            "limits",
            Takes::Mapping(&LIMITS),
            "Capacities of the other kernel tables, fixed when the tables are made.",
        ),
        key(
            "default_group",
            One(Kind::Name),
            "The group of an interface that names none. With no such group nothing passes.",
        )
        .or(|| json!(Settings::default().default_group)),
    ],
};

/// `timeouts:`.
pub static TIMEOUTS: Mapping = Mapping {
    what: "timeouts",
    keys: &[
        key("tcp_established", One(Kind::Duration), "TCP once both directions have been seen.")
            .or(|| span(Timeouts::default().tcp_established)),
        key("tcp_fin_wait", One(Kind::Duration), "TCP after a FIN or a RST.")
            .or(|| span(Timeouts::default().tcp_fin_wait)),
        key("icmp", One(Kind::Duration), "ICMP and ICMPv6 queries.").or(|| span(Timeouts::default().icmp)),
        key("bidirectional", One(Kind::Duration), "Any other protocol once both directions have been seen.")
            .or(|| span(Timeouts::default().bidirectional)),
        key(
            "unidirectional",
            One(Kind::Duration),
            "What was seen in one direction only, and TCP before it is established.",
        )
        .or(|| span(Timeouts::default().unidirectional)),
    ],
};

/// Most connections that a table can hold.
const MAX_ENTRIES: u64 = 16_777_216;

/// `conntrack:`.
pub static CONNTRACK: Mapping = Mapping {
    what: "conntrack",
    keys: &[
        key(
            "max_entries",
            One(Kind::Number(1024..=MAX_ENTRIES)),
            "Connections of the whole host, IPv4 and IPv6 together.",
        )
        .or(|| json!(Conntrack::default().max_entries)),
        key(
            "max_per_interface",
            One(Kind::Number(1..=MAX_ENTRIES)),
            "Connections of one interface; at most `max_entries`.",
        )
        .or(|| json!(Conntrack::default().max_per_interface)),
        key(
            "tcp_pickup",
            One(Kind::Words(|| only(words::PICKUP))),
            "What opens a TCP connection: only a SYN, or also a packet from its middle that the rules allow.",
        )
        .or(|| json!(Conntrack::default().tcp_pickup)),
    ],
};

/// `quotas:`.
pub static QUOTAS: Mapping = Mapping {
    what: "quotas",
    keys: &[
        key("groups", One(Kind::Number(1..=1_000_000)), "Security groups in the file.")
            .or(|| json!(Quotas::default().groups)),
        key(
            "rules_per_group",
            One(Kind::Number(1..=1_000_000)),
            "Rules in one group, those of its template included.",
        )
        .or(|| json!(Quotas::default().rules_per_group)),
    ],
};

/// `limits:`.
pub static LIMITS: Mapping = Mapping {
    what: "limits",
    keys: &[
        key("interfaces", One(Kind::Number(1..=65_535)), "Interfaces filtered at once.")
            .or(|| json!(Limits::default().interfaces)),
        key(
            "policy_bytes",
            One(Kind::Number(1 << 20..=16 << 30)),
            "Bytes of compiled policy, that in force and the next one together.",
        )
        .or(|| json!(Limits::default().policy_bytes)),
        key(
            "rule_counters",
            One(Kind::Number(1..=16_777_216)),
            "Rule counters: the sum over interfaces of the rules bound to each.",
        )
        .or(|| json!(Limits::default().rule_counters)),
        key(
            "members",
            One(Kind::Number(1..=16_777_216)),
            "Group members known by exact address; about 100 bytes each.",
        )
        .or(|| json!(Limits::default().members)),
        key(
            "fragments",
            One(Kind::Number(8..=1_048_576)),
            "Fragmented datagrams remembered at once on the whole host; an eighth of it for one interface.",
        )
        .or(|| json!(Limits::default().fragments)),
    ],
};
