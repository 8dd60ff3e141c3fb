//! A fragment finds its datagram and its place in it.
use super::Reassembler;
use super::entry::{Entry, Place, UNKNOWN};
use super::join::{self, Headers};
use crate::chain;
use crate::outcome::{Outcome, Reassembled};
use crate::overlap::{Inserted, OverlapPolicy};
use crate::packet::{Fragment, LONGEST, problem4};
use crate::reason::FragmentReason;
use netfast_buf::{PacketPool, Skb};
use netfast_time::Duration;
use netfast_wire::router::{IcmpError, parameter6};

impl Reassembler {
    /// Takes a fragment; the error is the datagram that it completes.
    #[expect(clippy::result_large_err, reason = "a whole datagram is no error, but where the caller goes on")]
    #[inline]
    pub(super) fn insert(
        &mut self,
        fragment: &Fragment,
        mut packet: Skb,
        pool: &mut PacketPool,
    ) -> Result<Outcome, Reassembled> {
        let mut fragment = *fragment;
        if let Some((reason, error)) = self.look_at(&mut fragment, &mut packet, pool) {
            return Ok(self.drop_packet(packet, Some(fragment.key), reason, error));
        }
        packet.trim(fragment.payload + fragment.len);
        let hash = fragment.key.hash(self.seed);
        let placed = self
            .datagram_of(&fragment, hash, pool)
            .and_then(|id| self.place(id, &fragment, &mut packet, pool).map(|()| id));
        let id = match placed {
            Ok(id) => id,
            Err(reason) => return Ok(self.drop_packet(packet, Some(fragment.key), reason, None)),
        };
        self.hold(id, &fragment, packet);
        let entry = &self.entries[id];
        // No position is covered twice, so all are where the sum is right.
        if u64::from(entry.total) == self.bodies[entry.body].set.covered() {
            return Err(self.complete(id, pool));
        }
        Ok(Outcome::Held)
    }

    /// What can be told of a fragment alone.
    #[inline(always)]
    fn look_at(
        &mut self,
        fragment: &mut Fragment,
        packet: &mut Skb,
        pool: &mut PacketPool,
    ) -> Option<(FragmentReason, Option<IcmpError>)> {
        if fragment.more && !fragment.len.is_multiple_of(8) {
            // Linux cuts such fragments of IPv4 instead; those of IPv6 did not come so far.
            if self.config.overlap != OverlapPolicy::Linux {
                return Some((FragmentReason::BadLength, Some(problem4(2))));
            }
            fragment.len &= !7;
            if fragment.len == 0 {
                return Some((FragmentReason::ZeroLength, None));
            }
        }
        if fragment.more && fragment.len < self.config.min_fragment {
            self.note(fragment.key, FragmentReason::ExcessivelySmall);
        }
        if fragment.dont_fragment {
            self.note(fragment.key, FragmentReason::WithDf);
        }
        if fragment.start == 0 && !fragment.key.is_ipv4() {
            // The chain is looked for in the first piece.
            packet.linearise(pool);
            let data = packet.head().get(fragment.payload as usize..).unwrap_or_default();
            if !chain::is_whole(fragment.next, &data[..data.len().min(fragment.len as usize)]) {
                let problem = IcmpError::ParameterProblem { code: parameter6::INCOMPLETE_CHAIN, pointer: 0 };
                return Some((FragmentReason::HeaderChainIncomplete, Some(problem)));
            }
        }
        None
    }

