//! Any marks on any bytes: a packet is cut into packets that are right and have its payload, or it is given back. Any virtio
//! header before any bytes is taken or given back, and what was taken can be said again.
//!
//! The first six bytes are marks, the next ten or twelve a header where one is wanted, the rest is the packet.
use netfast_buf::{Block, ChecksumState, GsoFlags, GsoType, Offsets, PacketPool, Skb};
use netfast_offload::segment::{
    Checksums, SegmentConfig, SegmentError, Segmenter, finish_checksum, leave_checksum,
};
use netfast_offload::virtio::{HeaderForm, Peer, VirtioCodec, VirtioConfig};
use netfast_wire::checksum::{verify_l3, verify_l4};
use netfast_wire::{Checksum, Frame, Layers, Limits, LinkType, Verdict, dissect, dissect_inner};

const LINKS: [LinkType; 4] = [LinkType::ETHERNET, LinkType::RAW, LinkType::NULL, LinkType::LINUX_SLL];

pub fn check(data: &[u8]) {
    let Some((&[choice, marks, size, size_high, pieces, inner], bytes)) = data.split_first_chunk() else {
        return;
    };
    let link = LINKS[usize::from(choice & 3)];
    let mut pool = PacketPool::default();
    let mut packet = in_pieces(bytes, usize::from(pieces), &mut pool);
    let hot = &mut packet.hot;
    hot.gso_size = u16::from_le_bytes([size, size_high]);
    hot.gso_type = [GsoType::None, GsoType::Tcp4, GsoType::Tcp6, GsoType::Udp][usize::from(marks & 3)];
    hot.checksum =
        [ChecksumState::Unchecked, ChecksumState::Good, ChecksumState::Bad, ChecksumState::Partial]
            [usize::from(marks >> 2 & 3)];
    for (bit, flag) in
        [(0x10, GsoFlags::FIXED_ID), (0x20, GsoFlags::INNER_FIXED_ID), (0x40, GsoFlags::TUNNEL)]
    {
        hot.gso_flags = if marks & bit != 0 { hot.gso_flags.with(flag) } else { hot.gso_flags };
    }
    if inner != 0 {
        hot.inner = Offsets::new(None, Some(u32::from(inner)), Some(u32::from(inner) + 20));
    }
    let checksums = if choice & 4 != 0 { Checksums::Partial } else { Checksums::Full };
    cut(packet, SegmentConfig { link, checksums, segments: 300 }, &mut pool);
    checksum(bytes, link, &mut pool);
    virtio(bytes, choice, link, &mut pool);
}

/// The bytes in pieces of this length; in one for zero. Some of them may be written, others may not.
fn in_pieces(bytes: &[u8], length: usize, pool: &mut PacketPool) -> Skb {
    let mut packet = Skb::new();
    for (index, piece) in bytes.chunks(if length == 0 { bytes.len().max(1) } else { length }).enumerate() {
        let mut piece = match index % 2 {
            0 => Skb::from_slice(piece, pool).expect("short"),
            _ => Skb::from_block(Block::from(piece.to_vec()), 0, piece.len()).expect("all of it"),
        };
        packet.append(&mut piece, pool).expect("short");
    }
    packet
}

fn cut(packet: Skb, config: SegmentConfig, pool: &mut PacketPool) {
    let (bytes, hot) = (packet.to_vec(), packet.hot);
    let mut segmenter = Segmenter::new(config);
    let mut out = Vec::new();
    match segmenter.segment(packet, pool, &mut out) {
        Err(refused) => {
            assert!(out.is_empty());
            assert_eq!((refused.packet.to_vec(), refused.packet.hot), (bytes, hot));
            assert_eq!(segmenter.counters().refused[refused.error.index()], 1);
            assert!(!refused.to_string().is_empty());
        }
        Ok(_) if hot.gso_type == GsoType::None => assert_eq!(out[0].to_vec(), bytes),
        Ok(count) => {
            let headers = out[0].header_length() as usize;
            let size = usize::from(hot.gso_size);
            assert_eq!((count, out.len()), ((bytes.len() - headers).div_ceil(size).max(1), count));
            let mut payload: Vec<u8> = Vec::new();
            for (index, segment) in out.iter_mut().enumerate() {
                assert_eq!(segment.header_length() as usize, headers);
                assert!(index + 1 == count || segment.len() as usize == headers + size);
                // A sum that another header is right by may wait, too.
                finish_checksum(segment, config.link, pool).expect("a segment is a right packet");
                let whole = segment.to_vec();
                is_right(&whole, headers, config.link);
                payload.extend(&whole[headers..]);
            }
            assert_eq!(payload, bytes[headers..]);
        }
    }
}

