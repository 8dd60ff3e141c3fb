//! A datagram that is being put together, and what is remembered of one that was.
use super::in_order::MOST;
use super::join::Headers;
use crate::key::FragmentKey;
use crate::overlap::IntervalSet;
use crate::slab::{Hashed, NONE};
use netfast_buf::Skb;
use netfast_time::{Instant, TimerHandle};

/// No fragment said yet where the datagram ends.
pub(super) const UNKNOWN: u32 = u32::MAX;
/// Fragments whose place a body keeps while it waits for the next datagram.
const KEPT: usize = 8;
/// Bodies that keep such places; those that many datagrams had at a time give them back.
const IDLE: usize = 256;

/// A datagram, or a tombstone: what is needed to find it and to tell whether its identification came round.
#[derive(Debug)]
pub(super) struct Entry {
    pub hash: u64,
    pub key: FragmentKey,
    /// Number of its body; [`NONE`] is a tombstone.
    pub body: u32,
    pub pair: u32,
    /// What the pair had used up when it began.
    pub born: u64,
    pub created: Instant,
    /// End of a tombstone.
    pub until: Instant,
}

const _: () = assert!(size_of::<Entry>() <= 96);

impl Entry {
    #[inline]
    pub fn is_tombstone(&self) -> bool {
        self.body == NONE
    }
}

impl Hashed for Entry {
    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn mixed(&self) -> u32 {
        self.key.mixed()
    }
}

/// Where a fragment's data is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// In the datagram.
    pub start: u32,
    /// In the packet.
    pub payload: u32,
}

/// What the fragments of a datagram said so far.
#[derive(Debug)]
pub(super) struct State {
    pub source: u32,
    /// The source's count of fragments when the last one came.
    pub serial: u32,
    /// Fires before the timeout of its family would.
    pub timer: Option<TimerHandle>,
    /// Bytes that it occupies.
    pub memory: usize,
    /// Bytes of data in the whole datagram, or [`UNKNOWN`].
    pub total: u32,
    /// IP bytes of the largest fragment, and of the largest that says "don't fragment".
    pub largest: u32,
    pub largest_df: u32,
    /// Number of the fragment that begins the datagram, or [`NONE`].
    pub first: u32,
    /// Where that one's headers are, and how many bytes of them count for the longest datagram.
    pub headers: Headers,
    pub counted: u32,
    /// What follows the fragment header, as the fragment says that came first.
    pub next: u8,
    /// Bit for each value of the ECN bits.
    pub ecn: u8,
    /// Some bytes were claimed twice, so pieces are not whole fragments.
    pub overlapped: bool,
    /// Fragments in [`Body::whole`]; 0 when each stands alone.
    pub in_order: u32,
    /// The position after the last byte of these, where the next one may begin; [`UNKNOWN`] when it may not.
    pub reached: u32,
    /// Where each of them begins.
    pub starts: [u16; MOST],
}

impl Default for State {
    fn default() -> Self {
        Self {
            source: NONE,
            serial: 0,
            timer: None,
            memory: 0,
            total: UNKNOWN,
            largest: 0,
            largest_df: 0,
            first: NONE,
            headers: Headers::default(),
            counted: 0,
            next: 0,
            ecn: 0,
            overlapped: false,
            in_order: 0,
            reached: 0,
            starts: [0; MOST],
        }
    }
}

/// The fragments of a datagram: joined while they come one behind the other, else in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub state: State,
    /// What came in order from the first byte on, as one packet.
    pub whole: Skb,
    pub packets: Vec<Skb>,
    pub places: Vec<Place>,
    pub set: IntervalSet,
}

impl Body {
    /// Bytes of the lists, whatever is in them.
    fn lists(&self) -> usize {
        self.packets.capacity() * size_of::<Skb>()
            + self.places.capacity() * size_of::<Place>()
            + self.set.memory()
    }
}

/// Bodies, used again from the last one freed, which the caches know.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    pub bodies: Vec<Body>,
    free: Vec<u32>,
    /// Steps of bodies that were let go, and of fragments that came in order.
    pub steps: u64,
}

impl Bodies {
    pub fn all_steps(&self) -> u64 {
        self.steps + self.bodies.iter().map(|body| body.set.steps()).sum::<u64>()
    }

    pub fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.bodies.push(Body::default());
            self.bodies.len() as u32 - 1
        })
    }

    /// Takes back a body whose packets are gone.
    pub fn put(&mut self, id: u32) {
        let body = &mut self.bodies[id as usize];
        if body.state.in_order == 0 {
            body.packets.clear();
            body.places.clear();
            body.set.clear();
        }
        if body.packets.capacity() > KEPT || self.free.len() >= IDLE {
            self.steps += body.set.steps();
            *body = Body::default();
        }
        self.free.push(id);
    }

    /// Gives each fragment of a body a packet for itself.
    pub fn take_apart(&mut self, id: u32) {
        let body = &mut self.bodies[id as usize];
        // The set counts them again.
        self.steps -= u64::from(body.state.in_order);
        body.take_apart();
    }

    /// Bytes of all bodies and of the lists of idle ones: what is in those of others is counted by the fragment.
    pub fn memory(&self) -> usize {
        // The first ones of these may have some; those behind gave them back.
        let lists = self.free.iter().take(IDLE).map(|&id| self.bodies[id as usize].lists());
        lists.sum::<usize>()
            + self.bodies.capacity() * size_of::<Body>()
            + self.free.capacity() * size_of::<u32>()
    }
}

impl std::ops::Index<u32> for Bodies {
    type Output = Body;

    #[inline(always)]
    fn index(&self, id: u32) -> &Body {
        &self.bodies[id as usize]
    }
}

impl std::ops::IndexMut<u32> for Bodies {
    #[inline(always)]
    fn index_mut(&mut self, id: u32) -> &mut Body {
        &mut self.bodies[id as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlap::OverlapPolicy;

    #[test]
    fn few_idle_bodies_keep_their_lists_and_those_are_counted() {
        let mut bodies = Bodies::default();
        let ids: Vec<u32> = (0..3 * IDLE).map(|_| bodies.take()).collect();
        for (number, &id) in ids.iter().enumerate() {
            let body = &mut bodies[id];
            body.packets.extend((0..KEPT).map(|_| Skb::new()));
            body.places.extend((0..KEPT).map(|_| Place { start: 0, payload: 0 }));
            let _ = body.set.insert(OverlapPolicy::Drop, 8, 16, 0);
            // Of some that ended while their fragments were joined, the lists are those of the datagram before.
            body.state.in_order = number as u32 % 2;
        }
        let bare = bodies.memory();
        let steps = bodies.all_steps();
        ids.iter().for_each(|&id| bodies.put(id));
        let kept: Vec<usize> = bodies.bodies.iter().map(Body::lists).filter(|&bytes| bytes > 0).collect();
        assert_eq!(kept.len(), IDLE);
        assert!(kept.iter().all(|bytes| *bytes >= KEPT * (size_of::<Skb>() + size_of::<Place>())));
        let free = bodies.free.capacity() * size_of::<u32>();
        assert_eq!(bodies.memory(), bare + free + kept.iter().sum::<usize>());
        assert_eq!(bodies.all_steps(), steps, "they outlive the lists");
    }
}
