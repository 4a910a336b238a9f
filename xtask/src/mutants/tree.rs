//! A copy of the workspace that may be broken.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::table::Mutant;

/// The copy. What did not change keeps its time, so that builds in it are incremental.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Brings the copy at `root` up to date with `source`, but for git's own files and what is built there.
    pub fn of(source: &Path, root: PathBuf) -> Result<Self> {
        let wanted = files(source, source)?;
        for file in &wanted {
            copy(&source.join(file), &root.join(file)).with_context(|| format!("copying {file}"))?;
        }
        for gone in files(&root, &root)?.difference(&wanted) {
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

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(to, bytes)
}

/// The files below `directory`, named from `root`.
fn files(root: &Path, directory: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // Cargo marks its target directories by the file that backups look for.
        let is_left_out = path.ends_with(".git") || path.join("CACHEDIR.TAG").is_file();
        if path.is_dir() && !is_left_out {
            found.extend(files(root, &path)?);
        } else if path.is_file() && !is_left_out {
            found.insert(path.strip_prefix(root)?.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_what_the_source_has_and_nothing_built() {
        let place = std::env::temp_dir().join("sg-mutants-test");
        let (source, root) = (place.join("source"), place.join("copy"));
        for (file, text) in [
            ("source/a/kept", "1"),
            ("source/.git/index", ""),
            ("source/target/CACHEDIR.TAG", ""),
            ("source/target/built", ""),
            ("copy/gone", ""),
            ("copy/a/kept", "0"),
        ] {
            let file = place.join(file);
            fs::create_dir_all(file.parent().expect("a directory")).expect("it is made");
            fs::write(file, text).expect("it is written");
        }
        let tree = Tree::of(&source, root).expect("a copy");
        assert_eq!(files(tree.root(), tree.root()).expect("files"), ["a/kept".to_owned()].into());
        assert_eq!(fs::read_to_string(tree.root().join("a/kept")).expect("a file"), "1");
        fs::remove_dir_all(place).expect("it was made");
    }
}
