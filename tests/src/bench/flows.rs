//! Opening the flows: a handshake each, through the programs in force.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use aya::{
    TestRun as _,
    programs::{SchedClassifier, TestRunOptions, Xdp},
};
use aya_obj::programs::XdpAttachType;
use sg_bench_ebpf::draw::Tuple;
use sg_common::conntrack::{Key4, Key6};

use super::{
    object::Family,
    policy,
    rig::{Rig, Way, frame, local, peer},
};
use crate::{
    interrupt,
    packets::flag,
    progrun::{TC_ACT_OK, TC_ACT_UNSPEC, XDP_PASS, pins, skb_context, xdp_context},
};

/// Opens flows until there are `count`, of which there are `open`; puts them into the kernel's hash map too.
pub fn open(rig: &Rig, family: Family, open: u32, count: u32) -> Result<()> {
    let pins = pins(&rig.host);
    let receives = Xdp::from_pin(pins.join("sg_xdp"), XdpAttachType::Interface)?;
    let transmits = SchedClassifier::from_pin(pins.join("sg_tcx_egress"))?;
    let draw = policy::flows(family, count);
    let tuples: Vec<Tuple> = (open..count).map(|flow| draw.tuple(flow, 0, family == Family::V4)).collect();
    let ifindex = rig.ifindex;
    rig.host.enter(|| {
        tuples.iter().try_for_each(|tuple| {
            interrupt::check()?;
            shake_hands(ifindex, family, tuple, &receives, &transmits)
        })
    })?;
    tuples.iter().try_for_each(|tuple| remember(rig, family, tuple))
}

fn shake_hands(
    ifindex: u32,
    family: Family,
    tuple: &Tuple,
    receives: &Xdp,
    transmits: &SchedClassifier,
) -> Result<()> {
    for flags in [flag::SYN, flag::ACK] {
        let frame = frame(family, tuple, flags, Way::In);
        let context = xdp_context(ifindex, frame.len());
        let options =
            TestRunOptions { data_in: Some(&frame), ctx_in: Some(&context), ..TestRunOptions::new() };
        let code = receives.test_run(options).context("BPF_PROG_TEST_RUN")?.return_value;
        ensure!(code == XDP_PASS, "a packet of {tuple:?} is refused: {code}");
        if flags == flag::ACK {
            continue;
        }
        let frame = self::frame(family, tuple, flag::SYN | flag::ACK, Way::Out);
        let context = skb_context(ifindex);
        let options =
            TestRunOptions { data_in: Some(&frame), ctx_in: Some(&context), ..TestRunOptions::new() };
        let code = transmits.test_run(options).context("BPF_PROG_TEST_RUN")?.return_value;
        ensure!(matches!(code, TC_ACT_OK | TC_ACT_UNSPEC), "the answer to {tuple:?} is refused: {code}");
    }
    Ok(())
}

/// The directory slot of the only interface, as the reference programs have it.
const SLOT: u16 = 1;
const TCP: u8 = 6;

fn remember(rig: &Rig, family: Family, tuple: &Tuple) -> Result<()> {
    let (remote_port, local_port) = (tuple.source_port.to_be_bytes(), tuple.port.to_be_bytes());
    match (peer(family, tuple), local(family)) {
        (IpAddr::V4(remote), IpAddr::V4(local)) => rig.object.add_v4(&Key4 {
            remote: remote.octets(),
            local: local.octets(),
            remote_port,
            local_port,
            slot: SLOT,
            protocol: TCP,
            query: 0,
        }),
        (IpAddr::V6(remote), IpAddr::V6(local)) => rig.object.add_v6(&Key6 {
            remote: remote.octets(),
            local: local.octets(),
            remote_port,
            local_port,
            slot: SLOT,
            protocol: TCP,
            query: 0,
        }),
        _ => unreachable!("both are of one family"),
    }
}
