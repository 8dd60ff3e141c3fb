//! What a header table says about one field, the values fields take, and what can be wrong with them.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::options::{Opt, OptionSpace};
use crate::HeaderKind;

/// How a field's bits are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// An unsigned number.
    Uint,
    /// One bit.
    Flag,
    /// A six-byte hardware address.
    Mac,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// Bytes without further structure here.
    Bytes,
    /// IPv6 addresses one after the other.
    Addresses,
    /// IPv4 addresses one after the other.
    Addresses4,
    /// Options, chunks, tags or records of the named space.
    Options(OptionSpace),
}

/// Where a field stands in its header. Functions get the header's bytes, whatever they hold.
#[derive(Clone, Copy, Debug)]
pub enum Position {
    /// `width` bits from bit `offset`, most significant bit first.
    Bits {
        /// Bits from the start of the header.
        offset: u16,
        /// Bits.
        width: u16,
    },
    /// `width` bits from bit `shift` (least significant first) of a little-endian word.
    Little {
        /// Bytes from the start of the header to the word.
        byte: u16,
        /// Bytes of the word.
        size: u16,
        /// Least significant bit of the field in the word.
        shift: u16,
        /// Bits.
        width: u16,
    },
    /// The header's bytes from this one to its end.
    Tail(fn(&[u8]) -> usize),
    /// A whole number of bytes that depends on other fields; absent when `None`.
    Range(fn(&[u8]) -> Option<Range<usize>>),
    /// As `Range`, little-endian, `width` bits from bit `shift`.
    RangeLittle {
        /// Where the word stands.
        range: fn(&[u8]) -> Option<Range<usize>>,
        /// Least significant bit of the field in the word.
        shift: u16,
        /// Bits.
        width: u16,
    },
    /// A 32-bit word in the byte order of the host that wrote it; a number below 65,536 tells which.
    HostOrder {
        /// Bytes from the start of the header.
        byte: u16,
    },
}

/// The name of a well-known value; gets the header's bytes, too, because codes mean something else in each message.
pub type ValueName = fn(u64, &[u8]) -> Option<&'static str>;

/// One row of a header table.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// Name, as in Python.
    pub name: &'static str,
    /// How to read it.
    pub ty: FieldType,
    /// Where it stands.
    pub position: Position,
    /// The field exists only when this holds.
    pub present: Option<fn(&[u8]) -> bool>,
    /// Value of a new header.
    pub default: u64,
    /// Emission fills the field in unless its value was set.
    pub auto: bool,
    /// Emission fills the field in only before certain headers; it reads as a plain number all the while.
    pub soft: bool,
    /// A second name or reading for bits that other fields cover; not listed.
    pub alias: bool,
    /// The field counts units of eight; values are in single ones.
    pub times8: bool,
    /// Other fields' presence or place depends on this one.
    pub shape: bool,
    /// One line of explanation.
    pub doc: &'static str,
    /// The name of a well-known value; gets the header's bytes, too.
    pub text: Option<ValueName>,
}

impl FieldSpec {
    /// Bit offset and bit length of the field in these header bytes; `None` when the header has no such field.
    #[must_use]
    pub fn locate(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        if self.present.is_some_and(|present| !present(bytes)) {
            return None;
        }
        let (offset, width) = match self.position {
            Position::Bits { offset, width } => (usize::from(offset), usize::from(width)),
            Position::Little { byte, size, shift, width } => {
                let byte = usize::from(byte);
                little_extent(byte..byte.checked_add(usize::from(size))?, shift, width)
            }
            Position::Tail(start) => {
                let start = start(bytes).min(bytes.len());
                (start * 8, (bytes.len() - start) * 8)
            }
            Position::Range(range) => {
                let range = range(bytes)?;
                (range.start * 8, range.len() * 8)
            }
            Position::RangeLittle { range, shift, width } => little_extent(range(bytes)?, shift, width),
            Position::HostOrder { byte } => (usize::from(byte) * 8, 32),
        };
        (offset.checked_add(width)? <= bytes.len().checked_mul(8)?).then_some((offset, width))
    }

