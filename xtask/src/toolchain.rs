//! Which compiler builds the kernel side, and how to get one: decisions over probed facts, no side effects.
//!
//! The BPF targets come without a precompiled `core`, so the compiler needs the sources of `core` (`-Z build-std`).
//! That is an unstable option: a nightly takes it, another compiler does under `RUSTC_BOOTSTRAP=1`.

use std::path::{Path, PathBuf};

use crate::privilege::Privilege;

/// Oldest usable rustc, 1.x: the `rust-version` of the workspace.
pub const OLDEST_RUSTC: u32 = 95;

/// bpf-linker reads the compiler's bitcode by its own LLVM, which must not be older than the compiler's.
pub const NEWEST_COMPILER_LLVM: u32 = 22;

/// The LLVM versions that bpf-linker can be built with, in order of preference.
pub const LINKER_LLVMS: [u32; 2] = [22, 23];

/// The nightly to install where there is none: dated, because later ones move on to a newer LLVM.
pub const NIGHTLY: &str = "nightly-2026-05-20";

/// A compiler that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// Where it is from.
    pub origin: Origin,
    /// x in 1.x.
    pub minor: u32,
    /// Major version of its LLVM.
    pub llvm: u32,
    /// Whether the sources of `core` are beside it.
    pub core_source: bool,
}

/// Where a compiler is from, which decides how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A nightly under rustup, by toolchain name.
    RustupNightly(String),
    /// A compiler outside rustup.
    System(PathBuf),
}

/// What apt could install, as far as its lists tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AptOffer {
    /// x in the 1.x of `rustc-web`, Debian's current compiler, where `rust-web-src` is offered too.
    pub rustc_web: Option<u32>,
    /// The LLVM versions with an `llvm-N-dev`.
    pub llvm_dev: Vec<u32>,
}

/// One way to a usable compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `apt-get install` of Debian's compiler and sources.
    Apt,
    /// `rustup component add rust-src` to this toolchain.
    RustSource(String),
    /// `rustup toolchain install` of [`NIGHTLY`].
    Nightly,
}

/// The packages of [`Route::Apt`].
pub const APT_COMPILER: [&str; 2] = ["rustc-web", "rust-web-src"];

/// The best usable one of `compilers`: a nightly first, because it needs no bootstrap switch.
pub fn choose(compilers: &[Compiler]) -> Option<&Compiler> {
    let usable = |compiler: &&Compiler| defect(compiler).is_none();
    compilers.iter().filter(usable).min_by_key(|compiler| matches!(compiler.origin, Origin::System(_)))
}

/// Why `compiler` cannot build the kernel side, in words; `None` if it can.
pub fn defect(compiler: &Compiler) -> Option<String> {
    if compiler.minor < OLDEST_RUSTC {
        return Some(format!("1.{} is older than 1.{OLDEST_RUSTC}", compiler.minor));
    }
    if compiler.llvm > NEWEST_COMPILER_LLVM {
        return Some(format!(
            "its LLVM {} is newer than {NEWEST_COMPILER_LLVM}, bpf-linker's",
            compiler.llvm
        ));
    }
    (!compiler.core_source).then(|| "the sources of core (rust-src) are not installed".to_owned())
}

/// The ways to a usable compiler, most promising first. The distribution's mirror is tried before rustup's server:
/// LLVM comes from there anyway, and closed networks usually have one.
pub fn routes(compilers: &[Compiler], rustup: bool, apt: &AptOffer, privilege: Privilege) -> Vec<Route> {
    let mut routes = Vec::new();
    let apt_serves = apt.rustc_web.is_some_and(|minor| minor >= OLDEST_RUSTC);
    if apt_serves && privilege != Privilege::None {
        routes.push(Route::Apt);
    }
    if rustup {
        routes.push(lacking_source(compilers).map_or(Route::Nightly, Route::RustSource));
    }
    routes
}

/// The nightly that lacks nothing but `rust-src`.
fn lacking_source(compilers: &[Compiler]) -> Option<String> {
    compilers.iter().find_map(|compiler| match &compiler.origin {
        Origin::RustupNightly(name) => {
            let complete = Compiler { core_source: true, ..compiler.clone() };
            defect(&complete).is_none().then(|| name.clone())
        }
        Origin::System(_) => None,
    })
}

/// The LLVM to build bpf-linker with: an installed one, else one that apt has.
pub fn linker_llvm(installed: &[u32], apt: &AptOffer) -> Option<u32> {
    let first_of = |have: &[u32]| LINKER_LLVMS.into_iter().find(|llvm| have.contains(llvm));
    first_of(installed).or_else(|| first_of(&apt.llvm_dev))
}

/// Reads `rustc -vV`: (x in 1.x, LLVM major, host).
pub fn read_version(text: &str) -> Option<(u32, u32, String)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let minor = minor_of(field("release:")?)?;
    let llvm = field("LLVM version:")?.split('.').next()?.parse().ok()?;
    Some((minor, llvm, field("host:")?.to_owned()))
}

