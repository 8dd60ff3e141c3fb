//! Options, chunks, tags and records: one codec for each way of writing "kind, length, data", and a table of the known
//! kinds with the shape of their data.
//!
//! Decoding accepts every byte string. What cannot be an option is one item called `raw` to the end; encoding it
//! writes the same bytes back.
use std::net::IpAddr;

pub(super) use super::option_data::append;
pub use super::option_data::{FIRST_POINTER, Shape, shaped, takes};
use super::option_tables as tables;

/// Which numbering and which encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OptionSpace {
    /// IPv4 options, RFC 791 section 3.1.
    Ipv4,
    /// TCP options, RFC 9293 section 3.2.
    Tcp,
    /// IPv6 hop-by-hop and destination options, RFC 8200 section 4.2.
    Ipv6,
    /// Mobility options, RFC 6275 section 6.2.
    Mobility,
    /// Neighbour discovery options, RFC 4861 section 4.6.
    Ndp,
    /// TLVs of the segment routing header, RFC 8754 section 2.1.
    Srh,
    /// Geneve options, RFC 8926 section 3.5; the kind is class × 256 + type.
    Geneve,
    /// SCTP chunks, RFC 9260 section 3.2.
    Sctp,
    /// DCCP options, RFC 4340 section 5.8.
    Dccp,
    /// PPPoE tags of the discovery stage, RFC 2516 section 5.
    Pppoe,
    /// Group records of MLDv2, RFC 9777 section 5.2.
    Mld,
    /// Group records of IGMPv3, RFC 9776 section 4.2.
    Igmp,
    /// Radiotap present words and fields, in the order of their bits.
    Radiotap,
}

/// What an option carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OptionValue {
    /// Nothing.
    Empty,
    /// A number.
    Uint(u64),
    /// A signed number, such as a signal in dBm.
    Int(i64),
    /// Several numbers.
    Numbers(Vec<u64>),
    /// An address.
    Address(IpAddr),
    /// A hardware address.
    Mac([u8; 6]),
    /// A group and its sources, and auxiliary data.
    Record(IpAddr, Vec<IpAddr>, Vec<u8>),
    /// A number and addresses: the pointer of a source route, the lifetime of name servers.
    Addresses(u64, Vec<IpAddr>),
    /// Prefix information, RFC 4861 section 4.6.2.
    Prefix {
        /// The prefix.
        prefix: [u8; 16],
        /// Its length in bits.
        len: u8,
        /// On-link (0x80), autonomous (0x40), router address (0x20), and reserved bits.
        flags: u8,
        /// Seconds the prefix is valid.
        valid: u32,
        /// Seconds addresses made from it are preferred.
        preferred: u32,
        /// Reserved.
        reserved: u32,
    },
    /// A chunk's flags and body.
    Flagged(u8, Vec<u8>),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// One option.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Opt {
    /// Its kind; [`RAW`] for bytes that are no option.
    pub code: u32,
    /// What it carries.
    pub value: OptionValue,
}

/// Kind of the item that holds bytes which are no option.
pub const RAW: u32 = u32::MAX;

/// Kind of the jumbo payload option, RFC 2675 section 2.
pub const JUMBO: u32 = 0xc2;

/// Kind of the home address option, RFC 6275 section 6.3.
pub const HOME_ADDRESS: u32 = 0xc9;

impl Opt {
    /// An option of this kind.
    #[must_use]
    pub const fn new(code: u32, value: OptionValue) -> Self {
        Self { code, value }
    }
}

/// A known option.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Its kind.
    pub code: u32,
    /// Its name, as in Python.
    pub name: &'static str,
    /// The shape of its data.
    pub shape: Shape,
    /// Where the option has to start: bytes modulo the first number equal the second.
    pub align: (usize, usize),
}

/// The known options of a space.
#[must_use]
pub fn table(space: OptionSpace) -> &'static [OptionSpec] {
    match space {
        OptionSpace::Ipv4 => tables::IPV4,
        OptionSpace::Tcp => tables::TCP,
        OptionSpace::Ipv6 => tables::IPV6,
        OptionSpace::Mobility => tables::MOBILITY,
        OptionSpace::Ndp => tables::NDP,
        OptionSpace::Srh => tables::SRH,
        OptionSpace::Geneve => tables::GENEVE,
        OptionSpace::Sctp => tables::SCTP,
        OptionSpace::Dccp => tables::DCCP,
        OptionSpace::Pppoe => tables::PPPOE,
        OptionSpace::Mld | OptionSpace::Igmp => tables::RECORDS,
        OptionSpace::Radiotap => tables::RADIOTAP,
    }
}

