//! What goes into the package, and where to.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::notices;
use crate::{exec::exec, place::workspace};

/// A file of the workspace: its path there, its path in the package.
const FILES: &[(&str, &str)] = &[
    ("packaging/sg-agent.service", "usr/lib/systemd/system/sg-agent.service"),
    ("packaging/policy.yaml", "etc/sg/policy.yaml"),
    ("packaging/sg-policy.5", "usr/share/man/man5/sg-policy.5"),
    ("packaging/debian/copyright", "usr/share/doc/sg-agent/copyright"),
    ("docs/policy.schema.json", "usr/share/sg-agent/policy.schema.json"),
    ("CHANGELOG.md", "usr/share/doc/sg-agent/changelog"),
    ("rules.example.yaml", "usr/share/doc/sg-agent/rules.example.yaml"),
];

/// Folders of the workspace that lie among the documents as they lie there, so that links between them lead somewhere.
const FOLDERS: &[&str] = &["docs", "examples"];

/// The completion script of a shell: its name, its path in the package.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/sg-agent"),
    ("zsh", "usr/share/zsh/vendor-completions/_sg-agent"),
    ("fish", "usr/share/fish/vendor_completions.d/sg-agent.fish"),
];

/// Longer files of documentation are compressed, as Debian's policy (12.3, 12.7) has it.
const COMPRESS_ABOVE: u64 = 4096;

/// Lays everything that is installed out below `stage`.
pub fn stage(agent: &Path, version: &str, stage: &Path) -> Result<()> {
    let binary = stage.join("usr/bin/sg-agent");
    put(&binary, &fs::read(agent).with_context(|| agent.display().to_string())?)?;
    exec(Command::new("strip").args(["--strip-unneeded", "--remove-section=.comment"]).arg(&binary))?;
    let root = workspace()?;
    for (from, to) in FILES {
        put(&stage.join(to), &fs::read(root.join(from)).with_context(|| (*from).to_owned())?)?;
    }
    let documents = stage.join("usr/share/doc/sg-agent");
    for folder in FOLDERS {
        for path in files(&root.join(folder))? {
            let to = documents.join(path.strip_prefix(&root)?);
            put(&to, &fs::read(&path).with_context(|| path.display().to_string())?)?;
        }
    }
    for (shell, to) in COMPLETIONS {
        put(&stage.join(to), &said(agent, &["completions", shell])?)?;
    }
    let pages = stage.join("usr/share/man/man1");
    exec(Command::new(agent).args(["man", "--dir"]).arg(&pages))?;
    put(&documents.join("changelog.Debian"), changelog(version)?.as_bytes())?;
    put(&documents.join("third-party"), notices::collect()?.as_bytes())?;
    compress(&stage.join("usr/share/man"), 0)?;
    compress(&documents, COMPRESS_ABOVE)?;
    modes(stage)
}

fn put(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    fs::write(path, content).with_context(|| path.display().to_string())
}

/// What the agent prints.
fn said(agent: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(agent).args(arguments).output().with_context(|| agent.display().to_string())?;
    anyhow::ensure!(output.status.success(), "sg-agent {}: {}", arguments.join(" "), output.status);
    Ok(output.stdout)
}

/// Debian's changelog of the package, which needs a date: that of the last commit.
fn changelog(version: &str) -> Result<String> {
    let date = crate::exec::output(
        Command::new("git").args(["log", "-1", "--format=%cd", "--date=rfc2822"]).current_dir(workspace()?),
    );
    let date = date.unwrap_or_else(|| "Thu, 01 Jan 1970 00:00:00 +0000".to_owned());
    let by = super::deb::MAINTAINER;
    Ok(format!(
        "sg-agent ({version}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- {by}  {}\n",
        date.trim()
    ))
}

/// Compresses the files below `directory` that are longer than `above` bytes; scripts, licences and what links name stay
/// as they are.
fn compress(directory: &Path, above: u64) -> Result<()> {
    let plain = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        let is_linked = |part: std::path::Component| FOLDERS.iter().any(|folder| part.as_os_str() == *folder);
        let inside = path.strip_prefix(directory).unwrap_or(path);
        name == "copyright" || name == "rules.example.yaml" || inside.components().any(is_linked)
    };
    let always =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("changelog"));
    for path in files(directory)?.into_iter().filter(|path| !plain(path)) {
        if always(&path) || fs::metadata(&path)?.len() > above {
            exec(Command::new("gzip").args(["-9", "-n"]).arg(&path))?;
        }
    }
    Ok(())
}

/// Nobody's umask shows in the package.
fn modes(stage: &Path) -> Result<()> {
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .with_context(|| path.display().to_string())
    };
    for path in files(stage)? {
        let runs = fs::read(&path)?.starts_with(b"#!") || path.ends_with("usr/bin/sg-agent");
        set(&path, if runs { 0o755 } else { 0o644 })?;
        path.ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(stage))
            .try_for_each(|above| set(above, 0o755))?;
    }
    Ok(())
}

/// Every file below `directory`, in order.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_there() {
        let root = workspace().expect("the workspace");
        for (from, _) in FILES {
            assert!(root.join(from).is_file(), "{from}");
        }
    }
}
