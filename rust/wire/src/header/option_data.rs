//! What options carry: the shapes of their data, read, written and in words.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::options::{OptionSpace, OptionSpec, OptionValue, address_of};

/// The shape of a known option's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// No data, with a length octet.
    Empty,
    /// A single octet: no length, no data.
    Bare,
    /// Zeros, as many as the number says.
    Zeros,
    /// A number of this many bytes.
    Uint(usize),
    /// A number of four bytes that emission fills in when nothing is given (RFC 2675).
    Jumbo,
    /// A signed number of one byte (radiotap).
    Int(usize),
    /// Numbers of these widths in bytes, one after the other.
    Fields(&'static [usize]),
    /// Two reserved bytes, which are zero, and a number of four bytes.
    Reserved,
    /// Pairs of numbers of this many bytes, at least one.
    Pairs(usize),
    /// A pointer of one byte and IPv4 addresses.
    Route,
    /// Two reserved bytes, which are zero, a lifetime of four bytes and IPv6 addresses.
    Servers,
    /// An IPv6 address.
    Address,
    /// A hardware address.
    Mac,
    /// Prefix information.
    Prefix,
    /// Flags and body.
    Flagged,
    /// Group, sources, auxiliary data.
    Record,
    /// Bytes.
    Bytes,
}

/// Pointer of a route that begins with its first address: octets of the option from 1 (RFC 791 section 3.1).
pub const FIRST_POINTER: u64 = 4;

/// What a known option takes in Python, in words.
#[must_use]
pub fn takes(space: OptionSpace, spec: &OptionSpec) -> String {
    let names = field_names(space, spec.name);
    match spec.shape {
        Shape::Empty | Shape::Bare => "None".into(),
        Shape::Zeros => "a number of zero bytes, up to 255".into(),
        Shape::Uint(1) => "a number up to 255".into(),
        Shape::Uint(2) => "a number up to 65535".into(),
        Shape::Uint(width) => format!("a number of {width} bytes"),
        Shape::Jumbo => "a number of 4 bytes, or None to have it filled in".into(),
        Shape::Int(_) => "a number from -128 to 127".into(),
        Shape::Fields(widths) if names.is_empty() => {
            format!("a tuple of {} numbers of {} bytes", widths.len(), listed(widths))
        }
        Shape::Fields(widths) => format!("({names}), numbers of {} bytes", listed(widths)),
        Shape::Reserved => "a number of 4 bytes, or (0, number)".into(),
        Shape::Pairs(width) => format!("(left, right, ...), pairs of numbers of {width} bytes"),
        Shape::Route => "a list of IPv4 addresses, or (pointer, [addresses])".into(),
        Shape::Servers => "(lifetime, [IPv6 addresses])".into(),
        Shape::Address => "an IPv6 address".into(),
        Shape::Mac => "a hardware address".into(),
        Shape::Prefix => "('2001:db8::/64', flags, valid, preferred)".into(),
        Shape::Flagged => "(flags, body), or the body".into(),
        Shape::Record => "(group, [sources]), or the group".into(),
        Shape::Bytes => "bytes".into(),
    }
}

fn listed(widths: &[usize]) -> String {
    if widths.iter().all(|width| *width == widths[0]) {
        return widths[0].to_string();
    }
    widths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Names of the numbers of an option with several.
fn field_names(space: OptionSpace, name: &str) -> &'static str {
    match (space, name) {
        (OptionSpace::Tcp, "timestamps") => "value, echo_reply",
        (OptionSpace::Ipv6, "mtu") => "minimum, returned",
        (OptionSpace::Mobility, "nonce_indices") => "home, care_of",
        (OptionSpace::Radiotap, "channel") => "frequency, flags",
        (OptionSpace::Radiotap, "fhss") => "hop_set, hop_pattern",
        (OptionSpace::Radiotap, "xchannel") => "flags, frequency, channel, max_power",
        (OptionSpace::Radiotap, "mcs") => "known, flags, index",
        (OptionSpace::Radiotap, "ampdu_status") => "reference, flags, crc, reserved",
        (OptionSpace::Radiotap, "timestamp") => "time, accuracy, unit, flags",
        _ => "",
    }
}

