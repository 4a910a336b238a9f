//! The host moves: devices appear, vanish, are made anew, renamed and moved, and programs are taken away, while
//! `Writer::reconcile` and `Writer::verify` follow.

mod devices;
mod kinds;
mod repairs;
mod storm;
mod taps;
mod trial;

use std::{path::PathBuf, sync::Arc};

use sg_agent::{
    dataplane::{
        Loaded, Options, Place, Writer,
        hooks::{self, InterfaceStatus},
        reconcile::Reconciled,
    },
    policy,
};
use sg_tests::{
    agent::Agent,
    inject::{ARRIVES, IS_LOST, Tap, mark},
    netns::Netns,
    packets::{
        Ethernet, Ip, Mac, Transport,
        flag::{ACK, SYN},
    },
};

/// Any device with a name of four letters is a guest's, which is reached on port 80.
pub const POLICY: &str = "version: 1
settings: {conntrack: {max_entries: 4096, max_per_interface: 1024}, limits: {policy_bytes: 1048576}}
security_groups:
  web: {rules: [{direction: ingress, protocol: tcp, ports: 80}]}
interfaces:
  - {name: 'tap?', role: guest, groups: [web]}
";

/// A host with a writer of its own, as the daemon has it.
pub struct Scene {
    /// Before the agent: it unloads when it goes.
    writer: Option<Writer>,
    agent: Agent,
    /// The host.
    pub host: Netns,
}

impl Scene {
    /// `policy` is in force on a host with these devices.
    #[track_caller]
    pub fn new(policy: &str, devices: &[&str]) -> Self {
        Self::on(Netns::with_devices(devices), policy)
    }

    /// `policy` is in force on `host`.
    #[track_caller]
    pub fn on(host: Netns, policy: &str) -> Self {
        let agent = Agent::new(&host);
        let mut scene = Self { writer: None, agent, host };
        let policy = parse(policy);
        let options = scene.options();
        let opened = scene.host.enter(|| Writer::open(&options, Some(&policy.settings)).map_err(text));
        scene.writer = Some(opened.unwrap_or_else(|error| panic!("{error}")));
        scene.write(|writer| writer.report_faults());
        scene.apply(&policy);
        scene
    }

    fn options(&self) -> Options {
        Options { bpffs: "/sys/fs/bpf".into(), state_dir: self.agent.state_dir() }
    }

    /// Does `work` with the writer, in the host's namespace.
    #[track_caller]
    pub fn write<T: Send>(&mut self, work: impl FnOnce(&mut Writer) -> T + Send) -> T {
        let writer = self.writer.as_mut().expect("a writer");
        self.host.enter(|| work(writer))
    }

    /// Brings a policy into force.
    #[track_caller]
    pub fn apply(&mut self, policy: &Arc<policy::Policy>) {
        let done = self.write(|writer| writer.apply_file(policy, None).map_err(text));
        done.unwrap_or_else(|error| panic!("{error}"));
    }

    /// What a look at the devices changes.
    #[track_caller]
    pub fn reconcile(&mut self) -> Reconciled {
        let done = self.write(|writer| writer.reconcile().map_err(text));
        done.unwrap_or_else(|error| panic!("{error}"))
    }

    /// What a look at everything changes.
    #[track_caller]
    pub fn verify(&mut self) -> Reconciled {
        let done = self.write(|writer| writer.verify().map_err(text));
        done.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Everything is as it should be, and neither look changes anything.
    #[track_caller]
    pub fn is_settled(&mut self) {
        let done = (self.reconcile(), self.verify());
        assert!(done.0.is_empty() && done.1.is_empty(), "{done:?}");
    }

    /// What `status` says of every interface.
    #[track_caller]
    pub fn status(&self) -> Vec<InterfaceStatus> {
        let options = self.options();
        let status = self.host.enter(|| {
            let loaded = Loaded::open(&options).map_err(text)?;
            hooks::status(&loaded, &Place::find(&options).map_err(text)?).map_err(text)
        });
        status.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The interfaces that are enforced.
    #[track_caller]
    pub fn enforced(&self) -> Vec<String> {
        self.status().into_iter().filter(|one| one.enforced).map(|one| one.name).collect()
    }

    /// The directory of the pins.
    pub fn pins(&self) -> PathBuf {
        sg_tests::progrun::pins(&self.host)
    }

    /// Whether a segment from outside comes out at the guest behind `device`.
    #[track_caller]
    pub fn lets_in(&self, device: &str, source: u16, port: u16, flags: u8) -> bool {
        let (port_of_host, guest) =
            (Tap::open(&self.host, device), Tap::open(&self.host, &self.peer(device)));
        let mark = mark();
        let sent = port_of_host.send(&segment([192, 0, 2, 1], [10, 0, 0, 5], source, port, flags, mark));
        let patience = if sent { ARRIVES } else { IS_LOST };
        let seen = guest.receive(mark, patience).is_some();
        assert_eq!(seen, sent, "{device}: a frame that the hook lets pass arrives, and no other");
        seen
    }

    /// The other end of a device.
    pub fn peer(&self, device: &str) -> String {
        let output = self.host.output(std::process::Command::new("ip").args(["-o", "link", "show", device]));
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        let other = line.split_whitespace().find_map(|word| word.trim_end_matches(':').split_once('@'));
        other.unwrap_or_else(|| panic!("{device} is no veth: {line}")).1.to_owned()
    }

    /// Opens a connection through `device` that then goes on without a rule.
    #[track_caller]
    pub fn open_connection(&self, device: &str, source: u16) {
        assert!(self.lets_in(device, source, 80, SYN));
        assert!(self.goes_on(device, source));
    }

    /// Whether a connection is known still.
    #[track_caller]
    pub fn goes_on(&self, device: &str, source: u16) -> bool {
        self.lets_in(device, source, 80, ACK)
    }
}

/// A TCP segment that carries `mark`.
pub fn segment(from: [u8; 4], to: [u8; 4], source: u16, port: u16, flags: u8, mark: [u8; 8]) -> Vec<u8> {
    let transport = Transport::tcp(source, port, flags).payload(&mark);
    Ethernet::new(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]))
        .ip(&Ip::new(from.into(), to.into()), &transport)
}

/// A policy file's text.
#[track_caller]
pub fn parse(text: &str) -> Arc<policy::Policy> {
    let file = policy::parse_str(text, "policy.yaml");
    file.policy.map(Arc::from).unwrap_or_else(|| panic!("{:?}", file.diagnostics))
}

/// An error, with what caused it.
pub fn text(error: sg_agent::dataplane::Error) -> String {
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
