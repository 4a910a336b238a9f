//! `cargo xtask catalogue`: the page that says which test shows which scenario.
//!
//! Scenarios, their titles and why some are left out are in `tests/catalogue.txt`. Tests name the scenarios that they
//! show in their doc comments: `/// P06, T02-T05: …`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::place::workspace;

/// `cargo xtask catalogue`
#[derive(clap::Args)]
pub struct Options {
    /// Write nothing; fail if the page is out of date
    #[arg(long)]
    check: bool,
}

/// Groups of scenarios, each numbered from 1 to this, and what they are about.
const GROUPS: [(char, u32, &str); 14] = [
    ('P', 47, "Parsing"),
    ('T', 43, "TCP"),
    ('U', 15, "UDP"),
    ('I', 25, "ICMP"),
    ('N', 14, "Neighbours and groups"),
    ('D', 9, "DHCP"),
    ('F', 23, "Fragments"),
    ('X', 10, "Other protocols"),
    ('C', 25, "The connection table"),
    ('L', 17, "Links"),
    ('R', 15, "Changes under live connections"),
    ('H', 19, "The life of the agent"),
    ('E', 12, "The environment"),
    ('A', 40, "Attacks"),
];
const SOURCES: [&str; 4] = ["sg-agent", "sg-common", "sg-ebpf", "tests"];
const LIST: &str = "tests/catalogue.txt";
const PAGE: &str = "docs/testing/catalogue.md";

/// A scenario: group, and number within.
type Id = (char, u32);
/// Which tests, `path::name`, name which scenario.
type Shown = BTreeMap<Id, Vec<String>>;

/// A line of the list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scenario {
    title: String,
    left_out: Option<String>,
    note: Option<String>,
}

