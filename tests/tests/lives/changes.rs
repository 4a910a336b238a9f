//! What is left of a connection when its interface, its group or its entry goes.

use sg_tests::{progrun::Hook, wire::Family};

use super::*;

fn lives(plane: &Plane) -> [Life<'_>; 2] {
    Family::BOTH.map(|family| Life { plane, device: PORT, family, receive: Hook::Xdp })
}

/// C24, A33: an interface that is made anew under its old name has nothing of the old one's connections.
#[test]
fn a_new_interface_inherits_nothing() {
    let mut plane = plane();
    lives(&plane).iter().for_each(handshake);
    plane.remake(PORT);
    plane.apply(&policy(RULES));
    for life in lives(&plane) {
        life.is_kept_out(Reason::NoConnection, &to_guest(ACK));
        life.is_kept_in(Reason::Default, &to_peer(ACK));
        // The same ports may be used at once.
        handshake(&life);
    }
}

/// A policy whose only inbound rule is for the group `friends`, which has these members.
fn for_members(members: &str) -> String {
    policy("- {direction: ingress, protocol: tcp, ports: 8080, remote: 'group:friends'}")
        .replace("security_groups:\n", &format!("security_groups:\n  friends: {{members: [{members}]}}\n"))
}

/// A35, A33: a packet every 29 seconds keeps an entry, but not past the end of the membership that let it in.
#[test]
fn an_entry_kept_alive_does_not_outlive_membership() {
    let mut plane = Plane::new(&[PORT], &for_members("10.9.1.2, \"fd01::2\""));
    lives(&plane).iter().for_each(|life| life.enters(&to_guest(SYN)));
    for _ in 0..4 {
        plane.wait(27_000);
        lives(&plane).iter().for_each(|life| life.enters(&to_guest(SYN)));
    }
    plane.apply(&for_members("10.9.1.77"));
    for life in lives(&plane) {
        life.is_kept_out(Reason::Default, &to_guest(SYN));
        life.is_kept_out(Reason::Cut, &to_guest(ACK));
    }
}

/// A31: a group without members is nobody.
#[test]
fn an_empty_group_is_nobody() {
    let plane = Plane::new(&[PORT], &for_members(""));
    for life in lives(&plane) {
        life.is_kept_out(Reason::Default, &to_guest(SYN));
    }
}

/// C10: a listing and a flush pick by protocol, address and port; what is flushed is gone at the next packet, what is
/// not goes on.
#[test]
fn connections_are_picked_by_what_they_are() {
    let plane = plane();
    for life in lives(&plane) {
        handshake(&life);
        life.enters(&Transport::udp(40_000, 5353));
        life.enters(&Transport::udp(40_001, 5353));
    }
    let count = |options: &[&str]| {
        let run = plane.agent.run(&[&["conntrack", "list", "--json"], options].concat());
        assert_eq!(run.status, 0, "{options:?}: {}", run.stderr);
        run.stdout.matches("\"opener\"").count()
    };
    for (options, expected) in [
        (&[][..], 6),
        (&["--protocol", "tcp"], 2),
        (&["--protocol", "udp"], 4),
        (&["--address", "10.9.1.2"], 3),
        (&["--address", "fd01::2", "--protocol", "udp"], 2),
        (&["--port", "40001"], 2),
        (&["--interface", PORT], 6),
    ] {
        assert_eq!(count(options), expected, "{options:?}");
    }
    for wrong in
        [["--protocol", "tpc"], ["--address", "10.9.1"], ["--port", "65536"], ["--interface", "tap9"]]
    {
        let run = plane.agent.run(&[&["conntrack", "list"][..], &wrong].concat());
        assert!(run.status != 0 && run.stderr.contains(wrong[1]), "{wrong:?}: {} {}", run.status, run.stderr);
    }
    let run = plane.agent.run(&["conntrack", "flush", "--protocol", "udp", "--port", "40001"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    for life in lives(&plane) {
        life.is_kept_in(Reason::Default, &Transport::udp(5353, 40_001));
        life.leaves(&Transport::udp(5353, 40_000));
        life.leaves(&to_peer(ACK));
    }
}
