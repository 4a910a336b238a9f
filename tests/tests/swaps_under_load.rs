//! A thousand changes of policy under load. Alone in its program: what the process holds is counted, and tests of one
//! program may share a process.

use std::{
    fs,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sg_agent::policy::Policy;
use sg_common::{
    addr::{EGRESS, INGRESS},
    control::Control,
    verdict::Reason,
};
use sg_tests::{
    agent::Agent,
    counters::Counters,
    held::{Held, policy},
    inject::Tap,
    netns::Netns,
    packets::{Ethernet, Transport},
    progrun::{Hook, Programs, Verdict},
    wire::Family,
};

const SWAPS: usize = 1_000;
/// Swaps after which nothing may grow any more.
const WARM: usize = 300;
/// Port that every rule set allows, and one that none does.
const ALWAYS: u16 = 53;
const NEVER: u16 = 54;
/// The port that moves: each rule set allows one of these, and no other.
const MOVING: [u16; 3] = [1_001, 1_002, 1_003];
/// Packets in one go of a prober.
const BATCH: u32 = 500;
/// Frames that one device's queue holds for certain.
const QUEUE: u64 = 100;

/// Rule set `number` for the guest behind tap0, and with it something that changes each time and is of no concern to
/// anybody: rules of a group that only tap2 is bound to. The group behind tap1 stays.
fn rules(number: usize) -> String {
    let moving = MOVING[number % 3];
    let padding: Vec<String> = (0..20)
        .map(|at| {
            format!("{{direction: ingress, protocol: tcp, ports: {}}}", 2_000 + (number * 7 + at) % 500)
        })
        .collect();
    format!(
        "version: 1
settings: {{conntrack: {{max_entries: 4096, max_per_interface: 1024}}, limits: {{policy_bytes: 1048576, interfaces: 64}}}}
security_groups:
  moving:
    stateful: false
    default_policy: {{ingress: deny, egress: deny}}
    rules:
      - {{direction: ingress, protocol: udp, ports: [{ALWAYS}, {moving}]}}
      - {{direction: egress, protocol: udp, ports: [{ALWAYS}, {moving}]}}
  steady:
    default_policy: {{ingress: deny, egress: deny}}
    rules: [{{direction: ingress, protocol: udp, ports: {ALWAYS}}}]
  elsewhere: {{rules: [{}]}}
interfaces:
  - {{name: tap0, role: guest, groups: [moving]}}
  - {{name: tap1, role: guest, groups: [steady]}}
  - {{name: tap2, role: guest, groups: [elsewhere]}}
",
        padding.join(", ")
    )
}

/// What was sent with a verdict that is the same under every rule set.
#[derive(Clone, Copy, Default)]
struct Sent {
    always: u64,
    never: u64,
}

/// Frames through the programs, as many as a CPU can: how many, and how often the moving port was looked at.
fn run(scene: &Scene, done: &AtomicBool) -> (Sent, u64) {
    let frame = |port| Ethernet::default().ip(&Family::V4.inward(), &Transport::udp(40_000, port));
    let (always, never, moving) = (frame(ALWAYS), frame(NEVER), MOVING.map(frame));
    let answer = Ethernet::default().ip(&Family::V4.outward(), &Transport::udp(ALWAYS, 40_000));
    let [tap0, tap1] = scene.ports;
    let programs = &scene.programs;
    let (mut sent, mut looks) = (Sent::default(), 0);
    while !done.load(Ordering::Relaxed) {
        programs.repeat_here(Hook::TcxEgress, tap0, &always, BATCH);
        programs.repeat_here(Hook::TcxEgress, tap0, &never, BATCH);
        sent.always += u64::from(BATCH);
        sent.never += u64::from(BATCH);
        // A connection of somebody whom no change concerns. No rule allows the answer: it needs the entry.
        assert!(programs.passes_here(Hook::TcxEgress, tap1, &always), "a packet of a steady connection");
        assert!(programs.passes_here(Hook::TcxIngress, tap1, &answer), "an answer of a steady connection");
        // Both rules of a set or neither: while the control word stands, one of three ports is open, and never another
        // number of them.
        let word = scene.word();
        let open = moving.iter().filter(|frame| programs.passes_here(Hook::TcxEgress, tap0, frame)).count();
        if scene.word() == word {
            assert_eq!(open, 1, "moving ports that are open in one generation");
            looks += 1;
        }
        sent.always += open as u64;
        sent.never += (moving.len() - open) as u64;
    }
    (sent, looks)
}

/// Frames over the device, all judged before the next go.
fn send(scene: &Scene, tap: &Tap, done: &AtomicBool) -> Sent {
    let frame = |port| Ethernet::default().ip(&Family::V6.outward(), &Transport::udp(40_000, port));
    let (always, never) = (frame(ALWAYS), frame(NEVER));
    let mut sent = Sent::default();
    while !done.load(Ordering::Relaxed) {
        for _ in 0..QUEUE / 2 {
            assert!(tap.send(&always) && tap.send(&never));
        }
        sent.always += QUEUE / 2;
        sent.never += QUEUE / 2;
        let late = Instant::now() + Duration::from_secs(20);
        while scene.judged(EGRESS) != (sent.always, sent.never) {
            let (passed, dropped) = scene.judged(EGRESS);
            assert!(passed <= sent.always && dropped <= sent.never, "{passed} passed, {dropped} dropped");
            assert!(Instant::now() < late, "{passed} and {dropped} of {} and {}", sent.always, sent.never);
            thread::yield_now();
        }
    }
    sent
}

struct Scene {
    programs: Programs,
    counters: Counters,
    ports: [u32; 2],
    slot: u32,
}

impl Scene {
    fn of(held: &Held) -> Self {
        let counters = Counters::open(&held.host, &held.options);
        let slot = counters.loaded.state.interfaces()["tap0"].slot;
        let ports = ["tap0", "tap1"].map(|name| held.host.ifindex(name));
        Self { programs: Programs::of(&held.host), counters, ports, slot }
    }

    fn word(&self) -> u64 {
        self.counters.loaded.kernel.control().word
    }

    /// Packets of tap0 that passed and that were dropped, in one direction.
    fn judged(&self, direction: usize) -> (u64, u64) {
        let stats = self.counters.loaded.kernel.interface_stats(self.slot).expect("the counters");
        let stats = stats.0[direction];
        assert_eq!(stats.dropped.iter().sum::<u64>(), stats.dropped[Reason::Default as usize]);
        (stats.allowed, stats.dropped[Reason::Default as usize])
    }
}

/// What a process holds: memory in KiB, file descriptors, files of state.
fn held_by_us(held: &Held) -> (u64, usize, usize) {
    let status = fs::read_to_string("/proc/self/status").expect("our own status");
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    let kib = anonymous.trim().trim_end_matches(" kB").parse().expect("a number");
    let count = |path: &std::path::Path| fs::read_dir(path).map(Iterator::count).unwrap_or_default();
    let state = held.options.state_dir.join(format!("netns-{}", held.host.inode()));
    (kib, count(std::path::Path::new("/proc/self/fd")), count(&state))
}

fn swap(held: &mut Held, sets: &[Arc<Policy>]) -> (Vec<Duration>, Vec<Duration>) {
    let (mut in_force, mut returned) = (Vec::new(), Vec::new());
    let mut warm = None;
    for number in 1..=SWAPS {
        let start = Instant::now();
        let outcome = held.apply(&sets[number % sets.len()]);
        assert!(outcome.is_changed);
        in_force.push(outcome.in_force_after);
        returned.push(start.elapsed());
        if number == WARM {
            warm = Some(held_by_us(held));
        }
    }
    let (warm, end) = (warm.expect("more swaps than that"), held_by_us(held));
    println!("memory (KiB), descriptors, files: {warm:?} after {WARM} swaps, {end:?} after {SWAPS}");
    // Threads of the probers come and go with their stacks; a leak of one small policy each time is more than that.
    assert!(end.0 < warm.0 + 4_096, "memory grows: {warm:?} to {end:?}");
    assert_eq!((end.1, end.2), (warm.1, warm.2), "descriptors and files");
    (in_force, returned)
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: p50 {:?}, p99 {:?}, most {:?}", at(50), at(99), at(100));
}

/// R04, R11, R12, R13, R15, H16: a thousand changes between rule sets while packets are judged on the other CPU and over
/// the device: what every set allows always passes, what none allows never does, two rules that change together are seen
/// together, connections that no change concerns lose nothing; the end is as if the last set had been the only one, and
/// nothing has grown.
#[test]
fn a_thousand_swaps_under_load_misjudge_nobody() {
    let host = Netns::with_devices(&["tap0", "tap1", "tap2"]);
    let sets: Vec<Arc<Policy>> = (0..12).map(|number| policy(&rules(number))).collect();
    let mut held = Held::new(&host, &sets[0]);
    let scene = Scene::of(&held);
    let tap = Tap::open(&host, "tap0x");
    let (done, start) = (AtomicBool::new(false), Barrier::new(3));
    let (times, (run_through, looks), sent) = thread::scope(|scope| {
        let runner = scope.spawn(|| {
            host.enter(|| {
                start.wait();
                run(&scene, &done)
            })
        });
        let sender = scope.spawn(|| {
            start.wait();
            send(&scene, &tap, &done)
        });
        start.wait();
        let swapped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| swap(&mut held, &sets)));
        done.store(true, Ordering::Relaxed);
        let times = swapped.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (times, runner.join().expect("the runner"), sender.join().expect("the sender"))
    });
    assert_eq!(scene.judged(INGRESS), (run_through.always, run_through.never));
    assert_eq!(scene.judged(EGRESS), (sent.always, sent.never));
    let packets = run_through.always + run_through.never + sent.always + sent.never;
    println!("{SWAPS} swaps, {packets} packets, {looks} looks at one generation, 0 misjudged");
    assert!(packets > 100_000 && looks > 100);
    show("in force", times.0);
    show("returned", times.1);
    is_as_if_new(&held, &scene, SWAPS % sets.len());
}

