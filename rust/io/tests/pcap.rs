//! Classic pcap: every variant, and damage.
mod common;

use common::*;
use netfast_io::capture::{Format, PcapVariant, Reader, ReaderOptions, RecordBatch};
use netfast_io::{Error, capture::Compression};
use netfast_wire::LinkType;

const STANDARD: u32 = 0xa1b2_c3d4;
const NANO: u32 = 0xa1b2_3c4d;
const MODIFIED: u32 = 0xa1b2_cd34;

fn read(name: &str, file: &[u8]) -> Vec<Packet> {
    let (packets, error) = read_all_ways(name, file, false);
    assert!(error.is_none(), "{error:?}");
    packets
}

fn format_of(file: &[u8]) -> (PcapVariant, bool, bool) {
    let mut reader = from_memory(file, options()).expect("a capture");
    drain(&mut reader, 16);
    match reader.format() {
        Format::Pcap { variant, big_endian, nanoseconds, .. } => (variant, big_endian, nanoseconds),
        other => panic!("{other}"),
    }
}

#[test]
fn both_byte_orders_and_both_resolutions() {
    for order in [LE, BE] {
        for (magic, unit) in [(STANDARD, 1000), (NANO, 1)] {
            let file = [
                order.pcap_header(magic, (2, 4), 1),
                order.record(1_700_000_000, 999_999, 60, 0, b"hello"),
                order.record(u32::MAX, 7, 0, 0, b""),
                order.record(0, 0, 3, 0, b"end"),
            ]
            .concat();
            let expected = [
                packet(1_700_000_000_000_000_000 + 999_999 * unit, 60, b"hello"),
                packet(u64::from(u32::MAX) * 1_000_000_000 + 7 * unit, 0, b""),
                packet(0, 3, b"end"),
            ];
            assert_eq!(read("orders", &file), expected);
            assert_eq!(format_of(&file), (PcapVariant::Standard, order.0, unit == 1));
        }
    }
}

#[test]
fn modified_record_headers_are_told_by_the_records() {
    for order in [LE, BE] {
        for (magic, extra, variant) in [
            (MODIFIED, 8, PcapVariant::Modified),
            (MODIFIED, 12, PcapVariant::ModifiedWithCpu),
            (STANDARD, 8, PcapVariant::ModifiedStandardMagic),
            (STANDARD, 4, PcapVariant::Nokia),
        ] {
            let mut file = order.pcap_header(magic, (2, 4), 1);
            for i in 0..4 {
                file.extend(order.record(1000 + i, i, 64, extra, &[i as u8; 64]));
            }
            let mut reader = from_memory(&file, options()).expect("a capture");
            let (packets, error) = drain(&mut reader, 16);
            assert!(error.is_none(), "{variant}: {error:?}");
            assert_eq!(packets.len(), 4, "{variant}");
            assert!(packets.iter().zip(0..).all(|(packet, i)| packet.data == [i; 64]), "{variant}");
            assert_eq!(format_of(&file).0, variant);
        }
    }
}

#[test]
fn ixia_file_headers_have_a_size_field() {
    for (magic, variant, unit) in
        [(0x1c00_01ac, PcapVariant::IxiaHardware, 1), (0x1c00_01ab, PcapVariant::IxiaSoftware, 1000)]
    {
        for order in [LE, BE] {
            let record = order.record(5, 6, 9, 0, b"ixia");
            let file = [order.pcap_header(magic, (2, 4), 1), order.u32(record.len() as u32), record].concat();
            assert_eq!(read("ixia", &file), [packet(5_000_000_000 + 6 * unit, 9, b"ixia")]);
            assert_eq!(format_of(&file).0, variant);
        }
    }
}

