//! Captures: what files hold, as Ethernet frames with their times.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

use crate::packets::{Ethernet, Mac, ethertype};

/// One frame of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number in the file, from 1.
    pub number: usize,
    /// When it was seen.
    pub time: Duration,
    /// Its bytes, as far as they were captured, behind an Ethernet header, padded.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Source MAC address.
    pub fn sender(&self) -> Option<Mac> {
        self.bytes.get(6..12)?.first_chunk().copied().map(Mac)
    }
}

/// Bytes of the shortest and of the longest frame that is put to the programs.
const SHORTEST: usize = 60;
const LONGEST: usize = 3_400;

/// The frames of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Those that could be read.
    pub frames: Vec<Frame>,
    /// Packets of link types that carry no frames for a network interface, by the number of the link type.
    pub skipped: BTreeMap<i32, usize>,
    /// Packets that are longer than a test run takes.
    pub too_long: usize,
    /// Why the file could not be read to its end.
    pub broken: Option<String>,
}

/// Bytes of the largest block of a capture file.
const LARGEST_BLOCK: usize = 1 << 20;

/// MAC addresses of senders for link types that have none: of the one that is seen first, and of others.
const MADE_UP: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2])];

impl Capture {
    /// Reads a pcap or pcapng file.
    ///
    /// # Errors
    /// If it cannot be opened or is no such file. A file that is damaged further on gives what comes before.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Self::read(file).with_context(|| path.display().to_string())
    }

    /// Reads the contents of a pcap or pcapng file.
    ///
    /// # Errors
    /// If it is no such file.
    pub fn read(source: impl Read + Send + 'static) -> Result<Self> {
        let mut reader = create_reader(LARGEST_BLOCK, source).map_err(|error| anyhow!("{error:?}"))?;
        let mut taker = Taker::default();
        loop {
            let used = match reader.next() {
                Ok((used, block)) => {
                    taker.take(&block);
                    used
                }
                Err(PcapError::Eof) => break,
                Err(PcapError::Incomplete(_)) => 0,
                Err(error) => {
                    taker.capture.broken = Some(kind(&error));
                    break;
                }
            };
            reader.consume(used);
            if used == 0 && (reader.reader_exhausted() || reader.refill().is_err()) {
                taker.capture.broken = Some("it ends within a packet".to_owned());
                break;
            }
        }
        Ok(taker.capture)
    }
}

fn kind(error: &PcapError<&[u8]>) -> String {
    match error {
        PcapError::NomError(_, kind) | PcapError::OwnedNomError(_, kind) => format!("damaged ({kind:?})"),
        other => format!("{other:?}"),
    }
}

/// What is known of a file that is being read.
#[derive(Default)]
struct Taker {
    capture: Capture,
    /// Link type, ticks per second and offset in seconds of each interface.
    interfaces: Vec<(Linktype, u64, i64)>,
    packets: usize,
    /// The source address that was seen first where the link type has no MAC addresses.
    first: Option<Vec<u8>>,
}

impl Taker {
    fn take(&mut self, block: &PcapBlockOwned) {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let ticks = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                self.interfaces = vec![(plain(header.network), ticks, 0)];
            }
            PcapBlockOwned::Legacy(block) => {
                let ticks = self.interfaces.first().map_or(1_000_000, |interface| interface.1);
                let time = time(u64::from(block.ts_sec), u64::from(block.ts_usec), ticks);
                self.packet(0, time, captured(block.data, block.caplen));
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
                let ticks = block.ts_resolution().unwrap_or(1_000_000);
                self.interfaces.push((plain(block.linktype), ticks, block.ts_offset()));
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
                let of = block.if_id as usize;
                let Some((_, ticks, offset)) = self.interfaces.get(of).copied() else { return };
                let (seconds, fraction) = block.decode_ts(u64::try_from(offset).unwrap_or(0), ticks);
                self.packet(
                    of,
                    time(u64::from(seconds), u64::from(fraction), ticks),
                    captured(block.data, block.caplen),
                );
            }
            PcapBlockOwned::NG(Block::SimplePacket(block)) => {
                self.packet(0, Duration::ZERO, captured(block.data, block.origlen));
            }
            PcapBlockOwned::NG(_) => {}
        }
    }

    fn packet(&mut self, interface: usize, time: Duration, data: &[u8]) {
        self.packets += 1;
        let Some((link, ..)) = self.interfaces.get(interface).copied() else { return };
        match self.frame(link, data) {
            Some(bytes) if bytes.len() > LONGEST => self.capture.too_long += 1,
            Some(mut bytes) => {
                bytes.resize(bytes.len().max(SHORTEST), 0);
                self.capture.frames.push(Frame { number: self.packets, time, bytes });
            }
            None => *self.capture.skipped.entry(link.0).or_default() += 1,
        }
    }

    /// The Ethernet frame in a packet, or around it.
    fn frame(&mut self, link: Linktype, data: &[u8]) -> Option<Vec<u8>> {
        match link {
            Linktype::ETHERNET => Some(data.to_vec()),
            Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 | Linktype(12 | 14) => self.wrapped(data),
            // Four bytes of address family.
            Linktype::NULL | Linktype::LOOP => self.wrapped(data.get(4..)?),
            Linktype::LINUX_SLL => self.cooked(data, 14, 16),
            Linktype::LINUX_SLL2 => self.cooked(data, 0, 20),
            _ => None,
        }
    }

    /// Linux's cooked capture: the ethertype at one offset, what it is of at another.
    fn cooked(&mut self, data: &[u8], kind: usize, payload: usize) -> Option<Vec<u8>> {
        let kind = u16::from_be_bytes([*data.get(kind)?, *data.get(kind + 1)?]);
        let payload = data.get(payload..)?;
        match kind {
            ethertype::IPV4 | ethertype::IPV6 => self.wrapped(payload),
            _ => Some(Ethernet::new(MADE_UP[1], MADE_UP[0]).frame(kind, payload)),
        }
    }

    /// An IP packet behind a header that tells senders apart.
    fn wrapped(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let (kind, source) = match packet.first()? >> 4 {
            4 => (ethertype::IPV4, packet.get(12..16)),
            6 => (ethertype::IPV6, packet.get(8..24)),
            _ => return None,
        };
        let source = source.unwrap_or_default().to_vec();
        let is_first = *self.first.get_or_insert_with(|| source.clone()) == source;
        let [first, other] = MADE_UP;
        let ends = if is_first { Ethernet::new(first, other) } else { Ethernet::new(other, first) };
        Some(ends.frame(kind, packet))
    }
}

