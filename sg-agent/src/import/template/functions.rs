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
                Resolved::Unknown(format!("what `{name}` gives"), "")
            }
            _ => Resolved::Node(whole),
        }
    }

    fn reference(&self, argument: Value<'n>) -> Resolved<'n> {
        // `get_param: [NAME, PATH...]` looks into a parameter's value.
        let Some(name) = argument.text() else {
            return Resolved::Unknown("part of a parameter".to_owned(), "");
        };
        if name == "AWS::NoValue" {
            return Resolved::Absent;
        }
        if let Some(parameter) = self.parameter(name) {
            return self.default(name, parameter);
        }
        let resources = self.section("Resources", "resources");
        match resources.is_some_and(|all| all.get(name).is_some()) {
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
                    return if text.is_empty() {
                        Resolved::Absent
                    } else {
                        Resolved::Text(Cow::Borrowed(text))
                    };
                }
                self.assume(name, "a list");
                Resolved::Node(value)
            }
            _ => Resolved::Unknown(format!("parameter `{}`, which has no default", clip(name)), name),
        }
    }

    fn assume(&self, name: &'n str, default: &str) {
        let mut assumed = self.assumed.borrow_mut();
        if !assumed.iter().any(|(known, _)| *known == name) {
            assumed.push((name, default.to_owned()));
        }
    }

    fn attribute(&self, argument: Value<'n>) -> Resolved<'n> {
        let name = match argument.text() {
            Some(dotted) => dotted.split('.').next(),
            None => argument.items().next().and_then(Value::text),
        };
        let resources = self.section("Resources", "resources");
        let found = name.filter(|name| resources.is_some_and(|all| all.get(name).is_some()));
        match found {
            Some(name) => Resolved::Resource(name),
            None => Resolved::Unknown("an attribute of what the template does not hold".to_owned(), ""),
        }
    }

    /// `text ${NAME} text`, the names taken from a mapping beside it, too.
    fn substitute(&self, argument: Value<'n>) -> Resolved<'n> {
        let mut parts = argument.items();
        let (text, own) = match argument.text() {
            Some(text) => (Some(text), None),
            None => (parts.next().and_then(Value::text), parts.next()),
        };
        let Some(mut rest) = text else { return Resolved::Unknown("what `Fn::Sub` gives".to_owned(), "") };
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
            match given.or_else(|| self.parameter(name).map(|value| self.default_of(name, value))) {
                Some(Resolved::Text(text)) if out.len() + text.len() <= MAX_TEXT => out.push_str(&text),
                _ => {
                    return Resolved::Unknown(
                        format!("`{}`, which only the deployment knows", clip(name)),
                        name,
                    );
                }
            }
        }
        out.push_str(rest);
        Resolved::Text(Cow::Owned(out))
    }

    /// The default of a parameter whose name is part of a longer text.
    fn default_of(&self, name: &str, value: Value<'n>) -> Resolved<'n> {
        let section = self.section("Parameters", "parameters");
        let known = section.into_iter().flat_map(Value::entries).find(|(key, _)| *key == name);
        known.map_or(Resolved::Absent, |(name, _)| self.default(name, value))
    }

    fn join(&self, argument: Value<'n>) -> Resolved<'n> {
        let mut parts = argument.items();
        let between = parts.next().and_then(Value::text).unwrap_or_default();
        let mut out = String::new();
        for (index, item) in parts.next().into_iter().flat_map(Value::items).enumerate() {
            let Resolved::Text(text) = self.resolve(item) else {
                return Resolved::Unknown("a text with parts that only the deployment knows".to_owned(), "");
            };
            out.push_str(if index == 0 { "" } else { between });
            out.push_str(&text);
            if out.len() > MAX_TEXT {
                return Resolved::Unknown("a text that is too long".to_owned(), "");
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
            None => return Resolved::Unknown("a choice that depends on the deployment".to_owned(), ""),
        };
        branch.map_or(Resolved::Absent, |value| self.resolve(*value))
    }

    fn find_in_map(&self, argument: Value<'n>) -> Resolved<'n> {
        let mut found = self.root.get("Mappings");
        for item in argument.items().take(3) {
            let Resolved::Text(key) = self.resolve(item) else {
                return Resolved::Unknown(
                    "an entry of a mapping that only the deployment knows".to_owned(),
                    "",
                );
            };
            found = found.and_then(|value| value.get(&key));
        }
        found.map_or(Resolved::Absent, |value| self.resolve(value))
    }
}
