//! How a packet moves a connection on. Pure; the kernel side and its tests run the same code.

use super::{Life, State, Timeouts};

/// The TCP flag byte (RFC 9293, 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    const FIN: u8 = 1;
    const SYN: u8 = 1 << 1;
    const RST: u8 = 1 << 2;
    const ACK: u8 = 1 << 4;
    const URG: u8 = 1 << 5;

    /// FIN.
    #[inline(always)]
    pub const fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }

    /// SYN, with or without ACK.
    #[inline(always)]
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }

    /// RST.
    #[inline(always)]
    pub const fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }

    /// A SYN that opens: without ACK.
    #[inline(always)]
    pub const fn opens(self) -> bool {
        self.0 & (Self::SYN | Self::ACK) == Self::SYN
    }

    /// ACK, and neither SYN nor FIN nor RST: a segment from the middle of a connection, with whatever else.
    #[inline(always)]
    pub const fn only_acknowledges(self) -> bool {
        self.0 & (Self::FIN | Self::SYN | Self::RST | Self::ACK) == Self::ACK
    }

    /// Whether a TCP may send this combination: SYN, SYN+ACK, RST, RST+ACK, ACK, FIN+ACK; URG beside SYN and beside
    /// what carries ACK. PSH and the ECN bits go with anything. (The table of Linux nf_conntrack_proto_tcp.c,
    /// `tcp_valid_flags`.)
    #[inline(always)]
    pub const fn are_possible(self) -> bool {
        let judged = self.0 & (Self::FIN | Self::SYN | Self::RST | Self::ACK | Self::URG);
        POSSIBLE >> judged & 1 == 1
    }
}

/// Bit `n` is set when the flag combination `n` (FIN 1, SYN 2, RST 4, ACK 16, URG 32) is possible.
const POSSIBLE: u64 = {
    const fn bit(flags: u8) -> u64 {
        1 << flags
    }
    use TcpFlags as F;
    bit(F::SYN)
        | bit(F::SYN | F::URG)
        | bit(F::SYN | F::ACK)
        | bit(F::RST)
        | bit(F::RST | F::ACK)
        | bit(F::ACK)
        | bit(F::ACK | F::URG)
        | bit(F::FIN | F::ACK)
        | bit(F::FIN | F::ACK | F::URG)
};

/// What a packet is to the automaton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// TCP with these flags.
    Tcp(TcpFlags),
    /// An ICMP query or its reply.
    Query,
    /// Anything else.
    Other,
}

/// State of an entry that a packet opens.
#[inline(always)]
pub const fn opening(step: Step) -> State {
    match step {
        Step::Query => State::Query,
        Step::Tcp(flags) if flags.fin() => State::FinWait,
        Step::Tcp(_) | Step::Other => State::OneWay,
    }
}

/// Ticks that an entry in `state` lives after its last packet; `reset` = a RST was the last.
#[inline(always)]
pub const fn timeout(state: State, reset: bool, timeouts: &Timeouts) -> u64 {
    let ticks = match state {
        _ if reset => timeouts.fin_wait,
        State::Established => timeouts.established,
        State::FinWait => timeouts.fin_wait,
        State::TwoWay => timeouts.bidirectional,
        State::Query => timeouts.icmp,
        State::Fragments => timeouts.fragment,
        State::OneWay | State::SynReceived => timeouts.unidirectional,
    };
    ticks as u64
}

/// The life word after a packet of a tracked connection that passes at `now`. `from_opener`: it goes the way of the
/// packet that opened the connection. An opening SYN on a closing connection is not for this function: that packet
/// makes a new entry.
///
/// - TCP is established when the opener has confirmed the answer, so that a flood of SYNs that a server answers
///   stays in the short-lived states.
/// - A FIN is final; a RST is not: the next packet without one takes it back.
#[inline(always)]
pub fn after(life: Life, step: Step, from_opener: bool, now: u64, timeouts: &Timeouts) -> Life {
    let answered = life.is_answered() || !from_opener;
    let (state, reset) = match step {
        Step::Tcp(flags) if flags.rst() => (life.state(), true),
        Step::Tcp(flags) if flags.opens() => (syn(life.state(), from_opener), life.is_reset()),
        Step::Tcp(flags) => (segment(life.state(), flags, from_opener), false),
        Step::Query => (State::Query, false),
        Step::Other if answered => (State::TwoWay, false),
        Step::Other => (State::OneWay, false),
    };
    life.moved(state, reset, answered, now + timeout(state, reset, timeouts))
}

