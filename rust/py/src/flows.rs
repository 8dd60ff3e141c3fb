//! `netfast.flows` and `netfast.FlowTable`: flow records.
use crate::arrow::{array_capsules, schema_capsule, stream_capsule};
use crate::errors::{number_of, option_error};
use crate::gate::{enter, lock, raise};
use crate::packet::{Given, link_type};
use crate::packets::arrow_error;
use crate::reader::PacketBatch;
use crate::reassembly::{counter_dict, reassemble_options};
use crate::signals::CancelOnDrop;
use crate::source::{self, LastError, Source};
use crate::text::{RowSink, Written, html_table, rows_to_python, write_rows};
use netfast_capture::{
    AddressForm, Copied, CopyFormat, Damages, Error, FlowColumns, FlowCounters, FlowFeeder, FlowOptions,
    FlowReader, Gauge, Input, ReassemblyGauge, Step, TextWriter, Unfiltered, flow_batch, flow_schema,
    json_flows,
};
use netfast_flow::{EndReason, FlowConfig, NoFlow};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList};
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

// Signatures say the number, so that `help()` shows it.
const _: () = assert!(FlowConfig::MAX_FLOWS == 1048576);

fn max_flows_of(object: &Bound<'_, PyAny>) -> PyResult<u32> {
    number_of(object, "max_flows", "a number from 1 to 268435456")
}

fn first_packets_of(object: &Bound<'_, PyAny>) -> PyResult<u16> {
    number_of(object, "first_packets", "a number from 0 to 255")
}

fn threads_of(object: &Bound<'_, PyAny>) -> PyResult<usize> {
    number_of(object, "threads", "a number from 1 to 64")
}

/// Seconds as nanoseconds.
fn nanoseconds(py: Python<'_>, option: &str, seconds: f64) -> PyResult<u64> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(option_error(py, option, &format!("{option}={seconds}: give seconds from 0 up")));
    }
    // The conversion saturates: infinity is never.
    Ok((seconds * 1e9) as u64)
}

/// What `netfast.flows` and `FlowTable` have in common.
struct Arguments {
    idle: f64,
    active: f64,
    max_flows: u32,
    inner: bool,
    stats: bool,
    first_packets: u16,
    threads: usize,
    seed: Option<u64>,
}

impl Arguments {
    fn options(&self, py: Python<'_>) -> PyResult<FlowOptions> {
        let flow = FlowConfig {
            idle_ns: nanoseconds(py, "idle", self.idle)?,
            active_ns: nanoseconds(py, "active", self.active)?,
            max_flows: self.max_flows,
            // Packets may come from strangers; below the limits, results do not depend on it.
            seed: self.seed.unwrap_or_else(|| RandomState::new().hash_one(0)),
            statistics: self.stats.then_some(self.first_packets),
            ..FlowConfig::default()
        };
        Ok(FlowOptions { flow, inner: self.inner, threads: self.threads })
    }
}

/// Counters as a dictionary.
fn counters<'py>(py: Python<'py>, counters: &FlowCounters) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let no_flow = PyDict::new(py);
    for (reason, count) in NoFlow::ALL.iter().zip(counters.no_flow) {
        no_flow.set_item(reason.name(), count)?;
    }
    let ended = PyDict::new(py);
    for (reason, count) in EndReason::ALL.iter().zip(counters.flows.ended) {
        ended.set_item(reason.name(), count)?;
    }
    dict.set_item("packets", counters.packets)?;
    dict.set_item("in_flows", counters.in_flows)?;
    dict.set_item("no_flow", no_flow)?;
    dict.set_item("flows", counters.flows.begun)?;
    dict.set_item("ended", ended)?;
    dict.set_item("reseeded", counters.flows.reseeded)?;
    dict.set_item("first_fragments", counters.fragments.first)?;
    dict.set_item("fragments_matched", counters.fragments.matched)?;
    dict.set_item("fragments_forgotten", counters.fragments.forgotten)?;
    dict.set_item("time_backward", counters.clock.backward)?;
    dict.set_item("time_wild", counters.clock.wild)?;
    dict.set_item("time_jumps", counters.clock.jumps)?;
    Ok(dict)
}

/// The flows of one or more captures; made by `netfast.flows`.
///
/// Threads: iterators are independent of each other, and each may be used from any thread. `fork`: open captures
/// after it. `pickle`: refused; pickle the arguments instead.
#[pyclass(frozen, module = "netfast")]
pub struct FlowStream {
    source: Source,
    options: FlowOptions,
    addresses: AddressForm,
    first: Mutex<Option<Input>>,
    error: LastError,
    counters: Arc<Mutex<FlowCounters>>,
    unfiltered: Mutex<Unfiltered>,
    damages: Mutex<Damages>,
    write: Option<(RowSink, CopyFormat)>,
    copied: Mutex<Copied>,
    reassembly: Mutex<ReassemblyGauge>,
}

