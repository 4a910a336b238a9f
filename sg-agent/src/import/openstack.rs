//! `openstack security group rule list --long -f json`, and `security group list` and `show` beside it.

use super::{
    neutral::{Effect, Group, Neutral, Place, Rule},
    parts,
    value::Value,
};
use crate::policy::{
    Code, Diagnostic,
    document::clip,
    model::{Direction, Family, Match, Remote},
};

/// Whether `root` is one of these outputs.
pub fn recognises(root: Value<'_>) -> bool {
    let columns = ["IP Protocol", "Security Group", "Name"];
    match root.is_list() {
        true => root.items().next().is_some_and(|row| columns.iter().any(|key| row.has(key))),
        false => root.has("rules") && root.has("id"),
    }
}

/// Reads the rules, or the names, of `root`.
pub fn read(root: Value<'_>, into: &mut Neutral) -> Result<(), Diagnostic> {
    if root.is_map() {
        show(root, into);
        return Ok(());
    }
    for row in root.items() {
        match row.has("IP Protocol") {
            true => listed(row, into)?,
            false => named(row, into),
        }
    }
    Ok(())
}

/// A listing has no column for whether groups are stateful.
fn hidden_state(place: &Place, into: &mut Neutral) {
    let message = "the listing does not show which groups are stateless: unless `security group show -f json` is an input, \
        too, a group is taken as stateful, so that replies pass";
    into.note_once(Effect::Widened, place, message);
}

/// A row of `security group list`: what the ids in a list of rules are called.
fn named(row: Value<'_>, into: &mut Neutral) {
    let Some(id) = row.text_of("ID") else { return };
    let mut group = Group::new(id, row.text_of("Name").unwrap_or(id));
    group.description = row.text_of("Description").unwrap_or_default().to_owned();
    group.qualifier = id.to_owned();
    group.origin = format!("OpenStack security group {id}");
    if !into.has(id) {
        hidden_state(&Place { span: row.span(), what: format!("group {id}") }, into);
    }
    into.define(group);
}

/// Columns that decide what a rule lets through.
const COLUMNS: &[&str] =
    &["Ethertype", "IP Protocol", "IP Range", "Port Range", "Remote Address Group", "Remote Security Group"];

/// A row of `security group rule list`.
fn listed(row: Value<'_>, into: &mut Neutral) -> Result<(), Diagnostic> {
    let id = row.text_of("ID").unwrap_or("without an id");
    let place = Place { span: row.span(), what: format!("rule {id}") };
    let Some(direction) = row.text_of("Direction") else {
        let mut fault = Diagnostic::new(Code::Import, row.span(), "a rule without its direction");
        fault.help("this listing leaves it out; take `openstack security group rule list --long -f json`");
        return Err(fault);
    };
    // A listing of one group has no column for it.
    let group = match row.text_of("Security Group") {
        Some(group) => group.to_owned(),
        None => into.scoped(&into.stem),
    };
    if !into.has(&group) {
        hidden_state(&place, into);
        let named = into.group(&group);
        named.origin = format!("OpenStack security group {}", named.name);
    }
    if let Err(why) = row.single(COLUMNS) {
        into.note(Effect::Dropped, &place, why);
        return Ok(());
    }
    let protocol = row.text_of("IP Protocol").unwrap_or_default();
    let range = row.text_of("Port Range").unwrap_or_default();
    let (first, last) = ends(range);
    let raw = Raw {
        direction,
        ethertype: row.text_of("Ethertype").unwrap_or_else(|| family_of(row.text_of("IP Range"))),
        protocol,
        first,
        last,
        // The listing shows any address beside a group, too.
        prefix: row.text_of("IP Range"),
        group: row.text_of("Remote Security Group"),
        addresses: row.text_of("Remote Address Group"),
        description: row.text_of("Description").unwrap_or_default(),
    };
    if let Some(rule) = raw.rule(&place, into) {
        hidden_zero(&rule, &place, into);
        into.rule(&group, Rule { alone: true, ..rule });
    }
    Ok(())
}

fn family_of(range: Option<&str>) -> &'static str {
    if range.is_some_and(|range| range.contains(':')) { "IPv6" } else { "IPv4" }
}

/// `80:90`, `type=3:code=4`, `type=8`, `:code=1`.
fn ends(range: &str) -> (Option<&str>, Option<&str>) {
    let (first, last) = range.split_once(':').unwrap_or((range, ""));
    let (kind, code) = (first.strip_prefix("type="), last.strip_prefix("code="));
    match (kind, code) {
        // A type 0 is not shown, but a code is.
        (None, Some(code)) => (Some("0"), Some(code)),
        (None, None) => {
            (Some(first).filter(|text| !text.is_empty()), Some(last).filter(|text| !text.is_empty()))
        }
        both => both,
    }
}

/// The listing leaves out an ICMP type or code of 0.
fn hidden_zero(rule: &Rule, place: &Place, into: &mut Neutral) {
    let message = match rule.matches {
        Match::Protocol(1 | 58) => {
            "the listing does not show an ICMP type 0: none is taken as every type (`security group show -f json` tells)"
        }
        Match::Icmp { code: None, .. } => {
            "the listing does not show an ICMP code 0: none is taken as every code (`security group show -f json` tells)"
        }
        _ => return,
    };
    into.note(Effect::Widened, place, message);
}

