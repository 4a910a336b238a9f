//! What holds in every state, for every packet: tried out one by one. [`after`] remembers nothing but the life word, so
//! what every single step keeps, every sequence keeps.

use std::collections::BTreeSet;

use super::*;

const TIMEOUTS: Timeouts = Timeouts {
    established: 600,
    fin_wait: 31,
    icmp: 32,
    bidirectional: 180,
    unidirectional: 30,
    fragment: 33,
};
const LAST_TICK: u64 = (1 << 44) - 1;
const TCP: [State; 4] = [State::OneWay, State::SynReceived, State::Established, State::FinWait];

/// One step: the word before, what came, from whom, when, and the word after.
struct Taken {
    before: Life,
    step: Step,
    from_opener: bool,
    now: u64,
    after: Life,
}

fn both() -> [bool; 2] {
    [false, true]
}

/// Every life word of these states: opener, reset, answered; each with an expiry of its own.
fn lives(states: &[State]) -> Vec<Life> {
    let mut all = Vec::new();
    for (&state, expires) in states.iter().zip([0, 1, 999, 1000, 1001, LAST_TICK].into_iter().cycle()) {
        for (egress, reset, answered) in
            both().map(|a| both().map(|b| both().map(|c| (a, b, c)))).concat().concat()
        {
            all.push(Life::live(Life(0).claim(), state, egress, 0).moved(state, reset, answered, expires));
        }
    }
    all
}

/// Every step from these states with these packets, just before, at and just after the expiry, and late.
fn steps(states: &[State], packets: &[Step]) -> Vec<Taken> {
    let mut all = Vec::new();
    for before in lives(states) {
        for &step in packets {
            for from_opener in both() {
                for now in
                    [before.expires().saturating_sub(1), before.expires(), before.expires() + 1, 1 << 40]
                {
                    let after = after(before, step, from_opener, now, &TIMEOUTS);
                    all.push(Taken { before, step, from_opener, now, after });
                }
            }
        }
    }
    all
}

fn segments() -> Vec<Step> {
    (0..=u8::MAX).map(|flags| Step::Tcp(TcpFlags(flags))).collect()
}

/// Of every step of TCP, whatever the flags: the slot, the opener and the claim stay; the timer is that of the state; a
/// word can be told from one that was not answered.
#[test]
fn every_step_keeps_whose_entry_it_is_and_sets_its_timer() {
    let mut all = steps(&TCP, &segments());
    all.extend(steps(&State::ALL, &[Step::Query, Step::Other]));
    assert_eq!(all.len(), 4 * 8 * 256 * 2 * 4 + 7 * 8 * 2 * 2 * 4);
    for Taken { before, step, from_opener, now, after } in all {
        assert_eq!(after.kind(), Kind::Live);
        assert_eq!(after.free(), before.free());
        assert_eq!(after.opened_by_egress(), before.opened_by_egress());
        assert_eq!(after.is_answered(), before.is_answered() || !from_opener);
        let ticks = timeout(after.state(), after.is_reset(), &TIMEOUTS);
        assert_eq!(after.expires(), (now + ticks) & LAST_TICK, "{step:?} at {now}");
        assert!((30..=600).contains(&ticks));
    }
}

/// No step of TCP goes back, and none leaves a closing connection.
#[test]
fn no_step_of_tcp_goes_back() {
    for Taken { before, step, after, .. } in steps(&TCP, &segments()) {
        assert!(before.state() <= after.state(), "{step:?} from {:?}", before.state());
        assert!(TCP.contains(&after.state()));
    }
}

/// A RST moves nothing but the timer and its mark; a SYN leaves the mark; any other segment takes it away.
#[test]
fn a_reset_marks_and_traffic_takes_the_mark_away() {
    for Taken { before, step, after, .. } in steps(&TCP, &segments()) {
        let Step::Tcp(flags) = step else { continue };
        if flags.rst() {
            assert_eq!((after.state(), after.is_reset()), (before.state(), true), "{flags:?}");
        } else if flags.opens() {
            assert_eq!(after.is_reset(), before.is_reset(), "{flags:?}");
        } else {
            assert!(!after.is_reset(), "{flags:?}");
        }
    }
}

/// Established comes of a confirmed answer alone, closing of a FIN alone.
#[test]
fn each_state_has_one_way_in() {
    for Taken { before, step, from_opener, after, .. } in steps(&TCP, &segments()) {
        let Step::Tcp(flags) = step else { continue };
        match after.state() {
            state if state == before.state() => {}
            State::SynReceived => assert!(before.state() == State::OneWay && !from_opener && !flags.rst()),
            State::Established => {
                assert!(before.state() == State::SynReceived && from_opener && !flags.syn() && !flags.rst());
            }
            state => {
                assert!(state == State::FinWait && flags.fin() && !flags.rst(), "{flags:?} to {state:?}")
            }
        }
    }
}

/// Everything that a connection can come to from a SYN, and what one side alone can bring about.
#[test]
fn what_can_be_reached() {
    let reach = |who: &[bool]| {
        let mut seen = BTreeSet::new();
        let mut open = vec![Life::live(Life(0), opening(Step::Tcp(TcpFlags(2))), false, 0)];
        while let Some(life) = open.pop() {
            if seen.insert((life.state(), life.is_reset(), life.is_answered())) {
                let next = segments().into_iter().flat_map(|step| who.iter().map(move |&from| (step, from)));
                open.extend(next.map(|(step, from)| after(life, step, from, 0, &TIMEOUTS)));
            }
        }
        seen
    };
    let states = |who: &[bool]| reach(who).into_iter().map(|(state, ..)| state).collect::<BTreeSet<_>>();
    assert_eq!(states(&[true, false]), TCP.into());
    assert_eq!(states(&[true]), [State::OneWay, State::FinWait].into());
    assert_eq!(states(&[false]), [State::OneWay, State::SynReceived, State::FinWait].into());
    assert!(
        reach(&[true, false])
            .iter()
            .all(|&(state, _, answered)| answered || matches!(state, State::OneWay | State::FinWait))
    );
}

/// Datagrams are two-way from the first answer on, queries stay queries.
#[test]
fn datagrams_and_queries() {
    for Taken { step, after, .. } in steps(&State::ALL, &[Step::Query, Step::Other]) {
        let expected = match step {
            Step::Query => State::Query,
            _ if after.is_answered() => State::TwoWay,
            _ => State::OneWay,
        };
        assert_eq!((after.state(), after.is_reset()), (expected, false));
    }
}

/// Every state, mark, opener and number of claims, at the edges of the clock: no field touches another, and an entry is
/// there until the tick at which it expires and not at it.
#[test]
fn every_life_word_is_what_it_was_made_of() {
    let mut claim = Life(0).claim();
    for _ in 0..1 << 10 {
        claim = claim.free().claim();
        for life in lives(&State::ALL) {
            let made = Life::live(claim, life.state(), life.opened_by_egress(), life.expires()).moved(
                life.state(),
                life.is_reset(),
                life.is_answered(),
                life.expires(),
            );
            assert_eq!(made.free(), claim.free());
            assert!(made.same_but_expiry(Life(made.0 ^ 1)));
            assert_eq!(Life(made.0 ^ claim.free().0), Life(life.0 ^ life.free().0));
            assert!(!made.is_live_at(made.expires()));
            assert_eq!(made.is_live_at(made.expires().wrapping_sub(1) & LAST_TICK), made.expires() > 0);
        }
    }
}
