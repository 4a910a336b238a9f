//! The guide for operators says what is so: every example of `docs/policy.md` is checked and asked about.

use std::{collections::BTreeSet, fs};

use sg_agent::policy;
use sg_tests::{
    agent::{Agent, Explained},
    guide::{Example, GUIDE, examples},
    netns::Netns,
};

#[test]
fn check_says_of_each_example_what_the_guide_says() {
    let mut wrong = Vec::new();
    for example in examples(GUIDE) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        example.write_files(folder.path());
        let path = folder.path().join("policy.yaml");
        fs::write(&path, &example.text).expect("a temporary folder");
        let loaded = policy::load(&path);
        let found: BTreeSet<String> = loaded.diagnostics.iter().map(|one| one.code.to_string()).collect();
        if Some(&found) != example.codes.as_ref() {
            let shown = policy::render::human(&loaded.diagnostics, &loaded.sources, false);
            wrong.push(format!(
                "docs/policy.md:{}: {found:?}, not {:?}\n{shown}",
                example.line, example.codes
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn packets_meet_what_the_guide_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for example in examples(GUIDE).iter().filter(|example| !example.packets.is_empty()) {
        let devices = devices(example);
        let host = Netns::with_devices(&devices.iter().map(String::as_str).collect::<Vec<_>>());
        let agent = Agent::new(&host);
        example.write_files(agent.write("folder", "").parent().expect("a folder"));
        agent.apply(&example.text);
        for packet in &example.packets {
            let said = agent.explain(&packet.question);
            let because = because(&said);
            if (&said.verdict, &because) != (&packet.verdict, &packet.because) {
                wrong.push(format!("docs/policy.md:{}: {}, {because}", packet.line, said.verdict));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "the program says otherwise:\n{}", wrong.join("\n"));
    assert!(count > 50, "only {count} packets were found");
}

/// The devices that the packets of an example speak of.
fn devices(example: &Example) -> BTreeSet<String> {
    let words = |packet: &str| packet.split(' ').nth(1).map(str::to_owned);
    let asked = example.packets.iter().filter_map(|packet| words(&packet.question));
    let loaded = policy::parse_str(&example.text.replace("{file:", "{addresses: [], description:"), "x");
    let bound = loaded.policy.into_iter().flat_map(|policy| policy.interfaces);
    bound.map(|interface| interface.name).filter(|name| !name.contains('*')).chain(asked).collect()
}

fn because(said: &Explained) -> String {
    match (&said.group, said.rule) {
        (Some(group), Some(rule)) => format!("rule {rule} of {group}"),
        _ => said.stage.clone(),
    }
}
