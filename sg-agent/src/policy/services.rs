//! Service presets: well-known names for protocol and ports, as `service:` takes them.

mod table;

use super::model::{Match, PortRange};

pub use table::ALL;

/// A preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// The name that `service:` takes.
    pub name: &'static str,
    /// What uses it.
    pub description: &'static str,
    /// `PROTOCOL/PORTS` separated by blanks; ports with commas and ranges; for ICMP the type; a bare protocol has none.
    pub spec: &'static str,
}

/// The preset `name`.
pub fn find(name: &str) -> Option<&'static Service> {
    ALL.iter().find(|service| service.name == name)
}

impl Service {
    /// What it matches, one entry per protocol.
    pub fn matches(&self) -> Vec<Match> {
        self.spec.split(' ').filter_map(entry).collect()
    }
}

fn entry(text: &str) -> Option<Match> {
    let (protocol, rest) = text.split_once('/').unwrap_or((text, ""));
    let number = match protocol {
        "tcp" => 6,
        "udp" => 17,
        "sctp" => 132,
        "icmp" => 1,
        "icmpv6" => 58,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        other => other.parse().ok()?,
    };
    match number {
        _ if rest.is_empty() => Some(Match::Protocol(number)),
        1 | 58 => Some(Match::Icmp { protocol: number, kind: rest.parse().ok()?, code: None }),
        _ => Some(Match::Ports(number, rest.split(',').map(range).collect::<Option<_>>()?)),
    }
}

fn range(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(PortRange { first: first.parse().ok()?, last: last.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_preset_is_good() {
        assert!(ALL.len() >= 150, "{} presets", ALL.len());
        let names: BTreeSet<&str> = ALL.iter().map(|service| service.name).collect();
        assert_eq!(names.len(), ALL.len(), "a name is there twice");
        for service in ALL {
            let entries = service.spec.split(' ').count();
            assert_eq!(service.matches().len(), entries, "{}", service.name);
            for found in service.matches() {
                let Match::Ports(_, ports) = found else { continue };
                assert!(ports.iter().all(|range| range.first <= range.last), "{}", service.name);
                let gaps = ports.windows(2).all(|two| two[0].last + 1 < two[1].first);
                assert!(gaps, "{}: ports are sorted and disjoint", service.name);
            }
        }
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(ALL.is_sorted_by_key(|service| service.name));
    }

    #[test]
    fn a_preset_may_have_several_protocols() {
        let ping = find("ping").map(Service::matches).unwrap_or_default();
        let icmp = |protocol, kind| Match::Icmp { protocol, kind, code: None };
        assert_eq!(ping, [icmp(1, 8), icmp(58, 128)]);
    }
}
