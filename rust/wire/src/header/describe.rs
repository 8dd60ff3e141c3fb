//! Every field of a header with its place, its value and its meaning in words.
use std::fmt::Write as _;
use std::net::Ipv6Addr;

use super::names;
use super::options::{self, Opt, OptionSpace, OptionValue};
use super::spec::{FieldSpec, FieldType, Value};
use super::value::read;
use crate::HeaderKind;

/// Bytes that the text of a byte string shows before it is cut.
const SHOWN_BYTES: usize = 24;

/// One field of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name, as in the table.
    pub name: &'static str,
    /// First bit, counted from the start of the header.
    pub bit_offset: usize,
    /// Bits.
    pub bit_len: usize,
    /// Its value.
    pub value: Value,
    /// The value for a reader: with its name, when it has one.
    pub text: String,
    /// What the field is.
    pub doc: &'static str,
}

/// The fields that the header at the front of `bytes` has, in wire order. Bytes that are too short give those fields
/// that are there.
pub fn describe(kind: HeaderKind, bytes: &[u8]) -> impl Iterator<Item = Described> + '_ {
    let fields = super::spec(kind).fields.iter().filter(|field| !field.alias);
    fields.filter_map(move |field| {
        let (bit_offset, bit_len) = field.locate(bytes)?;
        if bit_len == 0 {
            return None;
        }
        let value = read(bytes, field);
        let text = value_text(field, &value, bytes);
        Some(Described { name: field.name, bit_offset, bit_len, value, text, doc: field.doc })
    })
}

/// A field's value for a reader.
#[must_use]
pub fn value_text(field: &FieldSpec, value: &Value, bytes: &[u8]) -> String {
    match value {
        Value::Auto => "filled in on emission".into(),
        Value::Absent => "absent".into(),
        Value::Uint(number) => number_text(field, *number, bytes),
        Value::Flag(flag) => if *flag { "set" } else { "not set" }.into(),
        Value::Mac(address) => mac_text(address),
        Value::Ipv4(address) => address.to_string(),
        Value::Ipv6(address) => address.to_string(),
        Value::Bytes(bytes) => bytes_text(bytes),
        Value::Addresses(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Value::Options(list) => {
            let FieldType::Options(space) = field.ty else { return String::new() };
            list.iter().map(|opt| option_text(space, opt)).collect::<Vec<_>>().join(", ")
        }
    }
}

fn number_text(field: &FieldSpec, number: u64, bytes: &[u8]) -> String {
    let hexadecimal = matches!(field.name, "header_checksum" | "checksum" | "identification" | "flow_label")
        || matches!(field.name, "ethertype" | "spi" | "key" | "vni" | "oui" | "verification_tag");
    let shown = if hexadecimal { format!("{number:#x}") } else { number.to_string() };
    let name = field.text.and_then(|name| name(number, bytes));
    match name {
        Some(name) => format!("{shown} ({name})"),
        None if field.name == "flags" && field.max() == 0xfff && number != 0 => {
            format!("{shown} ({})", names::tcp_flag_list(number))
        }
        None => shown,
    }
}

/// An option for a reader.
#[must_use]
pub fn option_text(space: OptionSpace, opt: &Opt) -> String {
    let mut text = match options::name(space, opt.code) {
        Some(name) => name.to_string(),
        None => format!("kind {:#x}", opt.code),
    };
    let _ = match &opt.value {
        OptionValue::Empty => Ok(()),
        OptionValue::Uint(number) => write!(text, " {number}"),
        OptionValue::Int(number) => write!(text, " {number}"),
        OptionValue::Numbers(numbers) => {
            let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
            write!(text, " {}", numbers.join("/"))
        }
        OptionValue::Address(address) => write!(text, " {address}"),
        OptionValue::Mac(address) => write!(text, " {}", mac_text(address)),
        OptionValue::Record(group, sources, _) if sources.is_empty() => write!(text, " {group}"),
        OptionValue::Record(group, sources, _) => {
            let sources: Vec<_> = sources.iter().map(ToString::to_string).collect();
            write!(text, " {group} from {}", sources.join(" "))
        }
        OptionValue::Addresses(number, list) => {
            let list: Vec<_> = list.iter().map(ToString::to_string).collect();
            write!(text, " {number}: {}", list.join(" "))
        }
        OptionValue::Prefix { prefix, len, .. } => write!(text, " {}/{len}", Ipv6Addr::from(*prefix)),
        OptionValue::Flagged(0, body) => write!(text, " ({} bytes)", body.len()),
        OptionValue::Flagged(flags, body) => write!(text, " flags {flags:#x} ({} bytes)", body.len()),
        OptionValue::Bytes(bytes) => write!(text, " {}", bytes_text(bytes)),
    };
    text
}

/// A hardware address as everybody writes it.
#[must_use]
pub fn mac_text(address: &[u8; 6]) -> String {
    let [a, b, c, d, e, f] = address;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

fn bytes_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(SHOWN_BYTES * 2 + 16);
    for byte in bytes.iter().take(SHOWN_BYTES) {
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > SHOWN_BYTES {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}
