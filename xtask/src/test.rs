//! `cargo xtask test`: sets up, builds, runs every test, and ends with `N passed, N failed`.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    num::NonZero,
    process::{Command, ExitCode},
    sync::Mutex,
    thread,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    build,
    exec::{cargo, exec_watched, output},
    failures::{Failures, Picker, Report},
    fuzz, mutants,
    place::workspace,
    privilege::Privilege,
    probe, prometheus, setup,
    summary::Summary,
};

/// `cargo xtask test`
#[derive(clap::Args, Default)]
pub struct Options {
    /// Only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Only the tests that need neither root nor the BPF toolchain
    #[arg(long)]
    pure: bool,
    /// Optimise the tests
    #[arg(long)]
    release: bool,
}

// The kinds of targets are named because without them `cargo test` runs the doc tests too.
const HOST_SIDE: &[&str] =
    &["--workspace", "--exclude", "sg-ebpf", "--exclude", "sg-tests", "--lib", "--bins", "--tests"];
const HOST_DOCS: &[&str] = &["--workspace", "--exclude", "sg-ebpf", "--exclude", "sg-tests"];
/// Not its binary, which only the kernel can run.
const KERNEL_SIDE: &[&str] = &["--package", "sg-ebpf", "--lib"];
const ROOT: &[&str] = &["--package", "sg-tests", "--lib", "--bins", "--tests"];

/// What runs the tests of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runner {
    /// `cargo nextest`: tests of all binaries at once, a process each.
    Nextest,
    /// `cargo test`: one binary after the other.
    Cargo,
    /// `cargo test --doc`, which nextest cannot.
    Doc,
}

/// One run of a test runner.
#[derive(Debug, PartialEq, Eq)]
struct Stage {
    name: &'static str,
    runner: Runner,
    selection: &'static [&'static str],
    root: bool,
}

/// Runs the tests; success is at least one that passed and none that failed.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut given = Vec::new();
    let mut skipped = None;
    if !options.pure {
        build::bpf(&setup::run(&setup::Options::default())?, &[build::PRODUCT, build::BENCH])?;
        given.push(("SG_AGENT", build::agent(options.release)?.into_os_string()));
        skipped = prometheus::provide().err();
        given.extend(skipped.as_ref().map(|_| (prometheus::WITHOUT, "1".into())));
    }
    let mut total = Summary::default();
    let mut failures = Failures::default();
    for stage in stages(nextest(), options.pure) {
        let outcome = run_stage(&stage, options, &given);
        total += counted(stage.name, outcome, &mut failures);
    }
    if !options.pure && options.filter.is_none() {
        eprintln!("== fuzz targets, briefly");
        total += counted("fuzz targets", fuzz::briefly(), &mut failures);
        eprintln!("== mutants, the quick ones");
        total += counted("mutants", mutants::judge(&mutants::Options::quick()), &mut failures);
    }
    eprint!("{failures}");
    if total == Summary::default() {
        eprintln!("no test ran");
    }
    if let Some(error) = skipped {
        println!("skipped: the tests of metrics against Prometheus, which cannot be had: {error:#}");
    }
    println!("{total}");
    Ok(if total.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What could not be started counts as a failure.
fn counted(name: &str, outcome: Result<Report>, failures: &mut Failures) -> Summary {
    let report = outcome.unwrap_or_else(|error| {
        eprintln!("{name}: {error:#}");
        let mut report = Report::default();
        report.fail(format!("{error:#}"));
        report
    });
    failures.add(name, report.failures);
    report.summary
}

fn stages(nextest: bool, pure: bool) -> Vec<Stage> {
    let runner = if nextest { Runner::Nextest } else { Runner::Cargo };
    let stage = |name, runner, selection, root| Stage { name, runner, selection, root };
    let mut stages = vec![
        stage("pure tests", runner, HOST_SIDE, false),
        stage("kernel side on the host", runner, KERNEL_SIDE, false),
        stage("examples in docs", Runner::Doc, HOST_DOCS, false),
    ];
    if !pure {
        stages.push(stage("tests as root", runner, ROOT, true));
    }
    stages
}

/// An error is a stage that could not be started.
fn run_stage(stage: &Stage, options: &Options, given: &[(&str, OsString)]) -> Result<Report> {
    eprintln!("== {}", stage.name);
    let mut command = cargo();
    command.args(arguments(stage, options)).current_dir(workspace()?);
    if stage.runner == Runner::Nextest && stage.root {
        command.env("NEXTEST_TEST_THREADS", root_threads().to_string());
        // They send real packets and wait for them, beside others that load the machine. Who needs the second try is told.
        command.env("NEXTEST_RETRIES", "1");
    }
    command.envs(given.iter().map(|(name, value)| (name, value)));
    if io::stderr().is_terminal() {
        // The runner sees a pipe, but its output goes to this terminal.
        command.env("CARGO_TERM_COLOR", "always");
    }
    if stage.root {
        as_root(&mut command)?;
    }
    let heard = Mutex::new((Summary::default(), Picker::default()));
    let status = exec_watched(&mut command, |line| {
        let Ok(mut heard) = heard.lock() else { return };
        let (summary, picker) = &mut *heard;
        let counts = match stage.runner {
            Runner::Nextest => {
                picker.nextest(line);
                Summary::of_nextest(line)
            }
            Runner::Cargo | Runner::Doc => {
                picker.libtest(line);
                Summary::of_libtest(line)
            }
        };
        if let Some(counts) = counts {
            *summary += counts;
        }
    })?;
    let (summary, picker) = heard.into_inner().unwrap_or_default();
    let mut failures = picker.into_lines();
    if status.success() {
        failures.retain(|line| is_second_try(line));
    }
    Ok(Report { summary: summary.with_exit(status.success()), failures })
}

fn arguments<'a>(stage: &Stage, options: &'a Options) -> Vec<&'a str> {
    let mut arguments: Vec<&str> = match stage.runner {
        Runner::Nextest => vec!["nextest", "run", "--no-tests=pass", "--failure-output=immediate-final"],
        Runner::Cargo => vec!["test"],
        Runner::Doc => vec!["test", "--doc"],
    };
    arguments.push("--no-fail-fast");
    if options.release {
        arguments.push("--release");
    }
    arguments.extend(stage.selection);
    if let Some(filter) = &options.filter {
        arguments.extend(["--", filter]);
    }
    arguments
}

