//! A node under load, for `netfast bench`: the loops are here, so that what is timed is no Python.
pub mod load;

use crate::errors::option_error;
use crate::reader::PacketBatch;
use load::{Load, LoadError, Plan, Replay, Transport};
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyBytes;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A node with established flows, whose packets are timed: `netfast.bench` uses it, nobody else should.
///
/// All costs are nanoseconds a packet. Work that did not go the way that was to be measured raises `AssertionError`.
///
/// Threads: a lock guards the node; other threads run meanwhile. `fork`: the child has its own copy. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct BenchNode {
    load: Mutex<Load>,
}

impl BenchNode {
    fn timed<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Load) -> Result<T, LoadError> + Send,
    ) -> PyResult<T> {
        let done = py.detach(|| work(&mut self.load.lock().unwrap_or_else(PoisonError::into_inner)));
        done.map_err(|error| raise(py, error))
    }

    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Load> {
        self.load.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }
}

fn raise(py: Python<'_>, error: LoadError) -> PyErr {
    match error {
        LoadError::Range { field, .. } => option_error(py, field, &error.to_string()),
        _ => PyAssertionError::new_err(error.to_string()),
    }
}

#[pymethods]
impl BenchNode {
    #[new]
    #[pyo3(signature = (flows, *, destinations=u32::MAX, rules=100, tcp=false, nat=false, room=None, seed=1))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        flows: u32,
        destinations: u32,
        rules: usize,
        tcp: bool,
        nat: bool,
        room: Option<u32>,
        seed: u64,
    ) -> PyResult<Self> {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let plan = Plan { flows, destinations, rules, transport, nat, room, seed };
        let load = py.detach(|| Load::new(plan)).map_err(|error| raise(py, error))?;
        Ok(Self { load: Mutex::new(load) })
    }

    /// Hits, both ways: the first `frames` of each direction again and again, in batches of `batch`.
    #[pyo3(signature = (batch=256, frames=524_288))]
    fn hits(&self, py: Python<'_>, batch: usize, frames: usize) -> PyResult<f64> {
        self.timed(py, |load| load.hits(batch, frames))
    }

    /// Hits in the node alone, of packets that were made beforehand, in one piece or with their payload in another.
    fn pieces(&self, py: Python<'_>, nonlinear: bool) -> PyResult<f64> {
        self.timed(py, |load| load.pieces(nonlinear))
    }

    /// The first packets of `count` flows that were never there.
    fn first_packets(&self, py: Python<'_>, count: usize) -> PyResult<f64> {
        self.timed(py, |load| load.first_packets(count))
    }

    /// The first frames of `count` flows that were never there, one after the other: for somebody else.
    fn first_frames<'py>(&self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
        let frames = self.timed(py, |load| Ok(load.first_frames(count)))?;
        Ok(PyBytes::new(py, &frames))
    }

    /// Lets all flows go.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.timed(py, |load| {
            load.flush();
            Ok(())
        })
    }

    /// A scan beside established flows: costs of `scan`, `established`, `calm` and `pair`, and the number `evicted`.
    fn scan(&self, py: Python<'_>, from_clients: bool, count: usize) -> PyResult<(f64, f64, f64, f64, u64)> {
        let scan = self.timed(py, |load| load.scan(from_clients, count))?;
        Ok((scan.scan, scan.established, scan.calm, scan.pair, scan.evicted))
    }

    /// What `known` neighbours cost: `solicitation`, `arp`, `stranger`, `established`, `calm` and `lookup` in nanoseconds, and
    /// the part of their rate that flows keep beside a million solicitations a second.
    #[allow(clippy::type_complexity, reason = "a tuple of Python")]
    fn neighbours(
        &self,
        py: Python<'_>,
        known: u32,
        count: usize,
    ) -> PyResult<(f64, f64, f64, f64, f64, f64, f64)> {
        let cost = self.timed(py, |load| load.neighbours(known, count))?;
        Ok((cost.solicitation, cost.arp, cost.stranger, cost.established, cost.calm, cost.lookup, cost.kept))
    }

    /// A change of the rules: its own cost, that of each flow's first packet `after`, and of one without it (`calm`).
    fn revalidate(&self, py: Python<'_>) -> PyResult<(f64, f64, f64)> {
        let costs = self.timed(py, Load::revalidate)?;
        Ok((costs.swap, costs.after, costs.calm))
    }

    /// The first `count` frames of a direction, one after the other.
    fn frames<'py>(&self, py: Python<'py>, replies: bool, count: usize) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.lock(py).frames(replies, count))
    }

    /// Bytes that the flow cache takes.
    #[getter]
    fn cache_bytes(&self, py: Python<'_>) -> usize {
        self.lock(py).cache_bytes()
    }

    /// Bytes that the flow cache takes for each flow.
    #[getter]
    fn flow_bytes(&self, py: Python<'_>) -> f64 {
        self.lock(py).flow_bytes()
    }

    /// Rules of the kind that the node has: `count` that no packet matches, and with `nat` a translation.
    #[staticmethod]
    #[pyo3(signature = (count, nat=false))]
    fn rules(count: usize, nat: bool) -> String {
        load::rules_text(count, nat)
    }
}

/// A capture that goes through a node as it comes: `netfast.bench` uses it, nobody else should.
///
/// Threads: a lock guards the frames; other threads run meanwhile. `fork`: the child has its own copy. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct BenchReplay {
    replay: Mutex<Replay>,
}

#[pymethods]
impl BenchReplay {
    #[new]
    fn new() -> Self {
        Self { replay: Mutex::default() }
    }

    /// Adds the frames of a batch.
    fn add(&self, py: Python<'_>, batch: &PacketBatch) {
        let mut replay = self.replay.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        batch.packets().for_each(|(time_ns, _, _, bytes)| replay.add(time_ns, bytes));
    }

    /// All frames through a new node: nanoseconds a packet, and the part of them that one lookup decided.
    #[pyo3(signature = (rules=100, seed=1))]
    fn run(&self, py: Python<'_>, rules: usize, seed: u64) -> PyResult<(f64, f64)> {
        let work = || self.replay.lock().unwrap_or_else(PoisonError::into_inner).run(rules, seed);
        py.detach(work).map_err(|error| raise(py, error))
    }
}
