//! A hit: a packet whose connection has a program for it.
use crate::fast::{Fate, Ingress, L3, Look};
use crate::ingress::is_bad;
use crate::node::Node;
use crate::offload::{is_unfinished, mark, segment_len, sum_again};
use crate::port::PortId;
use crate::program::End;
use crate::rewrite::{translate_end, translate_head};
use crate::track::Class;
use netfast_buf::{ChecksumState, Skb};
use netfast_flow::cache::{Entry, Found, NONE};
use netfast_flow::conntrack::{Answered, Status, TcpStays, TcpTrack, Way, track_answered};
use netfast_time::{Duration, Instant};
use netfast_wire::dissect::{dissect, protocol as p};
use netfast_wire::{Frame, Layers, Limits, LinkType};

/// Ethernet and IPv4 headers, which every plain packet has, or the front of an IPv6 header.
pub(crate) const FRONT: usize = L3 + 20;

/// Classes whose packets only renew their timeout: a bit for each.
const RENEWED: u8 = 1 << Class::Udp as u8 | 1 << Class::UdpStream as u8 | 1 << Class::Untracked as u8;

/// Kinds of packets that [`Node::at_once`] is for: all of them, segments of tracked TCP connections, all but those.
pub(crate) const ALL: u8 = 0;
pub(crate) const SEGMENTS: u8 = 1;
pub(crate) const OTHERS: u8 = 2;

impl Node {
    /// What becomes of one packet by the cache, which changes it: [`Fate::Tables`] and nothing changed when they have to be
    /// asked.
    #[inline(never)]
    pub(crate) fn by_cache(
        &mut self,
        now: Instant,
        ingress: &Ingress,
        look: &Look,
        packet: &mut Skb,
    ) -> Fate {
        if !look.is_plain() {
            if is_unfinished(packet) {
                return self.by_cache_unfinished(now, ingress, packet);
            }
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        }
        let mut like = Way::Original;
        if !self.config.verify_checksums
            && let Some((port, wire)) = self.at_once::<ALL>(now, ingress, look, packet, None, &mut like)
        {
            return Fate::Out { port, wire };
        }
        self.by_entry(now, ingress, look, packet, look.ip_len)
    }

    /// As [`Node::by_cache`], of a super-packet, whose segments have to fit the MTU, or of a packet whose checksum is not filled
    /// in. What the tables say of those that begin flows is not kept for them.
    #[inline(never)]
    fn by_cache_unfinished(&mut self, now: Instant, ingress: &Ingress, packet: &mut Skb) -> Fate {
        let Some(look) = self.look_unfinished(&ingress.mac, packet) else {
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        };
        let mut size = look.ip_len;
        if packet.hot.gso_size != 0 {
            size = segment_len(packet, L3 as u32, look.l4() as u32, look.protocol());
        }
        match self.by_entry(now, ingress, &look, packet, size) {
            Fate::Out { port, wire } => Fate::Finish { port, wire },
            Fate::Begins => {
                self.counters.cache.misses += 1;
                Fate::Tables
            }
            Fate::Stale(_) => Fate::Tables,
            fate => fate,
        }
    }

    /// `size` is what has to fit the MTU.
    #[inline(always)]
    pub(crate) fn by_entry(
        &mut self,
        now: Instant,
        ingress: &Ingress,
        look: &Look,
        packet: &mut Skb,
        size: u32,
    ) -> Fate {
        let Some(found) = self.cache.find_at(look.candidate, &look.ends, look.hash) else {
            return Fate::Begins;
        };
        let way = found.way as usize;
        let entry = self.cache.entry(found.entry);
        let id = entry.programs[way];
        if entry.expires <= now.as_nanos() || id == NONE {
            self.counters.cache.misses += 1;
            return Fate::Tables;
        }
        if entry.stamps[way] != self.partitions.epoch && !self.renew(&found, id) {
            self.counters.cache.revalidated += 1;
            return Fate::Stale(found);
        }
        let Some(program) = self.programs.get(id) else { return Fate::Tables };
        if program.in_port != ingress.port || self.config.verify_checksums && self.checksum_unsure(packet) {
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        }
        self.by_program(now, id, ingress, look, &found, packet, size)
    }

