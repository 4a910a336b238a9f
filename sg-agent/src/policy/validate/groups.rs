//! `security_groups:`.

use std::collections::BTreeMap;

use super::{
    super::{
        code::Code,
        diagnostic::Report,
        document::{GroupDoc, Scalar, clip},
        language::{ACTIONS, CHANGES},
        model::{Action, Group, OnIngressChange, Quotas, Rule},
        suggest, templates,
    },
    Names, names, net,
    positions::{GroupPositions, Positions},
    rules, scalars,
};

/// All security groups, within the quotas.
pub fn groups(
    docs: &[GroupDoc<'_>],
    known: &Names,
    quotas: Quotas,
    positions: &mut Positions,
    report: &mut Report,
) -> BTreeMap<String, Group> {
    if let Some(first) = docs.get(quotas.groups as usize) {
        let message = format!("{} security groups, the quota is {}", docs.len(), quotas.groups);
        report
            .push(Code::Quota, first.name.span, message)
            .help("raise `settings.quotas.groups`, or remove groups");
    }
    let mut groups = BTreeMap::new();
    for doc in docs {
        let Some(name) = names::name(&doc.name, "a security group", report) else {
            // Its body is still judged.
            group(doc, String::new(), known, report);
            continue;
        };
        let (group, spans) = group(doc, name.clone(), known, report);
        quota(doc, spans.rules.len(), quotas, report);
        positions.groups.insert(name.clone(), spans);
        groups.insert(name, group);
    }
    groups
}

fn quota(doc: &GroupDoc<'_>, count: usize, quotas: Quotas, report: &mut Report) {
    if count <= quotas.rules_per_group as usize {
        return;
    }
    let at = doc.rules.get(quotas.rules_per_group as usize).map_or(doc.name.span, |rule| rule.span);
    let message = format!(
        "security group `{}` has {count} rules, the quota is {}",
        clip(&doc.name.text),
        quotas.rules_per_group
    );
    report.push(Code::Quota, at, message).help("raise `settings.quotas.rules_per_group`, or split the group");
}

fn group(doc: &GroupDoc<'_>, name: String, known: &Names, report: &mut Report) -> (Group, GroupPositions) {
    let mut spans = GroupPositions { name: doc.name.span, rules: Vec::new(), own: doc.rules.len() as u32 };
    let stateful = flag(&doc.stateful, "stateful", true, report);
    stateless_fields(doc, stateful, report);
    let mut own = Vec::new();
    for (index, rule) in (0..).zip(&doc.rules) {
        own.extend(rules::rule(rule, index, known, report));
        spans.rules.push(rule.span);
    }
    own.extend(template(doc, &name, &mut spans, report));
    let description = doc.description.as_ref();
    let group = Group {
        description: description.and_then(|d| scalars::text(d, "a description", report)).unwrap_or_default(),
        stateful,
        default_ingress: default(&doc.default_ingress, "ingress", Action::Deny, report),
        default_egress: default(&doc.default_egress, "egress", Action::Allow, report),
        allow_smtp: flag(&doc.allow_smtp, "allow_smtp", false, report),
        on_ingress_change: change(&doc.on_ingress_change, report),
        audit: flag(&doc.audit, "audit", false, report),
        members: net::prefixes(&doc.members, report),
        rules: own,
        name,
    };
    (group, spans)
}

fn flag(scalar: &Option<Scalar<'_>>, what: &str, default: bool, report: &mut Report) -> bool {
    scalar.as_ref().and_then(|scalar| scalars::boolean(scalar, what, report)).unwrap_or(default)
}

fn default(scalar: &Option<Scalar<'_>>, what: &str, default: Action, report: &mut Report) -> Action {
    scalars::optional_choice(scalar, what, ACTIONS, report).unwrap_or(default)
}

fn change(scalar: &Option<Scalar<'_>>, report: &mut Report) -> OnIngressChange {
    let given = scalar.as_ref();
    given.and_then(|scalar| scalars::choice(scalar, "on_ingress_change", CHANGES, report)).unwrap_or_default()
}

fn stateless_fields(doc: &GroupDoc<'_>, stateful: bool, report: &mut Report) {
    let Some(change) = doc.on_ingress_change.as_ref().filter(|_| !stateful) else { return };
    report
        .push(
            Code::Stateless,
            change.span,
            format!("`on_ingress_change: {}` in a stateless group", clip(&change.text)),
        )
        .help("a stateless group has no connections that a change could cut; leave the key out");
}

/// The rules of the group's template, after its own.
fn template(doc: &GroupDoc<'_>, group: &str, spans: &mut GroupPositions, report: &mut Report) -> Vec<Rule> {
    let Some(scalar) = &doc.template else { return Vec::new() };
    let Some(template) = templates::find(&scalar.text) else {
        let names = || templates::ALL.iter().map(|template| template.name);
        report
            .push(Code::Template, scalar.span, format!("`{}` is not a template", clip(&scalar.text)))
            .help(format!("the templates are {}", suggest::one_of(names()).replace(" or ", " and ")))
            .suggest(suggest::near_miss(&scalar.text, names()));
        return Vec::new();
    };
    let first = spans.rules.len();
    spans.rules.resize(first + template.rules.len(), scalar.span);
    template.expand(group, first as u32)
}
