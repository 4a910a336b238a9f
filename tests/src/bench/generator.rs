//! A packet generator: live frames of `BPF_PROG_TEST_RUN`, each with a drawn tuple.
//!
//! Generator, firewall and receiver share one CPU: a batch of frames is handed to the device, and what becomes of them
//! is done in softirqs, which the kernel books on the generator's thread or on this CPU's `ksoftirqd`. Both together are
//! the time of a packet. It stands still while others have the CPU.

use std::{
    cell::RefCell,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader, TestRun as _,
    maps::{Array, MapData},
    programs::{TestRunAttrs, TestRunOptions, Xdp, xdp::XdpMode},
};
use sg_bench_ebpf::draw::{Draw, FRAME_WORDS, Template};
use zerocopy::IntoBytes as _;

use super::object::{Bytes, cpu_time, file, map};
use crate::{
    netns::Netns,
    packets::{Ethernet, Ip, Transport},
    topology::Machine,
};

const FRAME: usize = FRAME_WORDS * 8;
/// Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 14 + 20 + 8;
const BATCH: u32 = 64;
/// Trivial programs.
const DROP: &str = "floor_drop";
const PASS: &str = "floor_pass";

/// The loaded generator.
pub struct Generator {
    programs: Ebpf,
    draws: RefCell<Array<MapData, Bytes<{ size_of::<Draw>() }>>>,
    templates: RefCell<Array<MapData, Bytes<{ size_of::<Template>() }>>>,
    ksoftirqd: PathBuf,
}

impl Generator {
    /// Loads it, to run on CPU `cpu`.
    pub fn load(cpu: usize) -> Result<Self> {
        let path = file()?;
        let mut loader = EbpfLoader::new();
        for name in UNUSED {
            loader.map_max_entries(name, 1);
        }
        let mut programs = loader.load_file(&path).with_context(|| format!("loading {}", path.display()))?;
        for name in ["generate_v4", DROP, PASS] {
            let program: &mut Xdp = programs.program_mut(name).context("a program")?.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
        }
        Ok(Self {
            draws: RefCell::new(map(&mut programs, "DRAW")?.try_into()?),
            templates: RefCell::new(map(&mut programs, "TEMPLATE")?.try_into()?),
            ksoftirqd: ksoftirqd(cpu)?,
            programs,
        })
    }

    /// Drops every packet that `device` receives, before anything else sees it.
    pub fn swallow(&mut self, ns: &Netns, device: &str) -> Result<()> {
        self.attach(DROP, ns, device)
    }

    /// Looks at every packet that `device` receives, and lets it pass: what a program on the hook costs that does nothing.
    pub fn look_on(&mut self, ns: &Netns, device: &str) -> Result<()> {
        self.attach(PASS, ns, device)
    }

    fn attach(&mut self, name: &str, ns: &Netns, device: &str) -> Result<()> {
        let index = ns.ifindex(device);
        let program: &mut Xdp = self.programs.program_mut(name).context("a program")?.try_into()?;
        ns.enter(|| program.attach_to_if_index(index, XdpMode::Driver)).map(drop).context("attaching")
    }

    /// Sends `count` packets from `machine` to its gateway, for `to`; the CPU time that they took in all, in ns.
    pub fn send(&self, machine: &Machine, to: IpAddr, draw: &Draw, count: u32) -> Result<f64> {
        let draw = Draw { sequence: ((FRAME - 34) as u32) << 16, ..*draw };
        self.draws.borrow_mut().set(0, Bytes(draw.as_bytes().try_into()?), 0)?;
        let template = template(machine, to)?;
        self.templates.borrow_mut().set(0, Bytes(template.as_bytes().try_into()?), 0)?;
        let program: &Xdp = self.programs.program("generate_v4").context("a program")?.try_into()?;
        let frame = [0; FRAME];
        let options = TestRunOptions {
            data_in: Some(&frame),
            repeat: count,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        };
        let ksoftirqd = &self.ksoftirqd;
        machine.ns.enter(|| {
            let before = cpu_time()? + softirqs(ksoftirqd)?;
            program.test_run(options).context("generating packets")?;
            Ok((cpu_time()? + softirqs(ksoftirqd)? - before) as f64)
        })
    }
}

/// CPU time of the kernel thread that softirqs are left to when there are many.
pub fn softirqs(ksoftirqd: &Path) -> Result<i64> {
    let text = fs::read_to_string(ksoftirqd).context("the time of ksoftirqd")?;
    text.split(' ').next().and_then(|first| first.parse().ok()).context("the time of ksoftirqd")
}

/// Maps of the object that the generator does not use; they need not be large.
const UNUSED: [&str; 15] = [
    "TRACE",
    "FLOWS4",
    "FLOWS6",
    "CT4",
    "CT4_TAGS",
    "CT6",
    "CT6_TAGS",
    "FRAG",
    "FRAG_TAGS",
    "MEMBERS",
    "HEAP",
    "RULE_COUNTERS",
    "STATS",
    "TABLE_USE",
    "DIRECTORY",
];

fn template(machine: &Machine, to: IpAddr) -> Result<Template> {
    let payload = [0; FRAME - HEADERS];
    let from = Ipv4Addr::UNSPECIFIED.into();
    let bytes = Ethernet::new(machine.mac, machine.gateway_mac)
        .ip(&Ip::new(from, to), &Transport::udp(0, 0).payload(&payload));
    let words = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
    let header = bytes[14..34].chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    // All but the checksum itself; the source is zero.
    let sum = header.enumerate().filter(|(at, _)| *at != 5).map(|(_, word)| word).sum();
    let mut template = Template { sum, device: machine.ns.ifindex("eth0"), ..Template::default() };
    template.words.iter_mut().zip(words).for_each(|(to, word)| *to = word);
    Ok(template)
}

/// Where the kernel says how long the `ksoftirqd` of a CPU has run.
pub fn ksoftirqd(cpu: usize) -> Result<PathBuf> {
    let name = format!("ksoftirqd/{cpu}");
    let processes = fs::read_dir("/proc").context("/proc")?.flatten().map(|entry| entry.path());
    let mut named = processes
        .filter(|path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name));
    Ok(named.next().with_context(|| format!("no {name}"))?.join("schedstat"))
}