#[test]
fn aix_counts_nanoseconds_and_numbers_interfaces_its_own_way() {
    for (theirs, ours) in [(6, 1), (9, 6), (15, 10), (24, 0)] {
        // Version 2.2: the length on the wire stands first.
        let file =
            [BE.pcap_header(STANDARD, (2, 2), theirs), BE.words(&[1, 2, 9, 3]), b"aix".to_vec()].concat();
        let [aix] = &read("aix", &file)[..] else { panic!() };
        assert_eq!((aix.time_ns, aix.len, aix.link, &aix.data[..]), (1_000_000_002, 9, ours, &b"aix"[..]));
    }
}

#[test]
fn old_versions_have_the_lengths_the_other_way_round() {
    for version in [(2, 0), (2, 2), (543, 0)] {
        let file =
            [LE.pcap_header(STANDARD, version, 1), LE.words(&[1, 0, 100, 4]), b"data".to_vec()].concat();
        assert_eq!(read("old", &file), [packet(1_000_000_000, 100, b"data")]);
    }
    // 2.3: some programs did, some did not.
    let file = [
        LE.pcap_header(STANDARD, (2, 3), 1),
        LE.words(&[1, 0, 100, 4]),
        b"data".to_vec(),
        LE.words(&[2, 0, 4, 100]),
        b"data".to_vec(),
    ]
    .concat();
    let times: Vec<_> = read("old23", &file).iter().map(|p| (p.time_ns / 1_000_000_000, p.len)).collect();
    assert_eq!(times, [(1, 100), (2, 100)]);
    let error = from_memory(&LE.pcap_header(STANDARD, (1, 2), 1), options()).expect_err("version 1");
    assert!(matches!(error, Error::UnsupportedVersion { major: 1, minor: 2, .. }), "{error}");
}

#[test]
fn the_link_type_field_tells_the_frame_check_sequence() {
    let reader = from_memory(&LE.pcap_header(STANDARD, (2, 4), 0x2400_0069), options()).expect("a capture");
    assert_eq!(reader.interfaces()[0].link_type, LinkType::IEEE802_11);
    assert_eq!(reader.interfaces()[0].fcs_len, Some(4));
    assert_eq!(reader.interfaces()[0].snaplen, 65535);
}

#[test]
fn oddities_are_kept_and_counted() {
    let file = [
        LE.pcap_header(STANDARD, (2, 4), 1),
        LE.record(10, 1_500_000, 4, 0, b"late"),
        LE.record(11, 0, 2, 0, b"longer"),
    ]
    .concat();
    let mut reader = from_memory(&file, options()).expect("a capture");
    let (packets, _) = drain(&mut reader, 16);
    assert_eq!(packets, [packet(11_500_000_000, 4, b"late"), packet(11_000_000_000, 2, b"longer")]);
    let statistics = reader.statistics();
    assert_eq!((statistics.fraction_above_second, statistics.caplen_above_len), (1, 1));
    assert_eq!((statistics.packets, statistics.captured_bytes, statistics.wire_bytes), (2, 10, 6));
}

