//! Rules with what they decided.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer};

use super::time;
use crate::{
    compile::{Clock, State, order::View, state::ListedRule},
    dataplane::{self, Loaded},
    policy::model::{Action, Direction},
};

/// What a rule decided so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Packets, those of the connections it admitted included.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last one came.
    pub last: Option<SystemTime>,
    /// Since when the rule, or one that is the same, has been in force.
    pub since: Option<SystemTime>,
}

/// Which rules somebody asks for; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Name of the interface.
    pub interface: Option<String>,
    /// Name of the group.
    pub group: Option<String>,
    /// Without a hit for this long, or ever; see [`unused`].
    pub unused: Option<Duration>,
}

/// A rule in force, as `rules --json` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Name of the interface.
    pub interface: String,
    /// Direction.
    pub direction: Direction,
    /// Name of the group.
    pub group: String,
    /// Position in the group as the file shows it.
    pub index: u32,
    /// What it does.
    pub action: Action,
    /// 1 is evaluated first.
    pub priority: u8,
    /// Free text.
    pub description: String,
    /// Packets that it decided.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last one came; `None` = never.
    #[serde(rename = "last_hit", serialize_with = "as_rfc3339")]
    pub last: Option<SystemTime>,
    /// Since when it, or one that is the same, has been in force on the interface.
    #[serde(rename = "in_force_since", serialize_with = "as_rfc3339")]
    pub since: Option<SystemTime>,
    /// Its group is an audit group: what it would decide is counted, nothing is done.
    pub audit: bool,
}

/// What every rule counter of an interface, or of all, has counted.
pub fn counted(
    loaded: &Loaded,
    clock: &Clock,
    interface: Option<&str>,
) -> Result<BTreeMap<u32, Hits>, dataplane::Error> {
    let mut found = BTreeMap::new();
    for (name, bound) in loaded.state.interfaces() {
        if interface.is_some_and(|wanted| wanted != name) {
            continue;
        }
        for range in bound.counters.iter().flatten() {
            let counters = loaded.rule_counters(range.base..range.base + range.len)?;
            for (at, counter) in (range.base..).zip(counters) {
                let last = (counter.packets > 0).then(|| time::when(clock, counter.last_hit));
                let since = loaded.in_force_since(at).map(|tick| time::when(clock, tick));
                found.insert(at, Hits { packets: counter.packets, bytes: counter.bytes, last, since });
            }
        }
    }
    Ok(found)
}

/// The rules in force on each interface in evaluation order, each with the hits of its counter. A rule that the policy
/// file has once may be several in force (one `service:` of two protocols, say): they follow each other and are added
/// up.
pub fn rows(state: &State, wanted: &Wanted, now: SystemTime, hits: impl Fn(u32) -> Hits) -> Vec<Row> {
    let mut found: Vec<Row> = Vec::new();
    for rule in state.rules().filter(|rule| is_shown(rule) && wanted.takes(rule)) {
        let hits = hits(rule.counter);
        match found.last_mut() {
            Some(row) if is_same(row, &rule) => {
                row.packets += hits.packets;
                row.bytes += hits.bytes;
                row.last = row.last.max(hits.last);
                row.since = row.since.max(hits.since);
            }
            _ => found.push(row(&rule, &hits)),
        }
    }
    found.retain(|row| wanted.unused.is_none_or(|span| row.is_idle(span, now)));
    found
}

/// Of rules without a hit for `span`, those that have been in force for all of it, and how many are younger.
pub fn unused(rows: Vec<Row>, span: Duration, now: SystemTime) -> (Vec<Row>, usize) {
    let (old, young): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| row.since.is_none_or(|since| is_past(since, span, now)));
    (old, young.len())
}

fn as_rfc3339<S: Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    time.and_then(time::rfc3339).serialize(to)
}

/// Groups that are enforced are counted a second time in the audited view of an interface.
fn is_shown(rule: &ListedRule) -> bool {
    rule.view == View::Enforced || rule.group.audit
}

