//! The control socket: for its owner alone, and never more clients at once than can be served.

use std::{
    fs,
    io::ErrorKind,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::{
    fs::{Mode, fchmod},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
};
use tokio::{sync::Semaphore, time::sleep};

use super::{Daemon, session};
use crate::dataplane::Error;

/// Clients that are served at once. More wait until one has gone, which takes no longer than its time-outs.
const CLIENTS: usize = 256;
/// Clients that may wait.
const BACKLOG: i32 = 4096;
/// How long to wait when the process has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the socket at `path`, in the place of one that nobody listens at. Whoever calls this is the only daemon here.
pub fn listen_at(path: &Path) -> Result<UnixListener, Error> {
    let bound = bound(path).map_err(|source| Error::File { path: path.to_owned(), source });
    bound.map(UnixListener::from)
}

fn bound(path: &Path) -> std::io::Result<OwnedFd> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Before there is a name to open it by: the file gets the socket's mode (unix_bind_bsd of net/unix/af_unix.c).
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Serves who connects.
pub async fn accept(listener: tokio::net::UnixListener, daemon: Arc<Daemon>) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let daemon = Arc::clone(&daemon);
                tokio::spawn(async move {
                    session::serve(stream, &daemon).await;
                    drop(place);
                });
            }
            Err(error) => {
                log::warn!("accepting a client: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt as _, net::UnixStream};

    use super::*;

    #[test]
    fn a_socket_is_its_owners_alone_and_takes_the_place_of_a_dead_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        drop(listen_at(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err());
        let _listener = listen_at(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
    }
}
