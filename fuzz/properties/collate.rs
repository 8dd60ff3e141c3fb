//! Any frames, in any order, in any pieces: what collation makes of them is cut into the very frames again, those of each
//! flow in the order in which they came; nothing is lost, and super-packets are packets whose every length and checksum is right.
//!
//! The bytes choose the settings and some flows, then one frame after the other until they are used up.
#[path = "collate/frames.rs"]
pub mod frames;

use frames::{Carrier, Ip, Packet, Transport};
use netfast_buf::{BATCH_PACKETS, Block, ChecksumState, GsoType, PacketBatch, PacketPool, Skb};
use netfast_offload::collate::{Collator, CollatorConfig};
use netfast_offload::segment::{Checksums, SegmentConfig, Segmenter};
use netfast_time::{Duration, Instant};
use netfast_wire::{Checksum, Frame, Layers, Limits, LinkType, checksum, dissect, dissect_innermost};
use std::collections::HashMap;

/// What came is what went, what was merged, and what is held.
pub fn conserved(collator: &Collator, out: &[Skb]) {
    let counters = collator.counters();
    let reasons: u64 = counters.not_merged.iter().sum();
    let ended: u64 = counters.ended.iter().sum();
    assert_eq!(counters.packets, counters.merged + reasons);
    assert_eq!(counters.packets, counters.merged + counters.out + collator.held() as u64);
    assert_eq!(counters.out, out.len() as u64);
    assert!(ended <= counters.out);
    let stand_for: u64 = out.iter().map(|packet| u64::from(packet.hot.gso_segments)).sum();
    assert_eq!(counters.super_segments, stand_for);
}

/// The frames that packets stand for; each super-packet is looked at, too.
pub fn split(out: Vec<Skb>, link: LinkType) -> Vec<Vec<u8>> {
    let mut pool = PacketPool::default();
    let segmenter = |checksums| Segmenter::new(SegmentConfig { link, checksums, ..SegmentConfig::default() });
    let (mut full, mut partial) = (segmenter(Checksums::Full), segmenter(Checksums::Partial));
    let mut split = Vec::new();
    for mut packet in out {
        let is_partial = packet.hot.checksum == ChecksumState::Partial;
        if packet.hot.gso_segments == 0 {
            // Whoever gave a size to a packet of one piece said it for another reason.
            (packet.hot.gso_size, packet.hot.gso_type) = (0, GsoType::None);
        } else {
            is_right(&packet, link, is_partial);
        }
        let by = if is_partial { &mut partial } else { &mut full };
        by.segment(packet, &mut pool, &mut split).map_err(|refused| refused.error).expect("it is cut");
    }
    split.iter().map(Skb::to_vec).collect()
}

/// A super-packet is a packet like others: lengths and checksums are those of the whole.
fn is_right(packet: &Skb, link: LinkType, is_partial: bool) {
    assert_ne!(packet.hot.gso_type, GsoType::None);
    assert!(packet.hot.gso_segments > 1 && packet.header_length() > 0);
    assert!(packet.segments().len() <= 64);
    let bytes = packet.to_vec();
    assert_eq!(bytes.len(), packet.len() as usize);
    let frame = Frame::whole(&bytes, link);
    let (mut outer, mut inner) = (Layers::default(), Layers::default());
    dissect(&frame, &Limits::default(), &mut outer, &mut ());
    dissect_innermost(&frame, &Limits::default(), &mut inner, &mut ());
    for layers in [&outer, &inner] {
        assert_eq!(layers.end as usize, bytes.len(), "{layers:?}");
        let good = [Checksum::Good, Checksum::Absent, Checksum::None];
        assert!(good.contains(&checksum::verify_l3(&frame, layers)), "{layers:?}");
        assert!(is_partial || good.contains(&checksum::verify_l4(&frame, layers)), "{layers:?}");
    }
    let says = if packet.hot.inner.l4().is_some() { packet.hot.inner } else { packet.hot.outer };
    assert_eq!((says.l3(), says.l4()), (Some(inner.l3_offset), Some(inner.l4_offset)));
    assert_eq!(packet.hot.outer.l3(), Some(outer.l3_offset));
    assert_eq!(packet.header_length(), inner.end - inner.payload_len);
}

/// What is left of the input. Behind its end all bytes are zero.
struct Bytes<'a> {
    data: &'a [u8],
}

impl Bytes<'_> {
    fn u8(&mut self) -> u8 {
        let byte = self.data.first().copied().unwrap_or(0);
        self.data = self.data.get(1..).unwrap_or_default();
        byte
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.u8()) % limit
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// What a flow is like, and where it is.
struct Flow {
    next: Packet,
    /// What its identifications go on by, inside and outside.
    steps: (u16, u16),
}

