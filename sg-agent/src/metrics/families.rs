//! A snapshot as families of metrics. Every family is there as soon as something is in force, with a zero where nothing
//! has happened: an alert on an increase needs a value to begin with.

use std::{fmt, time::SystemTime};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};
use sg_common::{
    addr::{EGRESS, INGRESS},
    stats::{DirectionStats, InterfaceStats},
    verdict::Reason,
};

use super::{
    DaemonFacts, InForce, Reloads, Snapshot,
    snapshot::{Interface, Rule, Use},
};
use crate::{
    dataplane::{capacity::Fill, hooks::InterfaceStatus},
    policy::model::{Action, Direction},
};

const DIRECTIONS: [(&str, usize); 2] = [("ingress", INGRESS), ("egress", EGRESS)];
const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];
/// Refusals for want of room, or of luck.
const INSERT_FAILURES: [Reason; 4] =
    [Reason::ConntrackFull, Reason::InterfaceFull, Reason::FragmentsFull, Reason::Internal];

type Label<'a> = (&'static str, &'a str);

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        build(&mut page)?;
        daemon(&mut page, &self.daemon)?;
        let Some(in_force) = &self.in_force else {
            return page.gauge("policy_generation", "Generation in force; 0: nothing is", 0.0);
        };
        policy(&mut page, in_force)?;
        interfaces(&mut page, &in_force.interfaces)?;
        traffic(&mut page, in_force)?;
        conntrack(&mut page, in_force)?;
        held(&mut page, in_force)?;
        rules(&mut page, in_force)
    }
}

/// Writes families one after the other.
struct Page<'a>(DescriptorEncoder<'a>);

/// Writes the samples of one family.
struct Samples<'a> {
    family: MetricEncoder<'a>,
}

impl Samples<'_> {
    fn gauge(&mut self, labels: &[Label<'_>], value: f64) -> fmt::Result {
        if labels.is_empty() {
            return self.family.encode_gauge(&value);
        }
        self.family.encode_family(&labels)?.encode_gauge(&value)
    }

    fn counter(&mut self, labels: &[Label<'_>], value: u64) -> fmt::Result {
        self.family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)
    }
}

impl Page<'_> {
    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        samples: impl FnOnce(&mut Samples<'_>) -> fmt::Result,
    ) -> fmt::Result {
        samples(&mut Samples { family: self.0.encode_descriptor(name, help, None, MetricType::Gauge)? })
    }

    /// The name is without `_total`.
    fn counters(
        &mut self,
        name: &str,
        help: &str,
        samples: impl FnOnce(&mut Samples<'_>) -> fmt::Result,
    ) -> fmt::Result {
        samples(&mut Samples { family: self.0.encode_descriptor(name, help, None, MetricType::Counter)? })
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.gauges(name, help, |samples| samples.gauge(&[], value))
    }

    /// Seconds since the epoch; nothing if it is not known.
    fn timestamp(&mut self, name: &str, help: &str, time: Option<SystemTime>) -> fmt::Result {
        let since_epoch = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        since_epoch.map_or(Ok(()), |since| self.gauge(name, help, since.as_secs_f64()))
    }
}

fn build(page: &mut Page<'_>) -> fmt::Result {
    page.gauges("build_info", "The agent; always 1", |samples| {
        let abi = sg_common::ABI_VERSION.to_string();
        samples.gauge(&[("version", env!("CARGO_PKG_VERSION")), ("abi", &abi)], 1.0)
    })
}

fn daemon(page: &mut Page<'_>, facts: &DaemonFacts) -> fmt::Result {
    let Reloads { succeeded, failed, is_last_success, last, last_success } = facts.reloads;
    page.timestamp("start_timestamp_seconds", "When the daemon started", facts.started)?;
    page.counters("reloads", "Readings of the policy file by what came of them", |samples| {
        samples.counter(&[("result", "success")], succeeded)?;
        samples.counter(&[("result", "failure")], failed)
    })?;
    if let Some(is_success) = is_last_success {
        let help = "Whether the last reading of the policy file brought it into force";
        page.gauge("last_reload_successful", help, f64::from(is_success))?;
    }
    page.timestamp("last_reload_timestamp_seconds", "When the policy file was last looked at", last)?;
    page.timestamp(
        "last_reload_success_timestamp_seconds",
        "When the policy file was last read and came into force",
        last_success,
    )?;
    page.timestamp(
        "policy_file_modified_timestamp_seconds",
        "When the policy file was last written",
        facts.file_modified,
    )
}

