//! A fragment finds its datagram and its place in it.
use super::Reassembler;
use super::charge::charge;
use super::entry::{Entry, Place, State, UNKNOWN};
use super::join::{self, Headers};
use crate::chain;
use crate::key::FragmentKey;
use crate::outcome::Outcome;
use crate::overlap::{Inserted, OverlapPolicy};
use crate::packet::{Fragment, LONGEST};
use crate::pairs::Begun;
use crate::reason::FragmentReason;
use netfast_buf::{PacketPool, Skb};
use netfast_wire::router::{IcmpError, parameter6};

/// What became of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// It is kept, and empty here.
    Held,
    /// Its datagram, of so many bytes of data, is whole, and where outcomes are put; it is not counted yet.
    Whole(u32),
    /// It is no fragment, and as it was.
    NotFragment,
    /// It is no fragment any more.
    Atomic,
    /// It cannot be used, and is as it was; [`Reassembler::owed`] is what its sender is owed.
    Dropped(FragmentReason),
}

impl Reassembler {
    /// Takes a fragment, to `known` where its datagram is.
    #[inline(never)]
    pub(super) fn insert(
        &mut self,
        known: Option<u32>,
        fragment: &Fragment,
        packet: &mut Skb,
        pool: &mut PacketPool,
        slot: &mut Outcome,
    ) -> Step {
        if fragment.more && fragment.len < self.config.min_fragment {
            self.note(fragment.key, FragmentReason::ExcessivelySmall);
        }
        if fragment.dont_fragment {
            self.note(fragment.key, FragmentReason::WithDf);
        }
        let hash = known.map_or_else(|| fragment.key.hash(self.seed), |id| self.entries[id].hash);
        let found = known.or_else(|| self.entries.find(hash, |entry| entry.key.is(&fragment.key)));
        if let Some(id) = found
            && let Some(step) = self.join_next(id, fragment, packet, pool, slot)
        {
            return step;
        }
        self.insert_anywhere((found, hash), fragment, packet, pool, slot)
    }

    /// Takes a fragment that is not just the next one of its datagram.
    #[inline(always)]
    fn insert_anywhere(
        &mut self,
        (found, hash): (Option<u32>, u64),
        fragment: &Fragment,
        packet: &mut Skb,
        pool: &mut PacketPool,
        slot: &mut Outcome,
    ) -> Step {
        if fragment.start == 0
            && let Some(error) = incomplete_chain(fragment, packet, pool)
        {
            let reason = FragmentReason::HeaderChainIncomplete;
            return self.drop_packet(Some(fragment.key), reason, Some(error));
        }
        let id = match self.datagram_of(found, fragment, hash, pool) {
            Ok(id) => id,
            Err(reason) => return self.drop_packet(Some(fragment.key), reason, None),
        };
        let body = self.entries[id].body;
        if self.begins(body, fragment, packet) {
            let charge = charge(packet, &self.config, &mut self.counters, pool);
            if self.take_room(body, charge) {
                return self.join_first(body, fragment, packet);
            }
        }
        self.bodies.take_apart(body);
        if let Err(reason) = self.place(id, body, fragment, packet, pool) {
            return self.drop_packet(Some(fragment.key), reason, None);
        }
        self.learn(body, fragment);
        let body = &mut self.bodies[body];
        body.places.push(Place { start: fragment.start, payload: fragment.payload });
        body.packets.push(std::mem::take(packet));
        // No position is covered twice, so all are where the sum is right.
        let whole = u64::from(body.state.total) == body.set.covered();
        if whole { self.complete(id, (packet, 0), pool, slot) } else { Step::Held }
    }

    /// The datagram that a fragment belongs to, begun where there is none.
    #[inline(always)]
    fn datagram_of(
        &mut self,
        found: Option<u32>,
        fragment: &Fragment,
        hash: u64,
        pool: &mut PacketPool,
    ) -> Result<u32, FragmentReason> {
        let Some(id) = found else {
            return Ok(self.begin(fragment, hash, pool));
        };
        let entry = &self.entries[id];
        let age = self.now - entry.created;
        let came_round = self.config.wrap_safe && self.pairs.came_round(entry.pair, entry.born, age);
        if entry.is_tombstone() {
            if self.now < entry.until && !came_round {
                return Err(FragmentReason::Tombstone);
            }
            self.remove_tombstone(id);
            return Ok(self.begin(fragment, hash, pool));
        }
        let reason = if age >= self.timeout(fragment.key.is_ipv4()) {
            FragmentReason::Timeout
        } else if came_round {
            FragmentReason::Wraparound
        } else if self.is_too_far(id) {
            FragmentReason::Disorder
        } else {
            return Ok(id);
        };
        self.replace(id, reason, pool);
        Ok(self.begin(fragment, hash, pool))
    }