#[test]
fn empty_and_foreign_files_are_no_captures() {
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"\xd4", "d4"),
        (b"hello world, this is text", "68 65 6c"),
        (b"BZh91AY&SY", "bzip2"),
        (b"snoop\0\0\0\0\0\0\x02", "editcap"),
        (b"<!DOCTYPE html>", "download"),
    ] {
        let error = from_memory(bytes, options()).expect_err("no capture");
        assert!(matches!(error, Error::NotACapture { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.offset(), Some(0));
    }
    let (_, error) = read_all_ways("header", &LE.pcap_header(STANDARD, (2, 4), 1)[..20], false);
    assert!(
        matches!(error, Some(Error::Truncated { part: "file header", need: 24, have: 20, .. })),
        "{error:?}"
    );
    let (packets, error) = read_all_ways("none", &LE.pcap_header(STANDARD, (2, 4), 1), false);
    assert!(packets.is_empty() && error.is_none());
}

fn three() -> Vec<u8> {
    several(3)
}

fn several(count: u32) -> Vec<u8> {
    let mut file = LE.pcap_header(STANDARD, (2, 4), 1);
    for i in 0..count {
        file.extend(LE.record(1000 + i, 0, 40, 0, &[i as u8; 40]));
    }
    file
}

#[test]
fn a_cut_file_gives_all_whole_packets_then_the_error() {
    let file = three();
    for cut in 24 + 2 * 56 + 1..file.len() {
        let (packets, error) = read_all_ways("cut", &file[..cut], false);
        assert_eq!(packets.len(), 2);
        let error = error.expect("cut");
        assert_eq!((error.frame(), error.offset()), (Some(3), Some(24 + 2 * 56)));
        let Error::Truncated { need, have, .. } = error else { panic!("{error}") };
        assert_eq!(have, (cut - 24 - 2 * 56) as u64);
        assert_eq!(need, if have < 16 { 16 } else { 56 });
        let (packets, error) = read_all_ways("cut", &file[..cut], true);
        assert!(packets.len() == 2 && error.is_none());
    }
}

#[test]
fn lying_lengths_are_errors_before_memory_is_taken() {
    let mut file = three();
    file[24 + 56 + 8..24 + 56 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let (packets, error) = read_all_ways("lying", &file, false);
    assert_eq!(packets.len(), 1);
    let error = error.expect("a lie");
    assert_eq!((error.frame(), error.offset()), (Some(2), Some(24 + 56)));
    assert!(
        matches!(error, Error::BadLength { field: "captured length", value: 0xffff_ffff, .. }),
        "{error}"
    );
    // A length that is believed but not there.
    file[24 + 56 + 8..24 + 56 + 12].copy_from_slice(&(200u32 << 20).to_le_bytes());
    let (packets, error) = read_all_ways("lying", &file, false);
    assert_eq!(packets.len(), 1);
    assert!(matches!(error, Some(Error::Truncated { frame: 2, .. })), "{error:?}");
}

#[test]
fn lenient_finds_the_next_record_after_damage() {
    let mut file = three();
    file[24 + 56 + 8..24 + 56 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let (packets, error) = read_all_ways("lenient", &file, true);
    assert!(error.is_none());
    assert_eq!(packets.iter().map(|p| p.data[0]).collect::<Vec<_>>(), [0, 2]);
    let mut reader = from_memory(&file, ReaderOptions { lenient: true, ..options() }).expect("a capture");
    drain(&mut reader, 16);
    let [damage] = &reader.statistics().damage[..] else { panic!("{:?}", reader.statistics()) };
    assert_eq!((damage.frame, damage.offset, damage.skipped), (2, 24 + 56, 56));
    // Bytes that are lost, and bytes too many.
    let mut lost = several(4);
    lost.drain(24 + 56 + 20..24 + 56 + 30);
    // The packet that lost bytes takes them from the next one's header, which nobody can find any more.
    let (packets, _) = read_all_ways("lost", &lost, true);
    assert_eq!(packets.iter().map(|p| p.data[0]).collect::<Vec<_>>(), [0, 1, 3]);
    let mut more = three();
    more.splice(24 + 56..24 + 56, vec![0xff; 333]);
    assert_eq!(read_all_ways("more", &more, true).0.len(), 3);
}

#[test]
fn a_file_that_shrinks_is_truncated() {
    let mut file = LE.pcap_header(STANDARD, (2, 4), 1);
    for i in 0..100 {
        file.extend(LE.record(i, 0, 1000, 0, &[7; 1000]));
    }
    let temp = TempFile::new("shrinks", &file);
    let mut reader =
        Reader::open(&temp.0, ReaderOptions { block_size: 8192, ..options() }).expect("a capture");
    let mut batch = RecordBatch::default();
    assert!(reader.next_batch(&mut batch, 1).expect("a packet"));
    let end = 24 + 50 * 1016;
    let handle = std::fs::OpenOptions::new().write(true).open(&temp.0).expect("the file");
    handle.set_len(end).expect("shorter");
    let (packets, error) = drain_rest(&mut reader);
    assert_eq!(packets, 49);
    let error = error.expect("it shrank");
    let missing = file.len() as u64 - end;
    assert!(
        matches!(error, Error::Shrunk { frame: 51, offset, end: ends, missing: lost } if (offset, ends, lost) == (end, end, missing)),
        "{error}"
    );
    assert!(error.to_string().contains("cut while it was read: it ends at byte 50824"), "{error}");
}

fn drain_rest(reader: &mut Reader) -> (usize, Option<Error>) {
    let (mut batch, mut packets) = (RecordBatch::default(), 0);
    loop {
        match reader.next_batch(&mut batch, 64) {
            Ok(true) => packets += batch.records.len(),
            Ok(false) => return (packets, None),
            Err(error) => return (packets, Some(error)),
        }
    }
}

#[test]
fn an_absent_file_is_the_systems_error() {
    let error = Reader::open("/nonexistent/capture.pcap", options()).expect_err("absent");
    assert_eq!(error.os_error().map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
    assert!(Reader::open(std::env::temp_dir(), options()).is_err());
}

#[test]
fn a_pipe_that_stalls_delivers_what_it_gave() {
    use std::io::Write;
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let feeder = std::thread::spawn(move || {
        writer.write_all(&LE.pcap_header(STANDARD, (2, 4), 1)).expect("written");
        for i in 0..3 {
            writer.write_all(&LE.record(i, 0, 5, 0, b"whole")).expect("written");
            // The next is written only when this one has arrived.
            asked.recv_timeout(std::time::Duration::from_secs(20)).expect("it has arrived");
        }
    });
    let mut reader = Reader::from_reader(Box::new(reader), options()).expect("a capture");
    let mut batch = RecordBatch::default();
    let mut kept = Vec::new();
    for i in 0..3 {
        assert!(reader.next_batch(&mut batch, 64).expect("a packet"));
        assert_eq!((batch.records.len(), batch.first_frame), (1, i + 1));
        // A block that is kept is no longer than what it holds.
        assert!(batch.bytes().len() < 64);
        kept.extend(batch.block.clone());
        ask.send(()).expect("the feeder waits");
    }
    assert!(!reader.next_batch(&mut batch, 64).expect("the end"));
    feeder.join().expect("the feeder is done");
    assert!(kept.iter().all(|block| block.bytes().ends_with(b"whole")));
}

#[test]
fn blocks_are_reused_unless_they_are_kept() {
    let mut file = LE.pcap_header(STANDARD, (2, 4), 1);
    for i in 0..4000 {
        file.extend(LE.record(i, 0, 1000, 0, &[i as u8; 1000]));
    }
    let temp = TempFile::new("reuse", &file);
    for keep in [false, true] {
        let mut reader =
            Reader::open(&temp.0, ReaderOptions { block_size: 65536, ..options() }).expect("a capture");
        let mut batch = RecordBatch::default();
        let mut memory = std::collections::HashSet::new();
        let mut kept = Vec::new();
        while reader.next_batch(&mut batch, 4096).expect("whole") {
            memory.insert(batch.bytes().as_ptr());
            if keep {
                kept.push((batch.block.clone(), batch.records.clone(), batch.first_frame));
            }
        }
        assert_eq!(memory.len() == 1, !keep, "{}", memory.len());
        for (block, records, first) in kept {
            let block = block.expect("a block");
            let whole = |(i, r): (usize, &netfast_io::capture::Record)| {
                r.data(block.bytes()).iter().all(|&b| b == (first as usize - 1 + i) as u8)
            };
            assert!(records.iter().enumerate().all(whole));
        }
    }
}

#[test]
fn offsets_find_the_bytes_in_the_file() {
    let mut file = LE.pcap_header(STANDARD, (2, 4), 1);
    for i in 0..200 {
        file.extend(LE.record(i, 0, 100, 0, &[i as u8; 100]));
    }
    let temp = TempFile::new("offsets", &file);
    let mut reader =
        Reader::open(&temp.0, ReaderOptions { block_size: 4096, ..options() }).expect("a capture");
    let mut batch = RecordBatch::default();
    while reader.next_batch(&mut batch, 7).expect("whole") {
        assert_eq!(batch.file_offset, 24 + (batch.first_frame - 1) * 116);
        for (i, record) in batch.records.iter().enumerate() {
            let at = batch.block_offset.wrapping_add(u64::from(record.offset));
            assert_eq!(at, 24 + (batch.first_frame - 1 + i as u64) * 116 + 16);
        }
    }
}

#[test]
fn a_cut_zstandard_file_gives_all_blocks_before_the_cut() {
    let mut file = LE.pcap_header(STANDARD, (2, 4), 1);
    let mut random = 1u32;
    for i in 0..5000 {
        let noise = |_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 24) as u8
        };
        let data: Vec<_> = (0..200).map(noise).collect();
        file.extend(LE.record(i, 0, 200, 0, &data));
    }
    let packed = ruzstd::encoding::compress_to_vec(&file[..], ruzstd::encoding::CompressionLevel::Fastest);
    // Noise does not compress: the cut loses at most one block of 128 KiB.
    let (packets, error) = read_all_ways("zstdcut", &packed[..packed.len() - 10], false);
    assert!(matches!(error, Some(Error::Truncated { part: "compressed data", .. })), "{error:?}");
    assert!(packets.len() >= 5000 - (128 << 10) / 216 - 1, "{}", packets.len());
    let (lenient, error) = read_all_ways("zstdcut", &packed[..packed.len() - 10], true);
    assert!(error.is_none() && lenient == packets);
    // A frame of raw blocks, one of them of the reserved type.
    let mut damaged = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x50];
    for (i, part) in file.chunks(100_000).enumerate() {
        let kind = if i == 5 { 3 } else { 0 };
        damaged.extend(&((part.len() as u32) << 3 | kind << 1).to_le_bytes()[..3]);
        damaged.extend(part);
    }
    let (packets, error) = read_all_ways("zstddamage", &damaged, false);
    assert!(matches!(error, Some(Error::Decompress { compression: Compression::Zstd, .. })), "{error:?}");
    assert_eq!(packets.len(), (500_000 - 24) / 216);
}

#[test]
fn compressed_captures_read_the_same() {
    use std::io::Write;
    let file = three();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    };
    let zstd =
        |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    let skippable = [&0x184d_2a53u32.to_le_bytes()[..], &5u32.to_le_bytes(), b"skip!"].concat();
    let (gz, zs) = (Compression::Gzip, Compression::Zstd);
    for (bytes, layers) in [
        (gzip(&file), vec![gz]),
        ([gzip(&file[..70]), gzip(&file[70..])].concat(), vec![gz]),
        (zstd(&file), vec![zs]),
        ([skippable.clone(), zstd(&file[..70]), skippable, zstd(&file[70..])].concat(), vec![zs]),
        (gzip(&zstd(&file)), vec![gz, zs]),
    ] {
        assert_eq!(read("compressed", &bytes), read("plain", &file));
        let reader = from_memory(&bytes, options()).expect("a capture");
        assert_eq!(reader.statistics().compression, layers);
        // Cut: what was whole comes, then the error.
        let cut = &bytes[..bytes.len() - 5];
        let (packets, error) = read_all_ways("compressed", cut, false);
        assert!(error.is_some());
        let (lenient, error) = read_all_ways("compressed", cut, true);
        assert!(error.is_none() || packets.is_empty(), "a cut tail is no error when lenient: {error:?}");
        assert_eq!(packets, lenient);
        let temp = TempFile::new("progress", &bytes);
        let mut reader = Reader::open(&temp.0, options()).expect("a capture");
        assert_eq!(reader.progress().map(|progress| progress.1), Some(bytes.len() as u64));
        assert_eq!(drain(&mut reader, 1).0.len(), 3);
    }
    let mut damaged = gzip(&file);
    let middle = damaged.len() - 6;
    damaged[middle] ^= 0xff;
    let (packets, error) = read_all_ways("damaged", &damaged, false);
    assert!(matches!(error, Some(Error::Decompress { compression: Compression::Gzip, .. })), "{error:?}");
    assert_eq!(packets.len(), 3);
    let deep = (0..6).fold(file, |bytes, _| gzip(&bytes));
    assert!(matches!(from_memory(&deep, options()), Err(Error::TooDeep { .. })));
}

