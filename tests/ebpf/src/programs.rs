//! The trivial programs, and those that draw a packet and hand it on.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, ProgramArray},
    helpers::generated::bpf_redirect,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use sg_bench_ebpf::draw::{Draw, FRAME_WORDS, TRACE as LENGTH, Template, Traced, Tuple};

/// What the next packets look like.
#[btf_map]
static DRAW: Array<Draw, 1> = Array::new();
/// What generated packets have in common.
#[btf_map]
static TEMPLATE: Array<Template, 1> = Array::new();
/// Packets that are chosen from, if they are not computed.
#[btf_map]
static TRACE: Array<Traced, { LENGTH as usize }> = Array::new();
/// The program that gets them.
#[btf_map]
static NEXT: ProgramArray<1> = ProgramArray::new();

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Nothing but the verdict.
#[xdp(frags)]
pub fn floor_pass(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Nothing but the other verdict.
#[xdp(frags)]
pub fn floor_drop(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// Draws an IPv4 packet.
///
/// It is written in the words that it will be read in: a load that spans a store and older bytes waits until the store
/// has left the store buffer, which no packet from a wire makes it do.
#[xdp(frags)]
pub fn draw_v4(ctx: XdpContext) -> u32 {
    let Some((tuple, sequence)) = draw(true) else { return xdp_action::XDP_ABORTED };
    let written = write(&ctx, 22, tuple.v4_word(TCP, 0)) && write(&ctx, 34, tuple.transport_word(sequence));
    if written { hand_on(&ctx) } else { xdp_action::XDP_ABORTED }
}

/// Draws an IPv6 packet.
#[xdp(frags)]
pub fn draw_v6(ctx: XdpContext) -> u32 {
    let Some((tuple, sequence)) = draw(false) else { return xdp_action::XDP_ABORTED };
    let written = write(&ctx, 22, tuple.source.to_be())
        && write(&ctx, 30, tuple.source_low.to_be())
        && write(&ctx, 54, tuple.transport_word(sequence));
    if written { hand_on(&ctx) } else { xdp_action::XDP_ABORTED }
}

/// Draws an IPv4 packet of the trace: the tuple's source is its number.
#[xdp(frags)]
pub fn draw_trace(ctx: XdpContext) -> u32 {
    let Some((number, sequence)) = draw(true) else { return xdp_action::XDP_ABORTED };
    let Some(traced) = TRACE.get(number.source as u32) else { return xdp_action::XDP_ABORTED };
    let tuple = Tuple { source: u64::from(traced.source), port: traced.port, ..number };
    let written =
        write(&ctx, 22, tuple.v4_word(traced.protocol, 0)) && write(&ctx, 34, tuple.transport_word(sequence));
    if written { hand_on(&ctx) } else { xdp_action::XDP_ABORTED }
}

/// Makes a UDP packet of a frame and sends it off. Frames come back with what became of them on their way, so every
/// word is written.
#[xdp]
pub fn generate_v4(ctx: XdpContext) -> u32 {
    let (Some((tuple, length)), Some(template)) = (draw(true), TEMPLATE.get(0)) else {
        return xdp_action::XDP_ABORTED;
    };
    for at in 0..FRAME_WORDS {
        if !write(&ctx, at * 8, template.words[at]) {
            return xdp_action::XDP_ABORTED;
        }
    }
    let checksum = template.checksum(tuple.source as u32);
    let written =
        write(&ctx, 22, tuple.v4_word(UDP, checksum)) && write(&ctx, 34, tuple.transport_word(length));
    if !written {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: the helper takes two numbers.
    unsafe { bpf_redirect(template.device, 0) as u32 }
}

#[inline(always)]
fn draw(family_is_v4: bool) -> Option<(Tuple, u32)> {
    let draw = DRAW.get_ptr_mut(0)?;
    // SAFETY: one thread at a time runs these programs on a copy of the map.
    let draw = unsafe { &mut *draw };
    Some((draw.next(family_is_v4), draw.sequence))
}

/// Writes eight bytes of the frame.
#[inline(always)]
fn write(ctx: &XdpContext, offset: usize, word: u64) -> bool {
    let at = ctx.data() + offset;
    if at + 8 > ctx.data_end() {
        return false;
    }
    // SAFETY: the eight bytes end before `data_end`. The machines that the kernel runs BPF on take them unaligned.
    unsafe { (at as *mut u64).write_volatile(word) };
    true
}

#[inline(always)]
fn hand_on(ctx: &XdpContext) -> u32 {
    // SAFETY: nothing here needs to be dropped.
    unsafe { NEXT.tail_call(ctx, 0) };
    xdp_action::XDP_ABORTED
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: no path that can panic is left in the object; the verifier would refuse it.
    unsafe { core::hint::unreachable_unchecked() }
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
