//! Against capinfos, tshark and editcap over the bundled captures and the variants that editcap writes.
mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::*;
use netfast_io::capture::{InterfaceOptions, PacketMeta, PcapngOptions, PcapngWriter, Reader, RecordBatch};
use netfast_wire::LinkType;

/// The bundled captures: whatever stands in `tests/data` at the top of the repository.
fn captures() -> Vec<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
    let mut found = Vec::new();
    let mut folders = vec![data];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                // Of broken files every program makes something else; their manifest says what we make of them.
                if !path.ends_with("damaged") {
                    folders.push(path);
                }
                continue;
            }
            let name = path.to_string_lossy().into_owned();
            let ends = [".pcap", ".pcapng", ".cap", ".pcap.gz", ".pcapng.gz", ".pcap.zst", ".pcapng.zst"];
            if ends.iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What a program printed, whatever it thought of the file; None, said on the screen, when it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("skipped: {program} is not installed");
            None
        }
        Err(error) => panic!("{program}: {error}"),
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
    }
}

/// Our rows in the shape of tshark's: time (nothing in packets without one), length, captured length.
fn rows(path: &Path) -> Vec<String> {
    let mut reader = Reader::open(path, options()).expect("a capture");
    let (mut batch, mut rows) = (RecordBatch::default(), Vec::new());
    while let Ok(true) = reader.next_batch(&mut batch, 256) {
        for (at, record) in batch.records.iter().enumerate() {
            let (seconds, ns) = (record.time_ns / 1_000_000_000, record.time_ns % 1_000_000_000);
            let time = if batch.has_time(at) { format!("{seconds}.{ns:09}") } else { String::new() };
            rows.push(format!("{time}|{}|{}", record.len, record.caplen));
        }
    }
    rows
}

/// tshark's rows; None when it is not installed.
fn their_rows(path: &Path) -> Option<Vec<String>> {
    let path = path.to_str().expect("a plain path");
    let fields = ["-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.cap_len"];
    // Custom blocks are frames for tshark, but packets neither for capinfos nor for us: they have no link type.
    let packets = ["-Y", "frame.encap_type"];
    let arguments =
        [&["-n", "-r", path, "-T", "fields", "-E", "separator=|"][..], &packets, &fields].concat();
    Some(run("tshark", &arguments)?.lines().map(str::to_owned).collect())
}

#[test]
fn bundled_captures_read_as_tshark_reads_them() {
    for path in captures() {
        let Some(theirs) = their_rows(&path) else { return };
        let ours = rows(&path);
        assert_eq!(ours.len(), theirs.len(), "{}", path.display());
        for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(ours, theirs, "{} frame {}", path.display(), i + 1);
        }
    }
}

#[test]
fn bundled_captures_count_as_capinfos_counts_them() {
    for path in captures() {
        let Some(text) = run("capinfos", &["-M", "-c", "-d", path.to_str().expect("a plain path")]) else {
            return;
        };
        let number = |label: &str| {
            let line = text.lines().find(|line| line.starts_with(label))?;
            line.split_whitespace().find_map(|word| word.parse::<u64>().ok())
        };
        let mut reader = Reader::open(&path, options()).expect("a capture");
        let (packets, _) = drain(&mut reader, 256);
        assert_eq!(number("Number of packets"), Some(packets.len() as u64), "{}: {text}", path.display());
        assert_eq!(number("Data size"), Some(reader.statistics().wire_bytes), "{}: {text}", path.display());
    }
}

#[test]
fn formats_that_editcap_writes_read_the_same() {
    let mut writer = PcapngWriter::new(Vec::new(), &PcapngOptions::default());
    writer.add_interface(&InterfaceOptions::new(LinkType::ETHERNET)).expect("memory");
    let mut expected = Vec::new();
    for i in 0..300u64 {
        let data: Vec<_> = (0..60 + i).map(|byte| (byte * 7 + i) as u8).collect();
        let time_ns = 1_700_000_000_000_000_000 + i * 1_000_001_000;
        writer.write(0, time_ns, data.len() as u32 + 4, &data, &PacketMeta::default()).expect("memory");
        expected.push(packet(time_ns, data.len() as u32 + 4, &data));
    }
    let original = TempFile::new("editcap-in.pcapng", &writer.finish().expect("memory"));
    for kind in ["pcapng", "pcap", "nsecpcap", "modpcap", "nokiapcap", "rh6_1pcap", "suse6_3pcap"] {
        let out = TempFile::new(&format!("editcap-{kind}"), b"");
        let paths = [original.0.to_str().expect("a plain path"), out.0.to_str().expect("a plain path")];
        if run("editcap", &["-F", kind, paths[0], paths[1]]).is_none() {
            return;
        }
        let mut reader = Reader::open(&out.0, options()).expect(kind);
        let (packets, error) = drain(&mut reader, 64);
        assert!(error.is_none(), "{kind}: {error:?}");
        assert!(packets == expected, "{kind}: {} packets as {}", packets.len(), reader.format());
    }
}

#[test]
fn compressed_files_of_the_real_programs_read_the_same() {
    let mut writer = PcapngWriter::new(Vec::new(), &PcapngOptions::default());
    writer.add_interface(&InterfaceOptions::new(LinkType::ETHERNET)).expect("memory");
    for i in 0..20_000u64 {
        let data: Vec<_> = (0..64 + i % 900).map(|byte| (byte ^ i) as u8).collect();
        writer.write(0, i, data.len() as u32, &data, &PacketMeta::default()).expect("memory");
    }
    let file = writer.finish().expect("memory");
    let plain = TempFile::new("plain.pcapng", &file);
    let expected = rows(&plain.0);
    assert_eq!(expected.len(), 20_000);
    for (program, arguments, end) in [
        ("gzip", &["-k", "-f"][..], "gz"),
        ("gzip", &["-k", "-f", "-1"], "gz"),
        ("zstd", &["-k", "-f", "-q"], "zst"),
        ("zstd", &["-k", "-f", "-q", "-19", "--check"], "zst"),
        ("zstd", &["-k", "-f", "-q", "--long=27"], "zst"),
    ] {
        let path = plain.0.to_str().expect("a plain path");
        if run(program, &[arguments, &[path]].concat()).is_none() {
            continue;
        }
        let packed = TempFile(PathBuf::from(format!("{path}.{end}")));
        assert_eq!(rows(&packed.0), expected, "{program} {arguments:?}");
    }
}
