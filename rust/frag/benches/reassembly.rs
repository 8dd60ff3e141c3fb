//! What a fragment costs: `cargo bench -p netfast-frag --bench reassembly -- [WORD ...]`.
//!
//! Words choose: `ordinary` (datagrams of 2 to 4 fragments of 1,500 bytes, in order or interleaved), `tiny` (65,535 bytes in
//! fragments of 8 bytes, shuffled), `once` (one pass, for counting instructions). Frames are Ethernet and are made from bytes in
//! the loop; what that costs alone is printed, and taken off. The best and the median of passes.
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_frag::{Outcome, Reassembler, ReassemblyConfig};
use netfast_time::{Duration, Instant};
use netfast_wire::checksum::{checksum, pseudo_checksum};

const PASSES: usize = 99;
/// Fragments in the loop: their bytes stay in the caches, as those of a packet that has just come.
const FRAGMENTS: u32 = 1 << 11;
/// Times that they are gone through in a pass.
const ROUNDS: usize = 4;
/// Packets that are handed over together.
const BATCH: usize = 64;
/// Datagrams that are in flight at a time where they are interleaved.
const INTERLEAVED: u32 = 32;

/// Frames one behind the other.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    fn push(&mut self, number: u32, offset: usize, data: &[u8], more: bool) {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        let mut header = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 0, 10, 1, 0, 1];
        header[2..4].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
        header[4..6].copy_from_slice(&((number >> 10) as u16).to_be_bytes());
        header[6..8].copy_from_slice(&((offset / 8) as u16 | u16::from(more) << 13).to_be_bytes());
        // Many sources.
        header[13..16].copy_from_slice(&(number & 0x3ff).to_be_bytes()[1..]);
        let sum = checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
        frame.extend_from_slice(&header);
        frame.extend_from_slice(data);
        self.bytes.extend_from_slice(&frame);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    /// Datagrams of `pieces` fragments with `size` bytes of data each, `at_once` of them side by side.
    fn ordinary(pieces: u32, size: usize, at_once: u32) -> Self {
        let mut frames = Self::default();
        let datagrams: Vec<Vec<u8>> = (0..1_024).map(|source| udp(source, pieces as usize * size)).collect();
        for group in (0..FRAGMENTS / pieces / at_once * at_once).step_by(at_once as usize) {
            for piece in 0..pieces {
                for number in group..group + at_once {
                    let data = &datagrams[number as usize & 0x3ff];
                    let at = piece as usize * size;
                    frames.push(number, at, &data[at..at + size], piece + 1 < pieces);
                }
            }
        }
        frames
    }
}

