//! The policy maps: which rule decides.

use aya_ebpf::{
    btf_maps::{Array, HashMap, PerCpuArray},
    macros::btf_map,
};
use sg_common::{
    addr::{Addr, INGRESS, V4},
    classify::classify,
    heap::{Decision, Line, LineIndex, Lines, PolicyRoot, TreeRef, walk},
    interface::flag,
    limits::MAX_ROOT_CHAIN,
    members::{Member, MemberKey, Membership},
    stats::NO_COUNTER,
};

use crate::{MMAPABLE, scene::Scene};

const NO_PREALLOC: usize = 1;

#[btf_map]
static HEAP: Array<Line, 65536, MMAPABLE> = Array::new();
#[btf_map]
static MEMBERS: HashMap<MemberKey, Member, 1048576, NO_PREALLOC> = HashMap::new();

// Not on the stack of the stages that ask: "combined stack size of 4 calls is 528. Too large".
#[btf_map]
static LOOKUPS: PerCpuArray<Lookup, 1> = PerCpuArray::new();

/// The heap map.
#[derive(Clone, Copy)]
pub struct Heap;

impl Lines for Heap {
    #[inline(always)]
    fn line(&self, index: LineIndex) -> Option<&[u32; 16]> {
        HEAP.get(index).map(|line| &line.0)
    }

    #[inline(always)]
    fn search(&self, tree: TreeRef, key: u32) -> u32 {
        if tree.is_empty() { 0 } else { sg_search(tree.0, key) }
    }
}

/// A search as a global function: the verifier follows it once, not once for each way that leads to each call
/// ("BPF program is too large. Processed 1000001 insn").
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sg_search(tree: u32, key: u32) -> u32 {
    walk(&Heap, TreeRef(tree), key)
}

/// Whose policies of an interface are asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Those in force.
    Enforced,
    /// Those that are only counted.
    Audited,
}

/// What the policies are asked.
pub struct Question<'a> {
    /// Whose policies.
    pub asked: Asked,
    /// [`INGRESS`] or [`EGRESS`](sg_common::addr::EGRESS).
    pub direction: usize,
    /// [`V4`](sg_common::addr::V4) or [`V6`](sg_common::addr::V6).
    pub family: usize,
    /// The other end.
    pub remote: &'a Addr,
    /// The row key.
    pub service: u32,
}

/// The interface's policies' answer. An interface without a policy denies by default.
#[inline(always)]
pub fn decide(scene: &Scene, question: &Question) -> Decision {
    let ingress = question.direction == INGRESS;
    let root = match (question.asked, ingress) {
        (Asked::Enforced, true) => scene.iface.policy[0],
        (Asked::Enforced, false) => scene.iface.policy[1],
        (Asked::Audited, true) => scene.iface.audit[0],
        (Asked::Audited, false) => scene.iface.audit[1],
    };
    let names_members = if ingress { flag::MEMBERS_INGRESS } else { flag::MEMBERS_EGRESS };
    let Some(lookup) = LOOKUPS.get_ptr_mut(0) else { return Decision(Decision::DEFAULT) };
    let asked = Lookup {
        now: scene.now,
        remote: *question.remote,
        zone: scene.iface.zone,
        root,
        generation: scene.generation,
        names_members: scene.iface.flags & names_members,
        family: question.family as u32,
        service: question.service,
    };
    // SAFETY: the element is this CPU's own and this program's alone while it runs.
    unsafe { *lookup = asked };
    Decision(sg_classify(lookup))
}

/// What [`sg_classify`] is asked, by value.
#[repr(C, align(8))]
struct Lookup {
    now: u64,
    remote: Addr,
    zone: u32,
    root: LineIndex,
    generation: u32,
    names_members: u32,
    family: u32,
    service: u32,
}

impl Lookup {
    /// An IPv6 packet from or to `::ffff:a.b.c.d` is not from or to the IPv4 member of that address, which has the same
    /// key.
    #[inline(always)]
    fn may_be_member(&self) -> bool {
        self.family as usize == V4 || !self.remote.is_mapped()
    }
}

