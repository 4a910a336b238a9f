//! `cargo xtask mutants`: breaks a copy of the source in the ways of two tables ([`table`], [`agent`]), one after the other,
//! and expects the named test to turn red on each.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    exec::cargo,
    failures::Report,
    place::{target_dir, workspace},
    setup,
    summary::Summary,
    test::as_root,
};

pub mod agent;
pub mod table;
mod tree;

use table::{Mutant, Test};
use tree::Tree;

/// `cargo xtask mutants`
#[derive(clap::Args, Default)]
pub struct Options {
    /// Only those whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Only those that every run of the tests is to include
    #[arg(long)]
    quick: bool,
    /// Show them, run none
    #[arg(long)]
    list: bool,
}

impl Options {
    /// Those that every run of the tests includes.
    pub fn quick() -> Self {
        Self { quick: true, ..Self::default() }
    }

    fn chosen(&self) -> Vec<&'static Mutant> {
        let wanted = self.only.as_deref().unwrap_or_default();
        let all = all().filter(|mutant| mutant.name.contains(wanted));
        all.filter(|mutant| mutant.quick || !self.quick).collect()
    }
}

/// All that there are.
fn all() -> impl Iterator<Item = &'static Mutant> {
    table::MUTANTS.iter().chain(agent::MUTANTS)
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// Its test failed.
    Killed,
    /// Its test passed.
    Survived,
    /// It says nothing: it does not apply, build or load.
    Void(String),
}

impl Outcome {
    const fn word(&self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Survived => "SURVIVED",
            Self::Void(_) => "VOID",
        }
    }
}