/// [`after`] a packet that changes nothing but the expiry: a segment without SYN, FIN and RST on an established
/// connection; traffic on one that has seen both sides, or still one only. `None` for any other.
#[inline(always)]
pub const fn refreshed(
    life: Life,
    step: Step,
    from_opener: bool,
    now: u64,
    timeouts: &Timeouts,
) -> Option<Life> {
    const ESTABLISHED: u64 = Life(0).moved(State::Established, false, true, 0).0;
    const TWO_WAY: u64 = Life(0).moved(State::TwoWay, false, true, 0).0;
    const ONE_WAY: u64 = Life(0).moved(State::OneWay, false, false, 0).0;
    let ticks = match (step, life.phase()) {
        (Step::Tcp(flags), ESTABLISHED) if flags.only_acknowledges() => timeouts.established,
        (Step::Other, TWO_WAY) => timeouts.bidirectional,
        (Step::Other, ONE_WAY) if from_opener => timeouts.unidirectional,
        _ => return None,
    };
    Some(life.until(now + ticks as u64))
}

/// A SYN that the rules have let pass: the opener's again, or the other side's in a simultaneous open.
#[inline(always)]
const fn syn(state: State, from_opener: bool) -> State {
    match state {
        State::OneWay if !from_opener => State::SynReceived,
        _ => state,
    }
}

#[inline(always)]
const fn segment(state: State, flags: TcpFlags, from_opener: bool) -> State {
    if flags.fin() {
        return State::FinWait;
    }
    match state {
        State::OneWay if !from_opener => State::SynReceived,
        State::SynReceived if from_opener && !flags.syn() => State::Established,
        _ => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        established: 600,
        fin_wait: 31,
        icmp: 32,
        bidirectional: 180,
        unidirectional: 30,
        fragment: 33,
    };
    const FIN: u8 = 0x11;
    const SYN: u8 = 0x02;
    const SYN_ACK: u8 = 0x12;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    /// The states after each packet: `+` = from the opener, `-` = to it.
    fn tcp(packets: &[(char, u8)]) -> Vec<(State, u64)> {
        let mut life = Life::live(Life(0).claim(), opening(Step::Tcp(TcpFlags(SYN))), false, 30);
        packets
            .iter()
            .map(|&(way, flags)| {
                life = after(life, Step::Tcp(TcpFlags(flags)), way == '+', 1000, &TIMEOUTS);
                (life.state(), life.expires() - 1000)
            })
            .collect()
    }

    #[test]
    fn a_handshake_is_complete_with_the_openers_ack() {
        use State::{Established, SynReceived};
        assert_eq!(
            tcp(&[('-', SYN_ACK), ('-', ACK), ('+', ACK), ('-', ACK)]),
            [(SynReceived, 30), (SynReceived, 30), (Established, 600), (Established, 600)]
        );
    }

    #[test]
    fn a_simultaneous_open_is_established() {
        let states = tcp(&[('-', SYN), ('+', SYN_ACK), ('-', SYN_ACK), ('+', ACK)]);
        assert_eq!(states.last(), Some(&(State::Established, 600)));
    }

    #[test]
    fn traffic_takes_a_reset_back() {
        let states = tcp(&[('-', SYN_ACK), ('+', ACK), ('-', RST), ('+', RST), ('-', ACK)]);
        let established = State::Established;
        assert_eq!(states[2..], [(established, 31), (established, 31), (established, 600)]);
    }

    #[test]
    fn a_fin_is_final() {
        let states = tcp(&[('-', SYN_ACK), ('+', ACK), ('+', FIN), ('-', ACK), ('-', FIN), ('+', ACK)]);
        assert!(states[2..].iter().all(|state| *state == (State::FinWait, 31)));
    }

    #[test]
    fn a_repeated_syn_changes_nothing_on_a_live_connection() {
        let states = tcp(&[('-', SYN_ACK), ('+', ACK), ('+', SYN), ('-', SYN)]);
        assert!(states[1..].iter().all(|state| *state == (State::Established, 600)));
    }

    #[test]
    fn one_way_traffic_never_becomes_two_way() {
        let mut life = Life::live(Life(0).claim(), State::OneWay, true, 30);
        for now in [10, 20, 30] {
            life = after(life, Step::Other, true, now, &TIMEOUTS);
            assert_eq!((life.state(), life.expires()), (State::OneWay, now + 30));
        }
        life = after(life, Step::Other, false, 40, &TIMEOUTS);
        assert_eq!((life.state(), life.expires()), (State::TwoWay, 40 + 180));
        life = after(life, Step::Other, true, 50, &TIMEOUTS);
        assert_eq!((life.state(), life.expires()), (State::TwoWay, 50 + 180));
    }

    #[test]
    fn only_possible_flags_are_possible() {
        let possible = (0..=u8::MAX).filter(|&f| TcpFlags(f).are_possible()).map(|f| f & 0x37);
        let distinct: std::collections::BTreeSet<u8> = possible.collect();
        assert_eq!(
            distinct.into_iter().collect::<Vec<_>>(),
            [0x02, 0x04, 0x10, 0x11, 0x12, 0x14, 0x22, 0x30, 0x31]
        );
    }
}
