//! Running programs: each command is printed before it runs and again if it fails.

use std::{
    convert::Infallible,
    env,
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Read},
    iter::once,
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail};

/// Set by the cargo that runs xtask for xtask alone; a cargo that xtask runs must not see them.
const OF_THE_OUTER_CARGO: &[&str] =
    &["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_", "LD_LIBRARY_PATH"];

/// Whatever could steer a cargo away from the compiler, flags or directories that xtask chooses for it.
const OF_THE_HOST_BUILD: &[&str] = &[
    "CARGO_BUILD_",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// Runs `command`, its output on stderr; an error names the command.
pub fn exec(command: &mut Command) -> Result<()> {
    announce(command);
    let status =
        command.stdout(stderr()?).status().with_context(|| format!("cannot start `{}`", show(command)))?;
    check(command, status)
}

/// Runs `command` with its output on stderr, and hands every line of it to `line` as well.
pub fn exec_watched(command: &mut Command, line: impl Fn(&str) + Sync) -> Result<ExitStatus> {
    announce(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", show(command)))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(|| out.map(|stream| forward(stream, &line)));
        scope.spawn(|| err.map(|stream| forward(stream, &line)));
    });
    Ok(child.wait()?)
}

/// Becomes `command`, so that signals, terminal and exit status are its own. Returns only if it cannot start.
pub fn become_program(command: &mut Command) -> Result<Infallible> {
    announce(command);
    Err(command.exec()).with_context(|| format!("cannot start `{}`", show(command)))
}

/// What `command` prints, or `None` if it cannot run or fails. Nothing is shown: this is for probing.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The cargo that runs xtask, for work on the host side.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget(&mut command, OF_THE_OUTER_CARGO);
    command.env("PATH", search_path());
    command
}

/// `program` with nothing in its environment that could change which compiler it uses, or how.
pub fn isolated(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    forget(&mut command, OF_THE_OUTER_CARGO);
    forget(&mut command, OF_THE_HOST_BUILD);
    command.env("PATH", search_path());
    command
}

/// The first executable named `name` on the search path.
pub fn find_program(name: &str) -> Option<PathBuf> {
    env::split_paths(&search_path()).map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// Where `cargo install` puts programs.
pub fn cargo_bin() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
        .filter(|home| !home.as_os_str().is_empty())?;
    Some(home.join("bin"))
}

/// `command` as one would type it, with the variables that it sets.
pub fn show(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter(|(name, _)| *name != "PATH")
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quote(value?))));
    let program = command.get_program();
    let this_cargo = env::var_os("CARGO").is_some_and(|cargo| cargo == program);
    let program = if this_cargo { OsStr::new("cargo") } else { program };
    variables.chain(once(program).chain(command.get_args()).map(quote)).collect::<Vec<_>>().join(" ")
}

/// PATH, where cargo installs programs, and where administrators' programs are: neither of the last two need be on
/// the PATH of an ordinary Debian user.
fn search_path() -> std::ffi::OsString {
    let given = env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = env::split_paths(&given).collect();
    directories.extend(cargo_bin());
    directories.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    env::join_paths(directories).unwrap_or(given)
}

fn announce(command: &Command) {
    eprintln!("$ {}", show(command));
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("failed ({status}): {}", show(command));
    }
    Ok(())
}

fn stderr() -> Result<Stdio> {
    Ok(io::stderr().as_fd().try_clone_to_owned()?.into())
}

fn forward(stream: impl Read, line: impl Fn(&str)) {
    for raw in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let text = String::from_utf8_lossy(&raw);
        eprintln!("{text}");
        line(&text);
    }
}

/// Removes the variables named, or begun (`CARGO_PKG_`), by `names`.
fn forget(command: &mut Command, names: &[&str]) {
    for (name, _) in env::vars_os() {
        let matches = |pattern: &&str| match pattern.strip_suffix('_') {
            Some(_) => name.to_string_lossy().starts_with(*pattern),
            None => name == **pattern,
        };
        if names.iter().any(matches) {
            command.env_remove(&name);
        }
    }
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\u{1f}', " ").replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named() {
        let error = exec(Command::new("false").arg("two words")).expect_err("false succeeded");
        assert!(error.to_string().contains("false 'two words'"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = exec(&mut Command::new("no-such-program")).expect_err("it started");
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }

    #[test]
    fn every_line_of_both_streams_is_watched() {
        let lines = std::sync::Mutex::new(Vec::new());
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let status = exec_watched(&mut command, |line| lines.lock().expect("lock").push(line.to_owned()))
            .expect("sh starts");
        let mut lines = lines.into_inner().expect("lock");
        lines.sort();
        assert_eq!((status.code(), lines), (Some(3), vec!["err".to_owned(), "out".to_owned()]));
    }

    #[test]
    fn shown_with_its_variables() {
        let mut command = Command::new("cargo");
        command.env("A", "b c").env_remove("B").arg("build");
        assert_eq!(show(&command), "A='b c' cargo build");
    }
}
