//! The loaded programs.

use std::{collections::BTreeSet, path::Path};

use aya::{
    TestRun as _, TestRunOptions,
    programs::{ProgramError, SchedClassifier, Xdp},
};
use aya_obj::programs::XdpAttachType;
use sg_common::{
    probe::{self, ProbeReply, ProbeRequest},
    sweep::{self, SweepReply, SweepRequest},
};
use zerocopy::{FromBytes, IntoBytes as _};

use super::error::{Attempt as _, Error};

/// Received frames, at XDP.
pub const XDP: &str = "sg_xdp";
/// Received frames, at TCX or clsact.
pub const TCX_INGRESS: &str = "sg_tcx_ingress";
/// Frames to transmit.
pub const TCX_EGRESS: &str = "sg_tcx_egress";
/// Answers questions.
pub const PROBE: &str = "sg_probe";
/// Reclaims slots.
pub const SWEEP: &str = "sg_sweep";
/// Every program, by the name that it is pinned under.
pub const NAMES: [&str; 5] = [XDP, TCX_INGRESS, TCX_EGRESS, PROBE, SWEEP];

/// The programs that the agent attaches or runs.
#[derive(Debug)]
pub struct Programs {
    pub xdp: Xdp,
    pub tcx_ingress: SchedClassifier,
    pub tcx_egress: SchedClassifier,
    probe: Xdp,
    sweep: Xdp,
}

impl Programs {
    /// The programs pinned in `directory`.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let what = |name| move || format!("opening program {name}");
        let xdp = |name| Xdp::from_pin(directory.join(name), XdpAttachType::Interface).attempt(what(name));
        let classifier = |name| SchedClassifier::from_pin(directory.join(name)).attempt(what(name));
        Ok(Self {
            xdp: xdp(XDP)?,
            tcx_ingress: classifier(TCX_INGRESS)?,
            tcx_egress: classifier(TCX_EGRESS)?,
            probe: xdp(PROBE)?,
            sweep: xdp(SWEEP)?,
        })
    }

    /// Pins the program that is pinned under `name` elsewhere, or was.
    pub fn pin(&mut self, name: &str, path: &Path) -> Result<(), Error> {
        let pinned = match name {
            TCX_INGRESS => self.tcx_ingress.pin(path),
            TCX_EGRESS => self.tcx_egress.pin(path),
            PROBE => self.probe.pin(path),
            SWEEP => self.sweep.pin(path),
            _ => self.xdp.pin(path),
        };
        pinned.attempt(|| format!("pinning program {name}"))
    }

    /// Number of the program for one side of TCX.
    pub fn number(&self, is_egress: bool) -> Result<u32, Error> {
        let program = if is_egress { &self.tcx_egress } else { &self.tcx_ingress };
        Ok(program.info().attempt(|| "asking for a program's number".to_owned())?.id())
    }

    /// Numbers of the tables that the programs use.
    pub fn tables(&self) -> Result<BTreeSet<u32>, Error> {
        let infos = [
            self.xdp.info(),
            self.tcx_ingress.info(),
            self.tcx_egress.info(),
            self.probe.info(),
            self.sweep.info(),
        ];
        let mut all = BTreeSet::new();
        for info in infos {
            let ids = info.and_then(|info| info.map_ids()).attempt(|| "asking for the tables".to_owned())?;
            all.extend(ids.unwrap_or_default());
        }
        Ok(all)
    }

    /// Asks what would become of `frame`. No trace is left.
    pub fn probe(&self, request: &ProbeRequest, frame: &[u8]) -> Result<ProbeReply, Error> {
        let input = [request.as_bytes(), frame].concat();
        let reply: ProbeReply =
            run(&self.probe, &input).attempt(|| "asking the loaded program".to_owned())?;
        answered(reply.magic == probe::MAGIC, PROBE).map(|()| reply)
    }

    /// Frees expired slots, or evicts one.
    pub fn sweep(&self, request: &SweepRequest) -> Result<SweepReply, Error> {
        let reply: SweepReply =
            run(&self.sweep, request.as_bytes()).attempt(|| "sweeping a connection table".to_owned())?;
        answered(reply.magic == sweep::MAGIC, SWEEP).map(|()| reply)
    }
}

fn answered(has: bool, name: &str) -> Result<(), Error> {
    if has { Ok(()) } else { Err(Error::Environment(format!("program {name} did not answer"))) }
}

/// Runs `program` on `input`; its reply stands where the request was.
fn run<R: FromBytes + Default>(program: &Xdp, input: &[u8]) -> Result<R, ProgramError> {
    let mut output = vec![0; input.len()];
    let options =
        TestRunOptions { data_in: Some(input), data_out: Some(&mut output), ..TestRunOptions::new() };
    program.test_run(options)?;
    Ok(R::read_from_prefix(&output).map(|(reply, _)| reply).unwrap_or_default())
}
