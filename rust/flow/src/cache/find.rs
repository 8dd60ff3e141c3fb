//! How packets find their connections.
use super::slab::Slab;
use super::{Entry, FlowCache, Found, Leaving, Line, NONE, NatLine, REPLY, TRANSLATED};
use super::{entry_of, leaving, reply_of};
use crate::conntrack::Way;
use crate::endpoints::Endpoints;
use crate::key::{Direction, FlowKey};
use netfast_low::prefetch::{prefetch, prefetch2_within};
use netfast_low::zeroed::Zeroed;
use zerocopy::FromZeros;

/// A connection that a packet belongs to, all of its lines at hand.
#[derive(Debug)]
pub struct Hit<'a, T> {
    /// The connection.
    pub entry: &'a mut Entry,
    /// Which way the packet goes.
    pub way: Way,
    // Not their slices, which would be read, and kept, before anyone asks.
    transports: &'a mut Zeroed<Line<T>>,
    at: u32,
    nats: &'a Slab<NatLine>,
}

impl<T> Hit<'_, T> {
    /// The state of its transport connection.
    #[inline(always)]
    pub fn transport(&mut self) -> Option<&mut T> {
        let line = self.transports.get_mut(self.at as usize).filter(|_| self.entry.has_transport());
        line.map(|line| &mut line.0)
    }

    /// How the packet leaves, when it is translated: what [`Entry::one_end`] says sooner, where it says something.
    #[inline(always)]
    pub fn leaving(&self) -> Option<Leaving> {
        // By parts, so that a hit need not stand in memory.
        leaving(self.nats, self.entry, self.way)
    }
}

impl<T: Copy + FromZeros> FlowCache<T> {
    /// Asks for the bucket of a hash.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// The likely entry of a hash, [`NONE`] when there is none, whose lines are asked for.
    #[inline(always)]
    pub fn candidate(&self, hash: u64) -> u32 {
        match self.index.candidate(hash) {
            Some(place) => {
                prefetch2_within(&self.entries, entry_of(place) as usize);
                prefetch(&self.transports, entry_of(place) as usize);
                place
            }
            None => NONE,
        }
    }

    /// The connection of a packet of a protocol with ports, when that is `candidate`: what [`FlowCache::candidate`] said, however
    /// long ago. Sooner found when it goes `like` the one before it.
    ///
    /// Of a packet whose two ends are the same it may say [`Way::Reply`], where all other ways to find it say [`Way::Original`]: so
    /// the other way of its connection never has a program, and the hit is none.
    #[inline(always)]
    pub fn hit(&mut self, candidate: u32, packet: &Endpoints, like: Way) -> Option<Hit<'_, T>> {
        let at = entry_of(candidate);
        let entry = self.entries.get_mut(at as usize)?;
        let way = if candidate & (TRANSLATED | REPLY) == 0 {
            entry.way_of(packet, like)?
        } else if candidate & REPLY == 0 {
            (entry.ends.differ(packet) == 0).then_some(Way::Original)?
        } else {
            (reply_of(&self.nats, entry)?.differ(packet) == 0).then_some(Way::Reply)?
        };
        Some(Hit { entry, way, transports: &mut self.transports, at, nats: &self.nats })
    }

    /// Asks for what no hit reads of a likely entry: its next hops.
    #[inline(always)]
    pub fn prefetch_cold(&self, candidate: u32) {
        prefetch(&self.cold, entry_of(candidate) as usize);
    }

    /// The connection of a packet of a protocol with ports, where `candidate` is what [`FlowCache::candidate`] said.
    #[inline(always)]
    pub fn find_at(&self, candidate: u32, packet: &Endpoints, hash: u64) -> Option<Found> {
        self.ways(candidate, packet).or_else(|| {
            let mut found = None;
            let _ = self.index.find(hash, |place| {
                found = self.ways(place, packet);
                found.is_some()
            });
            found
        })
    }

    /// As [`FlowCache::matches`] of a packet of a protocol with ports: one whose ends are the same goes up, always.
    #[inline(always)]
    fn ways(&self, place: u32, packet: &Endpoints) -> Option<Found> {
        let at = entry_of(place);
        let entry = self.entries.get(at as usize)?;
        let way = if place & REPLY != 0 {
            (reply_of(&self.nats, entry)?.differ(packet) == 0).then_some(Way::Reply)
        } else if entry.ends.differ(packet) == 0 {
            Some(Way::Original)
        } else {
            ((entry.ends.differ_turned(packet) == 0) & !entry.is_translated()).then_some(Way::Reply)
        };
        way.map(|way| Found { entry: at, way })
    }

    /// The hash of a key, under which [`FlowCache::find`] finds it until another insertion.
    #[inline(always)]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        Endpoints::of_key(key, Direction::Up).hash(self.seed)
    }

    /// The connection of a packet.
    #[inline(never)]
    pub fn find(&self, key: &FlowKey, direction: Direction, hash: u64) -> Option<Found> {
        self.find_packet(&Endpoints::of_key(key, direction), direction, hash)
    }

    fn find_packet(&self, packet: &Endpoints, direction: Direction, hash: u64) -> Option<Found> {
        let mut found = None;
        let _ = self.index.find(hash, |place| {
            found = self.matches(place, packet, direction);
            found.is_some()
        });
        found
    }

    /// Which way a packet goes in the connection that stands at a place of the index, if it is one of its own.
    #[inline(always)]
    fn matches(&self, place: u32, packet: &Endpoints, direction: Direction) -> Option<Found> {
        let at = entry_of(place);
        let entry = self.entries.get(at as usize)?;
        let first = entry.first();
        let way = if place & REPLY == 0 {
            // The direction tells ways apart whose ends are the same. Replies of a translated connection have the other key.
            let original = (entry.ends.differ(packet) == 0) & (direction == first);
            let reply =
                (entry.ends.differ_turned(packet) == 0) & (direction != first) & !entry.is_translated();
            (original | reply).then_some(if reply { Way::Reply } else { Way::Original })
        } else {
            let (ends, its_direction) = self.replies(at)?;
            ((ends.differ(packet) == 0) & (its_direction == direction)).then_some(Way::Reply)
        };
        way.map(|way| Found { entry: at, way })
    }

    /// The ends of a translated connection's replies as they arrive, and the direction in which those go by their key.
    pub(super) fn replies(&self, at: u32) -> Option<(Endpoints, Direction)> {
        let entry = self.entries.get(at as usize)?;
        match entry.reply() {
            Some(ends) => Some((ends, ends.ordered().1)),
            None => self.nats.items.get(entry.line()?).map(|line| (line.reply, line.direction())),
        }
    }
}