/// The classification as a global function; see [`sg_search`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sg_classify(lookup: *const Lookup) -> u32 {
    // The verifier takes a pointer argument of a global function for one that may be null.
    if lookup.is_null() {
        return Decision::DEFAULT;
    }
    // SAFETY: not null, and only `decide` calls.
    let lookup = unsafe { &*lookup };
    let Some(root) = root_at(lookup.root, lookup.now) else { return Decision::DEFAULT };
    let set = if lookup.names_members != 0 && lookup.may_be_member() { membership(lookup) } else { 0 };
    classify(&Heap, root, lookup.family as usize, &lookup.remote, set, lookup.service).0
}

/// Rule counter of a decision; [`NO_COUNTER`] where there is no policy.
#[inline(always)]
pub fn counter(scene: &Scene, question: &Question, decision: Decision) -> u32 {
    let (policy, counters) = match question.asked {
        Asked::Enforced => (&scene.iface.policy, &scene.iface.counters),
        Asked::Audited => (&scene.iface.audit, &scene.iface.audit_counters),
    };
    let direction = question.direction & 1;
    if policy[direction] == 0 { NO_COUNTER } else { counters[direction].wrapping_add(decision.rank()) }
}

/// The policy root at `line`, or the one that has taken over from it by `now`.
#[inline(always)]
fn root_at(mut line: LineIndex, now: u64) -> Option<&'static PolicyRoot> {
    for _ in 0..MAX_ROOT_CHAIN {
        if line == 0 {
            return None;
        }
        let root = root(line)?;
        if now < root.until || root.next == 0 {
            return Some(root);
        }
        line = root.next;
    }
    None
}

#[inline(always)]
fn root(line: LineIndex) -> Option<&'static PolicyRoot> {
    let line: &'static Line = HEAP.get(line)?;
    // SAFETY: both are 64 bytes of integers without padding; a line is aligned to 64.
    Some(unsafe { &*core::ptr::from_ref(line).cast::<PolicyRoot>() })
}

/// How many expiries of rules lie behind the interface's policies at `now`.
#[inline(never)]
pub fn version(scene: &Scene) -> u32 {
    root_at(scene.iface.policy[INGRESS], scene.now).map_or(0, |root| root.version)
}

/// Number of the set of groups that the remote belongs to, as the packet's generation sees it.
#[inline(always)]
fn membership(lookup: &Lookup) -> u32 {
    let key = MemberKey { addr: lookup.remote, zone: lookup.zone };
    let mut set = ANOTHERS;
    let mut tries = 0;
    // An element that became another's while it was read is looked for again.
    while set == ANOTHERS && tries < 2 {
        set = read_membership(&key, lookup.generation);
        tries += 1;
    }
    if set == ANOTHERS { 0 } else { set }
}

/// No set has this number.
const ANOTHERS: u32 = u32::MAX;

/// The set of `key`, 0 if it has none, or [`ANOTHERS`].
#[inline(always)]
fn read_membership(key: &MemberKey, generation: u32) -> u32 {
    let Some(member) = MEMBERS.get_ptr(key) else { return 0 };
    // SAFETY: the element stays readable until the program ends (RCU), but may become another's. Volatile, so that the
    // membership is read before the key.
    unsafe {
        let membership = &raw const (*member).membership;
        let read = Membership {
            since: (&raw const (*membership).since).read_volatile(),
            now: (&raw const (*membership).now).read_volatile(),
            before: (&raw const (*membership).before).read_volatile(),
        };
        if is_key(&raw const (*member).key, key) { read.at(generation) } else { ANOTHERS }
    }
}

/// Whether `stored` is `key`, as memory has it now.
///
/// # Safety
///
/// `stored` is readable.
#[inline(always)]
unsafe fn is_key(stored: *const MemberKey, key: &MemberKey) -> bool {
    const WORDS: usize = size_of::<MemberKey>() / size_of::<u32>();
    let (stored, key) = (stored.cast::<u32>(), core::ptr::from_ref(key).cast::<u32>());
    let mut differing = 0;
    for at in 0..WORDS {
        // SAFETY: both are `WORDS` words long and aligned to 4.
        differing |= unsafe { stored.add(at).read_volatile() ^ key.add(at).read() };
    }
    differing == 0
}
