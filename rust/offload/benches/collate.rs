//! What collation costs: `cargo bench -p netfast-offload --bench collate -- [WORD ...]`.
//!
//! For each case the best and the median of passes, in nanoseconds a packet that came. Only the collator's own time is
//! counted: packets are made before, and let go after. Words choose cases by their names; without any all are measured.
use netfast_buf::{Block, ChecksumState, PacketBatch, PacketPool, Skb};
use netfast_low::sum;
use netfast_offload::collate::{Collator, CollatorConfig};
use netfast_time::Instant;
use std::hint::black_box;
use std::time::Duration;

const PASSES: usize = 15;
const BATCHES: usize = 64;
const BATCH: usize = 256;

/// What is measured.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// Packets that become one; 1: none is merged.
    train: usize,
    /// Flows whose packets come in turn.
    flows: usize,
    payload: usize,
    v6: bool,
    state: ChecksumState,
    /// Packets refer to a block that is shared, as captured ones do.
    pinned: bool,
}

const BASE: Case = Case {
    name: "16:1",
    train: 16,
    flows: 1,
    payload: 1_448,
    v6: false,
    state: ChecksumState::Good,
    pinned: false,
};

const CASES: &[Case] = &[
    BASE,
    Case { name: "16:1-ipv6", v6: true, ..BASE },
    Case { name: "16:1-captured", pinned: true, ..BASE },
    Case { name: "16:1-small", payload: 200, ..BASE },
    Case { name: "16:1-verified", state: ChecksumState::Unchecked, ..BASE },
    Case { name: "16:1-16-flows", flows: 16, ..BASE },
    Case { name: "4:1-64-flows", train: 4, flows: 64, ..BASE },
    Case { name: "44:1", train: 44, ..BASE },
    Case { name: "1:1", train: 1, ..BASE },
    Case { name: "1:1-256-flows", train: 1, flows: 256, ..BASE },
    Case { name: "1:1-small-256-flows", train: 1, flows: 256, payload: 200, ..BASE },
];

/// Packet `index` of a case.
fn frame(case: &Case, index: usize) -> Vec<u8> {
    let (flow, turn) = ((index % case.flows) as u16, index / case.flows);
    let ends = case.train > 1 && turn % case.train == case.train - 1;
    // Where nothing is to be merged, each sequence number is left out.
    let seq = (turn * (case.payload + usize::from(case.train == 1))) as u32;
    let mut tcp = vec![];
    tcp.extend((1_000 + flow).to_be_bytes());
    tcp.extend(80u16.to_be_bytes());
    tcp.extend(seq.to_be_bytes());
    tcp.extend([0, 0, 0, 9, 0x80, if ends { 0x18 } else { 0x10 }, 1, 0, 0, 0, 0, 0]);
    tcp.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    tcp.extend((0..case.payload).map(|at| (at * 7 + turn) as u8));
    let addresses = [[10u8; 16], [11u8; 16]].concat();
    let addresses = if case.v6 { &addresses[..] } else { &addresses[12..20] };
    let pseudo = sum::sum_words(addresses) + u64::from(6u16.to_be()) + u64::from((tcp.len() as u16).to_be());
    let checksum = !sum::fold(pseudo + sum::sum_words(&tcp));
    tcp[16..18].copy_from_slice(&checksum.to_ne_bytes());
    let mut bytes = vec![2; 12];
    if case.v6 {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        bytes.extend((tcp.len() as u16).to_be_bytes());
        bytes.extend([6, 64]);
        bytes.extend(addresses);
    } else {
        bytes.extend([8, 0, 0x45, 0]);
        bytes.extend((20 + tcp.len() as u16).to_be_bytes());
        bytes.extend((turn as u16).to_be_bytes());
        bytes.extend([0x40, 0, 64, 6, 0, 0]);
        bytes.extend(addresses);
        let checksum = !sum::fold(sum::sum_words(&bytes[14..34]));
        bytes[24..26].copy_from_slice(&checksum.to_ne_bytes());
    }
    bytes.extend(tcp);
    bytes
}

/// Nanoseconds a packet of each pass, how many packets came out for one that came, and bytes copied for a byte of payload.
fn measure(case: &Case) -> (Vec<f64>, f64, f64) {
    let frames: Vec<Vec<u8>> = (0..BATCH * BATCHES).map(|index| frame(case, index)).collect();
    let block = Block::from_owner(frames.concat());
    let mut collator =
        Collator::new(CollatorConfig::default(), 1, PacketPool::default()).expect("the defaults are right");
    let (mut batch, mut out) = (PacketBatch::new(), Vec::new());
    let (mut came, mut went, mut copied) = (0, 0, 0);
    let mut costs = Vec::new();
    for _ in 0..PASSES {
        let (mut spent, mut at) = (Duration::ZERO, 0);
        for frames in frames.chunks(BATCH) {
            for frame in frames {
                if case.pinned {
                    let packet = Skb::from_block(block.clone(), at, frame.len()).expect("within the block");
                    batch.push(packet).expect("as many as fit");
                } else {
                    batch.push_slice(frame, collator.pool_mut()).expect("as many as fit");
                }
                at += frame.len();
            }
            batch.packets_mut().iter_mut().for_each(|packet| packet.hot.checksum = case.state);
            let before = collator.pool().copies.bytes;
            let start = clock();
            collator.handle_batch(Instant::ZERO, black_box(&mut batch), &mut out);
            spent += start.elapsed();
            copied += collator.pool().copies.bytes - before;
            came += frames.len();
            went += out.len();
            collator.pool_mut().recycle_all(&mut out);
        }
        costs.push(spent.as_nanos() as f64 / (BATCHES * BATCH) as f64);
    }
    (costs, went as f64 / came as f64, copied as f64 / (came * case.payload) as f64)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    for case in CASES.iter().filter(|case| words.is_empty() || words.iter().any(|word| word == case.name)) {
        let (mut costs, left, copied) = measure(case);
        costs.sort_by(f64::total_cmp);
        println!(
            "{}: best {:.1} median {:.1} ns a packet, {:.3} come out for one, {copied:.4} bytes copied for one of payload",
            case.name,
            costs[0],
            costs[costs.len() / 2],
            left
        );
    }
}
