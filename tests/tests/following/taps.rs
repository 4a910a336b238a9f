//! A thousand taps.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use sg_tests::{
    netns::Netns,
    packets::{Ethernet, Ip, Mac, Transport, flag::SYN},
    progrun::{Hook, Programs},
};

use crate::{POLICY, Scene, parse};

const TAPS: usize = 1000;
/// Far above what it takes, for machines that do something else as well.
const LIMIT: Duration = Duration::from_secs(120);

/// Guests with an odd number are reached on port 81, the others on port 80.
fn policy() -> String {
    let rule = "{direction: ingress, protocol: tcp, ports: 81}";
    let odd = ["1", "3", "5", "7", "9"];
    let entries: String = odd
        .iter()
        .map(|digit| format!("  - {{name: 'tap???{digit}', role: guest, groups: [odd]}}\n"))
        .collect();
    let all = "  - {name: 'tap*', role: guest, groups: [web]}\n";
    let groups = format!("security_groups:\n  odd: {{rules: [{rule}]}}\n");
    POLICY
        .replace("security_groups:\n", &groups)
        .replace("  - {name: 'tap?', role: guest, groups: [web]}\n", &(entries + all))
}

/// Runs many lines of `ip` in one process.
#[track_caller]
fn batch(host: &Netns, lines: impl Iterator<Item = String>) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(&file, lines.collect::<String>()).expect("writing to it");
    let output = host.output(Command::new("ip").arg("-batch").arg(file.path()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn name(number: usize) -> String {
    format!("tap{number:04}")
}

fn add(host: &Netns, numbers: std::ops::Range<usize>) {
    batch(host, numbers.map(|number| format!("tuntap add dev {} mode tap\n", name(number))));
}

/// Whether a connection to `port` of a guest would be let in.
fn lets_in(scene: &Scene, programs: &Programs, number: usize, port: u16) -> bool {
    let ip = Ip::new([192, 0, 2, 1].into(), [10, 0, 0, 5].into());
    let frame = Ethernet::new(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]))
        .ip(&ip, &Transport::tcp(1000, port, SYN));
    programs.passes(Hook::TcxEgress, scene.host.ifindex(&name(number)), &frame)
}

#[track_caller]
fn spot_checks(scene: &Scene, numbers: impl Iterator<Item = usize>) {
    let programs = Programs::of(&scene.host);
    for number in numbers {
        let ports = [80, 81].map(|port| lets_in(scene, &programs, number, port));
        assert_eq!(ports, [number % 2 == 0, number % 2 == 1], "{}", name(number));
    }
}

/// L09: those that are there when a policy is applied, those that appear, and those that go.
#[test]
fn a_thousand_taps_are_attached_and_each_is_its_own() {
    let host = Netns::new();
    host.sysctl("ipv6/conf/default/disable_ipv6", "1");
    add(&host, 0..TAPS / 2);
    let mut scene = Scene::on(host, &policy().replace("tap*", "nothing"));
    let begin = Instant::now();
    scene.apply(&parse(&policy()));
    let applied = begin.elapsed();
    add(&scene.host, TAPS / 2..TAPS);
    let begin = Instant::now();
    let done = scene.reconcile();
    let appeared = begin.elapsed();
    assert_eq!((done.bound.len(), done.hooks_changed), (TAPS / 2, TAPS));
    assert_eq!(scene.enforced().len(), TAPS);
    spot_checks(&scene, [0, 1, 498, 499, 500, 501, 998, 999].into_iter());

    let begin = Instant::now();
    scene.is_settled();
    let looked = begin.elapsed();
    let begin = Instant::now();
    add(&scene.host, TAPS..TAPS + 1);
    assert_eq!(scene.reconcile().bound, [name(TAPS)]);
    let one = begin.elapsed();

    batch(
        &scene.host,
        (0..TAPS).filter(|number| number % 10 > 0).map(|number| format!("link del {}\n", name(number))),
    );
    let begin = Instant::now();
    assert_eq!(scene.reconcile().released.len(), TAPS / 10 * 9);
    let gone = begin.elapsed();
    spot_checks(&scene, [0, 500, 990].into_iter());
    scene.is_settled();
    let total = applied + appeared;
    eprintln!(
        "applied to half: {applied:?}; the other half appeared: {appeared:?}; a look at nothing new, twice: {looked:?}; \
         one more: {one:?}; nine of ten gone: {gone:?}"
    );
    assert!(total < LIMIT, "{total:?}");
}

/// Attached one by one, as by a hook for each.
#[test]
fn taps_attached_one_by_one_take_little_each() {
    const SOME: usize = 100;
    let mut scene = Scene::on(Netns::new(), &policy().replace("'tap*'", "nothing"));
    add(&scene.host, 0..SOME);
    let begin = Instant::now();
    for number in (0..SOME).step_by(2) {
        let mut policy = scene.write(|writer| (**writer.loaded.state.policy()).clone());
        let mut entry = policy.interfaces.last().expect("an entry").clone();
        entry.name = name(number);
        entry.attached = true;
        policy.interfaces.push(entry);
        let policy = std::sync::Arc::new(policy);
        scene
            .write(|writer| writer.apply(&policy).map_err(crate::text))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    let total = begin.elapsed();
    eprintln!("{SOME} in all, half of them one by one: {:?} each", total / (SOME as u32 / 2));
    assert_eq!(scene.enforced().len(), SOME);
    assert!(total < LIMIT, "{total:?}");
}
