//! Captures: the loaded programs and the model give every frame the same verdict, reason and counter.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sg_tests::{
    packets::{
        Ethernet, Ip, Mac, Transport, arp, ethertype,
        flag::{ACK, SYN},
    },
    replay::{Choice, Tally, replay},
    wire::Family,
};
use tempfile::TempDir;

const GUEST: Mac = Mac([2, 0, 0, 0, 0, 1]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// A legacy capture of Ethernet frames, each with its second.
fn pcap(frames: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let header = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1];
    let mut file: Vec<u8> = header.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
    for (second, bytes) in frames {
        let length = bytes.len() as u32;
        file.extend([*second, 0, length, length].iter().flat_map(|word| word.to_le_bytes()));
        file.extend_from_slice(bytes);
    }
    file
}

/// A guest that is asked for a page, answers, asks for a name and is answered too late.
fn story() -> Vec<(u32, Vec<u8>)> {
    let own = [10, 9, 2, 2];
    let mut frames =
        vec![(0, Ethernet::new(GUEST, ROUTER).frame(ethertype::ARP, &arp(1, (GUEST, own), (ROUTER, own))))];
    for family in Family::BOTH {
        let out = |transport: &Transport| {
            Ethernet::new(GUEST, ROUTER).ip(&Ip::new(family.guest(), family.peer()), transport)
        };
        let back = |transport: &Transport| {
            Ethernet::new(ROUTER, GUEST).ip(&Ip::new(family.peer(), family.guest()), transport)
        };
        frames.extend([
            (1, back(&Transport::tcp(40_000, 80, SYN))),
            (1, out(&Transport::tcp(80, 40_000, SYN | ACK))),
            (2, back(&Transport::tcp(40_000, 80, ACK))),
            (3, out(&Transport::udp(5_000, 53))),
            (40, back(&Transport::udp(53, 5_000))),
            (41, back(&Transport::tcp(40_000, 80, ACK))),
            (42, back(&Transport::tcp(40_000, 81, ACK))),
        ]);
    }
    frames.sort_by_key(|(second, _)| *second);
    frames
}

#[test]
fn a_capture_is_judged_by_its_own_clock() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("story.pcap");
    fs::write(&path, pcap(&story())).expect("a file");
    let tallies = replay(&[path], &Choice::built_in()).expect("a replay");
    let [tally] = tallies.as_slice() else { panic!("one capture: {tallies:?}") };
    assert_eq!(tally.differences, [""; 0]);
    // 15 frames, three policies, two roles, two hooks.
    assert_eq!((tally.frames, tally.judged), (15, 15 * 12));
    // Open: of each family an ACK out of nothing. Web server, as guest and as host: the late answer, the same ACK.
    // Closed: everything but ARP.
    let expected = [("default", 4 * (2 * 2 + 7 * 2)), ("no-connection", 4 * 2)];
    assert_eq!(tally.dropped.iter().map(|(reason, count)| (*reason, *count)).collect::<Vec<_>>(), expected);
}

/// What others captured, where it lies beside the checkout.
#[test]
fn captures_of_others() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/pcap");
    if !place.is_dir() {
        eprintln!("no captures beside the checkout: nothing to replay");
        return;
    }
    let files = captures(&place);
    let tallies = replay(&files, &Choice::built_in()).expect("a replay");
    let judged: usize = tallies.iter().map(|tally| tally.judged).sum();
    eprintln!("{} captures, {judged} verdicts", files.len());
    let wrong: Vec<&Tally> = tallies.iter().filter(|tally| !tally.differences.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(judged > files.len());
}

fn captures(place: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(place).expect("a directory").map(|entry| entry.expect("an entry").path());
    let (directories, mut files): (Vec<PathBuf>, Vec<PathBuf>) = inside.partition(|path| path.is_dir());
    files.retain(|path| {
        path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng")
    });
    files.extend(directories.iter().flat_map(|directory| captures(directory)));
    files.sort();
    files
}