/// The known option of this kind.
#[must_use]
pub fn spec(space: OptionSpace, code: u32) -> Option<&'static OptionSpec> {
    table(space).iter().find(|spec| spec.code == code)
}

/// The kind of the option of this name (`raw` included).
#[must_use]
pub fn code(space: OptionSpace, name: &str) -> Option<u32> {
    if name == "raw" {
        return Some(RAW);
    }
    table(space).iter().find(|spec| spec.name == name).map(|spec| spec.code)
}

/// The name of an option's kind, when it has one.
#[must_use]
pub fn name(space: OptionSpace, code: u32) -> Option<&'static str> {
    if code == RAW { Some("raw") } else { spec(space, code).map(|spec| spec.name) }
}

/// How a space writes its items.
struct Form {
    kind_bytes: usize,
    /// Kinds that are one octet, without length.
    bare: fn(u32) -> bool,
    /// A flags octet between kind and length.
    flagged: bool,
    length_bytes: usize,
    /// Bytes one step of the length counts.
    unit: usize,
    /// Header bytes that the length counts, too.
    counted: usize,
    /// Items are padded to this.
    pad: usize,
    /// The kind that ends the list.
    end: Option<u32>,
    /// The whole list is padded to this.
    total: usize,
}

const OCTETS: Form = Form {
    kind_bytes: 1,
    bare: |code| code <= 1,
    flagged: false,
    length_bytes: 1,
    unit: 1,
    counted: 2,
    pad: 1,
    end: Some(0),
    total: 4,
};

const fn form(space: OptionSpace) -> Form {
    match space {
        OptionSpace::Ipv4 | OptionSpace::Tcp => OCTETS,
        OptionSpace::Dccp => Form { bare: |code| code < 32, end: None, ..OCTETS },
        OptionSpace::Ipv6 | OptionSpace::Mobility | OptionSpace::Srh => {
            Form { bare: |code| code == 0, counted: 0, end: None, total: 8, ..OCTETS }
        }
        OptionSpace::Ndp => Form { bare: |_| false, unit: 8, pad: 8, end: None, total: 8, ..OCTETS },
        OptionSpace::Sctp => Form {
            bare: |_| false,
            flagged: true,
            length_bytes: 2,
            counted: 4,
            pad: 4,
            end: None,
            total: 1,
            ..OCTETS
        },
        OptionSpace::Pppoe => Form {
            kind_bytes: 2,
            bare: |_| false,
            length_bytes: 2,
            counted: 0,
            end: None,
            total: 1,
            ..OCTETS
        },
        // Geneve, records and radiotap have codecs of their own.
        _ => Form { bare: |_| false, total: 1, ..OCTETS },
    }
}

/// Reads a list; never fails, see the module's text.
#[must_use]
pub fn decode(space: OptionSpace, bytes: &[u8]) -> Vec<Opt> {
    let mut list = Vec::new();
    let mut offset = 0;
    if space == OptionSpace::Radiotap {
        return super::radiotap::decode(bytes);
    }
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        let item = match space {
            OptionSpace::Geneve => geneve_item(rest),
            OptionSpace::Mld => record_item::<16>(rest),
            OptionSpace::Igmp => record_item::<4>(rest),
            _ => item(space, rest),
        };
        let Some((opt, len)) = item.filter(|(_, len)| *len > 0) else {
            list.push(Opt::new(RAW, OptionValue::Bytes(rest.to_vec())));
            break;
        };
        let ends =
            form(space).end == Some(opt.code) && !matches!(space, OptionSpace::Mld | OptionSpace::Igmp);
        list.push(opt);
        offset += len;
        if ends {
            // Zeros behind the end are padding, which encoding writes again; anything else is worth seeing.
            let rest = &bytes[offset..];
            if rest.iter().any(|byte| *byte != 0) {
                list.push(Opt::new(RAW, OptionValue::Bytes(rest.to_vec())));
            }
            break;
        }
    }
    list
}

