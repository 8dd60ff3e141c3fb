//! A queue whose kernel is the test: the other end of a pair of datagram sockets.
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use netfast_buf::{ChecksumState, GsoType};
use netfast_offload::segment::leave_checksum;
use netfast_offload::virtio::{HeaderForm, VirtioError};
use netfast_wire::LinkType;
use proptest::prelude::*;
use rustix::io::Errno;

use super::*;
use crate::device::DeviceReason;
use crate::device::testing::{datagram, packet};

const VIRTIO: Option<(HeaderForm, VirtioFeatures)> = Some((HeaderForm::Short, VirtioFeatures::OFFLOADS));

struct Fixture {
    tun: Tun,
    kernel: UnixDatagram,
    pool: PacketPool,
    batch: PacketBatch,
}

impl Fixture {
    fn new(kind: TunKind, virtio: Option<(HeaderForm, VirtioFeatures)>) -> Self {
        let (ours, kernel) = UnixDatagram::pair().unwrap();
        for socket in [&ours, &kernel] {
            socket.set_nonblocking(true).unwrap();
            rustix::net::sockopt::set_socket_send_buffer_size(socket, 1 << 20).unwrap();
        }
        let mut control = Control::default();
        (control.due, control.up, control.mtu) = (Instant::MAX, true, 1_500);
        let tun = Tun::new("nf0".to_owned(), kind, ours.into(), control, virtio);
        Self { tun, kernel, pool: PacketPool::default(), batch: PacketBatch::new() }
    }

    /// What becomes of what the kernel sends.
    fn receive(&mut self, bytes: &[u8]) -> Vec<Skb> {
        self.kernel.send(bytes).unwrap();
        assert_eq!(
            self.tun.receive(Instant::from_secs(3), &mut self.batch, &mut self.pool).unwrap(),
            Received::Empty
        );
        self.batch.drain().collect()
    }

    /// What the kernel gets of a packet.
    fn transmit(&mut self, packet: Skb) -> Vec<Vec<u8>> {
        let mut queue = VecDeque::from([packet]);
        self.tun.transmit(Instant::ZERO, &mut queue, &mut self.pool).unwrap();
        assert!(queue.is_empty());
        self.sent()
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut bytes = vec![0; 70_000];
        while let Ok(length) = self.kernel.recv(&mut bytes) {
            all.push(bytes[..length].to_vec());
        }
        all
    }

    fn dropped_in(&self, reason: DeviceReason) -> u64 {
        self.tun.counters().dropped_in[reason as usize]
    }

    fn dropped_out(&self, reason: DeviceReason) -> u64 {
        self.tun.counters().dropped_out[reason as usize]
    }
}

/// A virtio header before an IP packet.
fn with_header(flags: u8, gso_type: u8, fields: [u16; 4], ip: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flags, gso_type];
    fields.iter().for_each(|field| bytes.extend_from_slice(&field.to_le_bytes()));
    bytes.extend_from_slice(ip);
    bytes
}

/// A frame with a UDP super-packet of pieces of 100 bytes.
fn super_packet(payload: usize, pool: &mut PacketPool) -> Skb {
    let mut bytes = datagram(7, &vec![0x5a; payload]);
    bytes[40] = 1;
    let mut packet = packet(&bytes, pool);
    (packet.hot.gso_type, packet.hot.gso_size) = (GsoType::Udp, 100);
    packet.hot.outer = netfast_buf::Offsets::new(Some(0), Some(14), Some(34));
    leave_checksum(&mut packet, LinkType::ETHERNET, pool).unwrap();
    packet
}

#[test]
fn packets_of_every_length_arrive_whole_with_a_link_header_and_room_before_it() {
    let mut fixture = Fixture::new(TunKind::Tun, None);
    fixture.tun.control.mtu = 65_535;
    for payload in [0, 1, 355, 356, 357, 1_400, 2_403, 2_404, 2_405, 18_000, 40_000, 65_507] {
        let frame = datagram(1, &vec![7; payload]);
        let packets = fixture.receive(&frame[14..]);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].to_vec(), frame, "{payload}");
        assert!(packets[0].headroom() >= 100);
        assert_eq!(packets[0].hot.timestamp, Instant::from_secs(3));
        assert_eq!(fixture.transmit(packets.into_iter().next().unwrap()), [&frame[14..]]);
    }
    assert_eq!(fixture.pool.copies.bytes, 0, "no payload is copied");
}

