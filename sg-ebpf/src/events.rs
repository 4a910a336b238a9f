//! Tells whoever listens what became of packets and connections.
//!
//! Nobody listens most of the time: callers on a packet's way ask [`Control::is_heard`] first, of a line that the packet
//! has read anyway. Records are written straight into the ring buffer, in functions of their own: on the stack there is no
//! room for them ("combined stack size of 4 calls is 528. Too large").

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray, RingBuf},
    macros::btf_map,
    maps::ring_buf::RingBufEntry,
};
use sg_common::{
    addr::{Addr, EGRESS},
    conntrack::{Entry, Key4, Key6, query},
    control::Control,
    events::{Audience, Event, Kind, RING_BYTES, Told, ToldKind, WINDOW_SHIFT},
    opaque::opaque,
    stats::NO_COUNTER,
    verdict::Reason,
};

use crate::{
    MMAPABLE,
    case::Case,
    packet::Packet,
    scene::{self, Scene},
};

#[btf_map]
static EVENTS: RingBuf<Event, RING_BYTES> = RingBuf::new();
// Mapped by the agent, like the control line.
#[btf_map]
static AUDIENCE: Array<Audience, 1, MMAPABLE> = Array::new();
#[btf_map]
static TOLD: PerCpuArray<Told, 1> = PerCpuArray::new();

/// Tells that a packet on interface `ifindex` in directory slot `slot` was dropped. `counter` is that of the rule that
/// decided, `length` the packet's as it is counted. To be called when the control line [is heard](Control::is_heard).
#[inline(always)]
pub fn dropped(slot: u32, direction: usize, ifindex: u32, reason: Reason, counter: u32, length: u32) {
    sg_tell(who(slot, direction, ifindex), Kind::Dropped as u32, reason as u32, counter, length);
}

/// Tells that an audit group would have dropped the packet in this CPU's case. `counter` is that of its policies' answer,
/// `length` the packet's as it is counted. To be called when [somebody listens](Scene::is_heard).
#[inline(always)]
pub fn audited(scene: &Scene, reason: Reason, counter: u32, length: u32) {
    let who = who(scene.slot, scene.direction, scene.iface.ifindex);
    sg_tell(who, Kind::Audited as u32, reason as u32, counter, length);
}

/// Which device, interface and direction [`sg_tell`] tells of.
#[inline(always)]
fn who(slot: u32, direction: usize, ifindex: u32) -> u64 {
    u64::from(ifindex) << 32 | u64::from(slot) << 1 | direction as u64 & 1
}

/// Tells that a packet was dropped on an interface that nothing is known of, if somebody listens.
#[inline(always)]
pub fn dropped_unseen(slot: u32, ifindex: u32, reason: Reason) {
    let is_heard = scene::control().is_some_and(|control| control.is_heard(scene::now(control)));
    if is_heard && Case::open().is_some() {
        dropped(slot, EGRESS, ifindex, reason, NO_COUNTER, 0);
    }
}

/// Tells, if somebody listens, that the packet in this CPU's case has opened a connection.
// It asks for everything by itself: what the caller hands over it must have kept, on the stack of every packet
// ("combined stack size of 4 calls is 528. Too large").
#[inline(never)]
pub fn opened() {
    let is_heard = scene::control().is_some_and(|control| control.is_heard(scene::now(control)));
    let Some(case) = Case::this() else { return };
    if is_heard {
        let who = who(case.place.slot, case.place.direction as usize, 0);
        sg_tell(who, Kind::Opened as u32, 0, case.counter, case.packet.end);
    }
}

/// Tells something of the packet in this CPU's case, `who` as in [`who`]. A global function: see [`sg_search`](crate::classify::sg_search).
// Five arguments are all that a function takes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sg_tell(who: u64, kind: u32, why: u32, counter: u32, length: u32) -> u32 {
    let (Some(case), Some(control)) = (Case::this(), scene::control()) else { return 0 };
    let now = scene::now(control);
    let Some(mut record) = record(kind, who as u32 >> 1, now) else { return 0 };
    // SAFETY: `record` has made it an event.
    let event = unsafe { record.assume_init_mut() };
    event.ifindex = (who >> 32) as u32;
    event.length = length;
    event.counter = counter;
    event.generation = Control::generation(scene::word(control));
    event.direction = (who & 1) as u8;
    event.why = why as u8;
    let is_arp =
        case.packet.end == 0 && (why == Reason::SpoofedArp as u32 || why == Reason::SpoofedMac as u32);
    if is_arp {
        event.local = Addr::v4(case.arp.sender);
        event.mac = case.arp.src_mac;
    } else {
        describe(event, &case.packet);
    }
    record.submit(0);
    1
}

