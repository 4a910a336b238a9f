//! From the tree to the [`Document`]: one function per mapping of the language.

use super::{
    super::{
        code::Code,
        diagnostic::{Report, Span},
        language::{self, Key, Mapping},
    },
    AddressGroupDoc, Document, GroupDoc, IcmpDoc, InterfaceDoc, PairDoc, RuleDoc, SettingsDoc,
    fields::{self, Fields, clip},
    tree::{Node, Scalar},
};

/// The whole file.
pub fn document<'a>(root: Node<'a>, report: &mut Report) -> Document<'a> {
    let Some(mut fields) = Fields::read(root, &language::DOCUMENT, report) else {
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
    let Some(version) = fields.required("version", report) else { return };
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
    let Some(mut fields) = Fields::read(node, &language::SETTINGS, report) else {
        return SettingsDoc::default();
    };
    SettingsDoc {
        timeouts: table(&mut fields, "timeouts", &language::TIMEOUTS, report),
        conntrack: table(&mut fields, "conntrack", &language::CONNTRACK, report),
        quotas: table(&mut fields, "quotas", &language::QUOTAS, report),
        limits: table(&mut fields, "limits", &language::LIMITS, report),
        default_group: fields.scalar("default_group", report),
    }
}

fn table<'a>(
    fields: &mut Fields<'a>,
    key: &'static str,
    mapping: &'static Mapping,
    report: &mut Report,
) -> Vec<(&'static Key, Scalar<'a>)> {
    let Some(node) = fields.take(key) else { return Vec::new() };
    let Some(mut inner) = Fields::read(node, mapping, report) else { return Vec::new() };
    mapping.keys.iter().filter_map(|key| Some((key, inner.scalar(key.name, report)?))).collect()
}

fn address_group<'a>(name: Scalar<'a>, node: Node<'a>, report: &mut Report) -> Option<AddressGroupDoc<'a>> {
    let Some(mut fields) = Fields::read(node, &language::ADDRESS_GROUP, report) else {
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
        Fields::read(node, &language::GROUP, report).unwrap_or_else(|| Fields::empty(span, &language::GROUP));
    let mut defaults =
        fields.take("default_policy").and_then(|node| Fields::read(node, &language::DEFAULT_POLICY, report));
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
    let mut fields = Fields::read(node, &language::RULE, report)?;
    Some(RuleDoc {
        span: fields.span(),
        direction: fields.required("direction", report),
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
    let mut fields = Fields::read(node, &language::ICMP, report)?;
    let (kind, code) = (fields.scalar("type", report), fields.scalar("code", report));
    Some(IcmpDoc { span: fields.span(), kind, code })
}

fn interface<'a>(node: Node<'a>, report: &mut Report) -> Option<InterfaceDoc<'a>> {
    let mut fields = Fields::read(node, &language::INTERFACE, report)?;
    Some(InterfaceDoc {
        span: fields.span(),
        name: fields.required("name", report),
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
    let mut fields = Fields::read(node, &language::PAIR, report)?;
    let (address, mac) = (fields.required("address", report), fields.scalar("mac", report));
    Some(PairDoc { address, mac })
}
