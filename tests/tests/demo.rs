//! The demo meets its expectations, and leaves nothing behind however it ends.

use std::process::{Command, Output};

/// Runs a script that finds the demo in `$DEMO`, with a BPF file system of its own to look into before and afterwards.
fn run(script: &str) -> (Output, String) {
    let script = format!(
        "mount -t bpf sg-tests /sys/fs/bpf && before=$(ls /sys/fs/bpf); {script}; code=$?; \
         [ \"$(ls /sys/fs/bpf)\" = \"$before\" ] || ls /sys/fs/bpf | sed 's/^/left behind: /'; exit $code"
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .env("DEMO", env!("CARGO_BIN_EXE_sg-demo"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("unshare (of util-linux)");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, stdout)
}

#[test]
fn every_expectation_is_met() {
    let (output, stdout) = run("$DEMO");
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    let last = stdout.trim().lines().last().expect("some output");
    assert!(last.contains("expectations met"), "{last}");
    assert!(!stdout.contains('\x1b'), "colours on something that is no terminal");
}

#[test]
fn nothing_stays_behind_after_an_interrupt() {
    for seconds in ["0.2", "1", "2.5"] {
        let (output, stdout) = run(&format!("{{ $DEMO & sleep {seconds}; kill -TERM $!; wait $!; }}"));
        assert_eq!(output.status.code(), Some(130), "after {seconds} s: {stdout}");
        assert!(!stdout.contains("left behind"), "after {seconds} s: {stdout}");
    }
}

#[test]
fn nothing_stays_behind_after_a_failure() {
    // Loaded and enforced, it lacks the rule that the demo is to withdraw.
    let policy = include_str!("../../rules.example.yaml").replace("service: http}", "service: https}");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), policy).expect("writing to a temporary file");
    let (output, stdout) = run(&format!("$DEMO {}", file.path().display()));
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(!stdout.contains("left behind"), "{stdout}");
}
