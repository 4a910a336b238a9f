//! `remote:` of a rule.

use super::{
    super::{
        code::Code,
        diagnostic::Report,
        document::{Scalar, clip},
        language,
        model::Remote,
        suggest,
    },
    Names, net,
};

/// What `scalar` names; any address when it is not there. A fault gives any too, which no policy ever sees.
pub fn remote(scalar: Option<&Scalar<'_>>, known: &Names, report: &mut Report) -> Remote {
    let Some(scalar) = scalar else { return Remote::Any };
    match scalar.text.split_once(':') {
        Some(("group", name)) => group(scalar, name, known, report),
        Some(("address-group", name)) => address_group(scalar, name, known, report),
        _ => prefix(scalar, known, report),
    }
}

fn group(scalar: &Scalar<'_>, name: &str, known: &Names, report: &mut Report) -> Remote {
    if !known.groups.contains(name) {
        let other =
            known.address_groups.contains(name).then(|| format!("did you mean `address-group:{name}`?"));
        unknown_group(scalar, name, known, other, report);
    }
    Remote::Group(name.to_owned())
}

/// Reports a security group that does not exist, with the nearest that does.
pub fn unknown_group(
    scalar: &Scalar<'_>,
    name: &str,
    known: &Names,
    suggestion: Option<String>,
    report: &mut Report,
) {
    let names = known.groups.iter().take(MAX_CHOICES).map(String::as_str);
    report
        .push(Code::GroupUnknown, scalar.span, format!("no security group is named `{}`", clip(name)))
        .help("define it under `security_groups`")
        .suggest(suggestion.or_else(|| suggest::near_miss(name, names)));
}

/// Names that are compared for a near miss: a large file with many faults must stay fast.
const MAX_CHOICES: usize = 1000;

fn address_group(scalar: &Scalar<'_>, name: &str, known: &Names, report: &mut Report) -> Remote {
    if !known.address_groups.contains(name) {
        let names = known.address_groups.iter().take(MAX_CHOICES).map(String::as_str);
        let other = known.groups.contains(name).then(|| format!("did you mean `group:{name}`?"));
        report
            .push(
                Code::AddressGroupUnknown,
                scalar.span,
                format!("no address group is named `{}`", clip(name)),
            )
            .help("define it under `address_groups`")
            .suggest(other.or_else(|| suggest::near_miss(name, names)));
    }
    Remote::AddressGroup(name.to_owned())
}

fn prefix(scalar: &Scalar<'_>, known: &Names, report: &mut Report) -> Remote {
    let text = &*scalar.text;
    if text.starts_with(|c: char| c.is_ascii_digit()) || text.contains("::") {
        return net::prefix(scalar, report).map_or(Remote::Any, Remote::Prefix);
    }
    if let Ok(net) = net::parse_prefix(text) {
        return Remote::Prefix(net);
    }
    report
        .push(Code::Remote, scalar.span, format!("`{}` is not a remote", clip(text)))
        .help(language::REMOTE)
        .suggest(named_differently(text, known));
    Remote::Any
}

/// A known name without its kind, or with the kind spelt in another way.
fn named_differently(text: &str, known: &Names) -> Option<String> {
    if matches!(text, "any" | "all" | "*" | "world" | "internet") {
        return Some("did you mean to leave it out?".to_owned());
    }
    let name = text.rsplit_once(':').map_or(text, |(_, name)| name).trim();
    match name {
        _ if known.groups.contains(name) => Some(format!("did you mean `group:{name}`?")),
        _ if known.address_groups.contains(name) => Some(format!("did you mean `address-group:{name}`?")),
        _ => None,
    }
}