    /// Whether too many other fragments of the source came since the last one of this datagram, to which this one is counted
    /// if not: else it begins another one.
    #[inline(always)]
    fn is_too_far(&mut self, id: u32) -> bool {
        let entry = &self.entries[id];
        let state = &mut self.bodies[entry.body].state;
        let source = &mut self.pairs.sources[state.source];
        let serial = source.fragments.wrapping_add(1);
        let too_far = entry.key.is_ipv4() && serial.wrapping_sub(state.serial) > self.max_disorder;
        if !too_far {
            (source.fragments, state.serial) = (serial, serial);
        }
        too_far
    }

    #[inline(always)]
    fn begin(&mut self, fragment: &Fragment, hash: u64, pool: &mut PacketPool) -> u32 {
        let key = fragment.key;
        let Begun { pair, source: source_id, progress, lifetime } = self.pairs.begin(&key, self.now);
        let source = &mut self.pairs.sources[source_id];
        source.fragments = source.fragments.wrapping_add(1);
        source.memory += super::DATAGRAM_BYTES;
        let body = self.bodies.take();
        self.bodies[body].state = State {
            source: source_id,
            serial: source.fragments,
            memory: super::DATAGRAM_BYTES,
            next: fragment.next,
            ..State::default()
        };
        self.memory += super::DATAGRAM_BYTES;
        self.counters.datagrams += 1;
        let (created, until) = (self.now, self.now);
        let id = self.entries.insert(Entry { hash, key, body, pair, born: progress, created, until });
        self.entries.remember(key.mixed(), id);
        self.source_links.push(&mut source.datagrams, id);
        let too_many = source.datagrams.len() > self.share_datagrams;
        self.age_links.push(&mut self.ages[usize::from(!key.is_ipv4())], id);
        if self.config.wrap_safe && lifetime < self.timeout(key.is_ipv4()) {
            self.arm(id, lifetime);
        }
        if too_many || self.len() > self.config.max_datagrams {
            self.limit_datagrams(source_id, id, pool);
        }
        id
    }

    /// Others than the newest go, though they may have begun at the same time.
    #[cold]
    fn limit_datagrams(&mut self, source: u32, newest: u32, pool: &mut PacketPool) {
        while self.pairs.sources[source].datagrams.len() > self.share_datagrams {
            let oldest = self.pairs.sources[source].datagrams.first();
            self.evict(oldest, pool);
        }
        while self.len() > self.config.max_datagrams {
            let heads = self.ages.iter().filter_map(|age| age.first()).filter(|&id| id != newest);
            let oldest = heads.min_by_key(|&id| self.entries[id].created);
            self.evict(oldest, pool);
        }
    }

    /// Gives a fragment its place among the others of its datagram; the reason why not may have ended that.
    #[inline(always)]
    fn place(
        &mut self,
        id: u32,
        body_id: u32,
        fragment: &Fragment,
        packet: &mut Skb,
        pool: &mut PacketPool,
    ) -> Result<(), FragmentReason> {
        if let Some(reason) = self.contradiction(body_id, fragment) {
            return Err(self.conflict(id, fragment, reason, pool));
        }
        let body = &mut self.bodies[body_id];
        let owner = body.packets.len();
        if owner >= self.config.max_fragments {
            self.give_up(id, FragmentReason::TooManyFragments, pool);
            return Err(FragmentReason::TooManyFragments);
        }
        let (start, end) = (fragment.start, fragment.start + fragment.len);
        if !body.set.insert_free(start, end, owner as u32) {
            self.resolve(id, fragment, packet, pool)?;
        }
        let charge = charge(packet, &self.config, &mut self.counters, pool);
        if self.make_room(id, body_id, charge, pool) { Ok(()) } else { Err(FragmentReason::Limit) }
    }

    fn policy(&self, fragment: &Fragment) -> OverlapPolicy {
        if fragment.key.is_ipv4() { self.config.overlap } else { self.config.overlap_ipv6 }
    }

    /// What a fragment says that cannot be true together with what others said.
    #[inline(always)]
    fn contradiction(&self, body: u32, fragment: &Fragment) -> Option<FragmentReason> {
        let body = &self.bodies[body];
        let (state, reached) = (&body.state, body.set.end());
        let end = fragment.start + fragment.len;
        if fragment.more {
            if end > state.total {
                return Some(FragmentReason::SizeInconsistency);
            }
        } else if reached > end || (state.total != UNKNOWN && state.total != end) {
            return Some(FragmentReason::SizeInconsistency);
        }
        // Of two that begin the datagram, either may have its first byte in the end.
        let own = if fragment.start == 0 { fragment.counted_header() } else { 0 };
        let header = own.max(state.counted);
        if header + end.max(reached) > LONGEST {
            return Some(FragmentReason::ExcessivelyLarge);
        }
        join::mixed_ecn(state.ecn | fragment.ecn).then_some(FragmentReason::BadEcn)
    }

