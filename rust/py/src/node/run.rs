//! Captures through a node, in the order of their times, and captures of what comes out.
use super::list::{drops, port_row};
use super::mistake::Mistake;
use super::packets::{Frame, link_of_local};
use super::state::State;
use super::tap::{CaptureFile, FileError, resolved};
use super::value::refused;
use super::work::{cache_row, pass};
use super::{Node, Shared};
use crate::errors::{ParsePlace, parse_error};
use crate::gate::{lock, raise, raise_io};
use crate::source::{self, Source};
use netfast_buf::{PacketBatch, Skb};
use netfast_capture::Input;
use netfast_datapath::{CacheCounters, Counters, Outputs, PortCounts, PortId};
use netfast_io::capture::PacketMeta;
use netfast_wire::LinkType;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;
use std::time::{Duration, Instant as Clock};

/// What the capture of packets for the node itself is called; no port may be called so.
pub const LOCAL: &str = "local";
/// Records that are read at a time.
const RECORDS: usize = 1_024;
/// Differences that are kept; with more of them the first say enough.
const MAX_DIFFERENCES: usize = 1_000;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(100);

/// The captures that a run writes.
struct Files {
    folder: PathBuf,
    ports: BTreeMap<PortId, (String, CaptureFile)>,
    local: CaptureFile,
}

impl Files {
    /// The files that there will be.
    fn names<'a>(folder: &'a Path, state: &'a State) -> impl Iterator<Item = PathBuf> + 'a {
        let ports = state.node.port_configs().filter(|(_, config)| config.vlan.is_none());
        let names = ports.map(|(_, config)| config.name.clone()).chain(std::iter::once(LOCAL.to_owned()));
        names.map(move |name| folder.join(format!("{name}.pcapng")))
    }

    fn create(folder: PathBuf, state: &State) -> Result<Self, FileError> {
        let io = |source| {
            (folder.display().to_string(), netfast_io::Error::Io { operation: "create", offset: 0, source })
        };
        std::fs::create_dir_all(&folder).map_err(io)?;
        let mut ports = BTreeMap::new();
        for (id, config) in state.node.port_configs() {
            // What a sub-interface sends leaves by the port that carries it.
            if config.vlan.is_none() {
                let path = folder.join(format!("{}.pcapng", config.name));
                ports.insert(id, (config.name.clone(), CaptureFile::create(&path, &config.name)?));
            }
        }
        let local = CaptureFile::create(&folder.join("local.pcapng"), "local")?;
        Ok(Self { folder, ports, local })
    }

