//! `sg-agent check`, `service` and `template` as a user runs them.

use std::process::{Command, Output};

use serde_json::Value;

fn sg_agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sg-agent")).args(arguments).output().expect("the binary runs")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_example_passes_without_warnings() {
    let output = sg_agent(&["check", "../rules.example.yaml", "--deny-warnings"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    assert!(stdout(&output).contains("ok; groups: 2, rules: 5, interfaces: 2"));
}

#[test]
fn standard_input_is_checked() {
    let input = std::fs::File::open("tests/diagnostics/E-PORT.yaml").expect("it is there");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sg-agent"));
    let output = command.args(["check", "-"]).stdin(input).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("standard input:5:52"), "{said}");
}

#[test]
fn the_fixtures_are_accepted() {
    for name in ["sg-ab", "default", "sys-webserver", "trio"] {
        let output = sg_agent(&["check", &format!("../tests/fixtures/{name}.yaml")]);
        assert_eq!(output.status.code(), Some(0), "{name}");
    }
}

#[test]
fn faults_exit_1_with_file_line_and_column() {
    let output = sg_agent(&["check", "tests/diagnostics/E-PORT.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("tests/diagnostics/E-PORT.yaml:5:52"), "{said}");
    assert!(!said.contains('\x1b'), "no colour where nobody looks");
}

#[test]
fn a_missing_file_exits_1() {
    let output = sg_agent(&["check", "tests/no-such-file.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["diagnostics"][0]["code"], "E-FILE");
}

#[test]
fn warnings_are_refused_only_when_asked() {
    let file = "tests/diagnostics/W-OPEN-ADMIN.yaml";
    assert_eq!(sg_agent(&["check", file]).status.code(), Some(0));
    let output = sg_agent(&["check", file, "--deny-warnings", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["ok"], false);
}

#[test]
fn json_has_the_promised_fields() {
    let output = sg_agent(&["check", "tests/diagnostics/E-HOST-BITS.yaml", "--format", "json"]);
    let report = json(&output);
    assert_eq!(report["ok"], false);
    let first = &report["diagnostics"][0];
    assert_eq!(first["severity"], "error");
    assert_eq!(first["code"], "E-HOST-BITS");
    assert_eq!(first["file"], "tests/diagnostics/E-HOST-BITS.yaml");
    assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(5), Some(38)));
    assert!(first["message"].as_str().is_some_and(|text| text.contains("10.0.0.1/8")));
    assert!(first["help"].as_str().is_some_and(|text| text.contains("10.0.0.0/8")));
}

#[test]
fn github_gets_workflow_commands() {
    let output = sg_agent(&["check", "tests/diagnostics/E-PORT-REVERSED.yaml", "--format", "github"]);
    let line = stdout(&output).lines().next().unwrap_or_default();
    let start = "::error file=tests/diagnostics/E-PORT-REVERSED.yaml,line=5,col=57,endColumn=62,title=E-PORT-REVERSED::";
    assert!(line.starts_with(start), "{line}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn usage_exits_2() {
    for arguments in [&["check"][..], &["check", "a", "--format", "xml"], &["nonsense"]] {
        assert_eq!(sg_agent(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn every_template_shows_a_policy_that_passes() {
    let list = json(&sg_agent(&["template", "list", "--json"]));
    let names: Vec<&str> =
        list.as_array().expect("a list").iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["default", "web-server", "full-access"]);
    for name in names {
        let shown = sg_agent(&["template", "show", name]);
        let written =
            sg_agent::policy::parse_str(stdout(&shown), "shown.yaml").policy.expect("it is accepted");
        let text = format!("version: 1\nsecurity_groups:\n  {name}: {{template: {name}}}\n");
        let built_in = sg_agent::policy::parse_str(&text, "used.yaml").policy.expect("it is accepted");
        assert_eq!(written.groups[name].rules, built_in.groups[name].rules, "{name}");
    }
    assert_eq!(sg_agent(&["template", "show", "web"]).status.code(), Some(1));
}

#[test]
fn the_services_are_listed() {
    let rows = json(&sg_agent(&["service", "list", "--json"]));
    let rows = rows.as_array().expect("a list");
    assert!(rows.len() >= 150);
    assert!(
        rows.iter()
            .any(|row| row["name"] == "dns" && row["matches"] == serde_json::json!(["tcp/53", "udp/53"]))
    );
}

#[test]
fn colours_are_a_choice() {
    let file = "tests/diagnostics/E-PORT.yaml";
    let said = |arguments: &[&str]| sg_agent(&[&["check", file], arguments].concat()).stderr;
    assert!(said(&["--color", "always"]).contains(&0x1b));
    assert!(!said(&["--color", "never"]).contains(&0x1b) && !said(&[]).contains(&0x1b));
}

/// `script` gives the command a terminal.
#[test]
fn a_terminal_gets_colours_unless_it_does_not_want_them() {
    let command = format!("{} check tests/diagnostics/E-PORT.yaml", env!("CARGO_BIN_EXE_sg-agent"));
    let said = |variable: (&str, &str)| {
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).env_remove("NO_COLOR").env("TERM", "xterm");
        script.env(variable.0, variable.1).output().expect("script (util-linux) is there").stdout
    };
    assert!(said(("NO_COLOR", "")).contains(&0x1b), "an empty NO_COLOR says nothing");
    assert!(!said(("NO_COLOR", "1")).contains(&0x1b));
    assert!(!said(("TERM", "dumb")).contains(&0x1b));
}

/// Y27: aliases that would expand to 10^9 values, within 200 MB of addresses.
#[test]
fn aliases_do_not_take_the_memory() {
    let command = format!(
        "ulimit -v 200000; exec {} check tests/diagnostics/E-ALIAS.yaml",
        env!("CARGO_BIN_EXE_sg-agent")
    );
    let output = Command::new("sh").args(["-c", &command]).output().expect("a shell");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("E-ALIAS"));
}