/// The end of a storm of changes is what a fresh start with the last of them is: R15.
fn is_as_if_new(held: &Held, scene: &Scene, last: usize) {
    let host = Netns::with_devices(&["tap0", "tap1", "tap2"]);
    let fresh = Agent::new(&host);
    fresh.apply(&rules(last));
    let fresh = (Programs::of(&host), fresh.counters(), host);
    let verdicts = |programs: &Programs, host: &Netns| {
        let mut all: Vec<Verdict> = Vec::new();
        for name in ["tap0", "tap1", "tap2"] {
            let ifindex = host.ifindex(name);
            for port in [ALWAYS, NEVER].into_iter().chain(MOVING).chain((1_990..2_520).step_by(3)) {
                for transport in [Transport::udp(41_000, port), Transport::tcp(41_000, port, 2)] {
                    for (transmit, ip) in [(true, Family::V4.inward()), (false, Family::V4.outward())] {
                        let frame = Ethernet::default().ip(&ip, &transport);
                        all.push(programs.verdict(ifindex, transmit, &frame));
                    }
                }
            }
        }
        all
    };
    assert_eq!(verdicts(&scene.programs, &held.host), verdicts(&fresh.0, &fresh.2));
    let now = Counters::open(&held.host, &held.options);
    let policies = [&now, &fresh.1].map(|one| one.loaded.state.policy().groups.clone());
    assert_eq!(policies[0], policies[1]);
    let listed = |one: &Counters| -> Vec<String> {
        let rules = one.loaded.state.rules();
        rules.map(|rule| format!("{} {:?} {:?}", rule.interface, rule.direction, rule.rule)).collect()
    };
    assert_eq!(listed(&now), listed(&fresh.1));
    assert_eq!(Control::generation(scene.word()), now.loaded.state.generation());
}
