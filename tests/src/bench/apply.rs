//! How long it takes until a changed policy is in force (targets 8 and 9): from the call of the library to the switch of
//! generations, which another thread watches for, and to the call's return, when what was replaced may be reused; and
//! the whole command.

use std::{
    net::IpAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use sg_agent::{
    dataplane::{Error, Outcome, Writer},
    policy::Policy as Whole,
};

use super::{
    Plan, Spread,
    entry::Entry,
    machine,
    plan::thousands,
    policy::{FLOW_PORT, Kind, Policy},
};
use crate::{
    agent::Agent,
    counters::Counters,
    interrupt,
    netns::Netns,
    oracle,
    packets::{Ethernet, Ip, Transport, flag},
    progrun::{Programs, Verdict},
};

/// Numbers of rules with the time until they are in force, in ms.
const LIMITS: [(usize, f64); 2] = [(5_000, 10.0), (100_000, 150.0)];
/// ms.
const MEMBER_LIMIT: f64 = 1.0;
const MEMBERS: usize = 100_001;
const INTERFACES: usize = 1_000;
const DEVICE: &str = "nic";
const CALL: &str = "Writer::apply, wall clock";
const MEMBER_CALL: &str = "Writer::change_members, wall clock";
const COMMAND: &str = "sg-agent apply FILE, wall clock";
/// How often the control word is looked at.
const LOOK: Duration = Duration::from_micros(50);

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// One of so many rules; the limit in ms.
    Rule(usize, f64),
    /// A rule of so many interfaces.
    Interfaces,
    /// One member more of a large group.
    Member,
}

impl Change {
    fn all() -> Vec<Self> {
        let rules = LIMITS.map(|(rules, limit)| Self::Rule(rules, limit));
        rules.into_iter().chain([Self::Interfaces, Self::Member]).collect()
    }

    fn name(&self) -> String {
        match self {
            Self::Rule(rules, _) => format!("one of {} rules changed", thousands(*rules)),
            Self::Interfaces => format!("a rule of {} interfaces changed", thousands(INTERFACES)),
            Self::Member => format!("one member added to {}", thousands(MEMBERS - 1)),
        }
    }
}

/// What they are called.
pub fn names(plan: &Plan) -> Vec<String> {
    if plan.thorough() { Change::all().iter().map(Change::name).collect() } else { Vec::new() }
}

/// Times those that are wanted.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for change in plan.wanted(Change::all(), Change::name) {
        if plan.thorough() {
            let name = change.name();
            plan.begin(&name);
            entries.extend(match change {
                Change::Rule(rules, limit) => of_rules(plan, &name, rules, limit)?,
                Change::Interfaces => of_interfaces(plan, &name)?,
                Change::Member => of_a_member(plan, &name)?,
            });
        }
    }
    Ok(entries)
}

/// A host with devices, and an agent that unloads what is loaded in the end.
struct Site {
    host: Netns,
    agent: Agent,
}

impl Site {
    fn new(devices: &str) -> Result<Self> {
        let host = Netns::new();
        host.sysctl("ipv6/conf/default/disable_ipv6", "1");
        let script = tempfile::NamedTempFile::new().context("a temporary file")?;
        std::fs::write(script.path(), devices).context("writing a temporary file")?;
        let output = host.output(Command::new("ip").arg("-batch").arg(script.path()));
        ensure!(output.status.success(), "ip: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { agent: Agent::new(&host), host })
    }

    fn with_nic() -> Result<Self> {
        Self::new(&format!(
            "link add {DEVICE} type veth peer name peer\nlink set {DEVICE} up\nlink set peer up"
        ))
    }

    /// Brings the one and the other policy into force in turn; ms until each was, and until the call returned.
    fn apply_in_turn(&self, rounds: usize, policies: &[Arc<Whole>; 2]) -> Result<[Vec<f64>; 2]> {
        let next = |writer: &mut Writer, round: usize| writer.apply(&policies[(round + 1) % 2]);
        self.change_in_turn(rounds, Arc::clone(&policies[0]), next)
    }

    /// Brings `first` into force, and then makes `change` after `change`; ms until each was in force, and until the call
    /// returned.
    fn change_in_turn(
        &self,
        rounds: usize,
        first: Arc<Whole>,
        change: impl Fn(&mut Writer, usize) -> Result<Outcome, Error> + Sync,
    ) -> Result<[Vec<f64>; 2]> {
        let options = self.agent.options();
        self.host.enter(|| {
            let mut writer = Writer::open(&options, Some(&first.settings))?;
            writer.apply(&first)?;
            // Nobody else holds the policy in force.
            drop(first);
            let watch = Counters::open(&self.host, &options);
            let mut times = [Vec::new(), Vec::new()];
            for round in 0..rounds {
                interrupt::check()?;
                let timed = timed(&watch, || Ok(change(&mut writer, round).map(drop)?))?;
                times.iter_mut().zip(timed).for_each(|(times, time)| times.push(time));
            }
            Ok(times)
        })
    }
}

/// ms until the control word has changed, and until `change` is done.
fn timed(watch: &Counters, change: impl FnOnce() -> Result<()>) -> Result<[f64; 2]> {
    let kernel = &watch.loaded.kernel;
    let (before, is_over) = (kernel.control().word, AtomicBool::new(false));
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            machine::anywhere()?;
            while kernel.control().word == before && !is_over.load(Ordering::Relaxed) {
                thread::sleep(LOOK);
            }
            Ok::<Instant, anyhow::Error>(Instant::now())
        });
        let start = Instant::now();
        let done = change();
        let returned = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let switched = watcher.join().map_err(|_| anyhow::anyhow!("nobody watched"))??;
        done?;
        ensure!(kernel.control().word != before, "nothing has changed");
        Ok([switched - start, returned].map(|time| time.as_secs_f64() * 1e3))
    })
}

