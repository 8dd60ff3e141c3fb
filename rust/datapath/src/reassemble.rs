//! Whole datagrams from fragments: at once where the node works on whole ones, and of what is for the node itself.
//!
//! As in Linux, where connection tracking puts datagrams together before all chains, and the way to local programs does
//! where nothing was before. A datagram that goes on leaves in fragments like those that it came in.
use crate::config::{NodeConfig, Reassembly};
use crate::counters::CacheCounters;
use crate::decide::{Answer, HookVerdict, Owed};
use crate::emit::Leaving;
use crate::fast::{Fate, Ingress, L3};
use crate::node::Node;
use crate::outputs::Outputs;
use crate::own::ends;
use crate::reason::DropReason;
use crate::subject::{Shape, Subject};
use netfast_buf::{Offsets, Skb};
use netfast_flow::cache::NONE;
use netfast_frag::{Cut, Dropped, FragmentReason, Outcome, Reassembler, ReassemblyConfig};
use netfast_time::Instant;
use netfast_wire::LinkType;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Keeps apart what must not be mixed: fragments that come in, that the node sends, and that were found to be for it.
const OWN: u32 = 1 << 31;
const FOR_THE_NODE: u32 = 1 << 30;

/// The fragments that a datagram came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// IP bytes of the largest.
    pub largest: u32,
    pub identification: u32,
}

/// Datagrams of which fragments have come.
#[derive(Debug)]
pub(crate) struct Datagrams {
    reassembler: Reassembler,
    /// What the hook said of flows that first fragments begin, by the number in [`netfast_buf::HotLine::flow`]. At the
    /// limit of datagrams the oldest is forgotten.
    verdicts: BTreeMap<u32, HookVerdict>,
    asked: u32,
    /// Fragments that wait, and those that became part of others so far.
    pub held: u64,
    joined: u64,
}

impl Datagrams {
    pub fn new(config: &NodeConfig) -> Self {
        let reassembler = Reassembler::new(ReassemblyConfig {
            link: LinkType::ETHERNET,
            seed: config.seed ^ 0x77_68_6f_6c_65,
            verify_checksum: config.verify_checksums,
            max_events: 0,
            report_completed: false,
            // They are taken after each packet: those that waited are no more than the limits let wait.
            max_dropped: usize::MAX,
            ..config.fragments.clone()
        });
        Self { reassembler, verdicts: BTreeMap::new(), asked: 0, held: 0, joined: 0 }
    }

    /// When a datagram has waited too long.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.reassembler.next_timeout()
    }

    fn keep_verdict(&mut self, packet: &mut Skb, verdict: Option<HookVerdict>) {
        packet.hot.flow = 0;
        let Some(verdict) = verdict else { return };
        if self.verdicts.len() >= self.reassembler.config().max_datagrams {
            self.verdicts.pop_first();
        }
        self.asked = self.asked.wrapping_add(1).max(1);
        self.verdicts.insert(self.asked, verdict);
        packet.hot.flow = self.asked;
    }

    fn take_verdict(&mut self, packet: &mut Skb) -> Option<HookVerdict> {
        self.verdicts.remove(&std::mem::take(&mut packet.hot.flow))
    }
}

/// A packet that no fragments of are missing.
#[derive(Debug)]
pub(crate) struct Whole {
    pub packet: Skb,
    /// None of a packet that was whole when it came.
    pub pieces: Option<Pieces>,
    /// What the hook said of the flow that its first fragment begins.
    pub hook: Option<HookVerdict>,
}

impl Node {
    /// True where the node works on whole datagrams.
    pub(crate) fn works_on_whole(&self) -> bool {
        match self.config.reassembly {
            Reassembly::Auto => self.tracks,
            Reassembly::Full => true,
            Reassembly::Virtual | Reassembly::Off => false,
        }
    }

    /// True for a fragment that waits for the others of its datagram before anything else is done.
    pub(crate) fn wants_whole(&self, subject: &Subject<'_>) -> bool {
        subject.is_fragment() && (self.works_on_whole() || self.is_for_the_node(subject))
    }

    /// True when a packet is for the node unless its destination is translated.
    fn is_for_the_node(&self, subject: &Subject<'_>) -> bool {
        match destination(subject) {
            IpAddr::V4(to) if to.is_multicast() => to.octets()[..3] == [224, 0, 0],
            IpAddr::V6(to) if to.is_multicast() => to.octets()[1] & 15 <= 2,
            to => to == IpAddr::V4(Ipv4Addr::BROADCAST) || self.owns(to) || self.is_directed_broadcast(to),
        }
    }

