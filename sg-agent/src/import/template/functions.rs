//! Functions in the place of values.

use std::borrow::Cow;

use super::{Resolved, Template};
use crate::{import::value::Value, policy::document::clip};

/// Longest text that functions may make.
const MAX_TEXT: usize = 4096;

/// Functions of Heat that are not worked out.
const HEAT_FUNCTIONS: &[&str] = &[
    "str_replace",
    "str_replace_strict",
    "str_replace_vstrict",
    "str_split",
    "get_file",
    "digest",
    "repeat",
    "resource_facade",
    "map_merge",
    "map_replace",
    "yaql",
    "contains",
    "filter",
    "make_url",
    "list_concat",
    "list_concat_unique",
    "str_join",
];

/// What has no name that would say something to the reader.
fn unknown<'n>(what: impl Into<String>) -> Resolved<'n> {
    Resolved::Unknown(what.into(), "")
}

impl<'n> Template<'n> {
    /// What the function `name` gives; a mapping with one key of another name is itself.
    pub(super) fn call(&self, name: &'n str, argument: Value<'n>, whole: Value<'n>) -> Resolved<'n> {
        match name {
            "Ref" | "get_param" | "get_resource" => self.reference(argument),
            "Fn::GetAtt" | "get_attr" => self.attribute(argument),
            "Fn::Sub" => self.substitute(argument),
            "Fn::Join" | "list_join" => self.join(argument),
            "Fn::If" | "if" => self.choose(argument),
            "Fn::FindInMap" => self.find_in_map(argument),
            _ if name.starts_with("Fn::") || HEAT_FUNCTIONS.contains(&name) => {
                // The name of an export or a file says something to the reader.
                Resolved::Unknown(format!("what `{name}` gives"), argument.text().unwrap_or_default())
            }
            _ => Resolved::Node(whole),
        }
    }

    fn reference(&self, argument: Value<'n>) -> Resolved<'n> {
        // `get_param: [NAME, PATH...]` looks into a parameter's value.
        let Some(name) = argument.text() else {
            return unknown("part of a parameter");
        };
        if name == "AWS::NoValue" {
            return Resolved::Absent;
        }
        if let Some((name, parameter)) = self.parameters.get_key_value(name) {
            return self.default(name, *parameter);
        }
        match self.resources.contains_key(name) {
            true => Resolved::Resource(name),
            false => Resolved::Unknown(format!("`{}`, which only the deployment knows", clip(name)), name),
        }
    }

    fn default(&self, name: &'n str, parameter: Value<'n>) -> Resolved<'n> {
        let kind = parameter.either(&["Type", "type"]).and_then(Value::text).unwrap_or_default();
        let default = parameter.either(&["Default", "default"]);
        // The default of such a parameter is the name of where its value is kept.
        let stored = kind.starts_with("AWS::SSM::");
        match default {
            Some(value) if !stored => {
                if let Some(text) = value.text() {
                    self.assume(name, text);
                    return Resolved::Text(Cow::Borrowed(text));
                }
                self.assume(name, "a list");
                Resolved::Node(value)
            }
            _ => Resolved::Unknown(format!("parameter `{}`, which has no default", clip(name)), name),
        }
    }

    fn assume(&self, name: &'n str, default: &'n str) {
        self.assumed.borrow_mut().insert(name, default);
    }

    fn attribute(&self, argument: Value<'n>) -> Resolved<'n> {
        let name = match argument.text() {
            Some(dotted) => dotted.split('.').next(),
            None => argument.items().next().and_then(Value::text),
        };
        match name.filter(|name| self.resources.contains_key(name)) {
            Some(name) => Resolved::Resource(name),
            None => unknown("an attribute of what the template does not hold"),
        }
    }

    /// `text ${NAME} text`, the names taken from a mapping beside it, too.
    fn substitute(&self, argument: Value<'n>) -> Resolved<'n> {
        let mut parts = argument.items();
        let (text, own) = match argument.text() {
            Some(text) => (Some(text), None),
            None => (parts.next().and_then(Value::text), parts.next()),
        };
        let Some(mut rest) = text else { return unknown("what `Fn::Sub` gives") };
        let mut out = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, tail)) = after.split_once('}') else { break };
            out.push_str(before);
            rest = tail;
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str(&format!("${{{literal}}}"));
                continue;
            }
            let given = own.and_then(|own| own.get(name)).map(|value| self.resolve(value));
            let parameter = self.parameters.get_key_value(name);
            match given.or_else(|| parameter.map(|(name, value)| self.default(name, *value))) {
                Some(Resolved::Text(text)) if out.len() + text.len() <= MAX_TEXT => out.push_str(&text),
                _ => {
                    return unknown(format!("a text with `{}`, which only the deployment knows", clip(name)));
                }
            }
        }
        out.push_str(rest);
        Resolved::Text(Cow::Owned(out))
    }

    fn join(&self, argument: Value<'n>) -> Resolved<'n> {
        let mut parts = argument.items();
        let between = parts.next().and_then(Value::text).unwrap_or_default();
        let mut out = String::new();
        for (index, item) in parts.next().into_iter().flat_map(Value::items).enumerate() {
            let Resolved::Text(text) = self.resolve(item) else {
                return unknown("a text with parts that only the deployment knows");
            };
            out.push_str(if index == 0 { "" } else { between });
            out.push_str(&text);
            if out.len() > MAX_TEXT {
                return unknown("a text that is too long");
            }
        }
        Resolved::Text(Cow::Owned(out))
    }

    fn choose(&self, argument: Value<'n>) -> Resolved<'n> {
        let branches: Vec<Value<'n>> = argument.items().collect();
        let verdict = branches.first().and_then(|condition| self.condition(*condition));
        let branch = match verdict {
            Some(true) => branches.get(1),
            Some(false) => branches.get(2),
            None => return unknown("a choice that depends on the deployment"),
        };
        branch.map_or_else(|| unknown("a choice that lacks a branch"), |value| self.resolve(*value))
    }

    fn find_in_map(&self, argument: Value<'n>) -> Resolved<'n> {
        let mut found = self.root.get("Mappings");
        for item in argument.items().take(3) {
            let Resolved::Text(key) = self.resolve(item) else {
                return unknown("an entry of a mapping that only the deployment knows");
            };
            found = found.and_then(|value| value.get(&key));
        }
        found.map_or_else(|| unknown("an entry that the mapping lacks"), |value| self.resolve(value))
    }
}
