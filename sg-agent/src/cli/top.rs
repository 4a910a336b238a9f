//! `sg-agent top`.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use ratatui::{
    DefaultTerminal, Terminal,
    backend::TestBackend,
    buffer::Buffer,
    crossterm::{
        event::{self, Event},
        terminal,
    },
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::{self, Receiver},
    time::{MissedTickBehavior, interval},
};

use crate::{
    dataplane::{Loaded, Options, Place, store::Store},
    observe::parse,
    top::{
        History, Sample, Snapshot, View, draw,
        draw::page,
        svg,
        theme::Theme,
        view::{Effect, Tab},
    },
};

/// Watch interfaces, connections, drops and rules live
#[derive(Debug, clap::Args)]
pub struct Top {
    /// Print one frame as text and exit, as happens where standard output is no terminal
    #[arg(long)]
    once: bool,
    /// Time between two looks: 1s, 5s
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, default_value = "1s")]
    interval: Duration,
    /// What to show first
    #[arg(long, value_enum, default_value = "overview")]
    view: Tab,
    /// How often to look before the one frame is made
    #[arg(long, hide = true, value_name = "N", default_value_t = 1)]
    looks: u32,
    /// Also write the one frame as a picture
    #[arg(long, hide = true, value_name = "FILE", requires = "once")]
    svg: Option<PathBuf>,
}

impl Top {
    /// Watches, until somebody has seen enough.
    pub fn run(self, options: &Options) -> anyhow::Result<ExitCode> {
        let mut screen = Screen::new(options, self.view)?;
        if self.once || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return self.print_once(options, &mut screen);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut terminal = ratatui::try_init().context("taking the terminal over")?;
        let watched = runtime.block_on(watch(&mut terminal, &mut screen, options, self.interval));
        ratatui::try_restore()?;
        watched?;
        Ok(ExitCode::SUCCESS)
    }

    fn print_once(&self, options: &Options, screen: &mut Screen) -> anyhow::Result<ExitCode> {
        for _ in 0..self.looks {
            std::thread::sleep(self.interval);
            screen.look(options)?;
        }
        let (width, height) = size();
        let mut terminal = Terminal::new(TestBackend::new(width, height))?;
        // A picture has colours, a line of text has none.
        screen.theme = Theme::new(self.svg.is_some());
        let drawn = terminal.draw(|frame| draw(frame, &screen.snapshot, &screen.view, screen.theme))?;
        if let Some(file) = &self.svg {
            fs::write(file, svg::svg(drawn.buffer)).with_context(|| file.display().to_string())?;
        }
        super::print(&text(drawn.buffer))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is shown, and what it comes from.
struct Screen {
    loaded: Option<Loaded>,
    history: History,
    snapshot: Snapshot,
    view: View,
    theme: Theme,
}

impl Screen {
    fn new(options: &Options, tab: Tab) -> anyhow::Result<Self> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let has_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut screen = Self {
            loaded: None,
            history: History::new(host),
            snapshot: Snapshot::default(),
            view: View { tab, ..View::default() },
            theme: Theme::new(has_colour),
        };
        screen.look(options)?;
        Ok(screen)
    }

    /// Looks at the kernel's tables.
    fn look(&mut self, options: &Options) -> anyhow::Result<()> {
        let loaded = match self.loaded.take() {
            Some(loaded) if loaded.is_current()? => loaded,
            _ => Loaded::open(options)?,
        };
        let since = Store::new(Place::find(options)?.state()).since(loaded.state.generation());
        self.snapshot = self.history.add(Sample::read(&loaded, since)?);
        self.loaded = Some(loaded);
        Ok(())
    }

    fn press(&mut self, event: &Event, height: u16) -> Effect {
        let Event::Key(key) = event else { return Effect::Draw };
        let (rows, all) = page(height, &self.snapshot, &self.view);
        self.view.press(*key, rows, all)
    }
}

async fn watch(
    terminal: &mut DefaultTerminal,
    screen: &mut Screen,
    options: &Options,
    every: Duration,
) -> anyhow::Result<()> {
    let mut keyboard = keyboard()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut beat = interval(every.max(Duration::from_millis(100)));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        terminal.draw(|frame| draw(frame, &screen.snapshot, &screen.view, screen.theme))?;
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
            event = keyboard.recv() => {
                let event = event.context("the terminal has gone")??;
                if screen.press(&event, terminal.size()?.height) == Effect::Quit {
                    return Ok(());
                }
            }
            _ = beat.tick(), if !screen.view.is_paused => screen.look(options)?,
        }
    }
}

/// Keys, and changes of the terminal's size. The thread that waits for them ends with the process.
fn keyboard() -> io::Result<Receiver<io::Result<Event>>> {
    let (sender, events) = mpsc::channel(16);
    let wait = move || while sender.blocking_send(event::read()).is_ok() {};
    std::thread::Builder::new().name("keyboard".to_owned()).spawn(wait)?;
    Ok(events)
}

/// Columns and lines of the terminal; 80 by 24 where there is none, or as the environment has them.
fn size() -> (u16, u16) {
    let (width, height) = match terminal::size() {
        Ok((width, height)) if io::stdout().is_terminal() && width > 0 && height > 0 => (width, height),
        _ => (80, 24),
    };
    let from = |name, other| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(other);
    (from("COLUMNS", width), from("LINES", height))
}

fn text(buffer: &Buffer) -> String {
    let line = |y| {
        let symbols: String =
            (0..buffer.area.width).filter_map(|x| Some(buffer.cell((x, y))?.symbol())).collect();
        symbols.trim_end().to_owned() + "\n"
    };
    (0..buffer.area.height).map(line).collect()
}