    fn write(&mut self, outputs: &Outputs) -> Result<(), FileError> {
        for (id, (_, file)) in &mut self.ports {
            put(file, outputs.port(*id))?;
        }
        let meta = PacketMeta::default();
        for packet in outputs.local() {
            let now = packet.hot.timestamp.as_nanos();
            match link_of_local(packet) {
                LinkType::RAW => self.local.write_raw(now, &packet.to_vec(), &meta)?,
                _ => self.local.write(now, &packet.to_vec(), &meta)?,
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<(String, String)>, FileError> {
        let mut written = Vec::new();
        for (_, (name, file)) in self.ports {
            written.push((name, file.finish()?));
        }
        self.local.finish()?;
        written.push(("local".to_owned(), self.folder.join("local.pcapng").display().to_string()));
        Ok(written)
    }
}

fn put(file: &mut CaptureFile, packets: &[Skb]) -> Result<(), FileError> {
    for packet in packets {
        let (mut segments, meta) = (packet.segments(), PacketMeta::default());
        let now = packet.hot.timestamp.as_nanos();
        match (segments.next(), segments.len()) {
            (Some(bytes), 0) => file.write(now, bytes, &meta)?,
            _ => file.write(now, &packet.to_vec(), &meta)?,
        }
    }
    Ok(())
}

/// What a run is at.
struct Run {
    input: Input,
    /// The captures, and how many of the frames of each were read.
    paths: Vec<PathBuf>,
    seen: Vec<u64>,
    /// Ports by number of the capture.
    ports: Vec<PortId>,
    files: Option<Files>,
    batch: PacketBatch,
    outputs: Outputs,
    first_ns: Option<u64>,
    last_ns: u64,
    differences: Vec<String>,
}

impl Run {
    /// Packets that were read go in, those of one port together as far as their order allows; what comes out is written.
    /// To be called without the GIL. False at the end.
    fn step(&mut self, shared: &Shared) -> PyResult<bool> {
        let told = |error: &netfast_capture::Error| Python::attach(|py| raise(py, error));
        if !self.input.next(RECORDS).map_err(|error| told(&error))? {
            return Ok(false);
        }
        let relock = || lock(&shared.state);
        let (mut state, mut at) = (relock(), None);
        let Self { input, paths, seen, ports, files, batch, outputs, first_ns, last_ns, differences } = self;
        let mut flush =
            |state, at: Option<PortId>, batch: &mut PacketBatch| -> PyResult<MutexGuard<'_, State>> {
                let Some(port) = at.filter(|_| !batch.is_empty()) else { return Ok(state) };
                let mut raised = None;
                let mut state = pass(&relock, state, port, None, batch, &mut raised, outputs);
                // Whatever a hook raised, the packets went through.
                if let Some(files) = files {
                    files.write(outputs).map_err(file_error)?;
                }
                outputs.recycle(state.node.pool());
                raised.map_or(Ok(state), Err)
            };
        for (_, record, bytes) in input.packets() {
            let number = input.input_of(record.interface);
            let port = ports.get(number).copied();
            let path = paths.get(number).map_or_else(String::new, |path| path.display().to_string());
            let frame = seen.get_mut(number).map_or(0, |seen| {
                *seen += 1;
                *seen
            });
            let wrong = |text: String| Python::attach(|py| unusable(py, &path, frame, &text));
            if record.link_type() != LinkType::ETHERNET {
                return Err(wrong(format!("link type {}; ports take Ethernet frames", record.link_type())));
            }
            if at != port || batch.is_full() {
                state = flush(state, at, batch)?;
                at = port;
            }
            first_ns.get_or_insert(record.time_ns);
            *last_ns = (*last_ns).max(record.time_ns);
            let given = Frame { time_ns: Some(record.time_ns), link: record.link_type(), bytes, marks: None };
            state.take(batch, given).map_err(|error| wrong(error.to_string()))?;
        }
        state = flush(state, at, batch)?;
        let room = MAX_DIFFERENCES.saturating_sub(differences.len());
        differences.extend(state.take_differences().into_iter().take(room));
        state.write_taps().map_err(file_error)?;
        Ok(true)
    }
}

/// A frame of a capture that no port can take.
fn unusable(py: Python<'_>, path: &str, frame: u64, text: &str) -> PyErr {
    let place = ParsePlace { frame: Some(frame), ..ParsePlace::default() };
    parse_error(py, &format!("{path}: frame {frame}: {text}"), place)
}

impl State {
    /// Refuses captures that are being written, or that would be written over.
    fn check_files(&self, inputs: &[PathBuf], out: Option<&Path>) -> Result<(), Mistake> {
        inputs.iter().try_for_each(|path| self.refuse_tapped("inputs", path))?;
        let read: Vec<_> = inputs.iter().map(|path| resolved(path)).collect();
        for path in out.map(|folder| Files::names(folder, self)).into_iter().flatten() {
            self.refuse_tapped("out", &path)?;
            self.refuse_replayed("out", &path)?;
            if read.contains(&resolved(&path)) {
                let expected = "a folder without the inputs, which are read meanwhile";
                return Err(refused("out", expected, &path.display().to_string()));
            }
        }
        Ok(())
    }
}

fn file_error((path, error): FileError) -> PyErr {
    Python::attach(|py| raise_io(py, &path, &error))
}

/// The counts of a node at one time.
struct Counts {
    all: Counters,
    ports: Vec<(PortId, PortCounts)>,
}

impl Counts {
    fn of(state: &State) -> Self {
        Self { all: state.node.counters().clone(), ports: state.port_counts() }
    }

    /// What came since `before`, as `RunResult` has it.
    fn since<'py>(&self, py: Python<'py>, before: &Self, state: &State) -> PyResult<Bound<'py, PyDict>> {
        let (now, then) = (&self.all, &before.all);
        let dict = PyDict::new(py);
        dict.set_item("packets_in", now.packets_in - then.packets_in)?;
        dict.set_item("created", now.created - then.created)?;
        dict.set_item("out", now.out - then.out)?;
        dict.set_item("local", now.local - then.local)?;
        dict.set_item("held", now.held as i64 - then.held as i64)?;
        dict.set_item("absorbed", now.absorbed - then.absorbed)?;
        dict.set_item("dropped", now.dropped.total() - then.dropped.total())?;
        dict.set_item("dropped_by", drops(py, &now.dropped, &then.dropped)?)?;
        let ports = PyDict::new(py);
        for (id, counts) in &self.ports {
            let none = PortCounts::default();
            let earlier =
                before.ports.iter().find(|(port, _)| port == id).map_or(&none, |(_, counts)| counts);
            let row = port_row(py, counts, earlier)?;
            ports.set_item(state.node.port_name(*id), row)?;
        }
        dict.set_item("ports", ports)?;
        dict.set_item("cache", cache_row(py, &cache_since(&now.cache, &then.cache))?)?;
        Ok(dict)
    }
}

