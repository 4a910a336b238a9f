//! Serves the metrics: HTTP/1.1, one page, one request a connection. Whoever is slow, or one too many, is cut off.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore},
    time,
};

use super::{Snapshot, page};

/// Where the page is.
pub const PATH: &str = "/metrics";

/// Connections at once; others wait to be accepted.
const CONNECTIONS: usize = 8;
/// Longest wait for the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// Longest life of a connection, the answer read.
const LIFE: Duration = Duration::from_secs(30);
/// Pause after the system had no connection to give: out of descriptors, say.
const PAUSE: Duration = Duration::from_millis(100);
/// Most bytes of a request's head, and most fields in it.
const HEAD_BYTES: usize = 16 << 10;
const HEAD_FIELDS: usize = 64;

type Answer = Response<Full<Bytes>>;

/// Gives a snapshot for each request; may block.
pub trait Source: Fn() -> anyhow::Result<Snapshot> + Send + Sync + 'static {}

impl<F: Fn() -> anyhow::Result<Snapshot> + Send + Sync + 'static> Source for F {}

/// Serves what `source` gives until the future is dropped. Readings are made one at a time.
pub async fn serve(listener: TcpListener, source: impl Source) -> Infallible {
    let site = Arc::new(Site { source, reading: Mutex::new(()) });
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { continue };
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                tokio::spawn(async move {
                    converse(stream, site).await;
                    drop(seat);
                });
            }
            Err(error) => {
                log::warn!("metrics: {error}");
                time::sleep(PAUSE).await;
            }
        }
    }
}

struct Site<S> {
    source: S,
    reading: Mutex<()>,
}

/// One request and its answer.
async fn converse<S: Source>(stream: TcpStream, site: Arc<Site<S>>) {
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(answer(&request, site).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    match time::timeout(LIFE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::debug!("metrics: {error}"),
        Err(_) => log::debug!("metrics: a reader took longer than {LIFE:?}"),
    }
}

async fn answer<S: Source>(request: &Request<Incoming>, site: Arc<Site<S>>) -> Answer {
    match (request.uri().path(), request.method()) {
        // The body of an answer to HEAD is left out by hyper.
        (PATH, &Method::GET | &Method::HEAD) => metrics(site).await,
        (PATH, _) => {
            let mut refused = words(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
        _ => words(StatusCode::NOT_FOUND, "the metrics are at /metrics\n"),
    }
}

async fn metrics<S: Source>(site: Arc<Site<S>>) -> Answer {
    let _reading = site.reading.lock().await;
    let source = Arc::clone(&site);
    let read = tokio::task::spawn_blocking(move || Ok(page::text((source.source)()?)?)).await;
    match read.map_err(anyhow::Error::from).and_then(|page: anyhow::Result<String>| page) {
        Ok(page) => {
            let mut whole = words(StatusCode::OK, page);
            let kind = HeaderValue::from_static(page::CONTENT_TYPE);
            whole.headers_mut().insert(header::CONTENT_TYPE, kind);
            whole
        }
        Err(error) => {
            log::warn!("metrics: {error:#}");
            words(StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}\n"))
        }
    }
}

fn words(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{SocketAddr, TcpStream as Stream},
        thread,
    };

    use super::*;

    /// A server that ends with the test.
    fn server(source: impl Source) -> SocketAddr {
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                serve(listener, source).await
            });
        });
        told.recv().unwrap()
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = Stream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(address: SocketAddr, path: &str) -> String {
        ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    #[test]
    fn the_page_is_at_metrics_and_nothing_is_elsewhere() {
        let address = server(|| Ok(Snapshot::default()));
        let page = get(address, "/metrics?x=1");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains(&format!("content-type: {}\r\n", page::CONTENT_TYPE)), "{page}");
        assert!(page.ends_with("# EOF\n"));
        for path in ["/", "/metrics/", "/../metrics", "*"] {
            let start = get(address, path);
            assert!(
                start.starts_with("HTTP/1.1 404 ") || start.starts_with("HTTP/1.1 400 "),
                "{path}: {start}"
            );
        }
        let head = ask(address, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        let post = ask(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD\r\n"), "{post}");
    }

    #[test]
    fn what_cannot_be_read_is_told_and_the_server_goes_on() {
        let address = server(|| anyhow::bail!("nothing is loaded"));
        for _ in 0..2 {
            let answer = get(address, "/metrics");
            assert!(
                answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("nothing is loaded\n"),
                "{answer}"
            );
        }
        let address = server(|| panic!("a fault"));
        assert!(get(address, "/metrics").starts_with("HTTP/1.1 503 "));
        assert!(get(address, "/").starts_with("HTTP/1.1 404 "));
    }

    #[test]
    fn noise_is_refused() {
        let address = server(|| Ok(Snapshot::default()));
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(4 * HEAD_BYTES));
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(2 * HEAD_FIELDS));
        for noise in ["\r\n\r\n\0\0", "GET\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &long, &many] {
            let mut stream = Stream::connect(address).unwrap();
            // A peer that has heard enough may close before all is written.
            let _ = stream.write_all(noise.as_bytes());
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{noise:.20}");
        }
        assert!(get(address, "/metrics").starts_with("HTTP/1.1 200 OK"));
    }

    #[test]
    fn whoever_is_silent_is_cut_off_and_others_are_served() {
        let address = server(|| Ok(Snapshot::default()));
        let silent: Vec<Stream> = (0..CONNECTIONS).map(|_| Stream::connect(address).unwrap()).collect();
        silent.iter().for_each(|mut stream| stream.write_all(b"GET /metrics HT").unwrap());
        let mut next = Stream::connect(address).unwrap();
        next.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        next.set_read_timeout(Some(HEAD / 10)).unwrap();
        assert!(next.read(&mut [0; 1]).is_err(), "one more than may be served at once");
        assert!(
            get(address, "/metrics").starts_with("HTTP/1.1 200 OK"),
            "served once the others are cut off"
        );
        for mut stream in silent {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            assert!(!rest.starts_with(b"HTTP/1.1 200"));
        }
    }
}