impl Flow {
    fn new(number: usize, ethernet: bool, bytes: &mut Bytes) -> Self {
        let kind = bytes.u8();
        let mut ip = if kind & 1 == 0 { Ip::v4() } else { Ip::v6() };
        ip.id = u16::from(bytes.u8()).wrapping_sub(20);
        ip.fragment = if kind & 2 == 0 { 0x4000 } else { 0 };
        if kind & 64 != 0 {
            ip.extensions = vec![(0, vec![0, 0, 1, 4, 0, 0, 0, 0]), (60, vec![0, 0, 1, 4, 0, 0, 0, 0])];
        }
        let size = 1 + usize::from(bytes.u8());
        let mut next = if kind & 4 == 0 {
            Packet::tcp(ip, u32::from(kind) << 24, size)
        } else {
            Packet::udp(ip, 0, size)
        };
        next.ports.0 += number as u16;
        next.ethernet = ethernet;
        if ethernet && kind & 8 != 0 {
            next.tags = vec![(0x88a8, 0x6007), (0x8100, 9)];
        }
        if kind & 4 != 0 {
            next.transport = Transport::Udp { zero: kind & 16 != 0 };
        }
        if kind & 32 != 0 {
            let mut outer = if bytes.u8() & 1 == 0 { Ip::v4() } else { Ip::v6() };
            (outer.src, outer.id) = (30, 9);
            next.tunnel = Some((outer, carrier(bytes)));
        }
        let steps = bytes.pick(&[(1, 1), (1, 1), (0, 0), (0, 1), (1, 0), (2, 1), (1, 3)]);
        Self { next, steps }
    }

    /// The packet that is the next one, with its flow one further.
    fn goes_on(&mut self) -> Packet {
        let packet = self.next.clone();
        let gone = packet.payload.len() as u32;
        self.next.tcp_mut(|tcp| tcp.seq = tcp.seq.wrapping_add(gone));
        self.next.payload = frames::payload(gone.wrapping_mul(u32::from(packet.ip.id)), packet.payload.len());
        self.next.ip.id = packet.ip.id.wrapping_add(self.steps.0);
        if let Some((ip, carrier)) = &mut self.next.tunnel {
            ip.id = ip.id.wrapping_add(self.steps.1);
            if let Carrier::Gre { sequence, .. } = carrier {
                *sequence += 1;
            }
        }
        packet
    }
}

fn carrier(bytes: &mut Bytes) -> Carrier {
    let (kind, zero) = (bytes.u8(), bytes.u8() & 1 == 0);
    let (bridged, key) = (kind & 16 != 0, u32::from(kind));
    match kind % 5 {
        0 => Carrier::Ip,
        1 => Carrier::Gre { flags: 0x2000 | u16::from(kind & 0x40 != 0) << 12, key, sequence: 1, bridged },
        2 => Carrier::Gre { flags: 0x8000 | u16::from(zero) << 13, key, sequence: 1, bridged },
        3 => Carrier::Vxlan { vni: key, flags: 8, zero },
        _ => {
            let options = vec![0, 1, 2, 1, key as u8, 5, 6, 7];
            Carrier::Geneve { vni: key, first: [0, 0], options, bridged, zero }
        }
    }
}

/// One packet of a flow: mostly the next one, sometimes one that something is wrong or different with.
fn packet(flow: &mut Flow, bytes: &mut Bytes) -> Packet {
    let (what, value) = (bytes.u8(), bytes.u8());
    if what & 0x80 == 0 {
        return flow.goes_on();
    }
    if what & 0x40 == 0 {
        // The flow goes on from there.
        match what % 8 {
            0 => flow.next = flow.next.clone().sized(usize::from(value)),
            1 => flow.next = flow.next.clone().sized(usize::from(value) * 200),
            2 => flow.next.tcp_mut(|tcp| tcp.ack += u32::from(value)),
            3 => flow.next.tcp_mut(|tcp| tcp.options[7] ^= value),
            4 => flow.next.tcp_mut(|tcp| tcp.seq = tcp.seq.wrapping_sub(u32::from(value))),
            5 => flow.next.ip.id = flow.next.ip.id.wrapping_add(u16::from(value)),
            6 => flow.next.ip.ttl ^= value & 1,
            _ => flow.next.ip.label ^= u32::from(value & 1),
        }
        return flow.goes_on();
    }
    let mut packet = flow.goes_on();
    match what % 16 {
        0..4 => packet = packet.flags(value),
        4 => packet = packet.flags(frames::PSH),
        5 => packet.tcp_mut(|tcp| (tcp.window, tcp.urgent) = (tcp.window ^ 1, u16::from(value))),
        6 => packet.trailer = usize::from(value % 9),
        7 => packet.wrong = u16::from(value),
        8 => packet.ip.wrong = u16::from(value),
        9 => packet.ip.tos = value,
        10 => packet.ip.fragment ^= u16::from(value) << 8,
        11 => packet.mac ^= value & 1,
        12 => packet = packet.sized(usize::from(value % 64)),
        13 => packet.ip.options = vec![1; usize::from(value % 3) * 4],
        14 => packet.ip.extensions.push((value % 64, vec![0; 8])),
        _ => packet.partial = true,
    }
    packet
}

