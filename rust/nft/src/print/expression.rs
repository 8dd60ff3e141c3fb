//! Fields and values.
use std::fmt::{self, Formatter, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::ast::{Data, Element, Interval, Key, Lookup, MapSource, Match, Operator, Rhs, SetElement};
use crate::field::{DataType, FibResult, Field, OptionPart, TcpOption, TupleDirection, TuplePart};
use crate::names;

pub(super) fn joined<T>(
    out: &mut Formatter<'_>,
    items: &[T],
    between: &str,
    mut print: impl FnMut(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.write_str(between)?;
        }
        print(out, item)?;
    }
    Ok(())
}

pub(super) fn print_match(out: &mut Formatter<'_>, found: &Match) -> fmt::Result {
    print_key(out, &found.key)?;
    let of = found.key.fields[0].data_type();
    let operator = match found.operator {
        Operator::AnyBit => "",
        // A comparison of bits without operator would ask for any of them; nft prints the operator behind masks, too.
        Operator::Equal if found.key.mask.is_some() => "== ",
        Operator::Equal if of.is_bitmask() && matches!(found.rhs, Rhs::Value(_)) => "== ",
        Operator::Equal => "",
        Operator::NotEqual => "!= ",
        Operator::Less => "< ",
        Operator::LessOrEqual => "<= ",
        Operator::Greater => "> ",
        Operator::GreaterOrEqual => ">= ",
        Operator::NoBit => "! ",
    };
    write!(out, " {operator}")?;
    let types: smallvec::SmallVec<[DataType; 2]> =
        found.key.fields.iter().map(|field| field.data_type()).collect();
    match &found.rhs {
        Rhs::Value(value) if of.is_bitmask() => {
            print_bits(out, of, *value, if operator.is_empty() { "," } else { " | " })
        }
        Rhs::Value(value) => print_interval(out, of, Interval::single(*value)),
        Rhs::Range(element) => print_parts(out, element, &types),
        Rhs::Anonymous(elements) => print_elements(out, elements, &types, &[], ", "),
        Rhs::Named(name) => write!(out, "@{name}"),
    }
}

pub(super) fn print_key(out: &mut Formatter<'_>, key: &Key) -> fmt::Result {
    joined(out, &key.fields, " . ", |out, field| print_field(out, *field))?;
    let Some(mask) = key.mask else { return Ok(()) };
    let of = key.fields[0].data_type();
    if of.is_bitmask() && mask.count_ones() > 1 {
        out.write_str(" & (")?;
        print_bits(out, of, mask, " | ")?;
        return out.write_char(')');
    }
    out.write_str(" & ")?;
    print_bits(out, of, mask, " | ")
}

/// A value of a type that is made of bits, by their names; any other value as it is.
pub(super) fn print_bits(out: &mut Formatter<'_>, of: DataType, value: u128, between: &str) -> fmt::Result {
    if !of.is_bitmask() {
        return print_value(out, of, value);
    }
    let mut bits = Vec::new();
    for bit in 0..u32::from(of.bits()) {
        if value >> bit & 1 == 1 {
            match names::name_of(of, 1 << bit) {
                Some(name) => bits.push(name),
                None => return write!(out, "{value:#x}"),
            }
        }
    }
    if bits.is_empty() {
        return out.write_str("0x0");
    }
    joined(out, &bits, between, |out, name| out.write_str(name))
}

pub(super) fn print_field(out: &mut Formatter<'_>, field: Field) -> fmt::Result {
    match field {
        Field::CtTuple(direction, part) => print_tuple(out, direction, part),
        Field::Fib(query) => {
            write!(out, "fib {}", if query.destination { "daddr" } else { "saddr" })?;
            for (asked, name) in [(query.mark, "mark"), (query.iif, "iif"), (query.oif, "oif")] {
                if asked {
                    write!(out, " . {name}")?;
                }
            }
            out.write_str(match query.result {
                FibResult::Exists => " oif",
                FibResult::AddressType => " type",
            })
        }
        Field::TcpOption(TcpOption { kind, part }) => {
            match names::TCP_OPTIONS.iter().find(|(_, known)| *known == kind) {
                Some((name, _)) => write!(out, "tcp option {name}")?,
                None => write!(out, "tcp option {kind}")?,
            }
            match part {
                OptionPart::Exists => Ok(()),
                OptionPart::Bytes { at: 1, .. } => out.write_str(" length"),
                OptionPart::Bytes { at, .. } => {
                    let named = |(of, _, begin, _): &&(u8, &str, u8, u8)| *of == kind && *begin == at;
                    let name = names::TCP_OPTION_PARTS.iter().find(named).map_or("", |part| part.1);
                    write!(out, " {name}")
                }
            }
        }
        _ => match names::header_field_name(field) {
            Some(("meta", name))
                if names::BARE_META.contains(&name)
                    && !matches!(name, "mark" | "pkttype" | "skuid" | "skgid" | "cgroup") =>
            {
                out.write_str(name)
            }
            Some((header, name)) => write!(out, "{header} {name}"),
            None => Ok(()),
        },
    }
}

