//! Golden tests: `diagnostics/CODE.yaml` gives `diagnostics/CODE.txt`, for every code. Where a small file does not cause
//! one, the file is made here.
//!
//! `BLESS=1 cargo test -p sg-agent --test diagnostics` writes the `.txt` files anew.

use std::{fs, path::Path};

use sg_agent::policy::{self, Code, Loaded, Severity, render};

/// `apply`, `check` and `import` find them; their tests are in `src/cli/missing.rs`, `src/cli/fit.rs` and `import.rs`.
const NOT_HERE: &[Code] = &[Code::InterfaceMissing, Code::Capacity, Code::Json, Code::Import];

const GOLDEN: &str = "tests/diagnostics";

/// Y03, Y05, Y10 (not UTF-8), Y24, Y27, Y28, Y35 and every other code.
#[test]
fn every_code_has_its_golden_file() {
    let mut wrong = Vec::new();
    for code in Code::ALL.iter().filter(|code| !NOT_HERE.contains(code)) {
        let loaded = cause(*code);
        assert!(loaded.diagnostics.iter().any(|one| one.code == *code), "{code} is not caused");
        assert_eq!(loaded.policy.is_some(), code.severity() == Severity::Warning, "{code}");
        let shown = shown(*code, &loaded);
        let golden = format!("{GOLDEN}/{code}.txt");
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
fn every_golden_file_is_of_a_code() {
    let known: Vec<String> = Code::ALL.iter().map(|code| format!("{code}.txt")).collect();
    for path in folder().into_iter().filter(|path| path.ends_with(".txt")) {
        assert!(known.iter().any(|name| path.ends_with(&format!("/{name}"))), "{path} is of no code");
    }
    for name in &known {
        assert!(Path::new(GOLDEN).join(name).exists(), "{name} is missing");
    }
}

/// A file that causes `code`.
fn cause(code: Code) -> Loaded {
    let rule = |expires: &str| format!("      - {{direction: ingress, protocol: udp, ports: 1{expires}}}\n");
    let rules = |rule: &str, count: usize| {
        let head = "version: 1\nsettings: {quotas: {rules_per_group: 20000}}\nsecurity_groups:\n  web:\n    rules:\n";
        head.to_owned() + &rule.repeat(count)
    };
    match code {
        // Such a file has one page by its size and a few bytes in it: as if it had been cut meanwhile.
        Code::FileChanged => policy::load(Path::new("/sys/devices/system/cpu/possible")),
        Code::FileSize => {
            let path = made(code, "");
            let file = fs::File::options().write(true).open(&path).expect("the file just made");
            file.set_len(100 << 20).expect("a file with a hole");
            policy::load(Path::new(&path))
        }
        Code::Nodes => policy::load(Path::new(&made(code, &format!("[{}]\n", "a,".repeat(2_100_000))))),
        Code::More => policy::load(Path::new(&made(code, &rules(&rule(", colour: red"), 10_007)))),
        Code::MoreWarnings => {
            let text = rules(&rule(", expires: 2020-01-01T00:00:00Z"), 5_500);
            policy::load(Path::new(&made(code, &text)))
        }
        _ => policy::load(Path::new(&format!("{GOLDEN}/{code}.yaml"))),
    }
}

/// A file that is too large to be kept.
fn made(code: Code, text: &str) -> String {
    let path = format!("{}/{code}.yaml", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&path, text).expect("the build's folder is writable");
    path
}

/// What the user sees; of thousands of findings the last ones.
fn shown(code: Code, loaded: &Loaded) -> String {
    let skip = loaded.diagnostics.len().saturating_sub(8);
    let last = &loaded.diagnostics[if skip > 100 { skip } else { 0 }..];
    let shown = render::human(last, &loaded.sources, false);
    shown.replace(&format!("{}/{code}", env!("CARGO_TARGET_TMPDIR")), &format!("{GOLDEN}/{code}"))
}

fn folder() -> Vec<String> {
    let entries = fs::read_dir(GOLDEN).expect("the folder is there");
    entries.map(|entry| entry.expect("it is readable").path().display().to_string()).collect()
}

#[test]
fn every_fault_says_what_is_allowed() {
    for path in folder().into_iter().filter(|path| path.ends_with(".yaml")) {
        for one in policy::load(Path::new(&path)).diagnostics {
            assert!(one.help.is_some(), "{path}: {}", one.message);
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
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, Code::ALL.len(), "docs/diagnostics.md has codes that do not exist");
}
