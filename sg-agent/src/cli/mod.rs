//! The command line: one verb, one file. Exit status: 0 done, 1 the input is wrong, 2 usage, 3 the
//! environment is missing something, 4 refused.

mod answer;
pub mod apply;
pub mod attach;
pub mod check;
mod client;
pub mod clock_offset;
pub mod colour;
pub mod completions;
pub mod confirm;
pub mod conntrack;
mod difference;
mod dry_run;
pub mod explain;
mod fit;
pub mod import;
pub mod kernel_log;
pub mod man;
mod missing;
pub mod monitor;
pub mod rules;
pub mod run;
pub mod schema;
pub mod served;
pub mod service;
pub mod stats;
pub mod status;
pub mod template;
pub mod top;
pub mod unload;
mod wire;

use std::process::ExitCode;

pub use answer::Answer;
use clap::CommandFactory as _;
pub use client::Client;
pub use served::Served;

use crate::{
    dataplane::{self, Options},
    explain::Incomplete,
};

/// Exit status of input that is wrong.
const FAILURE: u8 = 1;
/// Exit status of arguments that do not go together, as clap's.
const USAGE: u8 = 2;

const EXIT_STATUS: &str = "Exit status: 0 done, 1 the input is wrong, 2 usage, 3 the environment is missing something, \
                           4 refused by what is loaded.";

/// `sg-agent`.
#[derive(Debug, clap::Parser)]
#[command(name = "sg-agent", version, about, after_help = EXIT_STATUS)]
pub struct Cli {
    /// Where things live.
    #[command(flatten)]
    pub options: Options,
    /// Where the daemon is.
    #[command(flatten)]
    pub client: Client,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs, in the order in which they are listed: policy files, what a daemon serves, what goes with a policy, and the
/// rest.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Validate a policy file: every fault, then what is doubtful about it
    Check(check::Check),
    /// Keep a policy file in force: the daemon
    Run(run::Run),
    #[command(flatten)]
    /// Those that a daemon serves
    Served(Served),
    /// Stream drops with their reason, what audit groups would drop, opened and closed connections
    Monitor(monitor::Monitor),
    /// Watch interfaces, connections, drops and rules live
    Top(top::Top),
    /// List and show the built-in templates
    Template(template::Template),
    /// List the service presets
    Service(service::Service),
    /// Turn the security groups of another product into a policy file
    Import(import::Import),
    /// Print the JSON Schema of the policy file, for editors
    Schema(schema::Schema),
    /// Follow the kernel side's debugging log (programs loaded with SG_KERNEL_LOG=debug)
    KernelLog(kernel_log::KernelLog),
    /// Print the completion script of a shell, for packagers
    Completions(completions::Completions),
    /// Print the manual page sg-agent(1), or write one page per command, for packagers
    Man(man::Man),
    /// Move the kernel side's clock ahead, for tests
    #[command(hide = true)]
    ClockOffset(clock_offset::ClockOffset),
}

impl Cli {
    /// Does it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Self { options, client, command } = self;
        match command {
            Command::Served(verb) => verb.run(&options, &client),
            Command::Check(verb) => verb.run(),
            Command::ClockOffset(verb) => verb.run(&options),
            Command::Completions(verb) => verb.run(),
            Command::KernelLog(verb) => verb.run(&options),
            Command::Import(verb) => verb.run(),
            Command::Man(verb) => verb.run(),
            Command::Monitor(verb) => verb.run(&options, &client),
            Command::Run(verb) => verb.run(&options, &client),
            Command::Schema(verb) => verb.run(),
            Command::Service(verb) => verb.run(),
            Command::Template(verb) => verb.run(),
            Command::Top(verb) => verb.run(&options),
        }
    }

    /// How much is logged where `SG_LOG` does not say: a daemon tells what it does.
    pub fn log_level(&self) -> &'static str {
        if matches!(self.command, Command::Run(_)) { "info" } else { "warn" }
    }
}

/// The command line without what is hidden, for manuals and completions.
fn public() -> clap::Command {
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect::<Vec<_>>();
    clap::Command::new("sg-agent")
        .version(env!("CARGO_PKG_VERSION"))
        .about(all.get_about().cloned().unwrap_or_default())
        .subcommand_required(true)
        .args(all.get_arguments().cloned())
        .subcommands(shown)
}

/// The exit status that goes with `error`.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Incomplete>() {
        return USAGE;
    }
    error.downcast_ref::<dataplane::Error>().map_or(FAILURE, dataplane::Error::exit_code)
}

/// Writes to standard output; a reader that went away (`| head`) is no fault.
fn print(text: &str) -> anyhow::Result<()> {
    write_all(&mut std::io::stdout().lock(), text)
}

/// Writes one line of JSON to standard output.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string(value)? + "\n"))
}

/// Writes to standard error.
fn print_error(text: &str) -> anyhow::Result<()> {
    write_all(&mut std::io::stderr().lock(), text)
}

fn write_all(to: &mut dyn std::io::Write, text: &str) -> anyhow::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