impl FlowStream {
    fn run(&self, py: Python<'_>) -> PyResult<Run> {
        self.error.clear();
        let first = lock(&self.first).take();
        let mut input = first.map_or_else(|| self.source.open(py), Ok)?;
        if let Some((target, format)) = &self.write {
            *lock(&self.copied) = input.copy_to(Box::new(target.open()?), target.name(), *format);
        }
        *lock(&self.damages) = input.damages();
        *lock(&self.reassembly) = input.reassembly();
        *lock(&self.unfiltered) = input.unfiltered();
        Run::new(input, self.options).map_err(|error| raise(py, &error))
    }
}

/// One run over the flows of an input.
struct Run {
    /// Before the reader: its threads end at once then.
    interrupt: Option<CancelOnDrop>,
    reader: FlowReader,
    gauge: Gauge,
}

impl Run {
    fn new(input: Input, options: FlowOptions) -> Result<Self, Error> {
        Ok(Self {
            interrupt: input.interrupt().cloned().map(CancelOnDrop),
            gauge: input.gauge(),
            reader: FlowReader::new(input, options)?,
        })
    }

    /// The next flows, if there are some within about a tenth of a second.
    fn step(&mut self, counters: &Mutex<FlowCounters>) -> Result<Step, Error> {
        let step = self.reader.step();
        *lock(counters) = self.reader.counters();
        step
    }

    /// The next flows, for a caller that does not look at signals.
    fn next_flows(&mut self, counters: &Mutex<FlowCounters>) -> Result<Option<FlowColumns>, Error> {
        loop {
            match self.step(counters)? {
                Step::Flows(flows) => return Ok(Some(flows)),
                Step::Working if self.interrupt.as_ref().is_some_and(|interrupt| interrupt.0.ask()) => {
                    return Err(Error::Interrupted);
                }
                Step::Working => {}
                Step::Done => return Ok(None),
            }
        }
    }
}

