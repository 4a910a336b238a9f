//! Words that a key takes, with what they stand for.

use super::super::model::{Action, Direction, Family, LinkLocal, OnIngressChange, Role, RxHook, TcpPickup};

/// Which way a rule applies.
pub const DIRECTIONS: &[(&str, Direction)] =
    &[("ingress", Direction::Ingress), ("egress", Direction::Egress)];

/// What a rule or a default does.
pub const ACTIONS: &[(&str, Action)] = &[("allow", Action::Allow), ("deny", Action::Deny)];

/// Address families.
pub const ETHERTYPES: &[(&str, Family)] = &[("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)];

/// What a policy change does to connections opened from outside.
pub const CHANGES: &[(&str, OnIngressChange)] = &[
    ("recheck", OnIngressChange::Recheck),
    ("clear", OnIngressChange::Clear),
    ("keep", OnIngressChange::Keep),
];

/// What may open a TCP connection.
pub const PICKUP: &[(&str, TcpPickup)] = &[("strict", TcpPickup::Strict), ("loose", TcpPickup::Loose)];

/// Whose interface it is.
pub const ROLES: &[(&str, Role)] = &[("guest", Role::Guest), ("host", Role::Host)];

/// Receive hooks.
pub const HOOKS: &[(&str, RxHook)] = &[
    ("auto", RxHook::Auto),
    ("xdp-native", RxHook::XdpNative),
    ("xdp-generic", RxHook::XdpGeneric),
    ("tcx", RxHook::Tcx),
];

/// Link-local addresses that a guest may use.
pub const LINK_LOCAL: &[(&str, LinkLocal)] = &[("any", LinkLocal::Any), ("eui64", LinkLocal::Eui64)];

/// Protocol names and numbers.
pub const PROTOCOLS: &[(&str, u8)] = &[
    ("tcp", 6),
    ("udp", 17),
    ("icmp", 1),
    ("icmpv6", 58),
    ("gre", 47),
    ("sctp", 132),
    ("esp", 50),
    ("ah", 51),
];

/// The word for `value`.
pub fn word<T: PartialEq>(choices: &[(&'static str, T)], value: &T) -> &'static str {
    choices.iter().find(|(_, known)| known == value).map_or("", |(word, _)| word)
}

/// Every word that `protocol` takes.
pub fn protocol_names() -> impl Iterator<Item = &'static str> {
    std::iter::once("all").chain(PROTOCOLS.iter().map(|(name, _)| *name))
}
