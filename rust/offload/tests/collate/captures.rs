//! Every capture of the test data, collated and cut again.
use crate::collate;
use crate::property::split;
use netfast_buf::Skb;
use netfast_io::capture::{Reader, ReaderOptions, RecordBatch};
use netfast_offload::collate::{Collator, CollatorConfig, Reason};
use netfast_wire::{Frame, Layers, Limits, LinkType, dissect_innermost};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
    let files = std::fs::read_dir(&folder).expect("the folder can be read");
    let mut paths: Vec<_> = files.map(|file| file.expect("it can be read").path()).collect();
    paths.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        name.contains(".pcap")
    });
    paths.sort();
    paths
}

/// The packets of a capture, pinned to its blocks, by link type.
fn packets(path: &Path) -> BTreeMap<LinkType, Vec<Skb>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut reader = Reader::open(path, ReaderOptions::default()).expect("it is a capture");
    let mut batch = RecordBatch::default();
    while reader.next_batch(&mut batch, 256).expect("it is whole") {
        let block = batch.block.clone().expect("there are packets");
        for record in &batch.records {
            let packet = Skb::from_block(block.clone(), record.offset as usize, record.caplen as usize);
            found.entry(record.link_type()).or_default().push(packet.expect("within the block"));
        }
    }
    found
}

/// Frames of each flow in turn; those without ports are one another's.
fn by_flow(frames: &[Vec<u8>], link: LinkType) -> HashMap<Vec<u8>, Vec<Vec<u8>>> {
    let mut flows: HashMap<_, Vec<_>> = HashMap::new();
    for bytes in frames {
        let mut layers = Layers::default();
        dissect_innermost(&Frame::whole(bytes, link), &Limits::default(), &mut layers, &mut ());
        let ports = [layers.src_port.to_be_bytes(), layers.dst_port.to_be_bytes()].concat();
        let key = [&layers.src[..], &layers.dst, &ports, &[layers.protocol]].concat();
        flows.entry(key).or_default().push(bytes.clone());
    }
    flows
}

#[test]
fn every_capture_comes_back_frame_by_frame() {
    let (mut files, mut merged, mut links) = (0, BTreeMap::new(), 0);
    for path in captures() {
        files += 1;
        for (link, packets) in packets(&path) {
            let config = CollatorConfig { link, ..CollatorConfig::default() };
            if Collator::new(config, 0, Default::default()).is_err() {
                continue;
            }
            links += 1;
            let frames: Vec<_> = packets.iter().map(Skb::to_vec).collect();
            let run = collate(config, packets);
            if run.counters.merged > 0 {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                merged.insert(name.unwrap_or_default(), run.counters.merged);
            }
            assert!(run.counters.not_merged(Reason::First) + run.counters.merged <= run.counters.packets);
            let mut went = split(run.out, link);
            assert!(by_flow(&frames, link) == by_flow(&went, link), "order in {}", path.display());
            let mut came = frames;
            came.sort();
            went.sort();
            assert!(came == went, "frames of {}", path.display());
        }
    }
    assert!(files > 70 && links > 60, "{files} files, {links} of a link type that is collated");
    assert!(merged.len() > 5, "{merged:?}");
}
