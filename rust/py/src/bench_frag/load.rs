//! Ordinary fragments, given as frames: what one costs.
use super::BenchError;
use netfast_buf::{PacketBatch, PacketPool};
use netfast_frag::{Outcome, Reassembler, ReassemblyConfig};
use netfast_low::pages::advise_huge;
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

/// Frames one after the other, in large pages where the system has some: as a driver's receive ring, and the peer's.
pub struct Frames {
    bytes: Vec<u8>,
    /// Where each begins, and where the last ends.
    edges: Vec<usize>,
}

impl Frames {
    pub fn new(frames: &[PyBackedBytes]) -> Self {
        let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.len()).sum());
        advise_huge(bytes.spare_capacity_mut());
        let mut edges = vec![0];
        for frame in frames {
            bytes.extend_from_slice(frame);
            edges.push(bytes.len());
        }
        Self { bytes, edges }
    }

    fn len(&self) -> usize {
        self.edges.len() - 1
    }

    /// Bursts of them.
    fn bursts(&self) -> impl Iterator<Item = impl ExactSizeIterator<Item = &[u8]> + Clone> {
        (0..self.len()).step_by(BURST).map(|at| {
            let edges = &self.edges[at..self.edges.len().min(at + BURST + 1)];
            edges.windows(2).map(|edges| &self.bytes[edges[0]..edges[1]])
        })
    }
}

/// Puts all frames in, again and again. Without `reassembles` packets are made and let go: what the loop itself costs.
#[allow(clippy::disallowed_methods, reason = "measuring is what it is for")]
pub fn pass(frames: &Frames, reassembles: bool, verifies: bool) -> Result<Pass, BenchError> {
    let config = ReassemblyConfig { verify_checksum: verifies, ..ReassemblyConfig::default() };
    let (mut reassembler, mut pool) = (Reassembler::new(config), PacketPool::default());
    let mut now = Instant::from_secs(1);
    let (mut burst, mut outcomes) = (PacketBatch::new(), Vec::new());
    let rounds = PASS.div_ceil(frames.len());
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        for frames in frames.bursts() {
            let count = burst.push_slices(frames, &mut pool).map_err(|_| BenchError::Lost)?;
            now += Duration::from_nanos(100 * count as u64);
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
