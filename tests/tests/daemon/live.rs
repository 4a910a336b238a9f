//! Traffic that goes on while something happens: what is allowed has to arrive, all of it, and nothing else may.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use sg_tests::{
    netns::Netns,
    traffic::{self, BRIEF, Connection, PATIENT},
};

use super::Scene;

/// Port 80 of the guest is to be open, 81 is not.
pub struct Live {
    stop: Arc<AtomicBool>,
    workers: Vec<(&'static str, JoinHandle<Tally>)>,
}

/// What one kind of traffic came to.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    rounds: usize,
    wrong: usize,
}

impl Live {
    /// Starts it, from the client to the guest.
    pub fn start(scene: &Scene) -> Self {
        let (open, shut) = (scene.at("web", 80), scene.at("web", 81));
        let mut live = Self { stop: Arc::default(), workers: Vec::new() };
        let from = scene.net.machine("client").v4();
        let mut held =
            Connection::open(&scene.net.machine("client").ns, from, open, PATIENT).expect("a connection");
        live.work("held connection", scene, move |_| held.echoes(PATIENT));
        live.work("new connections", scene, move |ns| traffic::tcp(ns, from, open, PATIENT));
        live.work("datagrams", scene, move |ns| traffic::udp(ns, from, open, PATIENT));
        live.work("denied connections", scene, move |ns| !traffic::tcp(ns, from, shut, BRIEF));
        live.work("denied datagrams", scene, move |ns| !traffic::udp(ns, from, shut, BRIEF));
        live
    }

    fn work(
        &mut self,
        what: &'static str,
        scene: &Scene,
        mut round: impl FnMut(&Netns) -> bool + Send + 'static,
    ) {
        let (ns, stop) = (scene.net.machine("client").ns.clone(), Arc::clone(&self.stop));
        let worker = thread::spawn(move || {
            let mut tally = Tally::default();
            while !stop.load(Ordering::Relaxed) {
                tally.rounds += 1;
                tally.wrong += usize::from(!round(&ns));
            }
            tally
        });
        self.workers.push((what, worker));
    }

    /// Ends it.
    ///
    /// # Panics
    /// If anything was lost, or has leaked.
    #[track_caller]
    pub fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for (what, worker) in self.workers {
            let tally = worker.join().expect("a worker");
            assert!(tally.rounds > 0 && tally.wrong == 0, "{what}: {tally:?}");
        }
    }
}

/// Where traffic goes that a test sends itself.
pub fn connect(scene: &Scene, to: SocketAddr) -> Connection {
    let client = scene.net.machine("client");
    Connection::open(&client.ns, client.v4(), to, PATIENT).expect("a connection")
}