/// Data as its shape says, or as bytes when it does not fit the shape.
#[must_use]
pub fn shaped(space: OptionSpace, shape: Shape, data: &[u8]) -> OptionValue {
    let number = |bytes: &[u8]| {
        let step = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if space == OptionSpace::Radiotap {
            bytes.iter().rev().fold(0, step)
        } else {
            bytes.iter().fold(0, step)
        }
    };
    match shape {
        Shape::Empty | Shape::Bare if data.is_empty() => OptionValue::Empty,
        Shape::Zeros if data.iter().all(|byte| *byte == 0) => OptionValue::Uint(data.len() as u64),
        Shape::Uint(width) if data.len() == width => OptionValue::Uint(number(data)),
        Shape::Jumbo if data.len() == 4 => OptionValue::Uint(number(data)),
        Shape::Int(1) if data.len() == 1 => OptionValue::Int(i64::from(data[0] as i8)),
        Shape::Fields(widths) if data.len() == widths.iter().sum::<usize>() => {
            let mut rest = data;
            let take = |width: &usize| {
                let (head, tail) = rest.split_at(*width);
                rest = tail;
                number(head)
            };
            OptionValue::Numbers(widths.iter().map(take).collect())
        }
        Shape::Reserved if data.len() == 6 => {
            OptionValue::Numbers(vec![number(&data[..2]), number(&data[2..])])
        }
        Shape::Pairs(width) if !data.is_empty() && data.len().is_multiple_of(2 * width) => {
            OptionValue::Numbers(data.chunks_exact(width).map(number).collect())
        }
        Shape::Route if data.len() % 4 == 1 => {
            OptionValue::Addresses(data[0].into(), data[1..].chunks_exact(4).map(address_of).collect())
        }
        Shape::Servers if data.len() > 6 && (data.len() - 6).is_multiple_of(16) && data[..2] == [0, 0] => {
            let list = data[6..].chunks_exact(16).map(address_of).collect();
            OptionValue::Addresses(number(&data[2..6]), list)
        }
        Shape::Address => match (<[u8; 4]>::try_from(data), <[u8; 16]>::try_from(data)) {
            (Ok(octets), _) => OptionValue::Address(Ipv4Addr::from(octets).into()),
            (_, Ok(octets)) => OptionValue::Address(Ipv6Addr::from(octets).into()),
            _ => OptionValue::Bytes(data.to_vec()),
        },
        Shape::Prefix => prefix(data).unwrap_or_else(|| OptionValue::Bytes(data.to_vec())),
        Shape::Mac => data.try_into().map_or_else(|_| OptionValue::Bytes(data.to_vec()), OptionValue::Mac),
        _ => OptionValue::Bytes(data.to_vec()),
    }
}

fn prefix(data: &[u8]) -> Option<OptionValue> {
    let data: &[u8; 30] = data.try_into().ok()?;
    let word = |at: usize| u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
    Some(OptionValue::Prefix {
        prefix: *data.last_chunk()?,
        len: data[0],
        flags: data[1],
        valid: word(2),
        preferred: word(6),
        reserved: word(10),
    })
}

