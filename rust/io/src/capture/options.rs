//! pcapng options: the tagged values at the end of blocks.
use std::borrow::Cow;

/// Where the options of one packet stand in its batch's block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketOptions {
    /// Index of the packet's record in its batch.
    pub record: u32,
    /// First byte of the options in the block.
    pub start: u32,
    /// First byte after them.
    pub end: u32,
    /// Byte order of their numbers.
    pub big_endian: bool,
}

impl PacketOptions {
    /// Goes through the options, given the bytes of the batch's block.
    pub fn iter<'a>(&self, block: &'a [u8]) -> OptionsIter<'a> {
        let bytes = block.get(self.start as usize..self.end as usize).unwrap_or(&[]);
        OptionsIter(RawOptions::new(bytes, self.big_endian))
    }
}

/// An option of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PacketOption<'a> {
    /// A comment; bytes that are not UTF-8 are replaced.
    Comment(Cow<'a, str>),
    /// `epb_flags`: direction, reception type, FCS length, link-layer errors.
    Flags(u32),
    /// `epb_hash`.
    Hash {
        /// Which algorithm made it.
        algorithm: u8,
        /// The hash.
        value: &'a [u8],
    },
    /// `epb_dropcount`: packets lost since the one before.
    DropCount(u64),
    /// `epb_packetid`: the same packet on another interface has the same.
    PacketId(u64),
    /// `epb_queue`: the interface's queue.
    Queue(u32),
    /// `epb_verdict`.
    Verdict {
        /// Who gave it: hardware 0, eBPF TC 1, eBPF XDP 2.
        kind: u8,
        /// The verdict.
        value: &'a [u8],
    },
    /// A custom option.
    Custom {
        /// Its code: 2988, 2989, 19372 or 19373.
        code: u16,
        /// Private enterprise number.
        enterprise: u32,
        /// Its value.
        value: &'a [u8],
    },
    /// Any other.
    Other {
        /// Its code.
        code: u16,
        /// Its value.
        value: &'a [u8],
    },
}

/// The options of one packet, in order.
#[derive(Clone, Debug)]
pub struct OptionsIter<'a>(RawOptions<'a>);

impl OptionsIter<'_> {
    pub(super) fn empty() -> Self {
        Self(RawOptions::new(&[], false))
    }
}

impl<'a> Iterator for OptionsIter<'a> {
    type Item = PacketOption<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let RawOption { code, value, big_endian } = self.0.next()?;
        let number = Number { big_endian };
        Some(match (code, value) {
            (1, _) => PacketOption::Comment(String::from_utf8_lossy(value)),
            (2, _) if value.len() == 4 => PacketOption::Flags(number.u32(value)),
            (3, [algorithm, value @ ..]) => PacketOption::Hash { algorithm: *algorithm, value },
            (4, _) if value.len() == 8 => PacketOption::DropCount(number.u64(value)),
            (5, _) if value.len() == 8 => PacketOption::PacketId(number.u64(value)),
            (6, _) if value.len() == 4 => PacketOption::Queue(number.u32(value)),
            (7, [kind, value @ ..]) => PacketOption::Verdict { kind: *kind, value },
            (2988 | 2989 | 19372 | 19373, [_, _, _, _, rest @ ..]) => {
                PacketOption::Custom { code, enterprise: number.u32(&value[..4]), value: rest }
            }
            _ => PacketOption::Other { code, value },
        })
    }
}

/// An option that is kept undecoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherOption {
    /// Its code.
    pub code: u16,
    /// Its value.
    pub value: Vec<u8>,
}

/// One option as it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawOption<'a> {
    pub code: u16,
    pub value: &'a [u8],
    pub big_endian: bool,
}

/// Options as they stand, up to the end mark or the first that does not fit.
#[derive(Clone, Debug)]
pub(super) struct RawOptions<'a> {
    rest: &'a [u8],
    number: Number,
    /// The length of an option that claims more bytes than there are, and how many there are: none after it can be
    /// read.
    pub cut: Option<(usize, usize)>,
}

impl<'a> RawOptions<'a> {
    pub fn new(bytes: &'a [u8], big_endian: bool) -> Self {
        Self { rest: bytes, number: Number { big_endian }, cut: None }
    }
}

impl<'a> Iterator for RawOptions<'a> {
    type Item = RawOption<'a>;

    fn next(&mut self) -> Option<RawOption<'a>> {
        let (head, rest) = self.rest.split_first_chunk::<4>()?;
        let (code, length) = (self.number.u16(&head[..2]), usize::from(self.number.u16(&head[2..])));
        if code == 0 {
            self.rest = &[];
            return None;
        }
        let Some(value) = rest.get(..length) else {
            self.cut = Some((length, rest.len()));
            self.rest = &[];
            return None;
        };
        self.rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(RawOption { code, value, big_endian: self.number.big_endian })
    }
}

/// Reads numbers of a section's byte order. Slices that are too short read as 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub big_endian: bool,
}

macro_rules! number {
    ($($name:ident),+) => {$(
        #[inline]
        pub fn $name(self, bytes: &[u8]) -> $name {
            match bytes.first_chunk() {
                Some(field) if self.big_endian => $name::from_be_bytes(*field),
                Some(field) => $name::from_le_bytes(*field),
                None => 0,
            }
        }
    )+};
}

impl Number {
    number!(u16, u32, u64, i64);

    /// A time stamp: its upper half stands first in either byte order.
    pub fn ticks(self, bytes: &[u8]) -> u64 {
        u64::from(self.u32(bytes)) << 32 | u64::from(self.u32(bytes.get(4..).unwrap_or(&[])))
    }
}
