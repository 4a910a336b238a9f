//! Entry points.

use aya_ebpf::{
    bindings::{TC_ACT_OK, TC_ACT_SHOT, xdp_action},
    btf_maps::PerCpuArray,
    helpers::generated::{bpf_ktime_get_ns, bpf_xdp_store_bytes},
    macros::{btf_map, classifier, xdp},
    programs::{TcContext, XdpContext},
};
use sg_common::{
    conntrack::Life,
    control::{Control, table},
    events::End,
    probe::{ProbeReply, ProbeRequest},
    sweep::{MAGIC, MAX_BUCKETS, SweepReply, SweepRequest},
};
use sg_ebpf::{
    conntrack::{Fragments, V4, V6, evict, sweep},
    frame::{Frame, Inner},
    pipeline,
    scene::{self, Hook},
};
use zerocopy::{FromBytes, IntoBytes};

/// The reply under way; on the stack it would leave too little for the stages.
#[btf_map]
static REPLIES: PerCpuArray<ProbeReply, 1> = PerCpuArray::new();

/// Received frames.
#[xdp(frags)]
pub fn sg_xdp(ctx: XdpContext) -> u32 {
    let frame = Inner { frame: &ctx, base: 0 };
    let passes = pipeline::judge(&frame, ctx.ingress_ifindex() as u32, Hook::Receive);
    if passes { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

/// Received frames, where XDP is not used.
#[classifier]
pub fn sg_tcx_ingress(ctx: TcContext) -> i32 {
    tc(&ctx, Hook::Receive)
}

/// Frames to transmit.
#[classifier]
pub fn sg_tcx_egress(ctx: TcContext) -> i32 {
    tc(&ctx, Hook::Transmit)
}

#[inline(always)]
fn tc(ctx: &TcContext, hook: Hook) -> i32 {
    // Under TCX the two values mean "next program" and "drop" as well (include/net/tcx.h).
    const NEXT: i32 = -1;
    // SAFETY: `skb.skb` is the context that the kernel passed in.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    let _ = TC_ACT_OK;
    if pipeline::judge(&Inner { frame: ctx, base: 0 }, ifindex, hook) { NEXT } else { TC_ACT_SHOT }
}

/// Answers a [`ProbeRequest`].
#[xdp]
pub fn sg_probe(ctx: XdpContext) -> u32 {
    // The first three fields of the request; on the stack the whole would leave too little for the stages.
    let Some([i0, i1, i2, i3, t0, t1, t2, t3, f0, f1, f2, f3]) = Frame::load::<12>(&ctx, 0) else {
        return xdp_action::XDP_ABORTED;
    };
    let transmit = u32::from_ne_bytes([t0, t1, t2, t3]) != 0;
    let hook = if transmit { Hook::Transmit } else { Hook::Receive };
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let frame = Inner { frame: &ctx, base: size_of::<ProbeRequest>() as u32 };
    let Some(reply) = REPLIES.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: the element is this CPU's own.
    let reply = unsafe { &mut *reply };
    *reply = ProbeReply::default();
    pipeline::probe(&frame, u32::from_ne_bytes([i0, i1, i2, i3]), hook, flags, reply);
    if let Some(control) = scene::control() {
        reply.now = scene::now(control);
    }
    // SAFETY: the helper takes no argument and cannot fail.
    reply.monotonic = unsafe { bpf_ktime_get_ns() };
    answer(&ctx, reply.as_bytes())
}

/// Answers a [`SweepRequest`].
#[xdp]
pub fn sg_sweep(ctx: XdpContext) -> u32 {
    const REQUEST: usize = size_of::<SweepRequest>();
    let Some(request) = ctx.head::<REQUEST>(0) else { return xdp_action::XDP_ABORTED };
    let Ok(request) = SweepRequest::read_from_bytes(&request) else { return xdp_action::XDP_ABORTED };
    let Some(control) = scene::control() else { return xdp_action::XDP_ABORTED };
    let mut reply = if request.evict != 0 { free(&request) } else { swept(control, &request) };
    reply.magic = MAGIC;
    answer(&ctx, reply.as_bytes())
}

#[inline(always)]
fn free(request: &SweepRequest) -> SweepReply {
    let life = Life(request.life);
    let end = if request.evict == End::Gone as u32 { End::Gone } else { End::Flushed };
    let freed = match request.table as usize {
        table::V4 => evict::<V4>(request.first, life, end),
        table::V6 => evict::<V6>(request.first, life, end),
        _ => evict::<Fragments>(request.first, life, end),
    };
    SweepReply { freed: u32::from(freed), ..SweepReply::default() }
}

#[inline(always)]
fn swept(control: &Control, request: &SweepRequest) -> SweepReply {
    let now = scene::now(control);
    let buckets = if request.buckets > MAX_BUCKETS { MAX_BUCKETS } else { request.buckets };
    match request.table as usize {
        table::V4 => sweep::<V4>(control, request.first, buckets, now),
        table::V6 => sweep::<V6>(control, request.first, buckets, now),
        _ => sweep::<Fragments>(control, request.first, buckets, now),
    }
}

/// Writes the reply over the request.
#[inline(always)]
fn answer(ctx: &XdpContext, reply: &[u8]) -> u32 {
    // SAFETY: `reply` is readable for its length; the helper checks the frame's.
    let failed =
        unsafe { bpf_xdp_store_bytes(ctx.ctx, 0, reply.as_ptr().cast_mut().cast(), reply.len() as u32) };
    if failed == 0 { xdp_action::XDP_PASS } else { xdp_action::XDP_ABORTED }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: no path that can panic is left in the object; the verifier would refuse it.
    unsafe { core::hint::unreachable_unchecked() }
}

/// Several helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