/// x in `1.x…`.
pub fn minor_of(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.split('.').next()?.parse().ok()
}

/// Reads `rustup toolchain list -v`: the nightlies and their directories.
pub fn read_nightlies(list: &str) -> Vec<(String, PathBuf)> {
    let nightly = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| name.starts_with("nightly"))?;
        let directory = words.rfind(|word| word.starts_with('/'))?;
        Some((name.to_owned(), Path::new(directory).to_owned()))
    };
    list.lines().filter_map(nightly).collect()
}

/// Reads the candidate version of one package from `apt-cache policy PACKAGE`.
pub fn read_candidate(policy: &str) -> Option<&str> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (version != "(none)").then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nightly(llvm: u32, core_source: bool) -> Compiler {
        Compiler { origin: Origin::RustupNightly("nightly".to_owned()), minor: 97, llvm, core_source }
    }

    fn debian(minor: u32, core_source: bool) -> Compiler {
        Compiler { origin: Origin::System("/usr/bin/rustc".into()), minor, llvm: 22, core_source }
    }

    fn bookworm() -> AptOffer {
        AptOffer { rustc_web: Some(96), llvm_dev: vec![14, 19, 22] }
    }

    #[test]
    fn nightly_with_sources_comes_first() {
        let compilers = [debian(96, true), nightly(22, true)];
        assert_eq!(choose(&compilers), Some(&compilers[1]));
    }

    #[test]
    fn nightly_without_sources_gives_way_to_debian() {
        let compilers = [nightly(22, false), debian(96, true)];
        assert_eq!(choose(&compilers), Some(&compilers[1]));
    }

    #[test]
    fn nightly_with_a_newer_llvm_gives_way_to_debian() {
        let compilers = [nightly(23, true), debian(96, true)];
        assert_eq!(choose(&compilers), Some(&compilers[1]));
    }

    #[test]
    fn nothing_usable() {
        assert_eq!(choose(&[]), None);
        assert_eq!(choose(&[nightly(22, false), debian(94, true), debian(96, false)]), None);
    }

    #[test]
    fn defects_name_what_is_wrong() {
        assert_eq!(defect(&debian(85, true)).as_deref(), Some("1.85 is older than 1.95"));
        assert!(defect(&nightly(23, true)).is_some_and(|text| text.contains("LLVM 23")));
        assert!(defect(&nightly(22, false)).is_some_and(|text| text.contains("rust-src")));
        assert_eq!(defect(&nightly(22, true)), None);
    }

    #[test]
    fn debian_mirror_before_rustup() {
        let routes = |compilers: &[Compiler]| routes(compilers, true, &bookworm(), Privilege::Sudo);
        assert_eq!(routes(&[]), [Route::Apt, Route::Nightly]);
        assert_eq!(routes(&[nightly(22, false)]), [Route::Apt, Route::RustSource("nightly".to_owned())]);
        assert_eq!(routes(&[nightly(23, false)]), [Route::Apt, Route::Nightly]);
    }

    #[test]
    fn without_root_only_rustup_is_left() {
        assert_eq!(routes(&[], true, &bookworm(), Privilege::None), [Route::Nightly]);
        assert_eq!(routes(&[], false, &bookworm(), Privilege::None), []);
    }

    #[test]
    fn too_old_an_offer_is_no_route() {
        let old = AptOffer { rustc_web: Some(85), llvm_dev: vec![19] };
        assert_eq!(routes(&[], false, &old, Privilege::Root), []);
    }

    #[test]
    fn an_installed_llvm_before_an_offered_one() {
        assert_eq!(linker_llvm(&[23], &bookworm()), Some(23));
        assert_eq!(linker_llvm(&[19], &bookworm()), Some(22));
        assert_eq!(linker_llvm(&[19], &AptOffer::default()), None);
    }

    #[test]
    fn reads_rustc_version() {
        let text = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n\
                    release: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(read_version(text), Some((97, 22, "x86_64-unknown-linux-gnu".to_owned())));
        assert_eq!(read_version("error: toolchain is not installed"), None);
    }

    #[test]
    fn reads_rustup_list() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default) /home/u/.rustup/toolchains/stable\n\
                    nightly-x86_64-unknown-linux-gnu /home/u/.rustup/toolchains/nightly\n";
        let expected =
            ("nightly-x86_64-unknown-linux-gnu".to_owned(), "/home/u/.rustup/toolchains/nightly".into());
        assert_eq!(read_nightlies(list), [expected]);
        assert_eq!(read_nightlies("no installed toolchains\n"), []);
    }

    #[test]
    fn reads_apt_candidate() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n";
        assert_eq!(read_candidate(policy).and_then(minor_of), Some(96));
        assert_eq!(read_candidate("x:\n  Candidate: (none)\n"), None);
        assert_eq!(read_candidate(""), None);
    }
}
