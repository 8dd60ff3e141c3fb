//! A hit: a packet whose connection has a program for it.
use crate::fast::{Fate, Ingress, Look};
use crate::ingress::is_bad;
use crate::node::Node;
use crate::program::End;
use crate::rewrite::{other_key, translate_head};
use crate::track::Class;
use netfast_buf::Skb;
use netfast_flow::cache::{Found, NONE};
use netfast_flow::conntrack::{Answered, Status, TcpSegment, TcpTrack, Way, track_answered};
use netfast_time::{Duration, Instant};
use netfast_wire::dissect::{dissect, protocol as p};
use netfast_wire::{Frame, Layers, Limits, LinkType};

/// Bytes of an upper-layer header that a translation may change: of a packet in pieces the first may hold no more.
#[inline(always)]
const fn upper(protocol: u8) -> u32 {
    if protocol == p::TCP { 20 } else { 8 }
}

impl Node {
    /// What becomes of one packet by the cache, which changes it: [`Fate::Tables`] and nothing changed when they have to be
    /// asked.
    #[inline]
    pub(crate) fn by_cache(
        &mut self,
        now: Instant,
        ingress: &Ingress,
        look: &Look,
        packet: &mut Skb,
    ) -> Fate {
        if !look.plain {
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        }
        let Some(found) = self.cache.find_at(look.candidate, &look.key, look.direction, look.hash) else {
            self.counters.cache.misses += 1;
            return Fate::Tables;
        };
        let (nanos, way) = (now.as_nanos(), found.way as usize);
        let entry = self.cache.entry(found.entry);
        let (id, class) = (entry.programs[way], entry.class);
        if entry.expires <= nanos || id == NONE {
            self.counters.cache.misses += 1;
            return Fate::Tables;
        }
        if entry.stamps[way] != self.partitions.epoch && !self.renew(&found, id) {
            self.counters.cache.revalidated += 1;
            return Fate::Tables;
        }
        let Some(slot) = self.programs.slot_mut(id) else { return Fate::Tables };
        let slot = *slot;
        if slot.in_port != ingress.port || self.config.verify_checksums && self.checksum_unsure(packet) {
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        }
        if look.ip_len > slot.mtu || look.hop_limit <= 1 || slot.has_steps || look.l3 != 14 {
            return self.by_program(now, id, ingress, look, &found, packet);
        }
        let Some(timeout) = self.go_on(now, class, look, &found, packet) else {
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        };
        let other = if slot.translate { other_key(&self.cache, &found) } else { None };
        self.count_hit(&found, id, look, nanos.saturating_add(timeout));
        packet.hot.timestamp = now;
        packet.trim(14 + look.ip_len);
        let l4 = usize::from(look.l4);
        let reach = u32::from(look.l4) + upper(look.protocol);
        let Ok(head) = packet.headers_mut(reach, &mut self.pool) else { return Fate::Tables };
        if let Some(link) = head.first_chunk_mut::<14>() {
            *link = slot.ethernet;
        }
        let ip = &mut head[14..];
        let moved = other.as_ref().is_some_and(|other| translate_head(ip, l4 - 14, look, other));
        if look.v6 {
            ip[7] = look.hop_limit - 1;
        } else {
            netfast_wire::router::decrement_hop_limit(ip);
        }
        self.fix_sctp(look, moved, packet);
        Fate::Out { port: slot.port, wire: slot.wire }
    }

    #[inline(always)]
    fn count_hit(&mut self, found: &Found, id: u32, look: &Look, expires: u64) {
        let way = found.way as usize;
        let length = u64::from(look.ip_len);
        let entry = self.cache.entry_mut(found.entry);
        entry.expires = expires;
        entry.packets[way] += 1;
        entry.bytes[way] += length;
        if let Some(slot) = self.programs.slot_mut(id) {
            slot.packets += 1;
            slot.bytes += length;
        }
    }

    /// A program that has steps, or does not end with a plain Ethernet header.
    #[inline(never)]
    fn by_program(
        &mut self,
        now: Instant,
        id: u32,
        ingress: &Ingress,
        look: &Look,
        found: &Found,
        packet: &mut Skb,
    ) -> Fate {
        let Some(program) = self.programs.get(id) else { return Fate::Tables };
        let (end, translate, has_steps) = (program.end, program.translate, !program.steps.is_empty());
        let fits = match end {
            End::Output { mtu, .. } | End::Drop { beyond: Some((_, mtu)), .. } => {
                look.ip_len <= mtu && look.hop_limit > 1
            }
            End::Walk => {
                self.counters.cache.walked += 1;
                return Fate::Tables;
            }
            End::Deliver | End::Drop { beyond: None, .. } => true,
        };
        let class = self.cache.entry(found.entry).class;
        let timeout = if fits { self.go_on(now, class, look, found, packet) } else { None };
        let Some(timeout) = timeout else {
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        };
        self.count_hit(found, id, look, now.as_nanos().saturating_add(timeout));
        if has_steps && let Some((reason, rule)) = self.take_steps(now, id, look, found, packet) {
            self.counters.cache.hits += 1;
            return Fate::Drop(reason, rule);
        }
        packet.hot.timestamp = now;
        let (l3, l4) = (u32::from(look.l3), u32::from(look.l4));
        let (port, wire, count_down) = match end {
            End::Output { port, wire, .. } => (port, wire, true),
            End::Deliver => (ingress.port, ingress.port, false),
            End::Drop { reason, rule, .. } => {
                self.counters.cache.hits += 1;
                return Fate::Drop(reason, rule);
            }
            End::Walk => return Fate::Tables,
        };
        packet.trim(l3 + look.ip_len);
        let reach = l4 + upper(look.protocol);
        let other = if translate { other_key(&self.cache, found) } else { None };
        let Ok(head) = packet.headers_mut(reach, &mut self.pool) else { return Fate::Tables };
        let ip = &mut head[l3 as usize..];
        let moved = other.as_ref().is_some_and(|other| translate_head(ip, (l4 - l3) as usize, look, other));
        if count_down {
            netfast_wire::router::decrement_hop_limit(ip);
        }
        if let End::Output { length, ethernet, .. } = end {
            let _ = packet.pop(l3);
            if let Ok(head) = packet.push(u32::from(length), &mut self.pool) {
                head.copy_from_slice(&ethernet[..usize::from(length)]);
            }
        }
        self.fix_sctp(look, moved, packet);
        if count_down {
            return Fate::Out { port, wire };
        }
        self.counters.cache.hits += 1;
        packet.hot.in_port = ingress.port;
        Fate::Deliver
    }

