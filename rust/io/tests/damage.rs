//! Damage of pcapng's descriptions: what a description does not say is not taken from another.
mod common;

use common::*;
use netfast_io::capture::{Reader, ReaderOptions};
use netfast_io::{BlockFault, Error};
use std::io::Read;

const NS: &[u8] = &[9, 0, 1, 0, 9, 0, 0, 0];

/// A section with an Ethernet interface and one packet of it.
fn first() -> Vec<u8> {
    [LE.section(&[]), LE.interface(1, 0, &[]), LE.enhanced(0, 1, 3, b"one", &[])].concat()
}

/// An interface of raw IP packets in nanoseconds, and a packet of it.
fn raw(order: Order) -> Vec<u8> {
    let unit = [order.u16(9), order.u16(1), vec![9, 0, 0, 0]].concat();
    [order.interface(101, 0, &unit), order.enhanced(0, 1 << 60, 3, b"raw", &[])].concat()
}

fn lenient(name: &str, file: &[u8]) -> (Vec<Packet>, Reader) {
    let (packets, error) = read_all_ways(name, file, true);
    assert!(error.is_none(), "{name}: {error:?}");
    let mut reader = from_memory(file, ReaderOptions { lenient: true, ..options() }).expect("a capture");
    drain(&mut reader, 16);
    (packets, reader)
}

fn of(time_ns: u64, link: u16, interface: u16, data: &[u8]) -> Packet {
    Packet { link, interface, ..packet(time_ns, data.len() as u32, data) }
}

#[test]
fn a_damaged_section_header_ends_the_section_before() {
    let version = |order: Order| {
        let body = [order.u32(0x1a2b_3c4d), order.u16(1), order.u16(1), vec![0xff; 8]].concat();
        order.block(0x0a0d_0d0a, &body)
    };
    let mut magic = [LE.section(&[]), BE.section(&[])];
    magic.iter_mut().for_each(|header| header[8..12].fill(7));
    let mut end = [LE.section(&[]), BE.section(&[])];
    end.iter_mut().for_each(|header| header[24..28].fill(7));
    for (name, [little, big]) in [("version", [version(LE), version(BE)]), ("magic", magic), ("end", end)] {
        for (order, header) in [(LE, little), (BE, big)] {
            let file = [first(), header.clone(), raw(order)].concat();
            let (packets, error) = read_all_ways(name, &file, false);
            assert_eq!((packets.len(), error.map(|e| e.offset())), (1, Some(Some(first().len() as u64))));
            let (packets, reader) = lenient(name, &file);
            assert_eq!(packets, [of(1000, 1, 0, b"one"), of(1 << 60, 101, 1, b"raw")], "{name}");
            assert_eq!((reader.sections().len(), reader.interfaces()[1].section), (2, 1));
            assert_eq!(reader.statistics().damage_count, 1);
            // Without a description of its own nothing is known of its packets.
            let file = [first(), header, order.enhanced(0, 1, 3, b"raw", &[])].concat();
            let (packets, reader) = lenient(name, &file);
            assert_eq!(packets, [of(1000, 1, 0, b"one")], "{name}");
            assert_eq!(reader.statistics().damage_count, 2);
        }
    }
}

#[test]
fn a_damaged_interface_description_leaves_the_numbers_of_the_others() {
    let mut end = LE.interface(1, 0, &[]);
    end[16..20].copy_from_slice(&99u32.to_le_bytes());
    let short = LE.block(1, &[1, 0, 0, 0]);
    let mut odd = LE.interface(1, 0, &[]);
    odd[4] = 21;
    for (name, damaged) in [("end", end), ("short", short), ("odd", odd)] {
        let file = [
            LE.section(&[]),
            damaged,
            LE.interface(101, 0, NS),
            LE.enhanced(0, 1, 3, b"one", &[]),
            LE.enhanced(1, 1 << 60, 3, b"raw", &[]),
            LE.block(3, &[&LE.u32(4)[..], b"four"].concat()),
        ]
        .concat();
        assert!(read_all_ways(name, &file, false).1.is_some());
        let (packets, reader) = lenient(name, &file);
        assert_eq!(packets, [of(1 << 60, 101, 0, b"raw")], "{name}");
        let fault = BlockFault::DamagedInterface { interface: 0 }.to_string();
        let told = &reader.statistics().damage;
        assert_eq!(told.iter().filter(|damage| damage.what.ends_with(&fault)).count(), 2, "{told:?}");
        assert_eq!(told.len(), 3);
    }
}

/// An option that claims more bytes than its block has.
fn lying(order: Order) -> Vec<u8> {
    [order.u16(2), order.u16(400), b"eth0".to_vec(), order.u16(9), order.u16(1), vec![9, 0, 0, 0]].concat()
}

#[test]
fn options_past_the_end_of_a_description_are_damage() {
    for order in [LE, BE] {
        let interface = [order.section(&[]), order.interface(1, 0, &lying(order)), raw(order)].concat();
        let section = [order.section(&lying(order)), order.interface(1, 0, &[])].concat();
        for (name, file, at) in [("interface-option", interface, 28), ("section-option", section, 0)] {
            let (packets, error) = read_all_ways(name, &file, false);
            assert!(packets.is_empty());
            let Some(Error::BadLength { offset, field: "option length", value: 400, limit: 12, .. }) = error
            else {
                panic!("{name}: {error:?}");
            };
            assert_eq!(offset, at, "{name}");
        }
    }
}

