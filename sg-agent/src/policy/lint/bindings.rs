//! Interfaces whose groups do not fit together, or that no group protects.

use super::super::{
    code::Code,
    diagnostic::{Report, Span},
    model::{Action, Group, Interface, Policy},
    validate::Positions,
};

/// Reports doubtful interfaces.
pub fn lint(policy: &Policy, positions: &Positions, report: &mut Report) {
    for (at, interface) in policy.interfaces.iter().enumerate() {
        let span = positions.interfaces.get(at).copied().unwrap_or_default();
        defaults(policy, interface, span, report);
        default_group(policy, interface, span, report);
        if let Some(all) = interface.exempt.iter().find(|net| net.prefix_len() == 0) {
            report
                .push(
                    Code::ExemptAll,
                    span,
                    format!("`{}` exempts {all}: no rule applies to it", interface.name),
                )
                .help("name the private networks only");
        }
    }
}

/// The default of a group in one direction.
type DefaultOf = fn(&Group) -> Action;

fn defaults(policy: &Policy, interface: &Interface, span: Span, report: &mut Report) {
    let bound = interface.groups.iter().filter_map(|name| policy.groups.get(name));
    let groups: Vec<&Group> = bound.filter(|group| !group.audit).collect();
    let directions: [(&str, DefaultOf); 2] =
        [("ingress", |group| group.default_ingress), ("egress", |group| group.default_egress)];
    for (direction, default) in directions {
        let with = |action| groups.iter().find(|group| default(group) == action);
        let (Some(open), Some(closed)) = (with(Action::Allow), with(Action::Deny)) else { continue };
        let message = format!(
            "the {direction} default of `{}` is deny: group `{}` allows, group `{}` denies",
            interface.name, open.name, closed.name
        );
        report.push(Code::Defaults, span, message).help(format!(
            "set `default_policy: {{{direction}: ...}}` to the same in all groups of an interface"
        ));
    }
}

fn default_group(policy: &Policy, interface: &Interface, span: Span, report: &mut Report) {
    let name = &policy.settings.default_group;
    if !interface.groups.is_empty() || policy.groups.contains_key(name) {
        return;
    }
    report
        .push(
            Code::DefaultGroup,
            span,
            format!("`{}` names no group and there is no group `{name}`: nothing passes", interface.name),
        )
        .help("list its `groups`, or define the default group");
}
