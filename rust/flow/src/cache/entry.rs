//! One connection in the cache: two lines that each packet reads, and lines that only some connections have.
use crate::key::{Direction, FlowKey};

/// No program, no line, no hop.
pub const NONE: u32 = u32::MAX;

/// A connection. Its first line is what a lookup reads, its second what a packet changes.
///
/// ```text
///   0 key (40) | 40 stamps (2 x 8) | 56 programs (2 x 4)
///  64 expires | 72 created | 80 packets (2 x 8) | 96 bytes (2 x 8) | 112 mark | 116 NAT line | 120 TCP line
/// 124 status | 126 class | 127 direction of the first packet
/// ```
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Entry {
    /// Both endpoints of the packets that the connection's originator sends, as it sends them.
    pub(super) key: FlowKey,
    /// The epoch in which the program of each way was last known to be right.
    pub stamps: [u64; 2],
    /// What is done with packets of each way: ids that the owner of the cache hands out; [`NONE`] for "decide anew".
    pub programs: [u32; 2],
    /// When the connection is over unless a packet comes, ns.
    pub expires: u64,
    /// When its first packet came, ns.
    pub created: u64,
    /// Packets each way.
    pub packets: [u64; 2],
    /// Their IP octets.
    pub bytes: [u64; 2],
    /// The connection's mark.
    pub mark: u32,
    pub(super) nat: u32,
    pub(super) tcp: u32,
    /// Status bits, the owner's.
    pub status: u16,
    /// Class of its timeout, the owner's.
    pub class: u8,
    pub(super) first: Direction,
}

const _: () = assert!(size_of::<Entry>() == 128);

impl Entry {
    /// A connection whose first packet went `first` by `key`.
    pub(super) fn new(key: FlowKey, first: Direction, now_ns: u64) -> Self {
        Self {
            key,
            stamps: [0; 2],
            programs: [NONE; 2],
            expires: now_ns,
            created: now_ns,
            packets: [0; 2],
            bytes: [0; 2],
            mark: 0,
            nat: NONE,
            tcp: NONE,
            status: 0,
            class: 0,
            first,
        }
    }

    /// The key of packets as the originator sends them.
    #[inline(always)]
    pub fn key(&self) -> &FlowKey {
        &self.key
    }

    /// Where its NAT line stands; [`NONE`] when nothing is translated.
    #[inline(always)]
    pub fn nat(&self) -> u32 {
        self.nat
    }

    /// Where its TCP line stands.
    #[inline(always)]
    pub fn tcp(&self) -> u32 {
        self.tcp
    }

    /// Which way of the key the originator's packets go.
    #[inline(always)]
    pub fn first(&self) -> Direction {
        self.first
    }
}

/// What a translated connection has besides: the key under which its replies arrive.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct NatLine {
    /// Both endpoints of the replies as they arrive.
    pub(super) reply: FlowKey,
    /// The entry.
    pub(super) entry: u32,
    /// What the sum under the IPv4 header checksum grows by, each way (RFC 1624).
    pub l3_change: [u16; 2],
    /// What the sum under the upper layer's checksum grows by, each way.
    pub l4_change: [u16; 2],
    /// The direction in which replies go by their key.
    pub(super) direction: Direction,
}

const _: () = assert!(size_of::<NatLine>() == 64);

impl NatLine {
    /// The key under which replies arrive.
    pub fn reply(&self) -> &FlowKey {
        &self.reply
    }

    /// The direction in which replies go by their key.
    pub fn direction(&self) -> Direction {
        self.direction
    }
}
