//! Frames through the loaded programs with `BPF_PROG_TEST_RUN`: the very programs, maps and policy that are in force on
//! a host, without a wire.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use aya::{
    TestRun as _,
    programs::{ProgramError, SchedClassifier, TestRunOptions, TestRunResult, Xdp},
};
use aya_obj::programs::XdpAttachType;
use sg_common::{
    ABI_VERSION,
    probe::{MAGIC, ProbeReply, ProbeRequest},
    verdict::{Reason, Stage},
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::netns::Netns;

/// Where the agent of `host` pins.
pub fn pins(host: &Netns) -> PathBuf {
    Path::new("/sys/fs/bpf").join(format!("sg-{}", host.inode())).join(format!("v{ABI_VERSION}"))
}

/// Where a packet meets the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// XDP, on receive.
    Xdp,
    /// TCX, on receive.
    TcxIngress,
    /// TCX, on transmit.
    TcxEgress,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 3] = [Self::Xdp, Self::TcxIngress, Self::TcxEgress];
}

/// What the probe says about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes, by this stage.
    Pass(Stage),
    /// It is dropped, for this reason.
    Drop(Reason),
}

impl Verdict {
    /// The verdict in a reply.
    ///
    /// # Panics
    /// If the program did not answer, or with a number that means nothing.
    #[track_caller]
    pub fn of(reply: &ProbeReply) -> Self {
        assert_eq!(reply.magic, MAGIC, "the probe did not answer: {reply:?}");
        let number = u8::try_from(reply.why).ok();
        let known = match reply.allowed {
            1 => number.and_then(Stage::from_number).map(Self::Pass),
            _ => number.and_then(Reason::from_number).map(Self::Drop),
        };
        known.unwrap_or_else(|| panic!("not a verdict: {reply:?}"))
    }
}

/// The programs that the agent of a host loaded.
#[derive(Debug)]
pub struct Programs {
    host: Netns,
    xdp: Xdp,
    tcx_ingress: SchedClassifier,
    tcx_egress: SchedClassifier,
    probe: Xdp,
}

impl Programs {
    /// Opens what the agent of `host` pinned.
    ///
    /// # Panics
    /// If it pinned nothing.
    #[track_caller]
    pub fn of(host: &Netns) -> Self {
        let pin = |name: &str| pins(host).join(name);
        let classifier =
            |name| SchedClassifier::from_pin(pin(name)).unwrap_or_else(|error| no_pin(name, &error));
        let xdp = |name| {
            Xdp::from_pin(pin(name), XdpAttachType::Interface).unwrap_or_else(|error| no_pin(name, &error))
        };
        Self {
            host: host.clone(),
            xdp: xdp("sg_xdp"),
            tcx_ingress: classifier("sg_tcx_ingress"),
            tcx_egress: classifier("sg_tcx_egress"),
            probe: xdp("sg_probe"),
        }
    }

    /// Whether `frame` passes at `hook` of the device with index `ifindex`. It is counted and tracked.
    #[track_caller]
    pub fn passes(&self, hook: Hook, ifindex: u32, frame: &[u8]) -> bool {
        code(hook, self.repeat(hook, ifindex, frame, 1).0)
    }

    /// The same for a thread that is in the host's namespace.
    #[track_caller]
    pub fn passes_here(&self, hook: Hook, ifindex: u32, frame: &[u8]) -> bool {
        code(hook, self.run(hook, ifindex, frame, 1).0)
    }

    /// The return code of the last and the mean duration of `times` runs.
    #[track_caller]
    pub fn repeat(&self, hook: Hook, ifindex: u32, frame: &[u8], times: u32) -> (u32, Duration) {
        self.host.enter(|| self.run(hook, ifindex, frame, times))
    }

    /// The same for a thread that is in the host's namespace; only the runs matter.
    #[track_caller]
    pub fn repeat_here(&self, hook: Hook, ifindex: u32, frame: &[u8], times: u32) {
        self.run(hook, ifindex, frame, times);
    }