fn cache_since(now: &CacheCounters, then: &CacheCounters) -> CacheCounters {
    CacheCounters {
        hits: now.hits - then.hits,
        known: now.known - then.known,
        misses: now.misses - then.misses,
        uncached: now.uncached - then.uncached,
        walked: now.walked - then.walked,
        refreshed: now.refreshed - then.refreshed,
        revalidated: now.revalidated - then.revalidated,
        changed: now.changed - then.changed,
        refused: now.refused - then.refused,
    }
}

#[pymethods]
impl Node {
    /// Runs captures, each `(port, path)`; see `netfast.Stack.run`.
    #[pyo3(signature = (inputs, out=None, *, lenient=false, progress=None))]
    #[allow(clippy::disallowed_methods, reason = "progress is told to people")]
    fn run<'py>(
        &self,
        py: Python<'py>,
        inputs: Vec<(String, PathBuf)>,
        out: Option<PathBuf>,
        lenient: bool,
        progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let state = self.lock(py);
        let ports = inputs.iter().map(|(port, _)| state.port("inputs", port)).collect::<Result<Vec<_>, _>>();
        let ports = ports.map_err(|mistake| super::raise(py, mistake))?;
        let paths: Vec<_> = inputs.into_iter().map(|(_, path)| path).collect();
        state.check_files(&paths, out.as_deref()).map_err(|mistake| super::raise(py, mistake))?;
        drop(state);
        let input = Source::new(paths.clone(), None, false, lenient).open(py)?;
        let mut state = self.lock(py);
        let (gauge, damages) = (input.gauge(), input.damages());
        let files = out.map(|folder| Files::create(folder, &state)).transpose();
        let files = files.map_err(|(path, error)| raise_io(py, &path, &error))?;
        let (before, outputs, verified) = (Counts::of(&state), state.outputs(), state.verify);
        drop(state);
        let (first_ns, last_ns, differences, batch) = (None, 0, Vec::new(), PacketBatch::new());
        let seen = vec![0; paths.len()];
        let mut run =
            Run { input, paths, seen, ports, files, batch, outputs, first_ns, last_ns, differences };
        let mut told = Clock::now();
        let outcome = loop {
            match py.detach(|| run.step(&self.shared)) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
            if let Err(interrupt) = py.check_signals() {
                break Err(interrupt);
            }
            if let Some(progress) = progress.as_ref().filter(|_| told.elapsed() >= PROGRESS) {
                told = Clock::now();
                if let Err(error) = progress.call1(gauge.read()) {
                    break Err(error);
                }
            }
        };
        // Whatever ended it: what was written until then is whole in the files.
        let files = py.detach(|| run.files.map(Files::finish).transpose().map_err(file_error));
        outcome?;
        let mut state = self.lock(py);
        state.recycle(run.outputs);
        let dict = Counts::of(&state).since(py, &before, &state)?;
        let span = run.first_ns.map_or(0, |first| run.last_ns.saturating_sub(first));
        dict.set_item("seconds", span as f64 / 1e9)?;
        dict.set_item("files", files?.unwrap_or_default().into_iter().collect::<BTreeMap<_, _>>())?;
        dict.set_item("differences", run.differences)?;
        dict.set_item("verified", verified)?;
        dict.set_item("damage", source::damage(py, &damages)?)?;
        Ok(dict)
    }
}
