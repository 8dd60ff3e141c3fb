//! `netfast.Reassembler`: fragments in, datagrams, events and owed errors out.
mod datagram;
mod settings;

pub use datagram::{Datagram, DatagramIterator, Datagrams};
use settings::config_of;
pub use settings::{POLICIES, reassemble_options};

use crate::errors::number_of;
use crate::gate::lock;
use crate::packet::{Given, link_type};
use crate::reader::PacketBatch;
use datagram::{DatagramKind, Whole};
use netfast_buf::{Offsets, PacketPool, Skb};
use netfast_capture::{NetworkPlace, network_place};
use netfast_frag::{Event, EventKind, FragmentReason, Outcome, Reassembler as Engine, ReassemblyCounters};
use netfast_low::hash::Seed;
use netfast_time::Instant;
use netfast_wire::LinkType;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::sync::Mutex;

/// Puts fragments of IP datagrams together; `netfast.reassembly.Reassembler` says how.
///
/// Threads: a lock guards it. `fork`: the child has its own copy. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct Reassembler {
    state: Mutex<State>,
}

struct State {
    engine: Engine,
    pool: PacketPool,
    seed: Seed,
}

/// A packet on its way in.
struct Arriving {
    at: Instant,
    time_ns: u64,
    link: LinkType,
    packet: Skb,
}

#[pymethods]
impl Reassembler {
    #[new]
    fn new(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let config = config_of(settings)?;
        let seed = Seed::new(config.seed).next();
        let state = State { engine: Engine::new(config), pool: PacketPool::default(), seed };
        Ok(Self { state: Mutex::new(state) })
    }

    /// Takes packets, in order, and gives those that go on.
    #[pyo3(signature = (packets, now: "int | None" = None, *, context: "int" = 0, link: "int | str | None" = None))]
    fn push(
        &self,
        py: Python<'_>,
        packets: &Bound<'_, PyAny>,
        now: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = context_of)] context: u32,
        link: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Datagrams> {
        let now = now.map(now_of).transpose()?;
        let link = link.map(link_type).transpose()?;
        let arriving = arriving(packets, now, link)?;
        let whole = py.detach(|| lock(&self.state).push(arriving, context));
        Ok(Datagrams::new(whole))
    }

    /// Gives up the datagrams whose time is over at `now`, and says how many.
    #[pyo3(signature = (now: "int"))]
    fn poll(&self, py: Python<'_>, #[pyo3(from_py_with = now_of)] now: u64) -> u64 {
        py.detach(|| lock(&self.state).poll(Instant::from_nanos(now)))
    }

    /// When `poll` will have something to do, in ns; `None` while nothing waits.
    #[getter]
    fn next_timeout(&self, py: Python<'_>) -> Option<u64> {
        py.detach(|| lock(&self.state).engine.next_timeout().map(Instant::as_nanos))
    }

    /// What happened since the last call, as dictionaries.
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let events = py.detach(|| {
            let mut state = lock(&self.state);
            std::iter::from_fn(|| state.engine.poll_event()).collect::<Vec<_>>()
        });
        let rows = events.iter().map(|event| event_row(py, event));
        PyList::new(py, rows.collect::<PyResult<Vec<_>>>()?)
    }

    /// Counters as a dictionary.
    #[getter]
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = py.detach(|| lock(&self.state).engine.counters());
        counter_dict(py, &counters)
    }

    /// Bytes that waiting datagrams and the tables occupy.
    #[getter]
    fn memory(&self, py: Python<'_>) -> usize {
        py.detach(|| lock(&self.state).engine.memory())
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        py.detach(|| lock(&self.state).engine.len())
    }
}

impl State {
    fn push(&mut self, arriving: Vec<Arriving>, context: u32) -> Vec<Whole> {
        let mut whole = Vec::with_capacity(arriving.len());
        if let Some(first) = arriving.first() {
            self.poll(first.at);
        }
        let end = arriving.last().map(|last| last.at);
        for each in arriving {
            whole.extend(self.take(each, context));
        }
        if let Some(end) = end {
            self.poll(end);
        }
        whole
    }

    fn take(&mut self, arriving: Arriving, context: u32) -> Option<Whole> {
        let Arriving { at, time_ns, link, mut packet } = arriving;
        packet.hot.timestamp = Instant::from_nanos(time_ns);
        let Some(place) = network_place(link, packet.head()) else {
            return Some(Whole::new(DatagramKind::Unfragmented, link, packet));
        };
        packet.hot.outer = Offsets::new(None, Some(place.offset), None);
        let context = self.context(context, place);
        match self.engine.handle_packet(at, context, packet, &mut self.pool) {
            Outcome::Held => None,
            Outcome::NotFragment(packet) => Some(Whole::new(DatagramKind::Unfragmented, link, packet)),
            Outcome::Atomic(packet) => Some(Whole::new(DatagramKind::Atomic, link, packet)),
            Outcome::Complete(made) => {
                let mut whole = Whole::new(DatagramKind::Reassembled, link, made.packet);
                (whole.fragments, whole.largest_fragment) = (made.fragments, made.largest_fragment);
                Some(whole)
            }
            Outcome::Dropped(dropped) => {
                self.pool.recycle(dropped.packet);
                None
            }
        }
    }

