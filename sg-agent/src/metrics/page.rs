//! Families as text.

use std::fmt;

use prometheus_client::{encoding::text::encode, registry::Registry};

use super::Snapshot;

/// What [`text`] is, for HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The snapshot in OpenMetrics' text format.
pub fn text(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("sg");
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use sg_common::{
        addr::INGRESS, conntrack::TableUse, control::Settings, stats::InterfaceStats, verdict::Reason,
    };

    use super::*;
    use crate::{
        dataplane::{capacity::Fill, hooks::InterfaceStatus},
        metrics::{
            DaemonFacts, InForce, Reloads,
            rules::{Counted, Described, RuleKey},
            snapshot::{Interface, Rule, Use},
        },
        policy::model::{Action, Direction, Role},
    };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn status(name: &str, enforced: bool) -> InterfaceStatus {
        InterfaceStatus {
            name: name.to_owned(),
            ifindex: 7,
            role: Role::Guest,
            groups: vec!["web".to_owned()],
            rx_hook: if enforced { "tcx" } else { "none" },
            tx_hook: if enforced { "tcx" } else { "none" },
            rx_reason: String::new(),
            enforced,
            since: 0,
            bound_as: None,
            now_called: None,
        }
    }

    fn rule() -> Rule {
        Rule {
            key: RuleKey { group: "web".to_owned(), direction: Direction::Ingress, meaning: 0xab },
            described: Described {
                index: 3,
                description: "the \"front\" door\nof C:\\".to_owned(),
                action: Action::Allow,
                audit: false,
            },
            counted: Counted { packets: 9, bytes: 900 },
        }
    }

    fn snapshot() -> Snapshot {
        let mut stats = InterfaceStats::default();
        stats.0[INGRESS].allowed = 5;
        stats.0[INGRESS].allowed_bytes = 500;
        stats.0[INGRESS].dropped[Reason::Default as usize] = 2;
        stats.0[INGRESS].dropped[Reason::InterfaceFull as usize] = 1;
        stats.0[INGRESS].opened = 4;
        let mut unknown = InterfaceStats::default();
        unknown.0[INGRESS].dropped[Reason::NoPolicy as usize] = 11;
        let held = TableUse { connections: 6, fragments: 1, ..TableUse::default() };
        let tap0 = Interface { status: status("tap0", true), bound: Some(Use { stats, held }) };
        let tap1 = Interface { status: status("tap1", false), bound: None };
        let absent = InterfaceStatus { ifindex: 0, ..status("tap2", false) };
        let tap2 = Interface { status: absent, bound: None };
        let in_force = InForce {
            generation: 12,
            since: Some(at(1000)),
            interfaces: vec![tap0, tap1, tap2],
            unknown,
            rules: vec![rule()],
            rules_left_out: 2,
            connections: [3, 1],
            expiry_lag: Duration::from_millis(1500),
            settings: Settings { max_entries: 100, max_per_interface: 50, ..Settings::default() },
            tables: vec![Fill {
                table: "connections",
                used: 6,
                max: 100,
                setting: "settings.conntrack.max_entries",
            }],
        };
        let reloads = Reloads {
            succeeded: 1,
            failed: 2,
            is_last_success: Some(false),
            last: Some(at(1060)),
            last_success: Some(at(1000)),
        };
        let daemon = DaemonFacts { started: Some(at(900)), reloads, file_modified: Some(at(1050)) };
        Snapshot { in_force: Some(in_force), daemon }
    }

    /// The samples of a page whose line begins so.
    fn samples(page: &str, start: &str) -> Vec<String> {
        page.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }

    #[test]
    fn the_page_is_the_golden_one() {
        let page = text(snapshot()).unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/metrics/page.txt");
        if std::env::var_os("SG_BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        assert_eq!(page, std::fs::read_to_string(path).unwrap());
    }

    #[test]
    fn every_reason_has_a_counter_from_the_start() {
        let page = text(snapshot()).unwrap();
        let drops = samples(&page, "sg_drops_total{interface=\"tap0\",direction=\"egress\"");
        assert_eq!(drops.len(), Reason::ALL.len());
        assert!(drops.iter().all(|line| line.ends_with(" 0")));
    }

    #[test]
    fn an_interface_that_is_not_bound_has_a_state_and_no_counters() {
        let page = text(snapshot()).unwrap();
        assert!(!page.contains("tap2"), "a machine that is off is no fault");
        assert_eq!(samples(&page, "sg_interfaces_absent"), ["sg_interfaces_absent 1.0"]);
        let told = page.lines().filter(|line| line.contains("tap1")).collect::<Vec<_>>();
        assert_eq!(told, [r#"sg_interface_enforced{interface="tap1",rx_hook="none",tx_hook="none"} 0.0"#]);
    }

    #[test]
    fn with_nothing_in_force_the_daemon_still_tells_of_itself() {
        let page = text(Snapshot { in_force: None, ..snapshot() }).unwrap();
        assert_eq!(samples(&page, "sg_policy_generation"), ["sg_policy_generation 0.0"]);
        assert_eq!(samples(&page, "sg_reloads_total{result=\"failure\"}").len(), 1);
        assert!(page.ends_with("# EOF\n"));
    }
}
