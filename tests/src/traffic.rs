//! Real sockets: echo servers, connections held open, datagrams, pings.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::{netns::Netns, packets::query};

/// How long to wait for what must happen.
pub const PATIENT: Duration = Duration::from_secs(3);
/// How long to wait for what must not happen: longer than a round trip and its address resolution take.
pub const BRIEF: Duration = Duration::from_millis(250);
const POLL: Duration = Duration::from_millis(20);

/// A server that sends back what it gets, until it is dropped.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Echo {
    /// TCP on `address` of `ns`.
    #[track_caller]
    pub fn tcp(ns: &Netns, address: SocketAddr) -> Self {
        let listener = ns.enter(|| TcpListener::bind(address));
        let listener = listener.unwrap_or_else(|error| panic!("listening on {address}: {error}"));
        SockRef::from(&listener).set_read_timeout(Some(POLL)).expect("a time limit");
        Self::serve(address, move |stop| accept(&listener, stop))
    }

    /// UDP on `address` of `ns`.
    #[track_caller]
    pub fn udp(ns: &Netns, address: SocketAddr) -> Self {
        let socket = ns.enter(|| UdpSocket::bind(address));
        let socket = socket.unwrap_or_else(|error| panic!("receiving on {address}: {error}"));
        socket.set_read_timeout(Some(POLL)).expect("a time limit");
        Self::serve(address, move |stop| echo_datagrams(&socket, stop))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn serve(address: SocketAddr, work: impl FnOnce(&Arc<AtomicBool>) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        Self { address, stop, worker: Some(thread::spawn(move || work(&told))) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            drop(worker.join());
        }
    }
}

fn accept(listener: &TcpListener, stop: &Arc<AtomicBool>) {
    let mut workers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if let Ok((stream, _)) = listener.accept() {
            let stop = Arc::clone(stop);
            // One that has ended keeps its stack until it is joined or let go.
            workers.retain(|worker: &JoinHandle<()>| !worker.is_finished());
            workers.push(thread::spawn(move || echo_stream(stream, &stop)));
        }
    }
    for worker in workers {
        drop(worker.join());
    }
}

fn echo_stream(mut stream: TcpStream, stop: &AtomicBool) {
    let mut buffer = [0; 4096];
    if stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(POLL))).is_err() {
        return;
    }
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) if stream.write_all(&buffer[..length]).is_err() => return,
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {}
            Err(_) => return,
        }
    }
}

fn echo_datagrams(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // A client that is gone is no reason to stop.
            drop(socket.send_to(&buffer[..length], from));
        }
    }
}

/// A TCP connection that is held open.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects from address `from` in `ns`.
    ///
    /// # Errors
    /// `TimedOut` if nothing came back within `patience`; `ConnectionRefused` if nobody listens there.
    pub fn open(ns: &Netns, from: IpAddr, to: SocketAddr, patience: Duration) -> io::Result<Self> {
        ns.enter(|| {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
            socket.bind(&SocketAddr::new(from, 0).into())?;
            socket.connect_timeout(&to.into(), patience)?;
            socket.set_tcp_nodelay(true)?;
            Ok(Self { stream: socket.into() })
        })
    }

    /// Whether something that is sent now comes back within `patience`.
    pub fn echoes(&mut self, patience: Duration) -> bool {
        let sent = crate::inject::mark();
        let end = Instant::now() + patience;
        if self.stream.write_all(&sent).is_err() {
            return false;
        }
        // What an earlier call sent may come back first.
        let mut seen = Vec::new();
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            let mut buffer = [0; 256];
            let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut buffer));
            match read {
                Ok(0) => return false,
                Ok(length) => seen.extend(&buffer[..length]),
                Err(error) if is_timeout(&error) => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
            if seen.ends_with(&sent) {
                return true;
            }
        }
        false
    }

    /// Whether so many bytes come back as they were sent, with no pause longer than `patience`.
    pub fn carries(&mut self, length: usize, patience: Duration) -> bool {
        let sent: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let mut back = vec![0; length];
        let set = self.stream.set_read_timeout(Some(patience));
        let (mut there, mut here) = (&self.stream, &self.stream);
        let done = set.and_then(|()| {
            thread::scope(|scope| {
                let sender = scope.spawn(|| there.write_all(&sent));
                let read = here.read_exact(&mut back);
                if read.is_err() {
                    // Sender and server may be stuck: the one is to stop, the other to see a reset when this is closed.
                    SockRef::from(here).set_linger(Some(Duration::ZERO))?;
                    here.shutdown(Shutdown::Both)?;
                }
                read?;
                sender.join().unwrap_or_else(|_| Err(ErrorKind::Other.into()))
            })
        });
        done.is_ok() && back == sent
    }

    /// Its own end.
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket has an address")
    }
}

/// Whether a TCP connection can be opened and used.
pub fn tcp(ns: &Netns, from: IpAddr, to: SocketAddr, patience: Duration) -> bool {
    Connection::open(ns, from, to, patience).is_ok_and(|mut connection| connection.echoes(patience))
}

/// Whether a datagram comes back.
pub fn udp(ns: &Netns, from: IpAddr, to: SocketAddr, patience: Duration) -> bool {
    let socket = ns.enter(|| UdpSocket::bind(SocketAddr::new(from, 0)));
    let socket = socket.unwrap_or_else(|error| panic!("a socket on {from}: {error}"));
    let sent = crate::inject::mark();
    let mut buffer = [0; 64];
    let exchange = socket
        .connect(to)
        .and_then(|()| socket.set_read_timeout(Some(patience)))
        .and_then(|()| socket.send(&sent))
        .and_then(|_| socket.recv(&mut buffer));
    exchange.is_ok_and(|length| buffer[..length] == sent)
}

/// Whether an echo request is answered. The namespace's `ping_group_range` must include root.
pub fn ping(ns: &Netns, from: IpAddr, to: IpAddr, patience: Duration) -> bool {
    let sent = crate::inject::mark();
    let answer = ns.enter(|| -> io::Result<Vec<u8>> {
        let protocol = if to.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        let socket = Socket::new(Domain::for_address(SocketAddr::new(to, 0)), Type::DGRAM, Some(protocol))?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect(&SocketAddr::new(to, 0).into())?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(&echo_request(to, sent))?;
        let mut buffer = [0; 64];
        let length = (&socket).read(&mut buffer)?;
        Ok(buffer[..length].to_vec())
    });
    answer.is_ok_and(|message| message.ends_with(&sent))
}

/// The kernel fills in checksum and identifier.
fn echo_request(to: IpAddr, payload: [u8; 8]) -> Vec<u8> {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let mut message = vec![kind, 0, 0, 0];
    message.extend(query(0));
    message.extend(payload);
    message
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn localhost(port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port)
    }

    #[test]
    fn servers_echo_until_dropped() {
        let ns = Netns::new();
        let from = localhost(0).ip();
        let servers = [Echo::tcp(&ns, localhost(7)), Echo::udp(&ns, localhost(7))];
        let mut held = Connection::open(&ns, from, servers[0].address(), PATIENT).expect("a connection");
        assert!(held.echoes(PATIENT) && held.echoes(PATIENT));
        assert!(udp(&ns, from, servers[1].address(), PATIENT));
        drop(servers);
        assert!(!tcp(&ns, from, localhost(7), BRIEF));
        assert!(!udp(&ns, from, localhost(7), BRIEF));
        assert!(!held.echoes(BRIEF));
    }
}