    fn poll(&mut self, now: Instant) -> u64 {
        let mut count = 0;
        while let Some(expired) = self.engine.poll_timeout(now, &mut self.pool) {
            count += 1;
            if let Some(first) = expired.first {
                self.pool.recycle(first);
            }
        }
        count
    }

    /// VLANs are worlds of their own.
    fn context(&self, context: u32, place: NetworkPlace) -> u32 {
        if place.tags == 0 {
            return context;
        }
        self.seed.hash5(&[u64::from(context), place.vlans, u64::from(place.tags), 0, 0]) as u32
    }
}

/// What the caller gave, each with the time at which it comes.
fn arriving(packets: &Bound<'_, PyAny>, now: Option<u64>, link: Option<LinkType>) -> PyResult<Vec<Arriving>> {
    if let Ok(batch) = packets.cast::<PacketBatch>() {
        let batch = batch.get().skbs().map(|(time_ns, link, packet)| {
            let at = Instant::from_nanos(now.unwrap_or(time_ns));
            Arriving { at, time_ns, link, packet }
        });
        return Ok(batch.collect());
    }
    let given = Given::all(packets, link)?;
    let mut arriving = Vec::with_capacity(given.len());
    for (number, given) in given.into_iter().enumerate() {
        let Some(time_ns) = given.time_ns.or(now) else {
            return Err(PyTypeError::new_err(format!(
                "packet {number} has no time: give now=, or (time_ns, packet), in ns"
            )));
        };
        let at = Instant::from_nanos(now.unwrap_or(time_ns));
        let (link, packet) = (given.link, given.into_skb());
        arriving.push(Arriving { at, time_ns, link, packet });
    }
    Ok(arriving)
}

fn now_of(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    number_of(object, "now", "nanoseconds on any clock, from 0 to 2**64 - 1")
}

fn context_of(object: &Bound<'_, PyAny>) -> PyResult<u32> {
    number_of(object, "context", "a number from 0 to 2**32 - 1")
}

fn event_row<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    match event {
        Event::Datagram { at, key, kind, fragments, bytes } => {
            let (name, reason) = match kind {
                EventKind::Completed => ("completed", None),
                EventKind::Dropped(reason) => ("dropped", Some(reason.name())),
                EventKind::Noted(reason) => ("noted", Some(reason.name())),
                _ => ("other", None),
            };
            row.set_item("kind", name)?;
            row.set_item("time_ns", at.as_nanos())?;
            row.set_item("reason", reason)?;
            row.set_item("src", key.source().to_string())?;
            row.set_item("dst", key.destination().to_string())?;
            row.set_item("protocol", key.protocol())?;
            row.set_item("identification", key.identification())?;
            row.set_item("context", key.context())?;
            row.set_item("fragments", fragments)?;
            row.set_item("bytes", bytes)?;
        }
        Event::Overflow { lost } => {
            row.set_item("kind", "overflow")?;
            row.set_item("lost", lost)?;
        }
        _ => row.set_item("kind", "other")?,
    }
    Ok(row)
}

/// Counters by name; those by reason without the reasons that never were.
pub fn counter_dict<'py>(py: Python<'py>, counters: &ReassemblyCounters) -> PyResult<Bound<'py, PyDict>> {
    let by_reason = |count: &dyn Fn(FragmentReason) -> u64| {
        let dict = PyDict::new(py);
        let counts = FragmentReason::ALL.iter().map(|&reason| (reason.name(), count(reason)));
        counts.filter(|(_, count)| *count > 0).try_for_each(|(name, count)| dict.set_item(name, count))?;
        PyResult::Ok(dict)
    };
    let dict = PyDict::new(py);
    for (name, count) in [
        ("packets", counters.packets),
        ("not_fragments", counters.not_fragments),
        ("atomic", counters.atomic),
        ("datagrams", counters.datagrams),
        ("completed", counters.completed),
        ("joined", counters.joined),
        ("held", counters.held),
        ("completed_bytes", counters.completed_bytes),
        ("copied_bytes", counters.copied_bytes),
        ("checksum_good", counters.checksum_good),
        ("checksum_bad", counters.checksum_bad),
        ("tombstones_forgotten", counters.tombstones_forgotten),
        ("pairs_forgotten", counters.pairs_forgotten),
        ("events_lost", counters.events_lost),
        ("dropped_lost", counters.dropped_lost),
        ("backward_steps", counters.backward_steps),
    ] {
        dict.set_item(name, count)?;
    }
    dict.set_item("dropped", by_reason(&|reason| counters.dropped(reason))?)?;
    dict.set_item("datagrams_dropped", by_reason(&|reason| counters.datagrams_dropped(reason))?)?;
    dict.set_item("noted", by_reason(&|reason| counters.noted(reason))?)?;
    Ok(dict)
}
