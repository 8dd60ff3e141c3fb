//! Super-packets: packets of a flow that come in together are made one, and one is cut where the port that it leaves by takes
//! none.
//!
//! What a port takes is said by its features, those of `ethtool -k`; software does the rest, always. A packet in pieces is taken by
//! every port: what has to have it in one piece does so itself.
use crate::decide::HookVerdict;
use crate::error::NodeError;
use crate::fast::HookVerdicts;
use crate::node::Node;
use crate::outputs::Outputs;
use crate::port::{PortConfig, PortId};
use crate::reason::DropReason;
use netfast_buf::{ChecksumState, GsoFlags, GsoType, Offsets, PacketBatch, PacketPool, Skb};
use netfast_offload::collate::{Collator, CollatorConfig};
use netfast_offload::features::{FeatureError, FeatureSet, plan};
use netfast_offload::segment::{Checksums, SegmentConfig, Segmenter, finish_checksum, leave_checksum};
use netfast_time::Instant;
use netfast_wire::LinkType;
use netfast_wire::dissect::protocol as p;

/// Cuts packets, with all checksums or with those that a port fills in.
#[derive(Debug)]
pub(crate) struct Segmenters([Segmenter; 2]);

impl Segmenters {
    pub fn new() -> Self {
        Self([Checksums::Full, Checksums::Partial].map(|checksums| {
            Segmenter::new(SegmentConfig { link: LinkType::ETHERNET, checksums, ..SegmentConfig::default() })
        }))
    }
}

/// What is merged as packets come in.
#[derive(Debug, Default)]
pub(crate) struct Collation {
    /// Of the ports that merge, or did and hold packets yet.
    collators: Vec<Merging>,
    /// Packets held.
    pub held: u64,
    /// Memory of what was put out.
    out: Vec<Skb>,
    batch: PacketBatch,
}

#[derive(Debug)]
struct Merging {
    port: PortId,
    collator: Box<Collator>,
    /// Packets merged into others that are counted already.
    counted: u64,
}

/// What of a packet is not as it would be on a link.
#[inline(always)]
pub(crate) fn is_unfinished(packet: &Skb) -> bool {
    packet.hot.gso_size != 0 || packet.hot.checksum == ChecksumState::Partial
}

/// Says where the headers of a super-packet are, and what it is cut into, where nobody has.
pub(crate) fn mark(packet: &mut Skb, v6: bool, protocol: u8, l3: u32, l4: u32) {
    if packet.hot.outer.l3() != Some(l3) || packet.hot.outer.l4().is_none() {
        packet.hot.outer = Offsets::new((l3 > 0).then_some(0), Some(l3), Some(l4));
    }
    if packet.hot.gso_size != 0 && packet.hot.gso_type == GsoType::None {
        packet.hot.gso_type = match protocol {
            p::TCP if v6 => GsoType::Tcp6,
            p::TCP => GsoType::Tcp4,
            p::UDP => GsoType::Udp,
            _ => GsoType::None,
        };
    }
}

/// IP octets of the longest packets that a super-packet stands for, tunnels around them included. `l3` and `l4` are where the
/// outermost headers begin, which is of `protocol`.
pub(crate) fn segment_len(packet: &Skb, l3: u32, l4: u32, protocol: u8) -> u32 {
    const TCP_LENGTH: usize = 12;
    let hot = &packet.hot;
    let inside = hot.inner.l4().filter(|_| hot.gso_flags.has(GsoFlags::TUNNEL));
    let l4 = inside.unwrap_or(l4);
    let is_tcp = match hot.gso_type {
        GsoType::None => protocol == p::TCP,
        kind => kind != GsoType::Udp,
    };
    let header = match packet.head().get(l4 as usize + TCP_LENGTH) {
        Some(byte) if is_tcp => u32::from(byte >> 4) * 4,
        _ if is_tcp => 20,
        _ => 8,
    };
    l4.saturating_sub(l3) + header + u32::from(hot.gso_size)
}

/// The sum of a pseudo-header whose addresses have changed.
pub(crate) fn sum_again(packet: &mut Skb, l3: u32, pool: &mut PacketPool) -> Result<(), ()> {
    let link = if l3 == 0 { LinkType::RAW } else { LinkType::ETHERNET };
    packet.hot.checksum = ChecksumState::Unchecked;
    leave_checksum(packet, link, pool).map_err(|_| ())
}