#[pymethods]
impl FlowStream {
    #[new]
    #[pyo3(signature = (paths, *, filter=None, idle=120.0, active=1800.0, max_flows: "int" = 1048576, inner=false, stats=false, first_packets: "int" = 20, text_addresses=false, threads: "int" = 1, seed=None, mmap=false, lenient=false, write=None, reassemble=None))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        filter: Option<String>,
        idle: f64,
        active: f64,
        #[pyo3(from_py_with = max_flows_of)] max_flows: u32,
        inner: bool,
        stats: bool,
        #[pyo3(from_py_with = first_packets_of)] first_packets: u16,
        text_addresses: bool,
        #[pyo3(from_py_with = threads_of)] threads: usize,
        seed: Option<u64>,
        mmap: bool,
        lenient: bool,
        write: Option<RowSink>,
        reassemble: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        if !(1..=64).contains(&threads) {
            return Err(option_error(
                py,
                "threads",
                &format!("threads={threads}: give a number from 1 to 64"),
            ));
        }
        let options =
            Arguments { idle, active, max_flows, inner, stats, first_packets, threads, seed }.options(py)?;
        let write = write.map(|target| target.copy_format(py).map(|format| (target, format))).transpose()?;
        let reassemble = reassemble.map(reassemble_options).transpose()?;
        let mut source = Source::new(paths, filter, mmap, lenient).reassembling(reassemble);
        if let Some((target, _)) = &write {
            target.spare(py, source.paths())?;
            source = source.keeping_options();
        }
        let first = Mutex::new(Some(source.open(py)?));
        // The limits are said to be wrong now, not when the first flow is asked for.
        FlowFeeder::new(options).map_err(|error| raise(py, &error))?;
        Ok(Self {
            source,
            options,
            addresses: if text_addresses { AddressForm::Text } else { AddressForm::Binary },
            first,
            error: LastError::default(),
            counters: Arc::default(),
            unfiltered: Mutex::default(),
            damages: Mutex::default(),
            write,
            copied: Mutex::default(),
            reassembly: Mutex::default(),
        })
    }

    /// The exception that ended the latest run early, or `None`.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<PyErr> {
        self.error.get().map(|error| raise(py, &error))
    }

    /// Where the packets of the latest run went; complete when the run is.
    #[getter]
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        counters(py, &lock(&self.counters))
    }

    /// Counters of the latest run's reassembly; zeros without.
    #[getter]
    fn reassembly<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        counter_dict(py, &lock(&self.reassembly).counters())
    }

    /// Packets of the latest run that the filter could not be asked about, by link type (LINKTYPE_ numbers).
    #[getter]
    fn unfiltered(&self) -> BTreeMap<u16, u64> {
        lock(&self.unfiltered).counts()
    }

    /// Packets that the latest run has written to `write`, how many of them were cut to what other programs read, and of
    /// how many the options (comments and the like) were lost because pcap has none.
    #[getter]
    fn copied(&self) -> (u64, u64, u64) {
        let copied = lock(&self.copied);
        (copied.packets(), copied.cut_packets(), copied.bared_packets())
    }

    /// What is damaged of each capture, as far as it was read: `path`, `count` of places, bytes `skipped`, and
    /// `places` (the first thousand), each with `frame`, `offset`, `skipped` and `what`.
    #[getter]
    fn damage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        source::damage(py, &lock(&self.damages))
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<FlowIterator> {
        let run = self.run(py)?;
        Ok(FlowIterator {
            gauge: run.gauge.clone(),
            run: Mutex::new(run),
            addresses: self.addresses,
            error: self.error.clone(),
            counters: self.counters.clone(),
        })
    }

    /// Arrow PyCapsule interface; a requested schema is not negotiated.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let (mut run, form, last) = (self.run(py)?, self.addresses, self.error.clone());
        let counters = self.counters.clone();
        let batches = std::iter::from_fn(move || {
            let next = run.next_flows(&counters);
            let next = next.and_then(|flows| flows.map(|f| flow_batch(&f, form)).transpose());
            next.map_err(|error| arrow_error(error, &last)).transpose()
        });
        stream_capsule(py, flow_schema(form, self.options.flow.statistics.is_some()), batches)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &flow_schema(self.addresses, self.options.flow.statistics.is_some()))
    }

    /// Writes all rows as text: `target` is a path or a file descriptor, `form` "csv", "jsonl" or "tsv"; without it the
    /// path's ending says it.
    ///
    /// `progress` is called with (packets, bytes) read so far, about ten times a second. Returns the rows written.
    #[pyo3(signature = (target, form=None, progress=None))]
    fn write_text(
        &self,
        py: Python<'_>,
        target: RowSink,
        form: Option<&str>,
        progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        target.spare(py, self.source.paths())?;
        let mut run = self.run(py)?;
        let statistics = self.options.flow.statistics.is_some();
        let (gauge, counters) = (run.gauge.clone(), self.counters.clone());
        write_rows(py, &target, form, progress.as_ref(), &gauge, move |writer| {
            writer.begin_flows(statistics)?;
            let step = run.step(&counters)?;
            let Step::Flows(flows) = step else {
                return Ok(if matches!(step, Step::Done) { Written::All } else { Written::Rows(0) });
            };
            writer.flows(&flows)?;
            writer.flush()?;
            Ok(Written::Rows(flows.len()))
        })
    }

    fn __repr__(&self) -> String {
        format!("<netfast.FlowStream of {}>", self.source.names())
    }

    /// The first flows that end, as a table; a stream that can be read only once is not touched.
    fn _repr_html_(&self, py: Python<'_>) -> PyResult<Option<String>> {
        if !self.source.reopens() {
            return Ok(None);
        }
        let mut reader =
            FlowReader::new(self.source.open(py)?, self.options).map_err(|error| raise(py, &error))?;
        let flows = enter(py, || reader.next_flows())?.unwrap_or_default();
        Ok(Some(html_table(json_flows(&flows), None)))
    }
}

/// Batches of flow records, as flows end.
#[pyclass(frozen, module = "netfast")]
pub struct FlowIterator {
    run: Mutex<Run>,
    addresses: AddressForm,
    error: LastError,
    counters: Arc<Mutex<FlowCounters>>,
    gauge: Gauge,
}

#[pymethods]
impl FlowIterator {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<FlowBatch>> {
        loop {
            py.check_signals()?;
            let step = py.detach(|| lock(&self.run).step(&self.counters));
            match step.map_err(|error| raise(py, &self.error.set(error)))? {
                Step::Flows(columns) => return Ok(Some(FlowBatch { columns, addresses: self.addresses })),
                Step::Working => {}
                Step::Done => return Ok(None),
            }
        }
    }

    /// Packets and (decompressed) bytes read so far, those included that the filter did not keep.
    fn progress(&self) -> (u64, u64) {
        self.gauge.read()
    }
}

/// Flow records as columns.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; convert to a DataFrame first.
#[pyclass(frozen, module = "netfast")]
pub struct FlowBatch {
    columns: FlowColumns,
    addresses: AddressForm,
}

#[pymethods]
impl FlowBatch {
    fn __len__(&self) -> usize {
        self.columns.len()
    }

