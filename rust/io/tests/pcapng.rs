//! pcapng: every block type, sections, resolutions, and damage.
mod common;

use common::*;
use netfast_io::capture::{Format, LATEST_NS, PacketOption, ReaderOptions, RecordBatch, Resolution};
use netfast_io::{BlockFault, Error};
use netfast_wire::LinkType;

fn read(name: &str, file: &[u8]) -> Vec<Packet> {
    let (packets, error) = read_all_ways(name, file, false);
    assert!(error.is_none(), "{error:?}");
    packets
}

#[test]
fn sections_of_different_byte_order_number_their_own_interfaces() {
    let file = [
        BE.section(&BE.option(1, b"first")),
        BE.interface(1, 0, &[]),
        BE.enhanced(0, 1_000_001, 64, b"big", &[]),
        LE.section(&[LE.option(2, b"machine"), LE.option(3, b"system"), LE.option(4, b"program\0")].concat()),
        LE.interface(101, 100, &LE.option(9, &[9])),
        LE.interface(113, 0, &LE.option(9, &[3])),
        LE.enhanced(1, 7, 5, b"milli", &[]),
        LE.enhanced(0, 1 << 40, 4, b"nano", &[]),
    ]
    .concat();
    let of =
        |time_ns, len, link, interface, data: &[u8]| Packet { link, interface, ..packet(time_ns, len, data) };
    let expected = [
        of(1_000_001_000, 64, 1, 0, b"big"),
        of(7_000_000, 5, 113, 2, b"milli"),
        of(1 << 40, 4, 101, 1, b"nano"),
    ];
    assert_eq!(read("sections", &file), expected);
    let mut reader = from_memory(&file, options()).expect("a capture");
    assert_eq!(reader.format(), Format::Pcapng);
    // Known before the first packet is asked for.
    assert_eq!(reader.interfaces().len(), 1);
    drain(&mut reader, 16);
    let [first, second] = reader.sections() else { panic!() };
    assert!(first.big_endian && !second.big_endian);
    assert_eq!((&first.comments[..], first.version, first.length), (&["first".to_owned()][..], (1, 0), None));
    assert_eq!(second.hardware.as_deref(), Some("machine"));
    assert_eq!(second.os.as_deref(), Some("system"));
    assert_eq!(second.application.as_deref(), Some("program"));
    assert_eq!(reader.interfaces().iter().map(|i| i.section).collect::<Vec<_>>(), [0, 1, 1]);
    assert_eq!(reader.statistics().blocks, 8);
}

#[test]
fn time_stamps_of_every_resolution() {
    for (octet, ticks, offset, ns) in [
        (6u8, 1_700_000_000_123_456u64, 0i64, 1_700_000_000_123_456_000u64),
        (9, 1_700_000_000_123_456_789, 0, 1_700_000_000_123_456_789),
        (0, 1_700_000_000, 0, 1_700_000_000_000_000_000),
        (3, 1_700_000_000_123, 0, 1_700_000_000_123_000_000),
        (12, 5_123_456_789_012, 0, 5_123_456_789),
        (100, 5, 0, 0),
        (0x80 | 20, (3 << 20) + (1 << 19), 0, 3_500_000_000),
        (0x80 | 32, (1_700_000_000 << 32) | (1 << 31), 0, 1_700_000_000_500_000_000),
        (0xff, u64::MAX, 0, 0),
        (6, 5, 10, 10_000_005_000),
        (6, 20_000_000, -10, 10_000_000_000),
        (6, 5, -10, 0),
        (6, 5, i64::MAX, LATEST_NS),
        (0, u64::MAX, 0, LATEST_NS),
        (0, u64::MAX, i64::MIN, LATEST_NS),
        (0, 1 << 62, i64::MIN, 0),
        // Only with the offset is it known whether a time can be told.
        (0, 1 << 62, -(1 << 62) + 7, 7_000_000_000),
    ] {
        let description = [LE.option(9, &[octet]), LE.option(14, &offset.to_le_bytes())].concat();
        let file =
            [LE.section(&[]), LE.interface(1, 0, &description), LE.enhanced(0, ticks, 1, b"x", &[])].concat();
        assert_eq!(read("resolution", &file)[0].time_ns, ns, "{octet:#x} {ticks} {offset}");
        let mut reader = from_memory(&file, options()).expect("a capture");
        assert_eq!(reader.interfaces()[0].resolution, Resolution::from_octet(octet));
        drain(&mut reader, 16);
        let clamped = ns == LATEST_NS || (ticks != 0 && offset < 0 && ns == 0);
        assert_eq!(reader.statistics().time_out_of_range, u64::from(clamped), "{octet:#x} {ticks} {offset}");
    }
}

