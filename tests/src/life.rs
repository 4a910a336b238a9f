//! Lives of connections, packet by packet, through the loaded programs.
//!
//! Every packet is checked as it goes: one counter of its interface and direction moves, by one, and nothing else does;
//! what is dropped makes no entry. One loaded agent serves any number of lives.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
};

use sg_agent::observe::connection::{self, Connection};
use sg_common::{
    addr::{EGRESS, INGRESS},
    verdict::Reason,
};

use crate::{
    agent::Agent,
    counters::{Counters, Moved},
    netns::Netns,
    packets::{Ethernet, Ip, Transport},
    progrun::{Hook, Programs},
    wire::Family,
};

/// A host whose programs are run by hand. Its devices are guests' ports.
pub struct Plane {
    /// Its agent.
    pub agent: Agent,
    /// What it counts, under the policy in force.
    pub counters: Counters,
    /// Its programs.
    pub programs: Programs,
    /// Where it is.
    pub host: Netns,
    devices: BTreeMap<String, u32>,
}

impl Plane {
    /// Makes `devices` and applies `policy`.
    #[track_caller]
    pub fn new(devices: &[&str], policy: &str) -> Self {
        let host = Netns::with_devices(devices);
        let agent = Agent::new(&host);
        agent.apply(policy);
        let index = |device: &&str| ((*device).to_owned(), host.ifindex(device));
        let devices = devices.iter().map(index).collect();
        Self { counters: agent.counters(), programs: Programs::of(&host), agent, host, devices }
    }

    /// Applies another policy.
    #[track_caller]
    pub fn apply(&mut self, policy: &str) {
        self.agent.apply(policy);
        self.counters = self.agent.counters();
    }

    /// Takes a device away and makes another of its name.
    #[track_caller]
    pub fn remake(&mut self, device: &str) {
        self.host.ip(&format!("link del {device}"));
        self.host.add_device(device);
        self.devices.insert(device.to_owned(), self.host.ifindex(device));
    }

    /// Index of a device.
    #[track_caller]
    pub fn ifindex(&self, device: &str) -> u32 {
        self.devices[device]
    }

    /// Puts a frame through a guest's port: why it is dropped, or `None`.
    #[track_caller]
    pub fn put(&self, device: &str, direction: usize, receive: Hook, frame: &[u8]) -> Option<Reason> {
        let hook = if direction == EGRESS { receive } else { Hook::TcxEgress };
        let before = self.counters.read();
        let passes = self.programs.passes(hook, self.ifindex(device), frame);
        let after = self.counters.read();
        let moved = after.since(&before);
        let [Moved { interface, direction: counted, reason, count: 1 }] = moved.as_slice() else {
            panic!("one packet, but counted: {moved:?}");
        };
        assert_eq!((interface.as_str(), *counted, reason.is_none()), (device, direction, passes));
        assert!(passes || after.adds_no_entry_to(&before), "dropped for {reason:?}, and made an entry");
        *reason
    }

    /// Lets time pass.
    #[track_caller]
    pub fn wait(&self, milliseconds: u64) {
        let kernel = &self.counters.loaded.kernel;
        let control = kernel.control();
        kernel.set_clock_offset(control.clock_offset + milliseconds * u64::from(control.hz) / 1000);
    }

    /// The connections that are live, as a listing shows them.
    #[track_caller]
    pub fn connections(&self) -> Vec<Connection> {
        let (kernel, state) = (&self.counters.loaded.kernel, &self.counters.loaded.state);
        let clock = kernel.clock().expect("the clock");
        let v4 = connection::live(state, &clock, &kernel.connections_v4(clock.now_tick));
        let v6 = connection::live(state, &clock, &kernel.connections_v6(clock.now_tick));
        [v4, v6].concat()
    }

    /// Lets so much time pass that nothing is remembered, and frees its slots.
    #[track_caller]
    pub fn forget(&self) {
        self.wait(1_000_000);
        let (_, live) = self.counters.loaded.kernel.sweep_all().expect("a sweep");
        assert_eq!(live, 0, "entries that outlive the longest timeout");
    }
}

/// One connection's life on one port, told of one family with received frames judged at one hook.
#[derive(Clone, Copy)]
pub struct Life<'a> {
    /// The host.
    pub plane: &'a Plane,
    /// The guest's port.
    pub device: &'a str,
    /// Whose addresses.
    pub family: Family,
    /// Where received frames are judged.
    pub receive: Hook,
}

impl Life<'_> {
    /// A packet from the peer enters.
    #[track_caller]
    pub fn enters(&self, transport: &Transport) {
        self.goes(INGRESS, &self.family.inward(), transport, None);
    }

    /// A packet from the guest leaves.
    #[track_caller]
    pub fn leaves(&self, transport: &Transport) {
        self.goes(EGRESS, &self.family.outward(), transport, None);
    }

    /// A packet from the peer is dropped.
    #[track_caller]
    pub fn is_kept_out(&self, reason: Reason, transport: &Transport) {
        self.goes(INGRESS, &self.family.inward(), transport, Some(reason));
    }

    /// A packet from the guest is dropped.
    #[track_caller]
    pub fn is_kept_in(&self, reason: Reason, transport: &Transport) {
        self.goes(EGRESS, &self.family.outward(), transport, Some(reason));
    }

    /// A packet goes by, or is dropped.
    #[track_caller]
    pub fn goes(&self, direction: usize, ip: &Ip, transport: &Transport, expected: Option<Reason>) {
        self.goes_as(direction, &ip.carry(transport), expected);
    }

    /// A datagram goes by, or is dropped.
    #[track_caller]
    pub fn goes_as(&self, direction: usize, datagram: &[u8], expected: Option<Reason>) {
        let frame = Ethernet::default().datagram(datagram);
        let is = self.plane.put(self.device, direction, self.receive, &frame);
        assert_eq!(is, expected, "the packet was to come to this");
    }

    /// Seconds pass.
    #[track_caller]
    pub fn waits(&self, seconds: u64) {
        self.plane.wait(seconds * 1000);
    }

    /// The only entry is in `state` and has `seconds` left.
    #[track_caller]
    pub fn is(&self, state: &str, seconds: u64) {
        let entries = self.plane.connections();
        let [entry] = entries.as_slice() else { panic!("one entry was expected: {entries:?}") };
        let hz = u64::from(self.plane.counters.loaded.kernel.control().hz);
        let left = entry.remaining.div_ceil(hz);
        // The clock goes on while a slow machine looks.
        let about = seconds.saturating_sub(5)..=seconds;
        assert_eq!((entry.state(), about.contains(&left)), (state, true), "{left} s left");
    }
}

/// Lives by name.
pub type Lives<'a> = &'a [(&'a str, fn(&Life<'_>))];

/// Tells each life of both families, with received frames judged at XDP and at TCX, and reports those that went wrong.
///
/// # Panics
/// If one did.
#[track_caller]
pub fn tell(plane: &Plane, device: &str, lives: Lives<'_>) {
    let mut wrong = Vec::new();
    for (name, life) in lives {
        for (family, receive) in
            Family::BOTH.into_iter().flat_map(|family| [(family, Hook::Xdp), (family, Hook::TcxIngress)])
        {
            let told = Life { plane, device, family, receive };
            eprintln!("{name}, {family:?}, {receive:?}");
            if panic::catch_unwind(AssertUnwindSafe(|| life(&told))).is_err() {
                wrong.push(format!("{name}, {family:?}, {receive:?}"));
            }
            plane.forget();
        }
    }
    assert!(wrong.is_empty(), "these lives went wrong (see above):\n{}", wrong.join("\n"));
}