/// One item of the common form and the bytes it takes.
fn item(space: OptionSpace, bytes: &[u8]) -> Option<(Opt, usize)> {
    let form = form(space);
    let code = bytes.get(..form.kind_bytes)?.iter().fold(0u32, |code, byte| code << 8 | u32::from(*byte));
    if (form.bare)(code) {
        return Some((Opt::new(code, OptionValue::Empty), form.kind_bytes));
    }
    let prefix = form.kind_bytes + usize::from(form.flagged);
    let flags = if form.flagged { *bytes.get(form.kind_bytes)? } else { 0 };
    let data_start = prefix + form.length_bytes;
    let length = bytes.get(prefix..data_start)?.iter().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
    let total = if form.counted == 0 { data_start + length } else { length * form.unit };
    let data = bytes.get(data_start..total)?;
    let padded = total.next_multiple_of(form.pad);
    // A last item may end without its padding; padding that is not zero would be lost.
    let padding = bytes.get(total..padded.min(bytes.len()))?;
    if padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    let value = if form.flagged {
        OptionValue::Flagged(flags, data.to_vec())
    } else {
        let shape = spec(space, code).map_or(Shape::Bytes, |spec| spec.shape);
        shaped(space, shape, data)
    };
    Some((Opt::new(code, value), padded.min(bytes.len())))
}

/// Where the data of the first option of a kind stands in a list of IPv6 options.
pub(super) fn place_of(area: &[u8], wanted: u8) -> Option<std::ops::Range<usize>> {
    let mut at = 0;
    loop {
        let kind = *area.get(at)?;
        if kind == 0 {
            at += 1;
            continue;
        }
        let start = at + 2;
        at = start + usize::from(*area.get(at + 1)?);
        if kind == wanted {
            return (at <= area.len()).then_some(start..at);
        }
    }
}

/// Whether an option can be written.
///
/// # Errors
/// Why not.
pub fn check(space: OptionSpace, opt: &Opt) -> Result<(), &'static str> {
    encode(space, std::slice::from_ref(opt), 0).map(|_| ()).map_err(|(_, problem)| problem)
}

fn geneve_item(bytes: &[u8]) -> Option<(Opt, usize)> {
    let head: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    let code = u32::from(head[0]) << 16 | u32::from(head[1]) << 8 | u32::from(head[2]);
    let total = 4 + usize::from(head[3] & 0x1f) * 4;
    if head[3] & 0xe0 != 0 {
        return None;
    }
    let data = bytes.get(4..total)?;
    Some((Opt::new(code, OptionValue::Bytes(data.to_vec())), total))
}

/// A group record of MLDv2 (16-byte addresses) or IGMPv3 (4-byte ones).
fn record_item<const N: usize>(bytes: &[u8]) -> Option<(Opt, usize)> {
    let head: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    let sources = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let address = |start: usize| -> Option<IpAddr> {
        let octets: [u8; N] = bytes.get(start..start + N)?.try_into().ok()?;
        Some(address_of(&octets))
    };
    let sources_end = 4 + N + sources * N;
    let total = sources_end + usize::from(head[1]) * 4;
    let auxiliary = bytes.get(sources_end..total)?.to_vec();
    let group = address(4)?;
    let list: Option<Vec<_>> = (0..sources).map(|index| address(4 + N + index * N)).collect();
    Some((Opt::new(head[0].into(), OptionValue::Record(group, list?, auxiliary)), total))
}

pub(super) fn address_of(octets: &[u8]) -> IpAddr {
    match <[u8; 4]>::try_from(octets) {
        Ok(octets) => IpAddr::V4(octets.into()),
        Err(_) => {
            let mut wide = [0; 16];
            let len = octets.len().min(16);
            wide[..len].copy_from_slice(&octets[..len]);
            IpAddr::V6(wide.into())
        }
    }
}