#[test]
fn simple_packets_have_no_time_and_the_interfaces_snap_length() {
    let simple = |len: u32, data: &[u8]| LE.block(3, &[&LE.u32(len), data].concat());
    let file = [
        LE.section(&[]),
        LE.interface(1, 6, &[]),
        simple(100, b"sixsix\0\0"),
        simple(5, b"whole\0\0\0"),
        LE.interface(1, 0, &[]),
    ]
    .concat();
    let mut reader = from_memory(&file, options()).expect("a capture");
    let (packets, error) = drain(&mut reader, 16);
    assert!(error.is_none());
    assert_eq!(packets, [packet(0, 100, b"sixsix"), packet(0, 5, b"whole")]);
    assert_eq!(reader.statistics().without_time, 2);
    let timed = |ticks: u64| LE.enhanced(0, ticks, 3, b"its", &[]);
    let file = [
        &file[..],
        &timed(7),
        &simple(5, b"whole\0\0\0"),
        &timed(5),
        &simple(5, b"whole\0\0\0"),
        &simple(5, b"whole\0\0\0"),
    ]
    .concat();
    for max in [1, 3, 16] {
        let mut reader = from_memory(&file, options()).expect("a capture");
        let (mut batch, mut found) = (RecordBatch::default(), Vec::new());
        while reader.next_batch(&mut batch, max).expect("whole") {
            let records = batch.records.iter().enumerate();
            found.extend(records.map(|(at, record)| (record.time_ns / 1000, batch.has_time(at))));
        }
        let expected = [(0, false), (0, false), (7, true), (7, false), (5, true), (5, false), (5, false)];
        assert_eq!(found, expected, "{max}");
    }
    let none = [LE.section(&[]), simple(5, b"whole")].concat();
    let (_, error) = read_all_ways("simple", &none, false);
    assert!(matches!(error, Some(Error::BadBlock { fault: BlockFault::NoInterface, .. })), "{error:?}");
}

#[test]
fn old_packet_blocks_count_drops() {
    for order in [LE, BE] {
        let old = |drops: u16, data: &[u8]| {
            let head = [order.u16(0), order.u16(drops), order.words(&[0, 9, data.len() as u32, 77])].concat();
            order.block(2, &[&head, data].concat())
        };
        let file = [
            order.section(&[]),
            order.interface(1, 0, &[]),
            old(3, b"old!"),
            old(u16::MAX, b"5"),
            old(4, b""),
        ]
        .concat();
        let mut reader = from_memory(&file, options()).expect("a capture");
        let (packets, error) = drain(&mut reader, 2);
        assert!(error.is_none());
        assert_eq!(packets, [packet(9000, 77, b"old!"), packet(9000, 77, b"5"), packet(9000, 77, b"")]);
        assert_eq!(reader.interfaces()[0].packet_drops, 7);
    }
}