impl Node {
    /// Says what a port does by itself, as whoever sends and receives for it: see [`PortConfig::features`].
    ///
    /// # Errors
    /// [`NodeError::NoPort`], [`NodeError::Features`], [`NodeError::InheritedFeatures`]; nothing was changed.
    pub fn set_features(&mut self, id: PortId, features: FeatureSet) -> Result<(), NodeError> {
        let port = self.port(id).ok_or(NodeError::NoPort(id))?;
        self.check_features(&PortConfig { features, ..port.config.clone() })?;
        if let Some(Some(port)) = self.ports.get_mut(id as usize) {
            port.config.features = features;
            port.features = features.fixed().0;
        }
        self.set_collation(id)
    }

    /// What is on at a port: of its features those whose needs are met, of a VLAN sub-interface those of its parent.
    ///
    /// # Errors
    /// [`NodeError::NoPort`].
    pub fn features(&self, id: PortId) -> Result<FeatureSet, NodeError> {
        let port = self.port(id).ok_or(NodeError::NoPort(id))?;
        Ok(self.port(port.wire).map_or(port.features, |wire| wire.features))
    }

    /// What is merged at its source and may lose by it must not be sent on, and all that comes in may be.
    pub(crate) fn check_features(&self, config: &PortConfig) -> Result<(), NodeError> {
        if let Some((parent, _)) = config.vlan
            && !config.features.is_empty()
        {
            let parent = self.port_name(parent).to_owned();
            return Err(NodeError::InheritedFeatures { name: config.name.clone(), parent });
        }
        if config.features.has(FeatureSet::LARGE_RECEIVE) {
            return Err(FeatureError::Forwarding.into());
        }
        Ok(())
    }

    /// A port that merges gets its collator; one that does not any more keeps it until what it holds is out.
    pub(crate) fn set_collation(&mut self, id: PortId) -> Result<(), NodeError> {
        let Some(port) = self.port(id) else { return Ok(()) };
        let merges = port.features.has(FeatureSet::GENERIC_RECEIVE);
        let config = CollatorConfig {
            udp: port.features.has(FeatureSet::RX_UDP_GRO_FORWARDING),
            max_hold: port.config.gro_flush_timeout,
            ..CollatorConfig::default()
        };
        let seed = self.config.seed ^ 0x67_72_6f ^ u64::from(id) << 32;
        let make = || -> Result<Merging, NodeError> {
            let collator = Box::new(Collator::new(config, seed, PacketPool::default())?);
            Ok(Merging { port: id, collator, counted: 0 })
        };
        let collators = &mut self.collation.collators;
        match collators.iter().position(|merging| merging.port == id) {
            None if merges => collators.push(make()?),
            Some(at) if collators[at].collator.held() > 0 => {}
            Some(at) if !merges => {
                collators.swap_remove(at);
            }
            Some(at) if *collators[at].collator.config() != config => collators[at] = make()?,
            _ => {}
        }
        Ok(())
    }

    /// True for a port whose packets are merged, or which holds packets that were.
    #[inline(always)]
    pub(crate) fn collates(&self, port: PortId) -> bool {
        !self.collation.collators.is_empty()
            && self.collation.collators.iter().any(|merging| merging.port == port)
    }

    /// Packets that came in by a port, counted: what is put out of them goes on.
    pub(crate) fn push_collated(
        &mut self,
        now: Instant,
        port: PortId,
        packets: &mut PacketBatch,
        verdicts: HookVerdicts<'_>,
        out: &mut Outputs,
    ) {
        let asked = !verdicts.by_packet.is_empty();
        for (at, packet) in packets.packets_mut().iter_mut().enumerate() {
            packet.hot.in_port = port;
            packet.hot.flow = if asked { at as u32 + 1 } else { 0 };
        }
        let merges = self.port(port).is_some_and(|port| port.features.has(FeatureSet::GENERIC_RECEIVE));
        let mut put_out = std::mem::take(&mut self.collation.out);
        let merging = self.collation.collators.iter_mut().find(|merging| merging.port == port);
        let Some(Merging { collator, .. }) = merging else { return };
        if merges {
            collator.handle_batch(now, packets, &mut put_out);
            if asked {
                // What the hook said is of this batch.
                collator.flush(&mut put_out);
            }
        } else {
            collator.flush(&mut put_out);
            put_out.extend(packets.drain());
        }
        self.end_collation(now, port, &mut put_out, verdicts, out);
        self.collation.out = put_out;
    }

