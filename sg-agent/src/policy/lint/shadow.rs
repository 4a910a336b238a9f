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
    model::{Direction, Group, Match, PortRange, Remote, Rule},
    validate::Positions,
};

/// Comparisons spent on one group.
const BUDGET: usize = 2_000_000;

/// Reports the rules of `group` that never decide.
pub fn lint(group: &Group, positions: &Positions, report: &mut Report) {
    let index = Index::new(&group.rules);
    let mut budget = BUDGET;
    // A service's rules share their index: the line in the file is idle only when all of them are.
    let mut idle: BTreeMap<u32, Vec<Option<usize>>> = BTreeMap::new();
    for (at, rule) in group.rules.iter().enumerate() {
        idle.entry(rule.index).or_default().push(index.cover(at, &mut budget));
    }
    for (number, covers) in idle {
        let all: Option<Vec<usize>> = covers.into_iter().collect();
        let Some(cover) = all.and_then(|all| all.first().map(|at| &group.rules[*at])) else { continue };
        let Some(rule) = group.rules.iter().find(|rule| rule.index == number) else { continue };
        describe(group, rule, cover, positions, report);
    }
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

fn order(rule: &Rule) -> (u8, super::super::model::Action) {
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
                candidates.iter().copied().find(|other| {
                    if *budget == 0 {
                        return false;
                    }
                    *budget -= 1;
                    self.decides_first(*other, at)
                })
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
