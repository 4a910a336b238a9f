//! The keys of each mapping.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::{
    super::{services, templates},
    Key, Kind, Mapping, SETTINGS,
    Takes::{self, Items, List, Named, One, OneOrMore},
    Word, forms, words,
};

/// Priorities of rules.
pub const PRIORITY: RangeInclusive<u64> = 1..=100;
/// ICMP types and codes.
pub const BYTE: RangeInclusive<u64> = 0..=255;

pub(super) const fn key(name: &'static str, takes: Takes, about: &'static str) -> Key {
    Key { name, about, takes, default: None, required: None }
}

impl Key {
    pub(super) const fn or(self, default: fn() -> Value) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn required(self, help: &'static str) -> Self {
        Self { required: Some(help), ..self }
    }
}

pub(super) fn only<T>(choices: &[(&'static str, T)]) -> Vec<Word> {
    choices.iter().map(|(word, _)| (*word, "")).collect()
}

/// The whole file.
pub static DOCUMENT: Mapping = Mapping {
    what: "policy file",
    keys: &[
        key("version", One(Kind::Version), "Version of the policy language.")
            .required("the first line of a policy file is `version: 1`"),
        key("settings", Takes::Mapping(&SETTINGS), "Settings of the whole host; all optional."),
        key(
            "address_groups",
            Named(&ADDRESS_GROUP),
            "Lists of addresses that rules name as `remote: address-group:NAME`.",
        ),
        key(
            "security_groups",
            Named(&GROUP),
            "Named lists of rules, which `interfaces` bind and rules name as `remote: group:NAME`.",
        ),
        key(
            "interfaces",
            Items(&INTERFACE),
            "Which groups are bound to which interface. An exact name wins over a pattern, an earlier pattern over a later.",
        ),
    ],
};

/// An entry of `address_groups:`.
pub static ADDRESS_GROUP: Mapping = Mapping {
    what: "address group",
    keys: &[
        key("description", One(Kind::Text), "Free text."),
        key("addresses", List(Kind::Prefix), "Its addresses and prefixes; an empty list matches nobody."),
        key(
            "file",
            One(Kind::Path),
            "A file with one address or prefix per line, `#` starts a comment; adds to `addresses`.",
        ),
    ],
};

/// An entry of `security_groups:`.
pub static GROUP: Mapping = Mapping {
    what: "security group",
    keys: &[
        key("description", One(Kind::Text), "Free text."),
        key(
            "stateful",
            One(Kind::Bool),
            "Whether what its rules allow is tracked, so that replies pass without a rule.",
        )
        .or(|| json!(true)),
        key(
            "default_policy",
            Takes::Mapping(&DEFAULT_POLICY),
            "What happens to a packet that no rule matches. It passes only if every bound group's default lets it.",
        ),
        key(
            "allow_smtp",
            One(Kind::Bool),
            "`false` blocks outbound tcp/25, 465 and 587 whatever the rules say; `true` leaves them to the rules.",
        )
        .or(|| json!(false)),
        key(
            "on_ingress_change",
            One(Kind::Words(|| only(words::CHANGES))),
            "When the policy changes, connections opened from outside are judged again at their next packet, all cut, or kept.",
        )
        .or(|| json!("recheck")),
        key(
            "audit",
            One(Kind::Bool),
            "`true` drops nothing. What the group would drop is counted (`stats`, by rule in `rules`) and logged (`monitor`).",
        )
        .or(|| json!(false)),
        key(
            "template",
            One(Kind::Words(|| templates::ALL.iter().map(|one| (one.name, one.description)).collect())),
            "Built-in rules that are added to the group's own.",
        ),
        key(
            "members",
            List(Kind::Prefix),
            "Addresses of members that live on other hosts. Members on this host are the addresses of the bound interfaces.",
        ),
        key("rules", Items(&RULE), "Its rules. Smallest priority first, inside one priority deny before allow."),
    ],
};

/// `default_policy:`.
pub static DEFAULT_POLICY: Mapping = Mapping {
    what: "default_policy",
    keys: &[
        key("ingress", One(Kind::Words(|| only(words::ACTIONS))), "For packets towards the instance.")
            .or(|| json!("deny")),
        key("egress", One(Kind::Words(|| only(words::ACTIONS))), "For packets from the instance.")
            .or(|| json!("allow")),
    ],
};

/// An entry of `rules:`.
pub static RULE: Mapping = Mapping {
    what: "rule",
    keys: &[
        key("description", One(Kind::Text), "Free text; `explain` and `rules` show it."),
        key(
            "direction",
            One(Kind::Words(|| only(words::DIRECTIONS))),
            "`ingress` is towards the instance, `egress` from it.",
        )
        .required("write `direction: ingress` or `direction: egress`"),
        key(
            "protocol",
            One(Kind::Protocol),
            "The protocol by name or number. `icmp` is IPv4's, `icmpv6` IPv6's.",
        )
        .or(|| json!("all")),
        key(
            "ports",
            OneOrMore(Kind::Port),
            "Destination ports of tcp, udp or sctp: one, a range, or a list; left out for all.",
        ),
        key(
            "icmp",
            Takes::Mapping(&ICMP),
            "Type and code, with protocol `icmp` or `icmpv6`; left out for every type.",
        ),
        key(
            "service",
            One(Kind::Words(|| services::ALL.iter().map(|one| (one.name, one.description)).collect())),
            "A preset in the place of `protocol`, `ports` and `icmp`.",
        ),
        key("remote", One(Kind::Remote), "The other end."),
        key("action", One(Kind::Words(|| only(words::ACTIONS))), "What happens to a packet that matches.")
            .or(|| json!("allow")),
        key("priority", One(Kind::Number(PRIORITY)), "1 is evaluated first.").or(|| json!(1)),
        key(
            "ethertype",
            One(Kind::Words(|| only(words::ETHERTYPES))),
            "The address family; left out, what the remote implies, else both.",
        ),
        key("expires", One(Kind::Time), "When the rule stops matching, daemon or not."),
    ],
};

/// `icmp:`.
pub static ICMP: Mapping = Mapping {
    what: "icmp",
    keys: &[
        key("type", One(Kind::Number(BYTE)), "The type; 0 is type 0.").required(forms::ICMP_TYPE),
        key("code", One(Kind::Number(BYTE)), "The code; left out for every code."),
    ],
};

/// An entry of `interfaces:`.
pub static INTERFACE: Mapping = Mapping {
    what: "interface",
    keys: &[
        key("name", One(Kind::InterfaceName), "The device's exact name, or a pattern such as `tap*`.")
            .required("write `name: tap0`, or a pattern such as `name: \"tap*\"`"),
        key(
            "role",
            One(Kind::Words(|| only(words::ROLES))),
            "`guest` is the host's end of an instance's NIC, `host` the host's own NIC.",
        )
        .or(|| json!("guest")),
        key("groups", List(Kind::Name), "The groups bound to it; none means `settings.default_group`."),
        key(
            "addresses",
            List(Kind::Address),
            "The instance's own addresses: they are the groups' members, and the only ones it may use.",
        ),
        key("mac", One(Kind::Mac), "The instance's MAC address."),
        key(
            "allowed_address_pairs",
            Items(&PAIR),
            "Further addresses that the instance may use, such as a virtual IP.",
        ),
        key(
            "anti_spoof",
            One(Kind::Bool),
            "Whether source MAC, source address, ARP sender and ND target are checked. By default on a guest with addresses.",
        ),
        key("exempt", List(Kind::Prefix), "Networks that the groups do not apply to."),
        key(
            "rx_hook",
            One(Kind::Words(|| only(words::HOOKS))),
            "The hook that sees received packets; `auto` chooses, and `status` tells.",
        )
        .or(|| json!("auto")),
        key(
            "zone",
            One(Kind::Name),
            "The tenant address space that the addresses belong to; left out for the common one.",
        ),
        key(
            "link_local",
            One(Kind::Words(|| only(words::LINK_LOCAL))),
            "IPv6 link-local addresses that the instance may use: any, or only the one made from its MAC.",
        )
        .or(|| json!("any")),
    ],
};

/// An entry of `allowed_address_pairs:`.
pub static PAIR: Mapping = Mapping {
    what: "allowed address pair",
    keys: &[
        key("address", One(Kind::Prefix), "The address or prefix.").required("write `{address: 10.0.0.100}`"),
        key("mac", One(Kind::Mac), "The MAC address that goes with it; left out for the interface's own."),
    ],
};
