//! One flow in the table: 128 bytes, two cache lines.
use crate::key::{Direction, FlowKey, FlowPacket};
use netfast_wire::dissect::protocol as p;
use std::fmt;

const FIN: u16 = 0x001;
const SYN: u16 = 0x002;
const RST: u16 = 0x004;
const ACK: u16 = 0x010;
/// This side had finished in an earlier record of the conversation; above the twelve bits of the header.
const FINISHED_BEFORE: u16 = 1 << 15;

/// Where a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum FlowState {
    /// Not TCP: packets one way only, so far.
    New,
    /// Packets both ways; of TCP, the handshake is over or was not seen.
    Established,
    /// TCP: a SYN and no answer.
    SynSent,
    /// TCP: a SYN and its SYN-ACK.
    SynReceived,
    /// TCP: one side has finished.
    Closing,
    /// TCP: both sides have finished.
    Closed,
    /// TCP: reset.
    Reset,
}

impl FlowState {
    /// Every state, in the order of its number.
    pub const ALL: [Self; 7] = [
        Self::New,
        Self::Established,
        Self::SynSent,
        Self::SynReceived,
        Self::Closing,
        Self::Closed,
        Self::Reset,
    ];

    /// The text in the column `state`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::SynSent => "syn_sent",
            Self::SynReceived => "syn_received",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reset => "reset",
        }
    }

    /// Closed or reset: what comes later than the closed timeout belongs to another connection.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }
}

impl fmt::Display for FlowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum EndReason {
    /// No packet for longer than the idle timeout.
    Idle,
    /// The next packet came later than the active timeout after the first; the conversation goes on as another record.
    Active,
    /// Both sides of a TCP connection finished.
    Fin,
    /// A TCP connection was reset.
    Rst,
    /// The table was full and another flow took the place.
    Evicted,
    /// The input ended.
    Eof,
}

impl EndReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 6] = [Self::Idle, Self::Active, Self::Fin, Self::Rst, Self::Evicted, Self::Eof];

    /// The text in the column `end_reason`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Evicted => "evicted",
            Self::Eof => "eof",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The first line holds what a lookup compares, the second what a packet changes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Entry {
    pub key: FlowKey,
    /// Earliest time stamp of its packets.
    pub first_seen: u64,
    /// When its first packet counted as seen; the active timeout runs from here.
    pub first_now: u64,
    pub state: FlowState,
    /// The direction of the first packet.
    pub forward: Direction,
    /// ICMP type x 256 + code of the first packet.
    pub icmp: u16,
    /// All flags, forward and back, and [`FINISHED_BEFORE`].
    flags: [u16; 2],
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    pub l2_bytes: [u64; 2],
    /// Latest time stamp.
    pub last_seen: u64,
    /// When its last packet counted as seen; the idle timeout runs from here.
    pub last_now: u64,
}

const _: () = assert!(size_of::<Entry>() == 128);

impl Entry {
    pub fn new(packet: &FlowPacket) -> Self {
        Self {
            key: packet.key,
            first_seen: packet.time_ns,
            first_now: packet.now_ns,
            state: if packet.key.protocol() == p::TCP { opening(packet.tcp_flags) } else { FlowState::New },
            forward: packet.direction,
            icmp: packet.icmp,
            flags: [0; 2],
            packets: [0; 2],
            bytes: [0; 2],
            l2_bytes: [0; 2],
            last_seen: packet.time_ns,
            last_now: packet.now_ns,
        }
    }

    /// The next record of a conversation that goes on: what its connection came to is known, who began it is not asked
    /// again.
    pub fn after(&self, packet: &FlowPacket) -> Self {
        let mut next = Self::new(packet);
        if self.key.protocol() == p::TCP {
            next.state = self.state;
            let turned = usize::from(next.forward != self.forward);
            for way in [0, 1] {
                if self.finished(way) {
                    next.flags[way ^ turned] = FINISHED_BEFORE;
                }
            }
        }
        next
    }

    /// TCP flags of its packets, forward and back.
    pub fn tcp_flags(&self) -> [u16; 2] {
        self.flags.map(|flags| flags & 0x0fff)
    }

    fn finished(&self, way: usize) -> bool {
        self.flags[way] & (FIN | FINISHED_BEFORE) != 0
    }

    /// Counts a packet of this flow; gives 0 for forward and 1 for back.
    #[inline(always)]
    pub fn count(&mut self, packet: &FlowPacket) -> usize {
        let way = usize::from(packet.direction != self.forward);
        self.packets[way] += 1;
        self.bytes[way] += u64::from(packet.ip_len);
        self.l2_bytes[way] += u64::from(packet.wire_len);
        self.flags[way] |= packet.tcp_flags;
        self.first_seen = self.first_seen.min(packet.time_ns);
        self.last_seen = self.last_seen.max(packet.time_ns);
        self.last_now = packet.now_ns;
        // Nothing changes in the middle of a connection: no flag but ACK and PSH, and the state is settled.
        if packet.tcp_flags & (SYN | FIN | RST) != 0 || self.state != FlowState::Established {
            self.advance(packet.tcp_flags, way);
        }
        way
    }

    fn advance(&mut self, flags: u16, way: usize) {
        if self.key.protocol() != p::TCP {
            if way == 1 {
                self.state = FlowState::Established;
            }
            return;
        }
        let finished = [self.finished(0), self.finished(1)];
        self.state = match self.state {
            FlowState::Reset => FlowState::Reset,
            _ if flags & RST != 0 => FlowState::Reset,
            _ if finished == [true, true] => FlowState::Closed,
            _ if finished != [false, false] => FlowState::Closing,
            FlowState::SynSent if way == 1 && flags & (SYN | ACK) == SYN | ACK => FlowState::SynReceived,
            FlowState::SynReceived if flags & (SYN | ACK) == ACK => FlowState::Established,
            // Data before a handshake that the capture missed a part of.
            FlowState::SynSent if flags & SYN == 0 => FlowState::Established,
            state => state,
        };
    }

    /// True when this packet opens another connection with the same ports.
    #[inline(always)]
    pub fn is_reopened_by(&self, packet: &FlowPacket) -> bool {
        self.state.is_over() && packet.tcp_flags & (SYN | ACK | RST) == SYN
    }
}

fn opening(flags: u16) -> FlowState {
    match flags & (SYN | ACK) {
        SYN => FlowState::SynSent,
        f if f == SYN | ACK => FlowState::SynReceived,
        _ => FlowState::Established,
    }
}
