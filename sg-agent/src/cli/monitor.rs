//! `sg-agent monitor`: what happens, as it happens.

use std::{
    io::{self, Write as _},
    os::fd::AsFd as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sg_common::verdict::Reason;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use super::{Client, Served, client, colour::Colour};
use crate::{
    daemon::protocol::{Request, Response},
    dataplane::{self, Options, Place, listen::Wanted},
    events::{
        Selection, Source, Told, Wish,
        journal::{self, Journal},
        line::Lines,
        selection::Kind,
        source::Sweeps,
    },
    observe::parse,
    policy::{model::Direction, suggest, validate::protocol_name},
};

/// How often it is looked whether something was kept back, or the reader has gone.
const BEAT: Duration = Duration::from_secs(1);

/// Stream drops with their reason, what audit groups would drop, opened and closed connections
#[derive(Debug, clap::Args)]
pub struct Monitor {
    /// Only these: dropped, opened, closed, audited (allowed, but an audit group would drop it)
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_enum)]
    only: Vec<Kind>,
    /// Of this interface
    #[arg(long)]
    interface: Option<String>,
    /// In this direction; of connections, opened in it
    #[arg(long, value_name = "ingress|egress", value_parser = parse::direction)]
    direction: Option<Direction>,
    /// Of this protocol: tcp, udp, icmp, icmpv6, sctp or a number
    #[arg(long, value_parser = parse::protocol)]
    protocol: Option<u8>,
    /// With this address or network at the protected end
    #[arg(long, value_name = "ADDRESS|CIDR", value_parser = parse::network)]
    local: Option<IpNet>,
    /// With this address or network at the other end
    #[arg(long, value_name = "ADDRESS|CIDR", value_parser = parse::network)]
    remote: Option<IpNet>,
    /// With this port at either end (for ICMP, this identifier)
    #[arg(long)]
    port: Option<u16>,
    /// Drops (of audit groups: would-be drops) for this reason: default, rule, spoofed-address ...
    #[arg(long, value_parser = reason)]
    reason: Option<&'static str>,
    /// Only every Nth event of a kind
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// At most N events of a kind in a second; the rest is counted
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// End after N events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print a line of JSON for each
    #[arg(long, conflicts_with = "journald")]
    json: bool,
    /// Write to the systemd journal instead, with a field for each detail
    #[arg(long)]
    journald: bool,
    /// Where the journal listens
    #[arg(long, hide = true, value_name = "SOCKET", default_value = journal::SOCKET)]
    journal_socket: PathBuf,
    #[command(flatten)]
    colour: Colour,
}

impl Monitor {
    /// Streams, until it is interrupted, has told enough, or nobody reads any more.
    pub fn run(self, options: &Options, client: &Client) -> anyhow::Result<ExitCode> {
        let out = self.output()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.stream(options, client, out))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn stream(&self, options: &Options, client: &Client, mut out: Output) -> anyhow::Result<()> {
        let mut feed = match client.connect(options)? {
            Some(daemon) => Feed::of_daemon(daemon, self.wish()).await?,
            None => {
                let place = Place::find(options)?;
                let (wanted, interface) = (self.wanted(), self.interface.clone());
                Feed::Kernel(Box::new(Source::open(place, wanted, interface, Sweeps::Itself)?))
            }
        };
        let mut selection = Selection::new(self.kept(), Instant::now());
        let mut left = self.count.unwrap_or(u64::MAX);
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while left > 0 {
            let told = tokio::select! {
                biased;
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = beat.tick() => {
                    if out.is_closed() {
                        break;
                    }
                    selection.kept_back()
                }
                told = feed.next() => {
                    let told = selection.pass(told?, Instant::now());
                    left -= u64::from(told.is_some());
                    told
                }
            };
            if told.is_some_and(|told| !out.tell(&told)) {
                return Ok(());
            }
        }
        selection.kept_back().map(|told| out.tell(&told));
        Ok(())
    }

    /// What the kernel side is asked for.
    fn wanted(&self) -> Wanted {
        let all = Wanted::default();
        let bits = self.only.iter().map(|kind| kind.bit()).fold(0, |bits, bit| bits | bit);
        Wanted {
            kinds: if bits == 0 { all.kinds } else { bits },
            sample: self.sample.unwrap_or(1),
            per_second: self.rate,
            ..all
        }
    }

