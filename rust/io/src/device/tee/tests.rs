//! A tee on a port in memory, and the file that it leaves.
use netfast_buf::ChecksumState;
use netfast_offload::segment::leave_checksum;

use super::*;
use crate::capture::{PacketOption, Reader, ReaderOptions, RecordBatch};
use crate::device::memory::MemoryLink;
use crate::device::testing::{Folder, datagram, memory, packet};

/// Time, direction, length on the wire and bytes of each frame.
fn frames(path: &std::path::Path) -> Vec<(u64, u32, u32, Vec<u8>)> {
    let options = ReaderOptions { keep_options: true, ..ReaderOptions::default() };
    let mut reader = Reader::open(path, options).unwrap();
    let (mut batch, mut all) = (RecordBatch::default(), Vec::new());
    while reader.next_batch(&mut batch, 100).unwrap() {
        for (index, (record, bytes)) in batch.packets().enumerate() {
            let mut options = batch.options_of(index);
            let Some(PacketOption::Flags(flags)) = options.next() else { panic!("no flags") };
            all.push((record.time_ns, flags, record.len, bytes.to_vec()));
        }
    }
    all
}

fn queue(from: std::ops::Range<u16>, pool: &mut PacketPool) -> VecDeque<Skb> {
    from.map(|port| packet(&datagram(port, b"payload"), pool)).collect()
}

fn tee(options: &TeeOptions, room: usize) -> (Tee<MemoryLink>, MemoryLink) {
    let (near, far) = memory(room);
    (Tee::new(near, options).unwrap(), far)
}

const NOW: Instant = Instant::from_secs(1_000_000);

#[test]
fn both_ways_are_captured_with_their_direction() {
    let (folder, mut pool, mut batch) = (Folder::new(), PacketPool::default(), PacketBatch::new());
    let options = TeeOptions::new(folder.file("a.pcapng"));
    let (mut tee, mut far) = tee(&options, 100);
    tee.transmit(NOW, &mut queue(0..2, &mut pool), &mut pool).unwrap();
    far.transmit(NOW, &mut queue(7..8, &mut pool), &mut pool).unwrap();
    let later = NOW + Duration::from_nanos(5);
    assert_eq!(tee.receive(later, &mut batch, &mut pool).unwrap(), Received::Empty);
    assert_eq!(batch.len(), 1);
    tee.transmit(later, &mut queue(9..10, &mut pool), &mut pool).unwrap();
    // Without a word to the device, what is in the file is there.
    tee.transmit(later + TEE_FLUSH, &mut VecDeque::new(), &mut pool).unwrap();
    let expected = [(NOW, OUTBOUND, 0), (NOW, OUTBOUND, 1), (later, INBOUND, 7), (later, OUTBOUND, 9)];
    let expected = expected.map(|(time, flags, port)| {
        let bytes = datagram(port, b"payload");
        (time.as_nanos(), flags, bytes.len() as u32, bytes)
    });
    assert_eq!(frames(&options.path), expected);
    tee.close(&mut pool).unwrap();
    assert_eq!(frames(&options.path), expected);
    assert_eq!(tee.tee_counters(), TeeCounters { captured: 4, bytes: 49 * 4, ..TeeCounters::default() });
}

#[test]
fn what_the_device_does_not_take_is_captured_when_it_does() {
    let (folder, mut pool, mut batch) = (Folder::new(), PacketPool::default(), PacketBatch::new());
    let options = TeeOptions::new(folder.file("a.pcapng"));
    let (mut tee, mut far) = tee(&options, 3);
    let mut waiting = queue(0..8, &mut pool);
    for left in [5, 2, 0] {
        tee.transmit(NOW, &mut waiting, &mut pool).unwrap();
        assert_eq!((waiting.len(), tee.tee_counters().captured), (left, 8 - left as u64));
        far.receive(NOW, &mut batch, &mut pool).unwrap();
    }
    tee.close(&mut pool).unwrap();
    let ports: Vec<_> = frames(&options.path).iter().map(|frame| frame.3[35]).collect();
    assert_eq!(ports, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_limit_ends_the_file_and_a_length_cuts_frames() {
    let (folder, mut pool) = (Folder::new(), PacketPool::default());
    let options = TeeOptions { snaplen: 20, limit: 50, ..TeeOptions::new(folder.file("a.pcapng")) };
    let (mut tee, _far) = tee(&options, 100);
    tee.transmit(NOW, &mut queue(0..9, &mut pool), &mut pool).unwrap();
    assert_eq!(tee.tee_counters(), TeeCounters { captured: 2, bytes: 40, beyond: 7, failed: 0 });
    tee.close(&mut pool).unwrap();
    let all = frames(&options.path);
    assert!(all.len() == 2 && all.iter().all(|frame| (frame.2, frame.3.len()) == (49, 20)));
}

#[test]
fn an_open_checksum_is_filled_in_only_in_the_file() {
    let (folder, mut pool, mut batch) = (Folder::new(), PacketPool::default(), PacketBatch::new());
    let options = TeeOptions::new(folder.file("a.pcapng"));
    let (mut tee, mut far) = tee(&options, 100);
    let mut bytes = datagram(1, b"payload");
    bytes[40] = 1;
    let mut open = packet(&bytes, &mut pool);
    leave_checksum(&mut open, LinkType::ETHERNET, &mut pool).unwrap();
    let left = open.to_vec();
    tee.transmit(NOW, &mut VecDeque::from([open]), &mut pool).unwrap();
    far.receive(NOW, &mut batch, &mut pool).unwrap();
    let through = &batch.packets()[0];
    assert_eq!((through.to_vec(), through.hot.checksum), (left.clone(), ChecksumState::Partial));
    tee.close(&mut pool).unwrap();
    let captured = &frames(&options.path)[0].3;
    // The sum over pseudo-header, header and payload is all ones (RFC 768).
    let pseudo = [&captured[26..34], &[0, 17], &captured[38..40], &captured[34..], &[0]].concat();
    let sum: u32 = pseudo.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    assert_ne!(captured[40..42], left[40..42]);
}

#[test]
fn a_full_disk_does_not_disturb_the_port() {
    if !std::path::Path::new("/dev/full").exists() {
        eprintln!("skipped: no /dev/full");
        return;
    }
    let (near, _far) = memory(100);
    let full = Tee::new(near, &TeeOptions::new("/dev/full"));
    let error = full.err().expect("its first bytes are written at once").to_string();
    assert!(error.starts_with("/dev/full: "), "{error}");
    let (folder, mut pool) = (Folder::new(), PacketPool::default());
    let options = TeeOptions::new(folder.file("a.pcapng"));
    let (mut tee, _far) = tee(&options, 100);
    let full = File::create("/dev/full").unwrap();
    let mut writer = PcapngWriter::new(full, &PcapngOptions::default());
    writer.add_interface(&InterfaceOptions::new(LinkType::ETHERNET)).unwrap();
    tee.file.writer = Some(writer);
    tee.transmit(NOW, &mut queue(0..2, &mut pool), &mut pool).unwrap();
    assert!(tee.error().is_some(), "the first turn writes what there is");
    let mut more = queue(0..3, &mut pool);
    tee.transmit(NOW, &mut more, &mut pool).unwrap();
    assert_eq!((more.len(), tee.tee_counters().failed, tee.counters().sent), (0, 3, 5));
    assert!(matches!(tee.close(&mut pool), Err(DeviceError::File { .. })));
    assert!(tee.close(&mut pool).is_ok(), "told once");
}
