//! A flow that has ended, as it is handed out.
use crate::community::{CommunityId, community_id};
use crate::entry::{EndReason, Entry, FlowState};
use crate::key::{Direction, FlowKey};
use crate::statistics::FlowStatistics;
use netfast_wire::dissect::protocol as p;

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address; IPv4 mapped into IPv6.
    pub address: [u8; 16],
    /// Port; `None` where the protocol has none.
    pub port: Option<u16>,
}

/// One flow record. Of the pairs, the first is forward (the way of the flow's first packet), the second back.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowRecord {
    /// Key of both directions.
    pub key: FlowKey,
    /// Time stamp of the earliest packet, ns since the epoch.
    pub first_ns: u64,
    /// Time stamp of the latest packet.
    pub last_ns: u64,
    /// Who sent the first packet.
    pub src: Endpoint,
    /// Whom it was for. For ICMP the port is type x 256 + code of the first packet.
    pub dst: Endpoint,
    /// Packets.
    pub packets: [u64; 2],
    /// IP octets.
    pub bytes: [u64; 2],
    /// Frame octets on the wire.
    pub l2_bytes: [u64; 2],
    /// All TCP flags seen.
    pub tcp_flags: [u16; 2],
    /// Where the flow stood at its end.
    pub state: FlowState,
    /// Why it ended.
    pub end_reason: EndReason,
    /// Per-packet statistics, when they were asked for.
    pub statistics: Option<Box<FlowStatistics>>,
}

impl FlowRecord {
    pub(crate) fn new(entry: &Entry, reason: EndReason, statistics: Option<Box<FlowStatistics>>) -> Self {
        let [low, high] = entry.key.addresses();
        let ports = entry.key.ports();
        let (mut src, mut dst) = (
            Endpoint { address: low, port: ports.map(|p| p[0]) },
            Endpoint { address: high, port: ports.map(|p| p[1]) },
        );
        if entry.forward == Direction::Down {
            std::mem::swap(&mut src, &mut dst);
        }
        if matches!(entry.key.protocol(), p::ICMPV4 | p::ICMPV6) {
            dst.port = Some(entry.icmp);
        }
        let is_tcp = entry.key.protocol() == p::TCP;
        // A connection that is over says so, whatever made room for the record.
        let end_reason = match entry.state {
            FlowState::Closed if reason != EndReason::Active => EndReason::Fin,
            FlowState::Reset if reason != EndReason::Active => EndReason::Rst,
            _ => reason,
        };
        Self {
            key: entry.key,
            first_ns: entry.first_seen,
            last_ns: entry.last_seen,
            src,
            dst,
            packets: entry.packets,
            bytes: entry.bytes,
            l2_bytes: entry.l2_bytes,
            tcp_flags: if is_tcp { entry.tcp_flags() } else { [0; 2] },
            state: entry.state,
            end_reason,
            statistics,
        }
    }

    /// The Community ID, version 1 with seed 0, in its text form: ASCII.
    pub fn community_id(&self) -> CommunityId {
        community_id(self.key.ip_version(), self.key.protocol(), &self.src, &self.dst)
    }
}