/// Without the bits that tell the length of the frame check sequence.
const fn plain(link: Linktype) -> Linktype {
    Linktype(link.0 & 0xffff)
}

/// Without what pads the block.
fn captured(data: &[u8], length: u32) -> &[u8] {
    data.get(..length as usize).unwrap_or(data)
}

fn time(seconds: u64, fraction: u64, ticks: u64) -> Duration {
    let nanos = u128::from(fraction) * 1_000_000_000 / u128::from(ticks.max(1));
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::{Ip, Transport, flag::SYN};

    /// A legacy capture of microseconds.
    fn pcap(link: u32, packets: &[(u32, &[u8])]) -> Vec<u8> {
        let header = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link];
        let mut file: Vec<u8> = header.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
        for (micros, bytes) in packets {
            let length = bytes.len() as u32;
            file.extend([7, *micros, length, length].iter().flat_map(|word| word.to_le_bytes()));
            file.extend_from_slice(bytes);
        }
        file
    }

    fn read(file: Vec<u8>) -> Capture {
        Capture::read(std::io::Cursor::new(file)).expect("a capture")
    }

    fn datagrams() -> [Vec<u8>; 2] {
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        [(one, other), (other, one)].map(|(from, to)| Ip::new(from, to).carry(&Transport::tcp(1, 2, SYN)))
    }

    #[test]
    fn frames_come_with_number_and_time() {
        let frame = [&[9; 12][..], &[8, 0], &datagrams()[0]].concat();
        let capture = read(pcap(1, &[(0, &frame), (250, &frame)]));
        assert_eq!(capture.frames.len(), 2);
        let last = &capture.frames[1];
        assert_eq!((last.number, last.time), (2, Duration::from_micros(7_000_250)));
        assert_eq!((&last.bytes[..54], last.bytes.len()), (&frame[..], 60));
    }

    #[test]
    fn packets_without_a_link_header_get_one_that_tells_the_senders_apart() {
        let [one, other] = datagrams();
        for (link, before) in [(101, vec![]), (228, vec![]), (0, vec![2, 0, 0, 0])] {
            let packets = [&one, &other].map(|packet| [before.clone(), packet.clone()].concat());
            let capture = read(pcap(link, &[(0, &packets[0]), (1, &packets[1])]));
            let senders: Vec<_> = capture.frames.iter().map(|frame| frame.sender()).collect();
            assert_eq!(senders, MADE_UP.map(Some), "link type {link}");
            assert_eq!(capture.frames[0].bytes[14..54], one);
        }
    }

    #[test]
    fn what_is_no_frame_is_counted_and_damage_is_told() {
        let capture = read(pcap(105, &[(0, &[0; 40])]));
        assert_eq!((capture.frames.len(), capture.skipped[&105]), (0, 1));
        let mut file = pcap(1, &[(0, &[0; 40]), (0, &[0; 40])]);
        file.truncate(file.len() - 10);
        let capture = read(file);
        assert_eq!(capture.frames.len(), 1);
        assert!(capture.broken.is_some());
        assert!(Capture::read(&b"neither of them, but long enough"[..]).is_err());
    }
}
