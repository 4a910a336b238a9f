//! Reading a frame: the only place that turns packet pointers into values.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, xdp_md},
    helpers::generated::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::{TcContext, XdpContext},
};

use core::marker::PhantomData;
use zerocopy::FromBytes;

use crate::{
    packet::Packet,
    parse::{self, Answer},
};

/// A frame that can be read. Nothing is ever read beyond [`Frame::len`].
pub trait Frame {
    /// Length in bytes, fragments and non-linear parts included.
    fn len(&self) -> u32;

    /// Whether the frame has at least `length` bytes. Answered without a helper call where the frame is linear.
    #[inline(always)]
    fn reaches(&self, length: u32) -> bool {
        length <= self.len()
    }

    /// `N` bytes at a constant offset, straight from the frame where it is linear.
    fn head<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// `N` bytes at any offset, through a helper call.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// The first `length` bytes, if they can be read without a helper call.
    #[inline(always)]
    fn window(&self, _length: usize) -> Option<Window<'_>> {
        None
    }

    /// Whether a VLAN tag travels beside the frame instead of in it.
    fn has_vlan_metadata(&self) -> bool {
        false
    }

    /// Parses the IPv4 packet at `at`: [`parse::ipv4::parse`], or a call of it.
    #[inline(always)]
    fn ipv4(&self, at: u32, packet: &mut Packet) -> Answer {
        parse::answer(parse::ipv4::parse(self, at, packet))
    }

    /// Walks IPv4 options: [`parse::ipv4::options`], or a call of it.
    #[inline(always)]
    fn ipv4_options(&self, at: u32, end: u32) -> Answer {
        parse::answer(parse::ipv4::options(self, at, end))
    }

    /// Parses the IPv6 packet at `at`: [`parse::ipv6::parse`], or a call of it.
    #[inline(always)]
    fn ipv6(&self, at: u32, packet: &mut Packet) -> Answer {
        parse::answer(parse::ipv6::parse(self, at, packet))
    }

    /// Walks IPv6 extension headers: [`parse::ipv6::extensions`], or a call of it.
    #[inline(always)]
    fn ipv6_extensions(&self, at: u32, packet: &mut Packet) -> Answer {
        parse::answer(parse::ipv6::extensions(self, at, packet))
    }

    /// Reads the packet at `at` that the ICMP error `error` quotes: [`parse::quote::read`], or a call of it.
    #[inline(always)]
    fn quote(&self, at: u32, error: &Packet, quoted: &mut Packet) -> Answer {
        parse::answer(parse::quote::read(self, at, error, quoted))
    }

    /// Reads the neighbour discovery message at `at`: [`parse::discovery::read`], or a call of it.
    #[inline(always)]
    fn discovery(&self, at: u32, packet: &Packet, message: &mut Packet) -> Answer {
        parse::answer(parse::discovery::read(self, at, packet, message))
    }

    /// `N` bytes at `offset`, which is `USUAL` for all but rare packets.
    #[inline(always)]
    fn at<const USUAL: usize, const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        if offset == USUAL as u32 { self.head(USUAL) } else { self.load(offset) }
    }
}

/// `N` bytes at `offset` if the linear part, `data..end`, has them.
#[inline(always)]
fn linear<const N: usize>(data: usize, end: usize, offset: usize) -> Option<[u8; N]> {
    if data + offset + N > end {
        return None;
    }
    // SAFETY: `data + offset + N <= end`, and the kernel guarantees that `data..end` is readable.
    Some(unsafe { copy((data + offset) as *const u8) })
}

/// `N` bytes from `from`, in as few loads as possible.
///
/// Packet data has no alignment, and LLVM's BPF backend reads an unaligned word byte by byte. The machines that the
/// kernel runs unaligned BPF loads on (`CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`) read it in one. Telling LLVM so
/// (`allows-misaligned-mem-access`) makes it misalign the stack too: "misaligned stack access off 0+0+-236 size 8".
///
/// # Safety
///
/// `from` is readable for `N` bytes.
#[inline(always)]
unsafe fn copy<const N: usize>(from: *const u8) -> [u8; N] {
    let mut to = Aligned([0; N]);
    let start = to.0.as_mut_ptr();
    let mut at = 0;
    // SAFETY: `at` stays below `N` in both; volatile, so that each read stays the one load it is.
    unsafe {
        while at + 8 <= N {
            start.add(at).cast::<u64>().write(from.add(at).cast::<u64>().read_volatile());
            at += 8;
        }
        if at + 4 <= N {
            start.add(at).cast::<u32>().write(from.add(at).cast::<u32>().read_volatile());
            at += 4;
        }
        if at + 2 <= N {
            start.add(at).cast::<u16>().write(from.add(at).cast::<u16>().read_volatile());
            at += 2;
        }
        if at < N {
            start.add(at).write(from.add(at).read_volatile());
        }
    }
    to.0
}

