//! Sentences of the specification, by hand.

use super::*;
use crate::sequence::{self, Step};

/// Runs the lines of a sequence; a packet's line ends with the expected word.
#[track_caller]
fn life(rules: &str, lines: &str) -> Model {
    let mut model = Model::new(world(rules));
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (step, word) = line.split_once(" => ").unwrap_or((line, ""));
        match sequence::step(step).unwrap_or_else(|error| panic!("{line}: {error}")) {
            Step::Wait(time) => model.wait(time),
            Step::Policy(_) => unreachable!("a policy is no line"),
            Step::Packet(packet) => {
                let said = match model.judge(&packet) {
                    Verdict::Pass(stage) => stage.name(),
                    Verdict::Drop(reason) => reason.name(),
                };
                let said = if said == "rule" {
                    if is_pass(&model, &packet) { "pass" } else { "rule" }
                } else {
                    said
                };
                assert_eq!(said, word, "{line}");
            }
        }
    }
    model
}

/// "rule" names a stage and a reason.
fn is_pass(model: &Model, packet: &Packet) -> bool {
    let service = match packet.part {
        part if part.is_later() => Service::LaterFragment(packet.protocol()),
        _ => packet.service(),
    };
    model.answer(&model.policy.interfaces[0], packet.direction, packet.remote(), service).is_ok()
}

fn world(rules: &str) -> Policy {
    crate::oracle::policy(&format!(
        "version: 1\nsecurity_groups:\n  a:\n    default_policy: {{ingress: deny, egress: deny}}\n{rules}\n\
         interfaces: [{{name: t, role: guest, groups: [a], addresses: [10.0.0.5, 'fd00::5'], mac: '02:00:00:00:00:05'}}]\n"
    ))
}

fn states(model: &Model) -> Vec<(&'static str, u64)> {
    model.connections().map(|(_, entry, left)| (entry.state.name(), left.as_secs())).collect()
}

const WEB: &str = "    rules: [{direction: ingress, protocol: tcp, ports: 80}]";
const DNS: &str = "    rules: [{direction: egress, protocol: udp, ports: 53}]";
const PING: &str = "    rules: [{direction: egress, service: ping}]";

#[test]
fn a_tcp_connection_from_its_syn_to_its_end() {
    let model = life(
        WEB,
        "t out 10.0.0.5 > 10.0.0.9 tcp 80 > 4000 SA => default
         t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 A => no-connection
         t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 S => pass
         t out 10.0.0.5 > 10.0.0.9 tcp 80 > 4000 SA => established
         wait 29000 ms
         t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 A => established",
    );
    assert_eq!(states(&model), [("established", 600)]);
    let model = life(
        WEB,
        "t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 S => pass
         t out 10.0.0.5 > 10.0.0.9 tcp 80 > 4000 SA => established
         t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 A => established
         t out 10.0.0.5 > 10.0.0.9 tcp 80 > 4000 FA => established
         t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 A => established
         wait 31000 ms
         t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 A => no-connection",
    );
    assert_eq!(states(&model), []);
}

#[test]
fn an_answered_syn_is_no_connection_yet() {
    let model = life(
        WEB,
        "t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 S => pass
         t out 10.0.0.5 > 10.0.0.9 tcp 80 > 4000 SA => established
         t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 S => pass
         t out 10.0.0.5 > 10.0.0.9 tcp 80 > 4000 SA => established",
    );
    assert_eq!(states(&model), [("syn-received", 30)]);
}

#[test]
fn a_reset_shortens_and_traffic_restores() {
    let open = "t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 S => pass
         t out 10.0.0.5 > 10.0.0.9 tcp 80 > 4000 SA => established
         t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 A => established
         t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 R => established";
    assert_eq!(states(&life(WEB, open)), [("established", 30)]);
    let goes_on = format!("{open}\nt out 10.0.0.5 > 10.0.0.9 tcp 80 > 4000 A => established");
    assert_eq!(states(&life(WEB, &goes_on)), [("established", 600)]);
    let anew = format!("{open}\nt in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 S => pass");
    assert_eq!(states(&life(WEB, &anew)), [("syn-sent", 30)]);
}

#[test]
fn a_syn_against_the_grain_runs_the_rules() {
    life(
        WEB,
        "t in 10.0.0.9 > 10.0.0.5 tcp 4000 > 80 S => pass
         t out 10.0.0.5 > 10.0.0.9 tcp 80 > 4000 S => default",
    );
}

#[test]
fn a_datagram_and_its_answer() {
    let model = life(
        DNS,
        "t out fd00::5 > fd00::9 udp 4000 > 53 => pass
         wait 29000 ms
         t in fd00::9 > fd00::5 udp 53 > 4000 => established
         wait 179000 ms
         t out fd00::5 > fd00::9 udp 4000 > 53 => established",
    );
    assert_eq!(states(&model), [("two-way", 180)]);
}

#[test]
fn requests_and_replies_are_told_apart() {
    life(
        PING,
        "t in 10.0.0.9 > 10.0.0.5 icmp 0/0 id 7 => default
         t out 10.0.0.5 > 10.0.0.9 icmp 8/0 id 7 => pass
         t in 10.0.0.9 > 10.0.0.5 icmp 0/0 id 7 => established
         t in 10.0.0.9 > 10.0.0.5 icmp 0/0 id 8 => default
         t in 10.0.0.9 > 10.0.0.5 icmp 8/0 id 7 => default
         t out 10.0.0.5 > 10.0.0.9 icmp 0/0 id 7 => default",
    );
    let any = "    rules: [{direction: ingress, protocol: icmp}]";
    life(any, "t in 10.0.0.9 > 10.0.0.5 icmp 0/0 id 7 => no-connection");
}

