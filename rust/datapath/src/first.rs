//! The first packet of a flow, and the first after a change, by what is known of its class.
//!
//! The connection is entered and the program set as the tables would have it; the packet goes on as a hit. Whatever is
//! unusual about it is left to the tables, and nothing was changed then.
use crate::counters::CacheCounters;
use crate::event::Event;
use crate::fast::{Fate, Ingress, L3, Look};
use crate::hit::FRONT;
use crate::known::{Ends, Moment, is_settled};
use crate::node::Node;
use crate::program::End;
use crate::track::{Begin, Class, UNTRACKED, inverse};
use netfast_buf::Skb;
use netfast_fib::HopId;
use netfast_flow::cache::{Found, NONE};
use netfast_flow::conntrack::{State, Status, Way};
use netfast_time::Instant;
use netfast_wire::dissect::protocol as p;

impl Node {
    /// What becomes of a packet that the cache does not know, or not as the tables are now, by its class; the tables' if
    /// that is not known, or if a hook was `asked` about the flow.
    #[inline(never)]
    pub(crate) fn by_class(
        &mut self,
        now: Instant,
        ingress: &Ingress,
        look: &Look,
        packet: &mut Skb,
        fate: Fate,
        asked: bool,
    ) -> Fate {
        match fate {
            Fate::Begins if !asked => self.begin_by_class(now, ingress, look, packet),
            Fate::Begins => {
                self.counters.cache.misses += 1;
                Fate::Tables
            }
            Fate::Stale(found) if self.renew_by_class(ingress, look, &found) => {
                // It was counted as what is decided anew.
                let counted = self.counters.cache;
                let fate = self.by_cache(now, ingress, look, packet);
                self.counters.cache = CacheCounters { refreshed: self.counters.cache.refreshed, ..counted };
                fate
            }
            Fate::Stale(_) => Fate::Tables,
            fate => fate,
        }
    }

    /// The first packet of a flow; [`Fate::Tables`] when it is theirs.
    fn begin_by_class(&mut self, now: Instant, ingress: &Ingress, look: &Look, packet: &mut Skb) -> Fate {
        let begun = self.try_begin(now, ingress, look, packet);
        match begun {
            Some(_) => self.counters.cache.known += 1,
            None => self.counters.cache.misses += 1,
        }
        begun.unwrap_or(Fate::Tables)
    }

    fn try_begin(&mut self, now: Instant, ingress: &Ingress, look: &Look, packet: &mut Skb) -> Option<Fate> {
        if look.hop_limit <= 1 {
            return None;
        }
        let (key, direction) = look.ends.ordered();
        let ends = Ends::of_key(&key, direction);
        let (id, status, hop) = self.known_program(ingress.port, &ends, &key, &Moment::FIRST)?;
        let end = self.programs.get(id)?.end;
        let longest = match end {
            End::Output { mtu, .. } | End::Drop { beyond: Some((_, mtu)), .. } => mtu,
            _ => u32::MAX,
        };
        let beginning = self.beginning(look, packet).filter(|_| look.ip_len <= longest)?;
        if self.config.verify_checksums && self.checksum_unsure(packet) {
            return None;
        }
        if let End::Drop { reason, by, .. } = end {
            self.count_program(id, look.ip_len);
            return Some(Fate::Drop(reason, by));
        }
        // A translated connection may have the tuple for its replies alone.
        if self.cache.translated() > 0 && self.cache.find(&key, direction.opposite(), look.hash).is_some() {
            return None;
        }
        packet.headers_mut(look.reach().max(FRONT as u32), &mut self.pool).ok()?;
        if self.cache.is_full() && !self.early_drop(now, true) {
            return None;
        }
        let at = self.cache.insert((key, direction), None, beginning.transport, now.as_nanos())?;
        self.cache.entry_mut(at).set_class(beginning.class as u8);
        self.cache.cold_mut(at).status = Status(status).with(Status::CONFIRMED).0;
        let found = Found { entry: at, way: Way::Original };
        self.use_program(&found, id, hop);
        let serial = self.cache.serial(at);
        self.events.offer(now, || {
            let original = key.tuple(direction);
            Event::NewConnection { id: serial, original, reply: inverse(&original) }
        });
        self.send_on(now, id, look, &found, packet, beginning.timeout.as_nanos())
    }

    /// The connection that a packet begins; `None` when it begins none, or when more has to be looked at.
    fn beginning(&self, look: &Look, packet: &Skb) -> Option<Begin> {
        let header = packet.head().get(look.l4()..)?;
        let length = look.ip_len.checked_sub((look.l4() - L3) as u32)?;
        let sound = match look.protocol() {
            p::UDP => {
                let [_, _, _, _, high, low, _, _] = *header.first_chunk::<8>()?;
                (8..=length).contains(&u32::from(u16::from_be_bytes([high, low])))
            }
            protocol => protocol == p::TCP,
        };
        if sound { Begin::of(look.protocol(), header, length, &self.config) } else { None }
    }

    /// A connection's way gets another program when something has changed, if its class is known; false when the tables
    /// have to say.
    fn renew_by_class(&mut self, ingress: &Ingress, look: &Look, found: &Found) -> bool {
        let (entry, cold, way) = (self.cache.entry(found.entry), self.cache.cold(found.entry), found.way);
        let (status, mark) = (cold.status, cold.mark);
        let settled = is_settled(Status(status), way);
        let slow = entry.class() == Class::Slow as u8;
        if slow
            || entry.is_translated()
            || status & UNTRACKED != 0
            || !settled
            || !matches!(look.protocol(), p::UDP | p::TCP)
        {
            return false;
        }
        let hop = self.cache.hops(found.entry)[way as usize];
        let moment = Moment {
            state: State::of(way, Status(status).has(Status::SEEN_REPLY)),
            way,
            status,
            mark,
            hop: (hop != NONE).then(|| HopId::from_bits(hop)),
        };
        let (key, direction) = look.ends.ordered();
        let ends = Ends::of_key(&key, direction);
        let Some((id, _, hop)) = self.known_program(ingress.port, &ends, &key, &moment) else {
            return false;
        };
        self.use_program(found, id, hop);
        true
    }

    /// A connection's way has a known program, and goes to that hop.
    fn use_program(&mut self, found: &Found, id: u32, hop: HopId) {
        self.programs.share(id);
        self.place_program(found.entry, found.way, id);
        if self.cache.hops(found.entry)[found.way as usize] != hop.to_bits() {
            self.cache.set_hop(found.entry, found.way, hop.to_bits());
        }
    }
}
