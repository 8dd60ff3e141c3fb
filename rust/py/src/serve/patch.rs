//! A patch cable: what one device receives another one sends, and nothing looks at it.
use super::{SLICE, loop_error};
use crate::device::{Device, counter_row, device_error};
use crate::errors::config_error;
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_io::event_loop::{Above, EventLoop, LoopConfig, LoopEvent, Ready, Turn};
use netfast_time::{Duration, Instant};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::Mutex;

/// How long what waits may still leave at the end.
const DRAIN: Duration = Duration::from_secs(10);

/// What comes in at port 0 leaves by port 1 and the other way round; with one port it ends here.
struct Cable {
    pool: PacketPool,
    ends: u32,
    /// Packets that may still come in at port 0.
    left: u64,
}

impl Above for Cable {
    fn pool(&mut self) -> &mut PacketPool {
        &mut self.pool
    }

    fn push(&mut self, _: Instant, port: u32, batch: &mut PacketBatch, out: &mut Vec<(u32, Skb)>) {
        for packet in batch.drain() {
            let wanted = port != 0 || self.left > 0;
            if port == 0 {
                self.left = self.left.saturating_sub(1);
            }
            match wanted && self.ends > 1 {
                true => out.push((1 - port, packet)),
                false => self.pool.recycle(packet),
            }
        }
    }

    fn poll(&mut self, _: Instant, _: &mut Vec<(u32, Skb)>) {}

    fn next_timeout(&self) -> Option<Instant> {
        None
    }
}

struct Work {
    event_loop: EventLoop,
    cable: Cable,
    ready: Ready,
    batch: PacketBatch,
    out: Vec<(u32, Skb)>,
    /// What waits may still leave, up to a time; nothing else comes.
    is_draining: bool,
}

impl Work {
    /// Turns for a while. True at the end: nothing comes at port 0 any more, or as many came as were wanted.
    fn slice(&mut self, until: Option<Instant>) -> PyResult<bool> {
        let poller = self.event_loop.poller();
        let end = poller.clock().now() + SLICE;
        loop {
            let Self { event_loop, cable, ready, batch, out, is_draining } = self;
            let turn = event_loop.turn(ready, cable, batch, out).map_err(loop_error)?;
            if turn == Turn::Drained {
                return Ok(true);
            }
            let now = poller.clock().now();
            let is_over =
                cable.left == 0 || event_loop.is_ended(0) || until.is_some_and(|until| now >= until);
            if is_over && !std::mem::replace(is_draining, true) {
                event_loop.drain(now + DRAIN);
            }
            let most = match turn {
                Turn::More => Duration::ZERO,
                _ if *is_draining => SLICE,
                _ => until.map_or(SLICE, |until| until.since(now).min(SLICE)),
            };
            poller.wait(Some(most), ready).map_err(loop_error)?;
            if poller.clock().now() >= end {
                return Ok(false);
            }
        }
    }
}

/// Two devices that are joined, or one whose packets end here.
///
/// Threads: one at a time. `fork`: refused in the child. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct Patch {
    work: Mutex<Work>,
}

#[pymethods]
impl Patch {
    #[new]
    #[pyo3(signature = (one, other=None, *, limit=None))]
    fn new(py: Python<'_>, one: &Device, other: Option<&Device>, limit: Option<u64>) -> PyResult<Self> {
        let mut event_loop = EventLoop::new(LoopConfig::default()).map_err(loop_error)?;
        let ends: Vec<_> = [Some(one), other].into_iter().flatten().collect();
        for (port, device) in ends.iter().enumerate() {
            let (device, options) = device.give(py)?;
            event_loop.add(port as u32, device, options).map_err(loop_error)?;
        }
        let cable =
            Cable { pool: PacketPool::default(), ends: ends.len() as u32, left: limit.unwrap_or(u64::MAX) };
        let (ready, batch) = (Ready::new(), PacketBatch::new());
        let work = Work { event_loop, cable, ready, batch, out: Vec::new(), is_draining: false };
        Ok(Self { work: Mutex::new(work) })
    }

    /// Moves packets for some seconds, or until nothing comes any more from the first device or the limit is reached: then
    /// true.
    #[pyo3(signature = (seconds=None))]
    fn run(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<bool> {
        let taken = self.work.try_lock();
        let mut taken = taken.map_err(|_| config_error(py, "another thread runs this"))?;
        let work = &mut *taken;
        let now = work.event_loop.poller().clock().now();
        let until = seconds.map(|seconds| now + Duration::from_nanos((seconds.max(0.0) * 1e9) as u64));
        loop {
            if py.detach(|| work.slice(until))? {
                let over = work.cable.left == 0 || work.event_loop.is_ended(0);
                work.event_loop.resume();
                work.is_draining = false;
                return Ok(over);
            }
            py.check_signals()?;
            for event in work.event_loop.take_events() {
                if let LoopEvent::Gone { error, retried: false, .. } = event {
                    return Err(device_error(py, &error));
                }
            }
        }
    }

    /// What went through each device.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let work = crate::device::held(py, &self.work);
        let list = PyList::empty(py);
        for port in 0..work.cable.ends {
            if let Some(counters) = work.event_loop.device_counters(port) {
                list.append(counter_row(py, &counters)?)?;
            }
        }
        Ok(list)
    }

    /// Ends both devices, in order.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let mut work = crate::device::held(py, &self.work);
        let Work { event_loop, cable, .. } = &mut *work;
        event_loop.close(&mut cable.pool).map_err(|error| device_error(py, &error))
    }
}
