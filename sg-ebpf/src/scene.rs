//! What is known before the first byte is read: interface, direction, settings, clock.

use core::hint::assert_unchecked;

use aya_ebpf::{
    btf_maps::{Array, HashMap},
    helpers::generated::bpf_jiffies64,
    macros::btf_map,
};
use sg_common::{
    addr::{EGRESS, INGRESS},
    control::{Control, Settings},
    interface::{Interface, flag},
    limits::DIRECT_IFINDEX,
    verdict::Reason,
};

use crate::MMAPABLE;

const NO_PREALLOC: usize = 1;

// Mapped by the agent, so that it stores the control word at once, and the rest without a system call for each element.
#[btf_map]
static CONTROL: Array<Control, 1, MMAPABLE> = Array::new();
#[btf_map]
static SETTINGS: Array<Settings, 2, MMAPABLE> = Array::new();
#[btf_map]
static DIRECTORY: Array<Interface, 8192, MMAPABLE> = Array::new();
#[btf_map]
static IFINDEX: Array<u32, { DIRECT_IFINDEX as usize }, MMAPABLE> = Array::new();
#[btf_map]
static IFINDEX_HIGH: HashMap<u32, u32, 4096, NO_PREALLOC> = HashMap::new();

/// Which side of the device the packet is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The device has received it.
    Receive,
    /// The device is to transmit it.
    Transmit,
}

/// The scene by value, as it travels to global functions: the verifier follows those without knowing what their
/// arguments point to, so pointers into maps do not survive the way.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default)]
pub struct Place {
    /// The clock, in ticks.
    pub now: u64,
    half: u32,
    /// Directory slot.
    pub slot: u32,
    /// [`INGRESS`] or [`EGRESS`].
    pub direction: u32,
    generation: u32,
    judged: u32,
    probe: u32,
    flags: u32,
}

/// The stage on which one packet is judged. Everything in it is of one generation.
#[derive(Clone, Copy)]
pub struct Scene {
    /// The control line.
    pub control: &'static Control,
    /// Settings in force.
    pub settings: &'static Settings,
    /// The interface.
    pub iface: &'static Interface,
    /// Half of directory and settings in force.
    pub half: u32,
    /// Its slot in the directory.
    pub slot: u32,
    /// [`INGRESS`] or [`EGRESS`].
    pub direction: usize,
    /// The clock, in ticks.
    pub now: u64,
    /// The generation word's generation, which membership is read by.
    pub generation: u32,
    /// What a connection admitted now is marked with.
    pub judged: u32,
    /// For good, or only to see what would happen.
    pub manner: Manner,
}

/// How a packet is judged: for good, or only to see what would happen.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    /// Leave no trace: no entry made, moved on or evicted, nothing counted.
    pub probe: bool,
    /// [`probe_flag`](sg_common::probe::probe_flag) bits.
    pub flags: u32,
}

/// The clock, in ticks.
#[inline(always)]
pub fn now(control: &Control) -> u64 {
    // SAFETY: the helper takes no argument and cannot fail.
    unsafe { bpf_jiffies64() }.wrapping_add(control.clock_offset)
}

/// The control line; without it nothing works.
#[inline(always)]
pub fn control() -> Option<&'static Control> {
    CONTROL.get(0)
}

/// Directory slot of an interface; 0 = unknown.
#[inline(always)]
fn slot(ifindex: u32) -> u32 {
    if ifindex < DIRECT_IFINDEX {
        return IFINDEX.get(ifindex).copied().unwrap_or(0);
    }
    // SAFETY: the value is one aligned word, replaced as a whole.
    unsafe { IFINDEX_HIGH.get(ifindex) }.copied().unwrap_or(0)
}

/// The control word that packets are judged by now, read once and whole.
#[inline(always)]
pub fn word(control: &Control) -> u64 {
    // SAFETY: a reference is valid for reads; volatile so that each is one load, at this moment.
    let load = |word: &u64| unsafe { (&raw const *word).read_volatile() };
    let word = load(&control.word);
    let deadline = load(&control.deadline);
    // The clock is read here and again for the packet: kept, it takes a place on the stack ("combined stack size of 4
    // calls is 528. Too large").
    if deadline != 0 && now(control) >= deadline { load(&control.fallback) } else { word }
}

