//! Walk rates: how long a packet takes from a file, per reading mode, on a capture that is made here.
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use netfast_io::capture::{
    InterfaceOptions, Merge, PacketMeta, PcapOptions, PcapWriter, PcapngOptions, PcapngWriter, Reader,
    ReaderOptions, RecordBatch,
};
use netfast_wire::LinkType;

const PACKETS: u64 = 200_000;
const BATCH: usize = 256;

/// Lengths as they are mixed on the Internet: many short, many full, some between.
fn length(i: u64) -> usize {
    match i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 {
        0..=8 => 60,
        9..=11 => 576,
        _ => 1514,
    }
}

/// Files that are removed at the end.
struct Files(PathBuf);

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn make() -> Self {
        let files = Self(std::env::temp_dir().join(format!("netfast-io-bench-{}", std::process::id())));
        std::fs::create_dir_all(&files.0).expect("the temporary directory can be written");
        let data = [0x5a; 1514];
        let link = LinkType::ETHERNET;
        for (name, first) in [("capture.pcap", 0), ("between.pcap", 500)] {
            let file = files.path(name);
            let mut pcap = PcapWriter::create(file, link, PcapOptions::default()).expect("a file");
            for i in 0..PACKETS {
                pcap.write(first + i * 1000, length(i) as u32, &data[..length(i)]).expect("room");
            }
            pcap.finish().expect("room");
        }
        let mut pcapng =
            PcapngWriter::create(files.path("capture.pcapng"), &PcapngOptions::default()).expect("a file");
        pcapng.add_interface(&InterfaceOptions::new(link)).expect("room");
        for i in 0..PACKETS {
            let length = length(i);
            pcapng.write(0, i * 1000, length as u32, &data[..length], &PacketMeta::default()).expect("room");
        }
        pcapng.finish().expect("room");
        let plain = std::fs::read(files.path("capture.pcap")).expect("just written");
        let packed = File::create(files.path("capture.pcap.gz")).expect("a file");
        let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        encoder.write_all(&plain).and_then(|()| encoder.try_finish()).expect("room");
        let packed =
            ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest);
        std::fs::write(files.path("capture.pcap.zst"), packed).expect("room");
        files
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Reads all and touches what every consumer touches: the headers' first cache line.
fn walk(mut next: impl FnMut(&mut RecordBatch) -> bool) -> u64 {
    let mut batch = RecordBatch::default();
    let mut sum = 0;
    while next(&mut batch) {
        for (record, data) in batch.packets() {
            sum += record.time_ns + u64::from(data[12]);
        }
    }
    sum
}

fn walk_file(path: &Path, options: ReaderOptions) -> u64 {
    let mut reader = Reader::open(path, options).expect("a capture");
    walk(|batch| reader.next_batch(batch, BATCH).expect("whole"))
}

fn read(c: &mut Criterion) {
    let files = Files::make();
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Elements(PACKETS)).sample_size(20);
    for name in ["capture.pcap", "capture.pcapng", "capture.pcap.gz", "capture.pcap.zst"] {
        let path = files.path(name);
        group.bench_function(name, |b| b.iter(|| black_box(walk_file(&path, ReaderOptions::default()))));
    }
    let path = files.path("capture.pcap");
    for block_size in [64 << 10, 256 << 10, 1 << 20] {
        let options = ReaderOptions { block_size, ..ReaderOptions::default() };
        let name = format!("blocks of {} KiB", block_size >> 10);
        group.bench_function(name, |b| b.iter(|| black_box(walk_file(&path, options.clone()))));
    }
    let mapped = ReaderOptions { mmap: true, ..ReaderOptions::default() };
    group.bench_function("mapped", |b| b.iter(|| black_box(walk_file(&path, mapped.clone()))));
    group.bench_function("as a stream", |b| {
        b.iter(|| {
            let file = Box::new(File::open(&path).expect("just written"));
            let mut reader = Reader::from_reader(file, ReaderOptions::default()).expect("a capture");
            black_box(walk(|batch| reader.next_batch(batch, BATCH).expect("whole")))
        });
    });
    group.throughput(Throughput::Elements(2 * PACKETS));
    group.bench_function("two files that interleave", |b| {
        b.iter(|| {
            let open = |name| Reader::open(files.path(name), ReaderOptions::default()).expect("a capture");
            let mut merge = Merge::new(vec![open("capture.pcap"), open("between.pcap")]);
            black_box(walk(|batch| merge.next_batch(batch, BATCH).expect("whole")))
        });
    });
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
