//! Packets that wait for their neighbour.
use crate::config::NeighbourConfig;
use crate::entry::Mac;
use netfast_buf::Skb;
use std::collections::VecDeque;
use std::net::IpAddr;

/// A neighbour whose link address is not known, and that a packet waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unresolved {
    /// The port that it should be at.
    pub port: u32,
    /// Its address.
    pub address: IpAddr,
}

/// A neighbour that did not answer in time, or does not answer any more.
#[derive(Debug)]
pub struct Expired {
    /// The port that it should be at.
    pub port: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its place in the table.
    pub slot: u32,
    /// The link address that it had; `None` when it was never found.
    pub mac: Option<Mac>,
    /// Somebody kept that.
    pub is_kept: bool,
    /// What waited for it, in order.
    pub packets: Vec<Skb>,
}

/// Why a packet does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Released {
    /// The neighbour is known: send it there.
    Known(Mac),
    /// More packets or bytes would wait for its neighbour than may.
    QueueFull,
    /// More neighbours would be waited for than may, and its neighbour was waited for longest.
    Displaced,
}

/// What waits for one neighbour.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    bytes: u64,
    pub packets: VecDeque<Skb>,
}

impl Queue {
    /// The packet alone is below the limits. What is beyond them is released, the oldest first.
    pub fn push(&mut self, packet: Skb, limits: &NeighbourConfig, mut released: impl FnMut(Skb)) {
        self.bytes += u64::from(packet.len());
        self.packets.push_back(packet);
        while self.packets.len() > limits.queue_packets || self.bytes > limits.queue_bytes {
            let Some(packet) = self.packets.pop_front() else { break };
            self.bytes -= u64::from(packet.len());
            released(packet);
        }
    }
}
