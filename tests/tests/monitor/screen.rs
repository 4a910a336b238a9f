//! `top` where there is no terminal: one frame.

use sg_common::verdict::Reason;
use sg_tests::{
    packets::{Transport, flag::SYN},
    wire::Family,
};

use super::{on, plane};

/// One frame of everything, 80 columns by 24 lines.
#[test]
fn a_frame_without_a_terminal() {
    let plane = plane();
    let life = on(&plane, Family::V4);
    life.enters(&Transport::tcp(40_000, 80, SYN));
    life.is_kept_out(Reason::Rule, &Transport::tcp(40_000, 23, SYN));
    let run = plane.agent.run(&["top"]);
    assert_eq!((run.status, run.stdout.lines().count()), (0, 24), "{}", run.stderr);
    for shown in ["generation 1", "1 of 4,096 connections", "tap0", "syn-sent", "no telnet", "rule"] {
        assert!(run.stdout.contains(shown), "{shown}: {}", run.stdout);
    }
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
    let rules = plane.agent.run(&["top", "--once", "--view", "rules"]);
    assert!(rules.stdout.contains("guest #1 no telnet"), "{}", rules.stdout);
}

/// Without anything loaded it says so.
#[test]
fn nothing_to_show_is_said() {
    let plane = plane();
    assert_eq!(plane.agent.run(&["unload"]).status, 0);
    let run = plane.agent.run(&["top"]);
    assert_eq!(run.status, 3);
    assert!(run.stderr.contains("nothing is loaded"), "{}", run.stderr);
    assert_eq!(plane.agent.run(&["monitor"]).status, 3);
}
