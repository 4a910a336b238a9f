//! The properties of one rule, and what stands around them.

use super::{Resolved, Template};
use crate::{
    import::{
        neutral::{Neutral, Place},
        parts,
        value::Value,
    },
    policy::{document::clip, model::Remote},
};

/// A rule as a template writes it.
pub struct Site<'a, 'n> {
    /// Its properties.
    pub properties: Value<'n>,
    /// The key of its group.
    pub group: &'a str,
    /// Where it stands.
    pub place: Place,
    /// Whether it is a resource of its own.
    pub alone: bool,
    /// The template.
    pub template: &'a Template<'n>,
}

impl<'n> Site<'_, 'n> {
    /// What the property `key` comes to.
    pub fn get(&self, key: &str) -> Resolved<'n> {
        self.template.get(Some(self.properties), key)
    }

    /// The text of a property on which the rule depends; one that is there must be known and not empty.
    pub fn known(&self, key: &str) -> Result<Option<String>, String> {
        match self.get(key).text() {
            Ok(Some("")) => Err(format!("`{key}` is empty")),
            Ok(text) => Ok(text.map(str::to_owned)),
            Err(why) => Err(format!("`{key}` is {why}")),
        }
    }

    /// A property beside `known` ones: what it would take from the rule is not known.
    pub fn foreign(&self, known: &[&str]) -> Option<&'n str> {
        let entries = self.properties.entries().filter(|(_, value)| !value.is_null());
        entries.map(|(key, _)| key).find(|key| !known.contains(key))
    }

    /// Refuses a rule with a property beside `known` ones.
    pub fn only(&self, known: &[&str]) -> Result<(), String> {
        match self.foreign(known) {
            None => Ok(()),
            Some(key) => Err(format!("`{}` is a property that is not read", clip(key))),
        }
    }

    /// The description, if the template tells.
    pub fn description(&self, key: &str) -> String {
        self.get(key).text().ok().flatten().unwrap_or_default().to_owned()
    }

    /// The group that a property names, if it is there.
    pub fn group(&self, key: &str, into: &Neutral) -> Option<Remote> {
        reference(&self.get(key), &format!("{} {key}", self.place.what), into).map(Remote::Group)
    }

    /// The prefix that a property names, if it is there.
    pub fn prefix(&self, key: &str, into: &mut Neutral) -> Result<Option<Remote>, String> {
        match self.get(key) {
            Resolved::Absent => Ok(None),
            Resolved::Text(text) => Ok(Some(Remote::Prefix(parts::prefix(&text)?.0))),
            other => self.list(key, &other, into).map(Some),
        }
    }

    /// A list of addresses that a property names and the template does not hold.
    pub fn list(&self, key: &str, found: &Resolved<'_>, into: &mut Neutral) -> Result<Remote, String> {
        let own = format!("{} {key}", self.place.what);
        let (name, what) = match found {
            Resolved::Text(id) => return Ok(into.unknown_addresses(id, &format!("list {id}"), &self.place)),
            Resolved::Resource(name) => (*name, format!("resource `{name}`")),
            Resolved::Unknown(what, "") => (own.as_str(), what.clone()),
            Resolved::Unknown(what, name) => (*name, what.clone()),
            Resolved::Absent | Resolved::Node(_) => return Err(format!("`{key}` is not a single value")),
        };
        Ok(into.unknown_here(name, &what, &self.place))
    }
}

/// The key of the group that a value names; what is not known is a group of its own, which `place` names at worst.
pub fn reference(found: &Resolved<'_>, place: &str, into: &Neutral) -> Option<String> {
    match found {
        Resolved::Absent => None,
        Resolved::Text(text) if !text.is_empty() => Some(text.to_string()),
        Resolved::Resource(name) => Some(into.scoped(name)),
        Resolved::Unknown(_, name) if !name.is_empty() => Some(into.unknown(name)),
        _ => Some(into.unknown(place)),
    }
}
