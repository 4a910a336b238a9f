//! How a value is written, in the words of a message's help.

use std::ops::RangeInclusive;

use super::{super::suggest, MAX_INTERFACE, MAX_NAME, words};

/// A time span.
pub const DURATION: &str =
    "write whole numbers with `s`, `m`, `h` or `d`, from `1s` to `365d`: `600s`, `10m`, `1h30m`";
/// A point in time.
pub const TIME: &str =
    "write RFC 3339 with its offset: `2027-01-01T00:00:00Z` or `2027-01-01T00:00:00+01:00`";
/// An address file.
pub const PATH: &str = "name a file beside the policy file or below it, relative, without `..`";
/// An address.
pub const ADDRESS: &str = "write one address without a length: `10.0.0.5`, `fd00::5`";
/// An address or prefix.
pub const PREFIX: &str =
    "write an address or a CIDR prefix: `10.0.0.0/8` (length 0 to 32), `2001:db8::/32` (0 to 128)";
/// A MAC address.
pub const MAC: &str = "write the six bytes of one station: \"52:54:00:12:34:56\"; the first is even";
/// A port or range.
pub const PORT: &str = "a port is a number from 0 to 65535, a range is `8000-8100`";
/// The other end of a rule.
pub const REMOTE: &str =
    "`remote` is an address, a CIDR prefix, `group:NAME` or `address-group:NAME`; leave it out for any";
/// `icmp:` of a rule.
pub const ICMP_TYPE: &str =
    "write `icmp: {type: 8}` or `icmp: {type: 3, code: 4}`; leave `icmp` out for every type";
/// A name.
pub const NAME: &str = const {
    assert!(MAX_NAME == 255);
    "a name has 1 to 255 bytes, no `/`, no control characters, no blanks at its ends, no leading `.`"
};
/// An interface's name.
pub const INTERFACE_NAME: &str = const {
    assert!(MAX_INTERFACE == 15);
    "a name has 1 to 15 bytes without blanks, `/` and `:`; in a pattern `*` is any run and `?` any one character"
};

/// A number.
pub fn number(what: &str, range: &RangeInclusive<u64>) -> String {
    format!("`{what}` is a number from {} to {}", range.start(), range.end())
}

/// One of some words.
pub fn choice<'a>(what: &str, choices: impl Iterator<Item = &'a str>) -> String {
    format!("`{what}` is {}", suggest::one_of(choices))
}

/// A protocol.
pub fn protocol() -> String {
    let names = suggest::one_of(words::protocol_names());
    format!("`protocol` is {names}, or a number from 0 to 255 without leading zeros")
}
