//! Collation and segmentation under load, for `netfast bench`: the loops are here, so that what is timed is no Python.
use crate::offload::{OffloadPacket, checksums_of};
use netfast_buf::{Block, PacketBatch, PacketPool, Skb};
use netfast_offload::collate::{Collator, CollatorConfig};
use netfast_offload::segment::{SegmentConfig, Segmenter};
use netfast_time::Instant;
use netfast_wire::LinkType;
use pyo3::exceptions::{PyAssertionError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use std::time::Duration;

/// Frames that are put out in one pass at least, however few were given.
const PASS: usize = 65_536;

/// Frames that become packets and are collated: `netfast.bench` uses it, nobody else should.
///
/// All costs are nanoseconds a frame: making packets of them (their bytes are copied, as a driver does), work, letting
/// go of what came out.
///
/// Threads: runs share nothing. `fork`: the child has its own copy. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct BenchCollator {
    frames: Vec<PyBackedBytes>,
    trusts: bool,
}

#[pymethods]
impl BenchCollator {
    #[new]
    #[pyo3(signature = (frames, *, trust_checksums=true))]
    fn new(frames: Vec<PyBackedBytes>, trust_checksums: bool) -> PyResult<Self> {
        if frames.is_empty() || frames.iter().any(|frame| frame.is_empty()) {
            return Err(PyValueError::new_err("frames: give some, none of them empty"));
        }
        Ok(Self { frames, trusts: trust_checksums })
    }

    /// One pass: cost, frames for each packet that came out, and bytes that were copied for each that came out, of which
    /// making packets does not count. Without `collates` nothing is merged: what the loop itself costs.
    #[pyo3(signature = (collates=true, batch=128))]
    fn run(&self, py: Python<'_>, collates: bool, batch: usize) -> PyResult<(f64, f64, f64)> {
        if !(1..=netfast_buf::BATCH_PACKETS).contains(&batch) {
            return Err(PyValueError::new_err("batch: give 1 to 256 packets"));
        }
        Ok(py.detach(|| self.pass(collates, batch)))
    }
}

impl BenchCollator {
    #[allow(clippy::disallowed_methods, reason = "measuring is what it is for")]
    fn pass(&self, collates: bool, most: usize) -> (f64, f64, f64) {
        let config = CollatorConfig::default();
        let mut collator = Collator::new(config, 1, PacketPool::default()).expect("the defaults are right");
        let (mut batch, mut out) = (PacketBatch::new(), Vec::new());
        let (mut came, mut went, mut copied, mut bytes) = (0, 0, 0, 0);
        let start = std::time::Instant::now();
        while came < PASS {
            for frames in self.frames.chunks(most) {
                for frame in frames {
                    let packet = batch.push_slice(frame, collator.pool_mut()).expect("as many as fit");
                    if self.trusts {
                        crate::offload::trust(packet);
                    }
                }
                came += frames.len();
                if collates {
                    let before = collator.pool().copies.bytes;
                    collator.handle_batch(Instant::ZERO, &mut batch, &mut out);
                    copied += collator.pool().copies.bytes - before;
                    went += out.len();
                    bytes += out.iter().map(|packet| u64::from(packet.len())).sum::<u64>();
                    collator.pool_mut().recycle_all(&mut out);
                } else {
                    went += batch.len();
                    collator.pool_mut().recycle_batch(&mut batch);
                }
            }
        }
        let cost = start.elapsed().as_nanos() as f64 / came as f64;
        (cost, came as f64 / went as f64, copied as f64 / bytes.max(1) as f64)
    }
}

/// A super-packet that is cut again and again: `netfast.bench` uses it, nobody else should.
///
/// All costs are nanoseconds a segment. Making the super-packet is not timed, letting the segments go is not either.
///
/// Threads: runs share nothing. `fork`: the child has its own copy. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct BenchSegmenter {
    block: Block,
    length: usize,
    marks: Box<netfast_buf::HotLine>,
}

// Python's allocator aligns no further.
const _: () = assert!(align_of::<BenchSegmenter>() <= 16);

#[pymethods]
impl BenchSegmenter {
    #[new]
    fn new(packet: &Bound<'_, OffloadPacket>) -> Self {
        let packet = packet.get().to_skb();
        let bytes = packet.to_vec();
        Self { length: bytes.len(), block: Block::from(bytes), marks: Box::new(packet.hot) }
    }

    /// One pass: cost, segments, and bytes that were copied for each that came out.
    #[pyo3(signature = (checksums="partial"))]
    fn run(&self, py: Python<'_>, checksums: &str) -> PyResult<(f64, usize, f64)> {
        let config = SegmentConfig { checksums: checksums_of(py, checksums)?, ..SegmentConfig::default() };
        py.detach(|| self.pass(config)).map_err(|error| PyAssertionError::new_err(error.to_string()))
    }
}

impl BenchSegmenter {
    #[allow(clippy::disallowed_methods, reason = "measuring is what it is for")]
    fn pass(
        &self,
        config: SegmentConfig,
    ) -> Result<(f64, usize, f64), netfast_offload::segment::SegmentError> {
        let config = SegmentConfig { link: LinkType::ETHERNET, ..config };
        let (mut segmenter, mut pool, mut out) = (Segmenter::new(config), PacketPool::default(), Vec::new());
        let (mut spent, mut went, mut count, mut bytes) = (Duration::ZERO, 0, 0, 0);
        while went < PASS {
            let mut packet = Skb::from_block(self.block.clone(), 0, self.length).expect("all of the block");
            packet.hot = *self.marks;
            let start = std::time::Instant::now();
            count = segmenter.segment(packet, &mut pool, &mut out).map_err(|refused| refused.error)?;
            spent += start.elapsed();
            went += count;
            bytes += out.iter().map(|packet| u64::from(packet.len())).sum::<u64>();
            pool.recycle_all(&mut out);
        }
        let cost = spent.as_nanos() as f64 / went as f64;
        Ok((cost, count, pool.copies.bytes as f64 / bytes.max(1) as f64))
    }
}