#[test]
fn descriptions_names_statistics_and_secrets_are_kept() {
    let description = [
        LE.option(1, b"a comment"),
        LE.option(2, b"eth0"),
        LE.option(3, "Schnittstelle \u{fc}".as_bytes()),
        LE.option(8, &1_000_000_000u64.to_le_bytes()),
        LE.option(11, b"\0tcp port 80"),
        LE.option(12, b"Linux"),
        LE.option(13, &[4]),
        LE.option(15, b"a card"),
        LE.option(6, &[1, 2, 3, 4, 5, 6]),
        LE.option(0, b""),
    ]
    .concat();
    let names = [
        LE.option(1, b"\xc0\x00\x02\x01one.example\0uno.example\0"),
        LE.option(2, &[&[0x20, 1, 0xd, 0xb8][..], &[0; 12], b"six.example\0"].concat()),
        LE.option(9, b"later kinds"),
        LE.option(0, b""),
    ]
    .concat();
    let ticks = |ticks: u64| [LE.u32((ticks >> 32) as u32), LE.u32(ticks as u32)].concat();
    let statistics = [
        LE.words(&[0, 0, 9]),
        LE.option(2, &ticks(1 << 33)),
        LE.option(3, &ticks(1 << 34)),
        LE.option(4, &10u64.to_le_bytes()),
        LE.option(5, &2u64.to_le_bytes()),
        LE.option(6, &9u64.to_le_bytes()),
        LE.option(7, &1u64.to_le_bytes()),
        LE.option(8, &7u64.to_le_bytes()),
    ]
    .concat();
    let secrets = [LE.u32(0x544c_534b), LE.u32(6), b"SECRET\0\0".to_vec()].concat();
    let file = [
        LE.section(&[]),
        LE.interface(1, 0, &description),
        LE.block(4, &names),
        LE.block(9, b"JOURNAL=1\n"),
        LE.block(10, &secrets),
        LE.block(0x0bad, &LE.words(&[32473, 1])),
        LE.block(0x4000_0bad, &LE.words(&[32473, 1])),
        LE.block(0x1234_5678, &[9; 500]),
        LE.enhanced(0, 1, 1, b"x", &[]),
        LE.block(5, &statistics),
    ]
    .concat();
    assert_eq!(read("descriptions", &file).len(), 1);
    let mut reader = from_memory(&file, options()).expect("a capture");
    drain(&mut reader, 16);
    let interface = &reader.interfaces()[0];
    assert_eq!(interface.comments, ["a comment"]);
    assert_eq!(interface.name.as_deref(), Some("eth0"));
    assert_eq!(interface.description.as_deref(), Some("Schnittstelle \u{fc}"));
    assert_eq!(interface.filter.as_deref(), Some("tcp port 80"));
    assert_eq!((interface.os.as_deref(), interface.hardware.as_deref()), (Some("Linux"), Some("a card")));
    assert_eq!((interface.speed, interface.fcs_len), (Some(1_000_000_000), Some(4)));
    assert_eq!((interface.other[0].code, &interface.other[0].value[..]), (6, &[1, 2, 3, 4, 5, 6][..]));
    assert_eq!(
        (interface.received, interface.dropped, interface.filter_accepted),
        (Some(10), Some(2), Some(9))
    );
    assert_eq!((interface.os_dropped, interface.delivered), (Some(1), Some(7)));
    assert_eq!((interface.start_ns, interface.end_ns), (Some(1000 << 33), Some(1000 << 34)));
    let section = &reader.sections()[0];
    assert_eq!(section.names[0].names, ["one.example", "uno.example"]);
    assert_eq!(section.names[1].address, "2001:db8::".parse::<std::net::IpAddr>().expect("an address"));
    assert_eq!((section.secrets[0].kind, &section.secrets[0].data[..]), (0x544c_534b, &b"SECRET"[..]));
    assert!(!format!("{section:?}").contains("SECRET"));
    let s = reader.statistics();
    assert_eq!((s.unknown_blocks, s.custom_blocks, s.journal_blocks, s.blocks), (1, 2, 1, 10));
}

#[test]
fn packet_options_are_kept_when_asked_for() {
    let hash = [&[2u8][..], b"hash"].concat();
    for order in [LE, BE] {
        let some = [
            order.option(1, b"why"),
            order.option(2, &order.u32(1)),
            order.option(3, &hash),
            order.option(4, &order.u64(5)),
            order.option(5, &order.u64(6)),
            order.option(6, &order.u32(7)),
            order.option(7, b"\x01v"),
            order.option(2988, &[order.u32(32473), b"own".to_vec()].concat()),
            order.option(99, b"new"),
            order.option(0, b""),
            order.option(1, b"after the end"),
        ]
        .concat();
        let file = [
            order.section(&[]),
            order.interface(1, 0, &[]),
            order.enhanced(0, 1, 3, b"abc", &[]),
            order.enhanced(0, 1, 3, b"abc", &some),
            order.enhanced(0, 1, 0, b"", &order.option(1, b"\xff")),
        ]
        .concat();
        let keep = ReaderOptions { keep_options: true, ..options() };
        let mut reader = from_memory(&file, keep).expect("a capture");
        let mut batch = RecordBatch::default();
        assert!(reader.next_batch(&mut batch, 16).expect("packets"));
        assert_eq!(batch.options_of(0).count(), 0);
        let expected = [
            PacketOption::Comment("why".into()),
            PacketOption::Flags(1),
            PacketOption::Hash { algorithm: 2, value: b"hash" },
            PacketOption::DropCount(5),
            PacketOption::PacketId(6),
            PacketOption::Queue(7),
            PacketOption::Verdict { kind: 1, value: b"v" },
            PacketOption::Custom { code: 2988, enterprise: 32473, value: b"own" },
            PacketOption::Other { code: 99, value: b"new" },
        ];
        assert_eq!(batch.options_of(1).collect::<Vec<_>>(), expected);
        assert_eq!(batch.options_of(2).collect::<Vec<_>>(), [PacketOption::Comment("\u{fffd}".into())]);
        let mut reader = from_memory(&file, options()).expect("a capture");
        assert!(reader.next_batch(&mut batch, 16).expect("packets"));
        assert!(batch.options.is_empty());
    }
}

