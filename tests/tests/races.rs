//! Two CPUs at one flow, and a sweep beside packets.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use sg_tests::{
    life::Plane,
    packets::{
        Ethernet, Transport,
        flag::{ACK, FIN, PSH, SYN},
    },
    progrun::Hook,
    wire::Family,
};

const PORT: &str = "tap0";

/// Any UDP may enter, TCP to 80; nothing leaves but what belongs to them, and what opens from within at once.
fn plane() -> Plane {
    Plane::new(
        &[PORT],
        "version: 1
settings: {conntrack: {max_entries: 16384, max_per_interface: 8192}, limits: {policy_bytes: 1048576}}
security_groups:
  guest:
    default_policy: {ingress: deny, egress: deny}
    rules:
      - {direction: ingress, protocol: udp}
      - {direction: ingress, protocol: tcp, ports: 80}
      - {direction: egress, protocol: tcp, ports: 10000-60000}
interfaces:
  - {name: tap0, role: guest, groups: [guest]}
",
    )
}

fn inward(family: Family, transport: &Transport) -> (Hook, Vec<u8>) {
    (Hook::TcxEgress, Ethernet::default().ip(&family.inward(), transport))
}

fn outward(family: Family, transport: &Transport) -> (Hook, Vec<u8>) {
    (Hook::Xdp, Ethernet::default().ip(&family.outward(), transport))
}

/// The CPUs that this process may use.
fn cpus() -> Vec<usize> {
    let allowed = nix::sched::sched_getaffinity(Pid::from_raw(0)).expect("the CPUs of this process");
    (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect()
}

/// Runs each list of packets on a CPU of its own, in step: number `n` of all lists at the same moment. How many were
/// dropped.
fn race(plane: &Plane, lists: &[Vec<(Hook, Vec<u8>)>; 2]) -> usize {
    let (cpus, start) = (cpus(), Barrier::new(lists.len()));
    let ifindex = plane.ifindex(PORT);
    let run = |number: usize| {
        plane.host.enter(|| {
            let mut set = CpuSet::new();
            set.set(cpus[number % cpus.len()]).expect("a CPU number");
            sched_setaffinity(Pid::from_raw(0), &set).expect("a CPU that this process may use");
            let mut dropped = 0;
            for (hook, frame) in &lists[number] {
                start.wait();
                dropped += usize::from(!plane.programs.passes_here(*hook, ifindex, frame));
            }
            dropped
        })
    };
    thread::scope(|scope| {
        [0, 1].map(|number| scope.spawn(move || run(number))).map(|one| one.join().expect("a run"))
    })
    .into_iter()
    .sum()
}

/// T42, C06: both CPUs get a packet of the same new flow at once. Both pass, and one entry is left, found from both
/// sides; a second one that nobody finds is possible by design, for as long as an unanswered flow lives.
#[test]
fn one_flow_opened_on_two_cpus_at_once_is_one_connection() {
    const FLOWS: u16 = 2_000;
    let plane = plane();
    for family in Family::BOTH {
        let opening = |port: u16| match port % 2 {
            0 => inward(family, &Transport::udp(port, 53)),
            _ => inward(family, &Transport::tcp(port, 80, SYN)),
        };
        let list: Vec<_> = (10_000..10_000 + FLOWS).map(opening).collect();
        assert_eq!(race(&plane, &[list.clone(), list]), 0, "allowed packets were dropped");
        let entries = plane.connections();
        let mut flows: Vec<_> = entries.iter().map(|entry| (entry.protocol, entry.remote)).collect();
        flows.sort();
        flows.dedup();
        assert_eq!(flows.len(), usize::from(FLOWS));
        let second = entries.len() - flows.len();
        assert!(second < usize::from(FLOWS) / 100, "{second} flows have two entries");
        assert_eq!(plane.counters.entries().connections, entries.len() as u64, "slots in use");
        plane.forget();
    }
    assert_eq!(plane.counters.entries().connections, 0, "slots that nobody gives back");
}

/// T42: a packet and the other side's, both new, at once: a simultaneous open, whichever comes first.
#[test]
fn both_sides_of_a_flow_on_two_cpus_at_once() {
    const FLOWS: u16 = 1_000;
    let plane = plane();
    let ports = 10_000..10_000 + FLOWS;
    let theirs = ports.clone().map(|port| inward(Family::V4, &Transport::tcp(port, 80, SYN))).collect();
    let ours = ports.clone().map(|port| outward(Family::V4, &Transport::tcp(80, port, SYN))).collect();
    assert_eq!(race(&plane, &[theirs, ours]), 0, "allowed packets were dropped");
    let answers = |back: bool| {
        let one = |port| match back {
            true => outward(Family::V4, &Transport::tcp(80, port, SYN | ACK)),
            false => inward(Family::V4, &Transport::tcp(port, 80, SYN | ACK)),
        };
        ports.clone().map(one).collect::<Vec<_>>()
    };
    assert_eq!(race(&plane, &[answers(true), answers(false)]), 0, "answers were dropped");
    let second = plane.connections().len() - usize::from(FLOWS);
    assert!(second < usize::from(FLOWS) / 100, "{second} flows have two entries");
}

/// T43: a FIN on one CPU and data on the other: whichever wins, the connection is closing afterwards.
#[test]
fn a_fin_is_not_lost_beside_data() {
    const FLOWS: u16 = 1_500;
    let plane = plane();
    let ports = 10_000..10_000 + FLOWS;
    let of = |make: &dyn Fn(u16) -> (Hook, Vec<u8>)| ports.clone().map(make).collect::<Vec<_>>();
    let ifindex = plane.ifindex(PORT);
    for (hook, frame) in of(&|port| inward(Family::V4, &Transport::tcp(port, 80, SYN)))
        .into_iter()
        .chain(of(&|port| outward(Family::V4, &Transport::tcp(80, port, SYN | ACK))))
        .chain(of(&|port| inward(Family::V4, &Transport::tcp(port, 80, ACK))))
    {
        assert!(plane.programs.passes(hook, ifindex, &frame));
    }
    let fin = of(&|port| inward(Family::V4, &Transport::tcp(port, 80, FIN | ACK)));
    let data = of(&|port| outward(Family::V4, &Transport::tcp(80, port, PSH | ACK).payload(b"data")));
    assert_eq!(race(&plane, &[fin, data]), 0, "packets of connections were dropped");
    let entries = plane.connections();
    assert_eq!(entries.len(), usize::from(FLOWS));
    let open = entries.iter().filter(|entry| entry.state() != "fin-wait").count();
    assert_eq!(open, 0, "connections that missed their FIN");
}

/// C06, C08, C22: while sweeps run, entries are refreshed in the moment they would have ended. Whatever a sweep has
/// seen before, a flow whose packet has passed has an entry afterwards.
#[test]
fn a_sweep_never_takes_a_refreshed_entry() {
    const ROUNDS: usize = 120;
    const FLOWS: u16 = 32;
    let plane = plane();
    let frames = |make: fn(u16) -> (Hook, Vec<u8>)| (10_000..10_000 + FLOWS).map(make).collect::<Vec<_>>();
    let refresh = frames(|port| inward(Family::V4, &Transport::udp(port, 53)));
    let answers = frames(|port| outward(Family::V4, &Transport::udp(53, port)));
    let ifindex = plane.ifindex(PORT);
    let all = |list: &[(Hook, Vec<u8>)]| {
        list.iter().filter(|(hook, frame)| plane.programs.passes(*hook, ifindex, frame)).count()
    };
    assert_eq!(all(&refresh), usize::from(FLOWS));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                plane.counters.loaded.kernel.sweep_all().expect("a sweep");
            }
        });
        let lost: usize = (0..ROUNDS)
            .map(|round| {
                // The entries of a round end while its packets come: those before find them live, those behind do not.
                plane.wait(if round % 2 == 0 { 29_996 } else { 30_000 });
                let passed = all(&refresh);
                assert_eq!(passed, usize::from(FLOWS), "round {round}: allowed packets were dropped");
                // No rule lets these out: each needs the entry. They make it a conversation, so end that first.
                let answered = all(&answers);
                plane.wait(150_000);
                usize::from(FLOWS) - answered
            })
            .sum();
        done.store(true, Ordering::Relaxed);
        assert_eq!(lost, 0, "answers without an entry");
    });
}

