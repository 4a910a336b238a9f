//! What holds for any key, any life word, any sequence of packets. Identifiers such as T19 are those of the scenario
//! catalogue.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const TIMEOUTS: Timeouts = Timeouts {
    established: 600,
    fin_wait: 31,
    icmp: 32,
    bidirectional: 180,
    unidirectional: 30,
    fragment: 33,
};
const EXPIRES: u64 = (1 << 44) - 1;
const CLAIMS: u64 = 1 << 10;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

fn state() -> impl Strategy<Value = State> {
    select(State::ALL.to_vec())
}

/// The state of a TCP connection.
fn tcp_state() -> impl Strategy<Value = State> {
    select(vec![State::OneWay, State::SynReceived, State::Established, State::FinWait])
}

/// Flags that a TCP may send.
fn flags() -> impl Strategy<Value = TcpFlags> {
    any::<u8>().prop_map(TcpFlags).prop_filter("possible", |flags| flags.are_possible())
}

/// A packet: whether it comes from the opener, and its flags.
fn packets() -> impl Strategy<Value = Vec<(bool, TcpFlags)>> {
    vec((any::<bool>(), flags()), 0..30)
}

/// A live word in a slot that has been claimed `claims` times.
fn live(claims: u16, state: State, egress: bool, expires: u64) -> Life {
    Life::live(claimed(claims), state, egress, expires)
}

fn claimed(times: u16) -> Life {
    (0..times % CLAIMS as u16).fold(Life(0), |life, _| life.claim())
}

/// A connection that a SYN has opened.
fn opened() -> Life {
    live(1, opening(Step::Tcp(TcpFlags(SYN))), false, 30)
}