    /// The way of most hits: what is known of the packet is right, nothing but its headers changes, and it leaves, by `only`
    /// this port where one is given. `None`, and no byte changed, for all others: they take the long way. Checksums are not
    /// looked at; `like` is the way of the packet before. Of a `KIND` other than [`ALL`] others than those packets are none for it.
    #[inline(always)]
    pub(crate) fn at_once<const KIND: u8>(
        &mut self,
        now: Instant,
        ingress: &Ingress,
        look: &Look,
        packet: &mut Skb,
        only: Option<PortId>,
        like: &mut Way,
    ) -> Option<(PortId, PortId)> {
        let mut hit = self.cache.hit(look.candidate, &look.ends, *like)?;
        *like = hit.way;
        let way = hit.way as usize;
        let slot = self.programs.slot_mut(hit.entry.programs[way])?;
        let [_, to] = slot.ports;
        if hit.entry.stamps[way] != self.partitions.epoch
            || hit.entry.expires <= now.as_nanos()
            || slot.ports != [ingress.port, only.unwrap_or(to)]
            || look.ip_len > slot.mtu
            || look.hop_limit <= 1
        {
            return None;
        }
        // Where others see the headers it gets its own, as it would from the tables.
        let head = packet.own_head(look.reach(), &mut self.pool).ok().filter(|head| head.len() >= FRONT)?;
        let class = hit.entry.class();
        // SCTP, whose checksum is over all of the packet, is of no such class where it is translated.
        let stays = if KIND != OTHERS && hit.entry.is_of_class_with_transport(Class::Tcp as u8) {
            let (way, (header, data)) = (hit.way, segment(look, head)?);
            let track = hit.transport()?;
            if KIND == SEGMENTS {
                track.follow(way, header, data, &self.tcp_stays)?.as_nanos()
            } else {
                go_on_tcp(track, way, header, data, &self.tcp_stays)?
            }
        } else if KIND != SEGMENTS && RENEWED >> class & 1 != 0 {
            self.timeouts[usize::from(class)]
        } else {
            return None;
        };
        let length = u64::from(look.ip_len);
        hit.entry.expires = now.as_nanos().saturating_add(stays);
        hit.entry.packets[way] += 1;
        hit.entry.bytes[way] += length;
        slot.packets += 1;
        slot.bytes += length;
        write_front(head.first_chunk_mut::<FRONT>()?, &slot.ethernet, look);
        if slot.translate {
            let ip = &mut head[L3..];
            let done = match KIND {
                OTHERS => translate_at_once(ip, look, hit.entry, hit.way),
                _ => translate_apart(ip, look, hit.entry, hit.way),
            };
            if !done && let Some(leaving) = hit.leaving() {
                translate_head(ip, look, &leaving);
            }
        }
        packet.hot.timestamp = now;
        packet.trim(L3 as u32 + look.ip_len);
        Some((to, slot.wire))
    }

    /// The first packet of a connection, whose headers are its own, leaves by its program, which ends with an Ethernet header of
    /// 14 bytes; the connection stays for `stays` ns.
    pub(crate) fn send_on(
        &mut self,
        now: Instant,
        id: u32,
        look: &Look,
        found: &Found,
        packet: &mut Skb,
        stays: u64,
    ) -> Option<Fate> {
        self.count_hit(found, id, look, now.as_nanos().saturating_add(stays));
        let slot = self.programs.slot_mut(id)?;
        let fate = Fate::Out { port: slot.ports[1], wire: slot.wire };
        packet.hot.timestamp = now;
        packet.trim(L3 as u32 + look.ip_len);
        let head = packet.headers_mut(look.reach().max(FRONT as u32), &mut self.pool).ok()?;
        write_front(head.first_chunk_mut::<FRONT>()?, &slot.ethernet, look);
        Some(fate)
    }

    #[inline(always)]
    fn count_hit(&mut self, found: &Found, id: u32, look: &Look, expires: u64) {
        let way = found.way as usize;
        let length = u64::from(look.ip_len);
        let entry = self.cache.entry_mut(found.entry);
        entry.expires = expires;
        entry.packets[way] += 1;
        entry.bytes[way] += length;
        self.count_program(id, look.ip_len);
    }

    #[inline(always)]
    pub(crate) fn count_program(&mut self, id: u32, length: u32) {
        if let Some(slot) = self.programs.slot_mut(id) {
            slot.packets += 1;
            slot.bytes += u64::from(length);
        }
    }

