//! nftables: rule sets as text.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::netns::Netns;

/// Loads a rule set into a namespace, in one transaction.
///
/// # Errors
/// If nft is not there, or does not accept the text; says which line.
pub fn load(ns: &Netns, text: &str) -> Result<()> {
    let file = tempfile::NamedTempFile::new().context("a temporary file")?;
    std::fs::write(file.path(), text).context("writing a temporary file")?;
    let output = ns.output(Command::new("nft").arg("-f").arg(file.path()));
    ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The rules of a namespace's chain that have counted a packet, and how many, as `COUNT RULE`.
pub fn counted(ns: &Netns, family: &str, table: &str) -> Vec<String> {
    let output = ns.output(Command::new("nft").args(["list", "table", family, table]));
    let text = String::from_utf8_lossy(&output.stdout);
    let counting = text.lines().filter(|line| line.contains("counter packets"));
    counting.filter(|line| !line.contains("counter packets 0 ")).map(|line| line.trim().to_owned()).collect()
}