    /// Takes a fragment that came in, or that the node sends; gives the datagram that is whole now.
    pub(crate) fn collect(
        &mut self,
        now: Instant,
        mut packet: Skb,
        shape: &Shape,
        context: u32,
        hook: Option<HookVerdict>,
        out: &mut Outputs,
    ) -> Option<Whole> {
        packet.hot.outer = Offsets::new((shape.l3 > 0).then_some(0), Some(shape.l3), None);
        packet.hot.in_port = shape.in_port.unwrap_or(crate::port::NO_PORT);
        self.datagrams.keep_verdict(&mut packet, hook);
        let outcome = self.datagrams.reassembler.handle_packet(now, context, packet, &mut self.pool);
        let whole = match outcome {
            Outcome::Held => None,
            Outcome::Complete(whole) => {
                let identification = whole.key.identification();
                let pieces = Some(Pieces { largest: whole.largest_fragment, identification });
                Some((whole.packet, pieces))
            }
            Outcome::Atomic(packet) | Outcome::NotFragment(packet) => Some((packet, None)),
            Outcome::Dropped(dropped) => {
                self.drop_fragment(now, dropped, out);
                None
            }
        };
        let whole = whole.map(|(mut packet, pieces)| {
            let hook = self.datagrams.take_verdict(&mut packet);
            Whole { packet, pieces, hook }
        });
        self.end_datagrams(now, out);
        whole
    }

    /// A datagram of a connection with a program needs no tables, as a packet that came whole; the others are given back. Under
    /// `verify` all are: what is compared there does not leave in fragments.
    pub(crate) fn whole_by_cache(
        &mut self,
        now: Instant,
        mut whole: Whole,
        out: &mut Outputs,
    ) -> Option<Whole> {
        let packet = &mut whole.packet;
        let (Some(pieces), None, None) = (whole.pieces, whole.hook, &self.verify) else { return Some(whole) };
        let Some(port) = self.port(packet.hot.in_port) else { return Some(whole) };
        let ingress = Ingress { port: packet.hot.in_port, mac: port.config.mac };
        let Some(look) = self.look_unfinished(&ingress.mac, packet) else { return Some(whole) };
        let counted = self.counters.cache;
        let before = ends_behind(packet, L3 as u32);
        let fate = self.by_entry(now, &ingress, &look, packet, pieces.largest);
        let (Fate::Out { .. } | Fate::Deliver | Fate::Drop(..)) = fate else {
            // Its last fragment is counted already as one that is not for the cache.
            self.counters.cache = CacheCounters { refreshed: self.counters.cache.refreshed, ..counted };
            return Some(whole);
        };
        self.counters.cache.hits = counted.hits + 1;
        self.counters.cache.uncached -= 1;
        let mut packet = whole.packet;
        match fate {
            Fate::Out { port, .. } => {
                let mac = packet.head().first_chunk().copied();
                let _ = packet.pop(packet.len() - look.ip_len);
                let identification = match ends_behind(&packet, 0) {
                    Some((IpAddr::V6(from), IpAddr::V6(to))) if before != Some((from.into(), to.into())) => {
                        self.identifications.next_ipv6(from, to)
                    }
                    _ => pieces.identification,
                };
                let cut = Cut { mtu: pieces.largest, identification, ignore_df: true };
                // The program says itself that its neighbour is in use.
                let next = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                let way = Leaving { port, next, mac, neighbour: NONE };
                self.leave_in_fragments(now, packet, cut, way, out);
            }
            Fate::Drop(reason, by) => self.drop_packet(now, ingress.port, packet, reason, by),
            _ => {
                self.counters.local += 1;
                out.deliver(packet);
            }
        }
        None
    }

    /// A fragment that cannot be used. Who would have put the datagram together tells its sender (RFC 8200 4.5): the node
    /// only of what is for itself.
    fn drop_fragment(&mut self, now: Instant, dropped: Dropped, out: &mut Outputs) {
        let Dropped { packet, reason, error } = dropped;
        if let Some(error) = error {
            self.answer_fragment(now, &packet, Owed::Icmp(error), out);
        }
        self.end_fragment(now, packet, reason);
    }

    fn end_fragment(&mut self, now: Instant, mut packet: Skb, reason: FragmentReason) {
        let _ = self.datagrams.take_verdict(&mut packet);
        let port = packet.hot.in_port;
        self.drop_packet(now, port, packet, reason.into(), None);
    }

