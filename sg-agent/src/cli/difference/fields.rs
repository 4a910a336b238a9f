//! Keys and lists that differ.

use std::{collections::BTreeSet, time::Duration};

use super::{Change, Kind, What};
use crate::policy::{
    model::{
        AddressGroup, AddressPair, Group, Interface, LinkLocal, OnIngressChange, Role, RxHook, Settings,
        TcpPickup,
    },
    words,
};

/// The longest list of which every item is told.
const SHOWN: usize = 10;

/// Keys of `settings`.
pub fn settings(old: &Settings, new: &Settings) -> Vec<Change> {
    changed(Kind::Setting, "", &setting_words(old), &setting_words(new))
}

fn setting_words(settings: &Settings) -> Vec<(&'static str, String)> {
    let Settings { timeouts, conntrack, quotas, limits, default_group } = settings;
    let seconds = |time: Duration| format!("{}s", time.as_secs());
    let pickup = match conntrack.tcp_pickup {
        TcpPickup::Strict => "strict",
        TcpPickup::Loose => "loose",
    };
    vec![
        ("timeouts.tcp_established", seconds(timeouts.tcp_established)),
        ("timeouts.tcp_fin_wait", seconds(timeouts.tcp_fin_wait)),
        ("timeouts.icmp", seconds(timeouts.icmp)),
        ("timeouts.bidirectional", seconds(timeouts.bidirectional)),
        ("timeouts.unidirectional", seconds(timeouts.unidirectional)),
        ("conntrack.max_entries", conntrack.max_entries.to_string()),
        ("conntrack.max_per_interface", conntrack.max_per_interface.to_string()),
        ("conntrack.tcp_pickup", pickup.to_owned()),
        ("quotas.groups", quotas.groups.to_string()),
        ("quotas.rules_per_group", quotas.rules_per_group.to_string()),
        ("limits.interfaces", limits.interfaces.to_string()),
        ("limits.policy_bytes", limits.policy_bytes.to_string()),
        ("limits.rule_counters", limits.rule_counters.to_string()),
        ("limits.members", limits.members.to_string()),
        ("limits.fragments", limits.fragments.to_string()),
        ("default_group", default_group.clone()),
    ]
}

/// Description and prefixes of an address group.
pub fn address_group(name: &str, old: Option<&AddressGroup>, new: Option<&AddressGroup>) -> Vec<Change> {
    let words = |group: &AddressGroup| vec![("description", or_none(&group.description))];
    let mut all = match (old, new) {
        (Some(old), Some(new)) => changed(Kind::AddressGroup, name, &words(old), &words(new)),
        _ => Vec::new(),
    };
    for change in &mut all {
        change.kind = Kind::Address;
    }
    let prefixes = |group: Option<&AddressGroup>| group.map_or(Vec::new(), |group| group.prefixes.clone());
    all.extend(list(Kind::Address, name, &prefixes(old), &prefixes(new)));
    all
}

/// Keys and members of a group; not its rules.
pub fn group(name: &str, old: Option<&Group>, new: Option<&Group>) -> Vec<Change> {
    let mut all = match (old, new) {
        (Some(old), Some(new)) => changed(Kind::GroupField, name, &group_words(old), &group_words(new)),
        _ => Vec::new(),
    };
    let members = |group: Option<&Group>| group.map_or(Vec::new(), |group| group.members.clone());
    all.extend(list(Kind::Member, name, &members(old), &members(new)));
    all
}

fn group_words(group: &Group) -> Vec<(&'static str, String)> {
    let on_change = match group.on_ingress_change {
        OnIngressChange::Keep => "keep",
        OnIngressChange::Recheck => "recheck",
        OnIngressChange::Clear => "clear",
    };
    vec![
        ("description", or_none(&group.description)),
        ("stateful", yes(group.stateful)),
        ("default_policy.ingress", words::action(group.default_ingress).to_owned()),
        ("default_policy.egress", words::action(group.default_egress).to_owned()),
        ("allow_smtp", yes(group.allow_smtp)),
        ("on_ingress_change", on_change.to_owned()),
        ("audit", yes(group.audit)),
    ]
}

/// Keys of an interface.
pub fn interface(name: &str, old: Option<&Interface>, new: Option<&Interface>) -> Vec<Change> {
    match (old, new) {
        (Some(old), Some(new)) => {
            changed(Kind::InterfaceField, name, &interface_words(old), &interface_words(new))
        }
        _ => Vec::new(),
    }
}

fn interface_words(interface: &Interface) -> Vec<(&'static str, String)> {
    let role = match interface.role {
        Role::Guest => "guest",
        Role::Host => "host",
    };
    let hook = match interface.rx_hook {
        RxHook::Auto => "auto",
        RxHook::XdpNative => "xdp-native",
        RxHook::XdpGeneric => "xdp-generic",
        RxHook::Tcx => "tcx",
    };
    let link_local = match interface.link_local {
        LinkLocal::Any => "any",
        LinkLocal::Eui64 => "eui64",
    };
    let pair = |pair: &AddressPair| match pair.mac {
        Some(octets) => format!("{} with {}", pair.prefix, mac(octets)),
        None => pair.prefix.to_string(),
    };
    vec![
        ("role", role.to_owned()),
        ("groups", joined(&interface.groups, String::clone)),
        ("addresses", joined(&interface.addresses, ToString::to_string)),
        ("mac", or_none(&interface.mac.map(mac).unwrap_or_default())),
        ("allowed_address_pairs", joined(&interface.allowed_address_pairs, pair)),
        ("anti_spoof", yes(interface.anti_spoof)),
        ("exempt", joined(&interface.exempt, ToString::to_string)),
        ("rx_hook", hook.to_owned()),
        ("zone", or_none(&interface.zone)),
        ("link_local", link_local.to_owned()),
        ("bound by", if interface.attached { "attach" } else { "the file" }.to_owned()),
    ]
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none" } else { text }.to_owned()
}

fn joined<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    or_none(&items.iter().map(text).collect::<Vec<_>>().join(", "))
}

fn changed(kind: Kind, name: &str, old: &[(&str, String)], new: &[(&str, String)]) -> Vec<Change> {
    let differing = old.iter().zip(new).filter(|(old, new)| old != new);
    let change = |((key, old), (_, new)): (&(&str, String), &(&str, String))| Change {
        before: Some(format!("{key}: {old}")),
        ..Change::new(What::Changed, kind, name, new.clone())
    };
    differing.map(change).collect()
}

/// What leaves a list and what comes to it; of many the number.
fn list<T: Ord + ToString>(kind: Kind, name: &str, old: &[T], new: &[T]) -> Vec<Change> {
    let (old, new): (BTreeSet<&T>, BTreeSet<&T>) = (old.iter().collect(), new.iter().collect());
    let of = |what: What, items: Vec<&&T>| {
        let more = items.len().saturating_sub(SHOWN);
        let shown = items.into_iter().take(SHOWN).map(|item| item.to_string());
        let texts = shown.chain((more > 0).then(|| format!("and {more} more")));
        texts.map(|text| Change::new(what, kind, name, text)).collect::<Vec<_>>()
    };
    let gone = of(What::Removed, old.difference(&new).collect());
    gone.into_iter().chain(of(What::Added, new.difference(&old).collect())).collect()
}