/// Without alignment, LLVM clears and fills a buffer byte by byte.
#[repr(align(8))]
struct Aligned<const N: usize>([u8; N]);

/// The longer pieces of parsing as global functions, which the verifier follows once each, not once for each way that
/// leads to a call ("BPF program is too large. Processed 1000001 insn"). `base`: bytes to leave out at the start of the
/// frame. No argument may be unused: LLVM passes anything for it, and "R3 is not a scalar".
macro_rules! global_pieces {
    (
        $context:ty, $raw:ty, $ipv4:ident, $options:ident, $ipv6:ident, $extensions:ident, $quote:ident,
        $discovery:ident
    ) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $ipv4(ctx: *mut $raw, base: u32, at: u32, packet: *mut Packet) -> Answer {
            // SAFETY: called with a reference. The verifier takes a pointer argument of a global function for one that
            // may be null.
            let Some(packet) = (unsafe { packet.as_mut() }) else { return 0 };
            parse::answer(parse::ipv4::parse(&Inner { frame: &<$context>::new(ctx), base }, at, packet))
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $options(ctx: *mut $raw, base: u32, at: u32, end: u32) -> Answer {
            parse::answer(parse::ipv4::options(&Inner { frame: &<$context>::new(ctx), base }, at, end))
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $ipv6(ctx: *mut $raw, base: u32, at: u32, packet: *mut Packet) -> Answer {
            // SAFETY: as above.
            let Some(packet) = (unsafe { packet.as_mut() }) else { return 0 };
            parse::answer(parse::ipv6::parse(&Inner { frame: &<$context>::new(ctx), base }, at, packet))
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $extensions(ctx: *mut $raw, base: u32, at: u32, packet: *mut Packet) -> Answer {
            // SAFETY: as above.
            let Some(packet) = (unsafe { packet.as_mut() }) else { return 0 };
            parse::answer(parse::ipv6::extensions(&Inner { frame: &<$context>::new(ctx), base }, at, packet))
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $quote(
            ctx: *mut $raw,
            base: u32,
            at: u32,
            error: *const Packet,
            quoted: *mut Packet,
        ) -> Answer {
            // SAFETY: as above.
            let (Some(error), Some(quoted)) = (unsafe { error.as_ref() }, unsafe { quoted.as_mut() }) else {
                return 0;
            };
            parse::answer(parse::quote::read(
                &Inner { frame: &<$context>::new(ctx), base },
                at,
                error,
                quoted,
            ))
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $discovery(
            ctx: *mut $raw,
            base: u32,
            at: u32,
            packet: *const Packet,
            message: *mut Packet,
        ) -> Answer {
            // SAFETY: as above.
            let (Some(packet), Some(message)) = (unsafe { packet.as_ref() }, unsafe { message.as_mut() })
            else {
                return 0;
            };
            let frame = Inner { frame: &<$context>::new(ctx), base };
            parse::answer(parse::discovery::read(&frame, at, packet, message))
        }

        impl Frame for Inner<'_, $context> {
            forward_to_pieces!($raw, $ipv4, $options, $ipv6, $extensions, $quote, $discovery);

            #[inline(always)]
            fn len(&self) -> u32 {
                Frame::len(self.frame).saturating_sub(self.base)
            }

            #[inline(always)]
            fn reaches(&self, length: u32) -> bool {
                self.frame.reaches(length.saturating_add(self.base))
            }

            #[inline(always)]
            fn head<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
                if self.base == 0 {
                    self.frame.head(offset)
                } else {
                    Frame::load(self.frame, offset as u32 + self.base)
                }
            }

            #[inline(always)]
            fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
                Frame::load(self.frame, offset + self.base)
            }

            #[inline(always)]
            fn window(&self, length: usize) -> Option<Window<'_>> {
                if self.base == 0 { self.frame.window(length) } else { None }
            }

            #[inline(always)]
            fn has_vlan_metadata(&self) -> bool {
                self.frame.has_vlan_metadata()
            }
        }
    };
}

macro_rules! forward_to_pieces {
    (
        $raw:ty, $ipv4:ident, $options:ident, $ipv6:ident, $extensions:ident, $quote:ident, $discovery:ident
    ) => {
        #[inline(always)]
        fn ipv4(&self, at: u32, packet: &mut Packet) -> Answer {
            $ipv4(self.frame.as_ptr().cast::<$raw>(), self.base, at, packet)
        }

        #[inline(always)]
        fn ipv4_options(&self, at: u32, end: u32) -> Answer {
            $options(self.frame.as_ptr().cast::<$raw>(), self.base, at, end)
        }

        #[inline(always)]
        fn ipv6(&self, at: u32, packet: &mut Packet) -> Answer {
            $ipv6(self.frame.as_ptr().cast::<$raw>(), self.base, at, packet)
        }

        #[inline(always)]
        fn ipv6_extensions(&self, at: u32, packet: &mut Packet) -> Answer {
            $extensions(self.frame.as_ptr().cast::<$raw>(), self.base, at, packet)
        }

        #[inline(always)]
        fn quote(&self, at: u32, error: &Packet, quoted: &mut Packet) -> Answer {
            $quote(self.frame.as_ptr().cast::<$raw>(), self.base, at, error, quoted)
        }

        #[inline(always)]
        fn discovery(&self, at: u32, packet: &Packet, message: &mut Packet) -> Answer {
            $discovery(self.frame.as_ptr().cast::<$raw>(), self.base, at, packet, message)
        }
    };
}

