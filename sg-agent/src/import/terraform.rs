//! `terraform show -json`, of a state and of a plan: the AWS and OpenStack resources for security groups.
//!
//! What a plan does not know yet, such as the id of a group that is still to be made, its configuration tells by name.

mod aws;
mod openstack;
mod references;

use std::{collections::BTreeMap, rc::Rc};

use references::{Scope, without_indexes};

use super::{
    neutral::{Effect, Group, Neutral, Place},
    value::Value,
};
use crate::policy::document::clip;

/// Providers whose resources are those of OpenStack.
const OPENSTACK: &[&str] = &["openstack", "opentelekomcloud"];

/// Whether `root` is such an output.
pub fn recognises(root: Value<'_>) -> bool {
    root.get("format_version").is_some() && root.either(&["values", "planned_values"]).is_some()
}

/// A resource with what its configuration says.
struct Resource<'n> {
    /// `module.a.aws_security_group.web[0]`.
    address: &'n str,
    kind: &'n str,
    values: Value<'n>,
    /// The expressions of its arguments; a state has none.
    expressions: Option<Value<'n>>,
    /// What a plan's `after_unknown` says of its arguments.
    unknown: Option<Value<'n>>,
    /// The module that it is in.
    scope: Rc<Scope<'n>>,
}

impl<'n> Resource<'n> {
    fn place(&self, part: &str) -> Place {
        let blank = if part.is_empty() { "" } else { " " };
        Place { span: self.values.span(), what: format!("{}{blank}{part}", self.address) }
    }

    /// Whether a plan does not know the argument `key` yet: it says so, or leaves it out, where null is what it knows. One
    /// that the configuration does not set is as the product makes it without.
    fn is_unknown(&self, key: &str) -> bool {
        let said = self.unknown.and_then(|all| all.get(key)).is_some_and(Value::holds_true);
        match self.expressions {
            Some(all) => all.has(key) && (said || !self.values.has(key)),
            None => said,
        }
    }

    /// The key of the group that the argument `key` names.
    fn group(&self, key: &str, into: &Neutral) -> Option<String> {
        if let Some(id) = self.values.text_of(key) {
            return Some(id.to_owned());
        }
        let expression = self.expressions.and_then(|all| all.get(key));
        match expression.and_then(|expression| self.scope.resource(expression)) {
            Some(address) => Some(into.scoped(&address)),
            None => self.is_unknown(key).then(|| into.unknown(&format!("{key} of {}", self.address))),
        }
    }

    /// The key of the group that a rule belongs to; without one it is noted.
    fn owner(&self, into: &mut Neutral) -> Option<String> {
        let place = self.place("");
        let key = self.group("security_group_id", into);
        match &key {
            Some(key) => into.adopt(key, &place),
            None => into.note(Effect::Dropped, &place, "its group is not known"),
        }
        key
    }

    /// Puts the group that it is into `into`, under every key that refers to it; gives the first.
    fn define(&self, name: &str, qualifier: &str, stateful: bool, into: &mut Neutral) -> String {
        let local = into.scoped(self.address);
        let key = self.values.text_of("id").map_or_else(|| local.clone(), str::to_owned);
        let mut group = Group::new(&key, name);
        group.qualifier = qualifier.to_owned();
        group.description = self.values.text_of("description").unwrap_or_default().to_owned();
        group.origin = self.address.to_owned();
        group.stateful = stateful;
        into.define(group);
        into.alias(&key, &local);
        let plain = into.scoped(&without_indexes(self.address));
        if plain != local {
            into.alias(&key, &plain);
        }
        key
    }
}

/// Reads the resources of `root`.
pub fn read(root: Value<'_>, into: &mut Neutral) {
    let Some(values) = root.either(&["planned_values", "values"]) else { return };
    let scope = Rc::new(Scope::root(root.at(&["configuration", "root_module"])));
    let mut resources = Vec::new();
    if let Some(module) = values.get("root_module") {
        collect(module, &scope, &unknown(root), &mut resources);
    }
    // Groups first: a rule may stand before its group.
    for resource in &resources {
        if matches!(resource.kind, "aws_security_group" | "aws_default_security_group") {
            aws::group(resource, into);
        } else if of_openstack(resource.kind, "networking_secgroup_v2") {
            openstack::group(resource, into);
        }
    }
    for resource in &resources {
        match resource.kind {
            "aws_security_group" | "aws_default_security_group" => {}
            "aws_security_group_rule" => aws::rule(resource, into),
            "aws_vpc_security_group_ingress_rule" | "aws_vpc_security_group_egress_rule" => {
                aws::single(resource, into);
            }
            kind if of_openstack(kind, "networking_secgroup_rule_v2") => openstack::rule(resource, into),
            kind if of_openstack(kind, "networking_secgroup_v2") => {}
            kind if kind.contains("security_group") || kind.contains("secgroup") => {
                let message = format!("resources of type `{}` are not read", clip(kind));
                into.note(Effect::Dropped, &resource.place(""), message);
            }
            _ => {}
        }
    }
}

fn of_openstack(kind: &str, name: &str) -> bool {
    let provider = kind.strip_suffix(name).and_then(|rest| rest.strip_suffix('_'));
    provider.is_some_and(|provider| OPENSTACK.contains(&provider))
}

/// What a plan says it does not know, by address.
fn unknown(root: Value<'_>) -> BTreeMap<&str, Value<'_>> {
    let changes = root.items_of("resource_changes");
    changes.filter_map(|one| Some((one.text_of("address")?, one.at(&["change", "after_unknown"])?))).collect()
}

/// The resources of a module and of those below it.
fn collect<'n>(
    module: Value<'n>,
    scope: &Rc<Scope<'n>>,
    unknown: &BTreeMap<&str, Value<'n>>,
    found: &mut Vec<Resource<'n>>,
) {
    let configured: BTreeMap<(&str, &str), Value<'n>> = scope
        .configuration()
        .filter_map(|one| Some(((one.text_of("type")?, one.text_of("name")?), one.get("expressions")?)))
        .collect();
    for value in module.items_of("resources") {
        let (Some(kind), Some(values)) = (value.text_of("type"), value.get("values")) else { continue };
        if value.text_of("mode") == Some("data") {
            continue;
        }
        let name = value.text_of("name").unwrap_or_default();
        let address = value.text_of("address").unwrap_or(name);
        let expressions = configured.get(&(kind, name)).copied();
        let unknown = unknown.get(address).copied();
        found.push(Resource { address, kind, values, expressions, unknown, scope: scope.clone() });
    }
    for child in module.items_of("child_modules") {
        let address = without_indexes(child.text_of("address").unwrap_or_default());
        let call = address.rsplit('.').next().unwrap_or_default();
        collect(child, &Rc::new(Scope::inside(scope, call)), unknown, found);
    }
}
