use super::*;

/// Four tags as a word, the first lowest.
fn word(tags: [u16; 4]) -> u64 {
    (0..4).map(|lane| u64::from(tags[lane]) << (lane * 16)).sum()
}

/// The lanes of a word in which `lanes` has set a bit.
fn marked(lanes: u64) -> Vec<usize> {
    (0..4).filter(|lane| lanes & 0x8000 << (lane * 16) != 0).collect()
}

#[test]
fn hits_are_taken_one_by_one_in_order() {
    for pattern in 0..=0xff_u32 {
        let expected: Vec<u32> = (0..8).filter(|slot| pattern & 1 << slot != 0).collect();
        let mark = |first: u32| {
            (0..4)
                .filter(|lane| pattern & 1 << (first + lane) != 0)
                .map(|lane| 0x8000_u64 << (lane * 16))
                .sum()
        };
        let mut hits = Hits([mark(0), mark(4)]);
        let mut taken = Vec::new();
        while let Some(first) = hits.first() {
            assert_eq!(hits.take_first(), Some(first), "{pattern:#010b}");
            taken.push(first);
        }
        assert_eq!(taken, expected, "{pattern:#010b}");
        assert_eq!(hits.take_first(), None, "{pattern:#010b}");
    }
}

/// No lane that holds the tag is missed; one that does not is marked only above one that is, where the borrow takes it for
/// the tag: it differs in the last bit alone.
#[test]
fn tags_are_found_in_every_lane_and_beside_every_other() {
    for tag in [0, 1, 2, 0x7fff, 0x8000, 0xffff] {
        let near = [tag, tag ^ 1, tag ^ 2, tag ^ 0x8000, !tag];
        for choice in 0..near.len().pow(4) {
            let tags = [0, 1, 2, 3].map(|lane| near[choice / near.len().pow(lane) % near.len()]);
            let found = lanes(word(tags), u64::from(tag));
            assert_eq!(found & !0x8000_8000_8000_8000, 0, "{tags:x?}");
            let mut expected = Vec::new();
            for (lane, held) in tags.into_iter().enumerate() {
                let is_borrowed = held == tag ^ 1 && lane > 0 && expected.last() == Some(&(lane - 1));
                if held == tag || is_borrowed {
                    expected.push(lane);
                }
            }
            assert_eq!(marked(found), expected, "{tag:x} in {tags:x?}");
        }
    }
}