fn three() -> Vec<u8> {
    let packet = |i: u8| LE.enhanced(0, u64::from(i), 40, &[i; 40], &[]);
    [LE.section(&[]), LE.interface(1, 0, &[]), packet(0), packet(1), packet(2)].concat()
}

const FIRST: usize = 28 + 20;
const SIZE: usize = 32 + 40;

fn kinds(packets: &[Packet]) -> Vec<u8> {
    packets.iter().map(|packet| packet.data[0]).collect()
}

#[test]
fn damage_is_told_with_frame_and_offset_and_skipped_when_lenient() {
    let second = FIRST + SIZE;
    type Check = fn(&Error) -> bool;
    let cases: [(&str, usize, u32, Check, &[u8]); 7] = [
        (
            "length",
            4,
            71,
            |e| matches!(e, Error::BadBlock { fault: BlockFault::UnalignedLength { length: 71 }, .. }),
            &[0, 2],
        ),
        ("short", 4, 8, |e| matches!(e, Error::BadLength { field: "block length", value: 8, .. }), &[0, 2]),
        ("long", 4, u32::MAX, |e| matches!(e, Error::BadLength { field: "block length", .. }), &[0, 2]),
        (
            "end",
            SIZE - 4,
            76,
            |e| matches!(e, Error::BadBlock { fault: BlockFault::LengthsDiffer { .. }, .. }),
            &[0, 2],
        ),
        (
            "caplen",
            20,
            41,
            |e| matches!(e, Error::BadLength { field: "captured length", value: 41, limit: 40, .. }),
            &[0, 2],
        ),
        ("interface", 8, 1, |e| matches!(e, Error::UnknownInterface { interface: 1, known: 1, .. }), &[0, 2]),
        (
            "section",
            0,
            0x0a0d_0d0a,
            |e| matches!(e, Error::BadBlock { fault: BlockFault::ByteOrder { .. }, .. }),
            // What follows may be of another section, whose interfaces nobody described.
            &[0],
        ),
    ];
    for (name, at, value, check, kept) in cases {
        // 41 bytes fit the padding of no packet here: the body is exactly as long as the packet.
        let mut file = three();
        file[second + at..second + at + 4].copy_from_slice(&value.to_le_bytes());
        let (packets, error) = read_all_ways(name, &file, false);
        assert_eq!(kinds(&packets), [0], "{name}");
        let error = error.expect(name);
        assert!(check(&error), "{name}: {error:?}");
        assert_eq!((error.frame(), error.offset()), (Some(2), Some(second as u64)), "{name}");
        let (packets, error) = read_all_ways(name, &file, true);
        assert!(error.is_none(), "{name}");
        assert_eq!(kinds(&packets), kept, "{name}");
        let mut reader = from_memory(&file, ReaderOptions { lenient: true, ..options() }).expect("a capture");
        drain(&mut reader, 16);
        let (damage, more) = reader.statistics().damage.split_first().expect(name);
        assert_eq!(more.len(), 2 - kept.len(), "{name}: {more:?}");
        assert_eq!((damage.frame, damage.offset, damage.skipped), (2, second as u64, SIZE as u64), "{name}");
    }
}

#[test]
fn a_cut_file_gives_all_whole_packets_then_the_error() {
    let file = three();
    for cut in FIRST + 2 * SIZE + 1..file.len() {
        let (packets, error) = read_all_ways("ngcut", &file[..cut], false);
        assert_eq!(kinds(&packets), [0, 1]);
        let error = error.expect("cut");
        assert!(matches!(error, Error::Truncated { frame: 3, part: "block", .. }), "{error}");
        assert_eq!(error.offset(), Some((FIRST + 2 * SIZE) as u64));
        let (packets, error) = read_all_ways("ngcut", &file[..cut], true);
        assert!(error.is_none() && packets.len() == 2);
    }
}