    /// Whether a fragment that cannot be used ends its datagram. RFCs ask for no more than that it is discarded; Linux ends all
    /// for one without data, and IPv4's for one beyond 65,535.
    pub(super) fn ends_all(&self, key: &FragmentKey, reason: FragmentReason) -> bool {
        let policy = if key.is_ipv4() { self.config.overlap } else { self.config.overlap_ipv6 };
        policy == OverlapPolicy::Linux
            && match reason {
                FragmentReason::ZeroLength => true,
                FragmentReason::ExcessivelyLarge => key.is_ipv4(),
                _ => false,
            }
    }

    /// Ends the datagram of a fragment that cannot be used, where one waits.
    pub(super) fn end_unusable(&mut self, key: &FragmentKey, reason: FragmentReason, pool: &mut PacketPool) {
        let found = self.entries.find(key.hash(self.seed), |entry| entry.key.is(key));
        let waits = |id: &u32| !self.entries[*id].is_tombstone() && self.deadline(*id) > self.now;
        if let Some(id) = found.filter(waits) {
            self.give_up(id, reason, pool);
        }
    }

    /// Policies that resolve overlaps go on without the fragment; the others end the datagram.
    #[cold]
    fn conflict(
        &mut self,
        id: u32,
        fragment: &Fragment,
        reason: FragmentReason,
        pool: &mut PacketPool,
    ) -> FragmentReason {
        if self.policy(fragment).is_strict() {
            self.give_up(id, reason, pool);
        }
        reason
    }

    /// A fragment that overlaps others.
    #[cold]
    fn resolve(
        &mut self,
        id: u32,
        fragment: &Fragment,
        packet: &Skb,
        pool: &mut PacketPool,
    ) -> Result<(), FragmentReason> {
        let policy = self.policy(fragment);
        let (start, end) = (fragment.start, fragment.start + fragment.len);
        let body_id = self.entries[id].body;
        let differs = self.bodies[body_id].differs(fragment, packet);
        let reason = if differs { FragmentReason::Inconsistency } else { FragmentReason::Overlap };
        let owner = self.bodies[body_id].packets.len() as u32;
        match self.bodies[body_id].set.insert(policy, start, end, owner) {
            Inserted::Duplicate if differs && policy == OverlapPolicy::Drop => {
                Err(self.conflict(id, fragment, reason, pool))
            }
            Inserted::Conflict => Err(self.conflict(id, fragment, reason, pool)),
            Inserted::Duplicate => {
                if differs {
                    self.note(fragment.key, reason);
                }
                Err(FragmentReason::Duplicate)
            }
            Inserted::Kept => Ok(()),
            Inserted::Resolved { kept, .. } => {
                self.note(fragment.key, reason);
                if kept == 0 {
                    return Err(FragmentReason::Duplicate);
                }
                self.bodies[body_id].state.overlapped = true;
                Ok(())
            }
        }
    }

    /// Keeps what a fragment says that has its place.
    #[inline(always)]
    pub(super) fn learn(&mut self, body: u32, fragment: &Fragment) {
        let body = &mut self.bodies[body];
        let (state, owner) = (&mut body.state, body.packets.len() as u32);
        // Of several that begin the datagram, the one counts whose bytes it begins with.
        if fragment.start == 0 && body.set.iter().next().is_none_or(|piece| piece.owner == owner) {
            state.first = owner;
            state.counted = fragment.counted_header();
            state.headers = Headers::of(fragment);
        }
        if !fragment.more {
            state.total = fragment.start + fragment.len;
        }
        state.ecn |= fragment.ecn;
        state.largest = state.largest.max(fragment.ip_len());
        if fragment.dont_fragment {
            state.largest_df = state.largest_df.max(fragment.ip_len());
        }
        let other_protocol = state.next != fragment.next;
        self.counters.held += 1;
        if other_protocol {
            self.note(fragment.key, FragmentReason::ProtocolInconsistency);
        }
    }
}

/// What the sender of a first IPv6 fragment is owed that has not all headers.
#[inline(always)]
fn incomplete_chain(fragment: &Fragment, packet: &mut Skb, pool: &mut PacketPool) -> Option<IcmpError> {
    if fragment.key.is_ipv4() {
        return None;
    }
    // The chain is looked for in the first piece.
    packet.linearise(pool);
    let data = packet.head().get(fragment.payload as usize..).unwrap_or_default();
    let whole = chain::is_whole(fragment.next, &data[..data.len().min(fragment.len as usize)]);
    (!whole).then_some(IcmpError::ParameterProblem { code: parameter6::INCOMPLETE_CHAIN, pointer: 0 })
}
