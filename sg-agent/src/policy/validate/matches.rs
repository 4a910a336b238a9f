//! What a rule matches above IP: `protocol`, `ports`, `icmp`, or a `service` in their place.

use super::{
    super::{
        code::Code,
        diagnostic::{Report, Span},
        document::{IcmpDoc, RuleDoc, Scalar, clip},
        language::{self, PROTOCOLS},
        model::{Match, PortRange},
        services, suggest,
    },
    scalars::{self, NotDecimal},
};

/// Protocols that have ports.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

/// The matches of a rule; empty when there is a fault.
pub fn matches(doc: &RuleDoc<'_>, report: &mut Report) -> Vec<Match> {
    if let Some(service) = &doc.service {
        beside_service(doc, service, report);
        return service_matches(service, report);
    }
    let protocol = doc.protocol.as_ref().map(|scalar| protocol(scalar, report));
    let ports = doc.ports.as_ref().map(|(span, values)| (*span, ports(*span, values, report)));
    let icmp = doc.icmp.as_ref().map(|icmp| icmp_type(icmp, report));
    let Some(protocol) = protocol.unwrap_or(Some(None)) else { return Vec::new() };
    match (ports, icmp) {
        (None, None) => vec![protocol.map_or(Match::All, Match::Protocol)],
        (Some((span, ports)), icmp) => {
            if let (Some(_), Some(icmp)) = (icmp, &doc.icmp) {
                icmp_protocol(icmp.span, protocol, report);
            }
            with_ports(span, ports, protocol, report)
        }
        (None, Some(found)) => {
            let span = doc.icmp.as_ref().map(|icmp| icmp.span).unwrap_or_default();
            with_icmp(span, found, protocol, report)
        }
    }
}

fn with_ports(
    span: Span,
    ports: Option<Vec<PortRange>>,
    protocol: Option<u8>,
    report: &mut Report,
) -> Vec<Match> {
    match protocol {
        Some(number) if WITH_PORTS.contains(&number) => {
            ports.map(|ports| Match::Ports(number, ports)).into_iter().collect()
        }
        other => {
            report
                .push(Code::PortProtocol, span, format!("`ports` with protocol `{}`", protocol_name(other)))
                .help("only `tcp`, `udp` and `sctp` have ports; write one rule for each");
            Vec::new()
        }
    }
}

fn with_icmp(
    span: Span,
    found: Option<(u8, Option<u8>)>,
    protocol: Option<u8>,
    report: &mut Report,
) -> Vec<Match> {
    match protocol {
        Some(protocol @ (1 | 58)) => {
            found.map(|(kind, code)| Match::Icmp { protocol, kind, code }).into_iter().collect()
        }
        other => {
            icmp_protocol(span, other, report);
            Vec::new()
        }
    }
}

fn icmp_protocol(span: Span, protocol: Option<u8>, report: &mut Report) {
    report
        .push(Code::IcmpProtocol, span, format!("`icmp` with protocol `{}`", protocol_name(protocol)))
        .help("`icmp: {type, code}` needs `protocol: icmp` (IPv4) or `protocol: icmpv6` (IPv6)");
}

/// The name of a protocol, or its number.
pub fn protocol_name(protocol: Option<u8>) -> String {
    let Some(number) = protocol else { return "all".to_owned() };
    let named = PROTOCOLS.iter().find(|(_, known)| *known == number);
    named.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// `Some(None)` is every protocol, `None` a fault.
fn protocol(scalar: &Scalar<'_>, report: &mut Report) -> Option<Option<u8>> {
    if scalar.text == "all" {
        return Some(None);
    }
    if let Some((_, number)) = PROTOCOLS.iter().find(|(name, _)| *name == scalar.text) {
        return Some(Some(*number));
    }
    if let Some(number) = scalars::decimal(&scalar.text).ok().and_then(|number| u8::try_from(number).ok()) {
        return Some(Some(number));
    }
    let suggestion = match &*scalar.text {
        "-1" | "any" | "*" | "ip" => Some("did you mean `all`?".to_owned()),
        "ipv6-icmp" | "icmp6" => Some("did you mean `icmpv6`?".to_owned()),
        other => suggest::near_miss(other, language::protocol_names()),
    };
    report
        .push(Code::Protocol, scalar.span, format!("`{}` is not a protocol", clip(&scalar.text)))
        .help(language::protocol())
        .suggest(suggestion);
    None
}

/// The ranges, sorted and disjoint; `None` with a fault.
fn ports(span: Span, values: &[Scalar<'_>], report: &mut Report) -> Option<Vec<PortRange>> {
    let ranges: Vec<Option<PortRange>> = values.iter().map(|value| port_range(value, report)).collect();
    if values.is_empty() {
        report
            .push(Code::Port, span, "`ports` is an empty list, which matches nothing")
            .help("leave `ports` out for all ports");
    }
    let mut ranges = ranges.into_iter().collect::<Option<Vec<PortRange>>>()?;
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let joins = u32::from(next.first) <= u32::from(last.last) + 1;
        if joins {
            last.last = last.last.max(next.last);
        }
        joins
    });
    (!ranges.is_empty()).then_some(ranges)
}

