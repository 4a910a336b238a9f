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

fn known_tests() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for folder in ["src", "tests", "../sg-common/src", "../sg-ebpf/src", "../tests/src", "../tests/tests"] {
        tests_below(Path::new(folder), &mut known);
    }
    known
}

/// What is wrong with the rows below a heading that ends in `| tests |`, and how many rows there are.
fn judge(page: &str) -> (Vec<String>, usize) {
    let text = fs::read_to_string(page).expect("the page is there");
    let known = known_tests();
    let (mut wrong, mut count, mut names_tests) = (Vec::new(), 0, false);
    for row in text.lines() {
        match row {
            row if !row.starts_with("| ") => names_tests &= row.starts_with("|-"),
            row if row.ends_with("| tests |") => names_tests = true,
            row if names_tests => {
                count += 1;
                wrong.extend(faults(row, &known));
            }
            _ => {}
        }
    }
    (wrong, count)
}

fn faults(row: &str, known: &BTreeSet<String>) -> Vec<String> {
    let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
    let names: Vec<&str> = tests.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
    if names.is_empty() {
        return vec![format!("no test: {row}")];
    }
    let unknown = names.iter().filter(|name| !known.contains(**name));
    unknown.map(|name| format!("{name} does not exist")).collect()
}

#[test]
fn every_sentence_of_the_specification_has_tests_that_exist() {
    let (wrong, count) = judge("../docs/testing/spec.md");
    assert!(wrong.is_empty(), "docs/testing/spec.md:\n{}", wrong.join("\n"));
    assert!(count > 70, "only {count} rows were found");
}

#[test]
fn every_promise_of_security_has_tests_that_exist() {
    let (wrong, count) = judge("../docs/security.md");
    assert!(wrong.is_empty(), "docs/security.md:\n{}", wrong.join("\n"));
    assert!(count > 20, "only {count} rows were found");
}
