//! Nanoseconds a segment: `cargo bench -p netfast-offload --bench segment -- [WORD ...]`.
//!
//! A case runs when its name holds all of the words. In `one piece` the payload stands in one block, as a host's
//! stack makes it; in `pieces` each segment's has memory of its own, as collation leaves it. Making the super-packet
//! is not measured, letting the segments go is not either.
use netfast_buf::{Block, GsoFlags, GsoType, PacketPool, Skb};
use netfast_offload::segment::{Checksums, SegmentConfig, Segmenter};
use std::hint::black_box;
use std::time::{Duration, Instant};

const MSS: usize = 1_448;
const HEADERS_V4: usize = 14 + 20 + 32;
const HEADERS_V6: usize = 14 + 40 + 32;
const PASSES: usize = 15;
const ROUNDS: usize = 2_000;

struct Case {
    v6: bool,
    pieces: bool,
    checksums: Checksums,
    segments: usize,
}

impl Case {
    fn name(&self) -> String {
        let family = if self.v6 { "IPv6" } else { "IPv4" };
        let payload = if self.pieces { "pieces" } else { "one piece" };
        format!("{family}, {payload}, {:?} checksums, {} segments", self.checksums, self.segments)
    }

    /// Ethernet, IP, TCP with timestamps.
    fn headers(&self) -> Vec<u8> {
        let (ip, payload) = (if self.v6 { 40 } else { 20 }, self.segments * MSS);
        let mut bytes = vec![2; 12];
        bytes.extend(if self.v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
        let mut header = vec![0; ip];
        if self.v6 {
            header[0] = 0x60;
            header[4..6].copy_from_slice(&((payload + 32) as u16).to_be_bytes());
            (header[6], header[7]) = (6, 64);
        } else {
            header[0] = 0x45;
            header[2..4].copy_from_slice(&((payload + 52) as u16).to_be_bytes());
            (header[8], header[9]) = (64, 6);
        }
        bytes.extend(header);
        let mut tcp = vec![0; 32];
        (tcp[0], tcp[12], tcp[13]) = (1, 0x80, 0x18);
        bytes.extend(tcp);
        bytes
    }

    fn packet(&self, pool: &mut PacketPool) -> Skb {
        let mut packet = Skb::from_slice(&self.headers(), pool).expect("short");
        let length = if self.v6 { HEADERS_V6 } else { HEADERS_V4 };
        if self.pieces {
            for _ in 0..self.segments {
                // As it came in: behind headers, which were taken away.
                let mut frame = Skb::from_slice(&[7; HEADERS_V6 + MSS][..length + MSS], pool).expect("short");
                frame.pop(length as u32).expect("long enough");
                packet.append(&mut frame, pool).expect("short");
            }
        } else {
            let block = Block::from(vec![7; self.segments * MSS]);
            packet.append_block(block, 0, self.segments * MSS, pool).expect("short");
        }
        packet.hot.gso_size = MSS as u16;
        packet.hot.gso_type = if self.v6 { GsoType::Tcp6 } else { GsoType::Tcp4 };
        packet.hot.gso_flags = GsoFlags::default();
        packet
    }

    fn run(&self) {
        let mut pool = PacketPool::default();
        let config = SegmentConfig { checksums: self.checksums, ..SegmentConfig::default() };
        let (mut segmenter, mut out) = (Segmenter::new(config), Vec::with_capacity(64));
        let mut times: Vec<f64> = (0..PASSES)
            .map(|_| {
                let mut spent = Duration::ZERO;
                for _ in 0..ROUNDS {
                    let packet = black_box(self.packet(&mut pool));
                    let start = now();
                    segmenter.segment(packet, &mut pool, &mut out).expect("a right one");
                    spent += start.elapsed();
                    pool.recycle_all(black_box(&mut out));
                }
                spent.as_nanos() as f64 / (ROUNDS * self.segments) as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{}: best {:.1} median {:.1} ns a segment", self.name(), times[0], times[PASSES / 2]);
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    for v6 in [false, true] {
        for pieces in [false, true] {
            for checksums in [Checksums::Partial, Checksums::Full] {
                for segments in [16, 44] {
                    let case = Case { v6, pieces, checksums, segments };
                    if words.iter().all(|word| case.name().contains(word.as_str())) {
                        case.run();
                    }
                }
            }
        }
    }
}
