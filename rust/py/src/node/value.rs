//! Values that are written as text: link addresses, addresses with their networks, prefixes, choices.
use super::build::nearest_name;
use super::mistake::Mistake;
use crate::errors::option_error;
use crate::headers::similar;
use netfast_datapath::{Mac, RpFilter};
use netfast_fib::{FibError, Prefix, TableId};
use netfast_offload::features::{Feature, FeatureError, FeatureSet};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBool;
use std::net::IpAddr;
use std::str::FromStr;

/// Texts longer than this are cut where errors show them.
const SHOWN: usize = 80;

/// A time in ns, which Python gives as `now`: any integer but a truth value.
pub fn time(now: &Bound<'_, PyAny>) -> PyResult<u64> {
    if !now.is_exact_instance_of::<PyBool>()
        && let Ok(nanos) = now.extract::<u64>()
    {
        return Ok(nanos);
    }
    let whole = (!now.is_exact_instance_of::<PyBool>()).then(|| now.call_method0("__index__").ok()).flatten();
    match whole {
        Some(number) => {
            let text = format!("now={number}: give nanoseconds from 0 to 2**64 - 1");
            Err(option_error(now.py(), "now", &text))
        }
        None => {
            let given = now.get_type().name()?;
            Err(PyTypeError::new_err(format!("now: expected a whole number of nanoseconds, not {given}")))
        }
    }
}

/// As [`time`], where it may be left to the node.
pub fn maybe_time(now: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    now.map(time).transpose()
}

/// What belongs in place of `text`.
pub fn refused(key: &'static str, expected: &str, text: &str) -> Mistake {
    let found = text.chars().take(SHOWN).collect();
    Mistake::Value { key, expected: expected.to_owned(), found, nearest: None }
}

/// A link address: six octets in hexadecimal with colons or hyphens between them.
pub fn mac(key: &'static str, text: &str) -> Result<Mac, Mistake> {
    let separator = if text.contains('-') { '-' } else { ':' };
    let octet = |text: &str| (text.len() == 2).then(|| u8::from_str_radix(text, 16).ok()).flatten();
    let octets: Option<Vec<u8>> = text.split(separator).map(octet).collect();
    let expected = "a link address such as 02:00:00:00:00:01";
    octets.and_then(|octets| octets.try_into().ok()).ok_or_else(|| refused(key, expected, text))
}

/// Refuses a link address that is not one station's: its group bit is on (IEEE 802-2014, 8.2.2), or it is all zeros.
pub fn check_unicast(key: &'static str, address: Mac) -> Result<(), Mistake> {
    match address[0] & 1 == 0 && address != [0; 6] {
        true => Ok(()),
        false => Err(refused(
            key,
            "the link address of one station, no group address and not all zeros",
            &mac_text(address),
        )),
    }
}

/// As [`mac`] reads it.
pub fn mac_text(mac: Mac) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// An address with the prefix length of its network.
pub fn interface(key: &'static str, text: &str) -> Result<(IpAddr, u8), Mistake> {
    let expected = "an address with its prefix length, such as 192.0.2.1/24 or 2001:db8::1/64";
    let refused = || refused(key, expected, text);
    let (address, length) = text.split_once('/').ok_or_else(refused)?;
    let address: IpAddr = address.parse().map_err(|_| refused())?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused());
    }
    let length: u8 = length.parse().map_err(|_| refused())?;
    Prefix::containing(address, length).map_err(|source| Mistake::Prefix { key, source })?;
    Ok((address, length))
}

/// An address.
pub fn address(key: &'static str, text: &str) -> Result<IpAddr, Mistake> {
    text.parse().map_err(|_| refused(key, "an address such as 192.0.2.1 or 2001:db8::1", text))
}

/// A prefix; `default` needs a family, so it is refused with what to write.
pub fn prefix(key: &'static str, text: &str) -> Result<Prefix, Mistake> {
    if text == "default" {
        return Err(refused(key, "a prefix; the default routes are 0.0.0.0/0 and ::/0", text));
    }
    Prefix::from_str(text).map_err(|source: FibError| Mistake::Prefix { key, source })
}

/// A routing table by its name.
pub fn table(key: &'static str, text: &str) -> Result<TableId, Mistake> {
    match text {
        "local" => Ok(TableId::LOCAL),
        "main" => Ok(TableId::MAIN),
        "default" => Ok(TableId::DEFAULT),
        _ => text
            .parse()
            .map(TableId)
            .map_err(|_| refused(key, "a table's number, or local, main or default", text)),
    }
}

/// One of some words.
pub fn choice<T: Copy>(key: &'static str, words: &[(&'static str, T)], text: &str) -> Result<T, Mistake> {
    let known = || words.iter().map(|(word, _)| *word);
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let list: Vec<_> = known().collect();
        let expected = format!("one of {}", list.join(", "));
        let nearest = similar(text, known()).and_then(|near| known().find(|word| *word == near));
        let found = text.chars().take(SHOWN).collect();
        Mistake::Value { key, expected, found, nearest }
    })
}

/// Short names of `ethtool -K`, as far as they are worth a guess.
const GROUPS: [&str; 4] = ["tso", "gso", "gro", "lro"];

/// Offload features, by their names.
pub fn features(key: &'static str, text: &str) -> Result<FeatureSet, Mistake> {
    text.parse().map_err(|error| {
        let unknown = if let FeatureError::UnknownName { name } = &error { name } else { text };
        let known = || Feature::ALL.iter().map(|feature| feature.name()).chain(GROUPS);
        let nearest = nearest_name(unknown, known());
        let found = unknown.chars().take(SHOWN).collect();
        Mistake::Value { key, expected: "names of ethtool -k".to_owned(), found, nearest }
    })
}

/// The word of a value.
pub fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| *word)
}

/// What the way back to sources must be.
pub const RP_FILTER: &[(&str, RpFilter)] =
    &[("off", RpFilter::Off), ("strict", RpFilter::Strict), ("loose", RpFilter::Loose)];

/// Kinds of routes without next hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadEnd {
    Unreachable,
    Blackhole,
    Prohibit,
    Throw,
}

/// What becomes of packets without a way on.
pub const DEAD_ENDS: &[(&str, Option<DeadEnd>)] = &[
    ("unicast", None),
    ("unreachable", Some(DeadEnd::Unreachable)),
    ("blackhole", Some(DeadEnd::Blackhole)),
    ("prohibit", Some(DeadEnd::Prohibit)),
    ("throw", Some(DeadEnd::Throw)),
];
