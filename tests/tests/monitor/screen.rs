//! `top` where there is no terminal: one frame.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use nix::{
    pty::{Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sg_common::verdict::Reason;
use sg_tests::{
    agent,
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

/// What is written to a terminal from now on, as it comes.
fn written(mut terminal: File) -> Receiver<String> {
    let (sender, pieces) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(length @ 1..) = terminal.read(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                return;
            }
        }
    });
    pieces
}

#[track_caller]
fn wait_for(screen: &Receiver<String>, text: &str) {
    let mut seen = String::new();
    while !seen.contains(text) {
        seen += &screen.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("no {text}: {seen}"));
    }
}

/// On a terminal keys are obeyed, also after its size has changed, and the screen is given back.
#[test]
fn keys_are_obeyed() {
    let plane = plane();
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).expect("a terminal");
    let end = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
    let mut command = Command::new(agent::binary());
    command.arg("--state-dir").arg(plane.agent.state_dir()).arg("top").env("TERM", "xterm");
    command.stdin(end()).stdout(end()).stderr(end());
    let mut child = plane.host.enter(|| command.spawn()).expect("starting the agent");
    let mut keys = File::from(pty.master);
    let screen = written(keys.try_clone().expect("a descriptor"));
    wait_for(&screen, "Overview");
    keys.write_all(b"?").expect("a key");
    wait_for(&screen, "Keys");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGWINCH).expect("a signal");
    keys.write_all(b"?").expect("a key");
    keys.write_all(b"q").expect("a key");
    wait_for(&screen, "\u{1b}[?1049l");
    assert!(child.wait().expect("its end").success());
}
