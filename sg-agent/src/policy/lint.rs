//! Warnings about policies that are valid and probably not meant.
//!
//! Rules are compared within their group: groups are bound in any combination, so what one covers of another changes
//! from interface to interface.

mod bindings;
mod exposure;
mod mail;
mod shadow;
mod usage;

use std::time::SystemTime;

use super::{
    code::Code,
    diagnostic::Report,
    model::{Policy, Rule},
    validate::Positions,
};

/// Reports what is doubtful about `policy`, at the time `now`.
pub fn lint(policy: &Policy, positions: &Positions, now: SystemTime, report: &mut Report) {
    for group in policy.groups.values() {
        expired(group.name.as_str(), &group.rules, positions, now, report);
        let refused = shadow::lint(group, positions, report);
        let at_work = group
            .rules
            .iter()
            .enumerate()
            .filter(|(at, rule)| !refused.contains(at) && !is_expired(rule, now));
        for (_, rule) in at_work {
            exposure::lint(policy, group, rule, positions, report);
        }
        mail::lint(policy, group, positions, report);
    }
    usage::lint(policy, positions, report);
    bindings::lint(policy, positions, report);
}

fn is_expired(rule: &Rule, now: SystemTime) -> bool {
    rule.expires.is_some_and(|end| end <= now)
}

fn expired(group: &str, rules: &[Rule], positions: &Positions, now: SystemTime, report: &mut Report) {
    for rule in rules.iter().filter(|rule| is_expired(rule, now)) {
        let end = rule.expires.and_then(|end| jiff::Timestamp::try_from(end).ok());
        let end = end.map(|end| end.to_string()).unwrap_or_default();
        report
            .push(Code::Expired, positions.rule(group, rule.index), format!("this rule expired at {end}"))
            .help("it matches nothing any more; remove it or set a later time");
    }
}
