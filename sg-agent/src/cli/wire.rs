//! How options that have a spelling of their own travel in JSON: as they are written on the command line.

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// Reads an optional text with `parse`, which says what is wrong with it.
fn read<'de, T, D: Deserializer<'de>>(
    from: D,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| parse(&text).map_err(|why| D::Error::custom(format!("`{}`: {why}", text.escape_debug()))))
        .transpose()
}

fn write<S: Serializer>(to: S, text: Option<String>) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => to.serialize_some(&text),
        None => to.serialize_none(),
    }
}

/// A protocol by name or number.
pub mod protocol {
    use super::*;
    use crate::observe::parse;

    pub fn serialize<S: Serializer>(value: &Option<u8>, to: S) -> Result<S::Ok, S::Error> {
        write(to, value.map(|number| number.to_string()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u8>, D::Error> {
        read(from, parse::protocol)
    }
}

/// A protocol that has to be there.
pub mod some_protocol {
    use super::*;

    pub fn serialize<S: Serializer>(value: &u8, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.to_string())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
        super::protocol::deserialize(from)?.ok_or_else(|| D::Error::custom("a protocol is missing"))
    }
}

/// An address or a prefix without host bits.
pub mod network {
    use ipnet::IpNet;

    use super::*;
    use crate::observe::parse;

    pub fn serialize<S: Serializer>(value: &Option<IpNet>, to: S) -> Result<S::Ok, S::Error> {
        write(to, value.map(|net| net.to_string()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpNet>, D::Error> {
        read(from, parse::network)
    }
}

/// A MAC address.
pub mod mac {
    use super::*;
    use crate::observe::parse;

    pub fn serialize<S: Serializer>(value: &Option<[u8; 6]>, to: S) -> Result<S::Ok, S::Error> {
        let hex = |octets: &[u8; 6]| octets.map(|octet| format!("{octet:02x}")).join(":");
        write(to, value.as_ref().map(hex))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[u8; 6]>, D::Error> {
        read(from, parse::mac)
    }
}

/// A time span such as `30d`.
pub mod duration {
    use std::time::Duration;

    use super::*;
    use crate::observe::parse;

    pub fn serialize<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        write(to, value.map(|span| format!("{}s", span.as_secs())))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        read(from, parse::duration)
    }
}

/// How long a change may wait for its confirmation.
pub mod trial_time {
    use std::time::Duration;

    pub use super::duration::serialize;
    use super::*;
    use crate::observe::parse;

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        read(from, parse::trial_time)
    }
}
