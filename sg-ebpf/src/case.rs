//! One packet on its way through the stages.
//!
//! Each stage is a global function: the verifier follows it once, knowing nothing of its argument, instead of once for
//! each way through the stages before ("BPF program is too large. Processed 1000001 insn"). What the stages tell each
//! other is in the [`Case`]; it lives in a per-CPU map, because with it the stack of a stage and its callers exceeds 512
//! bytes ("combined stack size of 2 calls is 560. Too large"). A CPU runs one of these programs at a time: all hooks
//! run with softirqs disabled.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use sg_common::{
    conntrack::{self as ct, Life},
    control::table,
    heap::Decision,
    stats::NO_COUNTER,
    verdict::{Reason, Stage},
};

use crate::{
    classify::Heap,
    conntrack::{Found, Table, V4 as TableV4, V6 as TableV6, sg_reclaim},
    events,
    frame::Frame,
    guard,
    packet::{Arp, Packet, Part, V4},
    parse::{self, discovery::is_discovery, quote::ICMP_HEADER},
    scene::{Place, Scene},
    track::{self, flow::FlowKey, fragments, related},
};

#[btf_map]
static CASES: PerCpuArray<Case, 1> = PerCpuArray::new();

/// What happens to a packet, and who decided.
#[derive(Clone, Copy)]
pub struct Verdict {
    /// The stage that lets it pass, or the reason why it is dropped.
    pub outcome: Result<Stage, Reason>,
    /// The decision taken by the policies now; [`Decision::NONE`] if they were not asked.
    pub decision: Decision,
    /// Rule counter of the rule that decided or that admitted the connection.
    pub counter: u32,
}

impl Verdict {
    /// A verdict that no rule had a part in.
    #[inline(always)]
    pub const fn without_rule(outcome: Result<Stage, Reason>) -> Self {
        Self { outcome, decision: Decision::NONE, counter: NO_COUNTER }
    }
}

/// A packet, its scene, what the stages have found, and the verdict.
#[repr(C, align(8))]
pub struct Case {
    /// The packet.
    pub packet: Packet,
    /// For an ICMP error, the packet that it quotes; for neighbour discovery, `src` is the target, and options are where
    /// a transport header would be.
    pub inner: Packet,
    /// Or the ARP packet.
    pub arp: Arp,
    /// The scene, once the stages are asked.
    pub place: Place,
    /// Life word of the entry that the packet has met; 0 = none.
    life: u64,
    /// Its slot.
    slot: u32,
    /// 1 = an ICMP error that quotes a packet of a live connection.
    related: u32,
    /// 1 = a neighbour discovery message that a receiver would accept.
    sound: u32,
    /// [`Stage`], or [`DROPPED`] and [`Reason`].
    outcome: u32,
    decision: u32,
    /// Rule counter of the rule that decided.
    pub counter: u32,
    /// Where the packet's flow belongs in its table.
    bucket: [u32; 2],
    tag: u32,
    /// 1 = a change of policy has cut the connection of the entry, on which a SYN came.
    pub cut: u32,
}

const DROPPED: u32 = 0x100;

/// A stage's answer: the verdict is in the case, or the next stage is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The next stage is asked.
    GoOn,
    /// The verdict is in the case.
    Done,
    /// The stage before is asked again.
    Again,
    /// A connection was opened.
    Opened,
}