fn udp(source: u32, len: usize) -> Vec<u8> {
    let mut data = vec![7; len];
    data[..8].copy_from_slice(&[0, 1, 0, 2, 0, 0, 0, 0]);
    data[4..6].copy_from_slice(&(len as u16).to_be_bytes());
    let (mut src, mut dst) = ([0; 16], [0; 16]);
    src[10..].copy_from_slice(&[0xff, 0xff, 10, 0, (source >> 8) as u8, source as u8]);
    dst[10..].copy_from_slice(&[0xff, 0xff, 10, 1, 0, 1]);
    let sum = pseudo_checksum(src, dst, 17, &data).to_be_bytes();
    data[6..8].copy_from_slice(&sum);
    data
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed(mut pass: impl FnMut(), units: usize, once: bool) -> [f64; 2] {
    let mut costs: Vec<f64> = (0..if once { 1 } else { PASSES })
        .map(|_| {
            let start = std::time::Instant::now();
            pass();
            start.elapsed().as_nanos() as f64 / units as f64
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    [costs[0], costs[costs.len() / 2]]
}

fn ordinary(name: &str, frames: &Frames, verify: bool, once: bool) {
    let mut pool = PacketPool::default();
    let fill = |batch: &mut PacketBatch, frames: &[&[u8]], pool: &mut PacketPool| {
        batch.push_slices(frames.iter().copied(), pool).expect("short")
    };
    let fragments = frames.ends.len() * ROUNDS;
    let batches: Vec<Vec<&[u8]>> =
        frames.iter().collect::<Vec<_>>().chunks(BATCH).map(<[_]>::to_vec).collect();
    let mut batch = PacketBatch::new();
    let base = timed(
        || {
            for frames in (0..ROUNDS).flat_map(|_| &batches) {
                fill(&mut batch, frames, &mut pool);
                pool.recycle_batch(&mut batch);
            }
        },
        fragments,
        once,
    );
    let config = ReassemblyConfig { verify_checksum: verify, ..ReassemblyConfig::default() };
    let mut reassembler = Reassembler::new(config);
    let mut now = Instant::from_secs(1);
    let mut outcomes = Vec::with_capacity(BATCH);
    let all = timed(
        || {
            let mut whole = 0;
            for _ in 0..ROUNDS {
                for frames in &batches {
                    fill(&mut batch, frames, &mut pool);
                    now += Duration::from_micros(BATCH as u64);
                    reassembler.handle_batch(now, 0, &mut batch, &mut pool, &mut outcomes);
                    whole += outcomes.len();
                    outcomes
                        .drain(..)
                        .filter_map(Outcome::into_packet)
                        .for_each(|packet| pool.recycle(packet));
                }
                // The same identifications come again.
                now += Duration::from_secs(2);
            }
            assert!(whole > 0 && reassembler.is_empty());
        },
        fragments,
        once,
    );
    let counters = reassembler.counters();
    assert_eq!((counters.dropped_total(), counters.checksum_bad), (0, 0));
    println!(
        "{name}: best {:.1} median {:.1} ns a fragment ({:.2} M/s), packets from bytes {:.1} ns more; {:.3} bytes copied a byte",
        all[0] - base[0],
        all[1] - base[1],
        1e3 / (all[0] - base[0]),
        base[0],
        counters.copied_bytes as f64 / counters.completed_bytes as f64,
    );
}

fn tiny(once: bool) {
    let data = udp(0, 65_512);
    let count = data.len() / 8;
    let mut frames = Frames::default();
    for number in 0..count {
        let at = number * 4_099 % count;
        frames.push(0, at * 8, &data[at * 8..at * 8 + 8], at + 1 < count);
    }
    let mut pool = PacketPool::default();
    for verify in [false, true] {
        let config = ReassemblyConfig { verify_checksum: verify, ..ReassemblyConfig::default() };
        let mut reassembler = Reassembler::new(config);
        let mut now = Instant::from_secs(1);
        let [best, median] = timed(
            || {
                let mut whole = false;
                for frame in frames.iter() {
                    let packet = Skb::from_slice(frame, &mut pool).expect("short");
                    if let Outcome::Complete(datagram) = reassembler.handle_packet(now, 0, packet, &mut pool)
                    {
                        pool.recycle(datagram.packet);
                        whole = true;
                    }
                }
                assert!(whole);
                now += Duration::from_secs(2);
            },
            1_000_000,
            once,
        );
        println!(
            "65,535 bytes in fragments of 8, shuffled, verify {verify}: best {best:.2} median {median:.2} ms with packets from bytes"
        );
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let has = |name: &str| words.iter().any(|word| word == name);
    let (once, all) = (has("once"), !has("ordinary") && !has("tiny"));
    if all || has("ordinary") {
        for pieces in [2, 3, 4] {
            for (order, at_once) in [("in order", 1), ("interleaved", INTERLEAVED)] {
                let frames = Frames::ordinary(pieces, 1_480, at_once);
                for verify in [false, true] {
                    if !(once && verify) {
                        ordinary(
                            &format!("{pieces} fragments, {order}, verify {verify}"),
                            &frames,
                            verify,
                            once,
                        );
                    }
                }
            }
        }
    }
    if all || has("tiny") {
        tiny(once);
    }
}