    fn answer_fragment(&mut self, now: Instant, packet: &Skb, owed: Owed, out: &mut Outputs) {
        let Some(port) = self.port(packet.hot.in_port) else { return };
        let own = port.config.mac;
        let mut subject = Subject::new(packet, LinkType::ETHERNET, Some(packet.hot.in_port), now);
        if !packet.head().starts_with(&own) {
            subject.packet_type = netfast_filter::facts::PacketType::Multicast;
        }
        if self.is_for_the_node(&subject) {
            let shape = subject.shape();
            self.answer(now, packet, &shape, Answer { owed, counted_down: false }, None, out);
        }
    }

    /// Datagrams that waited too long, and fragments that waited for others and are given up: the first fragment of what is
    /// for the node is answered (RFC 792, RFC 1122 3.3.2, RFC 8200 4.5).
    pub(crate) fn end_datagrams(&mut self, now: Instant, out: &mut Outputs) {
        while let Some(expired) = self.datagrams.reassembler.poll_timeout(now, &mut self.pool) {
            let Some(first) = expired.first else { continue };
            if expired.reason == FragmentReason::Timeout {
                let owed = Owed::Icmp(netfast_wire::router::IcmpError::ReassemblyTimeExceeded);
                self.answer_fragment(now, &first, owed, out);
            }
            self.end_fragment(now, first, expired.reason);
        }
        while let Some((packet, reason)) = self.datagrams.reassembler.poll_dropped() {
            self.end_fragment(now, packet, reason);
        }
        let counters = self.datagrams.reassembler.counters();
        self.counters.absorbed += counters.joined - self.datagrams.joined;
        (self.datagrams.joined, self.datagrams.held) = (counters.joined, counters.held);
        self.count_held();
    }

    /// A packet for the node that is a fragment yet: its destination was translated, or fragments follow their first here.
    pub(crate) fn collect_for_the_node(
        &mut self,
        now: Instant,
        packet: Skb,
        shape: &Shape,
        out: &mut Outputs,
    ) -> Option<(Skb, Shape)> {
        let whole = self.collect(now, packet, shape, FOR_THE_NODE, None, out)?;
        let mut packet = whole.packet;
        self.gather_headers(&mut packet);
        let link = if shape.l3 > 0 { LinkType::ETHERNET } else { LinkType::RAW };
        let subject = Subject::new(&packet, link, shape.in_port, now);
        let shape = Shape { link_unicast: shape.link_unicast, ..subject.shape() };
        Some((packet, shape))
    }
}

/// Datagrams are the same wherever their fragments come in, unless their addresses mean something else at each port (RFC 4007
/// 6).
pub(crate) fn context(subject: &Subject<'_>) -> u32 {
    let Some(port) = subject.in_port else { return OWN };
    let scoped = |address: [u8; 16]| {
        let address = Ipv6Addr::from(address);
        address.is_unicast_link_local() || address.is_multicast()
    };
    let layers = &subject.layers;
    if subject.v6() && (scoped(layers.src) || scoped(layers.dst)) { port.wrapping_add(1) } else { 0 }
}

/// Addresses of the IP packet at `l3`.
fn ends_behind(packet: &Skb, l3: u32) -> Option<(IpAddr, IpAddr)> {
    ends(packet.head().get(l3 as usize..)?)
}

fn destination(subject: &Subject<'_>) -> IpAddr {
    crate::trace::show(&subject.layers.dst)
}

impl From<FragmentReason> for DropReason {
    fn from(reason: FragmentReason) -> Self {
        use FragmentReason as F;
        match reason {
            F::Overlap => Self::FragmentOverlap,
            F::Inconsistency | F::ProtocolInconsistency => Self::FragmentInconsistency,
            F::SizeInconsistency => Self::FragmentSizeInconsistency,
            F::ExcessivelyLarge => Self::FragmentExcessivelyLarge,
            F::Timeout => Self::FragmentTimeout,
            F::Wraparound => Self::FragmentWraparound,
            F::Disorder => Self::FragmentDisorder,
            F::Limit => Self::FragmentLimit,
            F::TooManyFragments => Self::TooManyFragments,
            F::Tombstone => Self::FragmentTombstone,
            F::Duplicate => Self::FragmentDuplicate,
            F::BadLength | F::ExcessivelySmall => Self::FragmentBadLength,
            F::ZeroLength => Self::FragmentZeroLength,
            F::Truncated => Self::Truncated,
            F::BadChecksum => Self::HeaderChecksum,
            F::HeaderChainIncomplete => Self::FragmentHeaderChain,
            F::Jumbogram => Self::FragmentJumbogram,
            F::TooDeep => Self::TooManyHeaders,
            F::BadEcn => Self::FragmentBadEcn,
            F::SuspectedMisassociation => Self::FragmentMisassociation,
            _ => Self::Malformed,
        }
    }
}