#[test]
fn errors_about_a_connection_neither_refresh_nor_outlive_it() {
    life(
        DNS,
        "t out 10.0.0.5 > 10.0.0.9 udp 4000 > 53 => pass
         wait 20000 ms
         t in 10.0.0.77 > 10.0.0.5 error 3/3 about 10.0.0.5 > 10.0.0.9 udp 4000 > 53 => established
         t in 10.0.0.77 > 10.0.0.5 error 3/3 about 10.0.0.5 > 10.0.0.9 udp 4001 > 53 => default
         t in 10.0.0.77 > 10.0.0.5 error 3/3 about 10.0.0.9 > 10.0.0.5 udp 53 > 4000 => default
         t out 10.0.0.5 > 10.0.0.9 error 3/3 about 10.0.0.9 > 10.0.0.5 udp 53 > 4000 => established
         wait 11000 ms
         t in 10.0.0.77 > 10.0.0.5 error 3/3 about 10.0.0.5 > 10.0.0.9 udp 4000 > 53 => default",
    );
}

#[test]
fn later_fragments_follow_their_first() {
    life(
        "    rules: [{direction: ingress, protocol: udp, ports: 53}, {direction: ingress, protocol: gre}]",
        "t in later 1 10.0.0.9 > 10.0.0.5 proto 17 => default
         t in first 1 10.0.0.9 > 10.0.0.5 udp 9 > 53 => pass
         t in middle 1 10.0.0.9 > 10.0.0.5 proto 17 => established
         t in first 1 10.0.0.9 > 10.0.0.5 udp 9 > 53 => bad-fragment
         t in middle 1 10.0.0.8 > 10.0.0.5 proto 17 => default
         t in later 2 10.0.0.9 > 10.0.0.5 proto 47 => pass
         wait 31000 ms
         t in later 1 10.0.0.9 > 10.0.0.5 proto 17 => default",
    );
}

#[test]
fn a_datagram_that_seems_complete_is_soon_forgotten() {
    life(
        "    rules: [{direction: ingress, protocol: udp, ports: 53}]",
        "t in first 1 10.0.0.9 > 10.0.0.5 udp 9 > 53 => pass
         t in later 1 10.0.0.9 > 10.0.0.5 proto 17 => established
         t in later 1 10.0.0.9 > 10.0.0.5 proto 17 => default
         t in first 1 10.0.0.9 > 10.0.0.5 udp 9 > 53 => established
         t in end 1 10.0.0.9 > 10.0.0.5 proto 17 => established
         t in middle 1 10.0.0.9 > 10.0.0.5 proto 17 => established
         t in middle 1 10.0.0.9 > 10.0.0.5 proto 17 => established
         wait 2100 ms
         t in middle 1 10.0.0.9 > 10.0.0.5 proto 17 => default",
    );
}

#[test]
fn a_change_cuts_inbound_connections_that_the_rules_refuse() {
    let lines = "t in 10.0.0.9 > 10.0.0.5 udp 9 > 53 => pass
        t out 10.0.0.5 > 10.0.0.9 udp 9 > 80 => pass";
    let both = |mode: &str| {
        format!(
            "    on_ingress_change: {mode}\n    rules: [{{direction: ingress, protocol: udp}}, {{direction: egress, protocol: udp}}]"
        )
    };
    let packet = |line: &str| match sequence::step(line) {
        Ok(Step::Packet(packet)) => packet,
        other => panic!("{other:?}"),
    };
    let (inbound, outbound) =
        (packet("t out 10.0.0.5 > 10.0.0.9 udp 53 > 9"), packet("t in 10.0.0.9 > 10.0.0.5 udp 80 > 9"));
    for (mode, first) in [
        ("recheck", Verdict::Drop(Reason::Cut)),
        ("clear", Verdict::Drop(Reason::Cut)),
        ("keep", Verdict::Pass(Stage::Established)),
    ] {
        let mut model = life(&both(mode), lines);
        model.apply(world(&format!("    on_ingress_change: {mode}\n    rules: []")));
        assert_eq!(model.judge(&inbound), first, "{mode}");
        assert_eq!(model.judge(&outbound), Verdict::Pass(Stage::Established), "{mode}");
        assert_eq!(model.connections().count(), if mode == "keep" { 2 } else { 1 }, "{mode}");
    }
}

#[test]
fn guests_are_who_they_are() {
    life(
        "    rules: [{direction: egress}]",
        "t out 10.0.0.6 > 10.0.0.9 udp 1 > 2 => spoofed-address
         t out mac 02:00:00:00:00:06 10.0.0.5 > 10.0.0.9 udp 1 > 2 => spoofed-mac
         t out fe80::7 > fd00::9 neighbour 136 about fd00::9 => spoofed-nd
         t out fe80::7 > ff02::1 neighbour 136 about fd00::5 => infrastructure
         t out fe80::7 > ff02::1 icmp 134/0 id 0 => router-advertisement
         t in fe80::7 > fd00::5 icmp 134/0 id 0 => infrastructure
         t out 10.0.0.5 > 255.255.255.255 udp 67 > 68 => dhcp-server
         t out 0.0.0.0 > 255.255.255.255 udp 68 > 67 => infrastructure
         t out 10.0.0.5 > 10.0.0.9 tcp 9 > 25 S => smtp
         t out 10.0.0.5 > 10.0.0.9 tcp 9 > 26 S => pass",
    );
}