/// Lets cargo build as this user but start the test programs as root.
pub(crate) fn as_root(command: &mut Command) -> Result<()> {
    match Privilege::probe() {
        Privilege::Root => {}
        Privilege::Sudo => {
            let host = probe::host().context("`rustc -vV` does not name its host")?;
            let variable = format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace('-', "_"));
            command.env(variable, "sudo -E");
        }
        Privilege::None => {
            bail!("these load BPF programs and make network namespaces: run as root, or install sudo")
        }
    }
    Ok(())
}

/// Whether nextest says that a test passed at its second try only (`FLAKY 2/2 [ 1.2s] sg-tests::daemon …`).
fn is_second_try(line: &str) -> bool {
    line.trim_start().starts_with("FLAKY")
}

/// Tests as root at once: those of the daemon and of real sockets wait more than they compute.
fn root_threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    cores + cores.div_ceil(2)
}

fn nextest() -> bool {
    output(cargo().args(["nextest", "--version"])).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(nextest: bool, options: &Options) -> Vec<String> {
        stages(nextest, options.pure).iter().map(|stage| arguments(stage, options).join(" ")).collect()
    }

    #[test]
    fn pure_leaves_out_what_needs_root() {
        assert!(stages(true, true).iter().all(|stage| !stage.root));
        assert!(stages(true, false).iter().any(|stage| stage.root));
    }

    #[test]
    fn a_filter_goes_to_every_runner() {
        let options = Options { filter: Some("icmp".to_owned()), ..Options::default() };
        for line in lines(true, &options).into_iter().chain(lines(false, &options)) {
            assert!(line.ends_with("-- icmp"), "{line}");
        }
    }

    #[test]
    fn works_without_nextest() {
        assert!(lines(false, &Options::default()).iter().all(|line| line.starts_with("test ")));
    }

    #[test]
    fn a_second_try_is_told() {
        assert!(is_second_try("   FLAKY 2/2 [   0.006s] (2/2) sg-tests::daemon reload"));
        assert!(!is_second_try("     Summary [   0.378s] 2 tests run: 2 passed (1 flaky), 0 skipped"));
    }

    #[test]
    fn every_stage_runs_to_its_end() {
        assert!(lines(true, &Options::default()).iter().all(|line| line.contains("--no-fail-fast")));
    }
}
