//! From the tree to the [`Document`]: one function per mapping of the language, each with its list of keys.

use super::{
    super::{
        code::Code,
        diagnostic::{Report, Span},
    },
    AddressGroupDoc, Document, GroupDoc, IcmpDoc, InterfaceDoc, PairDoc, RuleDoc, SettingsDoc,
    fields::{self, Fields, clip},
    tree::{Node, Scalar},
};

const DOCUMENT: &[&str] = &["version", "settings", "address_groups", "security_groups", "interfaces"];
const SETTINGS: &[&str] = &["timeouts", "conntrack", "quotas", "limits", "default_group"];
const TIMEOUTS: &[&str] = &["tcp_established", "tcp_fin_wait", "icmp", "bidirectional", "unidirectional"];
const CONNTRACK: &[&str] = &["max_entries", "max_per_interface", "tcp_pickup"];
const QUOTAS: &[&str] = &["groups", "rules_per_group"];
const LIMITS: &[&str] = &["interfaces", "policy_bytes", "rule_counters", "members", "fragments"];
const ADDRESS_GROUP: &[&str] = &["description", "addresses", "file"];
const GROUP: &[&str] = &[
    "description",
    "stateful",
    "default_policy",
    "allow_smtp",
    "on_ingress_change",
    "audit",
    "template",
    "members",
    "rules",
];
const DEFAULT_POLICY: &[&str] = &["ingress", "egress"];
const RULE: &[&str] = &[
    "description",
    "direction",
    "protocol",
    "ports",
    "icmp",
    "service",
    "remote",
    "action",
    "priority",
    "ethertype",
    "expires",
];
const ICMP: &[&str] = &["type", "code"];
const INTERFACE: &[&str] = &[
    "name",
    "role",
    "groups",
    "addresses",
    "mac",
    "allowed_address_pairs",
    "anti_spoof",
    "exempt",
    "rx_hook",
    "zone",
    "link_local",
];
const PAIR: &[&str] = &["address", "mac"];

/// The whole file.
pub fn document<'a>(root: Node<'a>, report: &mut Report) -> Document<'a> {
    let Some(mut fields) = Fields::read(root, "policy file", DOCUMENT, report) else {
        return Document::default();
    };
    version(&mut fields, report);
    Document {
        settings: fields.take("settings").map(|node| settings(node, report)).unwrap_or_default(),
        address_groups: entries(&mut fields, "address_groups", address_group, report),
        groups: entries(&mut fields, "security_groups", group, report),
        interfaces: items(&mut fields, "interfaces", interface, report),
        report: Report::default(),
    }
}

fn version(fields: &mut Fields<'_>, report: &mut Report) {
    let help = "the first line of a policy file is `version: 1`";
    let Some(version) = fields.required("version", help, report) else { return };
    if version.text != "1" || !version.plain {
        report
            .push(Code::Version, version.span, format!("version `{}` is not known", clip(&version.text)))
            .help("this release reads `version: 1`");
    }
}

/// The named entries of the mapping `key`.
fn entries<'a, T>(
    fields: &mut Fields<'a>,
    key: &'static str,
    read: fn(Scalar<'a>, Node<'a>, &mut Report) -> Option<T>,
    report: &mut Report,
) -> Vec<T> {
    let Some(node) = fields.take(key) else { return Vec::new() };
    let named = fields::named(node, key, report);
    named.into_iter().filter_map(|(name, node)| read(name, node, report)).collect()
}

/// The items of the list `key`.
fn items<'a, T>(
    fields: &mut Fields<'a>,
    key: &'static str,
    read: fn(Node<'a>, &mut Report) -> Option<T>,
    report: &mut Report,
) -> Vec<T> {
    let nodes = fields.list(key, report);
    nodes.into_iter().filter_map(|node| read(node, report)).collect()
}

fn settings<'a>(node: Node<'a>, report: &mut Report) -> SettingsDoc<'a> {
    let Some(mut fields) = Fields::read(node, "settings", SETTINGS, report) else {
        return SettingsDoc::default();
    };
    SettingsDoc {
        timeouts: table(&mut fields, "timeouts", TIMEOUTS, report),
        conntrack: table(&mut fields, "conntrack", CONNTRACK, report),
        quotas: table(&mut fields, "quotas", QUOTAS, report),
        limits: table(&mut fields, "limits", LIMITS, report),
        default_group: fields.scalar("default_group", report),
    }
}

fn table<'a>(
    fields: &mut Fields<'a>,
    key: &'static str,
    known: &'static [&'static str],
    report: &mut Report,
) -> Vec<(&'static str, Scalar<'a>)> {
    let Some(node) = fields.take(key) else { return Vec::new() };
    let Some(mut inner) = Fields::read(node, key, known, report) else { return Vec::new() };
    known.iter().filter_map(|name| Some((*name, inner.scalar(name, report)?))).collect()
}

