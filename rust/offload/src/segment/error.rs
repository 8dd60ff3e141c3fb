//! Why a packet was not cut.
use netfast_buf::{GsoType, Skb};
use netfast_wire::{HeaderKind, Verdict};
use thiserror::Error;

use super::MAX_HEADERS;

/// A packet that was not cut, as it was, and why.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct Refused {
    /// The packet.
    pub packet: Skb,
    /// Why.
    pub error: SegmentError,
}

/// Why a packet was not cut, or its checksum not filled in.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentError {
    /// A GSO type without a size.
    #[error("gso_type is {kind} and gso_size 0: give the payload bytes of a segment, or gso_type None")]
    NoSize {
        /// The type.
        kind: GsoType,
    },
    /// A GSO size without a type.
    #[error("gso_size is {size} and gso_type None: say how the packet is cut")]
    NoType {
        /// The size, in bytes.
        size: u16,
    },
    /// The headers are not all there, or cannot be.
    #[error("the headers cannot be read at byte {offset}, where {need} bytes are needed: {verdict}")]
    Headers {
        /// What dissection says.
        verdict: Verdict,
        /// Where it stopped, from the first byte of the packet.
        offset: u32,
        /// Bytes it needed there; 0 where that is not what was wrong.
        need: u32,
    },
    /// No packet of the protocol that is to be cut.
    #[error("gso_type {kind} contradicts the headers, which are IPv{version} with protocol {protocol}")]
    Contradicts {
        /// The type.
        kind: GsoType,
        /// IP version of the packet at hand; 0 without IP.
        version: u8,
        /// Its protocol.
        protocol: u8,
    },
    /// More headers than are repeated.
    #[error(
        "{length} bytes of headers, but at most {MAX_HEADERS} are repeated: send the packet in smaller ones"
    )]
    HeadersTooLong {
        /// Bytes of headers.
        length: u32,
    },
    /// A fragment is no whole packet (RFC 791 3.2, RFC 8200 4.5).
    #[error("a fragment cannot be cut at its transport header: reassemble it first")]
    Fragment,
    /// A header that may not be repeated, or that would have to be changed by rules of its own.
    #[error("the {header} header at byte {offset} cannot be repeated before each segment")]
    Unrepeatable {
        /// The header.
        header: HeaderKind,
        /// Where it stands.
        offset: u32,
    },
    /// Each packet of such a GRE tunnel has a number of its own (RFC 2890 2.2), and who cuts the packet cannot know the next.
    #[error("the GRE header at byte {offset} numbers packets: segment before it is put there")]
    GreSequence {
        /// Where it stands.
        offset: u32,
    },
    /// The addresses in the pseudo-header are not those of the IP header (RFC 8200 8.1).
    #[error(
        "a source route or home address decides about the checksum of the packet: segment before it is put there"
    )]
    Rerouted,
    /// A length in a header is not that of the packet.
    #[error("the {header} header at byte {offset} says {says} bytes, the packet has {has} from there")]
    Length {
        /// The header.
        header: HeaderKind,
        /// Where it stands.
        offset: u32,
        /// The length in it, counted from its first byte.
        says: u32,
        /// What is there.
        has: u32,
    },
    /// SYN, RST and URG say something about one place of a stream (RFC 9293 3.1) and may not be repeated.
    #[error(
        "TCP flags {flags:#05x} hold SYN (0x002), RST (0x004) or URG (0x020), which segments cannot share"
    )]
    TcpFlags {
        /// All twelve bits.
        flags: u16,
    },
    /// More segments than allowed.
    #[error("{segments} segments, the limit is {limit}: raise it, or use a larger gso_size")]
    TooManySegments {
        /// Segments that there would be.
        segments: u32,
        /// The limit.
        limit: u32,
    },
    /// A segment would be longer than an IP packet may be (65,535 bytes; over IPv6 as much after the header).
    #[error("a segment of gso_size {size} would be too long for the {header} header at byte {offset}")]
    SegmentTooLong {
        /// Payload bytes of a segment.
        size: u32,
        /// The header whose length field is too small.
        header: HeaderKind,
        /// Where it stands.
        offset: u32,
    },
    /// The checksum was looked at and is wrong.
    #[error("the checksum is wrong: segments with right ones would hide that")]
    BadChecksum,
    /// No TCP or UDP packet whose checksum could be filled in.
    #[error("the checksum of protocol {protocol} over IPv{version} cannot be filled in")]
    NoChecksum {
        /// IP version; 0 without IP.
        version: u8,
        /// Its protocol.
        protocol: u8,
    },
}

impl SegmentError {
    /// Names of the reasons, by [`SegmentError::index`].
    pub const NAMES: [&'static str; 15] = [
        "no_size",
        "no_type",
        "headers",
        "contradicts",
        "headers_too_long",
        "fragment",
        "unrepeatable",
        "gre_sequence",
        "rerouted",
        "length",
        "tcp_flags",
        "too_many_segments",
        "segment_too_long",
        "bad_checksum",
        "no_checksum",
    ];

    /// The number of the reason, for counters.
    pub const fn index(self) -> usize {
        match self {
            Self::NoSize { .. } => 0,
            Self::NoType { .. } => 1,
            Self::Headers { .. } => 2,
            Self::Contradicts { .. } => 3,
            Self::HeadersTooLong { .. } => 4,
            Self::Fragment => 5,
            Self::Unrepeatable { .. } => 6,
            Self::GreSequence { .. } => 7,
            Self::Rerouted => 8,
            Self::Length { .. } => 9,
            Self::TcpFlags { .. } => 10,
            Self::TooManySegments { .. } => 11,
            Self::SegmentTooLong { .. } => 12,
            Self::BadChecksum => 13,
            Self::NoChecksum { .. } => 14,
        }
    }

    /// The name of the reason.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}
