//! One client: a line, an answer, a line. Nothing that it sends, or does not send, or does not read, holds up others.

use std::time::Duration;

use serde::Serialize;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    Daemon,
    protocol::{Request, Response},
    stream,
};
use crate::cli::Served;

/// Longest line that any number of clients may send at once, in bytes.
const SHORT_LINE: usize = 64 << 10;
/// Longest line there is: the largest policy file and its address files, quoted. One client at a time may send one.
const LONGEST_LINE: usize = 256 << 20;
/// Whose turn it is to send one.
static LONG_LINE: Semaphore = Semaphore::const_new(1);

/// How long a client may take to send a short line, and how long it may be silent between two.
const LINE_TIME: Duration = Duration::from_secs(10);
/// How long it may take to send a long one, waiting for its turn included.
const LONG_LINE_TIME: Duration = Duration::from_secs(60);
/// How long it may take to read an answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Why a client is not served any longer.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It has gone.
    Gone,
    /// It has done what no client does.
    Fault(&'static str),
}

/// Answers a client until it goes.
pub async fn serve(stream: UnixStream, daemon: &Daemon) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let response = match line(&mut read).await {
            Ok(line) => match parse(line).await {
                Ok(Request { id, command: Served::Monitor(wish), .. }) => {
                    return stream::serve(read, write, daemon, (id, wish)).await;
                }
                Ok(Request { id, command, .. }) => Response::new(id, daemon.answer(command).await),
                Err(refusal) => refusal,
            },
            Err(End::Gone) => return,
            Err(End::Fault(what)) => {
                let response = Response::refusal(None, 2, what.to_owned());
                send(&mut write, &response).await;
                return;
            }
        };
        if !send(&mut write, &response).await {
            return;
        }
    }
}

/// Reads a line; the error is the response to it.
async fn parse(line: Vec<u8>) -> Result<Request, Response> {
    match line.len() {
        0..=SHORT_LINE => Request::parse(&line),
        _ => match spawn_blocking(move || Request::parse(&line)).await {
            Ok(parsed) => parsed,
            Err(error) => Err(Response::refusal(None, 3, error.to_string())),
        },
    }
}

/// Sends a line; false if the client does not take it.
pub async fn send(write: &mut (impl tokio::io::AsyncWrite + Unpin), response: &impl Serialize) -> bool {
    let Ok(line) = serde_json::to_string(response) else { return false };
    let written = timeout(ANSWER_TIME, write.write_all((line + "\n").as_bytes())).await;
    matches!(written, Ok(Ok(())))
}

/// The next line, without its end.
async fn line(read: &mut (impl AsyncBufRead + Unpin)) -> Result<Vec<u8>, End> {
    let mut line = Vec::new();
    let is_whole = timeout(LINE_TIME, fill(read, &mut line, SHORT_LINE)).await;
    if is_whole.map_err(|_| End::Fault("no whole line in 10 s"))?? {
        return Ok(line);
    }
    let rest = async {
        let _turn: Option<SemaphorePermit<'_>> = LONG_LINE.acquire().await.ok();
        fill(read, &mut line, LONGEST_LINE).await
    };
    match timeout(LONG_LINE_TIME, rest).await.map_err(|_| End::Fault("no whole line in 60 s"))?? {
        true => Ok(line),
        false => Err(End::Fault("the line is longer than 256 MiB")),
    }
}

/// Reads up to the end of the line; false if it is longer than `most`.
async fn fill(read: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>, most: usize) -> Result<bool, End> {
    while line.len() < most {
        let bytes = read.fill_buf().await.map_err(|_| End::Gone)?;
        if bytes.is_empty() {
            return Err(End::Gone);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(bytes.len());
        line.extend_from_slice(&bytes[..taken]);
        read.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Result<Vec<u8>, End>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut read = BufReader::with_capacity(7, bytes);
        runtime.block_on(async {
            let mut lines = Vec::new();
            loop {
                lines.push(line(&mut read).await);
                if lines.last().is_some_and(Result::is_err) {
                    return lines;
                }
            }
        })
    }

    #[test]
    fn lines_come_one_by_one_and_whole_ones_only() {
        let lines = read(b"one\n\nthree, which is longer\nhalf");
        assert_eq!(
            lines,
            [Ok(b"one".to_vec()), Ok(vec![]), Ok(b"three, which is longer".to_vec()), Err(End::Gone)]
        );
    }

    #[test]
    fn a_long_line_takes_its_turn() {
        let long = [vec![b'x'; SHORT_LINE + 9], b"\nnext\n".to_vec()].concat();
        let lines = read(&long);
        assert_eq!(lines[0].as_ref().unwrap().len(), SHORT_LINE + 9);
        assert_eq!(lines[1], Ok(b"next".to_vec()));
        assert_eq!(LONG_LINE.available_permits(), 1);
    }
}