    #[track_caller]
    fn run(&self, hook: Hook, ifindex: u32, frame: &[u8], times: u32) -> (u32, Duration) {
        let context = match hook {
            Hook::Xdp => xdp_context(ifindex, frame.len()),
            Hook::TcxIngress | Hook::TcxEgress => skb_context(ifindex),
        };
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            repeat: times,
            ..TestRunOptions::new()
        };
        let result = match hook {
            Hook::Xdp => self.xdp.test_run(options),
            Hook::TcxIngress => self.tcx_ingress.test_run(options),
            Hook::TcxEgress => self.tcx_egress.test_run(options),
        };
        let result = ran(result);
        (result.return_value, result.duration)
    }

    /// What the program would do with `frame`. It leaves no trace.
    #[track_caller]
    pub fn ask(&self, request: ProbeRequest, frame: &[u8]) -> ProbeReply {
        let input = [request.as_bytes(), frame].concat();
        let mut output = vec![0; input.len()];
        let options =
            TestRunOptions { data_in: Some(&input), data_out: Some(&mut output), ..TestRunOptions::new() };
        ran(self.probe.test_run(options));
        let (reply, _) = ProbeReply::read_from_prefix(&output).expect("the request was as long as a reply");
        reply
    }

    /// The verdict on `frame`, received (or to be transmitted, if `transmit`) by the device with index `ifindex`.
    #[track_caller]
    pub fn verdict(&self, ifindex: u32, transmit: bool, frame: &[u8]) -> Verdict {
        let request = ProbeRequest { ifindex, transmit: u32::from(transmit), ..ProbeRequest::default() };
        Verdict::of(&self.ask(request, frame))
    }
}

pub(crate) const XDP_DROP: u32 = 1;
pub(crate) const XDP_PASS: u32 = 2;
pub(crate) const TC_ACT_OK: u32 = 0;
const TC_ACT_SHOT: u32 = 2;
pub(crate) const TC_ACT_UNSPEC: u32 = u32::MAX;

/// Whether a return code lets the packet pass.
#[track_caller]
fn code(hook: Hook, code: u32) -> bool {
    match (hook, code) {
        (Hook::Xdp, XDP_PASS) => true,
        (Hook::Xdp, XDP_DROP) => false,
        (Hook::TcxIngress | Hook::TcxEgress, TC_ACT_OK | TC_ACT_UNSPEC) => true,
        (Hook::TcxIngress | Hook::TcxEgress, TC_ACT_SHOT) => false,
        (_, code) => panic!("{hook:?} returned {code}"),
    }
}

fn no_pin(name: &str, error: &ProgramError) -> ! {
    panic!("pinned program {name}: {error}")
}

#[track_caller]
fn ran(result: Result<TestRunResult, ProgramError>) -> TestRunResult {
    result
        .unwrap_or_else(|error| panic!("BPF_PROG_TEST_RUN: {error}: {:?}", std::error::Error::source(&error)))
}

/// `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
pub(crate) fn xdp_context(ifindex: u32, length: usize) -> Vec<u8> {
    [0, length as u32, 0, ifindex, 0, 0].map(u32::to_ne_bytes).concat()
}

/// `struct __sk_buff` as far as `ifindex`, its eleventh word. The kernel refuses other words than this to be set.
pub(crate) fn skb_context(ifindex: u32) -> Vec<u8> {
    let mut words = [0; 11];
    words[10] = ifindex;
    words.map(u32::to_ne_bytes).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_a_verdict() {
        let reply = |allowed, why| ProbeReply { magic: MAGIC, allowed, why, ..ProbeReply::default() };
        assert_eq!(Verdict::of(&reply(1, 2)), Verdict::Pass(Stage::Established));
        assert_eq!(Verdict::of(&reply(0, 17)), Verdict::Drop(Reason::Default));
        assert!(std::panic::catch_unwind(|| Verdict::of(&reply(1, 99))).is_err());
        assert!(std::panic::catch_unwind(|| Verdict::of(&ProbeReply::default())).is_err());
    }

    #[test]
    fn the_index_stands_where_the_kernel_looks_for_it() {
        assert_eq!(skb_context(7)[40..44], 7u32.to_ne_bytes());
        assert_eq!(xdp_context(7, 60)[12..16], 7u32.to_ne_bytes());
    }
}
