//! `cargo xtask fuzz`: builds the fuzz targets with coverage counters and runs libFuzzer on them.
//!
//! The counters are a pass of LLVM that any rustc has; only sanitizers would need a nightly compiler, and what the
//! targets run is safe code with checked arithmetic.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    exec::{cargo, exec},
    failures::Report,
    place::{target_dir, workspace},
    probe, setup,
};

/// `cargo xtask fuzz`
#[derive(clap::Args)]
pub struct Options {
    /// Only this one
    #[arg(value_parser = names())]
    target: Option<String>,
    /// How long to run each
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
}

/// A fuzz target.
#[derive(Debug)]
struct Target {
    name: &'static str,
    /// Directories with inputs to begin with, from the root of the workspace.
    seeds: &'static [&'static str],
    /// Bytes of the longest input.
    longest: u32,
}

const TARGETS: &[Target] = &[
    Target { name: "control", seeds: &["fuzz/seeds/control"], longest: 4096 },
    Target { name: "parse", seeds: &["fuzz/seeds/parse"], longest: 512 },
    Target { name: "policy", seeds: &["sg-agent/tests/diagnostics", "tests/fixtures"], longest: 4096 },
];

/// What cargo-fuzz builds with, but for the sanitizer.
const COVERAGE: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// One input may take so many seconds and so many MiB.
const SECONDS: u32 = 10;
const MEBIBYTES: u32 = 1024;

/// A brief run ends after so many inputs, or on a slow machine after so many seconds.
const BRIEF_INPUTS: u32 = 100_000;
const BRIEF_SECONDS: u32 = 10;

fn names() -> Vec<&'static str> {
    TARGETS.iter().map(|target| target.name).collect()
}

/// How long to run.
#[derive(Clone, Copy, Debug)]
enum Length {
    /// With what earlier runs have found, from a seed that is never the same.
    Seconds(u32),
    /// The same every time.
    Brief,
}

impl Length {
    const fn corpus(self) -> &'static str {
        match self {
            Self::Seconds(_) => "corpus",
            Self::Brief => "corpus-of-a-brief-run",
        }
    }
}

/// Runs the targets; success is nothing found.
pub fn run(options: &Options) -> Result<ExitCode> {
    setup::run(&setup::Options::default())?;
    let chosen = |target: &&Target| options.target.as_deref().is_none_or(|name| name == target.name);
    let summary = fuzz(TARGETS.iter().filter(chosen), Length::Seconds(options.seconds))?.summary;
    Ok(if summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs each target briefly; one that finds something counts as failed.
pub fn briefly() -> Result<Report> {
    fuzz(TARGETS.iter(), Length::Brief)
}

fn fuzz<'a>(targets: impl Iterator<Item = &'a Target>, length: Length) -> Result<Report> {
    let place = target_dir()?.join("fuzz");
    let host = probe::host().context("`rustc -vV` does not name its host")?;
    build(&place, &host)?;
    let mut report = Report::default();
    for target in targets {
        let program = place.join(&host).join("release").join(target.name);
        match exec(&mut command(target, &program, &place, length)?) {
            Ok(()) => report.pass(),
            Err(error) => {
                let why = format!("{}: {error:#}", target.name);
                eprintln!("{why}");
                report.fail(why);
            }
        }
    }
    Ok(report)
}

fn build(place: &Path, host: &str) -> Result<()> {
    let mut cargo = cargo();
    // With a target named, the flags are not for build scripts.
    cargo
        .current_dir(workspace()?.join("fuzz"))
        .env("RUSTFLAGS", COVERAGE.join(" "))
        .args(["build", "--release", "--target", host, "--target-dir"])
        .arg(place);
    exec(&mut cargo)
}

fn command(target: &Target, program: &Path, place: &Path, length: Length) -> Result<Command> {
    let artifacts = place.join("found");
    fs::create_dir_all(&artifacts)?;
    let mut command = Command::new(program);
    command.args([
        format!("-artifact_prefix={}/{}-", artifacts.display(), target.name),
        format!("-max_len={}", target.longest),
        format!("-timeout={SECONDS}"),
        format!("-rss_limit_mb={MEBIBYTES}"),
        "-print_final_stats=1".to_owned(),
    ]);
    let corpus = place.join(length.corpus()).join(target.name);
    match length {
        Length::Seconds(seconds) => command.arg(format!("-max_total_time={seconds}")),
        Length::Brief => {
            if corpus.exists() {
                fs::remove_dir_all(&corpus)?;
            }
            command.args([
                "-verbosity=0".to_owned(),
                "-seed=1".to_owned(),
                format!("-runs={BRIEF_INPUTS}"),
                format!("-max_total_time={BRIEF_SECONDS}"),
            ])
        }
    };
    fs::create_dir_all(&corpus)?;
    // What is found on the way is kept in the first directory.
    command.arg(corpus).args(seeds(target)?);
    Ok(command)
}

fn seeds(target: &Target) -> Result<Vec<PathBuf>> {
    let root = workspace()?;
    let seeds: Vec<PathBuf> = target.seeds.iter().map(|seeds| root.join(seeds)).collect();
    match seeds.iter().find(|seeds| !seeds.is_dir()) {
        Some(missing) => bail!("{} is no directory", missing.display()),
        None => Ok(seeds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_and_is_built() {
        let manifest =
            fs::read_to_string(workspace().expect("the workspace").join("fuzz/Cargo.toml")).expect("it");
        for target in TARGETS {
            assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
            let seeds = seeds(target).expect("seeds");
            assert!(seeds.iter().all(|seeds| seeds.read_dir().is_ok_and(|mut files| files.next().is_some())));
        }
    }

    #[test]
    fn a_brief_run_is_the_same_every_time() {
        let place = std::env::temp_dir().join("sg-fuzz-test");
        let known = place.join("corpus-of-a-brief-run/parse/known");
        fs::create_dir_all(&known).expect("a directory");
        let of = |length| {
            let command = command(&TARGETS[1], Path::new("parse"), &place, length).expect("a command");
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert!(of(Length::Brief).contains(&"-seed=1".to_owned()));
        assert!(!known.exists(), "it begins with the seeds alone");
        assert!(of(Length::Seconds(7)).contains(&"-max_total_time=7".to_owned()));
        fs::remove_dir_all(place).expect("it was made");
    }
}
