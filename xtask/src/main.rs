//! `cargo xtask`: the only commands that the README and CI need.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{
    bench, build, catalogue, ci, dashboard, demo, fuzz, mutants, package, replay, setup, soak, test,
};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set-up, build, test, bench and demo of the workspace")]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Find or install what building and testing need
    Setup(setup::Options),
    /// Build the BPF object, then the sg-agent that embeds it
    Build(build::Options),
    /// Set up, build, and run every test
    Test(test::Options),
    /// Write the page that says which test shows which scenario
    Catalogue(catalogue::Options),
    /// Run what CI runs: formatting, lints, build, tests
    Ci(ci::Options),
    /// Draw the Grafana dashboard of a host under traffic, answered by a real Prometheus
    Dashboard(dashboard::Options),
    /// Show the firewall at work on namespaces of this machine
    Demo(demo::Options),
    /// Measure the dataplane on this machine
    Bench(bench::Options),
    /// Run libFuzzer on the parser, the reader of policy files and the control socket
    Fuzz(fuzz::Options),
    /// Break a copy of the source in known ways, and see a test turn red on each
    Mutants(mutants::Options),
    /// Make a Debian package; with --test, run it under a systemd of its own
    Package(package::Options),
    /// Replay captures through the loaded programs and the model of the specification
    Replay(replay::Options),
    /// Run the daemon under mixed traffic, kills and changes for a long time
    Soak(soak::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Verb::Setup(options) => setup::whole(&options).map(|()| ExitCode::SUCCESS),
        Verb::Build(options) => build::run(&options).map(|()| ExitCode::SUCCESS),
        Verb::Test(options) => test::run(&options),
        Verb::Catalogue(options) => catalogue::run(&options).map(|()| ExitCode::SUCCESS),
        Verb::Ci(options) => ci::run(&options),
        Verb::Dashboard(options) => dashboard::run(&options).map(|never| match never {}),
        Verb::Demo(options) => demo::run(&options).map(|never| match never {}),
        Verb::Fuzz(options) => fuzz::run(&options),
        Verb::Mutants(options) => mutants::run(&options),
        Verb::Package(options) => package::run(&options),
        Verb::Replay(options) => replay::run(&options).map(|never| match never {}),
        Verb::Soak(options) => soak::run(&options).map(|never| match never {}),
        Verb::Bench(options) => bench::run(&options).map(|never| match never {}),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
