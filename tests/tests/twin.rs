//! Linux's own firewall as a second judge: what comes out of a router with sg and of one with an nft rule set made of the
//! same policy is the same, but for the exclusions that `docs/testing/second-judge.md` lists.
//!
//! `SG_SEED` chooses other sessions and policies, `SG_FRAMES` more or fewer.

use std::env;

use fastrand::Rng;
use sg_tests::{
    random,
    twin::{
        Draft, Shot, Twin,
        flips::{self, Subject},
        near_rules, of_rules, session,
    },
};

/// Frames in a run of sessions, unless `SG_FRAMES` says otherwise.
const FRAMES: usize = 6_000;

/// Connections at once.
const LIVES: u16 = 30;

/// Packets under each random policy of the test of rules alone.
const PROBES: usize = 60;

#[test]
fn sessions_come_out_the_same() {
    let seed = random::seed();
    let mut random = Rng::with_seed(seed);
    let frames = frames();
    Twin::with(&Draft::random(&mut random).text(), |twin| {
        while twin.tally.frames < frames {
            twin.apply(&Draft::random(&mut random).text());
            let shots = session(&mut random, LIVES);
            expect_same(twin, seed, &shots);
        }
        report(twin, seed);
    });
}

/// Every packet opens a connection, or would; policies have more and stranger rules.
#[test]
fn rules_come_out_the_same() {
    let seed = random::seed();
    let mut random = Rng::with_seed(seed);
    let frames = frames() / 5;
    Twin::with(&of_rules(&mut random), |twin| {
        while twin.tally.frames < frames {
            twin.apply(&of_rules(&mut random));
            let policy = twin.policy();
            for _ in 0..PROBES {
                let shot = near_rules(&mut random, &policy);
                expect_same(twin, seed, &[shot]);
            }
        }
        report(twin, seed);
    });
}

/// P41: no flip of one bit of a packet's first 64 bytes makes sg let through what Linux does not.
#[test]
fn flipped_bits_come_out_the_same() {
    for role in ["guest", "host"] {
        Twin::with(&Draft::of(role, flips::POLICY).text(), |twin| {
            for subject in flips::subjects() {
                let Subject { name, before, packet } = &subject;
                let with = |shot: &Shot| [before.as_slice(), std::slice::from_ref(shot)].concat();
                expect_same(twin, 0, &with(packet));
                twin.forget();
                let passed = with(packet).iter().all(|shot| twin.fire(shot) == Ok(true));
                assert!(passed, "{name}: a packet to flip is one that passes");
                for flipped in subject.flipped() {
                    expect_same(twin, 0, &with(&flipped));
                }
            }
            report(twin, 0);
        });
    }
}

fn frames() -> usize {
    env::var("SG_FRAMES").map_or(FRAMES, |text| text.parse().expect("SG_FRAMES is a number"))
}

#[track_caller]
fn expect_same(twin: &mut Twin, seed: u64, shots: &[Shot]) {
    if let Err(difference) = twin.run(shots) {
        panic!("SG_SEED={seed}\n{difference}");
    }
}

/// Says what was compared; comparing always the same thing proves nothing.
#[track_caller]
fn report(twin: &Twin, seed: u64) {
    let tally = &twin.tally;
    eprintln!("SG_SEED={seed}: {tally}");
    assert!(tally.passed * 8 > tally.frames && tally.dropped * 8 > tally.frames, "{tally}");
    assert!(tally.excluded() * 8 < tally.frames, "{tally}");
}
