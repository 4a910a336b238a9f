//! One entry of `rules:`; a service gives several rules.

use std::time::SystemTime;

use super::{
    super::{
        code::Code,
        diagnostic::{Report, Span},
        document::{RuleDoc, Scalar, clip},
        language::{self, ACTIONS, DIRECTIONS, ETHERTYPES},
        model::{Action, Direction, Family, Match, Remote, Rule},
    },
    Names, matches, remotes, scalars,
};

/// The rules that `doc` stands for; with a fault, none or some of them.
pub fn rule(doc: &RuleDoc<'_>, index: u32, known: &Names, report: &mut Report) -> Vec<Rule> {
    let direction =
        doc.direction.as_ref().and_then(|scalar| scalars::choice(scalar, "direction", DIRECTIONS, report));
    let remote = remotes::remote(doc.remote.as_ref(), known, report);
    let wanted = families(doc, &remote, report);
    let found = matches::matches(doc, report);
    let description = doc.description.as_ref();
    let common = Rule {
        index,
        description: description.and_then(|d| scalars::text(d, "a description", report)).unwrap_or_default(),
        direction: direction.unwrap_or(Direction::Ingress),
        matches: Match::All,
        remote,
        families: wanted,
        action: scalars::optional_choice(&doc.action, "action", ACTIONS, report).unwrap_or(Action::Allow),
        priority: priority(&doc.priority, report),
        expires: doc.expires.as_ref().and_then(|scalar| time(scalar, report)),
    };
    in_families(doc, found, &common, report)
}

fn priority(scalar: &Option<Scalar<'_>>, report: &mut Report) -> u8 {
    let number = scalar.as_ref().and_then(|s| scalars::number(s, "priority", language::PRIORITY, report));
    number.and_then(|number| u8::try_from(number).ok()).unwrap_or(1)
}

/// The families that ethertype and remote leave.
fn families(doc: &RuleDoc<'_>, remote: &Remote, report: &mut Report) -> [bool; 2] {
    let asked = scalars::optional_choice(&doc.ethertype, "ethertype", ETHERTYPES, report);
    let implied = match remote {
        Remote::Prefix(net) if net.addr().is_ipv4() => Some(Family::Ipv4),
        Remote::Prefix(_) => Some(Family::Ipv6),
        _ => None,
    };
    if let (Some(asked), Some(implied), Some(scalar)) = (asked, implied, &doc.remote)
        && asked != implied
    {
        family_fault(scalar, implied, asked, report);
    }
    match asked.or(implied) {
        None => [true, true],
        Some(family) => only(family),
    }
}

fn only(family: Family) -> [bool; 2] {
    [family == Family::Ipv4, family == Family::Ipv6]
}

fn family_fault(scalar: &Scalar<'_>, is: Family, rule: Family, report: &mut Report) {
    let message = format!("`{}` is {}, but the rule is for {}", clip(&scalar.text), label(is), label(rule));
    report
        .push(Code::Family, scalar.span, message)
        .help("remote, ethertype and protocol belong to one family; write a rule for each family");
}

fn label(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// One rule per match that exists in the rule's families. A service loses those that do not; otherwise it is a fault.
fn in_families(doc: &RuleDoc<'_>, found: Vec<Match>, common: &Rule, report: &mut Report) -> Vec<Rule> {
    let any = !found.is_empty();
    let rules: Vec<Rule> = found.into_iter().filter_map(|one| narrowed(common, one)).collect();
    let written = doc.service.as_ref().or(doc.protocol.as_ref());
    if let (true, true, Some(scalar)) = (any, rules.is_empty(), written) {
        let [v4, _] = common.families;
        let (is, rule) = if v4 { (Family::Ipv6, Family::Ipv4) } else { (Family::Ipv4, Family::Ipv6) };
        family_fault(scalar, is, rule, report);
    }
    rules
}

/// `common` with a match, in the families that both have.
pub fn narrowed(common: &Rule, matches: Match) -> Option<Rule> {
    let has = match matches {
        Match::Protocol(1) | Match::Icmp { protocol: 1, .. } => only(Family::Ipv4),
        Match::Protocol(58) | Match::Icmp { protocol: 58, .. } => only(Family::Ipv6),
        _ => [true, true],
    };
    let families = [common.families[0] && has[0], common.families[1] && has[1]];
    (families != [false, false]).then(|| Rule { matches, families, ..common.clone() })
}

fn time(scalar: &Scalar<'_>, report: &mut Report) -> Option<SystemTime> {
    // The parser takes more forms than RFC 3339, among them a bracketed time zone.
    let strict = |text: &str| text.len() >= 20 && !text.contains(['[', ' ']) && text.is_ascii();
    let parsed = strict(&scalar.text).then(|| scalar.text.parse::<jiff::Timestamp>().ok()).flatten();
    let Some(time) = parsed.filter(|time| time.as_second() >= 0) else {
        bad_time(&scalar.text, scalar.span, report);
        return None;
    };
    Some(SystemTime::from(time))
}

fn bad_time(text: &str, span: Span, report: &mut Report) {
    let guesses = [format!("{text}T00:00:00Z"), format!("{text}Z"), text.replacen(' ', "T", 1)];
    let good = guesses.iter().find(|guess| guess.len() >= 20 && guess.parse::<jiff::Timestamp>().is_ok());
    report
        .push(Code::Time, span, format!("`{}` as `expires` is not a point in time", clip(text)))
        .help(language::TIME)
        .suggest(good.filter(|_| text.len() < 40).map(|good| format!("did you mean `{good}`?")));
}
