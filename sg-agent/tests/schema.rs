//! The JSON Schema that editors get: it is the checked-in one, it says what the parser says.
//!
//! `SG_BLESS=1 cargo test -p sg-agent --test schema` writes `docs/policy.schema.json` anew.

use std::{fs, path::Path};

use jsonschema::Validator;
use serde_json::{Value, json};
use sg_agent::policy::{
    self, Code, Loaded,
    language::{self, Kind, Mapping, Takes},
    schema::schema,
};

const FILE: &str = "../docs/policy.schema.json";

fn validator() -> Validator {
    jsonschema::draft7::new(&schema()).expect("the schema is one")
}

fn yaml(text: &str) -> Option<Value> {
    serde_yaml::from_str(text).ok()
}

fn loaded(text: &str) -> Loaded {
    policy::parse_str(text, "tests/diagnostics/policy.yaml")
}

/// Policy files of the repository.
fn examples() -> Vec<(String, String)> {
    let mut files = vec!["../rules.example.yaml".to_owned()];
    for folder in ["../tests/fixtures", "tests/diagnostics", "tests/import"] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| entry.path().display().to_string()));
    }
    files.retain(|path| path.ends_with(".yaml"));
    files
        .into_iter()
        .filter_map(|path| Some((fs::read_to_string(&path).ok()?, path)))
        .map(|(a, b)| (b, a))
        .collect()
}

#[test]
fn the_checked_in_schema_is_the_one_that_is_printed() {
    let printed = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
    if std::env::var_os("SG_BLESS").is_some() {
        fs::write(FILE, &printed).expect("the schema is writable");
    }
    let stored = fs::read_to_string(FILE).unwrap_or_default();
    assert!(stored == printed, "{FILE} is out of date; run this test with SG_BLESS=1");
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_sg-agent")).arg("schema").output();
    assert_eq!(String::from_utf8_lossy(&run.expect("the binary runs").stdout), printed);
}

/// The tables of the guide: `| key | meaning | left out |`.
#[test]
fn the_guide_has_every_key_with_its_default() {
    let (guide, schema) = (fs::read_to_string("../docs/policy.md").expect("the guide"), schema());
    let group = "/properties/security_groups/additionalProperties";
    let places = ["/properties/interfaces/items", group, &format!("{group}/properties/rules/items")];
    for (place, key, value) in places.into_iter().flat_map(|place| {
        let keys = schema.pointer(&format!("{place}/properties")).and_then(Value::as_object).expect("keys");
        keys.iter().map(move |(key, value)| (place, key, value))
    }) {
        let said = match value.get("default") {
            None => "|".to_owned(),
            Some(Value::String(word)) => format!("`{word}` |"),
            Some(Value::Number(number)) => format!("{number} |"),
            Some(other) => format!("`{other}` |"),
        };
        let mut rows = guide.lines().filter(|line| line.starts_with(&format!("| `{key}` | ")));
        assert!(rows.any(|row| row.ends_with(&said)), "docs/policy.md lacks `{key}` of {place}, {said}");
    }
}

#[test]
fn the_schema_is_valid_draft_7() {
    assert!(jsonschema::draft7::meta::is_valid(&schema()));
}

