//! Random sequences of packets, clock steps and changes of policy: the loaded programs and the model of the specification
//! give every packet the same verdict, count it the same, and end with the same connections.
//!
//! A sequence that fails is made small and kept in `tests/regressions`; what is kept there is run first, every time.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use fastrand::Rng;
use sg_tests::{
    agent::Agent,
    netns::Netns,
    progrun::Hook,
    random,
    sequence::{Host, Sequence, Shape, Step, generate, shrink},
};
use tempfile::TempDir;

/// Packets in a run, unless `SG_PACKETS` says otherwise.
const PACKETS: usize = 200_000;

/// So many differences are shown before the test gives up.
const DIFFERENCES: usize = 3;

/// So many runs may go into making one sequence small.
const SHRINKING: usize = 300;

#[test]
fn programs_and_model_agree() {
    let namespace = Netns::new();
    // Unloads what the test loads.
    let agent = Agent::new(&namespace);
    let state = TempDir::new().expect("a temporary directory");
    let wanted = env::var("SG_PACKETS").map_or(PACKETS, |text| text.parse().expect("SG_PACKETS is a number"));
    namespace.enter(|| run(&namespace, state.path(), wanted));
    drop(agent);
}

fn run(namespace: &Netns, state: &Path, wanted: usize) {
    let seed = random::seed();
    eprintln!("SG_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let first = generate(&mut random, Shape { length: 1, changes: 0 });
    let Some(Step::Policy(text)) = first.steps.first() else { panic!("a sequence begins with a policy") };
    let mut host = Host::new(namespace, state, text);
    let mut differences = replay(&mut host);
    let (mut packets, mut sequences) = (0, 0);
    while packets < wanted && differences.len() < DIFFERENCES {
        // Longer ones are cheaper, shorter ones under many policies reach more.
        let changes = if sequences % 2 == 0 { 40 } else { 0 };
        let sequence = generate(&mut random, Shape { length: 250, changes });
        sequences += 1;
        host.receive_at(if sequences % 8 == 0 { Hook::TcxIngress } else { Hook::Xdp });
        packets += sequence.steps.iter().filter(|step| matches!(step, Step::Packet(_))).count();
        if let Err(difference) = host.run(&sequence) {
            let mut last = difference;
            let small = shrink(sequence, SHRINKING, |fewer| match host.run(fewer) {
                Ok(()) => false,
                Err(difference) => {
                    last = difference;
                    true
                }
            });
            let name = format!("seed-{seed}-{}.txt", differences.len());
            keep(&name, &last, &small);
            differences.push(format!("{name}: {last}\n{small}"));
        }
    }
    eprintln!("{packets} packets in {sequences} sequences");
    assert!(differences.is_empty(), "SG_SEED={seed}\n{}", differences.join("\n\n"));
}

/// Runs the sequences that failed once.
fn replay(host: &mut Host) -> Vec<String> {
    let entries = fs::read_dir(kept()).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    let mut differences = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a kept sequence");
        let sequence: Sequence = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for hook in [Hook::Xdp, Hook::TcxIngress] {
            host.receive_at(hook);
            if let Err(difference) = host.run(&sequence) {
                differences.push(format!("{} at {hook:?}: {difference}", path.display()));
            }
        }
    }
    differences
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions")
}

fn keep(name: &str, difference: &str, sequence: &Sequence) {
    let text = format!("# {}\n{sequence}", difference.replace('\n', "\n# "));
    if let Err(error) = fs::write(kept().join(name), text) {
        eprintln!("{name} is not kept: {error}");
    }
}
