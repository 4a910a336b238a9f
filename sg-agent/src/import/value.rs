//! A look at one value of an input.

use crate::policy::{Span, document::tree::Node};

/// A value of the input, by reference.
#[derive(Clone, Copy, Debug)]
pub struct Value<'n>(&'n Node<'n>);

impl<'n> Value<'n> {
    /// A look at `node`.
    pub fn new(node: &'n Node<'n>) -> Self {
        Self(node)
    }

    /// Where it starts.
    pub fn span(self) -> Span {
        self.0.span()
    }

    /// The value of `key`, if this is a mapping that has it and it is not null.
    pub fn get(self, key: &str) -> Option<Value<'n>> {
        self.entries().find(|(name, value)| *name == key && !value.is_null()).map(|(_, value)| value)
    }

    /// Whether this is a mapping that has `key`, be it null.
    pub fn has(self, key: &str) -> bool {
        self.entries().any(|(name, _)| name == key)
    }

    /// The first value there is under one of `keys`.
    pub fn either(self, keys: &[&str]) -> Option<Value<'n>> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// The value at the end of `path`.
    pub fn at(self, path: &[&str]) -> Option<Value<'n>> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// Whether it is nothing.
    pub fn is_null(self) -> bool {
        matches!(self.0, Node::Scalar(scalar) if scalar.is_null())
    }

    /// Whether it is a mapping.
    pub fn is_map(self) -> bool {
        matches!(self.0, Node::Map(..))
    }

    /// Whether it is a list.
    pub fn is_list(self) -> bool {
        matches!(self.0, Node::List(..))
    }

    /// The text of a single value that is not null.
    pub fn text(self) -> Option<&'n str> {
        match self.0 {
            Node::Scalar(scalar) if !scalar.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    /// The text under `key`, empty counting as absent.
    pub fn text_of(self, key: &str) -> Option<&'n str> {
        self.get(key).and_then(Value::text).filter(|text| !text.is_empty())
    }

    /// Refuses a list or mapping under one of `keys`, where a single value belongs.
    pub fn single(self, keys: &[&str]) -> Result<(), String> {
        let several = |key: &&&str| self.get(key).is_some_and(|value| value.text().is_none());
        match keys.iter().find(several) {
            None => Ok(()),
            Some(key) => Err(format!("`{key}` is not a single value")),
        }
    }

    /// Whether it is `true`, or a list or mapping with a `true` anywhere.
    pub fn holds_true(self) -> bool {
        self.text() == Some("true")
            || self.items().any(Value::holds_true)
            || self.entries().any(|(_, value)| value.holds_true())
    }

    /// The items of a list; none of anything else.
    pub fn items(self) -> impl Iterator<Item = Value<'n>> {
        let items = match self.0 {
            Node::List(_, items) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(Value)
    }

    /// The items of the list under `key`.
    pub fn items_of(self, key: &str) -> impl Iterator<Item = Value<'n>> {
        self.get(key).into_iter().flat_map(Value::items)
    }

    /// The entries of a mapping in their order; none of anything else.
    pub fn entries(self) -> impl Iterator<Item = (&'n str, Value<'n>)> {
        let entries = match self.0 {
            Node::Map(_, entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().filter_map(|(key, value)| match key {
            Node::Scalar(key) => Some((&*key.text, Value(value))),
            _ => None,
        })
    }
}
