//! What can go wrong with capture files: one typed error for the crate.
use std::fmt;
use std::io;

use crate::capture::Compression;

/// The remedy in the text of errors that it helps with, as Python has it.
const LENIENT: &str = "; lenient=True skips what is damaged";

/// An error of a capture file, with the frame number and the byte offset where they are known.
///
/// Offsets count bytes of the decompressed file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system could not open or read.
    #[error("{operation} failed{}: {source}", where_read(.operation, *.offset))]
    Io {
        /// What was tried: `open`, `read`, `stat`, `map`.
        operation: &'static str,
        /// Where in the file.
        offset: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// The first bytes belong to no capture format.
    #[error("not a capture: begins with {first}{looks}; expected pcap or pcapng, plain or in gzip or zstd")]
    NotACapture {
        /// The first bytes, at most 16; none when the file is empty.
        first: FirstBytes,
        /// What the bytes look like, with a remedy.
        looks: Looks,
    },
    /// The file ends inside a header, record or block.
    #[error("frame {frame}: the file ends inside its {part} {}", cut(.part, *.offset, *.need, *.have))]
    Truncated {
        /// Number of the frame that is cut (the next one to come when a block without packet is cut).
        frame: u64,
        /// Offset of the cut header, record or block.
        offset: u64,
        /// What is cut: `file header`, `record`, `block`, `compressed data`.
        part: &'static str,
        /// Bytes from `offset` that it takes.
        need: u64,
        /// Bytes from `offset` that are there.
        have: u64,
    },
    /// A regular file became shorter while it was read.
    #[error(
        "frame {frame}: the file was cut while it was read: it ends at byte {end}, {missing} bytes before its former \
         end; all frames before it are whole"
    )]
    Shrunk {
        /// Number of the frame that is cut.
        frame: u64,
        /// Offset of the cut record or block.
        offset: u64,
        /// Where the file ends now.
        end: u64,
        /// Bytes from there to where it ended when it was opened.
        missing: u64,
    },
    /// A length field says what cannot be.
    #[error("frame {frame}: {field} {value} at byte {offset} is outside {min}..={limit}{LENIENT}")]
    BadLength {
        /// Number of the frame (the next one to come when the field is not a packet's).
        frame: u64,
        /// Offset of the record or block that holds the field.
        offset: u64,
        /// The field's name in the format's description.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The least that it may be.
        min: u64,
        /// The most that it may be.
        limit: u64,
    },
    /// A pcapng block contradicts its description.
    #[error("frame {frame}: block of type {block_type:#x} at byte {offset}: {fault}")]
    BadBlock {
        /// Number of the next frame to come.
        frame: u64,
        /// Offset of the block.
        offset: u64,
        /// The block's type.
        block_type: u32,
        /// What is wrong with it.
        fault: BlockFault,
    },
    /// A packet names an interface that its section has not described.
    #[error(
        "frame {frame}: interface {interface} at byte {offset}, but the section describes only {known} so far"
    )]
    UnknownInterface {
        /// Number of the frame.
        frame: u64,
        /// Offset of the block.
        offset: u64,
        /// The interface that the packet names.
        interface: u32,
        /// Interfaces described in the section before it.
        known: u32,
    },
    /// More interfaces than a record can number.
    #[error("frame {frame}: interface description number {} at byte {offset}; the limit is {limit}", .limit + 1)]
    TooManyInterfaces {
        /// Number of the next frame to come.
        frame: u64,
        /// Offset of the description that is too many.
        offset: u64,
        /// The limit.
        limit: usize,
    },
    /// A format version that nobody has described.
    #[error("frame {frame}: {format} version {major}.{minor} at byte {offset} is not supported")]
    UnsupportedVersion {
        /// Number of the next frame to come.
        frame: u64,
        /// `pcap` or `pcapng`.
        format: &'static str,
        /// Offset of the header.
        offset: u64,
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// Compressed data is damaged.
    #[error("frame {frame}: damaged {compression} data after {offset} decompressed bytes: {source}")]
    Decompress {
        /// Number of the next frame to come.
        frame: u64,
        /// Which compression.
        compression: Compression,
        /// Decompressed bytes before the damage.
        offset: u64,
        /// The decoder's answer.
        source: io::Error,
    },
    /// Compression in compression in compression.
    #[error("compressed more than {limit} times over")]
    TooDeep {
        /// How many layers are taken off.
        limit: usize,
    },
    /// An error of one of several inputs.
    #[error("input {}: {source}", .input + 1)]
    Input {
        /// Index of the input, from 0.
        input: usize,
        /// Its error; frame and offset count in that input.
        source: Box<Error>,
    },
    /// Writing failed, for example because the disk is full.
    #[error("writing failed after {packets} whole packets ({bytes} bytes): {source}")]
    Write {
        /// Packets that stand in the file with all their bytes.
        packets: u64,
        /// Bytes that were written.
        bytes: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// A packet of a second link type, where the format has one.
    #[error(
        "packet {packet} has link type {second}, and the pcap file began with {first}: it has one; a pcapng file has \
         as many as there are"
    )]
    SecondLinkType {
        /// Number of the packet, from 1.
        packet: u64,
        /// The LINKTYPE_ number of the packets before.
        first: u16,
        /// That of this packet.
        second: u16,
    },
    /// A packet or interface that the format cannot hold.
    #[error("packet {packet}: {field} {value} does not fit {format}: the limit is {limit}")]
    Unwritable {
        /// Number of the packet, from 1.
        packet: u64,
        /// `pcap` or `pcapng`.
        format: &'static str,
        /// What does not fit.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The most that fits.
        limit: u64,
    },
}

