//! `sg-agent completions SHELL`.

use std::process::ExitCode;

use clap_complete::Shell;

/// Print the completion script of a shell, for packagers
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        let mut command = super::public();
        clap_complete::generate(self.shell, &mut command, "sg-agent", &mut script);
        super::print(&String::from_utf8(script)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
