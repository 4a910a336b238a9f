//! Everything that is shown, read at one moment.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use sg_common::{conntrack::TableUse, control::Settings, stats::InterfaceStats};

use super::{
    DaemonFacts, Totals,
    rules::{self, Counted, Described, Place as Counting, RuleKey},
};
use crate::{
    compile::{Clock, order::View, state::Bound},
    dataplane::{
        Error, Loaded, Place,
        capacity::Fill,
        hooks::{self, InterfaceStatus},
        store::Store,
    },
};

/// What is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// What is in force; `None` if nothing is.
    pub in_force: Option<InForce>,
    /// What only the daemon knows.
    pub daemon: DaemonFacts,
}

/// What the tables of this network namespace tell.
#[derive(Clone, Debug, PartialEq)]
pub struct InForce {
    /// Generation in force.
    pub generation: u32,
    /// Since when.
    pub since: Option<SystemTime>,
    /// Interfaces that the policy binds or names, by name.
    pub interfaces: Vec<Interface>,
    /// Packets on devices that have our programs and that the policy does not know.
    pub unknown: InterfaceStats,
    /// Rules with what they counted on all interfaces.
    pub rules: Vec<Rule>,
    /// Rules that are not among them, for there are too many.
    pub rules_left_out: usize,
    /// Live IPv4 and IPv6 connections.
    pub connections: [u64; 2],
    /// How long the oldest entry has been expired that still has its slot; none: zero.
    pub expiry_lag: Duration,
    /// Limits of connections and fragments.
    pub settings: Settings,
    /// How full the tables are.
    pub tables: Vec<Fill>,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// How it is enforced.
    pub status: InterfaceStatus,
    /// What it counted and holds, if it is bound.
    pub bound: Option<Use>,
}

/// What a bound interface counted and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Packets.
    pub stats: InterfaceStats,
    /// Connections and fragments.
    pub held: TableUse,
}

/// A rule of the policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is known by.
    pub key: RuleKey,
    /// What it looks like.
    pub described: Described,
    /// What it counted on all interfaces, those that are gone included.
    pub counted: Counted,
}

impl InForce {
    /// Reads what is in force. `totals` are carried from one reading to the next, and are written down beside the
    /// state when an interface has left counts behind. At most `most_rules` rules are shown, those that counted most.
    pub fn read(
        loaded: &Loaded,
        place: &Place,
        totals: &mut Totals,
        most_rules: usize,
    ) -> Result<Self, Error> {
        let Loaded { kernel, state, .. } = loaded;
        let clock = kernel.clock()?;
        let store = Store::new(place.state());
        let described = rules::described(state.policy());
        if totals.update(counted(loaded)?, &described.keys().cloned().collect()) {
            store.save_departed(&totals.departed())?;
        }
        let (rules, rules_left_out) = most(totals.totals(), described, most_rules);
        let ages = kernel.table_ages(clock.now_tick);
        Ok(Self {
            generation: state.generation(),
            since: store.since(state.generation()),
            interfaces: interfaces(loaded, place)?,
            unknown: kernel.interface_stats(0)?,
            rules,
            rules_left_out,
            connections: ages.map(|ages| ages.live),
            expiry_lag: span(&clock, ages.iter().map(|ages| ages.oldest_expired).max().unwrap_or(0)),
            tables: loaded.capacity()?,
            settings: kernel.settings()?,
        })
    }
}

impl Totals {
    /// Goes on from what was written down at `place`.
    pub fn restore(place: &Place) -> Self {
        Self::new(Store::new(place.state()).departed())
    }
}

/// The counts of every rule on every interface.
fn counted(loaded: &Loaded) -> Result<BTreeMap<Counting, Counted>, Error> {
    let state = &loaded.state;
    let meanings: BTreeMap<&str, _> =
        state.policy().groups.values().map(|group| (group.name.as_str(), rules::meanings(group))).collect();
    let counters = counters(loaded)?;
    let mut all: BTreeMap<Counting, Counted> = BTreeMap::new();
    for rule in state.rules().filter(|rule| rule.view == View::Enforced || rule.group.audit) {
        let meaning = meanings.get(rule.group.name.as_str());
        let meaning = meaning.and_then(|of_group| of_group.get(&(rule.direction, rule.rule.index)));
        let bound = state.interfaces().get(rule.interface);
        let (Some(&meaning), Some(Bound { slot, .. })) = (meaning, bound) else { continue };
        let key = RuleKey { group: rule.group.name.clone(), direction: rule.direction, meaning };
        let counted = counters.get(&rule.counter).copied().unwrap_or_default();
        all.entry((rule.interface.to_owned(), *slot, key)).or_default().add(counted);
    }
    Ok(all)
}

/// Every rule counter that somebody has.
fn counters(loaded: &Loaded) -> Result<BTreeMap<u32, Counted>, Error> {
    let mut all = BTreeMap::new();
    for range in loaded.state.interfaces().values().flat_map(|bound| bound.counters.iter().flatten()) {
        let counters = loaded.rule_counters(range.base..range.base + range.len)?;
        let counted = counters.iter().map(|one| Counted { packets: one.packets, bytes: one.bytes });
        all.extend((range.base..).zip(counted));
    }
    Ok(all)
}

/// The `most` rules that counted most, by name, and how many there are beside them.
fn most(
    totals: BTreeMap<RuleKey, Counted>,
    mut described: BTreeMap<RuleKey, Described>,
    most: usize,
) -> (Vec<Rule>, usize) {
    let described = |(key, counted): (RuleKey, Counted)| {
        let described = described.remove(&key)?;
        Some(Rule { key, described, counted })
    };
    let mut rules: Vec<Rule> = totals.into_iter().filter_map(described).collect();
    let left_out = rules.len().saturating_sub(most);
    if left_out > 0 {
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.counted.packets));
        rules.truncate(most);
        rules.sort_by(|a, b| a.key.cmp(&b.key));
    }
    (rules, left_out)
}

fn interfaces(loaded: &Loaded, place: &Place) -> Result<Vec<Interface>, Error> {
    let in_use = |name: &str| -> Result<Option<Use>, Error> {
        let Some(Bound { slot, .. }) = loaded.state.interfaces().get(name) else { return Ok(None) };
        let stats = loaded.kernel.interface_stats(*slot)?;
        Ok(Some(Use { stats, held: loaded.kernel.table_use(*slot)? }))
    };
    let all = hooks::status(loaded, place)?.into_iter();
    all.map(|status| Ok(Interface { bound: in_use(&status.name)?, status })).collect()
}

fn span(clock: &Clock, ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / f64::from(clock.hz.max(1)))
}
