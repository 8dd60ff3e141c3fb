//! Datagrams end: whole, given up, out of time, or for want of room.
use super::Reassembler;
use super::entry::Body;
use crate::outcome::{EventKind, Expired};
use crate::packet::Fragment;
use crate::reason::FragmentReason;
use crate::slab::NONE;
use netfast_buf::{PacketPool, Skb};
use netfast_time::{Duration, Instant};

/// Datagrams found out of time by a later fragment that wait to be told; more are not told, but counted as any other.
const UNTOLD: usize = 64;
/// Bytes compared at a time.
const COMPARED: usize = 256;

impl Body {
    /// Whether bytes of a fragment differ from those that are there.
    pub fn differs(&self, fragment: &Fragment, packet: &Skb) -> bool {
        let end = fragment.start + fragment.len;
        self.set.overlapping(fragment.start, end).any(|piece| {
            let owner = piece.owner as usize;
            let (Some(old), Some(place)) = (self.packets.get(owner), self.places.get(owner)) else {
                return false;
            };
            let (from, to) = (piece.start.max(fragment.start), piece.end.min(end));
            (from..to).step_by(COMPARED).any(|at| {
                let count = COMPARED.min((to - at) as usize);
                let (mut new_bytes, mut old_bytes) = ([0; COMPARED], [0; COMPARED]);
                let new = packet.read(fragment.payload + at - fragment.start, &mut new_bytes[..count]);
                let old = old.read(place.payload + at - place.start, &mut old_bytes[..count]);
                new.is_err() || old.is_err() || new_bytes != old_bytes
            })
        })
    }
}

impl Reassembler {
    /// The next datagram whose time is up at `now`; `None` when there is none more. Its fragments are recycled into `pool`, or
    /// wait for [`Reassembler::poll_dropped`].
    ///
    /// `Instant::MAX` ends all of them, as at the end of a capture.
    pub fn poll_timeout(&mut self, now: Instant, pool: &mut PacketPool) -> Option<Expired> {
        self.advance(now);
        self.sweep_tombstones(usize::MAX);
        if let Some(expired) = self.expired.pop_front() {
            return Some(expired);
        }
        for family in 0..self.ages.len() {
            if let Some(id) = self.ages[family].first().filter(|&id| self.deadline(id) <= self.now) {
                return Some(self.expire(id, FragmentReason::Timeout, pool));
            }
        }
        let timer = self.wheel.pop_expired(self.now)?;
        // The wheel keeps only timers of datagrams; the handle is stale now.
        self.bodies[self.entries[timer.payload].body].state.timer = None;
        Some(self.expire(timer.payload, FragmentReason::Wraparound, pool))
    }

    pub(super) fn timeout(&self, ipv4: bool) -> Duration {
        if ipv4 { self.config.timeout_ipv4 } else { self.config.timeout_ipv6 }
    }

    pub(super) fn deadline(&self, id: u32) -> Instant {
        let entry = &self.entries[id];
        entry.created + self.timeout(entry.key.is_ipv4())
    }

    #[cold]
    pub(super) fn arm(&mut self, id: u32, lifetime: Duration) {
        self.wheel.advance(self.now);
        // At the wheel's limit, which is far above that of datagrams, the timeout of the family is left.
        let timer = self.wheel.arm(self.now + lifetime, id).ok();
        self.bodies[self.entries[id].body].state.timer = timer;
    }

    /// Ends a datagram whose identification is used again or came too late.
    #[cold]
    pub(super) fn replace(&mut self, id: u32, reason: FragmentReason, pool: &mut PacketPool) {
        if reason == FragmentReason::Disorder {
            self.finish(id, reason, false, pool);
            return;
        }
        let expired = self.expire(id, reason, pool);
        if self.expired.len() < UNTOLD {
            self.expired.push_back(expired);
        } else if let Some(first) = expired.first {
            pool.recycle(first);
        }
    }

    /// Ends a datagram of which nothing more is taken.
    #[cold]
    pub(super) fn give_up(&mut self, id: u32, reason: FragmentReason, pool: &mut PacketPool) {
        self.finish(id, reason, true, pool);
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        self.ages.iter().filter_map(|age| age.first()).min_by_key(|&id| self.entries[id].created)
    }

    pub(super) fn evict(&mut self, id: Option<u32>, pool: &mut PacketPool) {
        if let Some(id) = id {
            self.give_up(id, FragmentReason::Limit, pool);
        }
    }

    /// Counts `bytes` for a datagram, others giving way; false when it had to give way itself.
    #[inline(always)]
    pub(super) fn make_room(&mut self, id: u32, body: u32, bytes: usize, pool: &mut PacketPool) -> bool {
        if !self.take_room(body, bytes) {
            if !self.free_room(id, bytes, pool) {
                return false;
            }
            return self.take_room(body, bytes);
        }
        true
    }