fn policy(page: &mut Page<'_>, in_force: &InForce) -> fmt::Result {
    page.gauge(
        "policy_generation",
        "Generation in force; moves with every change",
        f64::from(in_force.generation),
    )?;
    page.timestamp("policy_timestamp_seconds", "When the policy in force came into force", in_force.since)
}

fn interfaces(page: &mut Page<'_>, interfaces: &[Interface]) -> fmt::Result {
    let (here, absent): (Vec<_>, Vec<_>) =
        interfaces.iter().map(|interface| &interface.status).partition(|status| is_here(status));
    let help = "Whether everything that the interface receives and transmits is judged";
    page.gauges("interface_enforced", help, |samples| {
        here.iter().try_for_each(|status| {
            let labels =
                [("interface", &*status.name), ("rx_hook", status.rx_hook), ("tx_hook", status.tx_hook)];
            samples.gauge(&labels, f64::from(status.enforced))
        })
    })?;
    let help = "Interfaces that the policy names and the host does not have";
    page.gauge("interfaces_absent", help, absent.len() as f64)
}

/// Whether there is a device, under whatever name.
fn is_here(status: &InterfaceStatus) -> bool {
    status.ifindex != 0 || status.now_called.is_some()
}

fn traffic(page: &mut Page<'_>, in_force: &InForce) -> fmt::Result {
    let bound = bound(&in_force.interfaces);
    let each = |samples: &mut Samples<'_>, count: fn(&DirectionStats) -> u64| {
        by_direction(&bound, |labels, stats| samples.counter(&labels, count(stats)))
    };
    page.counters("packets", "Packets judged, by direction as the protected side sees it", |samples| {
        each(samples, |stats| stats.allowed + stats.dropped.iter().sum::<u64>())
    })?;
    page.counters("bytes", "Bytes of the packets that passed", |samples| {
        each(samples, |stats| stats.allowed_bytes)
    })?;
    page.counters("drops", "Packets dropped, by reason", |samples| {
        by_direction(&bound, |[interface, direction], stats| {
            Reason::ALL.iter().zip(stats.dropped).try_for_each(|(reason, count)| {
                samples.counter(&[interface, direction, ("reason", reason.name())], count)
            })
        })
    })?;
    page.counters("audited", "Packets that audit groups would have dropped", |samples| {
        each(samples, |stats| stats.audited)
    })?;
    page.counters("connections_opened", "Connections admitted", |samples| {
        each(samples, |stats| stats.opened)
    })?;
    let help = "Packets dropped on devices that the policy does not know";
    page.counters("unknown_interface_drops", help, |samples| {
        DIRECTIONS.into_iter().try_for_each(|(name, at)| {
            let dropped = in_force.unknown.0[at].dropped.iter().sum();
            samples.counter(&[("direction", name)], dropped)
        })
    })
}

fn conntrack(page: &mut Page<'_>, in_force: &InForce) -> fmt::Result {
    page.gauges("conntrack_entries", "Live connections", |samples| {
        let counts = FAMILIES.into_iter().zip(in_force.connections);
        counts.into_iter().try_for_each(|(family, count)| samples.gauge(&[("family", family)], count as f64))
    })?;
    page.gauge(
        "conntrack_max",
        "Connections that the host may have",
        f64::from(in_force.settings.max_entries),
    )?;
    let help = "New connections and fragmented datagrams refused for want of room";
    page.counters("conntrack_insert_failures", help, |samples| {
        bound(&in_force.interfaces).into_iter().try_for_each(|(name, used)| {
            INSERT_FAILURES.into_iter().try_for_each(|reason| {
                let count = both(&used.stats, reason);
                samples.counter(&[("interface", name), ("reason", reason.name())], count)
            })
        })
    })?;
    page.gauge(
        "expiry_lag_seconds",
        "How long the oldest expired entry has been keeping its slot; it is not in force any more",
        in_force.expiry_lag.as_secs_f64(),
    )
}

