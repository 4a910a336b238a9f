//! `settings:`.

use super::{
    super::{
        code::Code,
        diagnostic::Report,
        document::{Scalar, SettingsDoc, clip},
        language::{Key, PICKUP},
        model::{Conntrack, Limits, Quotas, Settings, Timeouts},
    },
    names, scalars,
};

/// The settings of a file, with the defaults where it is silent.
pub fn settings(doc: &SettingsDoc<'_>, report: &mut Report) -> Settings {
    let mut settings = Settings {
        timeouts: timeouts(&doc.timeouts, report),
        conntrack: conntrack(&doc.conntrack, report),
        quotas: quotas(&doc.quotas, report),
        limits: limits(&doc.limits, report),
        ..Settings::default()
    };
    let named = doc.default_group.as_ref();
    if let Some(name) = named.and_then(|scalar| names::name(scalar, "the default group", report)) {
        settings.default_group = name;
    }
    settings
}

type Table<'a> = [(&'static Key, Scalar<'a>)];

fn timeouts(table: &Table<'_>, report: &mut Report) -> Timeouts {
    let mut timeouts = Timeouts::default();
    for (key, scalar) in table {
        let Some(value) = scalars::duration(scalar, key.name, report) else { continue };
        match key.name {
            "tcp_established" => timeouts.tcp_established = value,
            "tcp_fin_wait" => timeouts.tcp_fin_wait = value,
            "icmp" => timeouts.icmp = value,
            "bidirectional" => timeouts.bidirectional = value,
            _ => timeouts.unidirectional = value,
        }
    }
    timeouts
}

fn conntrack(table: &Table<'_>, report: &mut Report) -> Conntrack {
    let mut conntrack = Conntrack::default();
    let mut share = None;
    for (key, scalar) in table {
        match key.name {
            "max_entries" => set(&mut conntrack.max_entries, scalar, key, report),
            "max_per_interface" => {
                set(&mut conntrack.max_per_interface, scalar, key, report);
                share = Some(scalar);
            }
            _ => {
                conntrack.tcp_pickup = scalars::choice(scalar, key.name, PICKUP, report).unwrap_or_default();
            }
        }
    }
    match share {
        None => conntrack.max_per_interface = conntrack.max_per_interface.min(conntrack.max_entries),
        Some(scalar) if conntrack.max_per_interface > conntrack.max_entries => {
            let (text, all) = (clip(&scalar.text), conntrack.max_entries);
            report
                .push(
                    Code::Conntrack,
                    scalar.span,
                    format!("`max_per_interface` {text} is above `max_entries` {all}"),
                )
                .help("one interface's share is at most the whole table");
        }
        Some(_) => {}
    }
    conntrack
}

fn quotas(table: &Table<'_>, report: &mut Report) -> Quotas {
    let mut quotas = Quotas::default();
    for (key, scalar) in table {
        let field = if key.name == "groups" { &mut quotas.groups } else { &mut quotas.rules_per_group };
        set(field, scalar, key, report);
    }
    quotas
}

fn limits(table: &Table<'_>, report: &mut Report) -> Limits {
    let mut limits = Limits::default();
    for (key, scalar) in table {
        match key.name {
            "interfaces" => set(&mut limits.interfaces, scalar, key, report),
            "policy_bytes" => set(&mut limits.policy_bytes, scalar, key, report),
            "rule_counters" => set(&mut limits.rule_counters, scalar, key, report),
            "members" => set(&mut limits.members, scalar, key, report),
            _ => set(&mut limits.fragments, scalar, key, report),
        }
    }
    limits
}

/// Puts a good number into `field`.
fn set<T: TryFrom<u64>>(field: &mut T, scalar: &Scalar<'_>, key: &Key, report: &mut Report) {
    let number = scalars::number(scalar, key.name, key.range(), report);
    if let Some(value) = number.and_then(|number| T::try_from(number).ok()) {
        *field = value;
    }
}