/// Whether packets on an interface that is not bound pass, because a policy that may come into force by itself binds it.
// Not part of `Scene::set`, where it takes a place on the stack of every packet ("combined stack size of 4 calls is 528.
// Too large").
#[inline(never)]
pub fn is_unfiltered(ifindex: u32) -> bool {
    let Some(control) = control() else { return false };
    let slot = slot(ifindex);
    if slot == 0 || slot >= control.interfaces {
        return false;
    }
    let half = Control::half(word(control));
    let Some(iface) = directory(half * control.interfaces + slot) else { return false };
    iface.flags & flag::UNFILTERED != 0 && iface.ifindex == ifindex
}

/// The directory entry at `index`.
#[inline(always)]
fn directory(index: u32) -> Option<&'static Interface> {
    let iface = DIRECTORY.get(index)?;
    // SAFETY: elements of arrays are aligned to 8. LLVM does not know, and reads addresses byte by byte.
    unsafe { assert_unchecked(core::ptr::from_ref(iface).is_aligned()) };
    Some(iface)
}

impl Scene {
    /// Sets the scene for a packet on `ifindex`.
    #[inline(always)]
    pub fn set(ifindex: u32, hook: Hook, manner: Manner) -> Result<Self, (u32, Reason)> {
        let control = control().ok_or((0, Reason::Internal))?;
        let word = word(control);
        let half = Control::half(word);
        let slot = slot(ifindex);
        if slot == 0 || slot >= control.interfaces {
            return Err((0, Reason::NoPolicy));
        }
        let iface = directory(half * control.interfaces + slot).ok_or((0, Reason::Internal))?;
        if iface.flags & flag::BOUND == 0 || iface.ifindex != ifindex {
            return Err((slot, Reason::NoPolicy));
        }
        let settings = SETTINGS.get(half).ok_or((slot, Reason::Internal))?;
        let guest = iface.flags & flag::GUEST != 0;
        let direction = if guest == (hook == Hook::Receive) { EGRESS } else { INGRESS };
        let now = now(control);
        let generation = Control::generation(word);
        Ok(Self {
            control,
            settings,
            iface,
            half,
            slot,
            direction,
            now,
            generation,
            judged: iface.generation,
            manner,
        })
    }

    /// The scene by value.
    #[inline(always)]
    pub fn place(&self) -> Place {
        Place {
            now: self.now,
            half: self.half,
            slot: self.slot,
            direction: self.direction as u32,
            generation: self.generation,
            judged: self.judged,
            probe: u32::from(self.manner.probe),
            flags: self.manner.flags,
        }
    }

    /// The scene again.
    #[inline(always)]
    pub fn at(place: &Place) -> Option<Self> {
        let control = control()?;
        Some(Self {
            control,
            settings: SETTINGS.get(place.half)?,
            iface: directory(place.half * control.interfaces + place.slot)?,
            half: place.half,
            slot: place.slot,
            direction: place.direction as usize & 1,
            now: place.now,
            generation: place.generation,
            judged: place.judged,
            manner: Manner { probe: place.probe != 0, flags: place.flags },
        })
    }

    /// Line of the interface's enforced policy root for `direction`; 0 = none.
    #[inline(always)]
    pub fn policy(&self, direction: usize) -> u32 {
        if direction == EGRESS { self.iface.policy[EGRESS] } else { self.iface.policy[INGRESS] }
    }

    /// Whether somebody listens to [`events`](crate::events).
    #[inline(always)]
    pub fn is_heard(&self) -> bool {
        self.control.is_heard(self.now)
    }

    /// Whether the interface is a guest's.
    #[inline(always)]
    pub fn is_guest(&self) -> bool {
        self.iface.flags & flag::GUEST != 0
    }

    /// Whether the packet comes from the protected side.
    #[inline(always)]
    pub fn outward(&self) -> bool {
        self.direction == EGRESS
    }
}
