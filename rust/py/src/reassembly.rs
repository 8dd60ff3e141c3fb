//! `netfast.Reassembler`: fragments in, datagrams, events and owed errors out.
mod datagram;
mod owed;
mod settings;

pub use datagram::{Datagram, DatagramIterator, Datagrams};
pub use owed::OwedError;
use settings::Settings;
pub use settings::{POLICIES, REASONS, reassemble_options};

use crate::errors::number_of;
use crate::gate::lock;
use crate::packet::{Given, Packet, link_type};
use crate::reader::PacketBatch;
use datagram::{DatagramKind, Whole};
use netfast_buf::{Offsets, PacketPool, Skb};
use netfast_capture::{NetworkPlace, network_place};
use netfast_frag::{Event, EventKind, FragmentReason, Outcome, Reassembler as Engine, ReassemblyCounters};
use netfast_low::hash::Seed;
use netfast_time::Instant;
use netfast_wire::LinkType;
use netfast_wire::router::IcmpError;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::collections::VecDeque;
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
    owed: Bounded<OwedError>,
    dropped: Bounded<(FragmentReason, Skb)>,
}

/// A queue for the caller; what finds it full is lost and counted.
struct Bounded<T> {
    queue: VecDeque<T>,
    most: usize,
    lost: u64,
}

impl<T> Bounded<T> {
    fn new(most: usize) -> Self {
        Self { queue: VecDeque::new(), most, lost: 0 }
    }

    /// The item back where it is not taken.
    fn push(&mut self, item: T) -> Option<T> {
        if self.queue.len() < self.most {
            self.queue.push_back(item);
            return None;
        }
        self.lost += u64::from(self.most > 0);
        Some(item)
    }
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
        let Settings { config, max_owed } = Settings::of(settings)?;
        let state = State {
            seed: Seed::new(config.seed).next(),
            owed: Bounded::new(max_owed),
            dropped: Bounded::new(config.max_dropped),
            engine: Engine::new(config),
            pool: PacketPool::default(),
        };
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

    /// Errors that senders are owed since the last call.
    fn owed(&self, py: Python<'_>) -> Vec<OwedError> {
        py.detach(|| lock(&self.state).owed.queue.drain(..).collect())
    }

    /// Fragments dropped since the last call, with the reason; only where `max_dropped` keeps them.
    fn dropped(&self, py: Python<'_>) -> Vec<(&'static str, Packet)> {
        let dropped = py.detach(|| std::mem::take(&mut lock(&self.state).dropped.queue));
        let packet = |packet: &Skb| {
            let link = LinkType(packet.hot.in_port as u16);
            Packet::new(PyBytes::new(py, &packet.to_vec()), link, None)
                .at_time(packet.hot.timestamp.as_nanos())
        };
        dropped.iter().map(|(reason, dropped)| (reason.name(), packet(dropped))).collect()
    }

    /// Counters as a dictionary.
    #[getter]
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (mut counters, owed_lost, dropped_lost) = py.detach(|| {
            let state = lock(&self.state);
            (state.engine.counters(), state.owed.lost, state.dropped.lost)
        });
        counters.dropped_lost += dropped_lost;
        let dict = counter_dict(py, &counters)?;
        dict.set_item("owed_lost", owed_lost)?;
        Ok(dict)
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
        packet.hot.in_port = u32::from(link.0);
        let context = self.context(context, place);
        let outcome = self.engine.handle_packet(at, context, packet, &mut self.pool);
        self.drop_waiting();
        match outcome {
            Outcome::Held => None,
            Outcome::NotFragment(packet) => Some(Whole::new(DatagramKind::Unfragmented, link, packet)),
            Outcome::Atomic(mut packet) => {
                self.set_lengths(place, &mut packet);
                Some(Whole::new(DatagramKind::Atomic, link, packet))
            }
            Outcome::Complete(mut made) => {
                self.set_lengths(place, &mut made.packet);
                let mut whole = Whole::new(DatagramKind::Reassembled, link, made.packet);
                (whole.fragments, whole.largest_fragment) = (made.fragments, made.largest_fragment);
                whole.identification = Some(made.key.identification());
                Some(whole)
            }
            Outcome::Dropped(dropped) => {
                self.owe(&dropped.packet, dropped.reason, dropped.error);
                self.drop(dropped.reason, dropped.packet);
                None
            }
        }
    }

    fn set_lengths(&mut self, place: NetworkPlace, packet: &mut Skb) {
        let len = packet.len();
        if place.length_at.is_some()
            && let Ok(head) = packet.headers_mut(place.offset, &mut self.pool)
        {
            place.set_lengths(head, len);
        }
    }

    fn poll(&mut self, now: Instant) -> u64 {
        let mut count = 0;
        while let Some(expired) = self.engine.poll_timeout(now, &mut self.pool) {
            count += 1;
            if let Some(first) = expired.first {
                self.owe(&first, expired.reason, Some(IcmpError::ReassemblyTimeExceeded));
                self.drop(expired.reason, first);
            }
            self.drop_waiting();
        }
        count
    }

    fn owe(&mut self, packet: &Skb, reason: FragmentReason, error: Option<IcmpError>) {
        let link = LinkType(packet.hot.in_port as u16);
        if let Some(owed) = error.and_then(|error| OwedError::about(packet, link, reason, error)) {
            self.owed.push(owed);
        }
    }

    /// Fragments that waited and were given up.
    fn drop_waiting(&mut self) {
        while let Some((packet, reason)) = self.engine.poll_dropped() {
            self.drop(reason, packet);
        }
    }

    fn drop(&mut self, reason: FragmentReason, packet: Skb) {
        if let Some((_, packet)) = self.dropped.push((reason, packet)) {
            self.pool.recycle(packet);
        }
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
        let (Some(block), records) = batch.get().records() else { return Ok(Vec::new()) };
        let packets = records.map(|record| {
            let packet = Skb::from_block(block.clone(), record.offset as usize, record.caplen as usize);
            let (time_ns, link) = (record.time_ns, record.link_type());
            let at = Instant::from_nanos(now.unwrap_or(time_ns));
            Arriving { at, time_ns, link, packet: packet.unwrap_or_default() }
        });
        return Ok(packets.collect());
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