#[test]
fn what_is_no_ip_packet_or_too_long_is_counted() {
    let mut fixture = Fixture::new(TunKind::Tun, None);
    assert!(fixture.receive(&[0x20, 0, 0]).is_empty());
    assert!(fixture.receive(&[]).is_empty());
    assert!(fixture.receive(&vec![0x45; HEAD + BLOCK]).is_empty());
    assert_eq!(fixture.tun.next_timeout(), Some(Instant::ZERO), "its MTU is looked at again");
    fixture.tun.control.mtu = 9_000;
    fixture.tun.control.due = Instant::MAX;
    assert_eq!(fixture.receive(&vec![0x45; HEAD + BLOCK]).len(), 1);
    assert!(fixture.receive(&vec![0x45; 69_000]).is_empty());
    fixture.tun.control.due = Instant::MAX;
    assert_eq!(fixture.dropped_in(DeviceReason::Malformed), 2);
    assert_eq!(fixture.dropped_in(DeviceReason::Truncated), 2);
    let mut arp = datagram(1, b"x");
    arp[13] = 0x06;
    let mut contradicting = datagram(1, b"x");
    contradicting[14] = 0x65;
    for bad in [&arp[..], &contradicting, &arp[..13], &arp[..14], &[]] {
        let bad = packet(bad, &mut fixture.pool);
        assert!(fixture.transmit(bad).is_empty());
    }
    assert_eq!(fixture.dropped_out(DeviceReason::Malformed), 5);
    let mut long = datagram(1, b"x");
    long.resize(14 + 65_536, 0);
    let long = packet(&long, &mut fixture.pool);
    assert!(fixture.transmit(long).is_empty());
    assert_eq!(fixture.dropped_out(DeviceReason::TooLong), 1);
}

#[test]
fn a_tap_frame_keeps_its_link_header() {
    let mut fixture = Fixture::new(TunKind::Tap, None);
    let frame = datagram(1, b"hello");
    let packets = fixture.receive(&frame);
    assert_eq!(packets[0].to_vec(), frame);
    assert!(fixture.receive(&frame[..13]).is_empty());
    assert_eq!(fixture.dropped_in(DeviceReason::Malformed), 1);
    assert_eq!(fixture.transmit(packets.into_iter().next().unwrap()), [frame]);
}

#[test]
fn hostile_headers_are_refused_and_counted() {
    let mut fixture = Fixture::new(TunKind::Tun, VIRTIO);
    let frame = datagram(1, &[0; 200]);
    let ip = &frame[14..];
    let hostile = [
        with_header(1, 0, [0, 0, 60_000, 6], ip),
        with_header(1, 5, [28, 0, 20, 6], ip),
        with_header(1, 5, [28, 201, 20, 6], ip),
        with_header(1, 5, [28, 100, 20, 16], ip),
        with_header(1, 1, [28, 100, 20, 16], ip),
        with_header(1, 4, [28, 100, 20, 16], ip),
        with_header(0, 3, [28, 100, 0, 0], ip),
        with_header(0, 9, [28, 100, 0, 0], ip),
        with_header(1, 0x85, [28, 100, 20, 6], ip),
        with_header(1, 5, [28, 100, 20, 6], &ip[..30]),
        vec![0; 9],
    ];
    for (number, bytes) in hostile.iter().enumerate() {
        assert!(fixture.receive(bytes).is_empty(), "{number}");
    }
    assert_eq!(fixture.dropped_in(DeviceReason::OffloadHeader), hostile.len() as u64);
    let told = fixture.tun.tun_counters().virtio;
    assert_eq!(told.refused.iter().sum::<u64>(), hostile.len() as u64);
    assert!(told.refused.iter().filter(|&&count| count > 0).count() >= 6, "{told:?}");
    assert_eq!(told.refused.len(), VirtioError::NAMES.len());
}

