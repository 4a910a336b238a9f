//! Pages that name tests name tests that exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// `file::function` of every test below `folder`. A file named for its place (`mod`, `main`, `tests`) goes by its folder.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let file = named(&path);
            found.extend(functions(&text).map(|function| format!("{file}::{function}")));
        }
    }
}

fn named(path: &Path) -> String {
    let stem =
        |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    match stem(path).as_str() {
        "mod" | "main" | "tests" => path.parent().map(stem).unwrap_or_default(),
        other => other.to_owned(),
    }
}

/// The functions behind `#[test]`, other attributes between.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[test]").skip(1).filter_map(|rest| {
        let line = rest.lines().map(str::trim).find(|line| line.starts_with("fn "))?;
        line.strip_prefix("fn ")?.split('(').next()
    })
}

#[test]
fn every_sentence_of_the_specification_has_tests_that_exist() {
    let mut known = BTreeSet::new();
    for folder in ["src", "tests", "../sg-common/src", "../sg-ebpf/src", "../tests/src", "../tests/tests"] {
        tests_below(Path::new(folder), &mut known);
    }
    let page = fs::read_to_string("../docs/testing/spec.md").expect("the page is there");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| **row != "| sentence | tests |") {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            wrong.push(format!("no test: {row}"));
        }
        wrong.extend(
            names.iter().filter(|name| !known.contains(**name)).map(|name| format!("{name} does not exist")),
        );
    }
    assert!(wrong.is_empty(), "docs/testing/spec.md:\n{}", wrong.join("\n"));
    assert!(rows.len() > 70, "only {} rows were found", rows.len());
}