#[test]
fn options_past_the_end_of_other_blocks_are_counted() {
    for order in [LE, BE] {
        let drops = |count: u64| order.option(4, &order.u64(count));
        let name = order.option(1, b"\xc0\x00\x02\x01one.example\0");
        let file = [
            order.section(&[]),
            order.interface(1, 0, &[]),
            order.enhanced(0, 1, 3, b"one", &[drops(17), lying(order)].concat()),
            order.block(4, &[name, order.u16(1), order.u16(200), vec![1, 2, 3, 4]].concat()),
            order.block(10, &[order.u32(0x544c_534b), order.u32(9999), b"abcd".to_vec()].concat()),
            order.block(5, &[order.words(&[0, 0, 0]), order.option(5, &order.u64(3)), lying(order)].concat()),
            order.enhanced(0, 2, 3, b"two", &drops(u64::MAX)),
            order.enhanced(0, 3, 3, b"end", &drops(1)),
        ]
        .concat();
        for keep_options in [false, true] {
            let keep = ReaderOptions { keep_options, ..options() };
            let mut reader = from_memory(&file, keep).expect("a capture");
            let (packets, error) = drain(&mut reader, 2);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(packets.len(), 3);
            assert_eq!(reader.statistics().options_cut, 4);
            assert_eq!(reader.sections()[0].names.len(), 1);
            assert_eq!(reader.interfaces()[0].dropped, Some(3));
            assert_eq!(reader.interfaces()[0].packet_drops, u64::MAX);
        }
    }
}

#[test]
fn statistics_of_an_unknown_interface_are_counted_and_skipped() {
    let statistics = LE.block(5, &[LE.words(&[7, 0, 0]), LE.option(5, &LE.u64(3))].concat());
    let file = [first(), statistics, LE.enhanced(0, 2, 3, b"two", &[])].concat();
    let (packets, error) = read_all_ways("statistics", &file, false);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(packets.len(), 2);
    let mut reader = from_memory(&file, options()).expect("a capture");
    drain(&mut reader, 16);
    assert_eq!(reader.statistics().unknown_interface_statistics, 1);
    assert_eq!(reader.interfaces()[0].dropped, None);
}

/// A block whose length can be believed only for the block that stands behind it is skipped as a whole, however
/// late that one comes: a whole packet block inside of it is no packet of the capture.
#[test]
fn what_a_search_finds_does_not_depend_on_how_the_bytes_come() {
    for order in [LE, BE] {
        let inside = order.enhanced(0, 9, 6, b"inside", &[]);
        let start = [order.section(&[]), order.interface(1, 0, &[])].concat();
        let mut end = order.enhanced(0, 1, 0, &inside, &[]);
        let last = end.len() - 4;
        end[last..].fill(7);
        let mut magic = order.section(&[order.option(2988, &inside), order.option(0, b"")].concat());
        magic[8..12].fill(7);
        for (name, damaged, interfaces) in [("inside-end", end, 1), ("inside-magic", magic, 2)] {
            let interface = order.interface(1, 0, &[]);
            let file = [&start[..], &damaged, &interface, &order.enhanced(0, 2, 3, b"two", &[])].concat();
            let (packets, reader) = lenient(name, &file);
            assert_eq!(packets, [of(2000, 1, interfaces - 1, b"two")], "{name}");
            let [told] = &reader.statistics().damage[..] else { panic!("{name}: one damaged block") };
            assert_eq!((told.offset, told.skipped), (start.len() as u64, damaged.len() as u64), "{name}");
        }
    }
}

/// Where no block that can be believed follows, its length is not believed, and what stands inside is found.
#[test]
fn a_length_that_nothing_speaks_for_is_not_believed() {
    let inside = LE.enhanced(0, 9, 6, b"inside", &[]);
    let mut damaged = LE.enhanced(0, 1, 0, &inside, &[]);
    let last = damaged.len() - 4;
    damaged[last..].fill(7);
    let start = [LE.section(&[]), LE.interface(1, 0, &[]), damaged].concat();
    // The end of the file; too few bytes for a block; a block that is cut; no block.
    let cut = &LE.enhanced(0, 2, 40, &[1; 40], &[])[..30];
    for (name, behind) in [("end", &[][..]), ("few", &[6, 0, 0, 0, 32]), ("cut", cut), ("none", &[0xee; 40])]
    {
        let (packets, _) = lenient(name, &[&start, behind].concat());
        assert_eq!(packets, [of(9000, 1, 0, b"inside")], "{name}");
    }
}

/// A source that breaks while the search still asks for more ends it: what has come since the damage is skipped.
#[test]
fn a_source_that_breaks_in_a_search_ends_it() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("broken"))
        }
    }
    let mut damaged = LE.enhanced(0, 1, 3, b"bad", &[]);
    let last = damaged.len() - 4;
    damaged[last..].fill(7);
    let file = [&first()[..], &damaged, &[6, 0, 0, 0, 32]].concat();
    for step in [1, 7, usize::MAX] {
        let stream = Dribble { bytes: file.clone(), at: 0, step }.chain(Broken);
        let with = ReaderOptions { lenient: true, ..options() };
        let mut reader = Reader::from_reader(Box::new(stream), with).expect("a capture");
        let (packets, error) = drain(&mut reader, 16);
        assert_eq!(packets, [of(1000, 1, 0, b"one")]);
        assert!(matches!(error, Some(Error::Io { .. })), "{error:?}");
        let places: Vec<_> = reader.statistics().damage.iter().map(|d| (d.offset, d.skipped)).collect();
        let begin = first().len() as u64;
        assert_eq!(places, [(begin, damaged.len() as u64 + 5), (file.len() as u64, 0)], "{step}");
    }
}
