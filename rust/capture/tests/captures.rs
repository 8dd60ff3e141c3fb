//! Every bundled capture, read in every way: the results must not depend on the way.
use netfast_capture::{
    FlowOptions, FlowReader, Input, InputOptions, PacketReader, ReadOptions, TextFormat, TextWriter,
    packet_batch,
};
use netfast_flow::{FlowConfig, FlowRecord};
use netfast_io::capture::ReaderOptions;
use std::path::PathBuf;

fn captures() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the bundled captures are there")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.to_string_lossy().contains(".pcap"))
        .collect();
    paths.sort();
    assert!(paths.len() > 20, "the bundled captures are there");
    paths
}

fn input(paths: &[PathBuf], options: ReaderOptions) -> Input {
    Input::open(paths, &InputOptions { reader: options, filter: None }).expect("a bundled capture opens")
}

fn flows(paths: &[PathBuf], options: FlowOptions) -> Vec<FlowRecord> {
    let mut reader =
        FlowReader::new(input(paths, ReaderOptions::default()), options).expect("limits are in range");
    let mut records = vec![];
    while let Some(batch) = reader.next_flows().expect("a bundled capture is whole") {
        records.extend_from_slice(batch.records());
    }
    let counters = reader.counters();
    assert!(counters.conserved(), "{paths:?}: {counters:?}");
    let packets: u64 = records.iter().map(|record| record.packets[0] + record.packets[1]).sum();
    assert_eq!(packets, counters.in_flows, "{paths:?}");
    records.sort_by_key(|record| (record.key, record.first_ns, record.last_ns));
    records
}

#[test]
fn flows_depend_neither_on_threads_nor_on_the_seed() {
    let mut sets: Vec<Vec<PathBuf>> = captures().into_iter().map(|path| vec![path]).collect();
    sets.push(captures());
    for paths in sets {
        for inner in [false, true] {
            for (idle_ns, statistics) in [(FlowConfig::IDLE_NS, None), (1_000_000, Some(4))] {
                let flow = FlowConfig { idle_ns, statistics, ..FlowConfig::default() };
                let alone = flows(&paths, FlowOptions { flow, inner, threads: 1 });
                let flow = FlowConfig { seed: 4711, ..flow };
                for threads in [2, 3] {
                    assert_eq!(flows(&paths, FlowOptions { flow, inner, threads }), alone, "{paths:?}");
                }
            }
        }
    }
}

#[test]
fn columns_do_not_depend_on_how_a_file_is_read() {
    for path in captures() {
        let mut texts = vec![];
        for (mmap, block_size) in [(false, 256), (false, 1 << 20), (true, 1 << 18)] {
            let options = ReaderOptions { mmap, block_size, ..ReaderOptions::default() };
            let mut reader =
                PacketReader::new(input(std::slice::from_ref(&path), options), ReadOptions::default());
            let mut writer = TextWriter::new(vec![], TextFormat::JsonLines);
            let mut text = vec![];
            while let Some(columns) = reader.next_columns().expect("a bundled capture is whole") {
                assert_eq!(packet_batch(&columns, Default::default()).unwrap().num_rows(), columns.len());
                writer.packets(&columns).unwrap();
            }
            std::mem::swap(&mut text, writer.sink_mut());
            texts.push(String::from_utf8(text).unwrap());
        }
        assert!(texts[0] == texts[1] && texts[1] == texts[2], "{path:?}");
    }
}
