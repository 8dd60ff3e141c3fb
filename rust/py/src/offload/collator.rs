//! `netfast.Collator`, natively.
use super::packets::{OffloadBatch, Taken};
use crate::errors::{number_of, option_error};
use crate::gate::lock;
use crate::packet::link_type;
use netfast_buf::{BATCH_PACKETS, ChecksumState, PacketBatch, PacketPool, Skb};
use netfast_offload::collate::{
    Collator as Engine, CollatorConfig, CollatorCounters, CollatorError, End, Reason,
};
use netfast_time::{Duration, Instant};
use netfast_wire::LinkType;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyDict;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// From so many packets on they are worked on without the GIL.
const DETACH_FROM: usize = 32;

/// Collation of packets; used through `netfast.Collator`, which documents everything.
///
/// Threads: each method is atomic. `fork`: the child has its own copy. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct Collator {
    state: Mutex<State>,
    /// What the caller said of bytes.
    given: Option<LinkType>,
    link: LinkType,
    trusts: bool,
}

struct State {
    engine: Engine,
    batch: PacketBatch,
}

/// Settings as Python gives them; what is `None` is as it always is.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Settings {
    tcp: bool,
    udp: bool,
    tunnels: bool,
    vxlan_port: u16,
    geneve_port: u16,
    max_flows: usize,
    max_held_bytes: u64,
    max_hold_ns: u64,
    max_segments: u16,
    max_length: u32,
}

impl Settings {
    /// A collator for packets of a link type.
    pub fn engine(&self, link: LinkType) -> Result<Engine, CollatorError> {
        let config = CollatorConfig {
            link,
            tcp: self.tcp,
            udp: self.udp,
            tunnels: self.tunnels,
            vxlan_port: self.vxlan_port,
            geneve_port: self.geneve_port,
            max_flows: self.max_flows,
            max_held_bytes: self.max_held_bytes,
            max_hold: Duration::from_nanos(self.max_hold_ns),
            max_segments: self.max_segments,
            max_length: self.max_length,
        };
        // Packets may come from strangers: nobody should know the seed.
        Engine::new(config, RandomState::new().hash_one(0), PacketPool::default())
    }
}

/// The exception of settings that cannot be.
pub fn raise(py: Python<'_>, error: CollatorError) -> PyErr {
    let option = match error {
        CollatorError::LinkType { .. } => "link",
        CollatorError::Setting { setting, .. } => setting,
        _ => "settings",
    };
    option_error(py, option, &error.to_string())
}

#[pymethods]
impl Collator {
    #[new]
    #[pyo3(signature = (settings: "dict[str, int]", *, link: "int | str | None" = None, trust_checksums=false))]
    fn new(
        py: Python<'_>,
        settings: Settings,
        link: Option<&Bound<'_, PyAny>>,
        trust_checksums: bool,
    ) -> PyResult<Self> {
        let given = link.map(link_type).transpose()?;
        let link = given.unwrap_or(LinkType::ETHERNET);
        let engine = settings.engine(link).map_err(|error| raise(py, error))?;
        let state = State { engine, batch: PacketBatch::new() };
        Ok(Self { state: Mutex::new(state), given, link, trusts: trust_checksums })
    }

    /// Takes packets and gives those that are not held on.
    #[pyo3(signature = (packets, now: "int | None" = None))]
    fn push(
        &self,
        py: Python<'_>,
        packets: &Bound<'_, PyAny>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<OffloadBatch> {
        let now = now.map(|now| time_of(now)).transpose()?;
        let mut taken = Taken::of(packets, self.given)?;
        if taken.link != self.link && !taken.packets.is_empty() {
            let text = format!(
                "packets begin with {}, and this collator takes {}: make one with that `link`",
                taken.link, self.link
            );
            return Err(option_error(py, "packets", &text));
        }
        if self.trusts {
            taken.packets.iter_mut().for_each(trust);
        }
        let count = taken.packets.len();
        let work = |mut state: MutexGuard<'_, State>| state.push(taken.packets, now);
        let out = match count {
            ..DETACH_FROM => work(self.lock(py)),
            _ => py.detach(|| work(lock(&self.state))),
        };
        Ok(OffloadBatch::of(out, self.link))
    }

    /// Gives what was held as long as it may be.
    fn poll(&self, py: Python<'_>, now: &Bound<'_, PyAny>) -> PyResult<OffloadBatch> {
        let (now, mut out) = (time_of(now)?, Vec::new());
        self.lock(py).engine.poll(now, &mut out);
        Ok(OffloadBatch::of(out, self.link))
    }