#[test]
fn a_super_packet_goes_through_whole_with_marks_that_fit() {
    let mut fixture = Fixture::new(TunKind::Tun, VIRTIO);
    let frame = super_packet(950, &mut fixture.pool);
    let sent = fixture.transmit(frame);
    assert_eq!((sent.len(), &sent[0][..10]), (1, &[1, 5, 28, 0, 100, 0, 20, 0, 6, 0][..]));
    let packets = fixture.receive(&sent[0]);
    let hot = &packets[0].hot;
    assert_eq!((hot.gso_type, hot.gso_size, hot.gso_segments), (GsoType::Udp, 100, 10));
    assert_eq!((hot.outer.l2(), hot.outer.l3(), hot.outer.l4()), (Some(0), Some(14), Some(34)));
    assert_eq!((packets[0].header_length(), hot.checksum), (42, ChecksumState::Partial));
    let again = fixture.transmit(packets.into_iter().next().unwrap());
    assert_eq!(again, sent);
    let mut unknown = super_packet(950, &mut fixture.pool);
    unknown.hot.outer = netfast_buf::Offsets::default();
    assert_eq!(fixture.transmit(unknown), sent, "it is found out where its headers are");
    assert_eq!(fixture.tun.counters().sent_bytes, 3 * 992);
}

#[test]
fn without_virtio_headers_a_super_packet_is_cut_with_right_checksums() {
    let mut fixture = Fixture::new(TunKind::Tun, None);
    let frame = super_packet(250, &mut fixture.pool);
    let sent = fixture.transmit(frame);
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [128, 128, 78]);
    for bytes in &sent {
        let mut segment = packet(&[&[0; 12], &[8, 0][..], bytes].concat(), &mut fixture.pool);
        let had = segment.to_vec();
        leave_checksum(&mut segment, LinkType::ETHERNET, &mut fixture.pool).unwrap();
        netfast_offload::segment::finish_checksum(&mut segment, LinkType::ETHERNET, &mut fixture.pool)
            .unwrap();
        assert_eq!(segment.to_vec(), had);
    }
    let (counters, told) = (fixture.tun.counters(), fixture.tun.tun_counters().segmented);
    assert_eq!((counters.sent, counters.sent_bytes, counters.system_calls), (1, 292, 3));
    assert_eq!((told.super_packets, told.segments), (1, 3));
}

#[test]
fn a_kernel_that_refuses_super_packets_gets_segments_and_is_not_asked_again() {
    fn picky(fd: &OwnedFd, packet: &Skb) -> Result<(), Errno> {
        if packet.hot.gso_type != GsoType::None {
            return Err(Errno::INVAL);
        }
        rustix::io::write(fd, &packet.to_vec()).map(drop)
    }
    let mut fixture = Fixture::new(TunKind::Tun, VIRTIO);
    fixture.tun.outgoing.write = picky;
    let has_uso = |tun: &Tun| tun.link().features.has(FeatureSet::TX_UDP_SEGMENTATION);
    for turn in 1..=GSO_REFUSALS + 2 {
        assert_eq!(has_uso(&fixture.tun), turn <= GSO_REFUSALS);
        let frame = super_packet(250, &mut fixture.pool);
        let sent = fixture.transmit(frame);
        assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [138, 138, 88]);
        assert!(sent.iter().all(|bytes| bytes[..2] == [1, 0] && bytes[6..10] == [20, 0, 6, 0]), "{sent:?}");
    }
    assert_eq!(fixture.tun.tun_counters().gso_refused, u64::from(GSO_REFUSALS));
    assert!(fixture.tun.link().features.has(FeatureSet::TX_TCP_SEGMENTATION), "others are still tried");
    assert_eq!(fixture.tun.counters().sent, u64::from(GSO_REFUSALS) + 2);
}

