//! `interfaces:`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    super::{
        code::Code,
        diagnostic::{Report, Span},
        document::{InterfaceDoc, PairDoc, Scalar, clip},
        language::{HOOKS, LINK_LOCAL, ROLES},
        model::{AddressPair, Interface, LinkLocal, Role},
    },
    Names, names, net,
    positions::Positions,
    remotes, scalars,
};

/// All interfaces, each name once.
pub fn interfaces(
    docs: &[InterfaceDoc<'_>],
    known: &Names,
    positions: &mut Positions,
    report: &mut Report,
) -> Vec<Interface> {
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    let mut interfaces = Vec::new();
    for doc in docs {
        let interface = interface(doc, known, report);
        let Some(scalar) = &doc.name else { continue };
        if interface.name.is_empty() {
            continue;
        }
        if let Some(first) = seen.insert(interface.name.clone(), scalar.span) {
            report
                .push(
                    Code::NameDuplicate,
                    scalar.span,
                    format!("interface `{}` is bound twice", interface.name),
                )
                .help(format!("the first is on line {}; list all groups there", first.line));
        }
        positions.interfaces.push(scalar.span);
        interfaces.push(interface);
    }
    interfaces
}

fn interface(doc: &InterfaceDoc<'_>, known: &Names, report: &mut Report) -> Interface {
    let role = scalars::optional_choice(&doc.role, "role", ROLES, report).unwrap_or(Role::Guest);
    let addresses = addresses(&doc.addresses, report);
    let mac = doc.mac.as_ref().and_then(|scalar| net::mac(scalar, report));
    let zone = doc.zone.as_ref();
    Interface {
        name: doc.name.as_ref().and_then(|scalar| names::interface(scalar, report)).unwrap_or_default(),
        role,
        groups: groups(&doc.groups, known, report),
        anti_spoof: anti_spoof(doc, role, report),
        addresses,
        mac,
        allowed_address_pairs: doc
            .allowed_address_pairs
            .iter()
            .filter_map(|pair| address_pair(pair, report))
            .collect(),
        exempt: net::prefixes(&doc.exempt, report),
        rx_hook: scalars::optional_choice(&doc.rx_hook, "rx_hook", HOOKS, report).unwrap_or_default(),
        zone: zone.and_then(|scalar| names::name(scalar, "a zone", report)).unwrap_or_default(),
        link_local: link_local(doc, report),
        attached: false,
    }
}

fn groups(scalars: &[Scalar<'_>], known: &Names, report: &mut Report) -> Vec<String> {
    let mut bound = Vec::new();
    let mut seen = BTreeSet::new();
    for scalar in scalars {
        let name = &*scalar.text;
        if !known.groups.contains(name) {
            let bare = name.strip_prefix("group:").filter(|bare| known.groups.contains(*bare));
            let suggestion = bare.map(|bare| format!("did you mean `{bare}`?"));
            remotes::unknown_group(scalar, name, known, suggestion, report);
        } else if !seen.insert(name) {
            report
                .push(Code::NameDuplicate, scalar.span, format!("group `{}` is bound twice", clip(name)))
                .help("name each group once");
        } else {
            bound.push(name.to_owned());
        }
    }
    bound
}

fn addresses(scalars: &[Scalar<'_>], report: &mut Report) -> Vec<IpAddr> {
    let mut seen = BTreeSet::new();
    let mut list = Vec::new();
    for scalar in scalars {
        let Some(address) = net::address(scalar, report) else { continue };
        if seen.insert(address) {
            list.push(address);
            continue;
        }
        report
            .push(Code::NameDuplicate, scalar.span, format!("address `{address}` is listed twice"))
            .help("name each address once");
    }
    list
}

fn address_pair(doc: &PairDoc<'_>, report: &mut Report) -> Option<AddressPair> {
    let prefix = doc.address.as_ref().and_then(|scalar| net::prefix(scalar, report));
    let mac = doc.mac.as_ref().and_then(|scalar| net::mac(scalar, report));
    Some(AddressPair { prefix: prefix?, mac })
}

/// On by default where a guest's addresses are known.
fn anti_spoof(doc: &InterfaceDoc<'_>, role: Role, report: &mut Report) -> bool {
    let has_addresses = !doc.addresses.is_empty();
    let asked = doc.anti_spoof.as_ref().and_then(|scalar| scalars::boolean(scalar, "anti_spoof", report));
    let (Some(true), Some(scalar)) = (asked, &doc.anti_spoof) else {
        return asked.unwrap_or(role == Role::Guest && has_addresses);
    };
    let fault = match role {
        Role::Host => Some(("on a host interface", "anti-spoofing is for `role: guest`")),
        Role::Guest if !has_addresses && doc.allowed_address_pairs.is_empty() => Some((
            "without addresses",
            "list the instance's own `addresses`; any other source is then dropped",
        )),
        Role::Guest => None,
    };
    if let Some((message, help)) = fault {
        report.push(Code::AntiSpoof, scalar.span, format!("`anti_spoof: true` {message}")).help(help);
    }
    true
}

fn link_local(doc: &InterfaceDoc<'_>, report: &mut Report) -> LinkLocal {
    let wanted =
        scalars::optional_choice(&doc.link_local, "link_local", LINK_LOCAL, report).unwrap_or_default();
    if let (LinkLocal::Eui64, None, Some(scalar)) = (wanted, &doc.mac, &doc.link_local) {
        report
            .push(Code::LinkLocal, scalar.span, "`link_local: eui64` without a `mac`")
            .help("the address is made from the MAC; give `mac: \"52:54:00:12:34:56\"`");
    }
    wanted
}