impl Case {
    /// This CPU's case, cleared.
    #[inline(always)]
    pub fn open() -> Option<&'static mut Self> {
        let case = CASES.get_ptr_mut(0)?;
        // SAFETY: the element is this CPU's own and this program's alone while it runs.
        let case = unsafe { &mut *case };
        case.packet = Packet::default();
        case.related = 0;
        case.sound = 0;
        case.life = 0;
        case.cut = 0;
        Some(case)
    }

    /// This CPU's case as it is.
    #[inline(always)]
    pub fn this() -> Option<&'static Self> {
        // SAFETY: as above.
        Some(unsafe { &*CASES.get_ptr_mut(0)? })
    }

    /// The entry that the packet has met.
    #[inline(always)]
    pub fn found<T: Table>(&self) -> Option<Found<T::Key>> {
        if self.life == 0 {
            return None;
        }
        let entry = T::slot(self.slot)?;
        Some(Found { entry, slot: self.slot, life: Life(self.life) })
    }

    /// Notes the entry that the packet has met.
    #[inline(always)]
    pub fn meet<K>(&mut self, found: &Found<K>) {
        self.life = found.life.0;
        self.slot = found.slot;
    }

    /// The packet has met no entry after all.
    #[inline(always)]
    pub fn part(&mut self) {
        self.life = 0;
    }

    /// Where the packet's flow belongs.
    #[inline(always)]
    pub fn place(&self) -> ct::Place {
        ct::Place { first: self.bucket[0], second: self.bucket[1], tag: self.tag as u16 }
    }

    /// Notes where the packet's flow belongs.
    #[inline(always)]
    pub fn set_place(&mut self, place: &ct::Place) {
        self.bucket = [place.first, place.second];
        self.tag = u32::from(place.tag);
    }

    /// Gives the verdict.
    #[inline(always)]
    pub fn close(&mut self, verdict: Verdict) -> Answer {
        self.outcome = match verdict.outcome {
            Ok(stage) => stage as u32,
            Err(reason) => DROPPED | reason as u32,
        };
        self.decision = verdict.decision.0;
        self.counter = verdict.counter;
        Answer::Done
    }

    /// After a packet was refused because a table is full: searches it for expired entries. If there were any, the
    /// packet is no longer refused and may be asked for again.
    #[inline(always)]
    fn finds_room(&mut self, table: usize, passes: u32) -> bool {
        let full = [Reason::ConntrackFull, Reason::InterfaceFull, Reason::FragmentsFull];
        let is_full = full.iter().any(|reason| self.outcome == DROPPED | *reason as u32);
        if !is_full || sg_reclaim(table as u32, self.place.slot, self.place.now) == 0 {
            return false;
        }
        self.outcome = passes;
        true
    }

    /// Drops the packet after all.
    #[inline(always)]
    pub fn drop_for(&mut self, reason: Reason) -> Answer {
        self.outcome = DROPPED | reason as u32;
        Answer::Done
    }

    #[inline(always)]
    fn verdict(&self) -> Verdict {
        let number = self.outcome as u8;
        let outcome = if self.outcome & DROPPED == 0 {
            Ok(Stage::from_number(number).unwrap_or(Stage::Default))
        } else {
            Err(Reason::from_number(number).unwrap_or(Reason::Internal))
        };
        Verdict { outcome, decision: Decision(self.decision), counter: self.counter }
    }
}

/// Judges the IP packet in `case`: guards, connection, rules.
#[inline(always)]
pub fn judge<F: Frame + ?Sized>(frame: &F, scene: &Scene, case: &mut Case) -> Verdict {
    case.place = scene.place();
    look_inside(frame, case);
    let case_ptr = &raw mut *case;
    let plain = guard::is_plain(scene.iface, scene.direction, &case.packet);
    let guarded = !plain && sg_guard(case_ptr) != GO_ON;
    let judged = guarded || case.packet.part != Part::Whole && is_judged_fragment(case_ptr, case.packet.part);
    if !judged {
        connection_or_rules(case, scene.manner.probe);
    }
    case.verdict()
}

/// Whether a fragment's verdict is in the case: a later one's always is.
#[inline(always)]
fn is_judged_fragment(case: *mut Case, part: Part) -> bool {
    sg_fragment(case) != GO_ON || part == Part::Later && sg_stray(case) != GO_ON
}

/// A packet with a transport header that the guards have let through.
#[inline(always)]
fn connection_or_rules(case: &mut Case, probe: bool) {
    let v4 = case.packet.family == V4;
    let case_ptr = &raw mut *case;
    let mut answer = established(case_ptr, v4);
    if answer == GO_ON && case.life != 0 {
        answer = if v4 { sg_reconsider_v4(case_ptr) } else { sg_reconsider_v6(case_ptr) };
    }
    let opens = answer == GO_ON && sg_rules(case_ptr) == GO_ON;
    if probe || case.outcome & DROPPED != 0 {
        return;
    }
    let first = case.packet.part == Part::First;
    let passes = case.outcome;
    let mut remembered = !first || sg_remember(case_ptr) == GO_ON;
    if !remembered && case.finds_room(table::FRAGMENTS, passes) {
        remembered = sg_remember(case_ptr) == GO_ON;
    }
    if !remembered {
        return;
    }
    if !opens {
        return;
    }
    answer = open(case, v4, passes);
    if answer == DONE && first {
        sg_forget(case_ptr);
    }
    if answer == OPENED {
        events::opened();
    }
}

/// Opens the packet's connection, on an entry that it has met or on one of its own; `DONE`: there is no room. `passes`
/// is the outcome if there is.
#[inline(always)]
fn open(case: &mut Case, v4: bool, passes: u32) -> u32 {
    let case_ptr = &raw mut *case;
    if case.life != 0 {
        return if v4 { sg_reopen_v4(case_ptr) } else { sg_reopen_v6(case_ptr) };
    }
    let open = || if v4 { sg_open_v4(case_ptr) } else { sg_open_v6(case_ptr) };
    let opened = open();
    if opened == DONE && case.finds_room(table::V4, passes) { open() } else { opened }
}

/// Looks the packet's connection up, again if other CPUs move it on at the same moment. A packet that loses three times
/// passes all the same.
#[inline(always)]
fn established(case: *mut Case, v4: bool) -> u32 {
    let look_up = || if v4 { sg_established_v4(case) } else { sg_established_v6(case) };
    let mut answer = look_up();
    if answer == AGAIN {
        answer = look_up();
    }
    if answer == AGAIN {
        answer = look_up();
    }
    answer
}