    /// Counts what was merged, and sends on what was put out.
    fn end_collation(
        &mut self,
        now: Instant,
        port: PortId,
        put_out: &mut Vec<Skb>,
        verdicts: HookVerdicts<'_>,
        out: &mut Outputs,
    ) {
        self.count_collation();
        let _ = self.set_collation(port);
        let mut batch = std::mem::take(&mut self.collation.batch);
        let mut said: Vec<Option<HookVerdict>> = Vec::new();
        let mut rest = put_out.drain(..).peekable();
        while rest.peek().is_some() {
            said.clear();
            while !batch.is_full()
                && let Some(mut packet) = rest.next()
            {
                let place = std::mem::take(&mut packet.hot.flow).checked_sub(1);
                if !verdicts.by_packet.is_empty() {
                    let verdict = place.and_then(|place| verdicts.by_packet.get(place as usize));
                    said.push(verdict.copied().flatten());
                }
                // It is not full.
                let _ = batch.push(packet);
            }
            self.push_counted(now, port, &mut batch, HookVerdicts { by_packet: &said }, out);
        }
        self.collation.batch = batch;
    }

    fn count_collation(&mut self) {
        self.collation.held = 0;
        for Merging { port, collator, counted } in &mut self.collation.collators {
            let merged = collator.counters().merged;
            let new = merged - std::mem::replace(counted, merged);
            self.collation.held += collator.held() as u64;
            self.counters.absorbed += new;
            if let Some(Some(port)) = self.ports.get_mut(*port as usize) {
                port.counts.merged += new;
            }
        }
        self.count_held();
    }

    /// Packets that were held as long as they may be go on.
    pub(crate) fn poll_collation(&mut self, now: Instant, out: &mut Outputs) {
        for at in (0..self.collation.collators.len()).rev() {
            let Some(merging) = self.collation.collators.get_mut(at) else { continue };
            let (port, mut put_out) = (merging.port, Vec::new());
            merging.collator.poll(now, &mut put_out);
            if !put_out.is_empty() {
                self.end_collation(now, port, &mut put_out, HookVerdicts::default(), out);
            }
        }
    }

    /// When packets have been held as long as they may be.
    pub(crate) fn collation_timeout(&self) -> Option<Instant> {
        self.collation.collators.iter().filter_map(|merging| merging.collator.next_timeout()).min()
    }

    /// Packets that a port holds which is taken away.
    pub(crate) fn drop_collation(&mut self, id: PortId) {
        let Some(at) = self.collation.collators.iter().position(|merging| merging.port == id) else { return };
        let mut merging = self.collation.collators.swap_remove(at);
        let mut put_out = Vec::new();
        merging.collator.flush(&mut put_out);
        for packet in put_out {
            self.drop_packet(self.now, id, packet, DropReason::UnknownPort, None);
        }
        self.count_collation();
    }

    /// A frame goes out as what its port takes: as it is, with its checksum filled in, or cut.
    #[inline]
    pub(crate) fn send_out(
        &mut self,
        now: Instant,
        packet: Skb,
        port: PortId,
        wire: PortId,
        out: &mut Outputs,
    ) {
        if is_unfinished(&packet) {
            self.finish_and_send(now, packet, port, wire, out);
        } else {
            self.sent(now, packet, port, wire, out);
        }
    }

    #[inline(never)]
    fn finish_and_send(
        &mut self,
        now: Instant,
        mut packet: Skb,
        port: PortId,
        wire: PortId,
        out: &mut Outputs,
    ) {
        let features = self.port(wire).map_or(FeatureSet::NONE, |port| port.features);
        let plan = plan(features, &packet);
        let is_super = packet.hot.gso_size != 0;
        if plan.segment {
            let mut segments = Vec::new();
            let segmenter = &mut self.segmenters.0[usize::from(!plan.checksum)];
            match segmenter.segment(packet, &mut self.pool, &mut segments) {
                Ok(count) => self.count_super(port, wire, count as u64),
                Err(refused) => {
                    self.drop_packet(now, port, refused.packet, DropReason::Offload, None);
                    return;
                }
            }
            self.counters.created += segments.len() as u64 - 1;
            for segment in segments {
                self.sent(now, segment, port, wire, out);
            }
            return;
        }
        if plan.checksum && finish_checksum(&mut packet, LinkType::ETHERNET, &mut self.pool).is_err() {
            self.drop_packet(now, port, packet, DropReason::Offload, None);
            return;
        }
        if is_super {
            self.count_super(port, wire, 0);
        }
        self.sent(now, packet, port, wire, out);
    }

    pub(crate) fn count_super(&mut self, port: PortId, wire: PortId, segments: u64) {
        for counted in [port, wire].iter().take(1 + usize::from(port != wire)) {
            if let Some(Some(port)) = self.ports.get_mut(*counted as usize) {
                port.counts.super_packets += 1;
                port.counts.segments += segments;
            }
        }
    }
}
