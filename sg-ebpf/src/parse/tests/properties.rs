//! What holds for any bytes.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{frames::*, *};

/// A pseudo-random generator that is the same everywhere (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }
}

/// P42: 200,000 frames, three quarters of them valid ones with up to four bytes changed.
#[test]
fn mutated_frames_keep_the_promise() {
    let seeds = every_kind();
    let mut random = Random(0x0073_675f_7075_7265);
    let mut passed = 0;
    for _ in 0..200_000 {
        let (_, seed, _) = &seeds[random.below(seeds.len())];
        let mut frame = seed.clone();
        for _ in 0..random.below(4) + 1 {
            let at = random.below(frame.len());
            frame[at] = random.next() as u8;
        }
        if random.below(4) == 0 {
            frame.truncate(random.below(frame.len() + 1));
        }
        passed += u32::from(content(&frame, true).is_ok());
        passed += u32::from(content(&frame, false).is_ok());
    }
    assert!(passed > 50_000, "only {passed} passed: the mutations are too wild to tell anything");
}

/// P41: every bit of the first 64 bytes, on both roles.
#[test]
fn every_bit_flip_keeps_the_promise() {
    for (_, frame, _) in every_kind() {
        for bit in 0..64.min(frame.len()) * 8 {
            let flipped = bent(frame.clone(), bit / 8, &[frame[bit / 8] ^ 1 << (bit % 8)]);
            let _ = (content(&flipped, true), content(&flipped, false));
        }
    }
}

fn seed() -> impl Strategy<Value = Vec<u8>> {
    select(every_kind()).prop_map(|(_, frame, _)| frame)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..ProptestConfig::default() })]

    /// P42
    #[test]
    fn random_bytes_keep_the_promise(frame in vec(any::<u8>(), 0..200), guest: bool) {
        let _ = content(&frame, guest);
    }

    /// P42: random bytes behind a header that leads to the IP parsers.
    #[test]
    fn random_packets_keep_the_promise(
        kind in select(vec![0x0800u16, 0x86dd, 0x0806, 0x8100]),
        first in select(vec![0x45u8, 0x46, 0x4f, 0x60]),
        rest in vec(any::<u8>(), 0..200),
        guest: bool,
    ) {
        let _ = content(&ethernet(kind, &[&[first], &rest[..]].concat()), guest);
    }

    /// P04, P10, P11, P20: lengths that lie never move the end of the packet out of the frame.
    #[test]
    fn lying_lengths_never_reach_past_the_frame(
        frame in seed(),
        v4_first in any::<u8>(),
        total in any::<u16>(),
        payload in any::<u16>(),
        lie in 0..4,
    ) {
        let frame = match lie {
            0 => bent(frame, IP, &[v4_first]),
            1 => bent(frame, 16, &total.to_be_bytes()),
            2 => bent(frame, 18, &payload.to_be_bytes()),
            _ => bent(bent(frame, IP, &[v4_first]), 16, &total.to_be_bytes()),
        };
        let _ = (content(&frame, true), content(&frame, false));
    }

    /// P22, F16: any chain of headers, any lengths in them.
    #[test]
    fn random_header_chains_keep_the_promise(
        chain in vec((select(vec![0u8, 43, 44, 60, 6, 17, 58]), vec(any::<u8>(), 7)), 0..11),
        last in select(vec![6u8, 17, 58, 59, 132]),
        payload in vec(any::<u8>(), 0..60),
        small in any::<bool>(),
    ) {
        let bodies: Vec<(u8, Vec<u8>)> = chain
            .into_iter()
            .map(|(kind, mut body)| {
                body[0] = if small { 0 } else { body[0] % 3 };
                (kind, body)
            })
            .collect();
        let chain: Vec<(u8, &[u8])> = bodies.iter().map(|(kind, body)| (*kind, &body[..])).collect();
        let _ = content(&v6_chain(&chain, last, &payload), true);
    }

    /// P08, P06: any options.
    #[test]
    fn random_options_keep_the_promise(words in vec(any::<[u8; 4]>(), 1..=10)) {
        let options = words.concat();
        let outcome = content(&v4_options(&options, 6, &TCP), true);
        let expected = [Ok(Content::Ip), Err(Reason::Malformed), Err(Reason::IpOptions)];
        prop_assert!(expected.contains(&outcome));
    }

    /// I11, I12: any quote.
    #[test]
    fn random_quotes_keep_the_promise(
        quote in vec(any::<u8>(), 0..120),
        first in select(vec![0x45u8, 0x46, 0x4f, 0x60]),
    ) {
        let quote = [&[3, 0, 0, 0, 0, 0, 0, 0, first], &quote[..]].concat();
        let _ = (content(&v4(1, &quote), true), content(&v6(58, &quote), true));
    }
}
