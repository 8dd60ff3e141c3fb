//! Ordinary fragments, given as frames: what one costs.
use super::BenchError;
use netfast_buf::{PacketBatch, PacketPool};
use netfast_frag::{Outcome, Reassembler, ReassemblyConfig};
use netfast_time::{Duration, Instant};
use pyo3::pybacked::PyBackedBytes;

/// Fragments that are put in in one pass at least, however few were given.
const PASS: usize = 65_536;
/// Packets that are handed over together, as many as DPDK's example takes in one go.
const BURST: usize = 32;

/// What a pass came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass {
    /// Nanoseconds a fragment: making a packet of it (its bytes are copied, as a driver does), work, letting go.
    pub cost: f64,
    /// Datagrams that became whole, each time that all frames were put in.
    pub datagrams: u64,
    /// Bytes copied by reassembly for each that was delivered.
    pub copied: f64,
}

/// Puts all frames in, again and again. Without `reassembles` packets are made and let go: what the loop itself costs.
#[allow(clippy::disallowed_methods, reason = "measuring is what it is for")]
pub fn pass(frames: &[PyBackedBytes], reassembles: bool, verifies: bool) -> Result<Pass, BenchError> {
    let config = ReassemblyConfig { verify_checksum: verifies, ..ReassemblyConfig::default() };
    let (mut reassembler, mut pool) = (Reassembler::new(config), PacketPool::default());
    let mut now = Instant::from_secs(1);
    let (mut burst, mut outcomes) = (PacketBatch::new(), Vec::new());
    let rounds = PASS.div_ceil(frames.len());
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        for frames in frames.chunks(BURST) {
            let bytes = frames.iter().map(|frame| &frame[..]);
            burst.push_slices(bytes, &mut pool).map_err(|_| BenchError::Lost)?;
            now += Duration::from_nanos(100 * frames.len() as u64);
            if reassembles {
                reassembler.handle_batch(now, 0, &mut burst, &mut pool, &mut outcomes);
                for outcome in outcomes.drain(..) {
                    let Outcome::Complete(whole) = outcome else { return Err(BenchError::Lost) };
                    pool.recycle(whole.packet);
                }
            }
            pool.recycle_batch(&mut burst);
        }
        // The same identifications come again, when their tombstones are gone.
        now += Duration::from_secs(2);
    }
    let cost = start.elapsed().as_nanos() as f64 / (rounds * frames.len()) as f64;
    let counters = reassembler.counters();
    if counters.dropped_total() + counters.held + counters.checksum_bad > 0 {
        return Err(BenchError::Lost);
    }
    Ok(Pass {
        cost,
        datagrams: counters.completed / rounds as u64,
        copied: counters.copied_bytes as f64 / counters.completed_bytes.max(1) as f64,
    })
}
