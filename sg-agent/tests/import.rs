//! `sg-agent import`: each source against a golden policy file and golden notes, and inputs that are of no use.
//!
//! `SG_BLESS=1 cargo test -p sg-agent --test import` writes the golden files anew.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use sg_agent::policy::{
    self, Code, Policy,
    model::{Direction, Match, Remote},
};
use tempfile::TempDir;

#[path = "import/narrow.rs"]
mod narrow;

/// Name of the golden files, inputs.
const CASES: &[(&str, &[&str])] = &[
    ("aws", &["aws.json"]),
    ("openstack", &["openstack.json", "openstack-names.json"]),
    ("openstack-show", &["openstack-show.json"]),
    ("heat", &["heat.yaml"]),
    ("cloudformation", &["cloudformation.yaml"]),
    ("cloudformation-json", &["cloudformation.json"]),
    ("terraform-state", &["terraform-state.json"]),
    ("terraform-plan", &["terraform-plan.json"]),
];

fn import(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sg-agent"));
    command.arg("import").args(arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn accepted(text: &str, name: &str) -> Policy {
    let loaded = policy::parse_str(text, name);
    loaded.policy.unwrap_or_else(|| panic!("{name}: {:#?}\n{text}", loaded.diagnostics))
}

fn agrees(path: &str, content: &str) -> bool {
    if std::env::var_os("SG_BLESS").is_some() {
        fs::write(path, content).expect("the golden file is writable");
    }
    fs::read_to_string(path).unwrap_or_default() == content
}

#[test]
fn every_source_gives_its_golden_policy() {
    let mut wrong = Vec::new();
    for (name, files) in CASES {
        let paths: Vec<String> = files.iter().map(|file| format!("tests/import/{file}")).collect();
        let run = import(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(run.status.code(), Some(0), "{name}: {}", text(&run.stderr));
        let (policy, notes) = (text(&run.stdout), text(&run.stderr));
        accepted(&policy, name);
        for (path, content) in [
            (format!("tests/import/{name}.policy.yaml"), policy),
            (format!("tests/import/{name}.notes"), notes),
        ] {
            if !agrees(&path, &content) {
                wrong.push(format!("--- {path}\n{content}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The golden tests of the codes that only `import` gives; the others are in `diagnostics.rs`.
#[test]
fn its_own_codes_have_their_golden_files() {
    for code in [Code::Json, Code::Import] {
        let run = import(&[&format!("tests/import/{code}.json")]);
        assert_eq!(run.status.code(), Some(1), "{code}");
        let said = text(&run.stderr);
        assert!(agrees(&format!("tests/diagnostics/{code}.txt"), &said), "{said}");
    }
}

fn imported(file: &str) -> Policy {
    accepted(&text(&import(&[&format!("tests/import/{file}")]).stdout), file)
}

/// Whether a group lets a port in from anywhere that is not a list or group.
fn open(policy: &Policy, group: &str, direction: Direction) -> Vec<Match> {
    let rules = policy.groups[group].rules.iter();
    let open = |remote: &Remote| match remote {
        Remote::Any => true,
        Remote::Prefix(net) => net.prefix_len() == 0,
        _ => false,
    };
    rules
        .filter(|rule| rule.direction == direction && open(&rule.remote))
        .map(|rule| rule.matches.clone())
        .collect()
}

#[test]
fn a_group_beside_any_address_is_the_group() {
    // The listing of OpenStack shows 0.0.0.0/0 beside a remote group.
    let policy = accepted(
        &text(&import(&["tests/import/openstack.json", "tests/import/openstack-names.json"]).stdout),
        "openstack",
    );
    assert_eq!(open(&policy, "web", Direction::Ingress).len(), 1);
    let from_db = Remote::Group("default".to_owned());
    assert!(policy.groups["web"].rules.iter().any(|rule| rule.remote == from_db));
}

#[test]
fn unknown_addresses_match_nobody() {
    for (file, lists, groups) in [
        ("aws.json", &["pl-7"][..], &["sg-0f9"][..]),
        ("heat.yaml", &["partner"], &["bastion"]),
        ("cloudformation.yaml", &["PartnerCidr", "pl-1"], &["shared"]),
    ] {
        let policy = imported(file);
        for list in lists {
            assert!(policy.address_groups[*list].prefixes.is_empty(), "{file}: {list}");
            let named = Remote::AddressGroup((*list).to_owned());
            let mut rules = policy.groups.values().flat_map(|group| &group.rules);
            assert!(rules.any(|rule| rule.remote == named), "{file}: {list}");
        }
        for group in groups {
            let group = &policy.groups[*group];
            assert!(group.members.is_empty() && group.rules.is_empty(), "{file}: {}", group.name);
        }
    }
}

#[test]
fn default_rules_are_those_of_the_source() {
    let all = |policy: &Policy, group: &str| open(policy, group, Direction::Egress).contains(&Match::All);
    let heat = imported("heat.yaml");
    assert!(all(&heat, "web") && !all(&heat, "db"), "Heat: unless there is an egress rule");
    let cloudformation = imported("cloudformation.json");
    assert!(all(&cloudformation, "App") && !all(&cloudformation, "Db"));
    let terraform = imported("terraform-plan.json");
    assert!(!all(&terraform, "app"), "Terraform takes EC2's default rule away");
    for policy in [heat, cloudformation, terraform] {
        for group in policy.groups.values() {
            let defaults = (group.default_ingress, group.default_egress);
            assert_eq!(defaults, (policy::model::Action::Deny, policy::model::Action::Deny));
            assert!(group.allow_smtp, "{}: no port is treated in another way", group.name);
        }
    }
}

#[test]
fn json_has_the_notes_as_data() {
    let run = import(&["tests/import/aws.json", "--json"]);
    let report: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!(report["ok"], true);
    let first = &report["notes"][0];
    assert_eq!((&first["number"], &first["effect"]), (&Value::from(1), &Value::from("dropped")));
    assert_eq!(first["file"], "tests/import/aws.json");
    assert!(
        first["line"].as_u64() > Some(1)
            && first["resource"].as_str().is_some_and(|of| of.contains("sg-0a1"))
    );
    accepted(report["policy"].as_str().expect("the policy"), "json");
    assert!(run.stderr.is_empty());
}

#[test]
fn the_policy_goes_where_it_is_told() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("policy.yaml");
    let run = import(&["tests/import/aws.json", "-o", &path.to_string_lossy()]);
    assert_eq!((run.status.code(), run.stdout.len()), (Some(0), 0));
    accepted(&fs::read_to_string(&path).expect("it is there"), "written");
    fs::write(&path, "mine").expect("writable");
    let again = import(&["tests/import/aws.json", "-o", &path.to_string_lossy()]);
    assert_eq!(again.status.code(), Some(4));
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "mine");
    let forced = import(&["tests/import/aws.json", "--force", "-o", &path.to_string_lossy()]);
    assert_eq!(forced.status.code(), Some(0));
    accepted(&fs::read_to_string(path).expect("it is there"), "replaced");
}

#[test]
fn a_listing_of_one_group_is_called_after_its_file() {
    let rows = r#"[{"ID": "r", "IP Protocol": "tcp", "Ethertype": "IPv4", "IP Range": "0.0.0.0/0", "Port Range": "22:22",
        "Direction": "ingress", "Remote Security Group": null}]"#;
    let (policy, ..) = from_text("bastion.json", rows);
    assert_eq!(accepted(&policy, "bastion").groups["bastion"].rules.len(), 1);
}

#[test]
fn many_rules_raise_the_quotas() {
    let ports: Vec<String> = (1..=60)
        .map(|port| {
            format!(r#"{{"IpProtocol":"tcp","FromPort":{port},"ToPort":{port},"IpRanges":[{{"CidrIp":"10.0.0.0/8"}}]}}"#)
        })
        .collect();
    let groups: Vec<String> = (0..101)
        .map(|n| {
            format!(r#"{{"GroupId":"sg-{n}","GroupName":"same","IpPermissions":[{}]}}"#, ports.join(","))
        })
        .collect();
    let policy = from_text("many.json", &format!(r#"{{"SecurityGroups":[{}]}}"#, groups.join(","))).0;
    let policy = accepted(&policy, "many");
    assert_eq!((policy.settings.quotas.groups, policy.settings.quotas.rules_per_group), (101, 60));
    assert_eq!(policy.groups.len(), 101, "a name for each");
}

#[test]
fn standard_input_is_a_file_too() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sg-agent"));
    let input = fs::File::open("tests/import/cloudformation.json").expect("the input");
    let run = command.args(["import", "-"]).stdin(input).output().expect("the binary runs");
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    assert_eq!(accepted(&text(&run.stdout), "-").groups, imported("cloudformation.json").groups);
}

#[test]
fn names_of_one_file_mean_nothing_in_another() {
    let group = |port: u16| {
        format!(
            "Parameters:\n  Net: {{Type: String}}\nResources:\n  Web:\n    Type: AWS::EC2::SecurityGroup\n    Properties:\n      \
             SecurityGroupIngress:\n        - {{IpProtocol: tcp, FromPort: {port}, ToPort: {port}, CidrIp: !Ref Net}}\n        \
             - {{IpProtocol: udp, FromPort: {port}, ToPort: {port}, SourceSecurityGroupId: !Ref Web}}\n"
        )
    };
    let folder = TempDir::new().expect("a folder");
    let paths = [1, 2].map(|port| {
        let path = folder.path().join(format!("{port}.yaml"));
        fs::write(&path, group(port)).expect("writable");
        path.display().to_string()
    });
    let run = import(&[&paths[0], &paths[1]]);
    let policy = accepted(&text(&run.stdout), "two");
    assert_eq!(policy.groups.keys().collect::<Vec<_>>(), ["Web-Web", "Web-Web-2"]);
    assert_eq!(policy.address_groups.len(), 2);
    for (name, group) in &policy.groups {
        assert_eq!(group.rules[1].remote, Remote::Group(name.clone()));
    }
}

#[test]
fn a_name_that_is_another_groups_id_moves_nothing() {
    let template = "Resources:\n  A: {Type: AWS::EC2::SecurityGroup, Properties: {GroupName: sg-1}}\n  \
        B: {Type: AWS::EC2::SecurityGroup, Properties: {GroupName: twice}}\n  \
        C: {Type: AWS::EC2::SecurityGroup, Properties: {GroupName: twice}}\n  \
        D: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupName: twice, IpProtocol: '-1', CidrIp: 10.0.0.0/8}}\n";
    let folder = TempDir::new().expect("a folder");
    let paths = ["a.yaml", "b.json"].map(|name| folder.path().join(name).display().to_string());
    fs::write(&paths[0], template).expect("writable");
    fs::write(&paths[1], r#"{"SecurityGroups": [{"GroupId": "sg-1", "GroupName": "other"}]}"#)
        .expect("writable");
    let run = import(&[&paths[0], &paths[1]]);
    let policy = accepted(&text(&run.stdout), "two");
    let rules = |name: &str| policy.groups[name].rules.len();
    assert_eq!((rules("sg-1"), rules("other")), (1, 0), "A keeps its default rule");
    assert_eq!((rules("twice-B"), rules("twice-C")), (1, 1), "a rule for `twice` is for neither");
}

/// What an import of `content` prints on its two outputs, and its exit status.
fn from_text(name: &str, content: &str) -> (String, String, Option<i32>) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, content).expect("writable");
    let run = import(&[&path.to_string_lossy()]);
    (text(&run.stdout), text(&run.stderr), run.status.code())
}

#[test]
fn nothing_from_an_input_leaves_its_quotes() {
    let content = "{\"SecurityGroups\":[{\"GroupId\":\"sg\\n1\",\"GroupName\":\"a\\\"}: {\\n# x\\u202e\",\
        \"Description\":\"\\u0085\\u2028}\\n  evil: {}\",\"IpPermissions\":[{\"IpProtocol\":\"x\\ny\"}]}]}";
    let (policy, notes, status) = from_text("a.json", content);
    assert_eq!(status, Some(0), "{notes}");
    let read = accepted(&policy, "hostile");
    assert_eq!(read.groups.len(), 1);
    let bad = |c: char| c != '\n' && policy::validate::is_unprintable(c);
    assert!(!policy.contains(bad) && !notes.contains(bad), "{policy:?} {notes:?}");
    let description = &read.groups.values().next().expect("one").description;
    assert_eq!(description, "\u{85}\u{2028}}\n  evil: {}");
}

#[test]
fn useless_inputs_exit_1_with_their_place() {
    let deep = "[".repeat(100_000);
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n\
        d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\nResources: {}\n";
    let cases = [
        ("cut.json", "{\n  \"SecurityGroups\": [\n", "E-JSON", "cut.json:"),
        ("comma.json", "{\n  \"SecurityGroups\": [,]\n}\n", "E-JSON", "comma.json:2:22"),
        ("broken.yaml", "Resources:\n  a: [\n", "E-YAML", "broken.yaml:3:"),
        ("empty.json", "", "E-IMPORT", "empty"),
        ("other.json", "{\"a\": 1}\n", "E-IMPORT", "other.json:1:1"),
        ("none.json", "{\"SecurityGroups\": []}\n", "E-IMPORT", "no security group"),
        ("main.tf", "resource \"a\" \"b\" {\n}\n", "", "terraform show -json"),
        ("deep.json", &deep, "E-", "deep.json:1:"),
        ("bomb.yaml", bomb, "E-ALIAS", "bomb.yaml:"),
        (
            "short.json",
            "[{\"ID\": \"1\", \"IP Protocol\": \"tcp\", \"IP Range\": \"0.0.0.0/0\", \"Port Range\": \"22:22\"}]\n",
            "E-IMPORT",
            "--long",
        ),
    ];
    for (name, content, code, said) in cases {
        let (policy, notes, status) = from_text(name, content);
        assert_eq!((status, policy.as_str()), (Some(1), ""), "{name}: {notes}");
        assert!(notes.contains(code) && notes.contains(said), "{name}: {notes}");
    }
}

#[test]
fn files_that_are_none_do_not_block() {
    let folder = TempDir::new().expect("a folder");
    let fifo = folder.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
    assert!(made.success());
    for path in [fifo.as_path(), folder.path(), Path::new("/dev/zero"), Path::new("tests/no-such-file.json")]
    {
        let run = import(&[&path.to_string_lossy()]);
        assert_eq!(run.status.code(), Some(1), "{}", path.display());
        assert!(text(&run.stderr).contains("E-FILE"), "{}", text(&run.stderr));
    }
}

#[test]
fn conditions_that_call_each_other_end() {
    let mut template = "Conditions:\n  C0: {Fn::Equals: [a, a]}\n".to_owned();
    for n in 1..40 {
        let before = n - 1;
        template +=
            &format!("  C{n}: !And [!Condition C{before}, !Condition C{before}, !Condition C{before}]\n");
    }
    template += "Resources:\n  A: {Type: AWS::EC2::SecurityGroup, Condition: C39, Properties: {}}\n";
    template += "  B: {Type: AWS::EC2::SecurityGroup, Properties: {}}\n";
    let (policy, notes, status) = from_text("calls.yaml", &template);
    assert_eq!(status, Some(0), "{notes}");
    assert!(!accepted(&policy, "calls").groups.contains_key("A") && notes.contains("condition"), "{notes}");
}

#[test]
fn real_templates_give_policies() {
    let folder = Path::new("../../shared/data/groups/heat");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).collect::<Vec<PathBuf>>() {
        let run = import(&[&path.to_string_lossy()]);
        assert_eq!(run.status.code(), Some(0), "{}: {}", path.display(), text(&run.stderr));
        let policy = accepted(&text(&run.stdout), &path.display().to_string());
        let rules: usize = policy.groups.values().map(|group| group.rules.len()).sum();
        assert!(!policy.groups.is_empty() && rules >= 4, "{}", path.display());
    }
}

/// The blocks of `docs/import.md`: kind and content.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = page.split("```").collect();
    parts.iter().skip(1).step_by(2).filter_map(|block| block.split_once('\n')).collect()
}

#[test]
fn the_documentation_shows_what_comes_out() {
    let page = fs::read_to_string("../docs/import.md").expect("the page");
    let shown: Vec<(&str, &str)> = blocks(&page).into_iter().filter(|(kind, _)| !kind.is_empty()).collect();
    assert_eq!(shown.len(), 10);
    for pair in shown.chunks(2) {
        let [(kind, input), (_, output)] = pair else { panic!("an input and its output") };
        let (policy, notes, status) = from_text(&format!("input.{kind}"), input);
        assert_eq!(status, Some(0), "{notes}");
        assert!(policy.contains(output), "{policy}");
    }
}
