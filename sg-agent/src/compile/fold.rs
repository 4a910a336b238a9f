//! Folding ranked rules into tables: base rows, prefix trees, membership trees.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use ipnet::IpNet;
use sg_common::heap::Decision;

use super::{
    error::DoesNotFit,
    heap::Heap,
    layered::{self, LayeredRow},
    prefixes::{self, Folded, Net},
    row::{self, Row, Services},
    sets::NamedSet,
    tree,
};
use crate::policy::{
    Policy,
    model::{Remote, Rule},
};

/// A rule in force and what it decides.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Its rank and flags.
    pub decision: Decision,
}

/// Base rows and prefix trees by family, as they stand in a policy root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Rows of the rules that match any remote.
    pub base: [u32; 2],
    /// Address trees.
    pub prefixes: [u32; 2],
}

/// Folds the rules for any remote and the rules for prefixes.
pub fn tables(heap: &mut Heap, policy: &Policy, rules: &[Judge]) -> Result<Tables, DoesNotFit> {
    let services = AllServices::of(rules);
    let mut sorted = Sorted::default();
    for (number, judge) in (0..).zip(rules) {
        sorted.place(policy, number, judge.rule);
    }
    let mut tables = Tables::default();
    for family in 0..2 {
        let mut intervals: Vec<_> =
            sorted.any[family].iter().flat_map(|&rule| services.of_rule(rule)).collect();
        tables.base[family] = Row::new(&mut intervals).store(heap)?.0;
        let mut rows = Rows { services: &services, seen: HashMap::new() };
        let fold =
            |heap: &mut Heap, around: Option<&Placed>, own: &[(Net, u32)]| rows.fold(heap, around, own);
        tables.prefixes[family] = prefixes::fold(heap, family, &mut sorted.nets[family], fold)?.0;
    }
    Ok(tables)
}

/// Folds the rules for groups: by family the tree from set number to row. `sets` holds the sets with a group that a
/// rule names.
pub fn members(heap: &mut Heap, rules: &[Judge], sets: &[NamedSet]) -> Result<[u32; 2], DoesNotFit> {
    if sets.is_empty() {
        return Ok([0; 2]);
    }
    let services = AllServices::of(rules);
    let mut naming: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (number, judge) in (0..).zip(rules) {
        if let Remote::Group(name) = &judge.rule.remote {
            naming.entry(name).or_default().push(number);
        }
    }
    let mut trees = [0; 2];
    for (family, tree) in trees.iter_mut().enumerate() {
        let mut segments = vec![(0, 0)];
        for set in sets {
            let of_set = set.groups.iter().filter_map(|name| naming.get(name.as_str())).flatten();
            let applying = of_set.filter(|&&rule| rules[rule as usize].rule.families[family]);
            let mut intervals: Vec<_> = applying.flat_map(|&rule| services.of_rule(rule)).collect();
            if segments.last().is_some_and(|&(number, _)| number == set.number) {
                segments.pop();
            }
            segments.push((set.number, Row::new(&mut intervals).store(heap)?.0));
            segments.push((set.number.saturating_add(1), 0));
        }
        *tree = tree::build(heap, &segments, 0)?.0;
    }
    Ok(trees)
}

/// The services of all rules, in one list.
struct AllServices<'a> {
    rules: &'a [Judge<'a>],
    services: Vec<Services>,
    ends: Vec<u32>,
}

impl<'a> AllServices<'a> {
    fn of(rules: &'a [Judge<'a>]) -> Self {
        let mut all = Self { rules, services: Vec::new(), ends: Vec::with_capacity(rules.len()) };
        for judge in rules {
            row::services(judge.rule, &mut all.services);
            all.ends.push(all.services.len() as u32);
        }
        all
    }

    fn of_rule(&self, rule: u32) -> impl Iterator<Item = (Services, Decision)> {
        let rule = rule as usize;
        let first = rule.checked_sub(1).map_or(0, |before| self.ends[before]);
        let decision = self.rules[rule].decision;
        self.services[first as usize..self.ends[rule] as usize]
            .iter()
            .map(move |&services| (services, decision))
    }
}