#[test]
fn garbage_between_blocks_is_skipped_when_lenient() {
    for length in [1, 3, 64, 5000] {
        let mut file = three();
        let at = FIRST + SIZE;
        file.splice(at..at, vec![0xa5; length]);
        assert!(read_all_ways("garbage", &file, false).1.is_some());
        assert_eq!(kinds(&read_all_ways("garbage", &file, true).0), [0, 1, 2]);
    }
}

#[test]
fn versions_that_nobody_described_are_refused() {
    let mut file = three();
    file[12] = 2;
    let (_, error) = read_all_ways("version", &file, false);
    assert!(
        matches!(error, Some(Error::UnsupportedVersion { frame: 1, format: "pcapng", major: 2, .. })),
        "{error:?}"
    );
}

#[test]
fn descriptions_cannot_grow_memory() {
    // Half a million sections, and interfaces beyond what records can number.
    let mut file = LE.section(&[]).repeat(300_000);
    let mut reader = from_memory(&file, options()).expect("a capture");
    let (_, error) = drain(&mut reader, 16);
    assert!(error.is_none());
    assert!(reader.sections().len() < 100_000);
    assert!(reader.statistics().metadata_dropped > 200_000);
    file = LE.section(&[]);
    file.extend(LE.interface(1, 0, &LE.option(1, &[b'x'; 1000])).repeat(65_537));
    let mut reader = from_memory(&file, options()).expect("a capture");
    let (_, error) = drain(&mut reader, 16);
    assert!(matches!(error, Some(Error::TooManyInterfaces { limit: 65_536, .. })), "{error:?}");
    assert!(
        reader.interfaces().iter().map(|i| i.comments.iter().map(String::len).sum::<usize>()).sum::<usize>()
            < 16 << 20
    );
}

#[test]
fn interfaces_beyond_those_that_can_be_numbered_share_the_number_of_their_kind() {
    let section = |i: u32| {
        let offset = LE.option(14, &u64::from(i).to_le_bytes());
        [LE.section(&[]), LE.interface(1, 0, &offset), LE.enhanced(0, 0, 1, b"x", &[])].concat()
    };
    let mut file: Vec<u8> = (0..65_536).flat_map(section).collect();
    let statistics = |drops: u64| LE.block(5, &[LE.words(&[0, 0, 0]), LE.option(5, &LE.u64(drops))].concat());
    file.extend(statistics(3));
    for i in [7, 65_535] {
        file.extend(section(i));
        file.extend(statistics(99));
    }
    let mut reader = from_memory(&file, options()).expect("a capture");
    let (packets, error) = drain(&mut reader, 4096);
    assert!(error.is_none(), "{error:?}");
    let found = |at: usize| (packets[at].time_ns / 1_000_000_000, packets[at].interface);
    assert_eq!((packets.len(), found(65_535)), (65_538, (65_535, 65_535)));
    assert_eq!((found(65_536), found(65_537)), ((7, 7), (65_535, 65_535)));
    assert_eq!((reader.interfaces().len(), reader.statistics().shared_interfaces), (65_536, 2));
    // What is told of another interface is not told of the one whose number it has.
    assert_eq!((reader.interfaces()[7].dropped, reader.interfaces()[65_535].dropped), (None, Some(3)));
    // Of a kind that there is none of.
    file.extend(section(65_536));
    let mut reader = from_memory(&file, options()).expect("a capture");
    let (packets, error) = drain(&mut reader, 4096);
    assert_eq!(packets.len(), 65_538);
    assert!(matches!(error, Some(Error::TooManyInterfaces { frame: 65_539, .. })), "{error:?}");
}

#[test]
fn any_link_type_is_carried() {
    let file = [LE.section(&[]), LE.interface(0xfedc, 0, &[]), LE.enhanced(0, 0, 0, b"", &[])].concat();
    assert_eq!(read("link", &file)[0].link, 0xfedc);
    let reader = from_memory(&file, options()).expect("a capture");
    assert_eq!(reader.interfaces()[0].link_type, LinkType(0xfedc));
}