    /// A program with all that may be in it.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "what is known of the packet at that point")]
    fn by_program(
        &mut self,
        now: Instant,
        id: u32,
        ingress: &Ingress,
        look: &Look,
        found: &Found,
        packet: &mut Skb,
        size: u32,
    ) -> Fate {
        let Some(program) = self.programs.get(id) else { return Fate::Tables };
        let (end, translate, has_steps) = (program.end, program.translate, !program.steps.is_empty());
        if end == End::Walk {
            self.counters.cache.walked += 1;
            return Fate::Tables;
        }
        // Whatever may refuse the packet comes before anything is changed.
        let fits = end.fits(look.hop_limit, size)
            && (matches!(end, End::Drop { .. }) || packet.headers_mut(look.reach(), &mut self.pool).is_ok());
        let class = self.cache.entry(found.entry).class();
        let timeout = if fits { self.go_on(now, class, look, found, packet) } else { None };
        let Some(timeout) = timeout else {
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        };
        self.count_hit(found, id, look, now.as_nanos().saturating_add(timeout));
        if has_steps && let Some((reason, by)) = self.take_steps(now, id, look, found, packet) {
            self.counters.cache.hits += 1;
            return Fate::Drop(reason, by);
        }
        if let End::Drop { reason, by, .. } = end {
            self.counters.cache.hits += 1;
            return Fate::Drop(reason, by);
        }
        packet.hot.timestamp = now;
        packet.trim(L3 as u32 + look.ip_len);
        self.write_headers(&end, translate, look, found, packet);
        if let End::Output { port, wire, .. } = end {
            return Fate::Out { port, wire };
        }
        self.counters.cache.hits += 1;
        packet.hot.in_port = ingress.port;
        Fate::Deliver
    }

    /// The headers of a packet become what they leave with, by a program's end; they are its own.
    fn write_headers(&mut self, end: &End, translate: bool, look: &Look, found: &Found, packet: &mut Skb) {
        let l3 = L3 as u32;
        if is_unfinished(packet) {
            mark(packet, look.v6(), look.protocol(), l3, look.l4() as u32);
        }
        let leaving = if translate { self.cache.leaving(found.entry, found.way) } else { None };
        let mut moved = false;
        if let Ok(head) = packet.headers_mut(look.reach(), &mut self.pool) {
            let ip = &mut head[L3..];
            moved = leaving.is_some_and(|leaving| translate_head(ip, look, &leaving));
            if matches!(end, End::Output { .. }) {
                netfast_wire::router::decrement_hop_limit(ip);
            }
        }
        if let End::Output { length, ethernet, .. } = end {
            let _ = packet.pop(l3);
            if let Ok(head) = packet.push(u32::from(*length), &mut self.pool) {
                head.copy_from_slice(&ethernet[..usize::from(*length)]);
            }
        }
        self.fix_sctp(look, moved, packet);
        if translate && packet.hot.checksum == ChecksumState::Partial && packet.hot.inner.l4().is_none() {
            // The connection goes on in any case: a packet without such a checksum stays as it is.
            let _ = sum_again(packet, l3, &mut self.pool);
        }
    }

    #[inline]
    fn fix_sctp(&mut self, look: &Look, moved: bool, packet: &mut Skb) {
        if moved && look.protocol() == p::SCTP {
            // Counted from the end: the Ethernet header may have another length now.
            let l4 = packet.len() - (look.ip_len - (look.l4() - L3) as u32);
            self.sum_sctp(packet, l4);
        }
    }

    /// Where checksums are verified, a packet with a wrong one is the tables'.
    #[cold]
    pub(crate) fn checksum_unsure(&self, packet: &Skb) -> bool {
        if !self.tracks {
            return false;
        }
        let frame = Frame { bytes: packet.head(), wire_len: packet.len(), link: LinkType::ETHERNET };
        let mut layers = Layers::default();
        dissect(&frame, &Limits::default(), &mut layers, &mut ());
        is_bad(&layers, packet)
    }

    /// The connection's state goes on with this packet: how long it stays, ns; `None` when the tables have to look.
    fn go_on(&mut self, now: Instant, class: u8, look: &Look, found: &Found, packet: &Skb) -> Option<u64> {
        if class != Class::Tcp as u8 {
            return self.stays(now, class, look, found);
        }
        let (_, transport) = self.cache.entry_and_transport(found.entry);
        let (header, data) = segment(look, packet.head())?;
        go_on_tcp(transport?, found.way, header, data, &self.tcp_stays)
    }