/// All lengths and checksums up to the transport header that was repeated.
fn is_right(bytes: &[u8], headers: usize, link: LinkType) {
    let frame = Frame::whole(bytes, link);
    let mut layers = Layers::default();
    dissect(&frame, &Limits::default(), &mut layers, &mut ());
    loop {
        if layers.ip_version != 0 {
            assert_eq!(layers.end as usize, bytes.len(), "{layers:?}");
            assert!(matches!(verify_l3(&frame, &layers), Checksum::Good | Checksum::None));
            assert!(matches!(verify_l4(&frame, &layers), Checksum::Good | Checksum::Absent | Checksum::None));
        }
        assert_eq!(layers.verdict, Verdict::Ok);
        // Behind these stands payload, which may look like anything.
        if layers.ip_version != 0 && (layers.end - layers.payload_len) as usize == headers {
            return;
        }
        if !dissect_inner(&frame, &Limits::default(), &mut layers, &mut ()) {
            return;
        }
    }
}

/// What is left is the very checksum that is filled in.
fn checksum(bytes: &[u8], link: LinkType, pool: &mut PacketPool) {
    let mut packet = Skb::from_slice(bytes, pool).expect("short");
    if let Err(error) = leave_checksum(&mut packet, link, pool) {
        assert!(error != SegmentError::BadChecksum);
        assert_eq!(packet.to_vec(), bytes);
        return;
    }
    if packet.hot.checksum == ChecksumState::Partial {
        finish_checksum(&mut packet, link, pool).expect("as it was left");
    }
    let (whole, mut layers) = (packet.to_vec(), Layers::default());
    let frame = Frame::whole(&whole, link);
    dissect(&frame, &Limits::default(), &mut layers, &mut ());
    assert!(matches!(verify_l4(&frame, &layers), Checksum::Good | Checksum::Absent));
}

fn virtio(bytes: &[u8], choice: u8, link: LinkType, pool: &mut PacketPool) {
    let peer = [Peer::Tun, Peer::Device, Peer::Driver][usize::from(choice >> 3) % 3];
    let form = if choice & 0x80 != 0 { HeaderForm::Short } else { HeaderForm::Long };
    let config = VirtioConfig { link, form, peer, ..VirtioConfig::default() };
    let mut codec = VirtioCodec::new(config);
    let packet = Skb::from_slice(bytes, pool).expect("short");
    let hot = packet.hot;
    match codec.receive(packet, pool) {
        Err(refused) => {
            assert_eq!((refused.packet.to_vec(), refused.packet.hot), (bytes.to_vec(), hot));
            assert_eq!(codec.counters().refused[refused.error.index()], 1);
            assert!(!refused.to_string().is_empty());
        }
        Ok(packet) => {
            assert_eq!(codec.counters().received, 1);
            again(packet, config, pool);
        }
    }
}

/// What was taken can be said to TUN, and means the same then.
fn again(packet: Skb, config: VirtioConfig, pool: &mut PacketPool) {
    let (bytes, hot) = (packet.to_vec(), packet.hot);
    let mut codec = VirtioCodec::new(VirtioConfig { peer: Peer::Tun, ..config });
    match codec.send(packet, pool) {
        Err(refused) => assert_eq!((refused.packet.to_vec(), refused.packet.hot), (bytes, hot)),
        Ok(sent) => {
            let taken = codec.receive(sent, pool).map_err(|refused| refused.error).expect("what we said");
            if taken.hot.gso_type != GsoType::None {
                assert_eq!((taken.hot.gso_type, taken.hot.gso_size), (hot.gso_type, hot.gso_size));
                assert_eq!((taken.hot.outer, taken.hot.checksum), (hot.outer, ChecksumState::Partial));
                let segments = SegmentConfig { link: config.link, ..SegmentConfig::default() };
                cut(taken, segments, pool);
            } else {
                assert_eq!(taken.len() as usize, bytes.len());
            }
        }
    }
}
