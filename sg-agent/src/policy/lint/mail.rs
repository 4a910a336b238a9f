//! Rules for outbound mail that have no say, because mail is blocked before the rules.

use super::super::{
    code::Code,
    diagnostic::Report,
    model::{Action, Direction, Group, Match, Policy, PortRange, Rule},
    validate::Positions,
};

/// Ports of outbound mail.
const PORTS: [u16; 3] = [25, 465, 587];

/// Reports rules of `group` that allow outbound mail and nothing else, where nothing switches the block off.
pub fn lint(policy: &Policy, group: &Group, positions: &Positions, report: &mut Report) {
    if group.allow_smtp || is_opened_beside(policy, group) {
        return;
    }
    for rule in group.rules.iter().filter(|rule| is_mail(rule)) {
        report
            .push(
                Code::Smtp,
                positions.rule(&group.name, rule.index),
                format!(
                    "rule {} of group `{}` allows mail that is blocked before the rules",
                    rule.index, group.name
                ),
            )
            .help("set `allow_smtp: true` in the group; rules then decide about tcp/25, 465 and 587");
    }
}

/// Whether an interface of the group has another group that switches the block off.
fn is_opened_beside(policy: &Policy, group: &Group) -> bool {
    let opens = |name: &String| policy.groups.get(name).is_some_and(|other| other.allow_smtp && !other.audit);
    let mut bound = policy.interfaces.iter().filter(|interface| interface.groups.contains(&group.name));
    bound.any(|interface| interface.groups.iter().any(opens))
}

fn is_mail(rule: &Rule) -> bool {
    let is_port = |range: &PortRange| range.first == range.last && PORTS.contains(&range.first);
    let ports = matches!(&rule.matches, Match::Ports(6, ports) if ports.iter().all(is_port));
    rule.direction == Direction::Egress && rule.action == Action::Allow && ports
}
