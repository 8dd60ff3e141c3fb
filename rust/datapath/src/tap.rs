//! Taps: what goes through a port, and what is dropped with its reason, to be written to a capture.
use crate::port::PortId;
use crate::reason::DropReason;
use netfast_buf::Skb;
use netfast_time::Instant;
use std::sync::Arc;

/// What became of a tapped packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapKind {
    /// It came in.
    In,
    /// It left.
    Out,
    /// It came in by this port and was dropped; by this rule, where one said so.
    Dropped(DropReason, Option<Arc<str>>),
}

/// A packet as a tap saw it.
#[derive(Clone, Debug)]
pub struct Tapped {
    /// When.
    pub time: Instant,
    /// The port.
    pub port: PortId,
    /// What became of it.
    pub kind: TapKind,
    /// Its bytes, from the Ethernet header on; of a dropped one as it was then.
    pub bytes: Vec<u8>,
}

/// The taps of a node.
#[derive(Debug)]
pub(crate) struct Taps {
    on: Vec<PortId>,
    queue: Vec<Tapped>,
    limit: usize,
    missed: u64,
}

impl Taps {
    pub fn new(limit: usize) -> Self {
        Self { on: Vec::new(), queue: Vec::new(), limit, missed: 0 }
    }

    pub fn set(&mut self, port: PortId, on: bool) {
        self.on.retain(|other| *other != port);
        if on {
            self.on.push(port);
        }
    }

    /// True when some port is tapped.
    #[inline(always)]
    pub fn any(&self) -> bool {
        !self.on.is_empty()
    }

    pub fn has(&self, port: PortId) -> bool {
        self.on.contains(&port)
    }

    pub fn record(&mut self, time: Instant, port: PortId, kind: TapKind, packet: &Skb) {
        if !self.has(port) {
            return;
        }
        if self.queue.len() >= self.limit {
            self.missed += 1;
            return;
        }
        self.queue.push(Tapped { time, port, kind, bytes: packet.to_vec() });
    }

    pub fn take(&mut self) -> (Vec<Tapped>, u64) {
        (std::mem::take(&mut self.queue), std::mem::take(&mut self.missed))
    }
}
