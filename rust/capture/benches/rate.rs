//! Packets a second from a file to columns and to flow records, beside nothing: `netfast bench` has the peers.
//!
//! `NETFAST_BENCH_FILE=capture.pcap cargo bench -p netfast-capture`; without it a small one is made.
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use netfast_capture::{
    FlowOptions, FlowReader, Input, InputOptions, PacketReader, ReadOptions, packet_batch,
};
use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;

fn open(path: &PathBuf) -> Input {
    Input::open(&[path], &InputOptions::default()).expect("the bench's capture opens")
}

/// A capture of UDP packets of 100 flows.
fn made() -> PathBuf {
    let path = std::env::temp_dir().join(format!("netfast-bench-{}.pcap", std::process::id()));
    let mut file =
        std::io::BufWriter::new(std::fs::File::create(&path).expect("the temporary directory is writable"));
    let mut put = |bytes: &[u8]| file.write_all(bytes).expect("the temporary directory has room");
    put(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
    for n in 0..200_000u32 {
        let mut packet = vec![2; 12];
        packet.extend([8, 0, 0x45, 0, 0, 128, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend([4, (n % 100) as u8, 0, 53, 0, 108, 0, 0]);
        packet.resize(142, n as u8);
        let time = (n / 1000).to_le_bytes();
        put(&[&time[..], &(n % 1000 * 1000).to_le_bytes(), &142u32.to_le_bytes(), &142u32.to_le_bytes()]
            .concat());
        put(&packet);
    }
    path
}

fn columns(path: &PathBuf, checksums: bool) -> u64 {
    let mut reader = PacketReader::new(open(path), ReadOptions { checksums, ..ReadOptions::default() });
    let mut packets = 0;
    while let Some(columns) = reader.next_columns().expect("the capture is whole") {
        packets +=
            black_box(packet_batch(&columns, Default::default()).expect("columns fit")).num_rows() as u64;
    }
    packets
}

fn flows(path: &PathBuf, threads: usize) -> u64 {
    let options = FlowOptions { threads, ..FlowOptions::default() };
    let mut reader = FlowReader::new(open(path), options).expect("the limits are in range");
    while let Some(flows) = reader.next_flows().expect("the capture is whole") {
        black_box(flows.len());
    }
    reader.counters().packets
}

fn rates(criterion: &mut Criterion) {
    let given = std::env::var_os("NETFAST_BENCH_FILE").map(PathBuf::from);
    let path = given.clone().unwrap_or_else(made);
    let mut group = criterion.benchmark_group("capture");
    group.sample_size(10).throughput(Throughput::Elements(columns(&path, false)));
    group.bench_function("columns", |bench| bench.iter(|| columns(&path, false)));
    group.bench_function("columns with checksums", |bench| bench.iter(|| columns(&path, true)));
    group.bench_function("flows", |bench| bench.iter(|| flows(&path, 1)));
    group.bench_function("flows on two threads", |bench| bench.iter(|| flows(&path, 2)));
    group.finish();
    if given.is_none() {
        std::fs::remove_file(path).expect("the bench's capture is ours");
    }
}

criterion_group!(benches, rates);
criterion_main!(benches);