    /// What of that is shown: sample and rate are seen to already.
    fn kept(&self) -> Wish {
        Wish { sample: None, per_second: None, ..self.wish() }
    }

    fn wish(&self) -> Wish {
        Wish {
            kinds: self.only.clone(),
            interface: self.interface.clone(),
            direction: self.direction,
            protocol: self.protocol.map(|number| protocol_name(Some(number))),
            local: self.local,
            remote: self.remote,
            port: self.port,
            reason: self.reason.map(str::to_owned),
            sample: self.sample.map(u64::from),
            per_second: Some(self.rate.into()),
        }
    }

    fn output(&self) -> anyhow::Result<Output> {
        if self.journald {
            let socket = &self.journal_socket;
            let journal = Journal::open(socket).map_err(|error| {
                dataplane::Error::Environment(format!("no journal at {}: {error}", socket.display()))
            });
            return Ok(Output::Journal(journal?));
        }
        if self.json {
            return Ok(Output::Json);
        }
        Ok(Output::Lines(Lines::new(self.colour.on(&io::stdout()))))
    }
}

/// Where events come from.
enum Feed {
    Kernel(Box<Source>),
    Daemon(tokio::io::Lines<BufReader<UnixStream>>),
}

impl Feed {
    /// What the daemon tells somebody with this wish.
    async fn of_daemon(daemon: client::Daemon, wish: Wish) -> anyhow::Result<Self> {
        let mut stream = UnixStream::from_std(daemon.into_stream()?)?;
        let request = serde_json::to_string(&Request::borrowed(&Served::Monitor(wish)))? + "\n";
        stream.write_all(request.as_bytes()).await?;
        let mut lines = BufReader::new(stream).lines();
        let response: Response = serde_json::from_str(&next_line(&mut lines).await?)?;
        match response.error {
            Some(error) => Err(dataplane::Error::Environment(error).into()),
            None => Ok(Self::Daemon(lines)),
        }
    }

    async fn next(&mut self) -> anyhow::Result<Told> {
        match self {
            Self::Kernel(source) => Ok(source.next().await?),
            Self::Daemon(lines) => loop {
                let line = next_line(lines).await?;
                match serde_json::from_str(&line) {
                    Ok(told) => return Ok(told),
                    // A later daemon may tell of kinds that this build does not know.
                    Err(error) => log::debug!("not understood: {line}: {error}"),
                }
            },
        }
    }
}

async fn next_line(lines: &mut tokio::io::Lines<BufReader<UnixStream>>) -> anyhow::Result<String> {
    let ended = || dataplane::Error::Environment("the daemon tells no more: see its log".to_owned());
    Ok(lines.next_line().await?.ok_or_else(ended)?)
}

fn reason(text: &str) -> Result<&'static str, String> {
    let names = || Reason::ALL.into_iter().map(Reason::name);
    names().find(|name| *name == text).ok_or_else(|| {
        let hint = suggest::near_miss(text, names()).map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("a reason is {}{hint}", suggest::one_of(names()))
    })
}

/// Where events go.
enum Output {
    Lines(Lines),
    Json,
    Journal(Journal),
}

impl Output {
    /// Tells it; whether there still is somebody to tell.
    fn tell(&mut self, told: &Told) -> bool {
        let text = match self {
            Self::Lines(lines) => lines.line(told),
            Self::Json => serde_json::to_string(told).unwrap_or_default() + "\n",
            Self::Journal(journal) => {
                // A journal that restarts loses entries, not the monitor.
                if let Err(error) = journal.write(told) {
                    log::warn!("writing to the journal: {error}");
                }
                return true;
            }
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
    }

    /// Whether the reader of a pipe has gone, though there was nothing to tell it.
    fn is_closed(&self) -> bool {
        if matches!(self, Self::Journal(_)) {
            return false;
        }
        let stdout = io::stdout();
        let mut watched = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut watched, Some(&now)).is_ok() && watched[0].revents().contains(PollFlags::ERR)
    }
}
