//! From packets to the kernel.
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::OwnedFd;

use netfast_buf::{GsoFlags, GsoType, PacketPool, Skb};
use netfast_offload::features::{FeatureSet, Plan, VirtioFeatures, plan};
use netfast_offload::segment::{
    Checksums, SegmentConfig, SegmentCounters, SegmentError, Segmenter, finish_checksum,
};
use netfast_wire::LinkType;
use rustix::io::{Errno, writev};

use super::receive::{IPV4, IPV6};
use super::{ETHERNET, Tun, TunKind, failed};
use crate::device::{DeviceError, DeviceReason};

/// Super-packets of a kind that the kernel may refuse in a row before none is offered any more: a single one may have been
/// refused for itself.
pub const GSO_REFUSALS: u8 = 4;

/// The longest packet that is written: what a length in an IPv4 header can say, and an IPv6 header before it.
const LONGEST: u32 = 65_535;

/// Pieces of a packet that are written without allocating: head, block, two large blocks, two pushed headers.
const PIECES: usize = 6;

/// Hands one packet to the kernel.
pub(super) type Write = fn(&OwnedFd, &Skb) -> Result<(), Errno>;

/// The packet that is being sent: itself, or the segments that it was cut into, at most
/// [`SegmentConfig::segments`].
pub(super) struct Outgoing {
    pieces: VecDeque<Skb>,
    /// Bytes of the frame.
    bytes: u64,
    /// Why a part of it was dropped.
    dropped: Option<DeviceReason>,
    segmenter: Segmenter,
    cut: Vec<Skb>,
    /// Refusals in a row, by [`GsoType`].
    refusals: [u8; 4],
    pub gso_refused: u64,
    /// [`write`], unless a test has a kernel of its own.
    pub write: Write,
}