    /// Arrow PyCapsule interface; a requested schema is not negotiated.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let _ = requested_schema;
        let batch = enter(py, || flow_batch(&self.columns, self.addresses))?;
        array_capsules(py, &batch)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &flow_schema(self.addresses, self.columns.has_statistics()))
    }

    /// The rows as dictionaries, addresses as text.
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        rows_to_python(py, json_flows(&self.columns))
    }

    /// The rows as text: "csv", "jsonl" or "tsv".
    fn text(&self, py: Python<'_>, form: &str) -> PyResult<String> {
        let mut writer = TextWriter::new(Vec::new(), crate::text::format(py, form)?);
        enter(py, || writer.flows(&self.columns))?;
        crate::text::utf8(std::mem::take(writer.sink_mut()))
    }

    fn __repr__(&self) -> String {
        format!("<netfast.FlowBatch: {} flows>", self.columns.len())
    }

    fn _repr_html_(&self) -> String {
        html_table(json_flows(&self.columns), Some(self.columns.len()))
    }
}

/// A table of two-way flows that other programs feed: packets in with their times, flow records out.
///
/// Time is an argument: nanoseconds on any clock, the packets' own or yours. At `max_flows` the flow longest unused of
/// a few is evicted, and said so in its record; `seed` makes a run at that limit repeatable. `counters` tells where
/// every packet went.
///
/// A packet more than a day from the one before it may be a wild one: it waits, uncounted, for the next packet,
/// `advance` or `finish`, which tell.
///
/// Threads: each method is atomic, a lock guards the table. `fork`: the child has its own copy; do not fork while
/// another thread is in a method. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct FlowTable {
    feeder: Mutex<FlowFeeder>,
    addresses: AddressForm,
}

#[pymethods]
impl FlowTable {
    #[new]
    #[pyo3(signature = (*, idle=120.0, active=1800.0, max_flows: "int" = 1048576, inner=false, stats=false, first_packets: "int" = 20, text_addresses=false, seed=None))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        idle: f64,
        active: f64,
        #[pyo3(from_py_with = max_flows_of)] max_flows: u32,
        inner: bool,
        stats: bool,
        #[pyo3(from_py_with = first_packets_of)] first_packets: u16,
        text_addresses: bool,
        seed: Option<u64>,
    ) -> PyResult<Self> {
        let arguments = Arguments { idle, active, max_flows, inner, stats, first_packets, threads: 1, seed };
        let feeder = FlowFeeder::new(arguments.options(py)?).map_err(|error| raise(py, &error))?;
        let addresses = if text_addresses { AddressForm::Text } else { AddressForm::Binary };
        Ok(Self { feeder: Mutex::new(feeder), addresses })
    }

    /// Takes packets in order: a `PacketBatch` of a `Capture`, or an iterable of `Packet`s that know their time and of
    /// `(time_ns, packet)` or `(time_ns, packet, wire_len)`, `packet` being bytes, headers or a `Packet`.
    ///
    /// `link` is what bytes begin with, as a LINKTYPE_ number or name; without it they are Ethernet, and headers know it
    /// themselves.
    ///
    /// Returns how many packets were taken. Nothing is taken when one of them is not of this form.
    #[pyo3(signature = (packets, *, link: "int | str | None" = None))]
    fn push(
        &self,
        py: Python<'_>,
        packets: &Bound<'_, PyAny>,
        link: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        if let Ok(captured) = packets.cast::<PacketBatch>() {
            let captured = captured.get();
            py.detach(|| lock(&self.feeder).push(captured.packets()));
            return Ok(captured.packets().count());
        }
        let batch = Given::timed(packets, link.map(link_type).transpose()?)?;
        let push = || {
            let packets =
                batch.iter().map(|(time, given)| (*time, given.link, given.wire_len, given.bytes()));
            lock(&self.feeder).push(packets);
        };
        py.detach(push);
        Ok(batch.len())
    }

    /// Lets time pass, so that idle flows end although no packet comes.
    fn advance(&self, py: Python<'_>, now_ns: u64) {
        py.detach(|| lock(&self.feeder).advance(now_ns));
    }

    /// The flows that have ended since the last call.
    fn ended(&self, py: Python<'_>) -> FlowBatch {
        FlowBatch { columns: py.detach(|| lock(&self.feeder).take_ended()), addresses: self.addresses }
    }

    /// Ends all flows and returns them, with those that ended before and were not taken.
    fn finish(&self, py: Python<'_>) -> FlowBatch {
        let columns = py.detach(|| {
            let mut feeder = lock(&self.feeder);
            feeder.finish();
            feeder.take_ended()
        });
        FlowBatch { columns, addresses: self.addresses }
    }

    /// Where every packet went: `packets = in_flows + sum(no_flow)`.
    #[getter]
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let now = py.detach(|| lock(&self.feeder).counters());
        counters(py, &now)
    }

    /// Bytes that the table occupies.
    #[getter]
    fn memory(&self, py: Python<'_>) -> usize {
        py.detach(|| lock(&self.feeder).memory())
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        py.detach(|| lock(&self.feeder).len())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<netfast.FlowTable: {} flows>", self.__len__(py))
    }
}