/// `security group show`.
fn show(root: Value<'_>, into: &mut Neutral) {
    let id = root.text_of("id").unwrap_or_default();
    let name = root.text_of("name").unwrap_or(id);
    let mut group = Group::new(id, name);
    group.qualifier = root.text_of("project_id").unwrap_or(id).to_owned();
    group.description = root.text_of("description").unwrap_or_default().to_owned();
    group.stateful = root
        .get("stateful")
        .is_none_or(|value| value.text().is_some_and(|text| !text.eq_ignore_ascii_case("false")));
    group.origin = format!("OpenStack security group {id}");
    into.define(group);
    if let Some(rules) = root.get("rules").filter(|rules| !rules.is_list()) {
        let place = Place { span: rules.span(), what: format!("{id} ({name}) rules") };
        let message =
            "the rules are text here; take `openstack security group rule list --long -f json` instead";
        return into.note(Effect::Dropped, &place, message);
    }
    for (index, value) in root.items_of("rules").enumerate() {
        let place = Place { span: value.span(), what: format!("{id} ({name}) rules[{index}]") };
        if let Some(rule) = Raw::of_api(value, &place, into).and_then(|raw| raw.rule(&place, into)) {
            into.rule(id, rule);
        }
    }
}

/// Fields of Neutron's API that decide what a rule lets through.
pub const FIELDS: &[&str] = &[
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_group_id",
    "remote_address_group_id",
];

/// A rule in the terms of Neutron's API; empty and missing are the same there.
#[derive(Default)]
pub struct Raw<'a> {
    /// `ingress` or `egress`.
    pub direction: &'a str,
    /// `IPv4` or `IPv6`; empty = IPv4, the API's default.
    pub ethertype: &'a str,
    /// Name or number; empty = every protocol.
    pub protocol: &'a str,
    /// `port_range_min`.
    pub first: Option<&'a str>,
    /// `port_range_max`.
    pub last: Option<&'a str>,
    /// `remote_ip_prefix`.
    pub prefix: Option<&'a str>,
    /// `remote_group_id`.
    pub group: Option<&'a str>,
    /// `remote_address_group_id`.
    pub addresses: Option<&'a str>,
    /// Free text.
    pub description: &'a str,
}

impl<'a> Raw<'a> {
    /// A rule as the API, and Terraform after it, shows it; one with a list in the place of a value is noted.
    pub fn of_api(value: Value<'a>, place: &Place, into: &mut Neutral) -> Option<Self> {
        if let Err(why) = value.single(FIELDS) {
            into.note(Effect::Dropped, place, why);
            return None;
        }
        Some(Self {
            direction: value.text_of("direction").unwrap_or_default(),
            ethertype: value.text_of("ethertype").unwrap_or_default(),
            protocol: value.text_of("protocol").unwrap_or_default(),
            first: value.text_of("port_range_min"),
            last: value.text_of("port_range_max"),
            prefix: value.text_of("remote_ip_prefix"),
            group: value.text_of("remote_group_id"),
            addresses: value.text_of("remote_address_group_id"),
            description: value.text_of("description").unwrap_or_default(),
        })
    }

    /// The rule; what it cannot be is noted.
    pub fn rule(&self, place: &Place, into: &mut Neutral) -> Option<Rule> {
        match self.judge(place, into) {
            Ok(rule) => Some(rule),
            Err(why) => {
                into.note(Effect::Dropped, place, why);
                None
            }
        }
    }

    fn judge(&self, place: &Place, into: &mut Neutral) -> Result<Rule, String> {
        let direction = match self.direction.to_ascii_lowercase().as_str() {
            "ingress" => Direction::Ingress,
            "egress" => Direction::Egress,
            _ => return Err(format!("`{}` is not a direction", clip(self.direction))),
        };
        let family = match self.ethertype.to_ascii_lowercase().as_str() {
            "ipv4" | "" => Family::Ipv4,
            "ipv6" => Family::Ipv6,
            _ => return Err(format!("`{}` is not an ethertype", clip(self.ethertype))),
        };
        let protocol = match parts::protocol(self.protocol)? {
            // Neutron takes the name of IPv4's for both.
            Some(1) if family == Family::Ipv6 => Some(58),
            other => other,
        };
        let matches = parts::traffic(protocol, parts::number(self.first)?, self.last_number(protocol)?)?;
        let remote = self.remote(place, family, into)?;
        let description = self.description.to_owned();
        let place = place.clone();
        Ok(Rule { direction, matches, remote, family: Some(family), description, place, alone: false })
    }

    /// A range with one end given is that port; ICMP's second number is the code.
    fn last_number(&self, protocol: Option<u8>) -> Result<Option<u16>, String> {
        let fallback = if matches!(protocol, Some(1 | 58)) { None } else { self.first };
        parts::number(self.last.or(fallback))
    }

    fn remote(&self, place: &Place, family: Family, into: &mut Neutral) -> Result<Remote, String> {
        if let Some(group) = self.group {
            return Ok(Remote::Group(group.to_owned()));
        }
        if let Some(id) = self.addresses {
            return Ok(into.unknown_addresses(id, &format!("OpenStack address group {id}"), place));
        }
        let Some(text) = self.prefix else { return Ok(Remote::Any) };
        let (net, cut) = parts::prefix(text)?;
        if (family == Family::Ipv4) != net.addr().is_ipv4() {
            return Err(format!("`{}` does not belong to {}", clip(text), self.ethertype));
        }
        if cut {
            into.note(Effect::Changed, place, format!("`{}` has host bits; taken as {net}", clip(text)));
        }
        Ok(Remote::Prefix(net))
    }
}

/// What Neutron puts into a new group: everything out, in both families.
pub fn default_egress(place: &Place) -> [Rule; 2] {
    [Family::Ipv4, Family::Ipv6].map(|family| Rule {
        direction: Direction::Egress,
        matches: Match::All,
        remote: Remote::Any,
        family: Some(family),
        description: "Neutron's default rule".to_owned(),
        place: place.clone(),
        alone: false,
    })
}