global_pieces!(
    XdpContext,
    xdp_md,
    sg_xdp_ipv4,
    sg_xdp_options,
    sg_xdp_ipv6,
    sg_xdp_extensions,
    sg_xdp_quote,
    sg_xdp_discovery
);
global_pieces!(
    TcContext,
    __sk_buff,
    sg_tc_ipv4,
    sg_tc_options,
    sg_tc_ipv6,
    sg_tc_extensions,
    sg_tc_quote,
    sg_tc_discovery
);

impl Frame for XdpContext {
    #[inline(always)]
    fn len(&self) -> u32 {
        let linear = self.data_end() - self.data();
        // SAFETY: `self.ctx` is the context that the kernel passed in.
        let whole = unsafe { bpf_xdp_get_buff_len(self.ctx.cast::<xdp_md>()) };
        if whole as usize > linear { whole as u32 } else { linear as u32 }
    }

    #[inline(always)]
    fn reaches(&self, length: u32) -> bool {
        length as usize <= self.data_end() - self.data() || length <= Frame::len(self)
    }

    #[inline(always)]
    fn head<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        match linear(self.data(), self.data_end(), offset) {
            None => self.load(offset as u32),
            bytes => bytes,
        }
    }

    #[inline(always)]
    fn window(&self, length: usize) -> Option<Window<'_>> {
        Window::of(self.data(), self.data_end(), length)
    }

    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = Aligned([0; N]);
        // SAFETY: the helper writes exactly `N` bytes to `bytes`, or fails.
        let failed = unsafe {
            bpf_xdp_load_bytes(self.ctx.cast::<xdp_md>(), offset, bytes.0.as_mut_ptr().cast(), N as u32)
        };
        (failed == 0).then_some(bytes.0)
    }
}

impl Frame for TcContext {
    #[inline(always)]
    fn len(&self) -> u32 {
        TcContext::len(self)
    }

    #[inline(always)]
    fn head<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        match linear(self.data(), self.data_end(), offset) {
            None => Frame::load(self, offset as u32),
            bytes => bytes,
        }
    }

    #[inline(always)]
    fn window(&self, length: usize) -> Option<Window<'_>> {
        Window::of(self.data(), self.data_end(), length)
    }

    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = Aligned([0; N]);
        // SAFETY: the helper writes exactly `N` bytes to `bytes`, or fails.
        let failed =
            unsafe { bpf_skb_load_bytes(self.as_ptr(), offset, bytes.0.as_mut_ptr().cast(), N as u32) };
        (failed == 0).then_some(bytes.0)
    }

    #[inline(always)]
    fn has_vlan_metadata(&self) -> bool {
        // SAFETY: `skb.skb` is the context that the kernel passed in.
        unsafe { (*self.skb.skb).vlan_present != 0 }
    }
}

impl Frame for [u8] {
    fn len(&self) -> u32 {
        <[u8]>::len(self) as u32
    }

    fn head<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }

    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.head(offset as usize)
    }

    fn window(&self, length: usize) -> Option<Window<'_>> {
        let start = self.as_ptr() as usize;
        Window::of(start, start + <[u8]>::len(self), length)
    }
}

/// The first bytes of a frame, read where they are.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    start: usize,
    length: usize,
    /// How many bytes can be read without a helper call.
    pub room: u32,
    frame: PhantomData<&'a ()>,
}

impl Window<'_> {
    #[inline(always)]
    fn of(start: usize, end: usize, length: usize) -> Option<Self> {
        let room = (end - start) as u32;
        (start + length <= end).then_some(Self { start, length, room, frame: PhantomData })
    }

    /// The value at `offset`, in the byte order of the frame; `None` if it is not inside.
    #[inline(always)]
    pub fn read<T: FromBytes>(&self, offset: usize) -> Option<T> {
        if offset + size_of::<T>() > self.length {
            return None;
        }
        let at = (self.start + offset) as *const T;
        // SAFETY: inside the window, whose bytes the frame lends; any bytes are a value. Aligned or not: see `copy`.
        #[cfg(target_arch = "bpf")]
        return Some(unsafe { at.read_volatile() });
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: likewise.
        return Some(unsafe { at.read_unaligned() });
    }
}

/// A frame inside another: what follows the first `base` bytes.
pub struct Inner<'a, F> {
    /// The outer frame.
    pub frame: &'a F,
    /// Bytes to leave out.
    pub base: u32,
}