fn parsed(text: &str) -> Arc<Whole> {
    Arc::new(oracle::policy(text))
}

fn of_rules(plan: &Plan, name: &str, rules: usize, limit: f64) -> Result<Vec<Entry>> {
    let site = Site::with_nic()?;
    let text = Policy { rules, kind: Kind::Tcp }.text(DEVICE);
    let changed = text.replacen(&format!("ports: {FLOW_PORT}"), "ports: 444", 1);
    let [in_force, returned] = site.apply_in_turn(plan.slow_rounds, &[parsed(&text), parsed(&changed)])?;
    let mut command = Vec::new();
    for round in 0..plan.slow_rounds {
        interrupt::check()?;
        let start = Instant::now();
        site.agent.apply(if round % 2 == 0 { &changed } else { &text });
        command.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let alone = |what: &str, times: &[f64], mode| {
        Entry::alone(&format!("{name}: {what}"), "ms", Spread::of(times)).about(8, mode, rules)
    };
    Ok(vec![
        Entry::limited(&format!("{name}: in force"), "ms", &in_force, limit).about(8, CALL, rules),
        alone("call returns", &returned, CALL),
        alone("whole command", &command, COMMAND),
    ])
}

fn of_a_member(plan: &Plan, name: &str) -> Result<Vec<Entry>> {
    let site = Site::with_nic()?;
    let policy = parsed(&Policy { rules: MEMBERS, kind: Kind::Members }.text(DEVICE));
    let newcomer = [IpAddr::from([172, 16, 0, 1])];
    let change = |writer: &mut Writer, round: usize| match round % 2 {
        0 => writer.change_members("peers", &newcomer, &[]),
        _ => writer.change_members("peers", &[], &newcomer),
    };
    let [in_force, returned] = site.change_in_turn(plan.slow_rounds, policy, change)?;
    Ok(vec![
        Entry::limited(&format!("{name}: in force"), "ms", &in_force, MEMBER_LIMIT).about(9, MEMBER_CALL, 2),
        Entry::alone(&format!("{name}: call returns"), "ms", Spread::of(&returned)).about(9, MEMBER_CALL, 2),
    ])
}

/// A guests' policy of ten rules, of which one decides about port 80.
fn guests(is_open: bool) -> String {
    let action = if is_open { "allow" } else { "deny" };
    let rules: String = (1..10)
        .map(|port| format!("      - {{direction: ingress, protocol: tcp, ports: {port}}}\n"))
        .collect();
    format!(
        "version: 1
security_groups:
  guest:
    rules:
      - {{direction: ingress, protocol: tcp, ports: 80, action: {action}}}
{rules}interfaces:
  - {{name: \"tap*\", role: guest, groups: [guest], rx_hook: tcx}}
"
    )
}

fn of_interfaces(plan: &Plan, name: &str) -> Result<Vec<Entry>> {
    let pair = |at| {
        let (one, other) = (format!("tap{at}"), format!("tap{}", at + 1));
        format!("link add {one} type veth peer name {other}\nlink set {one} up\nlink set {other} up\n")
    };
    let devices: String = (0..INTERFACES).step_by(2).map(pair).collect();
    let site = Site::new(&devices)?;
    let [open, shut] = [true, false].map(|is_open| parsed(&guests(is_open)));
    let start = Instant::now();
    site.agent.apply(&guests(true));
    let first = start.elapsed().as_secs_f64() * 1e3;
    let is_over = AtomicBool::new(false);
    let (times, mixed) = thread::scope(|scope| {
        let judge = scope.spawn(|| {
            machine::anywhere()?;
            Ok::<_, anyhow::Error>(mixtures(&site.host, &is_over))
        });
        let times = site.apply_in_turn(plan.slow_rounds, &[open, shut]);
        is_over.store(true, Ordering::Relaxed);
        let mixed = judge.join().map_err(|_| anyhow::anyhow!("nobody judged"))??;
        Ok::<_, anyhow::Error>((times?, mixed))
    })?;
    let [in_force, returned] = times;
    let (switches, mixed) = mixed;
    ensure!(switches > 0, "no switch was seen");
    let alone = |what: &str, times: &[f64], mode| {
        Entry::alone(&format!("{name}: {what}"), "ms", Spread::of(times)).about(8, mode, 10)
    };
    Ok(vec![
        Entry::none(&format!("{name}: judged by a mixture"), "packets", &[mixed as f64]).about(8, CALL, 10),
        alone("in force", &in_force, CALL),
        alone("call returns", &returned, CALL),
        alone("whole command, programs put on hooks", &[first], COMMAND),
    ])
}

/// Asks for the first and the last interface in turn: after the one has changed its mind the other must have as well.
/// How many switches were seen, and how many times it had not.
fn mixtures(host: &Netns, is_over: &AtomicBool) -> (usize, usize) {
    let programs = Programs::of(host);
    let ends = [0, INTERFACES - 1].map(|at| host.ifindex(&format!("tap{at}")));
    let peers = [[203, 0, 113, 7], [192, 0, 2, 2]].map(IpAddr::from);
    let frame = Ethernet::default().ip(&Ip::new(peers[0], peers[1]), &Transport::tcp(40_000, 80, flag::SYN));
    let passes = |ifindex| matches!(programs.verdict(ifindex, true, &frame), Verdict::Pass(_));
    let (mut switches, mut mixed, mut known) = (0, 0, passes(ends[0]));
    while !is_over.load(Ordering::Relaxed) {
        for (first, second) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let now = passes(first);
            if now != known {
                switches += 1;
                mixed += usize::from(passes(second) != now);
                known = now;
            }
        }
    }
    (switches, mixed)
}