#[test]
fn errors_of_single_packets_are_counted_by_what_they_mean() {
    let errors: [(transmit::Write, _); 4] = [
        (|_, _| Err(Errno::IO), DeviceReason::LinkDown),
        (|_, _| Err(Errno::INVAL), DeviceReason::Refused),
        (|_, _| Err(Errno::NOMEM), DeviceReason::Refused),
        (|_, _| Err(Errno::MSGSIZE), DeviceReason::TooLong),
    ];
    for (write, reason) in errors {
        let mut fixture = Fixture::new(TunKind::Tun, VIRTIO);
        fixture.tun.outgoing.write = write;
        let frame = packet(&datagram(1, b"x"), &mut fixture.pool);
        assert!(fixture.transmit(frame).is_empty());
        assert_eq!((fixture.dropped_out(reason), fixture.tun.in_flight()), (1, 0));
        assert_eq!(fixture.tun.link().up, reason != DeviceReason::LinkDown);
    }
}

#[test]
fn a_full_wire_holds_up_the_queue_and_a_packet_in_the_middle_of_its_segments() {
    let mut fixture = Fixture::new(TunKind::Tun, None);
    let send = fixture.tun.fd.as_ref().unwrap().as_fd();
    rustix::net::sockopt::set_socket_send_buffer_size(send, 4_096).unwrap();
    let mut queue: VecDeque<_> = (0..10).map(|_| super_packet(2_000, &mut fixture.pool)).collect();
    let mut all = Vec::new();
    for _ in 0..300 {
        fixture.tun.transmit(Instant::ZERO, &mut queue, &mut fixture.pool).unwrap();
        if queue.len() == 5 {
            assert!(fixture.tun.in_flight() <= 1);
        }
        all.extend(fixture.sent());
    }
    assert_eq!((all.len(), queue.len(), fixture.tun.in_flight()), (200, 0, 0));
    let counters = fixture.tun.counters();
    assert_eq!((counters.sent, counters.dropped_out.iter().sum::<u64>()), (10, 0));
    assert!(counters.blocked > 0);
}

#[test]
fn closing_gives_up_what_is_left_and_ends_the_queue() {
    let mut fixture = Fixture::new(TunKind::Tun, None);
    fixture.tun.outgoing.write = |_, _| Err(Errno::AGAIN);
    let frame = packet(&datagram(1, b"x"), &mut fixture.pool);
    fixture.transmit(frame);
    assert_eq!(fixture.tun.in_flight(), 1);
    fixture.tun.close(&mut fixture.pool).unwrap();
    assert_eq!((fixture.tun.in_flight(), fixture.dropped_out(DeviceReason::LinkDown)), (0, 1));
    assert!(fixture.tun.descriptor().is_none() && fixture.tun.next_timeout().is_none());
    let found = fixture.tun.receive(Instant::ZERO, &mut fixture.batch, &mut fixture.pool);
    assert!(matches!(found, Err(DeviceError::Gone { .. })));
}

#[test]
fn a_turn_ends_after_so_many_bytes() {
    let mut fixture = Fixture::new(TunKind::Tun, None);
    fixture.tun.control.mtu = 65_535;
    rustix::net::sockopt::set_socket_send_buffer_size(&fixture.kernel, 4 << 20).unwrap();
    let frame = datagram(1, &vec![7; 60_000]);
    let mut sent = 0;
    while sent < 8 && fixture.kernel.send(&frame[14..]).is_ok() {
        sent += 1;
    }
    let found = fixture.tun.receive(Instant::ZERO, &mut fixture.batch, &mut fixture.pool).unwrap();
    let most = (READ_BYTES as usize).div_ceil(60_028);
    let expected = if sent > most { (Received::More, most) } else { (Received::Empty, sent) };
    assert_eq!((found, fixture.batch.len()), expected);
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_counted(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        kind in prop::sample::select(vec![TunKind::Tun, TunKind::Tap]),
        virtio: bool,
        long in 0usize..3_000,
    ) {
        let mut fixture = Fixture::new(kind, VIRTIO.filter(|_| virtio));
        let mut bytes = bytes;
        bytes.resize(bytes.len() + long, 0x41);
        let packets = fixture.receive(&bytes);
        let counters = fixture.tun.counters();
        let dropped: u64 = counters.dropped_in.iter().sum();
        prop_assert_eq!((packets.len() as u64, counters.received + dropped), (counters.received, 1));
        for packet in packets {
            fixture.transmit(packet);
        }
        let after = fixture.tun.counters();
        prop_assert_eq!(after.sent + after.dropped_out.iter().sum::<u64>(), counters.received);
    }
}