/// Appends an option's data. Bytes are taken as they are, whatever the shape.
pub(super) fn append(
    space: OptionSpace,
    shape: Shape,
    value: &OptionValue,
    output: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let mut number = |value: u64, width: usize| {
        if width < 8 && value >> (8 * width) != 0 {
            return Err("a number is larger than its place");
        }
        let (big, little) = (value.to_be_bytes(), value.to_le_bytes());
        if space == OptionSpace::Radiotap {
            output.extend_from_slice(&little[..width]);
        } else {
            output.extend_from_slice(&big[8 - width..]);
        }
        Ok(())
    };
    match (shape, value) {
        (_, OptionValue::Bytes(bytes) | OptionValue::Flagged(_, bytes)) => output.extend_from_slice(bytes),
        (Shape::Empty | Shape::Bare | Shape::Bytes, OptionValue::Empty) => {}
        (Shape::Zeros, OptionValue::Uint(count)) if *count <= 255 => {
            output.resize(output.len() + *count as usize, 0);
        }
        (Shape::Uint(width), OptionValue::Uint(value)) => number(*value, width)?,
        (Shape::Jumbo, OptionValue::Uint(value)) => number(*value, 4)?,
        (Shape::Jumbo, OptionValue::Empty) => number(0, 4)?,
        (Shape::Int(_), OptionValue::Int(value)) => {
            output.push(i8::try_from(*value).map_err(|_| "allowed are -128 to 127")? as u8);
        }
        (Shape::Fields(widths), OptionValue::Numbers(values)) if widths.len() == values.len() => {
            for (value, width) in values.iter().zip(widths) {
                number(*value, *width)?;
            }
        }
        (Shape::Reserved, OptionValue::Uint(value)) => number(*value, 6).and_then(|()| small(*value))?,
        (Shape::Reserved, OptionValue::Numbers(values)) if values.len() == 2 => {
            number(values[0], 2)?;
            number(values[1], 4)?;
        }
        (Shape::Pairs(width), OptionValue::Numbers(values))
            if !values.is_empty() && values.len().is_multiple_of(2) =>
        {
            values.iter().try_for_each(|value| number(*value, width))?;
        }
        (Shape::Route, OptionValue::Addresses(pointer, list)) => {
            number(*pointer, 1)?;
            addresses::<4>(list, output)?;
        }
        (Shape::Servers, OptionValue::Addresses(lifetime, list)) if !list.is_empty() => {
            number(0, 2)?;
            number(*lifetime, 4)?;
            addresses::<16>(list, output)?;
        }
        (Shape::Address, OptionValue::Address(address)) => {
            addresses::<16>(std::slice::from_ref(address), output)?;
        }
        (Shape::Mac, OptionValue::Mac(address)) => output.extend(address),
        (Shape::Prefix, OptionValue::Prefix { prefix, len, flags, valid, preferred, reserved }) => {
            output.extend([*len, *flags]);
            output.extend([*valid, *preferred, *reserved].iter().flat_map(|word| word.to_be_bytes()));
            output.extend(prefix);
        }
        _ => return Err(mismatch(shape)),
    }
    Ok(())
}

/// A number that has six bytes to itself, two of which are reserved.
fn small(value: u64) -> Result<(), &'static str> {
    if value > u64::from(u32::MAX) { Err("a number is larger than its place") } else { Ok(()) }
}

fn addresses<const N: usize>(list: &[IpAddr], output: &mut Vec<u8>) -> Result<(), &'static str> {
    for address in list {
        match address {
            IpAddr::V4(address) if N == 4 => output.extend(address.octets()),
            IpAddr::V6(address) if N == 16 => output.extend(address.octets()),
            _ => return Err("the addresses are of the other IP version"),
        }
    }
    Ok(())
}

fn mismatch(shape: Shape) -> &'static str {
    match shape {
        Shape::Empty | Shape::Bare => "this kind carries nothing",
        Shape::Zeros => "this kind takes a number of zero bytes, up to 255",
        Shape::Uint(_) | Shape::Int(_) | Shape::Jumbo => "this kind takes a number",
        Shape::Fields(_) => "this kind takes a number for each of its fields",
        Shape::Reserved => "this kind takes a number, or zero and a number",
        Shape::Pairs(_) => "this kind takes pairs of numbers, at least one",
        Shape::Route => "this kind takes a pointer and IPv4 addresses",
        Shape::Servers => "this kind takes a lifetime and IPv6 addresses, at least one",
        Shape::Address => "this kind takes an address",
        Shape::Mac => "this kind takes a hardware address",
        Shape::Prefix => "this kind takes a prefix with flags and lifetimes",
        _ => "this kind takes bytes",
    }
}