    /// The largest number the field holds in these header bytes, where the place of some fields depends on others; as
    /// [`max`](Self::max) when the field is not there.
    #[must_use]
    pub fn max_in(&self, bytes: &[u8]) -> u64 {
        let Position::Range(range) = self.position else { return self.max() };
        match range(bytes).map(|range| range.len().saturating_mul(8)) {
            Some(width @ 0..64) => (1 << width) - 1,
            _ => self.max(),
        }
    }

    /// The largest number the field holds; `u64::MAX` for fields that are not numbers, or whose width depends on others.
    #[must_use]
    pub fn max(&self) -> u64 {
        let width = match self.position {
            Position::Bits { width, .. }
            | Position::Little { width, .. }
            | Position::RangeLittle { width, .. } => u32::from(width),
            Position::HostOrder { .. } => 32,
            Position::Tail(_) | Position::Range(_) => 64,
        };
        let max = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
        if self.times8 { max * 8 } else { max }
    }
}

/// The bits of a little-endian field as a reader of the bytes sees them: the whole bytes it touches, or, inside one
/// byte, the bits themselves.
fn little_extent(word: Range<usize>, shift: u16, width: u16) -> (usize, usize) {
    let (shift, width) = (usize::from(shift), usize::from(width));
    let first = shift / 8;
    let last = (shift + width.max(1) - 1) / 8;
    if first == last {
        ((word.start + first) * 8 + 8 - (shift % 8) - width, width)
    } else {
        ((word.start + first) * 8, (last - first + 1) * 8)
    }
}

/// One header of the tables.
#[derive(Clone, Copy, Debug)]
pub struct HeaderSpec {
    /// Which header.
    pub kind: HeaderKind,
    /// What it is and which RFC section defines it.
    pub doc: &'static str,
    /// Bytes without which nothing can be read.
    pub min_len: usize,
    /// Bytes before the variable tail, as the fixed fields ask for them.
    pub fixed_len: fn(&[u8]) -> usize,
    /// Bytes of the whole header in a buffer that begins with it; may be more than the buffer has.
    pub header_len: fn(&[u8]) -> usize,
    /// The fields in wire order.
    pub fields: &'static [FieldSpec],
}

impl HeaderSpec {
    /// The field of this name, aliases included.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The header's bytes at the front of `bytes`.
    ///
    /// # Errors
    /// [`HeaderError::Truncated`] when the buffer is shorter than the header says.
    pub fn slice<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], HeaderError> {
        let truncated = |need| HeaderError::Truncated { kind: self.kind, offset: 0, need, have: bytes.len() };
        if bytes.len() < self.min_len {
            return Err(truncated(self.min_len));
        }
        let need = (self.header_len)(bytes).max(self.min_len);
        bytes.get(..need).ok_or_else(|| truncated(need))
    }
}

/// Index of a field in its table, for constants: evaluated by the compiler, it fails the build when there is no such
/// field.
///
/// # Panics
/// When no field has this name.
#[must_use]
pub const fn field_index(fields: &[FieldSpec], name: &'static str) -> usize {
    let mut index = 0;
    while index < fields.len() {
        if same(fields[index].name, plain_name(name)) {
            return index;
        }
        index += 1;
    }
    panic!("no such field")
}

/// `r#type` is a keyword's raw form in Rust and plain `type` everywhere else.
pub(super) const fn plain_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// Equality of strings, for constants.
pub(super) const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// Emission will fill the field in.
    Auto,
    /// The header has no such field with its present type and flags.
    Absent,
    /// A number.
    Uint(u64),
    /// A bit.
    Flag(bool),
    /// A hardware address.
    Mac([u8; 6]),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Addresses.
    Addresses(Vec<IpAddr>),
    /// Options, chunks, tags or records.
    Options(Vec<Opt>),
}

