//! `terraform show -json`, of a state and of a plan: the AWS and OpenStack resources for security groups.
//!
//! What a plan does not know yet, such as the id of a group that is still to be made, its configuration tells by name.

mod aws;
mod openstack;

use super::{
    neutral::{Effect, Neutral, Place},
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
#[derive(Clone, Copy)]
struct Resource<'n> {
    /// `module.a.aws_security_group.web[0]`.
    address: &'n str,
    kind: &'n str,
    values: Value<'n>,
    /// The expressions of its arguments; a state has none.
    expressions: Option<Value<'n>>,
}

impl<'n> Resource<'n> {
    fn place(&self, part: &str) -> Place {
        let blank = if part.is_empty() { "" } else { " " };
        Place { span: self.values.span(), what: format!("{}{blank}{part}", self.address) }
    }

    /// `module.a.`, as the addresses of its neighbours start.
    fn module(&self) -> &'n str {
        let end = self.address.find(&format!("{}.", self.kind)).unwrap_or(0);
        &self.address[..end]
    }

    /// What the argument `key` refers to, as an address in the same module without its attribute.
    fn refers_to(&self, key: &str) -> Option<String> {
        let references = self.expressions?.at(&[key, "references"])?;
        // The list goes from the whole reference to its beginning: `x.y.id`, `x.y`.
        let last = references.items().filter_map(Value::text).find(|text| text.split('.').count() == 2)?;
        Some(format!("{}{last}", self.module()))
    }

    /// The key of the group that the argument `key` names.
    fn group(&self, key: &str, into: &Neutral) -> Option<String> {
        match self.values.text_of(key) {
            Some(id) => Some(id.to_owned()),
            None => self.refers_to(key).map(|address| into.scoped(&address)),
        }
    }
}

/// Reads the resources of `root`.
pub fn read(root: Value<'_>, into: &mut Neutral) {
    let Some(values) = root.either(&["planned_values", "values"]) else { return };
    let configuration = root.at(&["configuration", "root_module"]);
    let mut resources = Vec::new();
    if let Some(module) = values.get("root_module") {
        collect(module, configuration, &mut resources);
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

/// The resources of a module and of those below it.
fn collect<'n>(module: Value<'n>, configuration: Option<Value<'n>>, found: &mut Vec<Resource<'n>>) {
    for value in module.items_of("resources") {
        let (Some(kind), Some(values)) = (value.text_of("type"), value.get("values")) else { continue };
        if value.text_of("mode") == Some("data") {
            continue;
        }
        let name = value.text_of("name").unwrap_or_default();
        let address = value.text_of("address").unwrap_or(name);
        let configured = configuration.into_iter().flat_map(|module| module.items_of("resources"));
        let expressions = configured
            .filter(|other| other.text_of("type") == Some(kind) && other.text_of("name") == Some(name))
            .find_map(|other| other.get("expressions"));
        found.push(Resource { address, kind, values, expressions });
    }
    for child in module.items_of("child_modules") {
        let address = child.text_of("address").unwrap_or_default();
        let call = address.rsplit('.').next().unwrap_or_default().split('[').next().unwrap_or_default();
        let inner = configuration.and_then(|module| module.at(&["module_calls", call, "module"]));
        collect(child, inner, found);
    }
}

/// The address of a resource without the index of `count` or `for_each`, which references do not have.
fn without_index(address: &str) -> &str {
    address.split('[').next().unwrap_or(address)
}
