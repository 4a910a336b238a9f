//! What Heat and CloudFormation templates have in common: parameters, conditions, resources, and functions in the place
//! of values. A function is worked out as far as the template alone tells.

mod conditions;
mod functions;
mod site;

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

pub use site::{Site, reference};

use super::{
    cloudformation, heat,
    neutral::{Effect, Group, Neutral, Place},
    value::Value,
};
use crate::policy::document::clip;

/// Most steps of working out one template: conditions may refer to each other again and again.
const MAX_STEPS: u32 = 1_000_000;
/// Deepest chain of functions.
const MAX_DEPTH: u32 = 64;

/// A template.
pub struct Template<'n> {
    root: Value<'n>,
    parameters: BTreeMap<&'n str, Value<'n>>,
    resources: BTreeMap<&'n str, Value<'n>>,
    conditions: BTreeMap<&'n str, Value<'n>>,
    steps: Cell<u32>,
    depth: Cell<u32>,
    /// Parameters whose default was taken, with that default.
    assumed: RefCell<BTreeMap<&'n str, &'n str>>,
}

/// What a value comes to.
#[derive(Clone, Debug)]
pub enum Resolved<'n> {
    /// Nothing.
    Absent,
    /// A text or number.
    Text(Cow<'n, str>),
    /// A list or a plain mapping.
    Node(Value<'n>),
    /// A resource of the template.
    Resource(&'n str),
    /// Only a deployment tells: what it is, and its name if it has one.
    Unknown(String, &'n str),
}

/// A resource of a template.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'n> {
    /// Its name in the template.
    pub name: &'n str,
    /// Its type.
    pub kind: &'n str,
    /// Its properties, if it has any.
    pub properties: Option<Value<'n>>,
    /// Where it stands.
    pub value: Value<'n>,
}

impl Resource<'_> {
    /// The place of something in it.
    pub fn place(&self, at: Value<'_>, part: &str) -> Place {
        let blank = if part.is_empty() { "" } else { " " };
        Place { span: at.span(), what: format!("{}{blank}{part}", self.name) }
    }
}

impl<'n> Template<'n> {
    /// Whether `root` is a template.
    pub fn recognises(root: Value<'_>) -> bool {
        root.either(RESOURCES).is_some_and(Value::is_map)
    }

    /// The template `root`.
    pub fn new(root: Value<'n>) -> Self {
        let named = |keys| entries(root, keys).collect();
        Self {
            root,
            parameters: named(PARAMETERS),
            resources: named(RESOURCES),
            conditions: named(CONDITIONS),
            steps: Cell::new(0),
            depth: Cell::new(0),
            assumed: RefCell::default(),
        }
    }

    /// Puts the group that `resource` is into `into`; gives its key.
    pub fn group(&self, resource: &Resource<'n>, keys: [&str; 2], into: &mut Neutral) -> String {
        let text = |key| self.get(resource.properties, key).text().ok().flatten().map(str::to_owned);
        let [name, description] = keys.map(text);
        let key = into.scoped(resource.name);
        let name = name.filter(|name| !name.is_empty());
        let mut group = Group::new(&key, name.as_deref().unwrap_or(resource.name));
        group.qualifier = resource.name.to_owned();
        group.description = description.unwrap_or_default();
        group.origin = format!("resource {} ({})", resource.name, resource.kind);
        into.define(group);
        if let Some(name) = name {
            into.alias(&key, &name);
        }
        key
    }

    /// Resources that are there; those whose condition is false or unknown are noted.
    pub fn resources(&self, wanted: fn(&str) -> bool, into: &mut Neutral) -> Vec<Resource<'n>> {
        let mut found = Vec::new();
        for (name, value) in entries(self.root, RESOURCES) {
            let kind = value.either(&["Type", "type"]).and_then(Value::text).unwrap_or_default();
            if !wanted(kind) {
                continue;
            }
            let properties = value.either(&["Properties", "properties"]);
            let resource = Resource { name, kind, properties, value };
            let place = resource.place(value, kind);
            let condition =
                value.either(&["Condition", "condition"]).map(|condition| self.condition(condition));
            match condition {
                None | Some(Some(true)) => found.push(resource),
                Some(Some(false)) => {
                    into.note(
                        Effect::Dropped,
                        &place,
                        "its condition is false with the parameters' defaults",
                    );
                }
                Some(None) => {
                    into.note(Effect::Dropped, &place, "its condition depends on the deployment");
                }
            }
        }
        found
    }

    /// Notes the defaults that were taken, and resources that nothing reads.
    pub fn leftovers(&self, into: &mut Neutral) {
        let read = |kind: &str| [heat::KINDS, cloudformation::KINDS].concat().contains(&kind);
        for resource in self.resources(|kind| kind.contains("SecurityGroup"), &mut Neutral::default()) {
            if !read(resource.kind) {
                let message = format!("resources of type `{}` are not read", clip(resource.kind));
                into.note(Effect::Dropped, &resource.place(resource.value, ""), message);
            }
        }
        for (name, value) in entries(self.root, RESOURCES).filter(|(name, _)| name.starts_with("Fn::")) {
            let place = Place { span: value.span(), what: name.to_owned() };
            into.note(Effect::Dropped, &place, "resources that a function makes are not worked out");
        }
        for (name, default) in self.assumed.take() {
            let what = format!("parameter {name}");
            let span = self.parameters.get(name).unwrap_or(&self.root).span();
            let message = match default {
                "" => "its default is taken, which is empty".to_owned(),
                default => format!("its default is taken: `{}`", clip(default)),
            };
            into.note(Effect::Changed, &Place { span, what }, message);
        }
    }

    /// What the value of `key` comes to.
    pub fn get(&self, of: Option<Value<'n>>, key: &str) -> Resolved<'n> {
        of.and_then(|of| of.get(key)).map_or(Resolved::Absent, |value| self.resolve(value))
    }

    /// The items of the list `key`, functions that give lists included.
    pub fn items(&self, of: Option<Value<'n>>, key: &str) -> Result<Vec<Value<'n>>, String> {
        let mut items = Vec::new();
        match self.get(of, key) {
            Resolved::Absent => {}
            Resolved::Node(list) if list.is_list() => items.extend(list.items()),
            Resolved::Node(one) => items.push(one),
            Resolved::Unknown(what, _) => return Err(format!("`{key}` is {what}")),
            Resolved::Text(_) | Resolved::Resource(_) => return Err(format!("`{key}` is not a list")),
        }
        Ok(items)
    }

    /// What `value` comes to.
    pub fn resolve(&self, value: Value<'n>) -> Resolved<'n> {
        if value.is_null() {
            return Resolved::Absent;
        }
        if let Some(text) = value.text() {
            return Resolved::Text(Cow::Borrowed(text));
        }
        let mut entries = value.entries();
        let (Some((name, argument)), None) = (entries.next(), entries.next()) else {
            return Resolved::Node(value);
        };
        let found = self.bounded(|| self.call(name, argument, value));
        found.unwrap_or_else(|| Resolved::Unknown("too deep to work out".to_owned(), ""))
    }

    /// What `work` gives, unless it goes too deep or takes too long.
    fn bounded<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        if self.steps.get() >= MAX_STEPS || self.depth.get() >= MAX_DEPTH {
            return None;
        }
        self.steps.set(self.steps.get() + 1);
        self.depth.set(self.depth.get() + 1);
        let result = work();
        self.depth.set(self.depth.get() - 1);
        Some(result)
    }
}

const RESOURCES: &[&str] = &["Resources", "resources"];
const PARAMETERS: &[&str] = &["Parameters", "parameters"];
const CONDITIONS: &[&str] = &["Conditions", "conditions"];

/// The entries of a section, as either kind of template calls it.
fn entries<'n>(root: Value<'n>, keys: &[&str]) -> impl Iterator<Item = (&'n str, Value<'n>)> {
    root.either(keys).into_iter().flat_map(Value::entries)
}

impl Resolved<'_> {
    /// The text, absent counting as none. An error says what it is instead.
    pub fn text(&self) -> Result<Option<&str>, String> {
        match self {
            Resolved::Absent => Ok(None),
            Resolved::Text(text) => Ok(Some(text)),
            Resolved::Node(_) => Err("not a single value".to_owned()),
            Resolved::Resource(name) => Err(format!("what resource `{name}` becomes")),
            Resolved::Unknown(what, _) => Err(what.clone()),
        }
    }
}
