//! Writing: what is written reads the same, programs of others accept it, a full disk is told.
mod common;

use std::io::{self, Write};
use std::process::Command;

use common::*;
use netfast_io::Error;
use netfast_io::capture::{
    Format, InterfaceOptions, PacketMeta, PacketOption, PcapOptions, PcapWriter, PcapngOptions, PcapngWriter,
    ReaderOptions, RecordBatch, Resolution, longest_portable,
};
use netfast_wire::LinkType;

const TIME: u64 = 1_700_000_000_123_456_789;

fn pcap(options: PcapOptions) -> Vec<u8> {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::RAW, options);
    writer.write(TIME, 60, b"first").expect("memory");
    writer.write(5, 0, b"").expect("memory");
    assert_eq!(writer.packets(), 2);
    writer.finish().expect("memory")
}

#[test]
fn pcap_reads_back() {
    for (nanoseconds, time_ns, second) in [(true, TIME, 5), (false, TIME / 1000 * 1000, 0)] {
        let file = pcap(PcapOptions { nanoseconds, snaplen: 96 });
        let raw = |packet| Packet { link: 101, ..packet };
        let (packets, error) = read_all_ways("written", &file, false);
        assert!(error.is_none());
        assert_eq!(packets, [raw(packet(time_ns, 60, b"first")), raw(packet(second, 0, b""))]);
        assert_eq!(from_memory(&file, options()).expect("a capture").interfaces()[0].snaplen, 96);
    }
}

fn pcapng() -> Vec<u8> {
    let section = PcapngOptions {
        hardware: Some("a machine".into()),
        os: Some("an os".into()),
        application: Some("a program".into()),
        comments: vec!["one".into(), "two".into()],
    };
    let mut writer = PcapngWriter::new(Vec::new(), &section);
    let first = InterfaceOptions {
        snaplen: 2000,
        name: Some("eth0".into()),
        description: Some("an interface".into()),
        filter: Some("ip6".into()),
        os: Some("Linux".into()),
        fcs_len: Some(0),
        ..InterfaceOptions::new(LinkType::ETHERNET)
    };
    let second = InterfaceOptions {
        resolution: Resolution::PowerOfTwo(30),
        offset_seconds: 1_600_000_000,
        ..InterfaceOptions::new(LinkType::RAW)
    };
    assert_eq!(writer.add_interface(&first).expect("memory"), 0);
    assert_eq!(writer.add_interface(&second).expect("memory"), 1);
    let meta = PacketMeta {
        comments: &["a comment", "another"],
        flags: Some(1),
        drop_count: Some(2),
        packet_id: Some(3),
        queue: Some(4),
        ..PacketMeta::default()
    };
    writer.write(0, TIME, 60, &[0xab; 60], &meta).expect("memory");
    writer.write(1, 1_700_000_000_500_000_000, 21, &[0x45; 21], &PacketMeta::default()).expect("memory");
    writer.write(0, TIME + 1, 1, &[1], &PacketMeta::default()).expect("memory");
    writer.finish().expect("memory")
}

#[test]
fn pcapng_reads_back() {
    let file = pcapng();
    let mut reader =
        from_memory(&file, ReaderOptions { keep_options: true, ..options() }).expect("a capture");
    let mut batch = RecordBatch::default();
    assert!(reader.next_batch(&mut batch, 16).expect("packets"));
    let mut packets = Vec::new();
    collect(&batch, &mut packets);
    let raw = Packet { link: 101, interface: 1, ..packet(1_700_000_000_500_000_000, 21, &[0x45; 21]) };
    assert_eq!(packets, [packet(TIME, 60, &[0xab; 60]), raw, packet(TIME + 1, 1, &[1])]);
    let comment = |text: &'static str| PacketOption::Comment(text.into());
    let expected = [
        comment("a comment"),
        comment("another"),
        PacketOption::Flags(1),
        PacketOption::DropCount(2),
        PacketOption::PacketId(3),
        PacketOption::Queue(4),
    ];
    assert_eq!(batch.options_of(0).collect::<Vec<_>>(), expected);
    assert_eq!(reader.format(), Format::Pcapng);
    let [section] = reader.sections() else { panic!() };
    assert_eq!(section.application.as_deref(), Some("a program"));
    assert_eq!(section.comments, ["one", "two"]);
    let [first, second] = reader.interfaces() else { panic!() };
    assert_eq!((first.name.as_deref(), first.filter.as_deref()), (Some("eth0"), Some("ip6")));
    assert_eq!((first.snaplen, first.fcs_len, first.os.as_deref()), (2000, Some(0), Some("Linux")));
    assert_eq!((second.resolution, second.offset_seconds), (Resolution::PowerOfTwo(30), 1_600_000_000));
}

#[test]
fn what_does_not_fit_is_an_error_and_the_writer_goes_on() {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, PcapOptions::default());
    writer.write(0, 1, b"a").expect("memory");
    let error = writer.write(u64::MAX, 1, b"x").expect_err("after 2106");
    assert!(matches!(error, Error::Unwritable { packet: 2, field: "time in seconds", .. }), "{error}");
    writer.write(1, 1, b"b").expect("memory");
    let file = writer.finish().expect("memory");
    assert_eq!(read_all_ways("unwritable", &file, false).0.len(), 2);
    let mut writer = PcapngWriter::new(Vec::new(), &PcapngOptions::default());
    let error = writer.write(0, 0, 0, b"", &PacketMeta::default()).expect_err("no interface");
    assert!(matches!(error, Error::Unwritable { field: "interface", .. }), "{error}");
    // Text is cut where the format's length field ends, between characters.
    writer.add_interface(&InterfaceOptions::new(LinkType::ETHERNET)).expect("memory");
    let long = "\u{20ac}".repeat(30_000);
    let meta = PacketMeta { comments: &[&long], ..PacketMeta::default() };
    writer.write(0, u64::MAX, 0, b"", &meta).expect("memory");
    let file = writer.finish().expect("memory");
    let mut reader =
        from_memory(&file, ReaderOptions { keep_options: true, ..options() }).expect("a capture");
    let mut batch = RecordBatch::default();
    assert!(reader.next_batch(&mut batch, 1).expect("a packet"));
    assert_eq!(batch.records[0].time_ns, netfast_io::capture::LATEST_NS);
    let expected = "\u{20ac}".repeat(65_535 / 3);
    assert_eq!(batch.options_of(0).collect::<Vec<_>>(), [PacketOption::Comment(expected.into())]);
}