/// Gives its bytes, then an error of the system's.
struct Failing(Dribble);

impl std::io::Read for Failing {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(std::io::Error::from_raw_os_error(5)),
            n => Ok(n),
        }
    }
}

#[test]
fn an_error_of_the_system_is_told_in_lenient_reading_too() {
    let good = [LE.pcap_header(0xa1b2_c3d4, (2, 4), 1), LE.record(1, 0, 4, 0, b"good")].concat();
    // It is met while the search after damage goes on.
    let bytes = [&good[..], &[0xff; 50_000]].concat();
    for step in [1000, usize::MAX] {
        let source = Failing(Dribble { bytes: bytes.clone(), at: 0, step });
        let with = ReaderOptions { lenient: true, block_size: 4096, ..options() };
        let mut reader = Reader::from_reader(Box::new(source), with).expect("a capture");
        let (packets, error) = drain(&mut reader, 16);
        assert_eq!(packets.len(), 1);
        let error = error.expect("the system's error");
        assert_eq!(error.os_error().and_then(std::io::Error::raw_os_error), Some(5), "{error}");
        assert_eq!(error.offset(), Some(bytes.len() as u64));
        let damage = &reader.statistics().damage;
        assert_eq!(damage.len(), 2, "{damage:?}");
        assert_eq!((damage[0].frame, damage[0].offset), (2, good.len() as u64));
    }
}

