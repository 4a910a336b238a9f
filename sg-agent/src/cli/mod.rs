//! The command line: one verb, one file. Exit status: 0 done, 1 the input is wrong, 2 usage, 3 the
//! environment is missing something, 4 refused.

pub mod apply;
pub mod attach;
pub mod check;
pub mod clock_offset;
pub mod colour;
pub mod confirm;
pub mod conntrack;
mod difference;
mod dry_run;
pub mod explain;
mod fit;
pub mod import;
pub mod kernel_log;
mod missing;
pub mod monitor;
pub mod rules;
pub mod schema;
pub mod service;
pub mod stats;
pub mod status;
pub mod template;
pub mod top;
pub mod unload;

use std::process::ExitCode;

use crate::{
    dataplane::{self, Options},
    explain::Incomplete,
};

/// Exit status of arguments that do not go together, as clap's.
const USAGE: u8 = 2;

/// `sg-agent`.
#[derive(Debug, clap::Parser)]
#[command(name = "sg-agent", version, about)]
pub struct Cli {
    /// Where things live.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Load a policy file into the kernel and return when it is in force
    Apply(apply::Apply),
    /// Bind an interface to groups and return when it is enforced
    Attach(attach::Attach),
    /// Validate a policy file: every fault, then what is doubtful about it
    Check(check::Check),
    /// Make a change that waits for its confirmation lasting
    Confirm(confirm::Confirm),
    /// Move the kernel side's clock ahead, for tests
    #[command(hide = true)]
    ClockOffset(clock_offset::ClockOffset),
    /// Follow the kernel side's debugging log (programs loaded with SG_KERNEL_LOG=debug)
    KernelLog(kernel_log::KernelLog),
    /// List, count and end tracked connections
    Conntrack(conntrack::Conntrack),
    /// Take the binding of an interface back; it is not filtered any more
    Detach(attach::Detach),
    /// Ask what would become of a packet, and why
    Explain(explain::Explain),
    /// Turn the security groups of another product into a policy file
    Import(import::Import),
    /// Stream drops with their reason, opened and closed connections
    Monitor(monitor::Monitor),
    /// Return to the policy before
    Rollback(confirm::Rollback),
    /// Show every rule in force with what it decided
    Rules(rules::Rules),
    /// Print the JSON Schema of the policy file, for editors
    Schema(schema::Schema),
    /// List the service presets
    Service(service::Service),
    /// Show packets and drops by interface and reason
    Stats(stats::Stats),
    /// Interfaces, hooks in use, groups, generation, conntrack fill
    Status(status::Status),
    /// List and show the built-in templates
    Template(template::Template),
    /// Watch interfaces, connections, drops and rules live
    Top(top::Top),
    /// Detach everything and remove every pin
    Unload(unload::Unload),
}

impl Command {
    /// Does it.
    pub fn run(self, options: &Options) -> anyhow::Result<ExitCode> {
        match self {
            Command::Apply(verb) => verb.run(options),
            Command::Attach(verb) => verb.run(options),
            Command::Check(verb) => verb.run(),
            Command::Confirm(verb) => verb.run(options),
            Command::ClockOffset(verb) => verb.run(options),
            Command::KernelLog(verb) => verb.run(options),
            Command::Conntrack(verb) => verb.run(options),
            Command::Detach(verb) => verb.run(options),
            Command::Explain(verb) => verb.run(options),
            Command::Import(verb) => verb.run(),
            Command::Monitor(verb) => verb.run(options),
            Command::Rollback(verb) => verb.run(options),
            Command::Rules(verb) => verb.run(options),
            Command::Schema(verb) => verb.run(),
            Command::Service(verb) => verb.run(),
            Command::Stats(verb) => verb.run(options),
            Command::Status(verb) => verb.run(options),
            Command::Template(verb) => verb.run(),
            Command::Top(verb) => verb.run(options),
            Command::Unload(verb) => verb.run(options),
        }
    }
}

/// The exit status that goes with `error`.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<Incomplete>() {
        return USAGE.into();
    }
    match error.downcast_ref::<dataplane::Error>() {
        Some(error) => error.exit_code().into(),
        None => ExitCode::FAILURE,
    }
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