fn address_group<'a>(name: Scalar<'a>, node: Node<'a>, report: &mut Report) -> Option<AddressGroupDoc<'a>> {
    let Some(mut fields) = Fields::read(node, "address group", ADDRESS_GROUP, report) else {
        // The name still counts: what refers to it is not a second fault.
        return Some(AddressGroupDoc { name, description: None, addresses: Some(Vec::new()), file: None });
    };
    let addresses = fields.take("addresses").map(|node| scalars(node, "addresses", report));
    Some(AddressGroupDoc {
        name,
        description: fields.scalar("description", report),
        addresses,
        file: fields.scalar("file", report),
    })
}

fn group<'a>(name: Scalar<'a>, node: Node<'a>, report: &mut Report) -> Option<GroupDoc<'a>> {
    let span = node.span();
    let mut fields =
        Fields::read(node, "security group", GROUP, report).unwrap_or_else(|| Fields::empty(span));
    let mut defaults = fields
        .take("default_policy")
        .and_then(|node| Fields::read(node, "default_policy", DEFAULT_POLICY, report));
    let mut default = |key, report: &mut Report| defaults.as_mut().and_then(|map| map.scalar(key, report));
    Some(GroupDoc {
        name,
        default_ingress: default("ingress", report),
        default_egress: default("egress", report),
        description: fields.scalar("description", report),
        stateful: fields.scalar("stateful", report),
        allow_smtp: fields.scalar("allow_smtp", report),
        on_ingress_change: fields.scalar("on_ingress_change", report),
        audit: fields.scalar("audit", report),
        template: fields.scalar("template", report),
        members: fields.scalars("members", report),
        rules: items(&mut fields, "rules", rule, report),
    })
}

fn rule<'a>(node: Node<'a>, report: &mut Report) -> Option<RuleDoc<'a>> {
    let mut fields = Fields::read(node, "rule", RULE, report)?;
    Some(RuleDoc {
        span: fields.span(),
        direction: fields.required("direction", "write `direction: ingress` or `direction: egress`", report),
        description: fields.scalar("description", report),
        protocol: fields.scalar("protocol", report),
        ports: fields.take("ports").map(|node| ports(node, report)),
        icmp: fields.take("icmp").and_then(|node| icmp(node, report)),
        service: fields.scalar("service", report),
        remote: fields.scalar("remote", report),
        action: fields.scalar("action", report),
        priority: fields.scalar("priority", report),
        ethertype: fields.scalar("ethertype", report),
        expires: fields.scalar("expires", report),
    })
}

/// One value, or a list of them.
fn ports<'a>(node: Node<'a>, report: &mut Report) -> (Span, Vec<Scalar<'a>>) {
    let span = node.span();
    let values = match node {
        Node::List(..) => scalars(node, "ports", report),
        other => fields::scalar(other, "ports", report).into_iter().collect(),
    };
    (span, values)
}

fn scalars<'a>(node: Node<'a>, what: &'static str, report: &mut Report) -> Vec<Scalar<'a>> {
    let nodes = fields::list(node, what, report).unwrap_or_default();
    nodes.into_iter().filter_map(|node| fields::scalar(node, what, report)).collect()
}

fn icmp<'a>(node: Node<'a>, report: &mut Report) -> Option<IcmpDoc<'a>> {
    let mut fields = Fields::read(node, "icmp", ICMP, report)?;
    let (kind, code) = (fields.scalar("type", report), fields.scalar("code", report));
    Some(IcmpDoc { span: fields.span(), kind, code })
}

fn interface<'a>(node: Node<'a>, report: &mut Report) -> Option<InterfaceDoc<'a>> {
    let mut fields = Fields::read(node, "interface", INTERFACE, report)?;
    Some(InterfaceDoc {
        span: fields.span(),
        name: fields.required("name", "write `name: tap0`, or a pattern such as `name: \"tap*\"`", report),
        role: fields.scalar("role", report),
        groups: fields.scalars("groups", report),
        addresses: fields.scalars("addresses", report),
        mac: fields.scalar("mac", report),
        allowed_address_pairs: items(&mut fields, "allowed_address_pairs", pair, report),
        anti_spoof: fields.scalar("anti_spoof", report),
        exempt: fields.scalars("exempt", report),
        rx_hook: fields.scalar("rx_hook", report),
        zone: fields.scalar("zone", report),
        link_local: fields.scalar("link_local", report),
    })
}

fn pair<'a>(node: Node<'a>, report: &mut Report) -> Option<PairDoc<'a>> {
    let mut fields = Fields::read(node, "allowed address pair", PAIR, report)?;
    let help = "write `{address: 10.0.0.100}`";
    let (address, mac) = (fields.required("address", help, report), fields.scalar("mac", report));
    Some(PairDoc { address, mac })
}
