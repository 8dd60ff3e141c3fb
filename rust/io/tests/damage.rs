//! Damage of pcapng's descriptions: what a description does not say is not taken from another.
mod common;

use common::*;
use netfast_io::BlockFault;
use netfast_io::capture::{Reader, ReaderOptions};

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