impl Outgoing {
    pub fn new(link: LinkType, virtio: bool) -> Self {
        let checksums = if virtio { Checksums::Partial } else { Checksums::Full };
        let config = SegmentConfig { link, checksums, ..SegmentConfig::default() };
        Self {
            pieces: VecDeque::new(),
            bytes: 0,
            dropped: None,
            segmenter: Segmenter::new(config),
            cut: Vec::new(),
            refusals: [0; 4],
            gso_refused: 0,
            write,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn segmented(&self) -> SegmentCounters {
        *self.segmenter.counters()
    }

    /// The kernel is still offered super-packets of this kind.
    fn takes(&self, kind: GsoType) -> bool {
        self.refusals[kind as usize] < GSO_REFUSALS
    }

    /// What the sender may leave to us, and what comes in merged.
    pub fn features(&self, virtio: bool, offloads: VirtioFeatures) -> FeatureSet {
        let mut features = FeatureSet::SCATTER_GATHER;
        if !virtio {
            return features;
        }
        features = features.with(FeatureSet::TX_CHECKSUM_IP_GENERIC);
        for (kind, feature) in [
            (GsoType::Tcp4, FeatureSet::TX_TCP_SEGMENTATION),
            (GsoType::Tcp4, FeatureSet::TX_TCP_ECN_SEGMENTATION),
            (GsoType::Tcp6, FeatureSet::TX_TCP6_SEGMENTATION),
            (GsoType::Udp, FeatureSet::TX_UDP_SEGMENTATION),
        ] {
            if self.takes(kind) {
                features = features.with(feature);
            }
        }
        for (bits, feature) in [
            (VirtioFeatures::GUEST_CSUM, FeatureSet::RX_CHECKSUM),
            (VirtioFeatures::GUEST_TSO4.with(VirtioFeatures::GUEST_TSO6), FeatureSet::RX_GRO_HW),
        ] {
            if offloads.has(bits) {
                features = features.with(feature);
            }
        }
        features
    }

    /// Puts the segments of a packet before what is left to be sent.
    fn segment(&mut self, packet: Skb, pool: &mut PacketPool) -> Result<(), SegmentError> {
        match self.segmenter.segment(packet, pool, &mut self.cut) {
            Ok(_) => {
                while let Some(segment) = self.cut.pop() {
                    self.pieces.push_front(segment);
                }
                Ok(())
            }
            Err(refused) => {
                pool.recycle(refused.packet);
                Err(refused.error)
            }
        }
    }
}

impl Tun {
    /// Makes of a frame what is to be written, and takes it over. When nothing is, it was dropped and counted.
    pub(super) fn prepare(&mut self, mut packet: Skb, pool: &mut PacketPool) {
        (self.outgoing.bytes, self.outgoing.dropped) = (u64::from(packet.len()), None);
        if let Err(reason) = without_link_header(&mut packet, self.kind, pool) {
            pool.recycle(packet);
            return self.counters.drop_out(reason);
        }
        let plan = self.plan(&packet);
        let longest = LONGEST + if self.kind == TunKind::Tap { ETHERNET + 4 } else { 0 };
        let ready = if plan.segment || (packet.hot.gso_size > 0 && packet.len() > longest) {
            self.outgoing.segment(packet, pool)
        } else if packet.len() > longest {
            pool.recycle(packet);
            return self.counters.drop_out(DeviceReason::TooLong);
        } else {
            let done = if plan.checksum {
                finish_checksum(&mut packet, self.outgoing.segmenter.config().link, pool)
            } else {
                Ok(())
            };
            self.outgoing.pieces.push_back(packet);
            done
        };
        let ready = ready.is_ok() && self.with_headers(pool).is_ok();
        if !ready {
            self.drop_pieces(pool);
            self.counters.drop_out(DeviceReason::Malformed);
        }
    }

    /// What is left to be done before. Who only says that it is a super-packet, and not where its headers are, leaves it to
    /// the virtio header to find out.
    fn plan(&self, packet: &Skb) -> Plan {
        let hot = &packet.hot;
        let unknown = hot.outer.l4().is_none() && hot.gso_flags == GsoFlags::default();
        if unknown && self.codec.is_some() && self.outgoing.takes(hot.gso_type) {
            return Plan::NOTHING;
        }
        plan(self.features(), packet)
    }

    /// Puts virtio headers before all pieces; what cannot have one is cut or has its checksum filled in first.
    fn with_headers(&mut self, pool: &mut PacketPool) -> Result<(), SegmentError> {
        let Some(codec) = &mut self.codec else { return Ok(()) };
        let link = codec.config().link;
        for _ in 0..self.outgoing.pieces.len() {
            let Some(piece) = self.outgoing.pieces.pop_front() else { break };
            let refused = match codec.send(piece, pool) {
                Ok(piece) => {
                    self.outgoing.pieces.push_back(piece);
                    continue;
                }
                Err(refused) => refused,
            };
            let (start, packet) = (self.outgoing.pieces.len(), refused.packet);
            if packet.hot.gso_type == GsoType::None {
                self.outgoing.pieces.push_back(packet);
            } else {
                // It was alone: nothing that was cut has a type any more.
                self.outgoing.segment(packet, pool)?;
            }
            for piece in self.outgoing.pieces.range_mut(start..) {
                finish_checksum(piece, link, pool)?;
                let plain = piece.push(codec.config().form.bytes() as u32, pool);
                plain.expect("far below what a packet holds");
            }
        }
        Ok(())
    }

    /// Writes what is left of the packet at hand, and counts it when nothing is.
    pub(super) fn write_pending(&mut self, pool: &mut PacketPool) -> Result<(), DeviceError> {
        while let Some(mut packet) = self.outgoing.pieces.pop_front() {
            let Some(fd) = self.fd.as_ref() else { return Err(self.gone()) };
            self.counters.system_calls += 1;
            let kind = packet.hot.gso_type;
            match (self.outgoing.write)(fd, &packet) {
                Ok(()) => {
                    self.outgoing.refusals[kind as usize] = 0;
                    pool.recycle(packet);
                }
                Err(Errno::AGAIN | Errno::INTR) => {
                    self.outgoing.pieces.push_front(packet);
                    self.counters.blocked += 1;
                    return Ok(());
                }
                Err(Errno::BADFD) => {
                    self.outgoing.pieces.push_front(packet);
                    return Err(failed(&self.name, "writev", Errno::BADFD.into()));
                }
                Err(Errno::INVAL) if kind != GsoType::None => {
                    self.outgoing.gso_refused += 1;
                    let refusals = &mut self.outgoing.refusals[kind as usize];
                    *refusals = refusals.saturating_add(1).min(GSO_REFUSALS);
                    let header = self.codec.as_ref().map_or(0, |codec| codec.config().form.bytes());
                    packet.pop(header as u32).expect("it was pushed");
                    if self.outgoing.segment(packet, pool).is_err() || self.with_headers(pool).is_err() {
                        self.drop_pieces(pool);
                        self.outgoing.dropped = Some(DeviceReason::Malformed);
                    }
                }
                Err(error) => {
                    self.outgoing.dropped = Some(reason(error));
                    self.control.up &= error != Errno::IO;
                    pool.recycle(packet);
                }
            }
            if self.outgoing.is_empty() {
                self.count_sent();
            }
        }
        Ok(())
    }

    fn count_sent(&mut self) {
        match self.outgoing.dropped {
            None => {
                self.counters.sent += 1;
                self.counters.sent_bytes += self.outgoing.bytes;
            }
            Some(reason) => self.counters.drop_out(reason),
        }
    }

    fn drop_pieces(&mut self, pool: &mut PacketPool) {
        self.outgoing.pieces.drain(..).for_each(|piece| pool.recycle(piece));
    }

    /// Gives up what could not be sent.
    pub(super) fn abandon(&mut self, pool: &mut PacketPool) {
        if !self.outgoing.is_empty() {
            self.drop_pieces(pool);
            self.counters.drop_out(DeviceReason::LinkDown);
        }
    }
}

/// Takes the link header off, where only IP travels.
fn without_link_header(packet: &mut Skb, kind: TunKind, pool: &mut PacketPool) -> Result<(), DeviceReason> {
    if packet.len() < ETHERNET {
        return Err(DeviceReason::Malformed);
    }
    if kind == TunKind::Tap {
        return Ok(());
    }
    if packet.pull(ETHERNET + 1, pool).is_err() {
        return Err(DeviceReason::Malformed);
    }
    let head = packet.head();
    let version = match u16::from_be_bytes([head[12], head[13]]) {
        IPV4 => 4,
        IPV6 => 6,
        _ => return Err(DeviceReason::Malformed),
    };
    if head[ETHERNET as usize] >> 4 != version {
        return Err(DeviceReason::Malformed);
    }
    packet.pop(ETHERNET).map_err(|_| DeviceReason::Malformed)
}

/// Writes one packet: TUN takes it whole or not at all.
fn write(fd: &OwnedFd, packet: &Skb) -> Result<(), Errno> {
    let count = packet.segments().len();
    if count > PIECES {
        let pieces: Vec<_> = packet.segments().map(IoSlice::new).collect();
        return writev(fd, &pieces).map(drop);
    }
    let mut pieces = [IoSlice::new(&[]); PIECES];
    pieces.iter_mut().zip(packet.segments()).for_each(|(piece, bytes)| *piece = IoSlice::new(bytes));
    writev(fd, &pieces[..count]).map(drop)
}

fn reason(error: Errno) -> DeviceReason {
    match error {
        Errno::IO | Errno::NETDOWN => DeviceReason::LinkDown,
        Errno::MSGSIZE | Errno::TOOBIG => DeviceReason::TooLong,
        _ => DeviceReason::Refused,
    }
}
