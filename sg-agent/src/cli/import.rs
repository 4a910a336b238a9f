//! `sg-agent import FILE...`.

use std::{
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use serde::Serialize;

use crate::{
    dataplane::Error,
    import::{self, From, Imported, neutral::Effect},
    policy::render,
};

/// Turn the security groups of another product into a policy file
#[derive(Debug, clap::Args)]
pub struct Import {
    /// What other products print: JSON, or templates; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What the files are
    #[arg(long, value_enum, default_value_t = From::Auto)]
    from: From,
    /// Write the policy file there instead of to standard output
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Replace the output file if there is one
    #[arg(long, requires = "output")]
    force: bool,
    /// Print JSON: the policy file and what was not carried over
    #[arg(long)]
    json: bool,
}

/// Writes beside and renames: whoever watches the file never sees half of it.
fn whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    groups: usize,
    rules: usize,
    notes: Vec<Note<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
}

#[derive(Serialize)]
struct Note<'a> {
    number: usize,
    effect: Effect,
    file: &'a str,
    line: u32,
    column: u32,
    resource: &'a str,
    message: &'a str,
}

impl Import {
    /// Prints the policy file, and on standard error what it lacks.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(path) = self.output.as_ref().filter(|path| !self.force && path.symlink_metadata().is_ok())
        {
            let name = render::printable(&path.display().to_string());
            return Err(Error::InUse(format!("{name} is there already: --force replaces it")).into());
        }
        let imported = match import::import(&self.files, self.from) {
            Ok(imported) => imported,
            Err((faults, sources)) => {
                if self.json {
                    super::print(&(render::json(&faults, &sources, false)? + "\n"))?;
                } else {
                    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
                    super::print_error(&render::human(&faults, &sources, colour))?;
                }
                return Ok(ExitCode::FAILURE);
            }
        };
        if let Some(path) = &self.output {
            whole(path, &imported.policy).with_context(|| format!("writing {}", path.display()))?;
        }
        if self.json {
            self.report(&imported)?
        } else {
            self.text(&imported)?
        }
        Ok(ExitCode::SUCCESS)
    }

    fn text(&self, imported: &Imported) -> anyhow::Result<()> {
        if self.output.is_none() {
            super::print(&imported.policy)?;
        }
        let mut said = format!(
            "groups: {}, rules: {}, notes: {}\n",
            imported.groups,
            imported.rules,
            imported.notes.len()
        );
        for line in import::listed(&imported.notes, &imported.sources) {
            said += &(render::printable(&line) + "\n");
        }
        super::print_error(&said)
    }

    fn report(&self, imported: &Imported) -> anyhow::Result<()> {
        let notes = (1..).zip(&imported.notes).map(|(number, note)| Note {
            number,
            effect: note.effect,
            file: imported.sources.name(note.place.span.file),
            line: note.place.span.line,
            column: note.place.span.column,
            resource: &note.place.what,
            message: &note.message,
        });
        super::print_json(&Report {
            ok: true,
            groups: imported.groups,
            rules: imported.rules,
            notes: notes.collect(),
            policy: self.output.is_none().then_some(imported.policy.as_str()),
        })
    }
}