    /// Gives all that is held.
    fn flush(&self, py: Python<'_>) -> OffloadBatch {
        let mut out = Vec::new();
        self.lock(py).engine.flush(&mut out);
        OffloadBatch::of(out, self.link)
    }

    /// When `poll` has something to do, in ns; `None` while nothing is held.
    #[getter]
    fn next_timeout(&self, py: Python<'_>) -> Option<u64> {
        self.lock(py).engine.next_timeout().map(Instant::as_nanos)
    }

    /// What it did, by name.
    #[getter]
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut all = Statistics::default();
        all.add(&self.lock(py).engine);
        all.to_dict(py)
    }
}

impl Collator {
    /// The lock; who waits for it lets the GIL go.
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        // What a panic left is still valid memory, and the panic itself was raised in Python.
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Without `now` the packets' own times are the clock: where they may be held from call to call, that is asked before
    /// each of them.
    fn push(&mut self, packets: Vec<Skb>, now: Option<Instant>) -> Vec<Skb> {
        let by_packet = now.is_none() && self.engine.config().max_hold > Duration::ZERO;
        let most = if by_packet { 1 } else { BATCH_PACKETS };
        let (mut left, mut out) = (packets.into_iter().peekable(), Vec::new());
        while let Some(first) = left.peek() {
            let now = now.unwrap_or(first.hot.timestamp);
            for packet in left.by_ref().take(most) {
                self.batch.push(packet).expect("the batch is empty and takes as many");
            }
            self.engine.handle_batch(now, &mut self.batch, &mut out);
        }
        out
    }
}

/// Who sent the packet, or took it from the wire, vouches for its checksum.
pub fn trust(packet: &mut Skb) {
    if packet.hot.checksum == ChecksumState::Unchecked {
        packet.hot.checksum = ChecksumState::Good;
    }
}

fn time_of(now: &Bound<'_, PyAny>) -> PyResult<Instant> {
    number_of(now, "now", "nanoseconds, from 0 to 2**64 - 1").map(Instant::from_nanos)
}

/// What one or several collators did.
#[derive(Default)]
pub struct Statistics {
    counters: CollatorCounters,
    held: u64,
    held_bytes: u64,
    copied_bytes: u64,
}

impl Statistics {
    /// Adds those of a collator.
    pub fn add(&mut self, engine: &Engine) {
        let (all, one) = (&mut self.counters, engine.counters());
        for (sum, more) in [
            (&mut all.packets, one.packets),
            (&mut all.bytes, one.bytes),
            (&mut all.merged, one.merged),
            (&mut all.out, one.out),
            (&mut all.super_packets, one.super_packets),
            (&mut all.super_segments, one.super_segments),
            (&mut all.clock_went_back, one.clock_went_back),
            (&mut self.held, engine.held() as u64),
            (&mut self.held_bytes, engine.held_bytes()),
            (&mut self.copied_bytes, engine.pool().copies.bytes),
        ] {
            *sum += more;
        }
        let reasons = all.not_merged.iter_mut().zip(&one.not_merged);
        let ends = all.ended.iter_mut().zip(&one.ended);
        reasons.chain(ends).for_each(|(sum, more)| *sum += more);
    }

    /// By name; of reasons those that occurred.
    pub fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (dict, counters) = (PyDict::new(py), &self.counters);
        for (name, value) in [
            ("packets", counters.packets),
            ("bytes", counters.bytes),
            ("out", counters.out),
            ("merged", counters.merged),
            ("super_packets", counters.super_packets),
            ("super_segments", counters.super_segments),
            ("held", self.held),
            ("held_bytes", self.held_bytes),
            ("copied_bytes", self.copied_bytes),
            ("clock_went_back", counters.clock_went_back),
        ] {
            dict.set_item(name, value)?;
        }
        let (not_merged, ended) = (PyDict::new(py), PyDict::new(py));
        for reason in Reason::ALL.iter().filter(|reason| counters.not_merged(**reason) > 0) {
            not_merged.set_item(reason.name(), counters.not_merged(*reason))?;
        }
        for end in End::ALL.iter().filter(|end| counters.ended(**end) > 0) {
            ended.set_item(end.name(), counters.ended(*end))?;
        }
        dict.set_item("not_merged", not_merged)?;
        dict.set_item("ended", ended)?;
        Ok(dict)
    }
}
