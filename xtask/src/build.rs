//! `cargo xtask build`: the BPF object, then the sg-agent that embeds it.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{
    exec::{cargo, exec, isolated},
    place::{BPF_TARGET, bpf_target_dir, target_dir, workspace},
    probe, setup,
    toolchain::{Compiler, Origin, choose},
};

/// For every crate of the kernel side, `core` included. `debuginfo` and `--btf` make the type information that the
/// loader and the verifier's messages need.
///
/// - version 3 of the instruction set has the atomic operations of the conntrack tables;
/// - without `--disable-expand-memcpy-in-order` buffers are cleared by a call of `memset`, byte by byte.
const BPF_FLAGS: &[&str] = &[
    "-C",
    "debuginfo=2",
    "-C",
    "target-cpu=v3",
    "-C",
    "link-arg=--btf",
    "-C",
    "link-arg=--disable-expand-memcpy-in-order",
];

/// The BPF object that sg-agent embeds.
pub const PRODUCT: &str = "sg-ebpf";
/// The BPF object that the bench measures it against.
pub const BENCH: &str = "sg-bench-ebpf";

/// `cargo xtask build`
#[derive(clap::Args)]
pub struct Options {
    /// Build sg-agent without optimisation; the BPF object always is optimised, the verifier takes no other
    #[arg(long)]
    debug: bool,
}

/// Builds both sides with what is installed.
pub fn run(options: &Options) -> Result<()> {
    let compilers = probe::compilers();
    let compiler =
        choose(&compilers).context("no compiler for the kernel side; `cargo xtask setup` finds one")?;
    if probe::bpf_linker().is_none() {
        bail!("no bpf-linker {}; `cargo xtask setup` installs it", setup::BPF_LINKER);
    }
    bpf(compiler, &[PRODUCT])?;
    let agent = agent(!options.debug)?;
    eprintln!("built {}", agent.display());
    Ok(())
}

/// Builds BPF objects, each a package and its binary of the same name, to where
/// [`bpf_object`](crate::place::bpf_object) says.
pub fn bpf(compiler: &Compiler, objects: &[&str]) -> Result<()> {
    let mut cargo = match &compiler.origin {
        Origin::RustupNightly(name) => {
            let mut rustup = isolated("rustup");
            rustup.args(["run", name, "cargo"]);
            rustup
        }
        Origin::System(rustc) => {
            let mut cargo = isolated(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            cargo
        }
    };
    cargo
        .current_dir(workspace()?)
        // As aya-build does: aya-ebpf has bindings per architecture of the kernel.
        .env("RUSTFLAGS", format!("--cfg=bpf_target_arch=\"{}\" {}", env::consts::ARCH, BPF_FLAGS.join(" ")))
        .args(["build", "--release", "--target", BPF_TARGET, "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(bpf_target_dir()?);
    for object in objects {
        cargo.args(["--package", object, "--bin", object]);
    }
    exec(&mut cargo)
}

/// Builds sg-agent around the BPF object; returns its path.
pub fn agent(release: bool) -> Result<PathBuf> {
    binary("sg-agent", "sg-agent", release)
}

/// Builds one host program; returns its path.
pub fn binary(package: &str, name: &str, release: bool) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.current_dir(workspace()?).args(["build", "--package", package, "--bin", name]);
    if release {
        cargo.arg("--release");
    }
    exec(&mut cargo)?;
    Ok(target_dir()?.join(if release { "release" } else { "debug" }).join(name))
}
