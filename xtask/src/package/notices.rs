//! The licences of the libraries that are linked into the program.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    exec::{cargo, output},
    place::workspace,
};

/// Files of a crate that state its licence begin so.
const NAMES: &[&str] = &["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// Name, version, licence and licence files of every crate in sg-agent that is not of this workspace.
pub fn collect() -> Result<String> {
    let sources = sources()?;
    let mut text = "Libraries in sg-agent, and their licences.\n".to_owned();
    for line in crates()? {
        let (name, licence) = line.split_once('\t').unwrap_or((&line, "not stated"));
        write!(text, "\n{}\n{name}\nlicence: {licence}\n", "=".repeat(80))?;
        let directory = sources.iter().map(|source| source.join(name)).find(|path| path.is_dir());
        for file in directory.map(|path| licences(&path)).transpose()?.unwrap_or_default() {
            let said = fs::read(&file).with_context(|| file.display().to_string())?;
            write!(text, "\n{}\n", String::from_utf8_lossy(&said).trim_end())?;
        }
    }
    Ok(text)
}

/// `name-version` and licence of each, in order.
fn crates() -> Result<Vec<String>> {
    let mut tree = cargo();
    tree.args(["tree", "--package", "sg-agent", "--edges", "normal", "--prefix", "none", "--locked"]);
    tree.args(["--format", "{p}\t{l}"]).current_dir(workspace()?);
    let said = output(&mut tree).context("`cargo tree` fails")?;
    let mut crates: Vec<String> = said.lines().filter_map(entry).collect();
    crates.sort();
    crates.dedup();
    ensure!(!crates.is_empty(), "`cargo tree` names no library");
    Ok(crates)
}

/// `serde v1.0.1 (proc-macro)<tab>MIT (*)` -> `serde-1.0.1<tab>MIT`; nothing for crates that live in a directory.
fn entry(line: &str) -> Option<String> {
    let (package, licence) = line.split_once('\t')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let local = words.any(|word| word.starts_with("(/"));
    (!local).then(|| format!("{name}-{version}\t{}", licence.trim_end_matches(" (*)")))
}

/// Where cargo keeps the sources of crates.
fn sources() -> Result<Vec<PathBuf>> {
    let home = crate::exec::cargo_bin().context("no home directory of cargo")?;
    let registry = home.with_file_name("registry").join("src");
    let found = fs::read_dir(&registry).with_context(|| registry.display().to_string())?;
    Ok(found.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect())
}

fn licences(directory: &Path) -> Result<Vec<PathBuf>> {
    let of_licence = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().to_uppercase()).unwrap_or_default();
        path.is_file() && NAMES.iter().any(|begin| name.starts_with(begin))
    };
    let entries = fs::read_dir(directory)?.collect::<std::io::Result<Vec<_>>>()?;
    let mut found: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).filter(of_licence).collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_is_a_crate_with_its_licence() {
        assert_eq!(
            entry("log v0.4.1\tMIT OR Apache-2.0 (*)").as_deref(),
            Some("log-0.4.1\tMIT OR Apache-2.0")
        );
        assert_eq!(entry("sg-common v0.1.0 (/src/sg-common)\tMIT"), None);
        let derive = entry("serde_derive v1.0.2 (proc-macro)\tMIT");
        assert_eq!(derive.as_deref(), Some("serde_derive-1.0.2\tMIT"));
    }
}