    /// The datagram that a fragment belongs to, begun where there is none.
    #[inline(always)]
    fn datagram_of(
        &mut self,
        fragment: &Fragment,
        hash: u64,
        pool: &mut PacketPool,
    ) -> Result<u32, FragmentReason> {
        let Some(id) = self.entries.find(hash, |entry| entry.key == fragment.key) else {
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

    /// Whether too many other fragments of the source came since the last one of this datagram.
    #[inline(always)]
    fn is_too_far(&mut self, id: u32) -> bool {
        let entry = &mut self.entries[id];
        let source = &mut self.sources[entry.source];
        source.fragments = source.fragments.wrapping_add(1);
        let distance = source.fragments.wrapping_sub(entry.serial);
        entry.serial = source.fragments;
        entry.key.is_ipv4() && self.config.max_disorder > 0 && distance > self.config.max_disorder
    }

    fn begin(&mut self, fragment: &Fragment, hash: u64, pool: &mut PacketPool) -> u32 {
        let key = fragment.key;
        let mut entry = Entry::new(hash, key, self.now);
        entry.body = self.bodies.take();
        entry.source = self.sources.begin(&key);
        entry.next = fragment.next;
        entry.memory = super::DATAGRAM_BYTES;
        let source_id = entry.source;
        let source = &mut self.sources[source_id];
        source.fragments = source.fragments.wrapping_add(1);
        source.memory += super::DATAGRAM_BYTES;
        entry.serial = source.fragments;
        let mut lifetime = Duration::MAX;
        if self.config.wrap_safe {
            entry.pair = self.pairs.begin(&key, self.now);
            entry.born = self.pairs.progress(entry.pair);
            lifetime = self.pairs.lifetime(entry.pair);
        }
        self.memory += super::DATAGRAM_BYTES;
        self.counters.datagrams += 1;
        let id = self.entries.insert(entry);
        self.source_links.push(&mut self.sources[source_id].datagrams, id);
        self.age_links.push(&mut self.ages[usize::from(!key.is_ipv4())], id);
        if lifetime < self.timeout(key.is_ipv4()) {
            self.arm(id, lifetime);
        }
        self.limit_datagrams(source_id, pool);
        id
    }

    /// It is the newest, so that others go.
    fn limit_datagrams(&mut self, source: u32, pool: &mut PacketPool) {
        let share = (self.config.max_datagrams / self.config.source_share).max(1);
        while self.sources[source].datagrams.len() > share {
            let oldest = self.sources[source].datagrams.first();
            self.evict(oldest, pool);
        }
        while self.len() > self.config.max_datagrams {
            self.evict(self.oldest(), pool);
        }
    }

    /// Gives a fragment its place among the others of its datagram; the reason why not may have ended that.
    #[inline(always)]
    fn place(
        &mut self,
        id: u32,
        fragment: &Fragment,
        packet: &mut Skb,
        pool: &mut PacketPool,
    ) -> Result<(), FragmentReason> {
        if let Some(reason) = self.contradiction(id, fragment) {
            return Err(self.conflict(id, fragment, reason, pool));
        }
        let entry = &self.entries[id];
        let policy = self.policy(fragment);
        let body = &mut self.bodies[entry.body];
        let owner = body.packets.len();
        if owner >= self.config.max_fragments {
            self.give_up(id, FragmentReason::TooManyFragments, pool);
            return Err(FragmentReason::TooManyFragments);
        }
        let (start, end) = (fragment.start, fragment.start + fragment.len);
        if start < body.set.end() && body.set.overlapping(start, end).next().is_some() {
            self.resolve(id, fragment, packet, pool)?;
        } else {
            let inserted = body.set.insert(policy, start, end, owner as u32);
            debug_assert_eq!(inserted, Inserted::Kept);
        }
        let charge = self.charge(packet, pool);
        if self.make_room(id, charge, pool) { Ok(()) } else { Err(FragmentReason::Limit) }
    }

    fn policy(&self, fragment: &Fragment) -> OverlapPolicy {
        if fragment.key.is_ipv4() { self.config.overlap } else { self.config.overlap_ipv6 }
    }

    /// What a fragment says that cannot be true together with what others said.
    #[inline(always)]
    fn contradiction(&self, id: u32, fragment: &Fragment) -> Option<FragmentReason> {
        let entry = &self.entries[id];
        let end = fragment.start + fragment.len;
        let reached = self.bodies[entry.body].set.end();
        if fragment.more {
            if end > entry.total {
                return Some(FragmentReason::SizeInconsistency);
            }
        } else if reached > end || (entry.total != UNKNOWN && entry.total != end) {
            return Some(FragmentReason::SizeInconsistency);
        }
        let header = if fragment.start == 0 { fragment.counted_header() } else { entry.header };
        if header + end.max(reached) > LONGEST {
            return Some(FragmentReason::ExcessivelyLarge);
        }
        join::mixed_ecn(entry.ecn | fragment.ecn).then_some(FragmentReason::BadEcn)
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
                self.entries[id].overlapped = true;
                Ok(())
            }
        }
    }

    /// Keeps a fragment that has its place.
    #[inline(always)]
    fn hold(&mut self, id: u32, fragment: &Fragment, packet: Skb) {
        let entry = &mut self.entries[id];
        let body = &mut self.bodies[entry.body];
        if fragment.start == 0 {
            entry.first = body.packets.len() as u32;
            entry.header = fragment.counted_header();
            entry.first_place = Headers::of(fragment);
        }
        if !fragment.more {
            entry.total = fragment.start + fragment.len;
        }
        entry.ecn |= fragment.ecn;
        entry.largest = entry.largest.max(fragment.ip_len());
        if fragment.dont_fragment {
            entry.largest_df = entry.largest_df.max(fragment.ip_len());
        }
        let other_protocol = entry.next != fragment.next;
        body.packets.push(packet);
        body.places.push(Place { start: fragment.start, payload: fragment.payload });
        self.counters.held += 1;
        if other_protocol {
            self.note(fragment.key, FragmentReason::ProtocolInconsistency);
        }
    }
}
