//! `cargo xtask setup`: finds or installs the BPF compiler, bpf-linker, and the programs that tests and demo run.
//!
//! What is found is never installed again. What cannot be installed is named, all of it at once, with the command
//! that would install it.

use std::{env, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::{
    exec::{exec, find_program, isolated},
    privilege::Privilege,
    probe, prometheus,
    toolchain::{
        APT_COMPILER, AptOffer, Compiler, LINKER_LLVMS, NIGHTLY, OLDEST_RUSTC, Origin, Route, choose, defect,
        linker_llvm, routes,
    },
};

/// The version of bpf-linker that the kernel side is known to build with.
pub const BPF_LINKER: &str = "0.13.0";

/// (program, its Debian package, what it is for)
pub(crate) type Program = (&'static str, &'static str, &'static str);

const PROGRAMS: &[Program] = &[
    ("ip", "iproute2", "makes the network namespaces and links of tests and demo"),
    ("tc", "iproute2", "attaches where the kernel has no TCX"),
    ("nft", "nftables", "the firewall that the bench compares with"),
    ("c++", "g++", "builds libFuzzer"),
    ("mount", "mount", "mounts the BPF file system where it is not"),
    ("xmllint", "libxml2-utils", "reads guests' definitions in the hook for libvirt"),
];

/// Longest wait for rustup, which on a closed network may retry for minutes.
const RUST_SOURCE_WAIT: Duration = Duration::from_secs(60);
const NIGHTLY_WAIT: Duration = Duration::from_secs(300);

/// `cargo xtask setup`
#[derive(clap::Args, Default)]
pub struct Options {}

/// `cargo xtask setup` itself: what only tests need is fetched too, and only missed if it cannot be had.
pub fn whole(options: &Options) -> Result<()> {
    run(options)?;
    if let Err(error) = prometheus::provide() {
        say("no luck", &format!("prometheus: {error:#}; tests that need it will be skipped"));
    }
    Ok(())
}

/// Makes this machine fit to build and test; returns the compiler for the kernel side.
pub fn run(_: &Options) -> Result<Compiler> {
    let mut apt = Apt::new();
    let compiler = compiler(&mut apt);
    let others = [bpf_linker(&mut apt), programs(&mut apt)];
    let missing: Vec<String> = compiler
        .as_ref()
        .err()
        .into_iter()
        .chain(others.iter().filter_map(|step| step.as_ref().err()))
        .map(|error| format!("\n- {error:#}"))
        .collect();
    match compiler {
        Ok(compiler) if missing.is_empty() => Ok(compiler),
        _ => bail!("this machine still lacks:{}", missing.concat()),
    }
}

fn compiler(apt: &mut Apt) -> Result<Compiler> {
    let compilers = probe::compilers();
    if let Some(compiler) = choose(&compilers) {
        say("found", &format!("BPF compiler: {}", describe(compiler)));
        return Ok(compiler.clone());
    }
    for compiler in &compilers {
        say("unfit", &format!("{}: {}", describe(compiler), defect(compiler).unwrap_or_default()));
    }
    apt.refresh();
    let rustup = find_program("rustup").is_some();
    for route in routes(&compilers, rustup, &probe::apt_offer(), apt.privilege) {
        match follow(&route, apt).map(|()| choose(&probe::compilers()).cloned()) {
            Ok(Some(compiler)) => return Ok(compiler),
            Ok(None) => say("no luck", "it is installed, but not usable"),
            Err(error) => say("no luck", &format!("{error:#}")),
        }
    }
    bail!(
        "a rustc, 1.{OLDEST_RUSTC} or later, with the sources of core, for the kernel side; {}either of\n    {}\n    {}",
        apt.hint(),
        apt_line(&APT_COMPILER),
        show_rustup(&Route::Nightly)
    )
}

fn follow(route: &Route, apt: &mut Apt) -> Result<()> {
    match route {
        Route::Apt => {
            apt.install(&APT_COMPILER, "Debian's rustc and the sources of core, to build the kernel side")
        }
        Route::RustSource(name) => {
            say("install", &format!("rust-src of {name}: the sources of core, to build the kernel side"));
            rustup(route, RUST_SOURCE_WAIT)
        }
        Route::Nightly => {
            say("install", &format!("{NIGHTLY} with the sources of core, to build the kernel side"));
            rustup(route, NIGHTLY_WAIT)
        }
    }
}

fn rustup(route: &Route, wait: Duration) -> Result<()> {
    let mut command = isolated("timeout");
    command.arg(wait.as_secs().to_string()).arg("rustup").args(rustup_arguments(route));
    exec(command.env("RUSTUP_MAX_RETRIES", "1"))
}

fn rustup_arguments(route: &Route) -> Vec<&str> {
    match route {
        Route::RustSource(name) => vec!["component", "add", "rust-src", "--toolchain", name],
        _ => vec!["toolchain", "install", NIGHTLY, "--profile", "minimal", "--component", "rust-src"],
    }
}

fn show_rustup(route: &Route) -> String {
    format!("rustup {}", rustup_arguments(route).join(" "))
}

fn bpf_linker(apt: &mut Apt) -> Result<()> {
    match probe::bpf_linker() {
        Some(version) if version == BPF_LINKER => {
            say("found", &format!("bpf-linker {version}"));
            return Ok(());
        }
        Some(version) => say("unfit", &format!("bpf-linker {version} is not {BPF_LINKER}")),
        None => {}
    }
    let llvm = llvm(apt)?;
    say(
        "install",
        &format!("bpf-linker {BPF_LINKER} with LLVM {llvm}, to link the kernel side (some minutes)"),
    );
    let mut install = linker_install(llvm);
    if find_program("bpf-linker").is_some() {
        install.arg("--force");
    }
    // Outside the workspace: its toolchain file and cargo configuration are not bpf-linker's.
    exec(install.current_dir("/")).context("bpf-linker")?;
    probe::bpf_linker().map(drop).context("bpf-linker: installed, but it does not run")
}

fn linker_install(llvm: u32) -> Command {
    let mut command = isolated(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if let Some(toolchain) = env::var_os("RUSTUP_TOOLCHAIN") {
        command.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    let feature = format!("llvm-{llvm}");
    command
        .env("LLVM_PREFIX", probe::llvm_prefix(llvm))
        .args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--no-default-features"])
        .args(["--features", &feature]);
    command
}

/// The LLVM to build bpf-linker with, installed if need be.
fn llvm(apt: &mut Apt) -> Result<u32> {
    let installed = probe::installed_llvms();
    if let Some(llvm) = linker_llvm(&installed, &AptOffer::default()) {
        say("found", &format!("LLVM {llvm}"));
        return Ok(llvm);
    }
    apt.refresh();
    let [first, second] = LINKER_LLVMS;
    let packages =
        linker_llvm(&installed, &probe::apt_offer()).map(|llvm| (llvm, format!("llvm-{llvm}-dev")));
    let Some((llvm, package)) = packages else {
        bail!(
            "LLVM {first} or {second} with headers, to build bpf-linker; no package source of this machine has it. \
             Add one that does (Debian: the security archive; any: the LLVM project's own), then\n    {}",
            apt_line(&[&format!("llvm-{first}-dev")])
        );
    };
    apt.install(&[&package], "to build bpf-linker with").map(|()| llvm)
}

fn programs(apt: &mut Apt) -> Result<()> {
    find_or_install(PROGRAMS, apt)
}

/// Finds or installs programs that only one verb needs.
pub(crate) fn programs_for_a_verb(programs: &[Program]) -> Result<()> {
    find_or_install(programs, &mut Apt { privilege: Privilege::probe(), refreshed: false })
}

fn find_or_install(programs: &[Program], apt: &mut Apt) -> Result<()> {
    let mut missing: Vec<&str> = Vec::new();
    for (program, package, purpose) in programs {
        if find_program(program).is_some() {
            say("found", program);
        } else {
            say("missing", &format!("{program}: {purpose}"));
            missing.push(package);
        }
    }
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    apt.refresh();
    apt.install(&missing, "for tests and demo")
}

/// The package manager, with its lists brought up to date at most once and only if something is to be installed.
pub(crate) struct Apt {
    privilege: Privilege,
    refreshed: bool,
}

impl Apt {
    pub(crate) fn new() -> Self {
        Self { privilege: Privilege::probe(), refreshed: false }
    }

    /// A failure is only told: the lists that are there may serve.
    pub(crate) fn refresh(&mut self) {
        if self.refreshed || find_program("apt-get").is_none() {
            return;
        }
        self.refreshed = true;
        let Some(mut command) = self.command() else { return };
        say("refresh", "the package lists, because something has to be installed");
        command.args(["update", "-qq", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"]);
        if let Err(error) = exec(&mut command) {
            say("no luck", &format!("{error:#}; going on with the lists of last time"));
        }
    }

    fn install(&mut self, packages: &[&str], purpose: &str) -> Result<()> {
        let names = packages.join(", ");
        if find_program("apt-get").is_none() {
            bail!("{names} ({purpose}): there is no apt-get here; install them by this system's own means");
        }
        let Some(mut command) = self.command() else {
            bail!("{names} ({purpose}): {}{}", self.hint(), apt_line(packages));
        };
        say("install", &format!("{names}: {purpose}"));
        command.args(["install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]);
        exec(command.args(packages)).with_context(|| format!("{names} ({purpose})"))
    }

    fn command(&self) -> Option<Command> {
        let mut command = self.privilege.command("env")?;
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        Some(command)
    }

    fn hint(&self) -> &'static str {
        match self.privilege {
            Privilege::None => "not root, and there is no sudo; as root: ",
            _ => "",
        }
    }
}

fn apt_line(packages: &[&str]) -> String {
    format!("apt-get install --no-install-recommends {}", packages.join(" "))
}

fn describe(compiler: &Compiler) -> String {
    let name = match &compiler.origin {
        Origin::RustupNightly(name) => format!("rustup's {name}"),
        Origin::System(rustc) => rustc.display().to_string(),
    };
    format!("{name} (1.{}, LLVM {})", compiler.minor, compiler.llvm)
}

/// Tells what was found or is done.
pub(crate) fn say(what: &str, text: &str) {
    eprintln!("{what:>8}  {text}");
}
