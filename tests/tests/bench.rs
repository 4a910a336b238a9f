//! The bench itself: it runs, says what it measured, and judges rule sets.

use std::process::Command;

use serde_json::Value;

/// What the bench prints with these arguments.
#[track_caller]
fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sg-bench")).args(arguments).output().expect("the bench");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "sg-bench {}: {complaint}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn measured(arguments: &[&str]) -> Vec<Value> {
    let text = run(&[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[test]
fn the_floor_is_measured() {
    let entries = measured(&["--quick", "--only", "floor"]);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["unit"], "ns");
    assert!(entries[0]["ours"].as_f64().is_some_and(|ns| ns > 0.0), "{entries:?}");
    assert!(entries[0]["mode"].as_str().is_some_and(|mode| mode.contains("XDP")), "{entries:?}");
}

#[test]
fn every_target_has_a_name_to_be_asked_for_by() {
    let list = run(&["--list"]);
    for part in [
        "established, 64,000 flows, IPv6",
        "denied, 100,000 rules, IPv6",
        "new connection, 5,000 rules, IPv4",
        "end to end: denied flood, 5,000 rules",
        "end to end: new flows",
        "end to end: established",
        "TCP bulk, received by a guest's veth, auto",
        "TCP bulk, received by a guest's tap, auto",
        "one of 100,000 rules changed",
        "a rule of 1,000 interfaces changed",
        "one member added to 100,000",
        "table designs: look-up that hits, 64,000 flows, IPv4",
        "table designs: insertion beside 64,000 flows, IPv4",
        "memory per connection, IPv4",
        "sweep of 1,000,000 expired entries",
        "two-way flood from a neighbour guest",
    ] {
        assert!(list.lines().any(|name| name.contains(part)), "{part} is not among:\n{list}");
    }
}

/// Every table that could have been taken is measured beside ours; that look-ups hit or miss and that what is inserted is
/// there until it is removed is checked by the bench itself, packet by packet.
#[test]
fn table_designs_are_measured_side_by_side() {
    let entries = measured(&["--rounds", "1", "--only", "table designs"]);
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let references = ["kernel hash", "kernel LRU hash", "kernel hash, no preallocation"];
    for what in
        ["look-up that hits, 1,000", "look-up that misses, 64,000", "insertion beside", "removal beside"]
    {
        let of_it: Vec<&Value> = entries.iter().filter(|entry| text(entry, "name").contains(what)).collect();
        let names: Vec<String> = of_it.iter().map(|entry| text(entry, "reference_name")).collect();
        assert_eq!(names, references, "{what}");
        assert!(of_it.iter().all(|entry| entry["reference_spread"]["min"].is_number()), "{of_it:?}");
        assert!(of_it.iter().all(|entry| entry["unit"] == "ns" && entry["target"].is_null()), "{of_it:?}");
    }
}

/// What was generated is a file that is read, and of thousands of packets the loaded program says what the first match
/// says.
#[test]
fn a_generated_set_is_judged_like_its_first_match() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let file = directory.path().join("acl_300");
    let file = file.to_str().expect("a path");
    run(&["--generate", "acl:300", "--out", file]);
    let entries = measured(&["--quick", "--classbench", file]);
    let by_name = |part: &str| {
        let found = entries.iter().find(|entry| entry["name"].as_str().is_some_and(|n| n.contains(part)));
        found.unwrap_or_else(|| panic!("no {part} in {entries:?}"))
    };
    let judged = by_name("unlike the first match");
    assert_eq!((judged["ours"].as_f64(), judged["met"].as_bool()), (Some(0.0), Some(true)));
    assert_eq!(judged["rules"], 300);
    assert!(by_name("allowed")["ours"].is_number() && by_name("denied")["ours"].is_number());
}