/// Reads what lies behind the headers, where that matters: the quote of an ICMP error, the target of neighbour
/// discovery.
#[inline(always)]
fn look_inside<F: Frame + ?Sized>(frame: &F, case: &mut Case) {
    if case.packet.is_icmp_error() {
        case.inner = Packet::default();
        let quote = case.packet.transport + ICMP_HEADER;
        if parse::result(frame.quote(quote, &case.packet, &mut case.inner)).is_ok() {
            let v4 = case.packet.family == V4;
            case.related = if v4 { sg_related_v4(&raw mut *case) } else { sg_related_v6(&raw mut *case) };
        }
    } else if is_discovery(&case.packet) {
        let answer = frame.discovery(case.packet.transport, &case.packet, &mut case.inner);
        case.sound = u32::from(parse::result(answer).is_ok());
    }
}

const GO_ON: u32 = Answer::GoOn as u32;
const AGAIN: u32 = Answer::Again as u32;
const DONE: u32 = Answer::Done as u32;
const OPENED: u32 = Answer::Opened as u32;

/// A stage as a global function.
macro_rules! stage {
    ($(#[$doc:meta])* $name:ident, $run:expr) => {
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(case: *mut Case) -> u32 {
            // SAFETY: called with a reference by `judge` only. The verifier takes a pointer argument of a global
            // function for one that may be null.
            let Some(case) = (unsafe { case.as_mut() }) else { return GO_ON };
            let Some(scene) = Scene::at(&case.place) else {
                return case.close(Verdict::without_rule(Err(Reason::Internal))) as u32;
            };
            $run(&scene, case) as u32
        }
    };
}

stage!(
    /// Who the sender claims to be, what a guest may not send, what always passes.
    sg_guard,
    guarded
);
stage!(
    /// Whether the quoted IPv4 packet belongs to a connection: 1 if so.
    sg_related_v4,
    |scene: &Scene, case: &mut Case| related::is_related::<TableV4>(scene, &case.packet, &case.inner)
);
stage!(
    /// Whether the quoted IPv6 packet belongs to a connection: 1 if so.
    sg_related_v6,
    |scene: &Scene, case: &mut Case| related::is_related::<TableV6>(scene, &case.packet, &case.inner)
);
stage!(
    /// A fragment of a datagram that is remembered; others go on.
    sg_fragment,
    fragments::judge
);
stage!(
    /// A later fragment of a datagram that is not remembered.
    sg_stray,
    fragments::judge_stray
);
stage!(
    /// An IPv4 packet of a tracked connection that needs no thought.
    sg_established_v4,
    track::established::<TableV4>
);
stage!(
    /// An IPv6 packet of a tracked connection that needs no thought.
    sg_established_v6,
    track::established::<TableV6>
);
stage!(
    /// An IPv4 packet of a tracked connection after a change of policy.
    sg_reconsider_v4,
    track::reconsider::<TableV4>
);
stage!(
    /// An IPv6 packet of a tracked connection after a change of policy.
    sg_reconsider_v6,
    track::reconsider::<TableV6>
);
stage!(
    /// What the rules decide. `GoOn`: the packet passes and is to open a connection.
    sg_rules,
    track::by_rules
);
stage!(
    /// Opens an IPv4 connection on the entry of another. `Opened`: there was another.
    sg_reopen_v4,
    track::reopen::<TableV4>
);
stage!(
    /// Opens an IPv6 connection on the entry of another. `Opened`: likewise.
    sg_reopen_v6,
    track::reopen::<TableV6>
);
stage!(
    /// Opens an IPv4 connection. `Opened`: it is new; `Done`: there is no room, the packet is dropped.
    sg_open_v4,
    track::open::<TableV4>
);
stage!(
    /// Opens an IPv6 connection. `Opened`, `Done`: likewise.
    sg_open_v6,
    track::open::<TableV6>
);
stage!(
    /// Remembers the datagram of a first fragment. `Done`: it must not be, the packet is dropped.
    sg_remember,
    fragments::remember
);
stage!(
    /// Takes back what `sg_remember` did, for a packet that is dropped after all.
    sg_forget,
    fragments::forget
);

#[inline(always)]
fn guarded(scene: &Scene, case: &mut Case) -> Answer {
    let options = case.inner.end.wrapping_sub(case.inner.transport);
    let message = guard::Message { sound: case.sound != 0, target: &case.inner.src, options };
    let verdict = match guard::check(&Heap, scene.iface, scene.direction, &case.packet, &message) {
        Err(reason) => Verdict::without_rule(Err(reason)),
        Ok(Some(stage)) => Verdict::without_rule(Ok(stage)),
        Ok(None) if case.related != 0 => Verdict::without_rule(Ok(Stage::Established)),
        Ok(None) => return Answer::GoOn,
    };
    case.close(verdict)
}

/// The key of the packet's flow in table `T`.
#[inline(always)]
pub fn key_of<T: Table<Key: FlowKey>>(scene: &Scene, case: &Case) -> T::Key {
    T::Key::of(scene.slot, scene.outward(), &case.packet)
}
