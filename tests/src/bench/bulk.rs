//! One TCP connection at full speed through a filtered port (target 7): what a hook costs is mostly the segmentation
//! offload that it takes away.
//!
//! ```text
//! client ── up0 ── host, routing ── port0 ── guest
//! ```
//!
//! Both ends, the host and what is between run on one CPU; the rate is by the CPU time of everything. A tap's other end
//! is a second tap, in the guest's namespace, and two threads that carry frames between them, offload headers included,
//! as a virtual NIC of a hypervisor does. (vhost would do it in the kernel.)

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::time::{ClockId, clock_gettime};

use super::{
    Plan,
    entry::{Entry, Target},
    firewalls::UPLINK,
    generator::{ksoftirqd, softirqs},
    hooks::{self, Device},
    machine,
    sample::rounds,
};
use crate::{
    agent::Agent,
    netns::Netns,
    topology::{Cable, Topology},
    tun::{LARGEST, Tun},
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 2);
const GUEST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PORT: u16 = 5001;
const GUESTS_PORT: &str = "port0";
const MODE: &str = "the hook of the name, one TCP connection, one CPU";
const TARGET: Target = Target::AtLeast(0.95);

/// What is on the port: nothing, or sg by this `rx_hook`.
const CONTENDERS: [Option<&str>; 5] =
    [None, Some("auto"), Some("xdp-native"), Some("xdp-generic"), Some("tcx")];

/// The way of the data through the filtered device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Received,
    Transmitted,
}

impl Device {
    /// Whose device it is. With several queues it stands for the host's own NIC.
    const fn role(self) -> &'static str {
        match self {
            Self::Queues => "host",
            Self::Veth | Self::Tap => "guest",
        }
    }

    const fn port(self) -> &'static str {
        match self {
            Self::Queues => UPLINK,
            Self::Veth | Self::Tap => GUESTS_PORT,
        }
    }

    /// Bytes per sample.
    const fn bytes(self) -> usize {
        match self {
            Self::Tap => 96 << 20,
            Self::Veth | Self::Queues => 192 << 20,
        }
    }
}

fn name(device: Device, way: Way, hook: &str) -> String {
    let way = if way == Way::Received { "received" } else { "transmitted" };
    format!("TCP bulk, {way} by a {}'s {}, {hook}", device.role(), device.name())
}

/// Every hook judges what is received; what is transmitted is judged by the same hook always.
fn names_of(device: Device) -> Vec<String> {
    let received = CONTENDERS.into_iter().flatten().map(|hook| name(device, Way::Received, hook));
    received.chain([name(device, Way::Transmitted, "auto")]).collect()
}

/// What they are called.
pub fn names(plan: &Plan) -> Vec<String> {
    hooks::names_by_device(plan, names_of)
}

/// Times all contenders on each device of which one is wanted.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    hooks::by_device(plan, names_of, one)
}

fn one(plan: &Plan, device: Device) -> Result<Vec<Entry>> {
    let lines: Vec<Line> = CONTENDERS.map(|hook| Line::build(device, hook)).into_iter().collect();
    let kernel_thread = ksoftirqd(machine::cpu()?)?;
    let received = rounds(plan.slow_rounds, &lines, |line| line.time(Way::Received, &kernel_thread))?;
    let transmitted =
        rounds(plan.slow_rounds, &lines[..2], |line| line.time(Way::Transmitted, &kernel_thread))?;
    let entry = |way: Way, samples: &[Vec<f64>], at: usize| {
        let hook = CONTENDERS[at].unwrap_or_default();
        let is_asked_for = hook == "auto" && device != Device::Queues;
        let (row, target) = if is_asked_for { (7, Some(TARGET)) } else { (0, None) };
        let theirs = ("no firewall", samples[0].as_slice());
        let entry = Entry::rate(&name(device, way, hook), "Gb/s", &samples[at], theirs, target);
        entry.about(row, MODE, 1).note(lines[at].chosen)
    };
    let mut entries: Vec<Entry> =
        (1..CONTENDERS.len()).map(|at| entry(Way::Received, &received, at)).collect();
    entries.push(entry(Way::Transmitted, &transmitted, 1));
    Ok(entries)
}

/// A client, a host and a guest.
struct Line {
    device: Device,
    client: Netns,
    guest: Netns,
    /// The hook that `status` tells of.
    chosen: &'static str,
    _agent: Option<Agent>,
    _carriers: Option<Carriers>,
    _net: Topology,
}