impl Value {
    /// The number, when it is one (a flag counts as 0 or 1).
    #[must_use]
    pub fn uint(&self) -> Option<u64> {
        match self {
            Self::Uint(number) => Some(*number),
            Self::Flag(flag) => Some(u64::from(*flag)),
            _ => None,
        }
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                #[allow(clippy::useless_conversion, reason = "some types are the variant's own")]
                Self::$variant(value.into())
            }
        }
    )*};
}

value_from! {
    u8 => Uint, u16 => Uint, u32 => Uint, u64 => Uint, bool => Flag, [u8; 6] => Mac, Ipv4Addr => Ipv4,
    Ipv6Addr => Ipv6, Vec<u8> => Bytes, &[u8] => Bytes, Vec<IpAddr> => Addresses, Vec<Opt> => Options,
}

/// Why bytes are no header, or a value no field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The bytes end before the header does.
    #[error("{kind} at offset {offset} needs {need} bytes and {have} are there")]
    Truncated {
        /// The header.
        kind: HeaderKind,
        /// Bytes from the start of the packet to the header.
        offset: usize,
        /// Bytes the header needs.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
    /// The caller's output memory is too short.
    #[error("the output needs {need} bytes and has {have}")]
    OutputTooShort {
        /// Bytes the output needs.
        need: usize,
        /// Bytes it has.
        have: usize,
    },
    /// No field has this name.
    #[error("{kind} has no field {field:?}")]
    UnknownField {
        /// The header.
        kind: HeaderKind,
        /// The name asked for.
        field: Box<str>,
    },
    /// The field exists only with other values of the header's type or flags.
    #[error("{kind} has no field {field} with its type and flags; set those so that it exists")]
    Absent {
        /// The header.
        kind: HeaderKind,
        /// The field.
        field: &'static str,
    },
    /// The number does not fit.
    #[error("{kind}.{field} is {value}; allowed are 0 to {max}")]
    OutOfRange {
        /// The header.
        kind: HeaderKind,
        /// The field.
        field: &'static str,
        /// The number asked for.
        value: u64,
        /// The largest number allowed.
        max: u64,
    },
    /// With the number in it, the header would be read as one of another layout.
    #[error("{kind}.{field} cannot be {value}: it would be read as another header, without this field")]
    Misread {
        /// The header.
        kind: HeaderKind,
        /// The field.
        field: &'static str,
        /// The number asked for.
        value: u64,
    },
    /// The value is of another type than the field.
    #[error("{kind}.{field} takes {expected}")]
    WrongType {
        /// The header.
        kind: HeaderKind,
        /// The field.
        field: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// An option cannot be written.
    #[error("{kind}.{field}, option number {index}: {problem}")]
    BadOption {
        /// The header.
        kind: HeaderKind,
        /// The field.
        field: &'static str,
        /// Which of the options, from 0.
        index: usize,
        /// What is wrong and what to do.
        problem: &'static str,
    },
    /// A length that emission has to fill in has no place in its field.
    #[error("{kind}.{field} would be {value}; {max} is the most it holds: {remedy}")]
    TooLong {
        /// The header.
        kind: HeaderKind,
        /// The field.
        field: &'static str,
        /// The value that would be needed, in the field's unit.
        value: usize,
        /// The largest the field holds.
        max: usize,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A header's length is not a multiple of the unit its length field counts in.
    #[error("{kind} is {len} bytes long and {field} counts units of {unit}: pad its variable part")]
    Unpadded {
        /// The header.
        kind: HeaderKind,
        /// The length field.
        field: &'static str,
        /// Bytes of the header.
        len: usize,
        /// Bytes of a unit.
        unit: usize,
    },
    /// Emission cannot know the value of a field.
    #[error("{kind}.{field} is not set and cannot be derived: {remedy}")]
    Underdetermined {
        /// The header.
        kind: HeaderKind,
        /// The field.
        field: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
}