pub(super) fn print_tuple(
    out: &mut Formatter<'_>,
    direction: TupleDirection,
    part: TuplePart,
) -> fmt::Result {
    let direction = match direction {
        TupleDirection::Original => "original",
        TupleDirection::Reply => "reply",
    };
    match part {
        TuplePart::L3Proto => out.write_str("ct l3proto"),
        TuplePart::Protocol => out.write_str("ct protocol"),
        TuplePart::SourceIp => write!(out, "ct {direction} ip saddr"),
        TuplePart::DestinationIp => write!(out, "ct {direction} ip daddr"),
        TuplePart::SourceIp6 => write!(out, "ct {direction} ip6 saddr"),
        TuplePart::DestinationIp6 => write!(out, "ct {direction} ip6 daddr"),
        TuplePart::SourcePort => write!(out, "ct {direction} proto-src"),
        TuplePart::DestinationPort => write!(out, "ct {direction} proto-dst"),
    }
}

pub(super) fn print_value(out: &mut Formatter<'_>, of: DataType, value: u128) -> fmt::Result {
    if let Some(name) = names::name_of(of, value) {
        return out.write_str(name);
    }
    match of {
        DataType::Ipv4Addr => write!(out, "{}", Ipv4Addr::from_bits(value as u32)),
        DataType::Ipv6Addr => write!(out, "{}", Ipv6Addr::from_bits(value)),
        DataType::EtherAddr => {
            let bytes = value.to_be_bytes();
            joined(out, &bytes[10..], ":", |out, byte| write!(out, "{byte:02x}"))
        }
        DataType::Mark => write!(out, "{value:#010x}"),
        DataType::EtherType => write!(out, "{value:#06x}"),
        DataType::Dscp => write!(out, "{value:#04x}"),
        DataType::CtState | DataType::CtStatus | DataType::TcpFlag => print_bits(out, of, value, " | "),
        DataType::Time => print_time(out, value),
        _ => write!(out, "{value}"),
    }
}

pub(super) fn print_time(out: &mut Formatter<'_>, milliseconds: u128) -> fmt::Result {
    let mut rest = milliseconds;
    if rest == 0 {
        return out.write_str("0s");
    }
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")] {
        if rest >= unit {
            write!(out, "{}{name}", rest / unit)?;
            rest %= unit;
        }
    }
    Ok(())
}

pub(super) fn print_interval(out: &mut Formatter<'_>, of: DataType, range: Interval) -> fmt::Result {
    if matches!(of, DataType::IfName | DataType::IfIndex) {
        let bytes = range.low.to_be_bytes();
        let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        let name = String::from_utf8_lossy(&bytes[..length]);
        return write!(out, "\"{name}{}\"", if range.is_single() { "" } else { "*" });
    }
    if range.is_single() {
        return print_value(out, of, range.low);
    }
    if matches!(of, DataType::Ipv4Addr | DataType::Ipv6Addr) {
        let size = range.high - range.low;
        let host = u32::from(of.bits()).min(128 - size.leading_zeros());
        let is_prefix = size & size.wrapping_add(1) == 0 && range.low & size == 0;
        if is_prefix {
            print_value(out, of, range.low)?;
            return write!(out, "/{}", u32::from(of.bits()) - host);
        }
    }
    // Names could hold the dash of a range, so ranges have numbers.
    match of {
        DataType::Ipv4Addr | DataType::Ipv6Addr | DataType::EtherAddr | DataType::Mark | DataType::Time => {
            print_value(out, of, range.low)?;
            out.write_char('-')?;
            print_value(out, of, range.high)
        }
        _ => write!(out, "{}-{}", range.low, range.high),
    }
}

pub(super) fn print_parts(out: &mut Formatter<'_>, element: &Element, types: &[DataType]) -> fmt::Result {
    let parts: smallvec::SmallVec<[(Interval, DataType); 2]> =
        element.iter().copied().zip(types.iter().copied()).collect();
    joined(out, &parts, " . ", |out, &(range, of)| print_interval(out, of, range))
}

pub(super) fn print_elements(
    out: &mut Formatter<'_>,
    elements: &[SetElement],
    types: &[DataType],
    data_types: &[DataType],
    between: &str,
) -> fmt::Result {
    out.write_str("{ ")?;
    joined(out, elements, between, |out, element| {
        print_parts(out, &element.key, types)?;
        if let Some(timeout) = element.timeout {
            out.write_str(" timeout ")?;
            print_time(out, timeout.into())?;
        }
        if let Some(comment) = &element.comment {
            write!(out, " comment \"{comment}\"")?;
        }
        match &element.data {
            None => Ok(()),
            Some(Data::Verdict(verdict)) => write!(out, " : {verdict}"),
            Some(Data::Values(values)) => {
                out.write_str(" : ")?;
                print_parts(out, values, data_types)
            }
        }
    })?;
    out.write_str(" }")
}

pub(super) fn print_lookup(
    out: &mut Formatter<'_>,
    lookup: &Lookup,
    word: &str,
    data_types: &[DataType],
) -> fmt::Result {
    print_key(out, &lookup.key)?;
    write!(out, " {word} ")?;
    let types: smallvec::SmallVec<[DataType; 2]> =
        lookup.key.fields.iter().map(|field| field.data_type()).collect();
    match &lookup.map {
        MapSource::Anonymous(elements) => print_elements(out, elements, &types, data_types, ", "),
        MapSource::Named(name) => write!(out, "@{name}"),
    }
}