#[test]
fn what_check_accepts_the_schema_accepts() {
    let validator = validator();
    let mut accepted = 0;
    for (path, text) in examples() {
        if policy::load(Path::new(&path)).policy.is_none() {
            continue;
        }
        accepted += 1;
        let value = yaml(&text).unwrap_or_else(|| panic!("{path} is YAML to others too"));
        let faults: Vec<String> = validator
            .iter_errors(&value)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{path}: {faults:#?}");
    }
    assert!(accepted > 10, "{accepted} files");
}

/// Faults of one value, which a schema can see.
const STRUCTURAL: &[Code] = &[
    Code::KeyUnknown,
    Code::KeyMissing,
    Code::Kind,
    Code::Version,
    Code::Text,
    Code::Bool,
    Code::Number,
    Code::Range,
    Code::Choice,
    Code::Duration,
    Code::Time,
    Code::Name,
    Code::InterfaceName,
    Code::Prefix,
    Code::Mac,
    Code::Protocol,
    Code::Port,
    Code::Icmp,
    Code::Remote,
    Code::Service,
    Code::Template,
];

#[test]
fn what_check_refuses_for_its_structure_the_schema_refuses() {
    let validator = validator();
    for code in STRUCTURAL {
        let text = fs::read_to_string(format!("tests/diagnostics/{code}.yaml")).expect("the golden file");
        let Some(value) = yaml(&text) else { continue };
        assert!(!validator.is_valid(&value), "{code} passes the schema");
    }
}

/// A mapping with `value` at the end of `path`; `[]` is a list of one, `*` a name.
fn at(path: &[&str], value: Value) -> Value {
    let Some((first, rest)) = path.split_first() else { return value };
    match *first {
        "[]" => json!([at(rest, value)]),
        "*" => json!({"x": at(rest, value)}),
        key => {
            let mut inner = at(rest, value);
            let entry = if rest.first() == Some(&"[]") { inner.get_mut(0) } else { None };
            if let Some(map) = entry.and_then(Value::as_object_mut) {
                let (needed, value) = needed(key);
                map.entry(needed).or_insert(json!(value));
            }
            json!({key: inner})
        }
    }
}

/// The key without which an item of the list `key` is refused.
fn needed(key: &str) -> (&'static str, &'static str) {
    match key {
        "rules" => ("direction", "ingress"),
        "interfaces" => ("name", "tap0"),
        _ => ("address", "10.0.0.1"),
    }
}

/// Every key of the language with the path to it.
fn keys(
    mapping: &'static Mapping,
    path: &[&'static str],
    visit: &mut dyn FnMut(&[&'static str], &'static language::Key),
) {
    for key in mapping.keys {
        let here = [path, &[key.name]].concat();
        visit(&here, key);
        match &key.takes {
            Takes::Mapping(inner) => keys(inner, &here, visit),
            Takes::Items(inner) => keys(inner, &[&here[..], &["[]"]].concat(), visit),
            Takes::Named(inner) => keys(inner, &[&here[..], &["*"]].concat(), visit),
            _ => {}
        }
    }
}

fn file(path: &[&str], value: Value) -> (Value, String) {
    let mut document = at(path, value);
    if let Some(map) = document.as_object_mut() {
        map.entry("version").or_insert(json!(1));
    }
    let text = serde_json::to_string(&document).expect("JSON") + "\n";
    (document, text)
}

fn codes(text: &str) -> Vec<Code> {
    loaded(text).diagnostics.iter().map(|one| one.code).collect()
}

#[test]
fn every_key_is_read() {
    keys(&language::DOCUMENT, &[], &mut |path, key| {
        // Two levels of list are nothing that any key takes.
        let (document, text) = file(path, json!([[["x"]]]));
        assert!(!validator().is_valid(&document), "{path:?} in the schema");
        let refused = loaded(&text).diagnostics.iter().any(|one| one.code == Code::Kind);
        assert!(refused, "nothing reads {path:?} ({})", key.name);
    });
}

#[test]
fn ranges_are_the_same_on_both_sides() {
    let validator = validator();
    let mut ranges = 0;
    keys(&language::DOCUMENT, &[], &mut |path, key| {
        let Takes::One(Kind::Number(range)) = &key.takes else { return };
        ranges += 1;
        let outside = [range.start().checked_sub(1), range.end().checked_add(1)];
        for (number, good) in outside
            .into_iter()
            .flatten()
            .map(|number| (number, false))
            .chain([(*range.start(), true), (*range.end(), true)])
        {
            let (document, text) = file(path, json!(number));
            assert_eq!(!codes(&text).contains(&Code::Range), good, "{path:?}: {number}, check");
            let complains = validator.iter_errors(&document).any(|fault| fault.instance().is_number());
            assert_eq!(!complains, good, "{path:?}: {number}, schema");
        }
    });
    assert!(ranges >= 12, "{ranges}");
}

#[test]
fn words_are_the_same_on_both_sides() {
    let validator = validator();
    keys(&language::DOCUMENT, &[], &mut |path, key| {
        let Takes::One(Kind::Words(words)) = &key.takes else { return };
        for (word, _) in words() {
            let (document, text) = file(path, json!(word));
            assert!(
                loaded(&text).policy.is_some() || word == "eui64",
                "{path:?}: {word}: {:?}",
                codes(&text)
            );
            assert!(validator.is_valid(&document), "{path:?}: {word}, schema");
        }
        let (document, text) = file(path, json!("nonsense"));
        assert!(loaded(&text).policy.is_none() && !validator.is_valid(&document), "{path:?}");
    });
}

#[test]
fn defaults_are_what_an_absent_key_means() {
    keys(&language::DOCUMENT, &[], &mut |path, key| {
        let Some(default) = key.default else { return };
        // An entry of the parent that says nothing.
        let (.., silent) = file(&path[..path.len() - 1], json!({}));
        let (.., spoken) = file(path, default());
        let silent = loaded(&silent).policy.unwrap_or_else(|| panic!("{path:?} may be left out"));
        let spoken = loaded(&spoken).policy.unwrap_or_else(|| panic!("{path:?} takes its default"));
        assert_eq!(silent, spoken, "{path:?}");
    });
}

#[test]
fn every_key_says_what_it_is() {
    fn walk(schema: &Value, path: &str) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let text = property["description"].as_str().unwrap_or_default();
            assert!(text.len() > 8 && text.contains('.'), "{path}.{name}");
            if property.get("default").is_some() {
                assert!(text.contains("Default: `"), "{path}.{name}");
            }
            for inner in [property, &property["items"], &property["additionalProperties"]] {
                walk(inner, &format!("{path}.{name}"));
            }
        }
    }
    walk(&schema(), "");
}

#[test]
fn editors_complete_services_and_templates() {
    let schema = schema();
    let group = &schema["properties"]["security_groups"]["additionalProperties"]["properties"];
    let services = group["rules"]["items"]["properties"]["service"]["enum"].as_array().map(Vec::len);
    assert_eq!(services, Some(policy::services::ALL.len()));
    assert_eq!(group["template"]["enum"][1], "web-server");
}

#[test]
fn examples_name_the_schema() {
    let text = fs::read_to_string("../rules.example.yaml").expect("the example");
    let first = text.lines().next().unwrap_or_default();
    let path = first.strip_prefix("# yaml-language-server: $schema=").expect("its first line");
    assert!(
        Path::new("..").join(path).canonicalize().is_ok_and(|path| path.ends_with("docs/policy.schema.json"))
    );
}
