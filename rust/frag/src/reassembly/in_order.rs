//! Fragments that come one behind the other, from the first byte on, are one packet already when the last one comes: nothing is
//! searched, and nothing is left to do. At the first one that comes otherwise they are taken apart again, and the general path
//! goes on with them as if they had never been together.
use super::Reassembler;
use super::charge::{FRAGMENT_BYTES, charge};
use super::entry::{Body, Place, UNKNOWN};
use super::insert::Step;
use super::join;
use crate::outcome::Outcome;
use crate::packet::{Fragment, LONGEST};
use netfast_buf::{PacketPool, Skb};

/// Fragments that are joined as they come; a datagram of more has each alone.
pub(super) const MOST: usize = 16;

impl Body {
    /// Fragments that came, the first one also when it was taken.
    pub fn count(&self) -> u32 {
        self.state.in_order + self.packets.len() as u32
    }

    /// Bytes of data in them, each position once.
    pub fn covered(&self) -> u32 {
        if self.state.in_order > 0 { self.state.reached } else { self.set.covered() as u32 }
    }

    /// One more is joined.
    #[inline(always)]
    fn note_next(&mut self, fragment: &Fragment) {
        let state = &mut self.state;
        state.starts[state.in_order as usize % MOST] = fragment.start as u16;
        state.in_order += 1;
        state.reached = fragment.start + fragment.len;
    }

    /// Gives each fragment a packet again, as if none had been joined.
    pub fn take_apart(&mut self) {
        let state = &mut self.state;
        let (count, reached) = (std::mem::take(&mut state.in_order), state.reached);
        state.reached = UNKNOWN;
        if count == 0 {
            return;
        }
        let (starts, payload) = (&state.starts[..count as usize], state.headers.payload);
        let ends = starts.iter().skip(1).map(|&start| u32::from(start)).chain([reached]);
        for (owner, (&start, end)) in starts.iter().zip(ends).enumerate() {
            let start = u32::from(start);
            let free = self.set.insert_free(start, end, owner as u32);
            debug_assert!(free, "each begins where the one before it ends");
            self.places.push(Place { start, payload: if owner == 0 { payload } else { 0 } });
        }
        let mut whole = std::mem::take(&mut self.whole);
        for &start in starts.iter().skip(1).rev() {
            self.packets.push(whole.split(payload + u32::from(start)).unwrap_or_default());
        }
        self.packets.push(whole);
        self.packets.reverse();
    }

    /// The fragment that begins the datagram, as it came; it is not among the others any more.
    pub fn take_first(&mut self, pool: &mut PacketPool) -> Option<Skb> {
        if self.state.in_order == 0 {
            return self.packets.get_mut(self.state.first as usize).map(std::mem::take);
        }
        let mut first = std::mem::take(&mut self.whole);
        if self.state.in_order > 1 {
            let others = first.split(self.state.headers.payload + u32::from(self.state.starts[1]));
            pool.recycle(others.unwrap_or_default());
        }
        Some(first)
    }
}

impl Reassembler {
    /// As [`Reassembler::join_next`] of a datagram that was found lately; otherwise its number, where it was.
    #[inline(always)]
    pub(super) fn join_known(
        &mut self,
        fragment: &Fragment,
        packet: &mut Skb,
        pool: &mut PacketPool,
        slot: &mut Outcome,
    ) -> Result<Step, Option<u32>> {
        let known = match self.entries.recall(fragment.key.mixed()) {
            Some((id, entry)) if entry.key.is(&fragment.key) => id,
            _ => return Err(None),
        };
        // There is something to tell of these.
        if fragment.dont_fragment || (fragment.more && fragment.len < self.config.min_fragment) {
            return Err(Some(known));
        }
        self.join_next(known, fragment, packet, pool, slot).ok_or(Some(known))
    }

    /// Takes a fragment that is the next one of a datagram of which all before it came in order, and of which there is nothing
    /// else to say; otherwise nothing happens.
    #[inline(always)]
    pub(super) fn join_next(
        &mut self,
        id: u32,
        fragment: &Fragment,
        packet: &mut Skb,
        pool: &mut PacketPool,
        slot: &mut Outcome,
    ) -> Option<Step> {
        let (entry, is_ipv4) = (&self.entries[id], fragment.key.is_ipv4());
        // A tombstone has none.
        let body = self.bodies.bodies.get_mut(entry.body as usize)?;
        let state = &mut body.state;
        if fragment.start != state.reached || state.in_order == 0 || state.in_order >= self.most_in_order {
            return None;
        }
        let age = self.now - entry.created;
        let came_round = self.config.wrap_safe && self.pairs.came_round(entry.pair, entry.born, age);
        let timeout = if is_ipv4 { self.config.timeout_ipv4 } else { self.config.timeout_ipv6 };
        let source = &mut self.pairs.sources[state.source];
        let serial = source.fragments.wrapping_add(1);
        let too_far = is_ipv4 && serial.wrapping_sub(state.serial) > self.max_disorder;
        let (end, ecn) = (fragment.start + fragment.len, state.ecn | fragment.ecn);
        let unusual = came_round
            | (age >= timeout)
            | too_far
            | (state.counted + end > LONGEST)
            | join::mixed_ecn(ecn)
            | (state.next != fragment.next);
        if unusual {
            return None;
        }
        let charge = match packet.owned_memory() {
            Some(block) => block + FRAGMENT_BYTES,
            None if packet.segments().len() == 1 => charge(packet, &self.config, &mut self.counters, pool),
            None => return None,
        };
        if source.memory + charge > self.share_memory || self.memory + charge > self.config.max_memory {
            return None;
        }
        state.memory += charge;
        source.memory += charge;
        self.memory += charge;
        (source.fragments, state.serial, state.ecn) = (serial, serial, ecn);
        state.largest = state.largest.max(fragment.ip_len());
        if fragment.dont_fragment {
            state.largest_df = state.largest_df.max(fragment.ip_len());
        }
        self.counters.held += 1;
        self.bodies.steps += 1;
        body.note_next(fragment);
        if fragment.more {
            let joined = body.whole.absorb(packet, fragment.payload, pool);
            debug_assert!(joined.is_ok(), "65,535 bytes at most, and headers are there");
            return Some(Step::Held);
        }
        body.state.total = end;
        Some(self.complete(id, (packet, fragment.payload), pool, slot))
    }

    /// Whether a fragment that begins its datagram is the first one of it.
    #[inline(always)]
    pub(super) fn begins(&self, body: u32, fragment: &Fragment, packet: &Skb) -> bool {
        let state = &self.bodies[body].state;
        (fragment.start, state.reached, fragment.more) == (0, 0, true)
            && self.most_in_order > 0
            && fragment.counted_header() + fragment.len <= LONGEST
            && !join::mixed_ecn(fragment.ecn)
            && packet.segments().len() == 1
    }

    /// Takes such a fragment, for which there is room.
    #[inline(always)]
    pub(super) fn join_first(&mut self, body: u32, fragment: &Fragment, packet: &mut Skb) -> Step {
        self.bodies.steps += 1;
        self.learn(body, fragment);
        let body = &mut self.bodies[body];
        (body.state.in_order, body.state.reached) = (1, fragment.len);
        body.whole = std::mem::take(packet);
        Step::Held
    }
}
