//! Sequences through the loaded programs and through the model, side by side.

use std::{collections::BTreeMap, net::IpAddr, path::Path, sync::Arc, time::Duration};

use sg_agent::{
    dataplane::{Loaded, Options, Writer},
    observe::connection,
    policy::model::{Direction, Role},
};
use sg_common::{stats::InterfaceStats, verdict::Reason};

use super::{Sequence, Step, frame, generate::clear_of_ends, policy::DEVICES};
use crate::{
    counters::moved,
    model::{Model, Packet},
    netns::Netns,
    oracle,
    progrun::{Hook, Programs, Verdict},
};

/// How far the dataplane's clock may have gone on by itself between two steps of the clock. Less than the margin that
/// sequences keep from the end of an entry.
const SLACK: Duration = Duration::from_millis(400);

/// The same between two frames of a replay, and how far from the end of an entry they keep.
const REPLAY_SLACK: Duration = Duration::from_millis(150);
const REPLAY_MARGIN: Duration = Duration::from_millis(200);

/// After so long nothing is remembered.
const FOREVER: Duration = Duration::from_secs(100_000);

/// How often a sequence is run again because the machine was too slow.
const TRIES: usize = 20;

/// Whoever puts policies in force on a host.
pub trait Control {
    /// What is in force.
    fn loaded(&self) -> &Loaded;
    /// Puts a valid policy in force, and returns when it is.
    fn put_in_force(&mut self, text: &str);
}

impl Control for Writer {
    fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    fn put_in_force(&mut self, text: &str) {
        self.apply(&Arc::new(oracle::policy(text))).unwrap_or_else(|error| panic!("{error}: {text}"));
    }
}

/// A host with its dataplane.
pub struct Host<'a> {
    control: Box<dyn Control + 'a>,
    programs: Programs,
    devices: BTreeMap<String, Device>,
    /// The policy in force.
    text: String,
    /// Where received packets are judged.
    receive: Hook,
}

/// A frame of a replay.
#[derive(Clone, Copy, Debug)]
pub struct Timed<'a> {
    /// When, since the first.
    pub time: Duration,
    /// Whether it goes to the protected side or comes from it.
    pub direction: Direction,
    /// Its bytes.
    pub bytes: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Device {
    ifindex: u32,
    slot: u32,
}

/// Why a run says nothing against the dataplane, or something.
enum Trouble {
    /// The machine was too slow.
    Late,
    /// The two do not agree.
    Difference(String),
}

/// An entry as a listing tells it: interface, protocol, local end, remote end, opener, state.
type Row = (String, u8, End, End, &'static str, &'static str);
type End = (IpAddr, Option<u16>);

impl<'a> Host<'a> {
    /// Makes the devices in `namespace`, which the calling thread is in, and loads the dataplane with `text` in force.
    ///
    /// # Panics
    /// If that does not work.
    pub fn new(namespace: &Netns, state: &Path, text: &str) -> Self {
        Self::with_devices(namespace, state, text, &DEVICES.map(|(name, ..)| name))
    }

    /// The same with other devices, all of which the policy binds.
    ///
    /// # Panics
    /// If that does not work.
    pub fn with_devices(namespace: &Netns, state: &Path, text: &str, names: &[&str]) -> Self {
        add_devices(namespace, names);
        let options = Options { bpffs: "/sys/fs/bpf".into(), state_dir: state.to_owned() };
        let policy = Arc::new(oracle::policy(text));
        let mut writer = Writer::open(&options, Some(&policy.settings)).expect("the dataplane");
        writer.apply(&policy).expect("the first policy");
        Self::under(namespace, Box::new(writer), text)
    }

    /// A host in `namespace` with the devices of [`generate`](super::generate)'s policies, on which `control` has put
    /// `text` in force.
    pub fn under(namespace: &Netns, control: Box<dyn Control + 'a>, text: &str) -> Self {
        let slots = sg_agent::observe::names::by_slot(&control.loaded().state);
        let device = |(slot, (name, _)): (&u32, &(&str, _))| {
            ((*name).to_owned(), Device { ifindex: namespace.ifindex(name), slot: *slot })
        };
        let devices = slots.iter().map(device).collect();
        let programs = Programs::of(namespace);
        Self { control, programs, devices, text: text.to_owned(), receive: Hook::Xdp }
    }

    /// Chooses the hook that judges received packets.
    pub fn receive_at(&mut self, hook: Hook) {
        self.receive = hook;
    }

    /// Runs a sequence.
    ///
    /// # Errors
    /// If dataplane and model do not agree; says where.
    ///
    /// # Panics
    /// If the machine is too slow again and again.
    pub fn run(&mut self, sequence: &Sequence) -> Result<(), String> {
        for _ in 0..TRIES {
            match self.attempt(sequence) {
                Ok(()) => return Ok(()),
                Err(Trouble::Difference(difference)) => return Err(difference),
                Err(Trouble::Late) => {}
            }
        }
        panic!("this machine is too slow for the clock to stand still");
    }