    /// True when [`Node::go_on`] gives a time, which is found out on a copy of what is known.
    pub(crate) fn would_go_on(&self, now: Instant, look: &Look, found: &Found, packet: &Skb) -> bool {
        let class = self.cache.entry(found.entry).class();
        if class != Class::Tcp as u8 {
            return self.stays(now, class, look, found).is_some();
        }
        let track = self.cache.transport(found.entry).copied();
        let passes = |mut track: TcpTrack| {
            segment(look, packet.head()).is_some_and(|(header, data)| track.quick(found.way, header, data))
        };
        track.is_some_and(passes)
    }

    /// How long a connection of a class other than TCP's stays behind a packet, ns; `None` when the tables have to look.
    fn stays(&self, now: Instant, class: u8, look: &Look, found: &Found) -> Option<u64> {
        const UDP_ANSWERED: u8 = Class::UdpAnswered as u8;
        const OTHER: u8 = Class::Other as u8;
        const OTHER_STREAM: u8 = Class::OtherStream as u8;
        match class {
            _ if RENEWED >> class & 1 != 0 => Some(self.timeouts[usize::from(class)]),
            UDP_ANSWERED => {
                let young =
                    Instant::from_nanos(self.cache.cold(found.entry).created) + Duration::from_secs(2);
                (now <= young).then_some(self.timeouts[usize::from(class)])
            }
            OTHER | OTHER_STREAM => {
                let rule = Answered::of(look.protocol())?;
                let status = Status(self.cache.cold(found.entry).status);
                Some(track_answered(rule, status, &self.config.timeouts).timeout.as_nanos())
            }
            _ => None,
        }
    }

    /// True when nothing that the program depends on has changed since it was last right; its stamp is renewed then.
    #[cold]
    fn renew(&mut self, found: &Found, id: u32) -> bool {
        let Some(program) = self.programs.get(id) else { return false };
        let (entry, way) = (self.cache.entry(found.entry), found.way as usize);
        let (stamp, v6) = (entry.stamps[way], entry.ip_version() == 6);
        if self.partitions.changed_for_many(stamp, v6, program.chains)
            || self.partitions.changed_since(stamp, &self.dependencies(found.entry, program))
        {
            return false;
        }
        self.cache.entry_mut(found.entry).stamps[way] = self.partitions.epoch;
        self.counters.cache.refreshed += 1;
        true
    }
}

/// The link header, and a hop less.
#[inline(always)]
fn write_front(front: &mut [u8; FRONT], ethernet: &[u8; L3], look: &Look) {
    front[..L3].copy_from_slice(ethernet);
    if look.v6() {
        front[L3 + 7] = look.hop_limit - 1;
    } else {
        netfast_wire::router::decrement_hop_limit(&mut front[L3..]);
    }
}

/// How long a TCP connection stays behind a segment that needs no look of the tables, ns. It stands alone, so that what is
/// for all kinds of hits has the registers.
#[inline(never)]
fn go_on_tcp(track: &mut TcpTrack, way: Way, header: &[u8; 20], data: u32, stays: &TcpStays) -> Option<u64> {
    track.follow(way, header, data, stays).map(Duration::as_nanos)
}

/// Address, port and checksums of a hit of whose ends one changes; false when that is another one.
#[inline(always)]
fn translate_at_once(ip: &mut [u8], look: &Look, entry: &Entry, way: Way) -> bool {
    let end = entry.one_end(way);
    if let Some(end) = &end {
        translate_end(ip, look, end);
    }
    end.is_some()
}

/// As [`translate_at_once`], for who needs the registers himself.
#[inline(never)]
fn translate_apart(ip: &mut [u8], look: &Look, entry: &Entry, way: Way) -> bool {
    translate_at_once(ip, look, entry, way)
}

/// The header of a TCP segment without its options, and how many bytes of data it has, where that says all of it.
#[inline(always)]
fn segment<'a>(look: &Look, head: &'a [u8]) -> Option<(&'a [u8; 20], u32)> {
    let data = look.data()?;
    let header = head.get(look.l4()..look.l4() + 20)?;
    Some((header.first_chunk()?, data))
}
