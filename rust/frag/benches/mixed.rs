//! What a fragment of ordinary traffic costs: `cargo bench -p netfast-frag --bench mixed -- [WORD ...]`.
//!
//! As `netfast bench reassembly` has it: UDP datagrams of 5,000 bytes in four fragments, half of them IPv6, from 64 hosts, two
//! datagrams side by side, in one of eight two fragments swapped. Words choose: `cached` (512 fragments, again and again),
//! `large` (16,384, which no second-level cache holds), `base`, `plain` and `verified` (packets made and let go alone, and put
//! together without and with a look at the transport checksum), `single` (fragments given one by one), `once` (one pass, for
//! counting instructions).
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_frag::{Cut, Outcome, Reassembler, ReassemblyConfig, fragment};
use netfast_time::{Duration, Instant};
use netfast_wire::checksum::{checksum, pseudo_checksum};

const PASSES: usize = 199;
/// Fragments in a pass at least.
const PASS: usize = 16_384;
const PAIRS: u8 = 64;
const DATA: usize = 5_000;
/// Packets that are handed over together, as many as DPDK's example takes in one go.
const BATCH: usize = 32;

/// Numbers that look like chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((self.0 >> 32) * limit) >> 32
    }
}

/// Frames of `count` fragments.
fn frames(count: usize) -> Vec<Vec<u8>> {
    let (mut chance, mut pool, mut made) = (Chance(815), PacketPool::default(), Vec::new());
    let mut numbers = [[65_000_u32; PAIRS as usize]; 2];
    while made.len() < count {
        let mut both = [false, true].map(|v6| {
            let pair = chance.below(u64::from(PAIRS)) as u8;
            let number = &mut numbers[usize::from(v6)][usize::from(pair)];
            *number += 1;
            let mut packet = Skb::from_slice(&datagram(v6, pair, *number), &mut pool).expect("short");
            let cut = Cut { mtu: 1_500, identification: *number, ignore_df: false };
            let mut pieces = Vec::new();
            fragment(&mut packet, 14, &cut, &mut pool, &mut pieces).expect("it may be cut");
            if chance.below(8) == 0 {
                pieces.swap(1, 2);
            }
            pieces.iter().map(Skb::to_vec).collect::<Vec<_>>().into_iter()
        });
        while let [Some(one), Some(other)] = both.each_mut().map(Iterator::next) {
            made.extend([one, other]);
        }
    }
    made
}

/// A UDP datagram in a frame.
fn datagram(v6: bool, pair: u8, number: u32) -> Vec<u8> {
    let (mut src, mut dst) = ([0; 16], [0; 16]);
    if v6 {
        (src[0], dst[0]) = (0x20, 0x20);
    } else {
        src[10..13].copy_from_slice(&[0xff, 0xff, 10]);
        dst[10..13].copy_from_slice(&[0xff, 0xff, 11]);
    }
    (src[15], dst[15]) = (pair, 1);
    let length = 8 + DATA as u16;
    let [high, low] = length.to_be_bytes();
    let mut udp = vec![7; usize::from(length)];
    udp[..8].copy_from_slice(&[4, pair, 5, 0, high, low, 0, 0]);
    let sum = pseudo_checksum(src, dst, 17, &udp).to_be_bytes();
    udp[6..8].copy_from_slice(&sum);
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend([high, low]);
        frame.extend([17, 64]);
        frame.extend(src);
        frame.extend(dst);
    } else {
        frame.extend([8, 0]);
        let mut header = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header[2..4].copy_from_slice(&(20 + length).to_be_bytes());
        header[4..6].copy_from_slice(&(number as u16).to_be_bytes());
        header[12..16].copy_from_slice(&src[12..]);
        header[16..20].copy_from_slice(&dst[12..]);
        let sum = checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
        frame.extend(header);
    }
    frame.extend(udp);
    frame
}

/// What is done with packets beside making them and letting them go.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    Base,
    Plain,
    Verified,
}

/// Nanoseconds a fragment of one pass.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn pass(frames: &[Vec<u8>], work: Work, single: bool) -> f64 {
    let config = ReassemblyConfig { verify_checksum: work == Work::Verified, ..ReassemblyConfig::default() };
    let (mut reassembler, mut pool) = (Reassembler::new(config), PacketPool::default());
    let mut now = Instant::from_secs(1);
    let (mut batch, mut outcomes) = (PacketBatch::new(), Vec::with_capacity(BATCH));
    let rounds = PASS.div_ceil(frames.len()).max(4);
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        for frames in frames.chunks(BATCH) {
            now += Duration::from_nanos(100 * BATCH as u64);
            batch.push_slices(frames.iter().map(Vec::as_slice), &mut pool).expect("short");
            match work {
                Work::Base => pool.recycle_batch(&mut batch),
                _ if single => {
                    let packets = batch.drain();
                    outcomes
                        .extend(packets.map(|packet| reassembler.handle_packet(now, 0, packet, &mut pool)));
                }
                _ => reassembler.handle_batch(now, 0, &mut batch, &mut pool, &mut outcomes),
            }
            outcomes.drain(..).filter_map(Outcome::into_packet).for_each(|packet| pool.recycle(packet));
        }
        // The same identifications come again.
        now += Duration::from_secs(2);
    }
    let cost = start.elapsed().as_nanos() as f64 / (rounds * frames.len()) as f64;
    let counters = reassembler.counters();
    assert_eq!((counters.dropped_total(), counters.held, counters.checksum_bad), (0, 0, 0));
    assert_eq!(counters.completed * 4, counters.packets);
    cost
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let has = |name: &str| words.iter().any(|word| word == name);
    let (once, single) = (has("once"), has("single"));
    let passes = if once { 1 } else { PASSES };
    let works = [("base", Work::Base), ("plain", Work::Plain), ("verified", Work::Verified)];
    let some = works.iter().any(|(name, _)| has(name));
    for (name, count) in [("cached", 512), ("large", 16_384)] {
        if !has(name) && (has("cached") || has("large")) {
            continue;
        }
        let frames = frames(count);
        let mut best = [f64::INFINITY; 3];
        // By turns, so that all have the same share of what else the machine does.
        for _ in 0..passes {
            for (at, &(_, work)) in works.iter().enumerate().filter(|(_, (word, _))| !some || has(word)) {
                best[at] = best[at].min(pass(&frames, work, single));
            }
        }
        let [base, plain, verified] = best;
        println!(
            "{name}: base {base:.1}, plain {:.1} net ({:.2} M/s all in), verified {:.1} net ({:.2} M/s all in) ns a fragment",
            plain - base,
            1e3 / plain,
            verified - base,
            1e3 / verified,
        );
    }
}