    #[inline]
    fn fix_sctp(&mut self, look: &Look, moved: bool, packet: &mut Skb) {
        if moved && look.protocol == p::SCTP {
            // Counted from the end: the Ethernet header may have another length now.
            let l4 = packet.len() - (look.ip_len - u32::from(look.l4 - look.l3));
            self.sum_sctp(packet, l4);
        }
    }

    /// Where checksums are verified, a packet with a wrong one is the tables'.
    #[cold]
    fn checksum_unsure(&self, packet: &Skb) -> bool {
        if !self.tracks {
            return false;
        }
        let frame = Frame { bytes: packet.head(), wire_len: packet.len(), link: LinkType::ETHERNET };
        let mut layers = Layers::default();
        dissect(&frame, &Limits::default(), &mut layers, &mut ());
        is_bad(&layers, packet)
    }

    /// The connection's state goes on with this packet: how long it stays, ns; `None` when the tables have to look.
    #[inline(always)]
    fn go_on(&mut self, now: Instant, class: u8, look: &Look, found: &Found, packet: &Skb) -> Option<u64> {
        const TCP: u8 = Class::Tcp as u8;
        const UDP: u8 = Class::Udp as u8;
        const UDP_STREAM: u8 = Class::UdpStream as u8;
        const UNTRACKED: u8 = Class::Untracked as u8;
        match class {
            TCP => self.go_on_tcp(look, found, packet),
            UDP | UDP_STREAM | UNTRACKED => Some(self.timeouts[usize::from(class)]),
            _ => self.go_on_slowly(now, class, look, found),
        }
    }

    #[inline(never)]
    fn go_on_slowly(&self, now: Instant, class: u8, look: &Look, found: &Found) -> Option<u64> {
        const UDP_ANSWERED: u8 = Class::UdpAnswered as u8;
        const OTHER: u8 = Class::Other as u8;
        const OTHER_STREAM: u8 = Class::OtherStream as u8;
        match class {
            UDP_ANSWERED => {
                let young =
                    Instant::from_nanos(self.cache.entry(found.entry).created) + Duration::from_secs(2);
                (now <= young).then_some(self.timeouts[usize::from(class)])
            }
            OTHER | OTHER_STREAM => {
                let rule = Answered::of(look.protocol)?;
                let status = Status(self.cache.entry(found.entry).status);
                Some(track_answered(rule, status, &self.config.timeouts).timeout.as_nanos())
            }
            _ => None,
        }
    }

    #[inline]
    fn go_on_tcp(&mut self, look: &Look, found: &Found, packet: &Skb) -> Option<u64> {
        let (_, transport) = self.cache.entry_and_transport(found.entry);
        let track = transport?;
        if !passes_quickly(track, found.way, look, packet) {
            return None;
        }
        Some(track.timeout(&self.config.tcp).duration(&self.config.tcp.timeouts).as_nanos())
    }

    /// True when a hit's segment needs no look of the tables, which is found out on a copy of what is known.
    pub(crate) fn would_go_on(&self, look: &Look, found: &Found, packet: &Skb) -> bool {
        if self.cache.entry(found.entry).class != Class::Tcp as u8 {
            return true;
        }
        let track = self.cache.transport(found.entry).copied();
        track.is_some_and(|mut track| passes_quickly(&mut track, found.way, look, packet))
    }

    /// True when nothing that the program depends on has changed since it was last right; its stamp is renewed then.
    #[cold]
    fn renew(&mut self, found: &Found, id: u32) -> bool {
        let Some(program) = self.programs.get(id) else { return false };
        let on = self.dependencies(found.entry, program);
        let way = found.way as usize;
        let stamp = self.cache.entry(found.entry).stamps[way];
        if self.partitions.changed_since(stamp, &on) {
            return false;
        }
        self.cache.entry_mut(found.entry).stamps[way] = self.partitions.epoch;
        self.counters.cache.refreshed += 1;
        true
    }
}

/// The way of most segments: an acknowledgment in its window, with nothing that only the tables know.
#[inline(always)]
fn passes_quickly(track: &mut TcpTrack, way: Way, look: &Look, packet: &Skb) -> bool {
    let Some(header) = packet.head().get(usize::from(look.l4)..) else { return false };
    let Some(fixed) = header.first_chunk::<20>() else { return false };
    let length = usize::from(fixed[12] >> 4) * 4;
    let segment = look.ip_len.checked_sub(u32::from(look.l4 - look.l3));
    let Some(payload) = segment.and_then(|segment| segment.checked_sub(length as u32)) else { return false };
    if length > 20 && header.get(20..length).is_none_or(TcpSegment::may_hold_sack) {
        return false;
    }
    let word = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let window = u16::from_be_bytes([fixed[14], fixed[15]]);
    track.quick(way, word(4), word(8), window, fixed[13], payload)
}