/// Protocol, addresses and ports of a packet.
#[inline(always)]
fn describe(event: &mut Event, packet: &Packet) {
    event.protocol = packet.protocol;
    event.mac = packet.src_mac;
    if usize::from(event.direction) == EGRESS {
        (event.local, event.remote) = (packet.src, packet.dst);
    } else {
        (event.local, event.remote) = (packet.dst, packet.src);
    }
    if packet.is_icmp() {
        event.local_port = packet.src_port;
        event.icmp = packet.dst_port;
    } else if usize::from(event.direction) == EGRESS {
        (event.local_port, event.remote_port) = (packet.src_port, packet.dst_port);
    } else {
        (event.local_port, event.remote_port) = (packet.dst_port, packet.src_port);
    }
}

/// A flow key that can be told of.
pub trait Describe {
    /// Directory slot of the interface.
    fn interface(&self) -> u32;
    /// Writes protocol, addresses and ports.
    fn describe(&self, event: &mut Event);
}

macro_rules! describe {
    ($key:ident, $address:path) => {
        impl Describe for $key {
            #[inline(always)]
            fn interface(&self) -> u32 {
                u32::from(self.slot)
            }

            #[inline(always)]
            fn describe(&self, event: &mut Event) {
                event.local = $address(self.local);
                event.remote = $address(self.remote);
                event.local_port = self.local_port;
                event.remote_port = self.remote_port;
                event.protocol = self.protocol;
                if self.query != 0 {
                    event.icmp[0] = query::request_kind(self.protocol, self.query & !query::LOCAL_ASKED);
                }
            }
        }
    };
}

describe!(Key4, Addr::v4);
describe!(Key6, Addr);

/// Tells, if somebody listens, that the connection in `entry` is not tracked any more; `life` was its life word, `end` says
/// why as [`End`](sg_common::events::End) does. Nobody else may write the entry's key meanwhile.
#[inline(always)]
pub fn closed<K: Describe>(entry: *mut Entry<K>, life: u64, end: u32) {
    let Some(control) = scene::control() else { return };
    let now = scene::now(control);
    if !control.is_heard(now) {
        return;
    }
    // SAFETY: `entry` points into an array map, and the caller keeps its key as it is.
    let entry = unsafe { &*entry };
    let Some(mut record) = record(Kind::Closed as u32, entry.key.interface(), now) else { return };
    // SAFETY: `record` has made it an event.
    let event = unsafe { record.assume_init_mut() };
    entry.key.describe(event);
    event.why = end as u8;
    event.generation = entry.generation;
    event.counter = entry.counter;
    event.life = life;
    event.created = entry.created;
    event.bytes = entry.bytes;
    event.packets = entry.packets;
    record.submit(0);
}

/// Room for a record of `kind` on the interface in directory slot `slot`; the rest of it is zero. `None` if the listener
/// does not want it, or has had enough.
#[inline(always)]
fn record(kind: u32, slot: u32, now: u64) -> Option<RingBufEntry<Event>> {
    let audience = AUDIENCE.get(0)?;
    let is_wanted = audience.kinds >> (kind & 31) & 1 != 0 && (audience.slot == 0 || audience.slot == slot);
    if !is_wanted {
        return None;
    }
    // SAFETY: the element is this CPU's own; a program that interrupts may lose an increment, not more. (The compiler
    // knows which numbers kinds have, the verifier does not.)
    let told = unsafe { &mut (*TOLD.get_ptr_mut(0)?).0[opaque(u64::from(kind)) as usize & 3] };
    if !is_its_turn(told, audience, now) {
        return None;
    }
    let mut record = EVENTS.reserve(0)?;
    told.told += 1;
    record.write(Event { tick: now, slot, kind: kind as u8, ..Event::default() });
    Some(record)
}

/// Whether the next record of a kind is in the sample and in the budget.
#[inline(always)]
fn is_its_turn(told: &mut ToldKind, audience: &Audience, now: u64) -> bool {
    told.seen += 1;
    if audience.sample > 1 && !told.seen.is_multiple_of(u64::from(audience.sample)) {
        return false;
    }
    let window = now >> WINDOW_SHIFT;
    if told.window != window {
        told.window = window;
        told.used = 0;
    }
    told.used += 1;
    told.used <= u64::from(audience.budget)
}
