//! Rules that never decide, because another rule of the group always decides first; rules that a wider one makes
//! needless; rules that are there twice.
//!
//! Candidates come from an index by direction, remote and protocol, so that a large group costs little more than its
//! number of rules. The comparisons of one group are bounded as well; beyond that some findings are missed, never invented.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::super::{
    code::Code,
    diagnostic::Report,
    model::{Action, Direction, Group, Match, PortRange, Remote, Rule},
    validate::Positions,
};

/// Comparisons spent on one group.
const BUDGET: usize = 2_000_000;

/// Reports the rules of `group` that never decide, but not those of a template: a deny of the group's own takes one away
/// on purpose. Returns the places of rules that a deny always comes before.
pub fn lint(group: &Group, positions: &Positions, report: &mut Report) -> BTreeSet<usize> {
    let own = positions.groups.get(&group.name).map_or(u32::MAX, |group| group.own);
    let mut refused = BTreeSet::new();
    let index = Index::new(&group.rules);
    let mut budget = BUDGET;
    let mut places = 0..;
    // A service's rules share their index: the line in the file is idle only when all of them are.
    for line in group.rules.chunk_by(|a, b| a.index == b.index) {
        let mut covers = Vec::with_capacity(line.len());
        for (_, at) in line.iter().zip(&mut places) {
            let cover = index.cover(at, &mut budget).map(|cover| &group.rules[cover]);
            if cover.is_some_and(|cover| cover.action == Action::Deny) {
                refused.insert(at);
            }
            covers.extend(cover);
        }
        if covers.len() == line.len() && line[0].index < own {
            describe(group, &line[0], covers[0], positions, report);
        }
    }
    refused
}

fn describe(group: &Group, rule: &Rule, cover: &Rule, positions: &Positions, report: &mut Report) {
    let number = rule.index;
    let span = positions.rule(&group.name, number);
    let other = positions.rule(&group.name, cover.index);
    let label = match cover.description.as_str() {
        "" => format!("rule {} (line {})", cover.index, other.line),
        text => format!("rule {} (line {}, `{text}`)", cover.index, other.line),
    };
    let (code, what, help) = if same(rule, cover) {
        (Code::Duplicate, format!("repeats {label}"), "remove one of them")
    } else if order(rule) == order(cover) {
        (Code::Redundant, format!("changes nothing: {label} does the same for more packets"), REDUNDANT)
    } else {
        (Code::Shadowed, format!("can never decide: {label} covers it"), SHADOWED)
    };
    report.push(code, span, format!("rule {number} of group `{}` {what}", group.name)).help(help);
}

const REDUNDANT: &str = "remove it, or narrow the other one if that was not meant to be so wide";
const SHADOWED: &str = "remove it, narrow the other one, or give it a smaller `priority`; inside of one priority deny comes first";

/// All but text.
fn same(a: &Rule, b: &Rule) -> bool {
    order(a) == order(b) && a.direction == b.direction && equivalent(a, b)
}

/// Whether two rules match the same packets of their direction.
fn equivalent(a: &Rule, b: &Rule) -> bool {
    (&a.matches, reach(&a.remote), a.families, a.expires)
        == (&b.matches, reach(&b.remote), b.families, b.expires)
}

/// `0.0.0.0/0` is any address of the rule's family.
fn reach(remote: &Remote) -> &Remote {
    match remote {
        Remote::Prefix(net) if net.prefix_len() == 0 => &Remote::Any,
        other => other,
    }
}

fn order(rule: &Rule) -> (u8, Action) {
    (rule.priority, rule.action)
}

type Key<'a> = (Direction, Option<u8>, &'a Remote);

/// Rules by direction, protocol and remote.
struct Index<'a> {
    rules: &'a [Rule],
    by_key: BTreeMap<Key<'a>, Vec<usize>>,
    lengths: BTreeSet<u8>,
}

impl<'a> Index<'a> {
    fn new(rules: &'a [Rule]) -> Self {
        let mut index = Self { rules, by_key: BTreeMap::new(), lengths: BTreeSet::new() };
        for (at, rule) in rules.iter().enumerate() {
            let key = (rule.direction, protocol(&rule.matches), reach(&rule.remote));
            index.by_key.entry(key).or_default().push(at);
            if let Remote::Prefix(net) = &rule.remote {
                index.lengths.insert(net.prefix_len());
            }
        }
        index
    }

    /// A rule that decides wherever the rule `at` could, or would do the same there.
    fn cover(&self, at: usize, budget: &mut usize) -> Option<usize> {
        let rule = &self.rules[at];
        let protocols = BTreeSet::from([None, protocol(&rule.matches)]);
        self.wider(&rule.remote).iter().find_map(|remote| {
            protocols.iter().find_map(|protocol| {
                let candidates = self.by_key.get(&(rule.direction, *protocol, remote))?;
                let affordable = &candidates[..candidates.len().min(*budget)];
                let place = affordable.iter().position(|other| self.decides_first(*other, at));
                *budget -= place.map_or(affordable.len(), |place| place + 1);
                place.map(|place| affordable[place])
            })
        })
    }

    /// Remotes that hold every address of `remote`, by their form.
    fn wider(&self, remote: &Remote) -> Vec<Remote> {
        let mut wider = vec![Remote::Any];
        match remote {
            Remote::Any => {}
            Remote::Prefix(net) => {
                let shorter = self.lengths.range(..=net.prefix_len());
                let supers = shorter.filter_map(|length| IpNet::new(net.addr(), *length).ok());
                wider.extend(supers.map(|net| Remote::Prefix(net.trunc())));
            }
            other => wider.push(other.clone()),
        }
        wider
    }

    fn decides_first(&self, other: usize, at: usize) -> bool {
        let (a, b) = (&self.rules[other], &self.rules[at]);
        let families = (0..2).all(|family| a.families[family] || !b.families[family]);
        let lasts = a.expires.is_none_or(|end| b.expires.is_some_and(|other| other <= end));
        if other == at || a.index == b.index || !families || !lasts || !covers(&a.matches, &b.matches) {
            return false;
        }
        match order(a).cmp(&order(b)) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            // Of two that cover each other, the later one is idle.
            std::cmp::Ordering::Equal => other < at || !equivalent(a, b),
        }
    }
}

fn protocol(matches: &Match) -> Option<u8> {
    match matches {
        Match::All => None,
        Match::Protocol(number) | Match::Ports(number, _) => Some(*number),
        Match::Icmp { protocol, .. } => Some(*protocol),
    }
}

/// Whether `a` matches whatever `b` matches.
fn covers(a: &Match, b: &Match) -> bool {
    match (a, b) {
        (Match::All, _) => true,
        (Match::Protocol(number), _) => protocol(b) == Some(*number),
        (Match::Ports(p, wide), Match::Ports(q, narrow)) => p == q && narrow.iter().all(|n| holds(wide, n)),
        (Match::Icmp { protocol: p, kind: a, code: any }, Match::Icmp { protocol: q, kind: b, code }) => {
            p == q && a == b && (any.is_none() || any == code)
        }
        _ => false,
    }
}

fn holds(wide: &[PortRange], narrow: &PortRange) -> bool {
    wide.iter().any(|range| range.first <= narrow.first && narrow.last <= range.last)
}
