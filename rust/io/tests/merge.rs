//! Several captures as one.
mod common;

use common::*;
use netfast_io::Error;
use netfast_io::capture::{Merge, PacketOption, Reader, ReaderOptions, RecordBatch};

const STANDARD: u32 = 0xa1b2_c3d4;

/// A capture of an input's number and the seconds of its packets.
fn capture(link: u32, seconds: &[u32]) -> Vec<u8> {
    let mut file = LE.pcap_header(STANDARD, (2, 4), link);
    for &second in seconds {
        file.extend(LE.record(second, 0, 100, 0, &[link as u8; 50]));
    }
    file
}

fn readers(files: &[Vec<u8>]) -> Vec<Reader> {
    let open = |file: &Vec<u8>| {
        from_memory(file, ReaderOptions { block_size: 4096, keep_options: true, ..options() })
            .expect("a capture")
    };
    files.iter().map(open).collect()
}

fn drain_merge(merge: &mut Merge, max: usize) -> Vec<Packet> {
    let (mut batch, mut packets) = (RecordBatch::default(), Vec::new());
    while merge.next_batch(&mut batch, max).expect("whole") {
        assert!(batch.records.len() <= max);
        collect(&batch, &mut packets);
    }
    packets
}

fn seconds(packets: &[Packet]) -> Vec<(u64, u16)> {
    packets.iter().map(|p| (p.time_ns / 1_000_000_000, p.link)).collect()
}

#[test]
fn packets_come_in_order_of_time_and_ties_in_order_of_files() {
    for max in [1, 2, 64] {
        let files = [capture(1, &[1, 3, 5, 5, 9]), capture(101, &[2, 3, 5, 8]), capture(113, &[])];
        let mut merge = Merge::new(readers(&files));
        let packets = drain_merge(&mut merge, max);
        let expected = [(1, 1), (2, 101), (3, 1), (3, 101), (5, 1), (5, 1), (5, 101), (8, 101), (9, 1)];
        assert_eq!(seconds(&packets), expected);
        assert!(
            packets.iter().all(|p| p.data == [p.link as u8; 50] && p.interface == u16::from(p.link == 101))
        );
        let links: Vec<_> = merge.interfaces().iter().map(|interface| interface.link_type.0).collect();
        assert_eq!(links, [1, 101, 113]);
        assert_eq!((merge.input_of(1), merge.input_of(3)), (Some(1), None));
    }
}

#[test]
fn a_file_whose_times_go_back_keeps_its_order() {
    let files = [capture(1, &[5, 1, 6]), capture(101, &[2, 7])];
    let packets = drain_merge(&mut Merge::new(readers(&files)), 16);
    assert_eq!(seconds(&packets), [(2, 101), (5, 1), (1, 1), (6, 1), (7, 101)]);
}

#[test]
fn files_that_follow_each_other_are_not_copied() {
    let first: Vec<_> = (0..1000).collect();
    let second: Vec<_> = (1000..2000).collect();
    let mut merge = Merge::new(readers(&[capture(1, &second), capture(101, &first)]));
    let packets = drain_merge(&mut merge, 256);
    assert!(packets.iter().zip(0..).all(|(p, i)| p.time_ns == i * 1_000_000_000));
    assert_eq!(merge.copied_bytes(), 0);
}

#[test]
fn files_that_interleave_come_in_full_batches() {
    let even: Vec<_> = (0..2000).map(|i| i * 2).collect();
    let odd: Vec<_> = (0..2000).map(|i| i * 2 + 1).collect();
    let mut merge = Merge::new(readers(&[capture(1, &even), capture(101, &odd)]));
    let (mut batch, mut packets, mut batches) = (RecordBatch::default(), Vec::new(), 0);
    while merge.next_batch(&mut batch, 256).expect("whole") {
        collect(&batch, &mut packets);
        batches += 1;
    }
    assert!(
        packets.iter().zip(0..).all(|(p, i)| p.time_ns == i * 1_000_000_000 && p.data == [p.link as u8; 50])
    );
    assert_eq!(packets.len(), 4000);
    assert!(batches < 100, "{batches}");
    assert!(merge.copied_bytes() >= 4000 * 50 * 9 / 10);
}

#[test]
fn options_and_interfaces_go_along() {
    let file = |name: &[u8], start: u64, comment: &[u8]| {
        let mut file = LE.section(&[]);
        for part in [name, b"second"] {
            file.extend(LE.interface(1, 0, &LE.option(2, part)));
        }
        for i in 0..40 {
            let options = if i % 4 == 0 { LE.option(1, comment) } else { Vec::new() };
            file.extend(LE.enhanced((i % 2) as u32, start + i * 2, 3, comment, &options));
        }
        file
    };
    let mut merge =
        Merge::new(readers(&[file(b"a", 0, b"one"), file(b"b", 1, b"two"), file(b"c", 500, b"six")]));
    let (mut batch, mut total, mut comments) = (RecordBatch::default(), 0, 0);
    while merge.next_batch(&mut batch, 16).expect("whole") {
        for (i, (record, data)) in batch.packets().enumerate() {
            let names = merge.interfaces();
            let owner = merge.input_of(record.interface).expect("a known interface");
            assert_eq!(data, [b"one", b"two", b"six"][owner]);
            let name = names[usize::from(record.interface)].name.as_deref();
            let first = record.interface.is_multiple_of(2);
            assert_eq!(name, Some(if first { ["a", "b", "c"][owner] } else { "second" }));
            let text = String::from_utf8_lossy(data);
            for option in batch.options_of(i) {
                assert_eq!(option, PacketOption::Comment(text.clone()));
                comments += 1;
            }
        }
        total += batch.records.len();
    }
    assert_eq!((total, comments), (120, 30));
}

