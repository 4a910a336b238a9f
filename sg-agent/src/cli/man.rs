//! `sg-agent man`: manual pages, from the same definitions as the command line itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap_mangen::roff::{Inline, Roff, bold, roman};

/// Print the manual page sg-agent(1), or write one page per command, for packagers
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Write sg-agent.1 and a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What the header line of every page calls the whole.
const MANUAL: &str = "Security groups for hypervisors";

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "The input is wrong."),
    ("2", "The command line is wrong."),
    (
        "3",
        "The environment is missing something, which is named: a capability, a kernel feature, a running agent.",
    ),
    ("4", "Refused by what is loaded: it does not fit, is in use, or was not confirmed."),
];

const FILES: &[(&str, &str)] = &[
    ("/etc/sg/policy.yaml", "The policy of this host, as the service reads it; see sg-policy(5)."),
    ("/sys/fs/bpf/sg", "Programs, tables and links. What is here filters, whether an agent runs or not."),
    ("/run/sg", "What is to be remembered about the policy in force."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("SG_BPFFS", "Stands for --bpffs."),
    ("SG_STATE_DIR", "Stands for --state-dir."),
    ("SG_SOCKET", "Stands for --socket."),
    ("SG_LOG", "How much is logged to standard error: error, warn, info, debug or trace."),
];

impl Man {
    /// Prints or writes.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut command = super::public().disable_help_subcommand(true);
        command.build();
        match &self.dir {
            Some(directory) => write_all(&command, directory)?,
            None => super::print(&page(&command)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the pages of `command` and of every command below it.
fn write_all(command: &clap::Command, directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    for below in command.get_subcommands() {
        write_all(below, directory)?;
    }
    let path = directory.join(manual(command).get_filename());
    fs::write(&path, page(command)?).with_context(|| path.display().to_string())?;
    Ok(())
}

fn manual(command: &clap::Command) -> clap_mangen::Man {
    let source = concat!("sg ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command.clone()).source(source).manual(MANUAL)
}

/// A page in roff.
fn page(command: &clap::Command) -> anyhow::Result<String> {
    let manual = manual(command);
    let mut text = Vec::new();
    manual.render_title(&mut text)?;
    manual.render_name_section(&mut text)?;
    manual.render_synopsis_section(&mut text)?;
    manual.render_description_section(&mut text)?;
    manual.render_options_section(&mut text)?;
    if command.has_subcommands() {
        manual.render_subcommands_section(&mut text)?;
    }
    closing(is_top(command)).to_writer(&mut text)?;
    Ok(String::from_utf8(text)?)
}

fn is_top(command: &clap::Command) -> bool {
    command.get_bin_name().is_none_or(|name| name == "sg-agent")
}

/// The sections that no definition of an option tells.
fn closing(top: bool) -> Roff {
    let mut roff = Roff::new();
    if top {
        entries(&mut roff, "EXIT STATUS", EXIT_STATUS);
        entries(&mut roff, "FILES", FILES);
        entries(&mut roff, "ENVIRONMENT", ENVIRONMENT);
    }
    roff.control("SH", ["SEE ALSO"]);
    let policy: [Inline; 2] = [bold("sg-policy"), roman("(5)")];
    match top {
        true => roff.text(policy),
        false => roff.text(
            [[bold("sg-agent"), roman("(1) for exit status, files and environment, ")], policy].concat(),
        ),
    };
    roff
}

fn entries(roff: &mut Roff, heading: &str, rows: &[(&str, &str)]) {
    roff.control("SH", [heading]);
    for (term, meaning) in rows {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*meaning)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top() -> String {
        let mut command = super::super::public().disable_help_subcommand(true);
        command.build();
        page(&command).expect("a page")
    }

    #[test]
    fn the_page_names_every_command_and_every_exit_status() {
        let page = top();
        for command in super::super::public().get_subcommands() {
            let name = command.get_name().replace('-', "\\-");
            assert!(page.contains(&format!("sg\\-agent\\-{name}(1)")), "{name}");
        }
        for (status, _) in EXIT_STATUS {
            assert!(page.contains(&format!("\\fB{status}\\fR\n")), "{status}");
        }
        assert!(!page.contains("clock"), "a hidden command has no place in the manual");
    }

    #[test]
    fn every_command_has_a_page_of_its_own() {
        let directory = tempfile::tempdir().expect("a directory");
        let man = Man { dir: Some(directory.path().join("new")) };
        man.run().expect("pages");
        for name in ["sg-agent", "sg-agent-apply", "sg-agent-conntrack-list", "sg-agent-man"] {
            let page = fs::read_to_string(directory.path().join(format!("new/{name}.1"))).expect(name);
            assert!(page.contains(&format!(".TH {name} 1")) && page.contains(".SH \"SEE ALSO\""), "{page}");
        }
        assert!(!directory.path().join("new/sg-agent-clock-offset.1").exists());
    }
}
