//! The policy language as a JSON Schema, for editors.
//!
//! Everything in it comes from the [vocabulary](super::language). It accepts whatever the language accepts; of what it
//! cannot say (names that must resolve, ranges that run backwards, families that do not fit), `check` speaks.
//! Draft 7 without references, since that is what every editor's YAML support reads.

use serde_json::{Map, Value, json};

use super::language::{self, Key, Kind, Mapping, Takes, Word};

/// The schema of a policy file.
pub fn schema() -> Value {
    let mut schema = mapping(&language::DOCUMENT);
    schema.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".into(), json!("Policy file of sg-agent"));
    schema.insert("description".into(), json!("Security groups and the interfaces that they are bound to."));
    Value::Object(schema)
}

type Schema = Map<String, Value>;

fn object(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Schema {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn mapping(mapping: &Mapping) -> Schema {
    let properties: Schema = mapping.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> =
        mapping.keys.iter().filter(|key| key.required.is_some()).map(|key| key.name).collect();
    let mut schema = object([
        ("type", json!("object")),
        ("additionalProperties", json!(false)),
        ("properties", Value::Object(properties)),
    ]);
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = takes(&key.takes);
    schema.insert("description".into(), json!(description(key)));
    if let Some(default) = key.default {
        schema.insert("default".into(), default());
    }
    Value::Object(schema)
}

/// What the key means, how its value is written, and what its absence means: what an editor shows.
fn description(key: &Key) -> String {
    let mut text = key.about.to_owned();
    if let Some(form) = form(key) {
        let mut letters = form.chars();
        let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
        text = format!("{text}\n\n{first}{}.", letters.as_str());
    }
    match key.default.map(|default| default()) {
        Some(Value::String(default)) => text + &format!("\n\nDefault: `{default}`."),
        Some(default) => text + &format!("\n\nDefault: `{default}`."),
        None if key.required.is_some() => text + "\n\nRequired.",
        None => text,
    }
}

/// The words with which a message says what the key takes.
fn form(key: &Key) -> Option<String> {
    let (Takes::One(kind) | Takes::OneOrMore(kind) | Takes::List(kind)) = &key.takes else { return None };
    let fixed = match kind {
        Kind::Number(range) => return Some(language::number(key.name, range)),
        // Longer lists are for the editor's completion.
        Kind::Words(words) if words().len() <= 8 => {
            return Some(language::choice(key.name, words().iter().map(|(word, _)| *word)));
        }
        Kind::Protocol => return Some(language::protocol()),
        Kind::Duration => language::DURATION,
        Kind::Time => language::TIME,
        Kind::Name => language::NAME,
        Kind::InterfaceName => language::INTERFACE_NAME,
        Kind::Path => language::PATH,
        Kind::Address => language::ADDRESS,
        Kind::Prefix => language::PREFIX,
        Kind::Mac => language::MAC,
        Kind::Port => language::PORT,
        Kind::Remote => language::REMOTE,
        Kind::Version | Kind::Text | Kind::Bool | Kind::Words(_) => return None,
    };
    Some(fixed.to_owned())
}

fn takes(takes: &Takes) -> Schema {
    let list = |items: Schema| object([("type", json!("array")), ("items", Value::Object(items))]);
    match takes {
        Takes::One(one) => kind(one),
        Takes::OneOrMore(one) => {
            let mut several = list(kind(one));
            several.insert("minItems".into(), json!(1));
            object([("anyOf", json!([kind(one), several]))])
        }
        Takes::List(one) => list(kind(one)),
        Takes::Mapping(inner) => mapping(inner),
        Takes::Items(inner) => list(mapping(inner)),
        Takes::Named(inner) => object([
            ("type", json!("object")),
            ("propertyNames", Value::Object(kind(&Kind::Name))),
            ("additionalProperties", Value::Object(mapping(inner))),
        ]),
    }
}

const PREFIX: &str = "[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*(/(0|[1-9][0-9]{0,2}))?";
const PORT: &str = "(0|[1-9][0-9]{0,4})";
const BYTE: &str = "(0|[1-9][0-9]{0,2})";

fn kind(kind: &Kind) -> Schema {
    match kind {
        Kind::Version => object([("type", json!("integer")), ("const", json!(1))]),
        Kind::Text => object([("type", json!("string"))]),
        Kind::Bool => object([("type", json!("boolean"))]),
        Kind::Number(range) => object([
            ("type", json!("integer")),
            ("minimum", json!(range.start())),
            ("maximum", json!(range.end())),
        ]),
        Kind::Words(list) => words(&list()),
        Kind::Duration => pattern("([0-9]+[smhd])+"),
        Kind::Time => pattern("[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.,]+([Zz]|[+-][0-9:]+)"),
        Kind::Name => {
            let mut schema =
                pattern(r"[^\s./\u0000-\u001f\u007f]([^/\u0000-\u001f\u007f]*[^\s/\u0000-\u001f\u007f])?");
            schema.insert("maxLength".into(), json!(language::MAX_NAME));
            schema
        }
        Kind::InterfaceName => pattern(r"[^\s/:\u0000-\u001f\u007f]+"),
        Kind::Path => pattern("[^/].*"),
        Kind::Address => pattern("[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*"),
        Kind::Prefix => pattern(PREFIX),
        Kind::Mac => pattern("[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}"),
        Kind::Protocol => protocol(),
        Kind::Port => object([(
            "anyOf",
            json!([
                {"type": "integer", "minimum": 0, "maximum": u16::MAX},
                pattern(&format!("{PORT}(-{PORT})?")),
            ]),
        )]),
        Kind::Remote => pattern(&format!("(group:.+|address-group:.+|{PREFIX})")),
    }
}

/// A string that matches as a whole.
fn pattern(pattern: &str) -> Schema {
    object([("type", json!("string")), ("pattern", json!(format!("^{pattern}$")))])
}

fn words(words: &[Word]) -> Schema {
    let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let mut schema = object([("type", json!("string")), ("enum", json!(list))]);
    if words.iter().any(|(_, about)| !about.is_empty()) {
        // Not part of the standard; editors show them beside the words.
        let about: Vec<&str> = words.iter().map(|(_, about)| *about).collect();
        schema.insert("enumDescriptions".into(), json!(about));
    }
    schema
}

fn protocol() -> Schema {
    let names: Vec<&str> = language::protocol_names().collect();
    let choices = json!([
        {"type": "string", "enum": names},
        {"type": "integer", "minimum": language::BYTE.start(), "maximum": language::BYTE.end()},
        pattern(BYTE),
    ]);
    object([("anyOf", choices)])
}
