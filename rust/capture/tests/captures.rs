//! Every bundled capture, read in every way: the results must not depend on the way.
use netfast_capture::{
    FlowOptions, FlowReader, Input, InputOptions, PacketReader, ReadOptions, TextFormat, TextWriter,
    packet_batch,
};
use netfast_flow::{FlowConfig, FlowRecord};
use netfast_io::capture::{Reader, ReaderOptions};
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
    Input::open(paths, &InputOptions { reader: options, ..InputOptions::default() })
        .expect("a bundled capture opens")
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

/// A capture of UDP packets between two hosts, each with other ports, a second apart: each a flow of its own.
fn many_flows(count: u32) -> Vec<u8> {
    let mut file = [&0xa1b2_c3d4u32.to_le_bytes()[..], &[2, 0, 4, 0], &[0; 12], &[101, 0, 0, 0]].concat();
    for n in 0..count {
        for field in [n, 0, 28, 28] {
            file.extend(field.to_le_bytes());
        }
        file.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        file.extend(n.to_be_bytes());
        file.extend([0, 8, 0, 0]);
    }
    file
}

#[test]
fn threads_do_not_read_on_while_nobody_takes_flows() {
    const COUNT: u32 = 500_000;
    let reader = Reader::from_block(many_flows(COUNT).into(), ReaderOptions::default()).expect("a capture");
    let input = Input::new(vec![reader], vec!["memory".into()], false, None).expect("an input");
    let mut reader = FlowReader::new(input, FlowOptions { threads: 2, ..FlowOptions::default() })
        .expect("limits in range");
    let first = reader.next_flows().expect("no damage").expect("flows").len();
    // Until the threads stand still.
    let mut read = 0;
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = reader.progress().0;
        if now == std::mem::replace(&mut read, now) {
            break;
        }
    }
    assert!(read < u64::from(COUNT) / 2, "{read} packets were read for {first} flows that were taken");
    let mut flows = first;
    while let Some(batch) = reader.next_flows().expect("no damage") {
        flows += batch.len();
    }
    assert_eq!(flows, COUNT as usize);
}
