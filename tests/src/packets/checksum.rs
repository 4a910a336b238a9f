//! The Internet checksum (RFC 1071).

/// The checksum of `bytes`, added to `start`, with their checksum field still zero.
pub(crate) fn checksum(start: u32, bytes: &[u8]) -> u16 {
    let mut total = sum(start, bytes);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// The sum of the 16-bit words, not folded.
pub(super) fn sum(start: u32, bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    start + bytes.chunks(2).map(word).sum::<u32>()
}
