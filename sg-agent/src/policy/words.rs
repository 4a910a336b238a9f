//! A rule in a line, in the words of the policy file: `deny ingress tcp/80,8000-8100 from group:web priority 5 "no web"`.

use super::{
    model::{Action, Direction, Family, Match, PortRange, Remote, Rule},
    validate::protocol_name,
};

/// The longest list of ports that is written out.
const SHOWN: usize = 12;

/// One rule of the policy file, which may be several in force: `rules` differ in what they match alone.
pub fn rule(rules: &[&Rule]) -> String {
    let Some(rule) = rules.first() else { return String::new() };
    let matches: Vec<String> = rules.iter().map(|rule| matched(&rule.matches)).collect();
    let (verb, towards) = match rule.direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let mut words =
        vec![action(rule.action).to_owned(), verb.to_owned(), matches.join(" or "), towards.to_owned()];
    words.push(remote(&rule.remote));
    words.extend(family(rules));
    if rule.priority != 1 {
        words.push(format!("priority {}", rule.priority));
    }
    if let Some(time) = rule.expires.and_then(|time| jiff::Timestamp::try_from(time).ok()) {
        words.push(format!("expires {time}"));
    }
    if !rule.description.is_empty() {
        words.push(format!("\"{}\"", rule.description));
    }
    words.join(" ")
}

/// `allow` or `deny`.
pub fn action(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    }
}

fn matched(matches: &Match) -> String {
    match matches {
        Match::All => "all".to_owned(),
        Match::Protocol(protocol) => protocol_name(Some(*protocol)),
        Match::Ports(protocol, ranges) => format!("{}/{}", protocol_name(Some(*protocol)), ports(ranges)),
        Match::Icmp { protocol, kind, code } => {
            let code = code.map(|code| format!(" code {code}")).unwrap_or_default();
            format!("{} type {kind}{code}", protocol_name(Some(*protocol)))
        }
    }
}

fn ports(ranges: &[PortRange]) -> String {
    let text = |range: &PortRange| match range {
        PortRange { first, last } if first == last => first.to_string(),
        PortRange { first, last } => format!("{first}-{last}"),
    };
    let mut texts: Vec<String> = ranges.iter().take(SHOWN).map(text).collect();
    if ranges.len() > SHOWN {
        texts.push(format!("… ({} more)", ranges.len() - SHOWN));
    }
    texts.join(",")
}

fn remote(remote: &Remote) -> String {
    match remote {
        Remote::Any => "any".to_owned(),
        Remote::Prefix(net) if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
        Remote::Prefix(net) => net.to_string(),
        Remote::Group(name) => format!("group:{name}"),
        Remote::AddressGroup(name) => format!("address-group:{name}"),
    }
}

/// The family, where the rest does not say it.
fn family(rules: &[&Rule]) -> Option<String> {
    let is_told = |rule: &&Rule| {
        let of_one_family = match &rule.matches {
            Match::Icmp { .. } => true,
            Match::Protocol(protocol) => matches!(protocol, 1 | 58),
            Match::All | Match::Ports(..) => false,
        };
        of_one_family || matches!(rule.remote, Remote::Prefix(_))
    };
    let rule = rules.iter().find(|rule| !is_told(rule))?;
    match (rule.applies_to(Family::Ipv4), rule.applies_to(Family::Ipv6)) {
        (true, false) => Some("ipv4".to_owned()),
        (false, true) => Some("ipv6".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn rules_in_the_words_of_the_file() {
        for (text, words) in [
            ("{direction: ingress}", "allow ingress all from any"),
            (
                "{direction: egress, protocol: tcp, ports: [80, 8000-8100], remote: 10.0.0.1, action: deny}",
                "deny egress tcp/80,8000-8100 to 10.0.0.1",
            ),
            (
                "{direction: ingress, service: dns, remote: \"group:g\", priority: 7, ethertype: ipv6, description: names}",
                "allow ingress tcp/53 or udp/53 from group:g ipv6 priority 7 \"names\"",
            ),
            (
                "{direction: ingress, protocol: icmp, icmp: {type: 3, code: 4}, expires: 2027-01-01T00:00:00Z}",
                "allow ingress icmp type 3 code 4 from any expires 2027-01-01T00:00:00Z",
            ),
            ("{direction: ingress, protocol: gre, remote: 10.0.0.0/8}", "allow ingress gre from 10.0.0.0/8"),
        ] {
            let file = format!("version: 1\nsecurity_groups: {{g: {{rules: [{text}]}}}}\n");
            let policy = crate::policy::parse_str(&file, "test.yaml").policy.expect("a sound file");
            let rules: Vec<_> = policy.groups["g"].rules.iter().collect();
            assert_eq!(super::rule(&rules), words);
        }
    }
}