/// Success is every mutant killed.
pub fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        for mutant in options.chosen() {
            println!("{}\n    {}, {}", mutant.name, mutant.file, mutant.test.name());
        }
        return Ok(ExitCode::SUCCESS);
    }
    setup::run(&setup::Options::default())?;
    let summary = judge(options)?.summary;
    println!("{} killed, {} not", summary.passed, summary.failed);
    Ok(if summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the mutants; a killed one counts as passed.
pub fn judge(options: &Options) -> Result<Report> {
    let mutants = options.chosen();
    if mutants.is_empty() {
        bail!("no mutant of that name; `--list` shows them");
    }
    let bench = Bench::new()?;
    bench.is_green(&mutants)?;
    let mut report = Report::default();
    for mutant in mutants {
        let start = Instant::now();
        let outcome = bench.outcome(mutant);
        let row = row(mutant, &outcome, start.elapsed());
        println!("{row}");
        match outcome {
            Outcome::Killed => report.pass(),
            Outcome::Survived | Outcome::Void(_) => report.fail(row),
        }
    }
    Ok(report)
}

fn row(mutant: &Mutant, outcome: &Outcome, time: Duration) -> String {
    let why = match outcome {
        Outcome::Void(why) => format!("\n{why}"),
        _ => String::new(),
    };
    let (word, seconds) = (outcome.word(), time.as_secs());
    format!("{word:<9} {seconds:>4} s  {:<52} {}{why}", mutant.name, mutant.test.name())
}

/// The copy of the source and where it is built.
struct Bench {
    tree: Tree,
    target: PathBuf,
}

/// What a command printed, and whether it succeeded.
struct Run {
    success: bool,
    output: String,
}

impl Bench {
    fn new() -> Result<Self> {
        let place = target_dir()?.join("mutants");
        let root = place.join("tree");
        std::fs::create_dir_all(&root)?;
        Ok(Self { tree: Tree::of(&workspace()?, root)?, target: place.join("target") })
    }

    /// The tests of the mutants pass as long as nothing is broken.
    fn is_green(&self, mutants: &[&Mutant]) -> Result<()> {
        let tests = mutants.iter().map(|mutant| mutant.test);
        for (number, test) in tests.enumerate() {
            if mutants[..number].iter().any(|before| before.test == test) {
                continue;
            }
            let run = self.test(test)?;
            if !run.success || passed(&run.output) != 1 {
                bail!("{} does not pass on the source as it is:\n{}", test.name(), end(&run.output));
            }
            eprintln!("   green  {}", test.name());
        }
        Ok(())
    }

    fn outcome(&self, mutant: &Mutant) -> Outcome {
        let run = self.tree.broken_by(mutant, || self.test(mutant.test));
        match run.and_then(|run| run) {
            Err(error) => Outcome::Void(format!("{error:#}")),
            Ok(run) if run.success => Outcome::Survived,
            Ok(run) if is_about_the_mutant(&run.output) => Outcome::Killed,
            Ok(run) => Outcome::Void(end(&run.output)),
        }
    }

    /// Builds what a test needs and runs it; an error is a build that fails.
    fn test(&self, test: Test) -> Result<Run> {
        let mut command = self.cargo();
        command.args(["test", "--package"]);
        match test {
            Test::Pure(package, name) => command.args([package, "--lib", "--", "--exact", name]),
            Test::Loaded(program, name) => {
                self.build()?;
                as_root(&mut command)?;
                command.args(["sg-tests", "--test", program, "--", "--exact", name])
            }
        };
        run_quietly(command.env("SG_AGENT", self.target.join("debug/sg-agent")))
    }

    fn build(&self) -> Result<()> {
        let run = run_quietly(self.cargo().args(["xtask", "build", "--debug"]))?;
        if !run.success {
            bail!("it does not build:\n{}", end(&run.output));
        }
        Ok(())
    }

    fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(self.tree.root()).env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

fn run_quietly(command: &mut Command) -> Result<Run> {
    let done = command.output().context("cargo does not start")?;
    let output = [done.stdout, done.stderr].concat();
    Ok(Run { success: done.status.success(), output: String::from_utf8_lossy(&output).into_owned() })
}

/// How many tests passed.
fn passed(output: &str) -> u32 {
    output.lines().filter_map(Summary::of_libtest).map(|summary| summary.passed).sum()
}

/// Whether a test failed, and not because the kernel does not take the program.
fn is_about_the_mutant(output: &str) -> bool {
    let failed: u32 = output.lines().filter_map(Summary::of_libtest).map(|summary| summary.failed).sum();
    failed > 0 && !output.contains("the kernel refused program")
}

/// The last lines.
fn end(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn source(file: impl AsRef<Path>) -> String {
        let path = workspace().expect("the workspace").join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Where a test may be.
    fn files(test: Test) -> [String; 2] {
        match test {
            Test::Pure(package, name) => {
                let module = name.rsplit_once("::").map_or("lib", |(module, _)| module).replace("::", "/");
                let inside = module.strip_suffix("/tests").unwrap_or(&module);
                [format!("{package}/src/{module}.rs"), format!("{package}/src/{inside}.rs")]
            }
            Test::Loaded(program, name) => {
                let module = name.rsplit_once("::").map_or("main", |(module, _)| module);
                [format!("tests/tests/{program}.rs"), format!("tests/tests/{program}/{module}.rs")]
            }
        }
    }

    #[test]
    fn every_mutant_still_applies() {
        for mutant in all() {
            let text = source(mutant.file);
            let broken =
                tree::apply(mutant, &text).unwrap_or_else(|error| panic!("{}: {error}", mutant.name));
            assert_ne!(broken, text, "{}", mutant.name);
        }
    }

    #[test]
    fn every_test_is_there() {
        for mutant in all() {
            let name = mutant.test.name().rsplit("::").next().unwrap_or_default();
            let files = files(mutant.test);
            let file = files.iter().find(|file| workspace().expect("the workspace").join(file).is_file());
            let file = file.unwrap_or_else(|| panic!("{}: none of {files:?}", mutant.name));
            assert!(source(file).contains(&format!("fn {name}(")), "{name} is not in {file}");
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = all().map(|mutant| mutant.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn a_text_that_moved_on_is_refused() {
        let gone = tree::apply(&table::MUTANTS[0], "something else").expect_err("it is not there");
        assert!(gone.to_string().contains("occurs 0 times"), "{gone}");
        let twice = table::MUTANTS[0].old.repeat(2);
        assert!(tree::apply(&table::MUTANTS[0], &twice).is_err());
    }

    #[test]
    fn a_program_that_the_kernel_refuses_is_no_kill() {
        let failed = "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out\n";
        assert!(is_about_the_mutant(failed));
        assert!(!is_about_the_mutant(&format!("{failed}the kernel refused program sg_xdp")));
        assert!(!is_about_the_mutant("error: could not compile"));
    }
}
