//! A tracer on a port in memory.
use std::sync::mpsc;

use super::*;
use crate::device::testing::{datagram, memory, packet};

#[test]
fn frames_are_counted_told_and_the_last_are_kept() {
    let (mut pool, mut batch) = (PacketPool::default(), PacketBatch::new());
    let (near, mut far) = memory(4);
    let (told, heard) = mpsc::channel();
    let mut tracer = Tracer::new(near, 3).with_callback(move |frame| told.send(*frame).unwrap());
    let now = Instant::from_secs(7);
    let mut queue: VecDeque<_> = (0..6).map(|port| packet(&datagram(port, b"x"), &mut pool)).collect();
    tracer.transmit(now, &mut queue, &mut pool).unwrap();
    assert_eq!((queue.len(), tracer.trace_counters()[1].frames), (2, 4), "those that were taken");
    let mut arp = vec![0; 60];
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    far.transmit(now, &mut VecDeque::from([packet(&arp, &mut pool), packet(&[1], &mut pool)]), &mut pool)
        .unwrap();
    tracer.receive(now, &mut batch, &mut pool).unwrap();
    let lines: Vec<_> = tracer.last().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "7.000000000 out 10.0.0.1:3 > 10.0.0.2:53 udp 43 bytes",
            "7.000000000 in  arp 60 bytes",
            "7.000000000 in  ethertype 0x0000 1 bytes",
        ]
    );
    let [received, sent] = tracer.trace_counters();
    assert_eq!((received.frames, received.other, received.bytes), (2, 2, 61));
    assert_eq!((sent.frames, sent.ipv4, sent.udp, sent.bytes), (4, 4, 4, 4 * 43));
    assert_eq!(heard.try_iter().count(), 6);
    assert_eq!(batch.len(), 2);
}

#[test]
fn a_super_packet_says_so_and_none_are_kept_where_none_are_wanted() {
    let mut pool = PacketPool::default();
    let (near, _far) = memory(4);
    let mut tracer = Tracer::new(near, 0);
    let mut merged = packet(&datagram(1, &[0; 100]), &mut pool);
    (merged.hot.gso_size, merged.hot.gso_segments) = (50, 2);
    let told = FrameSummary::of(&merged, Instant::ZERO, Way::In).to_string();
    assert!(told.ends_with("udp 142 bytes of 2 segments"), "{told}");
    tracer.transmit(Instant::ZERO, &mut VecDeque::from([merged]), &mut pool).unwrap();
    assert_eq!((tracer.last().len(), tracer.trace_counters()[1].super_packets), (0, 1));
}
