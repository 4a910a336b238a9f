//! Where things are: the workspace, its target directory, the BPF object.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The rustc target of the kernel side: the BPF byte order of this host.
pub const BPF_TARGET: &str =
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };

/// The root of the workspace.
pub fn workspace() -> Result<PathBuf> {
    let xtask =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    Ok(xtask.parent().context("xtask has no parent directory")?.to_owned())
}

/// The target directory in use, whichever way it was configured: it is where cargo put this very program.
pub fn target_dir() -> Result<PathBuf> {
    let program = env::current_exe().context("the path of the running xtask")?;
    above_profile(&program).map(Path::to_owned).with_context(|| {
        format!("{} is not in a target directory; run it by `cargo xtask`", program.display())
    })
}

/// The target directory of the kernel side; its own, so that the two builds do not invalidate each other.
pub fn bpf_target_dir() -> Result<PathBuf> {
    Ok(target_dir()?.join("bpf"))
}

/// The BPF object `name`. `sg-agent/build.rs` looks for its own in the same place.
pub fn bpf_object(name: &str) -> Result<PathBuf> {
    Ok(bpf_target_dir()?.join(BPF_TARGET).join("release").join(name))
}

/// `TARGET/debug/xtask` -> `TARGET`.
fn above_profile(program: &Path) -> Option<&Path> {
    program.ancestors().nth(2).filter(|directory| !directory.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_directory_is_two_above_the_program() {
        assert_eq!(above_profile(Path::new("/src/sg/target/debug/xtask")), Some(Path::new("/src/sg/target")));
        assert_eq!(above_profile(Path::new("xtask")), None);
    }
}
