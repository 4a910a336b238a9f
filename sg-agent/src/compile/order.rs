//! Evaluation order: which rules judge one direction of an interface, and in which order.

use std::{collections::BTreeSet, time::SystemTime};

use serde::{Deserialize, Serialize};
use sg_common::{heap::Decision, limits::MAX_ROOT_CHAIN};

use super::error::DoesNotFit;
use crate::policy::{
    Policy,
    model::{Action, Direction, Group, Interface, Rule},
};

/// What the verdicts of a compiled policy are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// They are carried out: the bound groups that are not audit groups. With none but audit groups bound, everything
    /// passes (and is tracked).
    Enforced,
    /// They are counted: all bound groups, as if none were an audit group.
    Audited,
}

/// Names a compiled policy: interfaces with the same key share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyKey {
    /// The bound groups, in the order of the binding; all of them are in the policy file.
    pub bound: Vec<String>,
    /// Which of their verdicts.
    pub view: View,
    /// Which of their rules.
    pub direction: Direction,
}

/// A rule by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleRef {
    /// Place of its group in [`PolicyKey::bound`].
    pub group: u32,
    /// Place in [`Group::rules`].
    pub position: u32,
}

impl PolicyKey {
    /// The groups whose rules and defaults count, each with its place in [`Self::bound`].
    pub fn groups<'a>(&self, policy: &'a Policy) -> Vec<(u32, &'a Group)> {
        let counts = |group: &Group| self.view == View::Audited || !group.audit;
        let bound = (0..).zip(&self.bound);
        bound
            .filter_map(|(place, name)| Some((place, policy.groups.get(name)?)))
            .filter(|(_, group)| counts(group))
            .collect()
    }

    /// The rule that `rule` refers to, and its group.
    pub fn rule<'a>(&self, policy: &'a Policy, rule: RuleRef) -> Option<(&'a Group, &'a Rule)> {
        let group = policy.groups.get(self.bound.get(rule.group as usize)?)?;
        Some((group, group.rules.get(rule.position as usize)?))
    }

    /// The rules in evaluation order: priority, deny before allow, order of binding, order in the group.
    pub fn ranked(&self, policy: &Policy) -> Result<Vec<RuleRef>, DoesNotFit> {
        let mut ranked: Vec<(u8, Action, RuleRef)> = Vec::new();
        for (group, rules) in self.groups(policy).into_iter().map(|(place, group)| (place, &group.rules)) {
            let of_direction = (0..).zip(rules).filter(|(_, rule)| rule.direction == self.direction);
            ranked.extend(
                of_direction
                    .map(|(position, rule)| (rule.priority, rule.action, RuleRef { group, position })),
            );
        }
        if ranked.len() > Decision::MAX_RANK as usize {
            let groups = self.bound.join(", ");
            return Err(DoesNotFit::Rules { groups, rules: ranked.len(), limit: Decision::MAX_RANK });
        }
        ranked.sort_unstable();
        Ok(ranked.into_iter().map(|(_, _, rule)| rule).collect())
    }

    /// The default policy as a decision of rank `rank`: open only if every group is.
    pub fn default(&self, policy: &Policy, rank: usize) -> Decision {
        let groups = self.groups(policy);
        let allows = |group: &Group| {
            let default = match self.direction {
                Direction::Ingress => group.default_ingress,
                Direction::Egress => group.default_egress,
            };
            default == Action::Allow
        };
        let mut flags = Decision::DEFAULT;
        if groups.iter().all(|(_, group)| allows(group)) {
            flags |= Decision::ALLOW;
        }
        if self.is_stateless(policy) {
            flags |= Decision::STATELESS;
        }
        Decision::new(rank as u32, flags)
    }

    /// Whether there are groups and every one is stateless.
    pub fn is_stateless(&self, policy: &Policy) -> bool {
        let groups = self.groups(policy);
        !groups.is_empty() && groups.iter().all(|(_, group)| !group.stateful)
    }

    /// The times after `now` at which a rule of a bound group expires, of either direction and view: all policies of
    /// an interface go from root to root together.
    pub fn expiry_times(&self, policy: &Policy, now: SystemTime) -> Result<Vec<SystemTime>, DoesNotFit> {
        let rules =
            self.bound.iter().filter_map(|name| policy.groups.get(name)).flat_map(|group| &group.rules);
        let times: BTreeSet<SystemTime> =
            rules.filter_map(|rule| rule.expires).filter(|&time| time > now).collect();
        let limit = MAX_ROOT_CHAIN - 1;
        if times.len() > limit {
            let groups = self.bound.join(", ");
            return Err(DoesNotFit::ExpiryTimes { groups, times: times.len(), limit });
        }
        Ok(times.into_iter().collect())
    }
}

/// The groups bound to an interface: those it names, else the default group if there is one.
pub fn bound_groups(policy: &Policy, spec: &Interface) -> Vec<String> {
    let default = std::slice::from_ref(&policy.settings.default_group);
    let named = if spec.groups.is_empty() { default } else { &spec.groups };
    named.iter().filter(|name| policy.groups.contains_key(*name)).cloned().collect()
}