/// A32: while the policy changes back and forth, each packet is judged by the one or the other: what both refuse never
/// passes, what both allow always does.
#[test]
fn a_change_of_policy_opens_no_gap() {
    let policy = |port: u16| {
        format!(
            "version: 1
settings: {{conntrack: {{max_entries: 4096, max_per_interface: 1024}}, limits: {{policy_bytes: 1048576}}}}
security_groups:
  guest:
    stateful: false
    default_policy: {{ingress: deny, egress: deny}}
    rules: [{{direction: ingress, protocol: udp, ports: [53, {port}]}}]
interfaces:
  - {{name: tap0, role: guest, groups: [guest]}}
"
        )
    };
    let plane = Plane::new(&[PORT], &policy(1000));
    let ifindex = plane.ifindex(PORT);
    let done = AtomicBool::new(false);
    let frames = [(53, true), (54, false)].map(|(port, passes)| {
        (
            inward(Family::V4, &Transport::udp(40_000, port)),
            inward(Family::V6, &Transport::udp(40_000, port)),
            passes,
        )
    });
    let packets = thread::scope(|scope| {
        let prober = scope.spawn(|| {
            plane.host.enter(|| {
                let mut packets = 0u64;
                while !done.load(Ordering::Relaxed) {
                    for ((hook, v4), (_, v6), passes) in &frames {
                        for frame in [v4, v6] {
                            assert_eq!(plane.programs.passes_here(*hook, ifindex, frame), *passes);
                            packets += 1;
                        }
                    }
                }
                packets
            })
        });
        for port in (1_001..1_025).chain([1_000]) {
            plane.agent.apply(&policy(port));
        }
        done.store(true, Ordering::Relaxed);
        prober.join().expect("the prober")
    });
    assert!(packets > 1_000, "only {packets} packets between 25 changes");
}
