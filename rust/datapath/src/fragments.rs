//! Fragments in the datapath: later ones follow their first, and what comes before it waits, bounded.
//!
//! Nothing is joined here: each fragment is translated and forwarded by itself.
use crate::config::NodeConfig;
use crate::port::PortId;
use netfast_buf::Skb;
use netfast_flow::conntrack::Tuple;
use netfast_frag::{FragmentConfig, FragmentTable};
use netfast_time::{Duration, Instant};
use std::collections::VecDeque;

#[derive(Debug)]
struct Held {
    key: [u64; 5],
    until: Instant,
    port: PortId,
    packet: Skb,
}

/// What is known of datagrams whose fragments come by.
#[derive(Debug)]
pub(crate) struct Fragments {
    firsts: FragmentTable<Tuple>,
    held: VecDeque<Held>,
    limit: usize,
    timeout: Duration,
}

impl Fragments {
    pub fn new(config: &NodeConfig) -> Self {
        let timeout_ns = config.fragment_timeout.as_nanos();
        let firsts =
            FragmentConfig { timeout_ns, seed: config.seed ^ 0x66_72_61_67, ..FragmentConfig::default() };
        Self {
            firsts: FragmentTable::new(firsts),
            held: VecDeque::new(),
            limit: config.max_held_fragments,
            timeout: config.fragment_timeout,
        }
    }

    /// A first fragment came.
    pub fn first(&mut self, key: [u64; 5], tuple: Tuple, now: Instant) {
        self.firsts.first(key, tuple, now.as_nanos());
    }

    /// What the first fragment of a later one's datagram told.
    pub fn later(&mut self, key: [u64; 5], now: Instant) -> Option<Tuple> {
        self.firsts.later(key, now.as_nanos())
    }

    /// Keeps a fragment until its first comes; gives the one back that has no room.
    pub fn hold(&mut self, key: [u64; 5], port: PortId, packet: Skb, now: Instant) -> Option<(PortId, Skb)> {
        let full = if self.held.len() >= self.limit { self.held.pop_front() } else { None };
        if self.limit == 0 {
            return Some((port, packet));
        }
        self.held.push_back(Held { key, until: now + self.timeout, port, packet });
        full.map(|held| (held.port, held.packet))
    }

    /// The fragments that waited for this first one, in the order in which they came.
    pub fn release(&mut self, key: &[u64; 5]) -> Vec<(PortId, Skb)> {
        if !self.held.iter().any(|held| held.key == *key) {
            return Vec::new();
        }
        let (released, kept): (VecDeque<_>, _) =
            std::mem::take(&mut self.held).into_iter().partition(|held| held.key == *key);
        self.held = kept;
        released.into_iter().map(|held| (held.port, held.packet)).collect()
    }

    /// A fragment that waited too long.
    pub fn expired(&mut self, now: Instant) -> Option<(PortId, Skb)> {
        if self.held.front()?.until > now {
            return None;
        }
        self.held.pop_front().map(|held| (held.port, held.packet))
    }

    /// Fragments that wait.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// When the next one has waited too long.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.held.front().map(|held| held.until)
    }
}