fn is_same(row: &Row, rule: &ListedRule) -> bool {
    row.index == rule.rule.index
        && row.direction == rule.direction
        && row.group == rule.group.name
        && row.interface == rule.interface
}

/// Whether `time` was `span` before `now` or earlier.
fn is_past(time: SystemTime, span: Duration, now: SystemTime) -> bool {
    now.duration_since(time).is_ok_and(|since| since >= span)
}

fn row(rule: &ListedRule, hits: &Hits) -> Row {
    Row {
        interface: rule.interface.to_owned(),
        direction: rule.direction,
        group: rule.group.name.clone(),
        index: rule.rule.index,
        action: rule.rule.action,
        priority: rule.rule.priority,
        description: rule.rule.description.clone(),
        packets: hits.packets,
        bytes: hits.bytes,
        last: hits.last,
        since: hits.since,
        audit: rule.group.audit,
    }
}

impl Row {
    fn is_idle(&self, span: Duration, now: SystemTime) -> bool {
        self.last.is_none_or(|last| is_past(last, span, now))
    }
}

impl Wanted {
    fn takes(&self, rule: &ListedRule) -> bool {
        self.interface.as_ref().is_none_or(|name| name == rule.interface)
            && self.group.as_ref().is_none_or(|name| *name == rule.group.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compile::tests::make, policy::model::Remote};

    fn state() -> State {
        let mut https = make::allow(443, Remote::Any);
        https.description = "HTTPS".to_owned();
        let mut group = make::group("web", vec![https, make::allow(53, Remote::Any)]);
        let mut twin = make::allow(53, Remote::Any);
        twin.matches = crate::policy::model::Match::Protocol(17);
        twin.index = 1;
        group.rules.push(twin);
        let mut trial = make::group("trial", vec![make::allow(22, Remote::Any)]);
        trial.audit = true;
        let spec = make::interface(&["web", "trial"], &["10.0.0.5"]);
        make::first(&make::policy(vec![group, trial]), &[spec])
    }

    fn listed(wanted: &Wanted) -> Vec<Row> {
        let state = state();
        let first = state.rules().next().map_or(0, |rule| rule.counter);
        rows(&state, wanted, make::at(0), |counter| {
            let last = (counter == first).then(|| make::at(0) - Duration::from_secs(86_400));
            let since = Some(make::at(0) - Duration::from_secs(5 * 86_400));
            Hits { packets: u64::from(counter == first) * 7 + 1, bytes: 10, last, since }
        })
    }

    #[test]
    fn a_rule_in_json() {
        let rows = listed(&Wanted { group: Some("web".to_owned()), ..Wanted::default() });
        assert_eq!(
            serde_json::to_string(&rows[0]).unwrap(),
            r#"{"interface":"tap1","direction":"ingress","group":"web","index":0,"action":"allow","#
                .to_owned()
                + r#""priority":1,"description":"HTTPS","packets":8,"bytes":10,"#
                + r#""last_hit":"1970-01-11T13:46:40Z","in_force_since":"1970-01-07T13:46:40Z","audit":false}"#
        );
    }

    #[test]
    fn one_rule_of_the_file_is_one_row() {
        let rows = listed(&Wanted::default());
        let shown: Vec<(&str, u32, u64)> =
            rows.iter().map(|row| (row.group.as_str(), row.index, row.packets)).collect();
        assert_eq!(shown, [("web", 0, 8), ("web", 1, 2), ("trial", 0, 1)]);
        assert_eq!(rows.iter().map(|row| row.audit).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn unused_rules_are_those_without_a_recent_hit() {
        let unused = |days: u64| {
            let unused = Some(Duration::from_secs(days * 86_400));
            let rows = listed(&Wanted { unused, ..Wanted::default() });
            let (old, young) = super::unused(rows, Duration::from_secs(days * 86_400), make::at(0));
            (old.len(), young)
        };
        assert_eq!([unused(1), unused(2), unused(5), unused(6)], [(3, 0), (2, 0), (2, 0), (0, 2)]);
    }
}
