//! The bench's BPF object, loaded beside what the agent of a host has loaded.

use std::{
    cell::{Cell, RefCell},
    env, fs,
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, Pod, TestRun as _,
    maps::{Array, HashMap, MapData, ProgramArray},
    programs::{ProgramFd, TestRunOptions, Xdp},
};
use aya_obj::programs::XdpAttachType;
use nix::time::{ClockId, clock_gettime};
use sg_bench_ebpf::draw::{Draw, Traced};
use sg_common::conntrack::{Key4, Key6};
use zerocopy::IntoBytes as _;

use super::designs;
pub use super::shot::{Family, MODE, Program, Shot};
use crate::{
    interrupt,
    netns::Netns,
    progrun::{pins, xdp_context},
};

/// The loaded object. Its maps that carry the name of one of sg's are sg's.
pub struct Object {
    host: Netns,
    programs: Ebpf,
    /// sg, if an agent has loaded it.
    sg: Option<Xdp>,
    draws: RefCell<Array<MapData, Bytes<{ size_of::<Draw>() }>>>,
    next: RefCell<ProgramArray<MapData>>,
    trace: RefCell<Array<MapData, Bytes<{ size_of::<Traced>() }>>>,
    flows4: RefCell<HashMap<MapData, Bytes<16>, Value>>,
    flows6: RefCell<HashMap<MapData, Bytes<40>, Value>>,
    outcomes: RefCell<Array<MapData, u64>>,
    seed: Cell<u64>,
}

/// A map's key or value as bytes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Bytes<const N: usize>(pub [u8; N]);

// SAFETY: an array of bytes has no padding and any value is one.
unsafe impl<const N: usize> Pod for Bytes<N> {}

type Value = [u64; 6];

/// What the hash map says of every flow.
const VALUE: Value = [1; 6];

impl Object {
    /// Loads it for a host.
    ///
    /// # Errors
    /// If it is not built, or the kernel refuses it.
    pub fn load(host: &Netns) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        let shared = shared_maps(host);
        for (name, path) in &shared {
            loader.map_pin_path(name, path);
        }
        let path = file()?;
        let mut programs = loader.load_file(&path).with_context(|| format!("loading {}", path.display()))?;
        let pin = pins(host).join("sg_xdp");
        let sg = pin.exists().then(|| Xdp::from_pin(&pin, XdpAttachType::Interface)).transpose();
        load_programs(&mut programs)?;
        Ok(Self {
            host: host.clone(),
            sg: sg.context("the program that the agent has loaded")?,
            draws: RefCell::new(map(&mut programs, "DRAW")?.try_into()?),
            next: RefCell::new(map(&mut programs, "NEXT")?.try_into()?),
            trace: RefCell::new(map(&mut programs, "TRACE")?.try_into()?),
            flows4: RefCell::new(map(&mut programs, "FLOWS4")?.try_into()?),
            flows6: RefCell::new(map(&mut programs, "FLOWS6")?.try_into()?),
            outcomes: RefCell::new(map(&mut programs, "OUTCOMES")?.try_into()?),
            seed: Cell::new(1),
            programs,
        })
    }

    /// Sets the trace that packets are chosen from.
    pub fn set_trace(&self, trace: &[Traced]) -> Result<()> {
        let mut map = self.trace.borrow_mut();
        for (at, traced) in (0..).zip(trace) {
            map.set(at, Bytes(traced.as_bytes().try_into()?), 0)?;
        }
        Ok(())
    }

    /// Puts a flow into the kernel's hash map.
    pub fn add_v4(&self, key: &Key4) -> Result<()> {
        let key = Bytes(key.as_bytes().try_into()?);
        Ok(self.flows4.borrow_mut().insert(key, VALUE, 0)?)
    }

    /// Likewise.
    pub fn add_v6(&self, key: &Key6) -> Result<()> {
        let key = Bytes(key.as_bytes().try_into()?);
        Ok(self.flows6.borrow_mut().insert(key, VALUE, 0)?)
    }

    /// ns of CPU time per packet.
    ///
    /// # Errors
    /// If the program does something else than it is timed for.
    pub fn time(&self, shot: &Shot) -> Result<f64> {
        let target = self.target(shot)?;
        let first = match &shot.draw {
            None => target,
            Some(draw) => {
                self.hand_on(draw, target.fd()?)?;
                self.program(if shot.traced { DRAW_TRACE } else { DRAW[shot.family as usize] })?
            }
        };
        let expected = shot.program.verdict();
        let (code, nanoseconds) = self.host.enter(|| {
            fire(first, &Shot { times: shot.warm_up(), ..shot.clone() })?;
            fire(first, shot)
        })?;
        ensure!(code == expected, "{:?} returned {code} for {:?}", shot.program, shot.draw);
        Ok(nanoseconds)
    }

    fn target(&self, shot: &Shot) -> Result<&Xdp> {
        let family = shot.family as usize;
        match shot.program {
            Program::Floor => self.program(FLOOR),
            Program::Table => self.program(TABLE[family]),
            Program::Hash => self.program(HASH[family]),
            Program::Passes | Program::Drops => self.sg.as_ref().context("no agent has loaded sg"),
            Program::Design(design, act) => self.program(&designs::program(design, act)),
        }
    }

    /// Every one of these frames once through the program of a shot.
    pub fn each(&self, shot: &Shot, frames: Vec<Vec<u8>>) -> Result<()> {
        let target = self.target(shot)?;
        self.host.enter(|| {
            frames.into_iter().try_for_each(|frame| {
                interrupt::check()?;
                let (code, _) = fire(target, &Shot { frame, times: 1, ..shot.clone() })?;
                ensure!(code == shot.program.verdict(), "{:?} returned {code}", shot.program);
                Ok(())
            })
        })
    }

    /// Packets for which what was to be done with a table did not come about, and those for which it did.
    pub fn outcomes(&self) -> Result<[u64; 2]> {
        let outcomes = self.outcomes.borrow();
        Ok([outcomes.get(&0, 0)?, outcomes.get(&1, 0)?])
    }

    fn program(&self, name: &str) -> Result<&Xdp> {
        let program = self.programs.program(name).with_context(|| format!("no program {name}"))?;
        Ok(program.try_into()?)
    }

    /// A state of the generator that was not there before.
    pub fn fresh_state(&self) -> u64 {
        self.seed.set(self.seed.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        self.seed.get()
    }

    /// Draws packets from the given state of the generator on, else other ones each time, and gives them to `target`.
    fn hand_on(&self, draw: &Draw, target: &ProgramFd) -> Result<()> {
        let state = if draw.state == 0 { self.fresh_state() } else { draw.state };
        let draw = Draw { state, ..*draw };
        self.draws.borrow_mut().set(0, Bytes(draw.as_bytes().try_into()?), 0)?;
        Ok(self.next.borrow_mut().set(0, target, 0)?)
    }
}

