//! Programs of somebody else: two instructions that answer every packet alike.

use std::{ffi::CString, fs, io, mem, path::Path};

use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, Xdp, XdpMode, tc::TcAttachOptions};
use aya_obj::{
    generated::{bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type},
    programs::XdpAttachType,
};

use crate::netns::Netns;

/// `TCX_PASS` of linux/bpf.h: lets the packet pass without asking the programs behind.
const TCX_PASS: i32 = 0;
/// `TCX_NEXT`
const TCX_NEXT: i32 = -1;
/// `XDP_PASS`
const XDP_PASS: i32 = 2;

/// A program of somebody else on a hook. It goes when this is dropped.
#[derive(Debug)]
pub enum Foreign {
    /// On TCX.
    Tcx(SchedClassifier),
    /// On XDP.
    Xdp(Xdp),
}

/// What a program of somebody else says of a packet on TCX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// That it passes, whatever the programs behind would say.
    Pass,
    /// That the next program is to be asked.
    Next,
}

impl Foreign {
    /// Puts a program on a TCX hook of `device`, in front of all others or behind them.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn on_tcx(host: &Netns, device: &str, side: TcAttachType, says: Says, order: LinkOrder) -> Self {
        let answer = if says == Says::Pass { TCX_PASS } else { TCX_NEXT };
        let mut program = pinned(bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS, answer, |pin| {
            SchedClassifier::from_pin(pin).expect("the program just pinned")
        });
        let options = TcAttachOptions::TcxOrder(order);
        host.enter(|| program.attach_with_options(device, side, options)).expect("a TCX hook");
        Self::Tcx(program)
    }

    /// Puts a program on XDP of `device`.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn on_xdp(host: &Netns, device: &str, mode: XdpMode) -> Self {
        let mut program = pinned(bpf_prog_type::BPF_PROG_TYPE_XDP, XDP_PASS, |pin| {
            Xdp::from_pin(pin, XdpAttachType::Interface).expect("the program just pinned")
        });
        host.enter(|| program.attach(device, mode)).expect("an XDP hook");
        Self::Xdp(program)
    }
}

/// Detaches the link that is pinned at `pin`, as any root may (`BPF_LINK_DETACH` of bpf(2)). The pin stays.
///
/// # Panics
/// If it is none, or the kernel refuses.
#[track_caller]
pub fn detach(pin: &Path) {
    let path = path_of(pin);
    // SAFETY: all zeros is an empty attribute.
    let mut attribute: bpf_attr = unsafe { mem::zeroed() };
    attribute.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    let link = bpf(bpf_cmd::BPF_OBJ_GET, &attribute).expect("a link's pin");
    // SAFETY: all zeros is an empty attribute.
    let mut attribute: bpf_attr = unsafe { mem::zeroed() };
    attribute.link_detach.link_fd = link as u32;
    let done = bpf(bpf_cmd::BPF_LINK_DETACH, &attribute);
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(link) };
    done.expect("detaching a link");
}

/// Loads `r0 = answer; exit`, and opens it by a pin, which is gone afterwards.
fn pinned<T>(kind: bpf_prog_type, answer: i32, open: impl FnOnce(&Path) -> T) -> T {
    let pin = Path::new("/sys/fs/bpf").join(
        format!("sgt-{}-{:?}", std::process::id(), std::thread::current().id()).replace(['(', ')'], ""),
    );
    let file = load(kind, answer).expect("loading a program (needs root)");
    let path = path_of(&pin);
    // SAFETY: all zeros is an empty attribute.
    let mut attribute: bpf_attr = unsafe { mem::zeroed() };
    attribute.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attribute.__bindgen_anon_4.bpf_fd = file as u32;
    bpf(bpf_cmd::BPF_OBJ_PIN, &attribute).expect("pinning a program");
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(file) };
    let opened = open(&pin);
    fs::remove_file(&pin).expect("removing a pin");
    opened
}

fn path_of(pin: &Path) -> CString {
    CString::new(pin.as_os_str().as_encoded_bytes()).expect("a path")
}

fn load(kind: bpf_prog_type, answer: i32) -> io::Result<i32> {
    /// `BPF_ALU64 | BPF_MOV | BPF_K`
    const MOVE: u8 = 0xb7;
    /// `BPF_JMP | BPF_EXIT`
    const EXIT: u8 = 0x95;
    let instruction =
        |code, imm| bpf_insn { code, _bitfield_align_1: [], _bitfield_1: Default::default(), off: 0, imm };
    let program = [instruction(MOVE, answer), instruction(EXIT, 0)];
    let licence = c"GPL";
    // SAFETY: all zeros is an empty attribute.
    let mut attribute: bpf_attr = unsafe { mem::zeroed() };
    attribute.__bindgen_anon_3.prog_type = kind as u32;
    attribute.__bindgen_anon_3.insn_cnt = program.len() as u32;
    attribute.__bindgen_anon_3.insns = program.as_ptr() as u64;
    attribute.__bindgen_anon_3.license = licence.as_ptr() as u64;
    bpf(bpf_cmd::BPF_PROG_LOAD, &attribute)
}

fn bpf(command: bpf_cmd, attribute: &bpf_attr) -> io::Result<i32> {
    // SAFETY: what the attribute points to outlives the call.
    let done = unsafe {
        libc::syscall(libc::SYS_bpf, command as u32, std::ptr::from_ref(attribute), size_of::<bpf_attr>())
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done as i32) }
}
