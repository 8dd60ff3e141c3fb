//! Packets that wait for their neighbour.
use crate::table::{Key, Mac, NeighbourConfig};
use hashbrown::HashTable;
use netfast_buf::Skb;
use netfast_low::hash::Seed;
use netfast_time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// A neighbour whose link address is not known, and that a packet waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unresolved {
    /// The port that it should be at.
    pub port: u32,
    /// Its address.
    pub address: IpAddr,
}

/// A neighbour that was not set in time.
#[derive(Debug)]
pub struct Expired {
    /// The port that it should be at.
    pub port: u32,
    /// Its address.
    pub address: IpAddr,
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

/// Queues in the order in which they began, which is that in which they expire: the clock does not go back.
#[derive(Debug)]
pub(crate) struct Pending {
    seed: Seed,
    index: HashTable<(Key, u64)>,
    queues: BTreeMap<u64, Queue>,
    next: u64,
    packets: usize,
}

#[derive(Debug)]
struct Queue {
    key: Key,
    since: Instant,
    bytes: u64,
    packets: VecDeque<Skb>,
}

impl Pending {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { seed, index: HashTable::new(), queues: BTreeMap::new(), next: 0, packets: 0 }
    }

    pub(crate) fn packets(&self) -> usize {
        self.packets
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Unresolved> {
        self.queues.values().map(|queue| Unresolved { port: queue.key.port, address: queue.key.address })
    }

    /// Since when the first neighbour is waited for.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.queues.first_key_value().map(|(_, queue)| queue.since)
    }

    /// Limits are above zero, and the packet alone is below them.
    pub(crate) fn hold(
        &mut self,
        now: Instant,
        key: Key,
        packet: Skb,
        limits: &NeighbourConfig,
        mut released: impl FnMut(Skb, Released),
    ) -> Option<Unresolved> {
        let found = self.index.find(key.hash(self.seed), |entry| entry.0 == key).map(|entry| entry.1);
        let number = found.unwrap_or_else(|| {
            while self.queues.len() >= limits.max_pending
                && let Some(queue) = self.remove_oldest()
            {
                queue.packets.into_iter().for_each(|packet| released(packet, Released::Displaced));
            }
            self.begin(now, key)
        });
        let queue = self.queues.get_mut(&number)?;
        queue.bytes += u64::from(packet.len());
        queue.packets.push_back(packet);
        self.packets += 1;
        while queue.packets.len() > limits.queue_packets || queue.bytes > limits.queue_bytes {
            let Some(packet) = queue.packets.pop_front() else { break };
            queue.bytes -= u64::from(packet.len());
            self.packets -= 1;
            released(packet, Released::QueueFull);
        }
        found.is_none().then_some(Unresolved { port: key.port, address: key.address })
    }

    /// What waits for a neighbour, which is not waited for any more.
    pub(crate) fn take(&mut self, key: Key) -> Vec<Skb> {
        match self.index.find(key.hash(self.seed), |entry| entry.0 == key) {
            Some(&(_, number)) => self.remove(number).map_or_else(Vec::new, |queue| queue.packets.into()),
            None => Vec::new(),
        }
    }

    pub(crate) fn expired(&mut self, now: Instant, timeout: Duration) -> Option<Expired> {
        if self.oldest()? + timeout > now {
            return None;
        }
        let Queue { key, packets, .. } = self.remove_oldest()?;
        Some(Expired { port: key.port, address: key.address, packets: packets.into() })
    }

    fn begin(&mut self, now: Instant, key: Key) -> u64 {
        let (seed, number) = (self.seed, self.next);
        self.next += 1;
        self.index.insert_unique(key.hash(seed), (key, number), |entry| entry.0.hash(seed));
        self.queues.insert(number, Queue { key, since: now, bytes: 0, packets: VecDeque::new() });
        number
    }

    fn remove_oldest(&mut self) -> Option<Queue> {
        let (&number, _) = self.queues.first_key_value()?;
        self.remove(number)
    }

    fn remove(&mut self, number: u64) -> Option<Queue> {
        let queue = self.queues.remove(&number)?;
        if let Ok(entry) = self.index.find_entry(queue.key.hash(self.seed), |entry| entry.1 == number) {
            entry.remove();
        }
        self.packets -= queue.packets.len();
        Some(queue)
    }
}
