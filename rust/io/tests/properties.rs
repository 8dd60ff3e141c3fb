//! Properties: what is written reads the same, however it is read; nothing that is read panics or hangs.
mod common;

use common::*;
use netfast_io::capture::{
    Format, InterfaceOptions, PacketMeta, PacketOption, PcapOptions, PcapWriter, PcapngOptions, PcapngWriter,
    Reader, ReaderOptions, RecordBatch, Statistics,
};
use netfast_wire::LinkType;
use proptest::collection::vec;
use proptest::prelude::*;

type Given = (u32, u32, u32, Vec<u8>);

fn packets() -> impl Strategy<Value = Vec<Given>> {
    vec((any::<u32>(), 0..1_000_000_000u32, any::<u32>(), vec(any::<u8>(), 0..300)), 0..60)
}

fn time((seconds, nanoseconds, ..): &Given) -> u64 {
    u64::from(*seconds) * 1_000_000_000 + u64::from(*nanoseconds)
}

fn expected(given: &[Given], link: u16) -> Vec<Packet> {
    given.iter().map(|g| Packet { link, ..packet(time(g), g.2, &g.3) }).collect()
}

fn pcap(given: &[Given], link: u16) -> Vec<u8> {
    let mut writer = PcapWriter::new(Vec::new(), LinkType(link), PcapOptions::default());
    given.iter().for_each(|g| writer.write(time(g), g.2, &g.3).expect("memory"));
    writer.finish().expect("memory")
}

fn pcapng(given: &[Given], link: u16) -> Vec<u8> {
    let mut writer = PcapngWriter::new(Vec::new(), &PcapngOptions::default());
    writer.add_interface(&InterfaceOptions::new(LinkType(link))).expect("memory");
    for g in given {
        let text = format!("{} bytes", g.3.len());
        let meta = PacketMeta { comments: &[&text], ..PacketMeta::default() };
        writer.write(0, time(g), g.2, &g.3, &meta).expect("memory");
    }
    writer.finish().expect("memory")
}

/// Damage: bytes set, a part cut out, a part doubled, the end cut off.
fn mutate(file: &mut Vec<u8>, changes: &[(u8, u32, u8)]) {
    for &(kind, at, value) in changes {
        if file.is_empty() {
            return;
        }
        let at = at as usize % file.len();
        let end = (at + usize::from(value)).min(file.len());
        match kind % 8 {
            0..=3 => file[at] = value,
            4 => drop(file.drain(at..end)),
            5 => {
                let part = file[at..end].to_vec();
                file.splice(at..at, part);
            }
            6 => file[at..end].fill(0xff),
            _ => file.truncate(file.len() - usize::from(value).min(file.len())),
        }
    }
}

/// Reads to the end; what was met, having touched all bytes of the packets, and the format.
fn exhaust(mut reader: Reader, limit: usize) -> (Statistics, Format) {
    let (mut batch, mut packets, mut sum) = (RecordBatch::default(), 0, 0u64);
    while let Ok(true) = reader.next_batch(&mut batch, 7) {
        for (i, (record, data)) in batch.packets().enumerate() {
            assert_eq!(data.len(), record.caplen as usize);
            sum = data.iter().fold(sum, |sum, &byte| sum.wrapping_add(u64::from(byte)));
            sum = sum.wrapping_add(batch.options_of(i).count() as u64);
        }
        packets += batch.records.len();
        assert!(packets <= limit, "more packets than bytes");
    }
    assert_eq!(reader.statistics().packets, packets as u64);
    std::hint::black_box(sum);
    // After an error the rest of a slow pipe is not read.
    let mut statistics = reader.statistics().clone();
    statistics.file_bytes = 0;
    (statistics, reader.format())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn written_reads_the_same(given in packets(), link in any::<u16>()) {
        for file in [pcap(&given, link), pcapng(&given, link)] {
            let (read, error) = read_all_ways("property", &file, false);
            prop_assert!(error.is_none());
            prop_assert_eq!(&read, &expected(&given, link));
        }
        let keep = ReaderOptions { keep_options: true, block_size: 512, ..options() };
        let mut reader = from_memory(&pcapng(&given, link), keep).expect("a capture");
        let mut batch = RecordBatch::default();
        while reader.next_batch(&mut batch, 5).expect("whole") {
            for i in 0..batch.records.len() {
                let text = format!("{} bytes", batch.records[i].caplen);
                prop_assert_eq!(batch.options_of(i).collect::<Vec<_>>(), [PacketOption::Comment(text.into())]);
            }
        }
    }

    #[test]
    fn every_prefix_gives_its_whole_packets(given in packets(), cut in any::<u32>()) {
        let (file, all) = (pcap(&given, 1), expected(&given, 1));
        let cut = 24 + cut as usize % (file.len() - 23);
        let (read, error) = read_all_ways("prefix", &file[..cut], false);
        prop_assert_eq!(&read[..], &all[..read.len()]);
        let whole = 24 + read.iter().map(|packet| packet.data.len() + 16).sum::<usize>();
        prop_assert_eq!(error.is_none(), whole == cut);
        prop_assert_eq!(error.and_then(|error| error.offset()).unwrap_or(whole as u64), whole as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn damaged_captures_never_panic(
        given in packets(),
        changes in vec((any::<u8>(), any::<u32>(), any::<u8>()), 1..12),
        ng in any::<bool>(),
        lenient in any::<bool>(),
        gzip in any::<bool>(),
    ) {
        let mut file = if ng { pcapng(&given, 1) } else { pcap(&given, 1) };
        mutate(&mut file, &changes);
        let limit = file.len();
        let with = ReaderOptions { lenient, keep_options: true, block_size: 512, ..options() };
        let read = from_memory(&file, with.clone()).map(|reader| exhaust(reader, limit)).ok();
        let dribble = Dribble { bytes: file.clone(), at: 0, step: 3 };
        let dribbled = Reader::from_reader(Box::new(dribble), with.clone());
        let dribbled = dribbled.map(|reader| exhaust(reader, limit)).ok();
        // pcap's variants are told by the records that have come: a slow pipe may tell another one than a file.
        if read.as_ref().map(|read| read.1) == dribbled.as_ref().map(|read| read.1) {
            prop_assert_eq!(read, dribbled);
        }
        if gzip {
            use std::io::Write;
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&file).expect("memory");
            let mut packed = encoder.finish().expect("memory");
            let packed_changes: Vec<_> = changes.iter().map(|c| (c.0 & 3, c.1, c.2)).collect();
            mutate(&mut packed, &packed_changes);
            let _ = from_memory(&packed, with).map(|reader| exhaust(reader, 1 << 24));
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in vec(any::<u8>(), 0..2000), magic in 0..6usize, lenient in any::<bool>()) {
        let starts = [0xa1b2_c3d4u32, 0xd4c3_b2a1, 0xa1b2_cd34, 0x1c00_01ac, 0x0a0d_0d0a, 0xfd2f_b528];
        let mut file = starts[magic].to_le_bytes().to_vec();
        file.extend([&[2, 0, 4, 0][..], &bytes].concat());
        let with = ReaderOptions { lenient, keep_options: true, block_size: 256, ..options() };
        let limit = file.len() * 1000;
        let _ = from_memory(&file, with).map(|reader| exhaust(reader, limit));
    }
}
