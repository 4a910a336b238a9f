//! Golden tests: `diagnostics/CODE.yaml` gives `diagnostics/CODE.txt`, for every code that a small file can cause.
//!
//! `BLESS=1 cargo test -p sg-agent --test diagnostics` writes the `.txt` files anew.

use std::{fs, path::Path};

use sg_agent::policy::{self, Code, Severity, render};

/// Codes that `check` does not give (`tests/import.rs`, the tests of `apply`) or that no small file causes;
/// `tests/files.rs` has a test for each of these but the race.
const NOT_HERE: &[Code] = &[
    Code::InterfaceMissing,
    Code::Json,
    Code::Import,
    Code::FileSize,
    Code::FileChanged,
    Code::Nodes,
    Code::More,
];

#[test]
fn every_code_has_its_golden_file() {
    let mut wrong = Vec::new();
    for code in Code::ALL.iter().filter(|code| !NOT_HERE.contains(code)) {
        let path = format!("tests/diagnostics/{code}.yaml");
        let loaded = policy::load(Path::new(&path));
        assert!(loaded.diagnostics.iter().any(|one| one.code == *code), "{path} does not cause {code}");
        assert_eq!(loaded.policy.is_some(), code.severity() == Severity::Warning, "{path}");
        let shown = render::human(&loaded.diagnostics, &loaded.sources, false);
        let golden = format!("tests/diagnostics/{code}.txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &shown).expect("the golden file is writable");
        }
        if fs::read_to_string(&golden).unwrap_or_default() != shown {
            wrong.push(format!("--- {golden}\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_fault_says_what_is_allowed() {
    for entry in fs::read_dir("tests/diagnostics").expect("the folder is there") {
        let path = entry.expect("it is readable").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        for one in policy::load(&path).diagnostics {
            assert!(one.help.is_some(), "{}: {}", path.display(), one.message);
            assert!(one.code.as_str().starts_with(['E', 'W']));
        }
    }
}

#[test]
fn the_documentation_lists_every_code() {
    let page = fs::read_to_string("../docs/diagnostics.md").expect("the page is there");
    for code in Code::ALL {
        let row = format!("| `{code}` | {} |", code.summary());
        assert!(page.contains(&row), "docs/diagnostics.md lacks: {row}");
    }
}