    /// Puts frames that go through `interface` to dataplane and model, on which no connection is known at first, each at
    /// its time. For each the verdict, or how the two differ.
    ///
    /// # Panics
    /// If the machine is too slow again and again.
    pub fn replay(&mut self, interface: &str, frames: &[Timed<'_>]) -> Vec<Result<Verdict, String>> {
        let outcomes = (0..TRIES).find_map(|_| self.try_replay(interface, frames));
        outcomes.expect("a machine that is fast enough for the clock to stand still")
    }

    /// `None`: the machine was too slow.
    fn try_replay(&mut self, interface: &str, frames: &[Timed<'_>]) -> Option<Vec<Result<Verdict, String>>> {
        let mut model = Model::new(oracle::policy(&self.text));
        let role = model.policy().interfaces.iter().find(|one| one.name == interface)?.role;
        let start = self.now() + self.ticks(FOREVER);
        let (mut time, mut outcomes) = (Duration::ZERO, Vec::new());
        for frame in frames {
            let gap = clear_of_ends(&model, frame.time.saturating_sub(time), REPLAY_MARGIN);
            model.wait(gap);
            time += gap;
            let tick = start + self.ticks(time);
            self.set_clock(tick);
            let expected = model.judge_frame(interface, frame.direction, frame.bytes);
            let transmit = (role == Role::Guest) == (frame.direction == Direction::Ingress);
            let done = self.frame(interface, transmit, frame.direction, frame.bytes, expected);
            outcomes.push(done.map(|()| expected));
            if self.now().saturating_sub(tick) > self.ticks(REPLAY_SLACK) {
                return None;
            }
        }
        Some(outcomes)
    }

    fn attempt(&mut self, sequence: &Sequence) -> Result<(), Trouble> {
        let Some(Step::Policy(text)) = sequence.steps.first() else {
            panic!("a sequence begins with a policy")
        };
        self.apply(text);
        let mut run = Run {
            model: Model::new(oracle::policy(text)),
            start: self.now() + self.ticks(FOREVER),
            time: Duration::ZERO,
            found: None,
            is_late: false,
        };
        self.set_clock(run.start);
        for (number, step) in sequence.steps.iter().enumerate().skip(1) {
            let done = self.step(&mut run, step);
            run.note(done.map_err(|difference| format!("step {number}: {step}: {difference}")));
            if run.found.is_some() {
                break;
            }
        }
        if run.found.is_none() {
            run.note(self.compare_tables(&run.model));
        }
        // A difference on a clock that went astray is none.
        self.check_clock(&run)?;
        run.found.map_or(Ok(()), |difference| Err(Trouble::Difference(difference)))
    }

    fn step(&mut self, run: &mut Run, step: &Step) -> Result<(), String> {
        match step {
            Step::Packet(packet) => return self.packet(&mut run.model, packet),
            Step::Wait(time) => {
                run.is_late |= self.check_clock(run).is_err();
                run.model.wait(*time);
                run.time += *time;
            }
            Step::Policy(text) => {
                run.is_late |= self.check_clock(run).is_err();
                run.model.apply(oracle::policy(text));
                self.apply(text);
            }
        }
        self.set_clock(run.start + self.ticks(run.time));
        Ok(())
    }

    /// Puts a policy in force, unless it is.
    ///
    /// # Panics
    /// If it is refused.
    pub fn apply(&mut self, text: &str) {
        if self.text != text {
            self.control.put_in_force(text);
            text.clone_into(&mut self.text);
        }
    }

    fn packet(&mut self, model: &mut Model, packet: &Packet) -> Result<(), String> {
        let role =
            model.policy().interfaces.iter().find(|one| one.name == packet.interface).map(|one| one.role);
        let transmit = (role == Some(Role::Guest)) == (packet.direction == Direction::Ingress);
        let expected = model.judge(packet);
        self.frame(&packet.interface, transmit, packet.direction, &frame(packet), expected)
    }

    /// Puts a frame to the probe and to the program of its hook; an error is a verdict or a counter that is not as
    /// `expected`.
    fn frame(
        &self,
        interface: &str,
        transmit: bool,
        direction: Direction,
        frame: &[u8],
        expected: Verdict,
    ) -> Result<(), String> {
        let Some(device) = self.devices.get(interface).copied() else {
            return Err(format!("no device {interface}"));
        };
        let said = self.programs.verdict(device.ifindex, transmit, frame);
        if said != expected && !is_found_out_later(expected) {
            return Err(format!("the model says {expected:?}, the probe {said:?}"));
        }
        let before = self.stats(device);
        let hook = if transmit { Hook::TcxEgress } else { self.receive };
        let passes = self.programs.passes_here(hook, device.ifindex, frame);
        let moved = moved(&before, &self.stats(device));
        let direction = direction as usize;
        if passes != matches!(expected, Verdict::Pass(_)) || moved != [(direction, counter(expected), 1)] {
            return Err(format!(
                "the model says {expected:?}, the program passes: {passes}, counts {moved:?}"
            ));
        }
        Ok(())
    }

    fn compare_tables(&self, model: &Model) -> Result<(), String> {
        let (mut is, mut should) = (self.table(), table(model));
        is.sort();
        should.sort();
        let rows = |table: &[(Row, Duration)]| table.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>();
        if rows(&is) != rows(&should) {
            let more: Vec<_> = is.iter().filter(|(row, _)| !rows(&should).contains(row)).collect();
            let less: Vec<_> = should.iter().filter(|(row, _)| !rows(&is).contains(row)).collect();
            return Err(format!("only in the table: {more:?}; only in the model: {less:?}"));
        }
        let tick = Duration::from_millis(20);
        let wrong = is.iter().zip(&should).find(|((_, is), (_, should))| is.abs_diff(*should) > SLACK + tick);
        wrong.map_or(Ok(()), |(is, should)| Err(format!("{is:?} in the table, {should:?} in the model")))
    }

    /// What `conntrack list` would show.
    fn table(&self) -> Vec<(Row, Duration)> {
        let Loaded { kernel, state, .. } = self.control.loaded();
        let clock = kernel.clock().expect("the clock");
        let mut found = connection::live(state, &clock, &kernel.connections_v4(clock.now_tick));
        found.extend(connection::live(state, &clock, &kernel.connections_v6(clock.now_tick)));
        let row = |one: &connection::Connection| {
            let (local, remote) =
                ((one.local.address, one.local.port), (one.remote.address, one.remote.port));
            let row = (one.interface.clone(), one.protocol, local, remote, one.opener(), one.state());
            (row, Duration::from_millis(one.remaining * 1000 / u64::from(clock.hz)))
        };
        found.iter().map(row).collect()
    }

    fn stats(&self, device: Device) -> InterfaceStats {
        self.control.loaded().kernel.interface_stats(device.slot).expect("the counters")
    }

    fn now(&self) -> u64 {
        self.control.loaded().kernel.clock().expect("the clock").now_tick
    }

    fn ticks(&self, time: Duration) -> u64 {
        let hz = u128::from(self.control.loaded().kernel.control().hz);
        (time.as_millis() * hz / 1000) as u64
    }

    fn set_clock(&self, tick: u64) {
        let kernel = &self.control.loaded().kernel;
        let ahead = tick.wrapping_sub(self.now());
        kernel.set_clock_offset(kernel.control().clock_offset.wrapping_add(ahead));
    }

    fn check_clock(&self, run: &Run) -> Result<(), Trouble> {
        let ahead = self.now().saturating_sub(run.start + self.ticks(run.time));
        if run.is_late || ahead > self.ticks(SLACK) { Err(Trouble::Late) } else { Ok(()) }
    }
}

/// One run of a sequence.
struct Run {
    model: Model,
    /// The dataplane's clock when the sequence began.
    start: u64,
    time: Duration,
    found: Option<String>,
    is_late: bool,
}

impl Run {
    fn note(&mut self, done: Result<(), String>) {
        self.found = self.found.take().or(done.err());
    }
}

/// Makes the devices of the policies that [`generate`](super::generate) makes, on which nothing moves by itself.
pub fn add_own_devices(namespace: &Netns) {
    add_devices(namespace, &DEVICES.map(|(name, ..)| name));
}

fn add_devices(namespace: &Netns, names: &[&str]) {
    // Nothing but what is put to the programs is to be counted.
    namespace.sysctl("ipv6/conf/default/disable_ipv6", "1");
    for name in names {
        namespace.ip(&format!("link add {name} type veth peer name {name}x"));
        namespace.ip(&format!("link set {name} up\nlink set {name}x up"));
    }
}

/// The probe leaves no trace and so does not find out whether there is room.
fn is_found_out_later(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Drop(Reason::InterfaceFull | Reason::ConntrackFull | Reason::BadFragment))
}

/// The counter of a verdict; `None` is that of packets that passed.
fn counter(verdict: Verdict) -> Option<Reason> {
    match verdict {
        Verdict::Pass(_) => None,
        Verdict::Drop(reason) => Some(reason),
    }
}

fn table(model: &Model) -> Vec<(Row, Duration)> {
    let row = |(key, entry, left): (&crate::model::Key, &crate::model::Entry, Duration)| {
        let has_ports = matches!(key.protocol, 6 | 17 | 132);
        let port = |port| has_ports.then_some(port);
        let local = key.query.map_or(port(key.local.1), |(_, id, _)| Some(id));
        let opener = if entry.opener == Direction::Ingress { "ingress" } else { "egress" };
        let ends = ((key.local.0, local), (key.remote.0, port(key.remote.1)));
        ((key.interface.clone(), key.protocol, ends.0, ends.1, opener, entry.state.name()), left)
    };
    model.connections().map(row).collect()
}