fn held(page: &mut Page<'_>, in_force: &InForce) -> fmt::Result {
    let bound = bound(&in_force.interfaces);
    let each = |samples: &mut Samples<'_>, count: fn(&Use) -> u64| {
        bound.iter().try_for_each(|(name, used)| samples.gauge(&[("interface", name)], count(used) as f64))
    };
    let settings = &in_force.settings;
    page.gauges(
        "interface_connections",
        "Entries of the interface, expired ones that nobody has needed yet included",
        |samples| each(samples, |used| used.held.connections),
    )?;
    page.gauge(
        "interface_connections_max",
        "Entries that one interface may have",
        f64::from(settings.max_per_interface),
    )?;
    page.gauges("interface_fragments", "Fragmented datagrams remembered for the interface", |samples| {
        each(samples, |used| used.held.fragments)
    })?;
    page.gauge(
        "interface_fragments_max",
        "Fragmented datagrams that are remembered for one interface at most",
        f64::from(settings.max_fragments_per_interface),
    )?;
    fills(page, &in_force.tables)
}

fn fills(page: &mut Page<'_>, tables: &[Fill]) -> fmt::Result {
    let mut each = |name, help, value: fn(&Fill) -> u64| {
        page.gauges(name, help, |samples| {
            tables.iter().try_for_each(|fill| samples.gauge(&[("table", fill.table)], value(fill) as f64))
        })
    };
    each("table_used", "Elements in use; expired connections that nobody has needed yet included", |fill| {
        fill.used
    })?;
    each("table_capacity", "Elements that there is room for", |fill| fill.max)
}

fn rules(page: &mut Page<'_>, in_force: &InForce) -> fmt::Result {
    let rules: Vec<(String, &Rule)> =
        in_force.rules.iter().map(|rule| (format!("{:08x}", rule.key.meaning), rule)).collect();
    let each = |samples: &mut Samples<'_>, count: fn(&Rule) -> u64| {
        rules.iter().try_for_each(|(meaning, rule)| {
            let direction = direction(rule.key.direction);
            let labels = [("group", &*rule.key.group), ("direction", direction), ("rule", &**meaning)];
            samples.counter(&labels, count(rule))
        })
    };
    page.counters(
        "rule_packets",
        "Packets that the rule decided, on all interfaces, those of the connections it admitted included",
        |samples| each(samples, |rule| rule.counted.packets),
    )?;
    page.counters("rule_bytes", "Their bytes", |samples| each(samples, |rule| rule.counted.bytes))?;
    let help = "What a rule looks like in the policy file; always 1";
    page.gauges("rule_info", help, |samples| {
        rules.iter().try_for_each(|(meaning, rule)| describe(samples, meaning, rule))
    })?;
    let help = "Rules without counters here, because there are too many; those with the fewest packets";
    page.gauge("rules_left_out", help, in_force.rules_left_out as f64)
}

fn describe(samples: &mut Samples<'_>, meaning: &str, rule: &Rule) -> fmt::Result {
    let index = rule.described.index.to_string();
    let action = match (rule.described.action, rule.described.audit) {
        (Action::Allow, false) => "allow",
        (Action::Deny, false) => "deny",
        (Action::Allow, true) => "allow-audit",
        (Action::Deny, true) => "deny-audit",
    };
    let labels = [
        ("group", &*rule.key.group),
        ("direction", direction(rule.key.direction)),
        ("rule", meaning),
        ("index", &*index),
        ("action", action),
        ("description", &*rule.described.description),
    ];
    samples.gauge(&labels, 1.0)
}

fn bound(interfaces: &[Interface]) -> Vec<(&str, &Use)> {
    interfaces.iter().filter_map(|one| Some((one.status.name.as_str(), one.bound.as_ref()?))).collect()
}

fn by_direction(
    bound: &[(&str, &Use)],
    mut sample: impl FnMut([Label<'_>; 2], &DirectionStats) -> fmt::Result,
) -> fmt::Result {
    bound.iter().try_for_each(|(name, used)| {
        DIRECTIONS.into_iter().try_for_each(|(direction, at)| {
            sample([("interface", name), ("direction", direction)], &used.stats.0[at])
        })
    })
}

fn both(stats: &InterfaceStats, reason: Reason) -> u64 {
    stats.0.iter().map(|direction| direction.dropped[reason as usize]).sum()
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}