/// The words after each of these packets, one tick apart.
fn lives(start: Life, packets: &[(bool, TcpFlags)]) -> Vec<Life> {
    let mut life = start;
    packets
        .iter()
        .zip(1000..)
        .map(|((from_opener, flags), now)| {
            life = after(life, Step::Tcp(*flags), *from_opener, now, &TIMEOUTS);
            life
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_place_is_inside_the_table(words in vec(any::<u64>(), 0..6), seed: u64, buckets in 1..=u32::MAX) {
        let place = place(&words, seed, buckets);
        prop_assert!(place.first < buckets && place.second < buckets && place.tag != 0);
    }

    #[test]
    fn the_place_of_a_key_depends_on_the_key_and_the_seed_only(key: [u8; 16], seed: u64) {
        let key: Key4 = zerocopy::transmute!(key);
        let copy = key;
        prop_assert_eq!(place(&key.words(), seed, 1 << 16), place(&copy.words(), seed, 1 << 16));
    }

    /// C13, A20: two keys that differ in one bit share both bucket and tag no more often than chance has it.
    #[test]
    fn one_bit_of_the_key_changes_its_place(key: [u8; 40], seed: u64, bit in 0..320usize) {
        let mut other = key;
        other[bit / 8] ^= 1 << (bit % 8);
        let (key, other): (Key6, Key6) = (zerocopy::transmute!(key), zerocopy::transmute!(other));
        let [key, other] = [key, other].map(|key| place(&key.words(), seed, u32::MAX));
        prop_assert_ne!(key, other);
    }

    #[test]
    fn a_live_word_has_what_it_was_made_of(claims: u16, state in state(), egress: bool, expires: u64) {
        let life = live(claims, state, egress, expires);
        prop_assert_eq!(life.kind(), Kind::Live);
        prop_assert_eq!((life.state(), life.opened_by_egress()), (state, egress));
        prop_assert_eq!(life.expires(), expires & EXPIRES);
        prop_assert!(!life.is_reset() && !life.is_answered());
        prop_assert_eq!(life.free(), claimed(claims).free());
    }

    #[test]
    fn moving_changes_state_flags_and_expiry_only(
        claims: u16,
        from in state(),
        to in state(),
        egress: bool,
        [reset, answered]: [bool; 2],
        [before, expires]: [u64; 2],
    ) {
        let life = live(claims, from, egress, before).moved(to, reset, answered, expires);
        prop_assert_eq!((life.kind(), life.state(), life.opened_by_egress()), (Kind::Live, to, egress));
        prop_assert_eq!((life.is_reset(), life.is_answered()), (reset, answered));
        prop_assert_eq!((life.expires(), life.free()), (expires & EXPIRES, claimed(claims).free()));
    }

    /// Whatever the word was, the claim counts up by one and forgets the rest; so does freeing, without counting.
    #[test]
    fn a_claim_counts_and_forgets(word: u64) {
        let life = Life(word);
        prop_assert_eq!((life.claim().kind(), life.free().kind()), (Kind::Claimed, Kind::Free));
        prop_assert_eq!(life.claim(), life.free().claim());
        prop_assert_eq!(life.free().free(), life.free());
        let count = |life: Life| life.0 >> 52 & (CLAIMS - 1);
        prop_assert_eq!(count(life.claim()), (count(life) + 1) % CLAIMS);
        prop_assert!(!life.claim().is_live_at(0) && !life.free().is_live_at(0));
    }

    /// A slot that has been reused is noticed until it has been claimed 1024 times.
    #[test]
    fn a_reused_slot_has_another_word(claims: u16, state in state(), egress: bool, expires: u64, reused in 1..CLAIMS) {
        let first = live(claims, state, egress, expires);
        let claim = (0..reused).fold(first, |life, _| life.free().claim());
        let second = Life::live(claim, state, egress, expires);
        prop_assert_ne!(first, second);
        prop_assert!(!first.same_but_expiry(second));
    }

    /// C16, C18
    #[test]
    fn expiry_is_exact(state in state(), expires in 1..=EXPIRES) {
        let life = live(1, state, true, expires);
        prop_assert!(life.is_live_at(expires - 1) && !life.is_live_at(expires) && !life.is_live_at(u64::MAX));
    }

    #[test]
    fn words_that_differ_in_expiry_only_are_told_apart_from_others(word: u64, expires: u64, bit in 44..64u32) {
        let life = Life(word);
        let later = Life(word & !EXPIRES | expires & EXPIRES);
        prop_assert!(life.same_but_expiry(later));
        prop_assert!(!life.same_but_expiry(Life(later.0 ^ 1 << bit)));
    }

    /// T01, T14, T19: every packet sets the timer of the state that it leads to, and leaves slot and opener alone.
    #[test]
    fn each_packet_sets_the_timer_of_its_state(packets in packets(), egress: bool, start in tcp_state()) {
        let start = live(7, start, egress, 30);
        for (life, now) in lives(start, &packets).into_iter().zip(1000..) {
            prop_assert_eq!(life.expires(), now + timeout(life.state(), life.is_reset(), &TIMEOUTS));
            prop_assert_eq!((life.kind(), life.opened_by_egress()), (Kind::Live, egress));
            prop_assert_eq!(life.free(), start.free());
        }
    }

    /// T14, T16, T18: a FIN is final.
    #[test]
    fn nothing_leads_out_of_a_closing_connection(packets in packets()) {
        let closing = live(1, State::FinWait, false, 30);
        for life in lives(closing, &packets) {
            prop_assert_eq!(life.state(), State::FinWait);
            prop_assert!(life.expires() < 1000 + 30 + TIMEOUTS.fin_wait as u64);
        }
    }

    #[test]
    fn a_fin_closes_from_every_state(start in tcp_state(), from_opener: bool) {
        let closing = lives(live(1, start, false, 30), &[(from_opener, TcpFlags(FIN | ACK))]);
        prop_assert_eq!(closing[0].state(), State::FinWait);
    }

    /// T19, T20: a RST shortens the timer and changes nothing else; a segment takes it back as if it had not been.
    #[test]
    fn a_reset_is_never_final(before in packets(), resets in 1..5usize, from_opener: bool, last in any::<bool>()) {
        let start = lives(opened(), &before).last().copied().unwrap_or(opened());
        let attack = vec![(from_opener, TcpFlags(RST)); resets];
        let reset = *lives(start, &attack).last().expect("a packet");
        prop_assert_eq!(reset.state(), start.state());
        prop_assert!(reset.is_reset());
        prop_assert!(reset.expires() <= 1000 + resets as u64 + TIMEOUTS.fin_wait as u64);
        let segment = [(last, TcpFlags(ACK))];
        let (with, without) = (lives(reset, &segment)[0], lives(start, &segment)[0]);
        prop_assert!(!with.is_reset());
        prop_assert_eq!((with.state(), with.expires()), (without.state(), without.expires()));
    }

    /// T36, T37: a flood of SYNs that nobody answers stays in the short-lived states, whatever the opener sends.
    #[test]
    fn one_side_alone_establishes_nothing(flags in vec(flags(), 0..30)) {
        let opener: Vec<_> = flags.iter().map(|flags| (true, *flags)).collect();
        for life in lives(opened(), &opener) {
            prop_assert!(matches!(life.state(), State::OneWay | State::FinWait));
            prop_assert!(!life.is_answered());
        }
        let other: Vec<_> = flags.iter().map(|flags| (false, *flags)).collect();
        for life in lives(opened(), &other) {
            prop_assert_ne!(life.state(), State::Established);
        }
    }

    /// T01, T12: established is what both sides have seen: an answer, then the opener's word to it.
    #[test]
    fn established_is_an_answer_and_a_confirmation(packets in packets()) {
        let lives = lives(opened(), &packets);
        if let Some(at) = lives.iter().position(|life| life.state() == State::Established) {
            let (from_opener, flags) = packets[at];
            prop_assert!(from_opener && !flags.syn() && !flags.rst());
            prop_assert!(packets[..at].iter().any(|(from_opener, flags)| !from_opener && !flags.rst()));
        }
    }

    /// A connection never grows younger.
    #[test]
    fn what_only_refreshes_does_nothing_else(
        start in state(), egress: bool, answered: bool, reset: bool, flags: u8, tcp: bool, from_opener: bool
    ) {
        let life = live(3, start, egress, 50).moved(start, reset, answered, 50);
        let step = if tcp { Step::Tcp(TcpFlags(flags)) } else { Step::Other };
        let moved = after(life, step, from_opener, 1000, &TIMEOUTS);
        if let Some(refreshed) = refreshed(life, step, from_opener, 1000, &TIMEOUTS) {
            prop_assert_eq!(refreshed, moved);
        }
    }

    #[test]
    fn states_only_go_forward(packets in packets()) {
        let states: Vec<State> = lives(opened(), &packets).iter().map(|life| life.state()).collect();
        prop_assert!(states.is_sorted(), "{states:?}");
    }

    /// T27, T28: a SYN on a live connection neither restarts nor establishes nor closes it.
    #[test]
    fn a_syn_moves_a_live_connection_nowhere(
        start in select(vec![State::SynReceived, State::Established, State::FinWait]),
        from_opener: bool,
    ) {
        let life = lives(live(1, start, false, 30), &[(from_opener, TcpFlags(SYN))])[0];
        prop_assert_eq!(life.state(), start);
    }

    /// U04, U05, U06, X09: two-way from the first answer on, never before, and for good.
    #[test]
    fn one_way_traffic_never_becomes_two_way(ways in vec(any::<bool>(), 1..30)) {
        let mut life = live(1, opening(Step::Other), true, 30);
        let mut answered = false;
        for (from_opener, now) in ways.into_iter().zip(1000..) {
            answered |= !from_opener;
            life = after(life, Step::Other, from_opener, now, &TIMEOUTS);
            let (state, ticks) = if answered { (State::TwoWay, 180) } else { (State::OneWay, 30) };
            prop_assert_eq!((life.state(), life.expires()), (state, now + ticks));
        }
    }

    /// I02
    #[test]
    fn a_query_stays_a_query(ways in vec(any::<bool>(), 1..30)) {
        let mut life = live(1, opening(Step::Query), true, 30);
        for (from_opener, now) in ways.into_iter().zip(1000..) {
            life = after(life, Step::Query, from_opener, now, &TIMEOUTS);
            prop_assert_eq!((life.state(), life.expires()), (State::Query, now + 32));
        }
    }
}

/// I03, I04, I05: request and reply of a query share its number, no two queries do, and each names its request.
#[test]
fn every_query_has_one_request_and_one_reply() {
    for protocol in [1, 58] {
        let mut seen = std::collections::BTreeSet::new();
        for kind in 0..=255 {
            let Some((number, is_reply)) = query::of(protocol, kind) else { continue };
            assert!(number > 0 && number < query::LOCAL_ASKED);
            assert!(seen.insert((number, is_reply)), "type {kind} of protocol {protocol}");
            assert_eq!(query::request_kind(protocol, number) == kind, !is_reply);
        }
        assert_eq!(seen.len(), if protocol == 1 { 8 } else { 2 });
    }
}