impl Line {
    fn build(device: Device, hook: Option<&str>) -> Self {
        let client = Cable::new("client", UPLINK).address(&format!("{CLIENT}/24")).queues(device.queues());
        let guest = Cable::new("guest", GUESTS_PORT).address(&format!("{GUEST}/24"));
        let cables = if device == Device::Tap { vec![client] } else { vec![client, guest] };
        let net = Topology::new(&cables);
        let (guest, carriers) = match device {
            Device::Tap => {
                let guest = Netns::new();
                let carriers = tapped(&net.host, &guest);
                (guest, Some(carriers))
            }
            _ => (net.machine("guest").ns.clone(), None),
        };
        let agent = hook.map(|hook| filter(&net.host, device, hook));
        let chosen = agent.as_ref().map_or("", chosen);
        let client = net.machine("client").ns.clone();
        Self { device, client, guest, chosen, _agent: agent, _carriers: carriers, _net: net }
    }

    /// ns of CPU time per Gb.
    fn time(&self, way: Way, kernel_thread: &Path) -> Result<f64> {
        let from_guest = (way == Way::Received) == (self.device != Device::Queues);
        let (sender, receiver, address) = match from_guest {
            true => (&self.guest, &self.client, CLIENT),
            false => (&self.client, &self.guest, GUEST),
        };
        let bytes = self.device.bytes();
        let spent = transfer(sender, receiver, (address, PORT).into(), bytes, kernel_thread)?;
        Ok(spent / (bytes as f64 * 8.0 / 1e9))
    }
}

fn filter(host: &Netns, device: Device, hook: &str) -> Agent {
    let agent = Agent::new(host);
    let (port, role) = (device.port(), device.role());
    agent.apply(&format!(
        "version: 1
security_groups:
  bulk: {{rules: [{{direction: ingress, protocol: tcp, ports: {PORT}}}]}}
interfaces:
  - {{name: {port}, role: {role}, groups: [bulk], rx_hook: {hook}}}
"
    ));
    agent
}

fn chosen(agent: &Agent) -> &'static str {
    let status = agent.status();
    let hook = status.interfaces.first().map_or("none", |one| one.rx_hook.as_str());
    ["xdp-native", "xdp-generic", "tcx"].into_iter().find(|known| *known == hook).unwrap_or("none")
}

/// CPU time of both ends and of everything between, in ns.
fn transfer(
    sender: &Netns,
    receiver: &Netns,
    to: SocketAddr,
    bytes: usize,
    kernel_thread: &Path,
) -> Result<f64> {
    const CHUNK: usize = 1 << 18;
    let listener = receiver.enter(|| TcpListener::bind(to)).context("listening")?;
    let spent = || Ok::<i64, anyhow::Error>(process_time()? + softirqs(kernel_thread)?);
    let mut stream = sender.enter(|| TcpStream::connect_timeout(&to, PATIENCE)).context("connecting")?;
    let (mut end, _) = listener.accept().context("accepting")?;
    end.set_read_timeout(Some(PATIENCE)).context("a time limit")?;
    stream.set_write_timeout(Some(PATIENCE)).context("a time limit")?;
    let before = spent()?;
    let reader = thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        let mut received = 0;
        loop {
            match end.read(&mut buffer) {
                Ok(0) => return Ok(received),
                Ok(length) => received += length,
                Err(error) => return Err(error),
            }
        }
    });
    let chunk = vec![0; CHUNK];
    for _ in 0..bytes / CHUNK {
        stream.write_all(&chunk).context("sending")?;
    }
    drop(stream);
    let received =
        reader.join().map_err(|_| anyhow::anyhow!("the receiver is gone"))?.context("receiving")?;
    ensure!(received == bytes, "{received} of {bytes} bytes have come");
    Ok((spent()? - before) as f64)
}

const PATIENCE: Duration = Duration::from_secs(20);

fn process_time() -> Result<i64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).context("the process's CPU time")?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// Gives the host a tap and the guest another, and carries frames between them.
fn tapped(host: &Netns, guest: &Netns) -> Carriers {
    let taps = [(host, GUESTS_PORT), (guest, "eth0")].map(|(ns, device)| {
        let tap = Tun::create(ns, device);
        tap.offload();
        tap
    });
    host.ip(&format!("addr add 192.0.2.1/24 dev {GUESTS_PORT}\nlink set {GUESTS_PORT} up"));
    guest.ip(&format!(
        "addr add {GUEST}/24 dev eth0
         link set eth0 up
         route add default via 192.0.2.1"
    ));
    Carriers::start(taps)
}

/// The threads between two taps.
struct Carriers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Carriers {
    fn start(taps: [Tun; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let taps = Arc::new(taps);
        let carry = |from: usize| {
            let (taps, stop) = (Arc::clone(&taps), Arc::clone(&stop));
            thread::spawn(move || {
                let mut buffer = vec![0; LARGEST];
                while !stop.load(Ordering::Relaxed) {
                    if taps[from].carry(&taps[1 - from], Duration::from_millis(100), &mut buffer).is_err() {
                        return;
                    }
                }
            })
        };
        Self { threads: [0, 1].map(carry).into(), stop }
    }
}

impl Drop for Carriers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