#[test]
fn packets_without_a_time_stay_behind_the_one_before() {
    let file = |start: u64, data: &[u8; 4]| {
        let mut file = [LE.section(&[]), LE.interface(1, 0, &[])].concat();
        for i in 0..40 {
            file.extend(LE.enhanced(0, start + i * 2, 4, data, &[]));
            if i % 4 == 0 {
                file.extend(LE.block(3, &[&LE.u32(4)[..], b"none"].concat()));
            }
        }
        file
    };
    for second in [1, 500] {
        let mut merge = Merge::new(readers(&[file(0, b"even"), file(second, b"more")]));
        let (mut batch, mut last, mut total) = (RecordBatch::default(), None, 0);
        while merge.next_batch(&mut batch, 16).expect("whole") {
            for (at, (record, data)) in batch.packets().enumerate() {
                assert_eq!(batch.has_time(at), data != b"none");
                assert!(last <= Some(record.time_ns));
                last = Some(record.time_ns);
                total += 1;
            }
        }
        assert_eq!(total, 100);
    }
}

/// So many interfaces with this snap length and link types from 0; then a packet of each of these.
fn of_many_interfaces(snaplen: u32, interfaces: u16, packets: &[u32]) -> Vec<u8> {
    let mut file = LE.section(&[]);
    (0..interfaces).for_each(|link| file.extend(LE.interface(link, snaplen, &[])));
    packets.iter().for_each(|&interface| file.extend(LE.enhanced(interface, 1, 4, b"data", &[])));
    file
}

#[test]
fn inputs_of_many_interfaces_share_numbers_where_they_can() {
    let readers =
        readers(&[of_many_interfaces(0, 40_000, &[7]), of_many_interfaces(0, 40_000, &[25_000, 39_999])]);
    let mut merge = Merge::new(readers);
    let packets = drain_merge(&mut merge, 16);
    let found: Vec<_> = packets.iter().map(|packet| (packet.link, packet.interface)).collect();
    assert_eq!(found, [(7, 7), (25_000, 65_000), (39_999, 39_999)]);
    assert_eq!((merge.input_of(65_000), merge.input_of(39_999)), (Some(1), Some(0)));
}

#[test]
fn packets_before_an_interface_too_many_come_then_its_error() {
    let mut many = of_many_interfaces(0, 40_000, &[1]);
    many.truncate(many.len() - 1);
    let readers = readers(&[of_many_interfaces(9, 40_000, &[7]), many, of_many_interfaces(5, 1, &[0])]);
    let mut merge = Merge::new(readers);
    let (mut batch, mut packets, mut errors) = (RecordBatch::default(), Vec::new(), Vec::new());
    loop {
        match merge.next_batch(&mut batch, 16) {
            Ok(true) => collect(&batch, &mut packets),
            Ok(false) => break,
            Err(error) => errors.push(error.to_string()),
        }
        assert!(errors.len() < 9, "an end");
    }
    assert_eq!(packets.iter().map(|packet| packet.link).collect::<Vec<_>>(), [7]);
    // Neither error hides the other; the third input has an interface too many as well.
    let expected =
        ["input 2: frame 1: the file ends", "input 2: frame 1: interface", "input 3: frame 1: interface"];
    let mut told = errors.iter();
    assert!(expected.iter().all(|start| told.any(|error| error.starts_with(start))), "{errors:?}");
    assert_eq!(errors.len(), 3, "{errors:?}");
}

#[test]
fn drops_told_before_damage_are_known() {
    let drops = LE.block(5, &[LE.words(&[0, 0, 0]), LE.option(5, &LE.u64(3))].concat());
    let good = [LE.section(&[]), LE.interface(1, 0, &[]), LE.enhanced(0, 1, 4, b"data", &[]), drops].concat();
    let mut merge = Merge::new(readers(&[capture(1, &[1]), [&good[..], &[9; 40]].concat()]));
    let mut batch = RecordBatch::default();
    let mut errors = 0;
    loop {
        match merge.next_batch(&mut batch, 16) {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => errors += 1,
        }
    }
    assert_eq!((errors, merge.interfaces()[1].dropped), (1, Some(3)));
}

#[test]
fn an_error_names_its_input_and_the_others_go_on() {
    let mut cut = capture(101, &[2, 4, 6]);
    cut.truncate(cut.len() - 1);
    let mut merge = Merge::new(readers(&[capture(1, &[1, 3, 5, 7]), cut]));
    let (mut batch, mut packets, mut errors) = (RecordBatch::default(), Vec::new(), Vec::new());
    loop {
        match merge.next_batch(&mut batch, 16) {
            Ok(true) => collect(&batch, &mut packets),
            Ok(false) => break,
            Err(error) => errors.push((packets.len(), error)),
        }
    }
    assert_eq!(seconds(&packets).iter().map(|s| s.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 7]);
    let [(after, error)] = &errors[..] else { panic!("{errors:?}") };
    assert_eq!(*after, 4);
    assert!(matches!(error, Error::Input { input: 1, .. }), "{error}");
    assert_eq!((error.frame(), error.offset()), (Some(3), Some(24 + 2 * 66)));
    assert!(error.to_string().starts_with("input 2: "), "{error}");
}

#[test]
fn one_input_passes_through_and_none_is_empty() {
    let mut merge = Merge::new(readers(&[capture(1, &[3, 1, 2])]));
    assert_eq!(seconds(&drain_merge(&mut merge, 2)), [(3, 1), (1, 1), (2, 1)]);
    assert_eq!((merge.interfaces().len(), merge.copied_bytes()), (1, 0));
    assert!(drain_merge(&mut Merge::new(Vec::new()), 2).is_empty());
}