impl Error {
    /// Number of the frame (from 1) where it happened, or of the next frame that would have come.
    pub fn frame(&self) -> Option<u64> {
        match self {
            Self::Truncated { frame, .. }
            | Self::Shrunk { frame, .. }
            | Self::BadLength { frame, .. }
            | Self::BadBlock { frame, .. }
            | Self::UnknownInterface { frame, .. }
            | Self::TooManyInterfaces { frame, .. }
            | Self::UnsupportedVersion { frame, .. }
            | Self::Decompress { frame, .. } => Some(*frame),
            Self::Unwritable { packet, .. } | Self::SecondLinkType { packet, .. } => Some(*packet),
            Self::Input { source, .. } => source.frame(),
            _ => None,
        }
    }

    /// Byte offset in the (decompressed) file where it happened.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Io { offset, .. }
            | Self::Truncated { offset, .. }
            | Self::Shrunk { offset, .. }
            | Self::BadLength { offset, .. }
            | Self::BadBlock { offset, .. }
            | Self::UnknownInterface { offset, .. }
            | Self::TooManyInterfaces { offset, .. }
            | Self::UnsupportedVersion { offset, .. }
            | Self::Decompress { offset, .. } => Some(*offset),
            Self::NotACapture { .. } => Some(0),
            Self::Input { source, .. } => source.offset(),
            Self::Write { bytes, .. } => Some(*bytes),
            _ => None,
        }
    }

    /// What is wrong without a remedy, for a list of what was skipped.
    pub(crate) fn fact(&self) -> String {
        let text = self.to_string();
        text.strip_suffix(LENIENT).map_or_else(|| text.clone(), str::to_owned)
    }

    /// The operating system's error underneath, for those who raise `OSError`.
    pub fn os_error(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } | Self::Write { source, .. } => Some(source),
            Self::Input { source, .. } => source.os_error(),
            _ => None,
        }
    }
}

/// Where a system call failed: only what reads has come somewhere.
fn where_read(operation: &str, offset: u64) -> String {
    if operation == "read" { format!(" at byte {offset}") } else { String::new() }
}

