//! `sg-demo`: a host with two guests and a visitor outside, a policy in force, and what becomes of everybody's traffic.
//!
//! Ends with the number of expectations met; exit status 1 if one was not, 130 after Ctrl-C. Whatever the end, nothing
//! stays behind: namespaces go with the process, and the agent unloads on the way out.

mod attempts;
mod change;
mod report;
mod scene;
mod screen;

use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use sg_tests::{
    interrupt::{self, Interrupted},
    progrun,
};

use crate::{scene::Scene, screen::Screen};

fn main() -> ExitCode {
    interrupt::watch();
    panic::set_hook(Box::new(|panic| {
        let what = panic.payload_as_str().unwrap_or("something went wrong");
        eprintln!("\nsg-demo: {what}");
    }));
    match panic::catch_unwind(AssertUnwindSafe(demo)) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Err(error)) if error.is::<Interrupted>() => {
            eprintln!("\nsg-demo: {error}; nothing stays behind");
            ExitCode::from(130)
        }
        Ok(Err(error)) => {
            eprintln!("\nsg-demo: {error:#}");
            ExitCode::FAILURE
        }
        Ok(Ok(false)) | Err(_) => ExitCode::FAILURE,
    }
}

/// Whether every expectation was met.
fn demo() -> Result<bool> {
    ensure!(nix::unistd::geteuid().is_root(), "making network namespaces needs root: run it through sudo");
    let start = Instant::now();
    let path = env::args().nth(1).unwrap_or_else(|| "rules.example.yaml".to_owned());
    let text = fs::read_to_string(&path).with_context(|| format!("the demo's policy {path}"))?;
    let mut screen = Screen::new();

    screen.title("sg: security groups in the kernel");
    screen.picture(scene::PICTURE);
    let scene = Scene::build(&text)?;
    let agent = scene.load(&mut screen, &path)?;

    attempts::show(&mut screen, &scene)?;
    let held = change::show(&mut screen, &scene, &agent, &text)?;
    report::show(&mut screen, &scene, &agent, &held)?;

    drop((held, agent));
    let pins = progrun::pins(scene.host());
    drop(scene);
    screen.section("The end", "`sg-agent unload` takes programs and maps away.");
    screen.expect(!pins.exists(), "nothing stays behind");
    Ok(screen.end(start.elapsed()))
}