/// Runs the program; what it returned last, and ns per packet.
fn fire(program: &Xdp, shot: &Shot) -> Result<(u32, f64)> {
    let context = (shot.ifindex != 0).then(|| xdp_context(shot.ifindex, shot.frame.len()));
    let options = TestRunOptions {
        data_in: Some(&shot.frame),
        ctx_in: context.as_deref(),
        repeat: shot.times,
        ..TestRunOptions::new()
    };
    let before = cpu_time()?;
    let result = program.test_run(options).context("BPF_PROG_TEST_RUN")?;
    let spent = cpu_time()? - before;
    Ok((result.return_value, spent as f64 / f64::from(shot.times)))
}

/// CPU time of this thread, in ns: it stands still while others have the CPU.
pub(super) fn cpu_time() -> Result<i64> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("the thread's CPU time")?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// The maps that the agent of a host has pinned: their names are in capitals.
fn shared_maps(host: &Netns) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(pins(host)) else { return Vec::new() };
    let named =
        entries.flatten().map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    named.filter(|(name, _)| name.chars().all(|c| !c.is_ascii_lowercase())).collect()
}

/// The programs, in the order of [`Family`] where there is one for each.
const FLOOR: &str = "floor_pass";
const DRAW: [&str; 2] = ["draw_v4", "draw_v6"];
const DRAW_TRACE: &str = "draw_trace";
const TABLE: [&str; 2] = ["reference_table_v4", "reference_table_v6"];
const HASH: [&str; 2] = ["reference_hash_v4", "reference_hash_v6"];

fn load_programs(object: &mut Ebpf) -> Result<()> {
    let references = [FLOOR, DRAW_TRACE].iter().chain(&DRAW).chain(&TABLE).chain(&HASH);
    for name in references.map(|name| (*name).to_owned()).chain(designs::programs()) {
        let program = object.program_mut(&name).with_context(|| format!("no program {name}"))?;
        let program: &mut Xdp = program.try_into()?;
        program.load().with_context(|| format!("loading {name}"))?;
    }
    Ok(())
}

pub(super) fn map(object: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    object.take_map(name).with_context(|| format!("no map {name}"))
}

/// The object: `$SG_BENCH_OBJECT`, else the one beside this program.
pub(super) fn file() -> Result<PathBuf> {
    if let Some(given) = env::var_os("SG_BENCH_OBJECT") {
        return Ok(given.into());
    }
    let program = env::current_exe()?;
    let target = if cfg!(target_endian = "big") { "bpfeb" } else { "bpfel" };
    let below = format!("bpf/{target}-unknown-none/release/sg-bench-ebpf");
    let mut candidates = program.ancestors().map(|directory| directory.join(&below));
    candidates.find(|candidate| candidate.is_file()).context("no BPF object; run it by `cargo xtask bench`")
}