/// A packet of some pieces.
fn in_pieces(frame: &[u8], how: u8, pool: &mut PacketPool) -> Skb {
    if how < 200 {
        return Skb::from_slice(frame, pool).expect("a frame is short");
    }
    let (block, mut packet, mut at) = (Block::from(frame.to_vec()), Skb::new(), 0);
    let piece = usize::from(how - 200) * 7 + 1;
    while at < frame.len() {
        let length = piece.min(frame.len() - at);
        packet.append_block(block.clone(), at, length, pool).expect("within the block");
        at += length;
    }
    packet
}

/// The property.
pub fn check(data: &[u8]) {
    run(data);
}

/// The same; gives the collator when all is done.
pub fn run(data: &[u8]) -> Collator {
    let mut bytes = Bytes { data };
    let choice = bytes.u8();
    let link = if choice & 1 == 0 { LinkType::ETHERNET } else { LinkType::RAW };
    let config = CollatorConfig {
        link,
        max_flows: if choice & 2 == 0 { 8 } else { 64 },
        max_hold: Duration::from_micros(u64::from(choice >> 4)),
        max_held_bytes: if choice & 4 == 0 { 1 << 20 } else { 2_000 },
        max_segments: if choice & 8 == 0 { 64 } else { 5 },
        ..CollatorConfig::default()
    };
    let mut collator = Collator::new(config, u64::from(bytes.u8()), PacketPool::default()).expect("in range");
    let count = 1 + bytes.below(12);
    let mut flows: Vec<_> =
        (0..count).map(|number| Flow::new(number, link == LinkType::ETHERNET, &mut bytes)).collect();
    let (mut pool, mut batch, mut out) = (PacketPool::default(), PacketBatch::new(), Vec::new());
    let (mut came, mut of_flow, mut now) = (Vec::new(), HashMap::new(), 0);
    while !bytes.data.is_empty() && came.len() < 2_000 {
        let what = bytes.u8();
        if what >= 240 || batch.len() == BATCH_PACKETS {
            now += u64::from(what & 3) * 1_000;
            collator.handle_batch(Instant::from_nanos(now), &mut batch, &mut out);
            conserved(&collator, &out);
            continue;
        }
        let number = usize::from(what) % (count + 1);
        let Some(flow) = flows.get_mut(number) else {
            // Bytes that nobody meant to be a frame.
            let frame: Vec<u8> = (0..bytes.u8()).map(|_| bytes.u8()).collect();
            batch.push(in_pieces(&frame, bytes.u8(), &mut pool)).expect("there is room");
            came.push(frame);
            continue;
        };
        let packet = packet(flow, &mut bytes);
        let (mut frame, how) = (packet.bytes(), bytes.u8());
        let is_right = packet.wrong == 0 && packet.ip.wrong == 0;
        if packet.ip.extensions.len() != flow.next.ip.extensions.len() {
            // It may be of no flow, or of another.
        } else if how == 7 {
            let at = bytes.below(frame.len().clamp(1, 200));
            frame[at] ^= bytes.u8();
        } else {
            of_flow.insert(frame.clone(), number);
        }
        let mut skb = in_pieces(&frame, how, &mut pool);
        skb.hot.checksum = match how {
            7 => ChecksumState::Unchecked,
            _ if packet.partial => ChecksumState::Partial,
            8 => ChecksumState::Bad,
            _ if how & 1 == 0 && is_right => ChecksumState::Good,
            _ => ChecksumState::Unchecked,
        };
        batch.push(skb).expect("there is room");
        came.push(frame);
    }
    collator.handle_batch(Instant::from_nanos(now), &mut batch, &mut out);
    collator.flush(&mut out);
    conserved(&collator, &out);
    assert_eq!((collator.held(), collator.held_bytes()), (0, 0));
    same(came, split(out, link), &of_flow);
    collator
}

/// The same frames, those of each flow in the same order.
fn same(mut came: Vec<Vec<u8>>, mut went: Vec<Vec<u8>>, of_flow: &HashMap<Vec<u8>, usize>) {
    let in_turn = |frames: &[Vec<u8>]| {
        let mut turns: HashMap<usize, Vec<Vec<u8>>> = HashMap::new();
        for frame in frames {
            if let Some(flow) = of_flow.get(frame) {
                turns.entry(*flow).or_default().push(frame.clone());
            }
        }
        turns
    };
    assert!(in_turn(&came) == in_turn(&went), "the frames of a flow came in another order");
    came.sort();
    went.sort();
    assert!(came == went, "the frames are not those that came");
}