/// Where a part of a file is cut. What was decompressed says nothing of the bytes that are missing; before the file
/// header are no frames.
fn cut(part: &str, offset: u64, need: u64, have: u64) -> String {
    match part {
        "compressed data" => format!("after {offset} decompressed bytes; all frames before it are whole"),
        "file header" => format!("at byte {offset}: {need} bytes needed, {have} there"),
        _ => format!("at byte {offset}: {need} bytes needed, {have} there; all frames before it are whole"),
    }
}

/// What can be wrong with a pcapng block besides its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockFault {
    /// The length at the block's end differs from the one at its beginning.
    LengthsDiffer {
        /// The length at the beginning.
        first: u32,
        /// The length at the end.
        last: u32,
    },
    /// The block's length is no multiple of four.
    UnalignedLength {
        /// The length.
        length: u32,
    },
    /// The section header's byte-order magic is neither order's.
    ByteOrder {
        /// The four bytes, as a big-endian number.
        magic: u32,
    },
    /// The body is too short for the fields that a block of this type has.
    BodyTooShort {
        /// Bytes that the fields need.
        need: u32,
        /// Bytes that the body has.
        have: u32,
    },
    /// A simple packet block stands before the section's first interface description.
    NoInterface,
    /// The packet's interface has a damaged description, so its link type and unit of time are not known.
    DamagedInterface {
        /// The interface, as its section numbers it.
        interface: u32,
    },
}

impl fmt::Display for BlockFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LengthsDiffer { first, last } => {
                write!(f, "length {first} at its beginning but {last} at its end")
            }
            Self::UnalignedLength { length } => write!(f, "length {length} is no multiple of 4"),
            Self::ByteOrder { magic } => {
                write!(f, "byte-order magic {magic:#010x} is neither 0x1a2b3c4d nor 0x4d3c2b1a")
            }
            Self::BodyTooShort { need, have } => {
                write!(f, "its fields need {need} bytes, its body has {have}")
            }
            Self::DamagedInterface { interface } => {
                write!(f, "the description of its interface {interface} is damaged")
            }
            Self::NoInterface => f.write_str("a simple packet block before any interface description"),
        }
    }
}

/// The first bytes of something that is no capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstBytes {
    bytes: [u8; 16],
    length: u8,
}

impl FirstBytes {
    pub(crate) fn new(from: &[u8]) -> Self {
        let length = from.len().min(16);
        let mut first = Self { length: length as u8, ..Self::default() };
        first.bytes[..length].copy_from_slice(&from[..length]);
        first
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Display for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == 0 {
            return f.write_str("nothing (the file is empty)");
        }
        for (i, byte) in self.bytes().iter().enumerate() {
            write!(f, "{}{byte:02x}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// What the first bytes of a non-capture look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks(Option<(&'static str, &'static str)>);

impl Looks {
    pub(crate) fn like(first: &[u8]) -> Self {
        const KNOWN: &[(&[u8], &str, &str)] = &[
            (b"snoop\0\0\0", "a snoop capture", "convert it with editcap"),
            (b"BZh", "bzip2", "decompress it first"),
            (b"\xfd7zXZ\0", "xz", "decompress it first"),
            (b"\x04\x22\x4d\x18", "lz4", "decompress it first"),
            (b"PK\x03\x04", "a zip archive", "unpack it first"),
            (b"GMBU", "a Microsoft Network Monitor capture", "convert it with editcap"),
            (b"TRSNIFF data", "a Sniffer capture", "convert it with editcap"),
            (b"\x7fELF", "a program", "give a capture file"),
            (b"<", "HTML or XML", "a failed download, perhaps"),
        ];
        let known = KNOWN.iter().find(|(magic, ..)| first.starts_with(magic));
        Self(known.map(|&(_, what, remedy)| (what, remedy)))
    }

    /// What it looks like, if it looks like anything known.
    pub fn what(&self) -> Option<&'static str> {
        self.0.map(|(what, _)| what)
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((what, remedy)) => write!(f, ", which looks like {what} ({remedy})"),
            None => Ok(()),
        }
    }
}
