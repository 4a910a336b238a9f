//! The command line's side of the control socket.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use super::{Answer, Served};
use crate::{
    daemon::protocol::{Request, Response},
    dataplane::{Error, Options, Place},
};

/// How long an answer is waited for: a large policy takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the daemon is.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Client {
    /// Control socket of the daemon [default: control.sock in the state directory]
    #[arg(long, value_name = "FILE", env = "SG_SOCKET", global = true)]
    socket: Option<PathBuf>,
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Daemon {
    stream: UnixStream,
}

impl Client {
    /// The path of the socket.
    pub fn path(&self, options: &Options) -> Result<PathBuf, Error> {
        match &self.socket {
            Some(path) => Ok(path.clone()),
            None => Ok(Place::find(options)?.state().join("control.sock")),
        }
    }

    /// A connection to the daemon; `None` if none runs, or it is not ours to talk to.
    pub fn connect(&self, options: &Options) -> anyhow::Result<Option<Daemon>> {
        let path = self.path(options)?;
        match UnixStream::connect(&path) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Some(Daemon { stream }))
            }
            Err(error) if is_absence(error.kind()) => Ok(None),
            Err(source) => Err(Error::File { path, source }.into()),
        }
    }
}

fn is_absence(kind: ErrorKind) -> bool {
    use ErrorKind::{ConnectionRefused, NotADirectory, NotFound, PermissionDenied};
    matches!(kind, NotFound | NotADirectory | ConnectionRefused | PermissionDenied)
}

impl Daemon {
    /// The connection itself, for a stream of answers that may be waited for without end.
    pub fn into_stream(self) -> std::io::Result<UnixStream> {
        self.stream.set_read_timeout(None)?;
        self.stream.set_nonblocking(true)?;
        Ok(self.stream)
    }

    /// Has the daemon do `verb`.
    pub fn ask(self, verb: &Served) -> anyhow::Result<Answer> {
        let response = self.exchange(verb).map_err(|error| {
            Error::Environment(format!("the daemon does not answer ({error}): see its log, or stop it"))
        })?;
        Ok(response.into_answer())
    }

    fn exchange(self, verb: &Served) -> std::io::Result<Response> {
        let line = serde_json::to_string(&Request::borrowed(verb))? + "\n";
        // A daemon that refuses a request early closes its end and has said why.
        let written = (&self.stream).write_all(line.as_bytes());
        let mut answer = String::new();
        BufReader::new(&self.stream).read_line(&mut answer)?;
        if answer.is_empty() {
            written?;
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}
