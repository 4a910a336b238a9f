//! Who tries what, what the policy says, what happened.

use std::{
    net::{IpAddr, SocketAddr},
    thread,
    time::SystemTime,
};

use anyhow::Result;
use sg_agent::policy::model::Direction;
use sg_tests::{
    interrupt,
    oracle::{Answer, By, Oracle, Question, Service},
    traffic,
};

use crate::{
    scene::{Scene, Who},
    screen::{Look, Screen},
};

/// What somebody tries.
#[derive(Clone, Copy, Debug)]
enum What {
    Tcp(u16),
    Udp(u16),
    Ping,
}

const ATTEMPTS: [(Who, Who, What); 20] = [
    (Who::Internet, Who::Web, What::Tcp(80)),
    (Who::Internet, Who::Web, What::Tcp(443)),
    (Who::Internet, Who::Web, What::Ping),
    (Who::Internet, Who::Web, What::Tcp(22)),
    (Who::Office, Who::Web, What::Tcp(22)),
    (Who::Office, Who::Web, What::Tcp(5432)),
    (Who::Office, Who::Web, What::Udp(53)),
    (Who::Office, Who::Db, What::Tcp(5432)),
    (Who::Office, Who::Db, What::Ping),
    (Who::Web, Who::Db, What::Tcp(5432)),
    (Who::Web, Who::Db, What::Udp(5432)),
    (Who::Web, Who::Db, What::Tcp(22)),
    (Who::Db, Who::Web, What::Tcp(80)),
    (Who::Db, Who::Web, What::Tcp(22)),
    (Who::Web, Who::Internet, What::Tcp(443)),
    (Who::Web, Who::Internet, What::Udp(53)),
    (Who::Web, Who::Internet, What::Ping),
    (Who::Web, Who::Internet, What::Tcp(25)),
    (Who::Db, Who::Internet, What::Udp(53)),
    (Who::Db, Who::Internet, What::Ping),
];

/// Shows them all.
pub fn show(screen: &mut Screen, scene: &Scene) -> Result<()> {
    screen.section("Who reaches whom", "Real sockets; every answer comes back through the same filters.");
    screen.line(Look::Dim, &row("from", "to", "tries", "the policy says", "IPv4       IPv6"));
    for (from, to, what) in ATTEMPTS {
        interrupt::check()?;
        let verdicts = [0, 1].map(|family| verdict(scene, (from, to), what, family));
        let happened = thread::scope(|scope| {
            let tries = [0, 1].map(|family| {
                let expected = verdicts[family].0;
                scope.spawn(move || succeeds(scene, (from, to), what, family, expected))
            });
            tries.map(|attempt| attempt.join().unwrap_or(false))
        });
        let results = [0, 1].map(|family| result(screen, verdicts[family].0, happened[family]));
        let says = says(&verdicts);
        screen.line(Look::Plain, &row(from.name(), to.name(), &named(what), &says, &results.join("  ")));
    }
    Ok(())
}

fn row(from: &str, to: &str, what: &str, says: &str, happened: &str) -> String {
    format!("{from:<9} {to:<9} {what:<9} {says:<48} {happened}")
}

fn named(what: What) -> String {
    match what {
        What::Tcp(port) => format!("tcp/{port}"),
        What::Udp(port) => format!("udp/{port}"),
        What::Ping => "ping".to_owned(),
    }
}

/// `passed` or `dropped`, with the mark of an expectation, eleven columns wide.
fn result(screen: &mut Screen, expected: bool, passed: bool) -> String {
    let (look, word) = if passed { (Look::Green, "passed") } else { (Look::Yellow, "dropped") };
    let mark = screen.count(expected == passed);
    format!("{} {mark}", screen.paint(look, &format!("{word:<7}")))
}

/// What the policy says in both families, which is mostly the same.
fn says(verdicts: &[(bool, String); 2]) -> String {
    let [v4, v6] = verdicts.each_ref().map(|(passes, why)| match passes {
        true => format!("pass: {why}"),
        false => format!("drop: {why}"),
    });
    if v4 == v6 { v4 } else { format!("{v4}; IPv6 {v6}") }
}

/// Whether the policy lets the attempt through, and why: a packet between guests has to leave one and enter the other.
fn verdict(scene: &Scene, (from, to): (Who, Who), what: What, family: usize) -> (bool, String) {
    let leaves = (from, Direction::Egress, to.addresses()[family]);
    let enters = (to, Direction::Ingress, from.addresses()[family]);
    let mut last = (true, String::new());
    for (who, direction, remote) in [leaves, enters] {
        let Some(interface) = scene.interface(who) else { continue };
        let question = Question { direction, remote, service: service(what, remote), now: SystemTime::now() };
        let answer = Oracle::new(scene.policy()).judge(interface, &question);
        last = (answer.allowed, reason(scene, &answer));
        if !answer.allowed {
            break;
        }
    }
    last
}

fn service(what: What, remote: IpAddr) -> Service {
    match what {
        What::Tcp(destination) => Service::Ports { protocol: 6, destination },
        What::Udp(destination) => Service::Ports { protocol: 17, destination },
        What::Ping if remote.is_ipv4() => Service::Icmp { protocol: 1, kind: 8, code: 0 },
        What::Ping => Service::Icmp { protocol: 58, kind: 128, code: 0 },
    }
}

fn reason(scene: &Scene, answer: &Answer) -> String {
    match &answer.by {
        By::Rule { group, index, .. } => {
            let rules = scene.policy().groups.get(group).map_or(&[][..], |group| &group.rules);
            let rule = rules.iter().find(|rule| rule.index == *index);
            let described = rule.map(|rule| rule.description.clone()).filter(|text| !text.is_empty());
            described.unwrap_or_else(|| format!("rule {index} of {group}"))
        }
        By::Default if answer.allowed => "what leaves may leave".to_owned(),
        By::Default => "no rule allows it".to_owned(),
        By::NoPolicy => "bound to no group".to_owned(),
        By::Exempt => "exempt network".to_owned(),
        By::Smtp => "outbound mail is blocked".to_owned(),
    }
}

fn succeeds(scene: &Scene, (from, to): (Who, Who), what: What, family: usize, expected: bool) -> bool {
    let patience = if expected { traffic::PATIENT } else { traffic::BRIEF };
    let (ns, source, target) = (scene.ns(from), from.addresses()[family], to.addresses()[family]);
    match what {
        What::Tcp(port) => traffic::tcp(ns, source, SocketAddr::new(target, port), patience),
        What::Udp(port) => traffic::udp(ns, source, SocketAddr::new(target, port), patience),
        What::Ping => traffic::ping(ns, source, target, patience),
    }
}