fn port_range(scalar: &Scalar<'_>, report: &mut Report) -> Option<PortRange> {
    // `-1` is a negative number, not a range without a start.
    let parts = scalar.text.split_once('-').filter(|(first, _)| !first.is_empty());
    let (first, last) = match parts {
        Some((first, last)) => (port(first), port(last)),
        None => (port(&scalar.text), port(&scalar.text)),
    };
    let (Some(first), Some(last)) = (first, last) else {
        bad_port(scalar, report);
        return None;
    };
    if first > last {
        report
            .push(
                Code::PortReversed,
                scalar.span,
                format!("port range `{}` runs backwards", clip(&scalar.text)),
            )
            .help("a range is FIRST-LAST with FIRST not above LAST")
            .suggest(Some(format!("did you mean `{last}-{first}`?")));
        return None;
    }
    Some(PortRange { first, last })
}

fn port(text: &str) -> Option<u16> {
    scalars::decimal(text).ok().and_then(|number| u16::try_from(number).ok())
}

fn bad_port(scalar: &Scalar<'_>, report: &mut Report) {
    let text = &*scalar.text;
    let note = match scalars::decimal(text) {
        Err(NotDecimal::Form(note)) => note,
        _ => "",
    };
    let respelt: String =
        text.chars().filter(|c| !c.is_whitespace()).collect::<String>().replace([':', '–'], "-");
    let range = respelt.split_once('-').filter(|(a, b)| port(a).is_some() && port(b).is_some());
    let suggestion = match range {
        Some(_) if respelt != text => Some(format!("did you mean `{respelt}`?")),
        _ => services::find(text).map(|_| format!("did you mean `service: {text}`?")),
    };
    report
        .push(Code::Port, scalar.span, format!("`{}` is not a port or port range", clip(text)))
        .help(format!("{}{note}", language::PORT))
        .suggest(suggestion);
}

/// Type and code; `None` with a fault.
fn icmp_type(doc: &IcmpDoc<'_>, report: &mut Report) -> Option<(u8, Option<u8>)> {
    let byte = |scalar: &Scalar<'_>, what: &str, report: &mut Report| {
        scalars::number(scalar, what, language::BYTE, report).and_then(|number| u8::try_from(number).ok())
    };
    let kind = doc.kind.as_ref().map(|scalar| byte(scalar, "icmp.type", report));
    let code = doc.code.as_ref().map(|scalar| byte(scalar, "icmp.code", report));
    let Some(kind) = kind else {
        let message = if code.is_some() { "`icmp` has a code but no type" } else { "`icmp` has no type" };
        report
            .push(Code::Icmp, doc.code.as_ref().map_or(doc.span, |code| code.span), message)
            .help(language::ICMP_TYPE);
        return None;
    };
    match (kind, code) {
        (Some(kind), None) => Some((kind, None)),
        (Some(kind), Some(Some(code))) => Some((kind, Some(code))),
        _ => None,
    }
}

fn beside_service(doc: &RuleDoc<'_>, service: &Scalar<'_>, report: &mut Report) {
    let protocol = doc.protocol.as_ref().map(|scalar| ("protocol", scalar.span));
    let ports = doc.ports.as_ref().map(|(span, _)| ("ports", *span));
    let icmp = doc.icmp.as_ref().map(|icmp| ("icmp", icmp.span));
    for (key, span) in [protocol, ports, icmp].into_iter().flatten() {
        let message = format!("`{key}` beside `service: {}`", clip(&service.text));
        report
            .push(Code::ServiceConflict, span, message)
            .help("a service stands for protocol, ports and ICMP type; write either the one or the others");
    }
}

fn service_matches(scalar: &Scalar<'_>, report: &mut Report) -> Vec<Match> {
    if let Some(service) = services::find(&scalar.text) {
        return service.matches();
    }
    let names = services::ALL.iter().map(|service| service.name);
    report
        .push(Code::Service, scalar.span, format!("`{}` is not a service preset", clip(&scalar.text)))
        .help("`sg-agent service list` shows them all; or write `protocol` and `ports`")
        .suggest(suggest::near_miss(&scalar.text, names));
    Vec::new()
}
