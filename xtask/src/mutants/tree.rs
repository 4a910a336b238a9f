//! A copy of the workspace that may be broken.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::table::Mutant;
use crate::exec::output;

/// The copy. What did not change keeps its time, so that builds in it are incremental.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Brings the copy at `root` up to date with `source`: what git tracks there or would, as it is on disk.
    pub fn of(source: &Path, root: PathBuf) -> Result<Self> {
        let wanted = files(source)?;
        for file in &wanted {
            copy(&source.join(file), &root.join(file)).with_context(|| format!("copying {file}"))?;
        }
        for gone in present(&root, &root)?.difference(&wanted) {
            fs::remove_file(root.join(gone)).with_context(|| format!("removing {gone}"))?;
        }
        Ok(Self { root })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Does `work` with the mutant in the copy, and takes it out again.
    pub fn broken_by<T>(&self, mutant: &Mutant, work: impl FnOnce() -> T) -> Result<T> {
        let path = self.root.join(mutant.file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        fs::write(&path, apply(mutant, &text)?)?;
        let done = work();
        fs::write(&path, text)?;
        Ok(done)
    }
}

/// `text` with the mutant in it.
pub fn apply(mutant: &Mutant, text: &str) -> Result<String> {
    match text.matches(mutant.old).count() {
        1 => Ok(text.replacen(mutant.old, mutant.new, 1)),
        count => bail!("`{}` occurs {count} times in {}", mutant.old, mutant.file),
    }
}

fn files(source: &Path) -> Result<BTreeSet<String>> {
    let mut git = Command::new("git");
    git.current_dir(source).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = output(&mut git).context("`git ls-files` does not tell what is to be copied")?;
    let is_there = |file: &&str| !file.is_empty() && source.join(file).is_file();
    Ok(list.split('\0').filter(is_there).map(str::to_owned).collect())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(to, bytes)
}

/// The files below `directory`, named from `root`.
fn present(root: &Path, directory: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(present(root, &path)?);
        } else {
            found.insert(path.strip_prefix(root)?.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}
