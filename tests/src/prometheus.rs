//! A real Prometheus on a host, and what it says.

use std::{
    collections::BTreeMap,
    env,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tempfile::TempDir;

use crate::netns::Netns;

/// Set by `cargo xtask test` where there is no Prometheus to be had.
const WITHOUT: &str = "SG_WITHOUT_PROMETHEUS";
/// How long anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Prometheus' program `name`; `None` where this machine is known to be without.
///
/// # Panics
/// If it is not there.
#[track_caller]
pub fn program(name: &str) -> Option<PathBuf> {
    if env::var_os(WITHOUT).is_some() {
        eprintln!("SKIPPED: {WITHOUT} is set");
        return None;
    }
    let on_path = env::var_os("PATH").unwrap_or_default();
    let here = env::current_exe().expect("the path of the running program");
    let unpacked = here.ancestors().map(|directory| directory.join("tools/usr/bin"));
    let found =
        env::split_paths(&on_path).chain(unpacked).map(|place| place.join(name)).find(|it| it.is_file());
    Some(found.unwrap_or_else(|| panic!("no {name}: `cargo xtask setup` fetches it")))
}

/// Prometheus, running in a host's namespace. It ends on drop.
#[derive(Debug)]
pub struct Prometheus {
    host: Netns,
    process: Child,
    files: TempDir,
}

/// One value of an answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Sample {
    /// Its labels.
    pub metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Sample {
    /// The value.
    pub fn value(&self) -> f64 {
        self.value.1.parse().unwrap_or(f64::NAN)
    }

    /// A label; empty if it is not there.
    pub fn label(&self, name: &str) -> &str {
        self.metric.get(name).map_or("", String::as_str)
    }
}

/// A time that is asked about; seconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Its first second.
    pub from: u64,
    /// Its last.
    pub to: u64,
    /// Seconds from one value to the next.
    pub step: u64,
}

impl Span {
    /// How many values a series has that is there all the time.
    pub fn steps(&self) -> usize {
        ((self.to - self.from) / self.step) as usize + 1
    }
}

/// The values of an answer over time.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// Its labels.
    pub metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

impl Run {
    /// Its values by the steps of `span`; none where it has none that is a number.
    pub fn by_step(&self, span: Span) -> Vec<Option<f64>> {
        let mut steps = vec![None; span.steps()];
        for (time, value) in &self.values {
            let at = ((time - span.from as f64) / span.step as f64).round() as usize;
            if let Some(step) = steps.get_mut(at) {
                *step = value.parse().ok().filter(|value: &f64| value.is_finite());
            }
        }
        steps
    }
}

#[derive(Deserialize)]
struct Reply<T> {
    #[serde(default)]
    error: String,
    data: Option<T>,
}

#[derive(Deserialize)]
struct Answer<T> {
    result: Vec<T>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Alert>,
}

/// An alert rule as Prometheus sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// `ok` once it has been evaluated.
    pub health: String,
    /// `inactive`, `pending` or `firing`.
    pub state: String,
}

const API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

impl Prometheus {
    /// Starts `program` on `host`. It scrapes `target` every second as job `sg`, with the alert rules in `rules`.
    #[track_caller]
    pub fn start(program: &Path, host: &Netns, target: SocketAddr, rules: &Path) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n  \
             - {{job_name: sg, static_configs: [{{targets: ['{target}']}}]}}\n",
            rules.display()
        );
        let path = files.path().join("prometheus.yml");
        std::fs::write(&path, config).expect("writing to a temporary directory");
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", files.path().join("data").display()))
            .arg(format!("--web.listen-address={API}"))
            .arg("--log.level=error")
            .stdout(Stdio::null());
        let process = host.enter(|| command.spawn()).expect("starting Prometheus");
        let started = Self { host: host.clone(), process, files };
        started.wait("an answer of Prometheus", || started.get("/-/ready").ok());
        started
    }

    /// What an expression gives now.
    pub fn query(&self, expression: &str) -> Result<Vec<Sample>, String> {
        let answer: Answer<Sample> = self.api(&format!("query?query={}", escaped(expression)))?;
        Ok(answer.result)
    }

    /// What an expression gives over a time.
    pub fn range(&self, expression: &str, Span { from, to, step }: Span) -> Result<Vec<Run>, String> {
        let question = escaped(expression);
        let answer: Answer<Run> =
            self.api(&format!("query_range?query={question}&start={from}&end={to}&step={step}"))?;
        Ok(answer.result)
    }

    /// The alert rules.
    pub fn alerts(&self) -> Result<Vec<Alert>, String> {
        let groups: Groups = self.api("rules")?;
        Ok(groups.groups.into_iter().flat_map(|group| group.rules).collect())
    }

    /// Waits until `look` finds something.
    ///
    /// # Panics
    /// If it does not for minutes.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < until, "waited in vain for {what} ({})", self.files.path().display());
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn api<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, String> {
        let body = self.get(&format!("/api/v1/{path}"))?;
        let reply: Reply<T> = serde_json::from_str(&body).map_err(|error| format!("{error} in {body}"))?;
        reply.data.ok_or(reply.error)
    }

    fn get(&self, path: &str) -> Result<String, String> {
        get(&self.host, API, path)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The body that `address` on `host` has at `path`.
pub fn get(host: &Netns, address: SocketAddr, path: &str) -> Result<String, String> {
    let told = host.enter(|| {
        let mut stream = TcpStream::connect(address)?;
        // HTTP/1.0: the body ends with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    });
    let answer = told.map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP")?;
    // A question that Prometheus refuses has its reason in the body.
    let is_answer =
        head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200") || body.starts_with('{');
    is_answer.then(|| body.to_owned()).ok_or_else(|| head.lines().next().unwrap_or_default().to_owned())
}

/// Percent-encoded for a query.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_to_their_steps() {
        let span = Span { from: 100, to: 110, step: 5 };
        let values = vec![(100.0, "1".to_owned()), (110.0, "2.5".to_owned()), (105.0, "NaN".to_owned())];
        let run = Run { metric: BTreeMap::new(), values };
        assert_eq!(run.by_step(span), [Some(1.0), None, Some(2.5)]);
    }

    #[test]
    fn a_question_is_escaped() {
        assert_eq!(escaped("a{b=~\"+\"}"), "a%7Bb%3D~%22%2B%22%7D".replace('~', "%7E"));
    }
}
