//! Why a header or a packet was refused.
use netfast_buf::{GsoType, Skb};
use thiserror::Error;

use crate::segment::SegmentError;

/// A packet that was not taken, or cannot be sent so, and why.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct VirtioRefused {
    /// The packet, as it came.
    pub packet: Skb,
    /// Why.
    pub error: VirtioError,
}

/// Why a header or a packet was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum VirtioError {
    /// No header.
    #[error("a virtio header has {need} bytes, there are {have}: check the form of the header")]
    TooShort {
        /// Bytes of the header.
        need: usize,
        /// Bytes that there are.
        have: usize,
    },
    /// A device counts the buffers of a packet (5.1.6.3.2), and there is at least this one.
    #[error("num_buffers is 0 in a packet from a device: it is at least 1")]
    NoBuffers,
    /// No such type.
    #[error(
        "gso_type {gso_type:#04x} is unknown: 0x00, 0x01, 0x04 and 0x05 are taken, with 0x80 for ECN where TCP is cut"
    )]
    UnknownType {
        /// The byte.
        gso_type: u8,
    },
    /// UDP fragmentation offload: Linux has no use for it any more, and its fragments cost every receiver reassembly.
    #[error("gso_type 0x03 asks for UDP fragmentation, which is not offered: use UDP segmentation (0x05)")]
    UdpFragmentation,
    /// The ECN bit belongs to TCP segmentation.
    #[error("gso_type {gso_type:#04x} has the ECN bit (0x80) without TCP segmentation (0x01 or 0x04)")]
    EcnWithoutTcp {
        /// The byte.
        gso_type: u8,
    },
    /// An offload that was not agreed upon (5.1.3).
    #[error("{feature} was not negotiated: negotiate it, or do in software what needs it")]
    NotNegotiated {
        /// The name of the feature bit.
        feature: &'static str,
    },
    /// A type of segmentation without the size of segments.
    #[error("gso_size is 0 with gso_type {gso_type:#04x}: it is the payload bytes of a segment")]
    NoSize {
        /// The type.
        gso_type: u8,
    },
    /// There is nothing to be cut.
    #[error(
        "gso_size {gso_size} is more than the {payload} bytes of payload: send the packet with gso_type 0"
    )]
    SizeBeyondPayload {
        /// The size.
        gso_size: u16,
        /// Bytes behind the transport header.
        payload: u32,
    },
    /// The checksum would be outside of the packet.
    #[error("csum_start {start} and csum_offset {offset} are beyond a packet of {length} bytes")]
    ChecksumBeyondPacket {
        /// `csum_start`.
        start: u16,
        /// `csum_offset`.
        offset: u16,
        /// Bytes of the packet.
        length: u32,
    },
    /// The checksum of a super-packet is not that of its transport.
    #[error(
        "csum_start {start} and csum_offset {offset} are not the checksum of the transport header at byte {transport}, at {expected} there"
    )]
    ChecksumElsewhere {
        /// `csum_start`.
        start: u16,
        /// `csum_offset`.
        offset: u16,
        /// Where the transport header is.
        transport: u32,
        /// Where the checksum is in it.
        expected: u16,
    },
    /// The packet is not what `gso_type` says, or cannot be cut.
    #[error("the super-packet cannot be cut: {0}")]
    Packet(#[from] SegmentError),
    /// A tunnel's super-packets have no place in this header: cut it first.
    #[error("a super-packet of {kind} in a tunnel has no gso_type: segment it first")]
    Tunnel {
        /// How it is cut.
        kind: GsoType,
    },
    /// With `NEEDS_CSUM`, which is not optional, segments would have a checksum.
    #[error("a UDP super-packet without checksum has no gso_type: segment it first")]
    ZeroChecksum,
}

impl VirtioError {
    /// Names of the reasons, by [`VirtioError::index`].
    pub const NAMES: [&'static str; 13] = [
        "too_short",
        "no_buffers",
        "unknown_type",
        "udp_fragmentation",
        "ecn_without_tcp",
        "not_negotiated",
        "no_size",
        "size_beyond_payload",
        "checksum_beyond_packet",
        "checksum_elsewhere",
        "packet",
        "tunnel",
        "zero_checksum",
    ];

    /// The number of the reason, for counters.
    pub const fn index(self) -> usize {
        match self {
            Self::TooShort { .. } => 0,
            Self::NoBuffers => 1,
            Self::UnknownType { .. } => 2,
            Self::UdpFragmentation => 3,
            Self::EcnWithoutTcp { .. } => 4,
            Self::NotNegotiated { .. } => 5,
            Self::NoSize { .. } => 6,
            Self::SizeBeyondPayload { .. } => 7,
            Self::ChecksumBeyondPacket { .. } => 8,
            Self::ChecksumElsewhere { .. } => 9,
            Self::Packet(_) => 10,
            Self::Tunnel { .. } => 11,
            Self::ZeroChecksum => 12,
        }
    }

    /// The name of the reason.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}
