//! Reassembly under load, for `netfast bench`: the loops are here, so that what is timed is no Python.
mod attack;
mod load;
mod wrap;

use crate::errors::option_error;
use netfast_time::Duration;
use pyo3::exceptions::{PyAssertionError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use std::collections::BTreeMap;
use thiserror::Error;

/// Why a benchmark gives no figure.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BenchError {
    #[error("{field} is out of range: give {takes}")]
    Range { field: &'static str, takes: &'static str },
    #[error("packets came out that never went in, or not all of those that did")]
    Lost,
    #[error("a datagram that came as it was sent has a wrong checksum, or none")]
    Checksum,
}

impl BenchError {
    fn raise(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Range { field, .. } => option_error(py, field, &self.to_string()),
            _ => PyAssertionError::new_err(self.to_string()),
        }
    }
}

/// Numbers that look like chance, the same ones for a seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[inline]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`, which is 2^32 at most.
    #[inline]
    pub fn below(&mut self, limit: u64) -> u64 {
        ((self.next() >> 32) * limit) >> 32
    }
}

/// The experiment of `netfast bench idwrap`, one run: `netfast.bench` uses it, nobody else should.
///
/// A sender of `rate` bits a second, datagrams of 1,500 bytes in two fragments, one in `stride` of which take part; a network
/// that loses a part `loss` of the fragments, `burst` of them one after the other on average; a receiver with the protections
/// that are given. All in virtual time.
///
/// Threads: runs share nothing.
#[pyfunction]
#[pyo3(signature = (
    rate, loss, *, burst=None, datagrams=1 << 20, stride=1, ipv6=false, wrap_safe=true, max_disorder=64,
    tombstone_ns=1_000_000_000, seed=1,
))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn bench_wrap(
    py: Python<'_>,
    rate: u64,
    loss: f64,
    burst: Option<f64>,
    datagrams: u64,
    stride: u32,
    ipv6: bool,
    wrap_safe: bool,
    max_disorder: u32,
    tombstone_ns: u64,
    seed: u64,
) -> PyResult<BTreeMap<&'static str, u64>> {
    let burst = burst.unwrap_or(1.0 / (1.0 - loss));
    let tombstone = Duration::from_nanos(tombstone_ns);
    let plan =
        wrap::Plan { ipv6, rate, datagrams, stride, loss, burst, wrap_safe, max_disorder, tombstone, seed };
    let tally = py.detach(|| plan.run()).map_err(|error| error.raise(py))?;
    Ok(BTreeMap::from([
        ("lost", tally.lost),
        ("delivered", tally.delivered),
        ("corrupted", tally.corrupted),
        ("caught", tally.caught),
        ("incomplete", tally.incomplete),
        ("virtual_ns", tally.virtual_ns),
        ("memory", tally.memory),
    ]))
}

/// Frames that become packets and are reassembled: `netfast.bench` uses it, nobody else should.
///
/// Threads: runs share nothing. `fork`: the child has its own copy. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct BenchReassembler {
    frames: load::Frames,
}

#[pymethods]
impl BenchReassembler {
    #[new]
    fn new(frames: Vec<PyBackedBytes>) -> PyResult<Self> {
        if frames.is_empty() || frames.iter().any(|frame| frame.is_empty()) {
            return Err(PyValueError::new_err("frames: give some, none of them empty"));
        }
        Ok(Self { frames: load::Frames::new(&frames) })
    }

    /// One pass: nanoseconds a fragment, datagrams that the frames make, and bytes that were copied for each delivered, of
    /// which making packets does not count. Without `reassembles`: what the loop itself costs.
    #[pyo3(signature = (reassembles=true, verifies=false))]
    fn run(&self, py: Python<'_>, reassembles: bool, verifies: bool) -> PyResult<(f64, u64, f64)> {
        let pass = py.detach(|| load::pass(&self.frames, reassembles, verifies));
        pass.map(|pass| (pass.cost, pass.datagrams, pass.copied)).map_err(|error| error.raise(py))
    }
}

/// Names of the attacks of `bench_attack`.
pub const ATTACK_NAMES: [&str; attack::ATTACKS.len()] = {
    let mut names = [""; attack::ATTACKS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = attack::ATTACKS[at].0;
        at += 1;
    }
    names
};

/// `fragments` hostile ones at a reassembler, those of others between them: `netfast.bench` uses it, nobody else should.
///
/// Gives nanoseconds a fragment (`cost`) and comparisons for finding their places (`steps`), most bytes that waited (`held`)
/// and the `limit` of these, most bytes with all tables (`memory`), datagrams of `others` and how many of them were lost
/// (`others_lost`).
///
/// Threads: runs share nothing.
#[pyfunction]
#[pyo3(signature = (name, fragments=1 << 18, *, reassembles=true, seed=1))]
pub fn bench_attack(
    py: Python<'_>,
    name: &str,
    fragments: u64,
    reassembles: bool,
    seed: u64,
) -> PyResult<BTreeMap<&'static str, f64>> {
    let found = attack::ATTACKS.iter().find(|(known, _)| *known == name);
    let unknown = BenchError::Range { field: "name", takes: "one of BENCH_ATTACKS" };
    let (_, attack) = found.ok_or(unknown).map_err(|error| error.raise(py))?;
    let damage = py.detach(|| attack.run(fragments, seed, reassembles)).map_err(|error| error.raise(py))?;
    Ok(BTreeMap::from([
        ("cost", damage.cost),
        ("steps", damage.steps),
        ("held", damage.held as f64),
        ("limit", damage.limit as f64),
        ("memory", damage.memory as f64),
        ("others", damage.others as f64),
        ("others_lost", damage.others_lost as f64),
    ]))
}