/// A disk with so much room, that also writes in odd pieces.
struct SmallDisk {
    room: usize,
    written: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::Error::from_raw_os_error(28));
        }
        let n = bytes.len().min(self.room).min(1000);
        self.room -= n;
        self.written.lock().expect("one thread").extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_with_the_packets_that_are_whole() {
    for room in [0, 10, 24, 24 + 116, 24 + 115, 300_000, 500_123] {
        let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let disk = SmallDisk { room, written: written.clone() };
        let mut writer = PcapWriter::new(disk, LinkType::ETHERNET, PcapOptions::default());
        let result = (0..6000).try_for_each(|i| writer.write(i, 100, &[i as u8; 100]));
        let again = result.is_err().then(|| writer.write(0, 0, b"more").and_then(|()| writer.flush()));
        let error = result.and_then(|()| writer.finish().map(drop)).expect_err("no room");
        let Error::Write { packets, bytes, source } = &error else { panic!("{error}") };
        assert_eq!((source.raw_os_error(), *bytes), (Some(28), room as u64));
        assert_eq!(*packets, (room.saturating_sub(24) / 116) as u64);
        if let Some(again) = again {
            assert!(again.is_err(), "nothing is written after a gap");
        }
        // Exactly these are whole for a reader.
        let written = written.lock().expect("one thread");
        assert_eq!(written.len(), room);
        if room >= 24 {
            assert_eq!(read_all_ways("full", &written, true).0.len() as u64, *packets);
        }
    }
}

#[test]
fn a_dropped_writer_writes_what_it_can() {
    let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let disk = SmallDisk { room: 1 << 20, written: written.clone() };
    let mut writer = PcapWriter::new(disk, LinkType::ETHERNET, PcapOptions::default());
    writer.write(1, 1, b"x").expect("memory");
    drop(writer);
    assert_eq!(written.lock().expect("one thread").len(), 24 + 17);
}

/// Runs a program of somebody else; None, said on the screen, when it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("skipped: {program} is not installed");
            None
        }
        Err(error) => panic!("{program}: {error}"),
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {arguments:?}: {errors}");
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
    }
}

#[test]
fn tshark_and_capinfos_accept_what_is_written() {
    let ng = TempFile::new("accepted.pcapng", &pcapng());
    let path = ng.0.to_str().expect("a temporary path");
    let fields = ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.interface_id", "frame.comment"];
    let mut arguments = vec!["-r", path, "-T", "fields", "-E", "separator=|"];
    fields.iter().for_each(|field| arguments.extend(["-e", field]));
    if let Some(rows) = run("tshark", &arguments) {
        let rows: Vec<_> = rows.lines().collect();
        let [first, second, third] = rows[..] else { panic!("{rows:?}") };
        assert!(first.starts_with("1700000000.123456789|60|60|0|a comment"), "{first}");
        assert!(second.starts_with("1700000000.500000000|21|21|1|"), "{second}");
        assert!(third.starts_with("1700000000.123456790|1|1|0|"), "{third}");
    }
    if let Some(text) = run("capinfos", &["-M", path]) {
        for line in
            ["Number of packets:   3", "Name = eth0", "Filter string = ip6", "Capture application: a program"]
        {
            assert!(text.contains(line), "{line:?} in {text}");
        }
    }
    for nanoseconds in [true, false] {
        let file = TempFile::new("accepted.pcap", &pcap(PcapOptions { nanoseconds, snaplen: 96 }));
        if let Some(text) = run("capinfos", &["-M", "-T", "-r", "-t", "-c", file.0.to_str().expect("a path")])
        {
            assert!(text.contains(if nanoseconds { "nsecpcap" } else { "pcap" }), "{text}");
            assert!(text.trim_end().ends_with('2'), "{text}");
        }
    }
}

#[test]
fn capinfos_takes_no_longer_packets_than_are_called_portable() {
    for (link, over) in [
        (1, true),
        (147, true),
        (279, true),
        (186, false),
        (189, false),
        (220, false),
        (231, false),
        (249, false),
        (266, false),
    ] {
        let link = LinkType(link);
        // The longest for USB and D-Bus is too much for a test; that it is more than for others is not.
        let longest = longest_portable(link).min(8 << 20);
        for (length, taken) in [(longest, true), (longest + 1, !over)] {
            let mut writer = PcapngWriter::new(Vec::new(), &PcapngOptions::default());
            let number = writer.add_interface(&InterfaceOptions::new(link)).expect("memory");
            writer.write(number, 0, length as u32, &vec![0; length], &PacketMeta::default()).expect("memory");
            let file = TempFile::new("longest.pcapng", &writer.finish().expect("memory"));
            match Command::new("capinfos").arg("-c").arg(&file.0).output() {
                Err(_) => return println!("skipped: capinfos is not installed"),
                Ok(output) => assert_eq!(output.status.success(), taken, "{link} {length}"),
            }
        }
    }
}