/// Rules by number, sorted by what they say of the remote, by family.
#[derive(Default)]
struct Sorted {
    any: [Vec<u32>; 2],
    nets: [Vec<(Net, u32)>; 2],
}

impl Sorted {
    fn place(&mut self, policy: &Policy, number: u32, rule: &Rule) {
        match &rule.remote {
            Remote::Any => {
                for family in (0..2).filter(|&family| rule.families[family]) {
                    self.any[family].push(number);
                }
            }
            Remote::Prefix(net) => self.place_net(number, rule, net),
            Remote::AddressGroup(name) => {
                let group = policy.address_groups.get(name);
                group
                    .iter()
                    .flat_map(|group| &group.prefixes)
                    .for_each(|net| self.place_net(number, rule, net));
            }
            Remote::Group(name) => {
                let group = policy.groups.get(name);
                let wide = group.iter().flat_map(|group| &group.members).filter(|net| !is_host(net));
                wide.for_each(|net| self.place_net(number, rule, net));
            }
        }
    }

    fn place_net(&mut self, number: u32, rule: &Rule, net: &IpNet) {
        let (family, place) = Net::of(net);
        if !rule.families[family] {
        } else if net.prefix_len() == 0 {
            self.any[family].push(number);
        } else {
            self.nets[family].push((place, number));
        }
    }
}

/// Whether `net` is one address.
pub fn is_host(net: &IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

/// A prefix's row and where it is stored.
#[derive(Clone)]
struct Placed {
    row: Rc<Placeable>,
    tree: u32,
}

/// A row that others may be laid over.
enum Placeable {
    /// There was none around it; its layers, once they are needed.
    Flat(Row, OnceCell<LayeredRow>),
    Layered(LayeredRow),
}

impl Placeable {
    fn overlay(&self, row: &Row) -> LayeredRow {
        match self {
            Self::Flat(own, layers) => layers.get_or_init(|| LayeredRow::new(own)).overlay(row),
            Self::Layered(layers) => layers.overlay(row),
        }
    }
}

/// The rows of prefixes. Those whose own rules are of lists are remembered: a list puts the same rules on each of its
/// prefixes.
struct Rows<'a> {
    services: &'a AllServices<'a>,
    seen: HashMap<(u32, Vec<u32>), Placed>,
}

impl Rows<'_> {
    fn fold(
        &mut self,
        heap: &mut Heap,
        around: Option<&Placed>,
        own: &[(Net, u32)],
    ) -> Result<Folded<Placed>, DoesNotFit> {
        let is_of_a_list = |&(_, rule): &(Net, u32)| {
            !matches!(self.services.rules[rule as usize].rule.remote, Remote::Prefix(_))
        };
        let key = own
            .iter()
            .all(is_of_a_list)
            .then(|| (around.map_or(0, |placed| placed.tree), own.iter().map(|&(_, rule)| rule).collect()));
        let known = key.as_ref().and_then(|key| self.seen.get(key)).cloned();
        let placed = match known {
            Some(placed) => placed,
            None => self.place(heap, around, own)?,
        };
        if let Some(key) = key {
            self.seen.entry(key).or_insert_with(|| placed.clone());
        }
        Ok(Folded { answer: placed.tree, inner: placed })
    }

    fn place(
        &self,
        heap: &mut Heap,
        around: Option<&Placed>,
        own: &[(Net, u32)],
    ) -> Result<Placed, DoesNotFit> {
        let mut intervals: Vec<_> = own.iter().flat_map(|&(_, rule)| self.services.of_rule(rule)).collect();
        let own = Row::new(&mut intervals);
        let Some(around) = around else {
            let tree = layered::store_flat(heap, &own)?.0;
            return Ok(Placed { row: Rc::new(Placeable::Flat(own, OnceCell::new())), tree });
        };
        let row = around.row.overlay(&own);
        let tree = row.store(heap)?.0;
        Ok(Placed { row: Rc::new(Placeable::Layered(row)), tree })
    }
}