    /// Counts `bytes` for a datagram, if there is room; otherwise nothing happens.
    #[inline(always)]
    pub(super) fn take_room(&mut self, body: u32, bytes: usize) -> bool {
        let state = &mut self.bodies[body].state;
        let source = &mut self.pairs.sources[state.source];
        if source.memory + bytes > self.share_memory || self.memory + bytes > self.config.max_memory {
            return false;
        }
        state.memory += bytes;
        source.memory += bytes;
        self.memory += bytes;
        true
    }

    #[cold]
    fn free_room(&mut self, id: u32, bytes: usize, pool: &mut PacketPool) -> bool {
        let source = self.bodies[self.entries[id].body].state.source;
        loop {
            let victim = if self.pairs.sources[source].memory + bytes > self.share_memory {
                self.pairs.sources[source].datagrams.first()
            } else if self.memory + bytes > self.config.max_memory {
                self.oldest()
            } else {
                return true;
            };
            self.evict(victim, pool);
            if victim.is_none_or(|victim| victim == id) {
                return false;
            }
        }
    }

    fn expire(&mut self, id: u32, reason: FragmentReason, pool: &mut PacketPool) -> Expired {
        let entry = &self.entries[id];
        let key = entry.key;
        let body = &mut self.bodies[entry.body];
        let fragments = body.count();
        let first = body.take_first(pool);
        if first.is_some() {
            self.counters.dropped[reason as usize] += 1;
            self.counters.held -= 1;
        }
        self.finish(id, reason, false, pool);
        Expired { key, reason, fragments, first }
    }

    /// Ends a datagram: counts, tells, and lets its fragments go, but for one that was taken.
    fn finish(&mut self, id: u32, reason: FragmentReason, tombstone: bool, pool: &mut PacketPool) {
        let entry = &self.entries[id];
        let (key, body_id) = (entry.key, entry.body);
        let body = &mut self.bodies[body_id];
        let (count, bytes) = (body.count(), body.covered());
        let whole = std::mem::take(&mut body.whole);
        let mut packets = std::mem::take(&mut body.packets);
        if body.state.in_order > 0 {
            // The first one may have been taken, and then none is left; whoever wants to see them has each alone.
            let waited = u64::from(if whole.is_empty() { count - 1 } else { count });
            self.counters.dropped[reason as usize] += waited;
            self.counters.held -= waited;
            pool.recycle(whole);
        }
        for packet in packets.drain(..).filter(|packet| !packet.is_empty()) {
            self.counters.dropped[reason as usize] += 1;
            self.counters.held -= 1;
            if self.dropped.len() < self.config.max_dropped {
                self.dropped.push_back((packet, reason));
            } else {
                self.counters.dropped_lost += u64::from(self.config.max_dropped > 0);
                pool.recycle(packet);
            }
        }
        self.bodies[body_id].packets = packets;
        self.counters.datagrams_dropped[reason as usize] += 1;
        self.release(id, tombstone);
        self.event(key, EventKind::Dropped(reason), count, bytes);
    }

    /// Gives back what a datagram has, whose packets are gone.
    #[inline]
    pub(super) fn release(&mut self, id: u32, tombstone: bool) {
        let entry = &mut self.entries[id];
        let family = usize::from(!entry.key.is_ipv4());
        let body = std::mem::replace(&mut entry.body, NONE);
        let state = &mut self.bodies[body].state;
        let (source, memory) = (state.source, state.memory);
        if let Some(timer) = state.timer.take() {
            self.wheel.cancel(timer);
        }
        self.bodies.put(body);
        self.memory -= memory;
        let source = &mut self.pairs.sources[source];
        source.memory -= memory;
        self.source_links.remove(&mut source.datagrams, id);
        self.age_links.remove(&mut self.ages[family], id);
        if tombstone && self.config.tombstone > Duration::ZERO && self.config.max_tombstones > 0 {
            self.make_tombstone(id);
        } else {
            self.forget(id);
        }
    }

    #[inline]
    fn make_tombstone(&mut self, id: u32) {
        self.sweep_tombstones(2);
        let entry = &mut self.entries[id];
        let lifetime = if self.config.wrap_safe { self.pairs.lifetime(entry.pair) } else { Duration::MAX };
        entry.until = self.now + self.config.tombstone.min(lifetime);
        self.age_links.push(&mut self.tombstones, id);
        if self.tombstones.len() > self.config.max_tombstones
            && let Some(oldest) = self.tombstones.first()
        {
            self.counters.tombstones_forgotten += 1;
            self.remove_tombstone(oldest);
        }
    }

    /// Takes at most `most` tombstones away whose time is up, oldest first.
    #[inline]
    fn sweep_tombstones(&mut self, most: usize) {
        for _ in 0..most {
            match self.tombstones.first() {
                Some(id) if self.entries[id].until <= self.now => self.remove_tombstone(id),
                _ => return,
            }
        }
    }

    pub(super) fn remove_tombstone(&mut self, id: u32) {
        self.age_links.remove(&mut self.tombstones, id);
        self.forget(id);
    }

    fn forget(&mut self, id: u32) {
        self.pairs.end(self.entries[id].pair);
        self.entries.remove(id);
    }
}
