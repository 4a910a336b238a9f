//! The automaton of the kernel side against the model's, step by step: every state, every flag, both directions.

use std::time::Duration;

use sg_agent::policy::model::{Direction, Timeouts};
use sg_common::{
    conntrack::{Life, State as KernelState, Step, TcpFlags, after, opening},
    control,
};

use super::{
    automaton::{Entry, State},
    packet::{Content, Packet, Part},
};
use crate::packets::Mac;

/// At 1000 ticks a second.
const TICKS: control::Timeouts = control::Timeouts {
    established: 600_000,
    fin_wait: 31_000,
    icmp: 32_000,
    bidirectional: 180_000,
    unidirectional: 30_000,
    fragment: 33_000,
};
const NOW: u64 = 7_000;

fn timeouts() -> Timeouts {
    let [established, fin_wait, icmp, bidirectional, unidirectional] =
        [600, 31, 32, 180, 30].map(Duration::from_secs);
    let mut timeouts = Timeouts::default();
    timeouts.tcp_established = established;
    timeouts.tcp_fin_wait = fin_wait;
    timeouts.icmp = icmp;
    timeouts.bidirectional = bidirectional;
    timeouts.unidirectional = unidirectional;
    timeouts
}

fn packet(content: &Content, direction: Direction) -> Packet {
    Packet {
        interface: "t".to_owned(),
        direction,
        mac: Mac([2; 6]),
        source: [10, 0, 0, 1].into(),
        destination: [10, 0, 0, 2].into(),
        part: Part::Whole,
        content: content.clone(),
    }
}

fn step(content: &Content) -> Step {
    match content {
        Content::Tcp { flags, .. } => Step::Tcp(TcpFlags(*flags)),
        Content::Icmp { .. } => Step::Query,
        _ => Step::Other,
    }
}

fn state(kernel: KernelState, is_tcp: bool) -> State {
    match kernel {
        KernelState::OneWay if is_tcp => State::SynSent,
        KernelState::OneWay => State::OneWay,
        KernelState::SynReceived => State::SynReceived,
        KernelState::Established => State::Established,
        KernelState::FinWait => State::FinWait,
        KernelState::TwoWay => State::TwoWay,
        KernelState::Query | KernelState::Fragments => State::Query,
    }
}

/// The model's entry that a life word stands for.
fn entry(life: Life, content: &Content, opener: Direction) -> Entry {
    let is_tcp = matches!(content, Content::Tcp { .. });
    Entry {
        state: state(life.state(), is_tcp),
        is_reset: life.is_reset(),
        ends: Duration::from_millis(life.expires()),
        ..Entry::opened_by(&packet(content, opener), 0, &timeouts(), Duration::ZERO)
    }
}

/// What both make of a packet on an entry; a SYN on one that is over is not for the automaton.
fn check(before: Life, content: &Content, opener: Direction, direction: Direction) -> usize {
    let mut model = entry(before, content, opener);
    let packet = packet(content, direction);
    let now = Duration::from_millis(NOW);
    let is_syn = matches!(content, Content::Tcp { flags, .. } if TcpFlags(*flags).opens());
    match is_syn {
        true if model.is_over() => return 0,
        true => model.syn(&packet, &timeouts(), now),
        false => model.goes_on(&packet, &timeouts(), now),
    }
    let next = after(before, step(content), direction == opener, NOW, &TICKS);
    let expected = entry(next, content, opener);
    assert_eq!(model, expected, "{content:?} {direction:?} on {before:?}, opened by {opener:?}");
    1
}

/// A live word of this state. Whether the other side was seen is said by the state, but for TCP's closing.
fn life(state: KernelState, reset: bool, answered: bool, opener: Direction) -> Life {
    Life::live(Life(0).claim(), state, opener == Direction::Egress, 0).moved(state, reset, answered, 10_000)
}

const BOTH: [Direction; 2] = [Direction::Ingress, Direction::Egress];

#[test]
fn every_step_of_tcp_is_that_of_the_model() {
    use KernelState::{Established, FinWait, OneWay, SynReceived};
    let mut steps = 0;
    for flags in (0..=u8::MAX).filter(|&flags| TcpFlags(flags).are_possible()) {
        let content = Content::Tcp { source: 1, destination: 2, flags };
        for (state, answered) in
            [(OneWay, false), (SynReceived, true), (Established, true), (FinWait, false), (FinWait, true)]
        {
            for reset in [false, true] {
                for (opener, direction) in BOTH.map(|opener| BOTH.map(|way| (opener, way))).concat() {
                    steps += check(life(state, reset, answered, opener), &content, opener, direction);
                }
            }
        }
        for opener in BOTH {
            let opened = Entry::opened_by(&packet(&content, opener), 0, &timeouts(), Duration::ZERO);
            assert_eq!(opened.state, state(opening(step(&content)), true));
        }
    }
    // 72 of 256 flag bytes are possible, 16 of them a SYN alone, on which 14 of 20 entries are over.
    assert_eq!(steps, 72 * 40 - 16 * 28);
}

#[test]
fn every_step_of_the_others_is_that_of_the_model() {
    use KernelState::{OneWay, Query, TwoWay};
    let datagram = Content::Ports { protocol: 17, source: 1, destination: 2 };
    let query = Content::Icmp { kind: 8, code: 0, id: 1 };
    for (content, state, answered) in
        [(&datagram, OneWay, false), (&datagram, TwoWay, true), (&query, Query, false), (&query, Query, true)]
    {
        for (opener, direction) in BOTH.map(|opener| BOTH.map(|way| (opener, way))).concat() {
            assert_eq!(check(life(state, false, answered, opener), content, opener, direction), 1);
        }
    }
}