#[test]
fn any_number_of_records_may_be_asked_for() {
    let pcap = [LE.pcap_header(0xa1b2_c3d4, (2, 4), 1), LE.record(1, 0, 4, 0, b"good")].concat();
    let pcapng = [LE.section(&[]), LE.interface(1, 0, &[]), LE.enhanced(0, 1, 4, b"good", &[])].concat();
    for file in [pcap, pcapng] {
        let mut reader = from_memory(&file, options()).expect("a capture");
        let mut batch = RecordBatch::default();
        assert!(reader.next_batch(&mut batch, usize::MAX).expect("a packet"));
        assert_eq!(batch.records.len(), 1);
        assert!(batch.records.capacity() <= 4096);
    }
}

#[test]
fn errors_name_the_remedy_and_lists_of_damage_do_not() {
    let good = [LE.pcap_header(0xa1b2_c3d4, (2, 4), 1), LE.record(1, 0, 4, 0, b"good")].concat();
    let long = [&good[..], &LE.words(&[1, 0, u32::MAX, 4])].concat();
    let text = "frame 2: captured length 4294967295 at byte 44 is outside 0..=268435456";
    let mut reader = from_memory(&long, options()).expect("a capture");
    let error = drain(&mut reader, 16).1.expect("an error").to_string();
    assert_eq!(error, format!("{text}; lenient=True skips what is damaged"));
    assert_eq!(reader.statistics().damage[0].what, text);
    // Before the header's end there is no frame of which to say that it is whole.
    let error = from_memory(&good[..20], options()).expect_err("cut").to_string();
    assert_eq!(error, "frame 1: the file ends inside its file header at byte 0: 24 bytes needed, 20 there");
    let error =
        from_memory(&good[..43], options()).map(|mut reader| drain(&mut reader, 16).1).expect("a capture");
    let text = "frame 1: the file ends inside its record at byte 24: 20 bytes needed, 19 there; \
                all frames before it are whole";
    assert_eq!(error.expect("cut").to_string(), text);
}