/// Writes the page, or checks it.
pub fn run(options: &Options) -> Result<()> {
    let root = workspace()?;
    let page = page(&root)?;
    let path = root.join(PAGE);
    if options.check {
        let is = fs::read_to_string(&path).unwrap_or_default();
        ensure!(is == page, "{PAGE} is out of date: run `cargo xtask catalogue`");
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a page in a folder")?)?;
    fs::write(&path, page).with_context(|| format!("writing {PAGE}"))
}

/// The page as it should be. An error says everything that is wrong with list and tests.
fn page(root: &Path) -> Result<String> {
    let text = fs::read_to_string(root.join(LIST)).with_context(|| format!("reading {LIST}"))?;
    let list = list(&text)?;
    let mut shown = Shown::new();
    for source in SOURCES {
        for file in rust_files(&root.join(source))? {
            let path = file.strip_prefix(root)?.to_string_lossy().into_owned();
            if is_test(&path) {
                collect(&path, &fs::read_to_string(&file)?, &mut shown);
            }
        }
    }
    let wrong = faults(&list, &shown);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(render(&list, &shown))
}

/// Whether a file holds tests only.
fn is_test(path: &str) -> bool {
    let stem = Path::new(path).file_stem().unwrap_or_default();
    path.split('/').any(|part| part == "tests") || stem == "tests" || stem == "properties"
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads the list.
fn list(text: &str) -> Result<BTreeMap<Id, Scenario>> {
    let mut list = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.split(" | ");
        let id = parts.next().and_then(id).with_context(|| format!("{LIST}: no scenario: {line}"))?;
        let title = parts.next().with_context(|| format!("{LIST}: no title: {line}"))?.to_owned();
        let mut scenario = Scenario { title, ..Scenario::default() };
        for part in parts {
            match part.split_once(": ") {
                Some(("left out", why)) => scenario.left_out = Some(why.to_owned()),
                Some(("note", what)) => scenario.note = Some(what.to_owned()),
                _ => bail!("{LIST}: neither `left out` nor `note`: {line}"),
            }
        }
        ensure!(list.insert(id, scenario).is_none(), "{LIST}: twice: {line}");
    }
    Ok(list)
}

/// `P06`, `A7`.
fn id(word: &str) -> Option<Id> {
    let mut letters = word.chars();
    let group = letters.next()?;
    let digits = letters.as_str();
    let length = if group == 'A' { 1..=2 } else { 2..=2 };
    let known = GROUPS.iter().any(|(letter, ..)| *letter == group);
    let is_number = length.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if known && is_number { Some((group, digits.parse().ok()?)) } else { None }
}

/// Every scenario that a line of documentation names; `P01-P04` are four.
fn ids(line: &str) -> Vec<Id> {
    let words = line.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
    words
        .flat_map(|word| match word.split_once('-') {
            Some((first, last)) => match (id(first), id(last)) {
                (Some((group, first)), Some((same, last))) if group == same => {
                    (first..=last).map(|number| (group, number)).collect()
                }
                _ => Vec::new(),
            },
            None => id(word).into_iter().collect(),
        })
        .collect()
}

/// Adds what the documentation of each function of a file names.
fn collect(path: &str, text: &str, shown: &mut Shown) {
    let mut named: Vec<Id> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("/// ") {
            named.extend(ids(said));
        } else if let Some(name) = function(line) {
            for id in named.drain(..) {
                let tests = shown.entry(id).or_default();
                let test = format!("{path}::{name}");
                if !tests.contains(&test) {
                    tests.push(test);
                }
            }
        } else if !line.starts_with("#[") && !line.starts_with("///") {
            named.clear();
        }
    }
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

fn faults(list: &BTreeMap<Id, Scenario>, shown: &Shown) -> Vec<String> {
    let all = || GROUPS.iter().flat_map(|(group, last, _)| (1..=*last).map(move |number| (*group, number)));
    let mut wrong = Vec::new();
    for id in all() {
        let (tests, scenario) = (shown.get(&id), list.get(&id));
        let name = name(id);
        match (scenario, tests) {
            (None, _) => wrong.push(format!("{name}: not in {LIST}")),
            (Some(Scenario { left_out: None, .. }), None) => {
                wrong.push(format!("{name}: no test names it, and {LIST} does not say why"));
            }
            (Some(Scenario { left_out: Some(_), .. }), Some(tests)) => {
                wrong.push(format!("{name}: left out in {LIST}, but named by {}", tests.join(", ")));
            }
            _ => {}
        }
    }
    let known = |id: &Id| all().any(|one| one == *id);
    let strangers = list.keys().chain(shown.keys()).filter(|id| !known(id));
    wrong
        .extend(strangers.map(|id| format!("{}: there is no such scenario: {:?}", name(*id), shown.get(id))));
    wrong
}

fn name((group, number): Id) -> String {
    if group == 'A' { format!("A{number}") } else { format!("{group}{number:02}") }
}

fn render(list: &BTreeMap<Id, Scenario>, shown: &Shown) -> String {
    let left_out = list.values().filter(|scenario| scenario.left_out.is_some()).count();
    let mut page = format!(
        "# Scenarios and their tests\n\nMade by `cargo xtask catalogue` from `{LIST}` and the doc comments of the \
         tests; a test fails when it is out of date.\n{} scenarios, {left_out} of them left out.\n",
        list.len()
    );
    for (group, _, about) in GROUPS {
        page += &format!("\n## {group}: {about}\n\n| | scenario | shown by |\n|---|---|---|\n");
        for (id, scenario) in list.iter().filter(|((letter, _), _)| *letter == group) {
            page += &row(*id, scenario, shown.get(id).map_or(&[], Vec::as_slice));
        }
    }
    page
}

fn row(id: Id, scenario: &Scenario, tests: &[String]) -> String {
    let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
    let shown = match &scenario.left_out {
        Some(why) => format!("left out: {why}"),
        None => tests.join("<br>"),
    };
    let note = scenario.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    format!("| {} | {}{note} | {shown} |\n", name(id), scenario.title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_up_to_date() {
        run(&Options { check: true }).unwrap();
    }

    #[test]
    fn documentation_names_scenarios() {
        assert_eq!(
            ids("P06, A7: T02-T04 of RFC 1858, C0A, X100, P-P"),
            [('P', 6), ('A', 7), ('T', 2), ('T', 3), ('T', 4)]
        );
    }

    #[test]
    fn a_function_shows_what_stands_over_it() {
        let mut shown = Shown::new();
        let text = "/// P01: a\n/// and U02\n#[test]\nfn one() {}\n\n/// P02\nstruct Two;\nfn three() {}\n// P03\nfn four() {}";
        collect("a.rs", text, &mut shown);
        let all: Vec<_> = shown.into_iter().collect();
        assert_eq!(all, [(('P', 1), vec!["a.rs::one".to_owned()]), (('U', 2), vec!["a.rs::one".to_owned()])]);
    }

    #[test]
    fn a_scenario_has_a_test_or_a_reason_and_not_both() {
        let mut full = String::new();
        for (group, last, _) in GROUPS {
            for number in 1..=last {
                full += &format!("{} | title | left out: because\n", name((group, number)));
            }
        }
        let complete = list(&full).unwrap();
        assert_eq!(faults(&complete, &Shown::new()), Vec::<String>::new());
        let shown = |id| Shown::from([(id, vec!["a.rs::b".to_owned()])]);
        assert_eq!(faults(&complete, &shown(('P', 1))).len(), 1, "left out and shown");
        assert_eq!(faults(&complete, &shown(('P', 48))).len(), 1, "no such scenario");
        let without = list(&full.replace("P01 | title | left out: because", "P01 | title")).unwrap();
        assert_eq!(faults(&without, &Shown::new()).len(), 1, "neither");
        assert_eq!(faults(&without, &shown(('P', 1))), Vec::<String>::new());
        assert_eq!(
            faults(&list("P01 | title").unwrap(), &shown(('P', 1))).len(),
            313,
            "missing from the list"
        );
        assert!(list("P01 | a\nP01 | b").is_err() && list("P01").is_err() && list("P01 | a | why").is_err());
    }
}