/// What is wrong with which option.
pub type OptionProblem = (usize, &'static str);

/// Writes a list that starts `start` bytes into its header, with the padding its space asks for.
///
/// # Errors
/// The index of an option that cannot be written and why.
pub fn encode(space: OptionSpace, list: &[Opt], start: usize) -> Result<Vec<u8>, OptionProblem> {
    if space == OptionSpace::Radiotap {
        return super::radiotap::encode(list);
    }
    let form = form(space);
    let mut output = Vec::new();
    for (index, opt) in list.iter().enumerate() {
        if opt.code == RAW {
            let OptionValue::Bytes(bytes) = &opt.value else {
                return Err((index, "`raw` takes bytes"));
            };
            output.extend_from_slice(bytes);
            continue;
        }
        let known = spec(space, opt.code);
        if let Some(OptionSpec { align: (step, rest), .. }) = known.filter(|spec| spec.align.0 > 1) {
            let missing = (rest + step - (start + output.len()) % step) % step;
            pad_ipv6(&mut output, missing);
        }
        let written = match space {
            OptionSpace::Geneve => write_geneve(opt, &mut output),
            OptionSpace::Mld => write_record::<16>(opt, &mut output),
            OptionSpace::Igmp => write_record::<4>(opt, &mut output),
            _ => write_item(space, &form, known, opt, &mut output),
        };
        written.map_err(|problem| (index, problem))?;
    }
    let missing = (start + output.len()).next_multiple_of(form.total) - (start + output.len());
    match space {
        OptionSpace::Ipv6 | OptionSpace::Mobility => pad_ipv6(&mut output, missing),
        OptionSpace::Srh => pad_srh(&mut output, missing),
        _ => output.resize(output.len() + missing, 0),
    }
    Ok(output)
}

/// Pad1 or PadN, RFC 8200 section 4.2.
fn pad_ipv6(output: &mut Vec<u8>, missing: usize) {
    match missing {
        0 => {}
        1 => output.push(0),
        _ => {
            output.extend([1, (missing - 2) as u8]);
            output.resize(output.len() + missing - 2, 0);
        }
    }
}

/// Pad1 or PadN of the segment routing header, whose PadN has kind 4 (RFC 8754 section 2.1.1).
fn pad_srh(output: &mut Vec<u8>, missing: usize) {
    let start = output.len();
    pad_ipv6(output, missing);
    if missing > 1 {
        output[start] = 4;
    }
}

fn write_item(
    space: OptionSpace,
    form: &Form,
    known: Option<&OptionSpec>,
    opt: &Opt,
    output: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let start = output.len();
    let kind = opt.code.to_be_bytes();
    if opt.code >= 1 << (8 * form.kind_bytes) {
        return Err("the kind is larger than its field");
    }
    output.extend(&kind[4 - form.kind_bytes..]);
    if (form.bare)(opt.code) {
        return if opt.value == OptionValue::Empty {
            Ok(())
        } else {
            Err("this kind is a single octet and carries nothing: give None")
        };
    }
    if form.flagged {
        let OptionValue::Flagged(flags, _) = &opt.value else {
            return Err("a chunk takes (flags, body)");
        };
        output.push(*flags);
    }
    let length_at = output.len();
    output.resize(length_at + form.length_bytes, 0);
    let shape = known.map_or(Shape::Bytes, |spec| spec.shape);
    append(space, shape, &opt.value, output)?;
    if form.unit > 1 {
        output.resize(start + (output.len() - start).next_multiple_of(form.unit), 0);
    }
    let total = output.len() - start;
    let length =
        if form.counted == 0 { output.len() - length_at - form.length_bytes } else { total / form.unit };
    if length >= 1 << (8 * form.length_bytes) {
        return Err("the data is longer than the length field can say: shorten it");
    }
    let length = (length as u16).to_be_bytes();
    output[length_at..length_at + form.length_bytes].copy_from_slice(&length[2 - form.length_bytes..]);
    output.resize(start + total.next_multiple_of(form.pad), 0);
    Ok(())
}

fn write_geneve(opt: &Opt, output: &mut Vec<u8>) -> Result<(), &'static str> {
    let OptionValue::Bytes(data) = &opt.value else { return Err("a Geneve option takes bytes") };
    let kind = opt.code.to_be_bytes();
    if kind[0] != 0 {
        return Err("the kind is class * 256 + type and has at most 24 bits");
    }
    if !data.len().is_multiple_of(4) || data.len() > 124 {
        return Err("Geneve option data is a multiple of 4 bytes and at most 124 bytes");
    }
    output.extend([kind[1], kind[2], kind[3], (data.len() / 4) as u8]);
    output.extend_from_slice(data);
    Ok(())
}

fn write_record<const N: usize>(opt: &Opt, output: &mut Vec<u8>) -> Result<(), &'static str> {
    let OptionValue::Record(group, sources, auxiliary) = &opt.value else {
        return Err("a record takes (group, sources)");
    };
    let kind = u8::try_from(opt.code).map_err(|_| "a record's type has 8 bits")?;
    let count = u16::try_from(sources.len()).map_err(|_| "a record has at most 65535 sources")?;
    if !auxiliary.len().is_multiple_of(4) || auxiliary.len() > 1020 {
        return Err("auxiliary data is a multiple of 4 bytes and at most 1020 bytes");
    }
    output.extend([kind, (auxiliary.len() / 4) as u8]);
    output.extend(count.to_be_bytes());
    for address in std::iter::once(group).chain(sources) {
        match address {
            IpAddr::V4(address) if N == 4 => output.extend(address.octets()),
            IpAddr::V6(address) if N == 16 => output.extend(address.octets()),
            _ => return Err("the addresses are of the other IP version"),
        }
    }
    output.extend_from_slice(auxiliary);
    Ok(())
}
