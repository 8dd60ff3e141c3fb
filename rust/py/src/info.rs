//! What a capture holds, and one of its frames.
use crate::gate::{enter, lock};
use crate::signals::raised;
use crate::source::{self, Source};
use crate::text::{RowSink, to_python};
use netfast_capture::{Damages, Gauge, Input, Scan};
use netfast_io::capture::PacketOption;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::path::PathBuf;
use std::sync::Mutex;

/// What one capture holds, as a dictionary; see `netfast.files.info`.
#[pyfunction]
#[pyo3(signature = (path, *, filter=None, mmap=false, lenient=false, write=None, progress=None))]
pub fn info<'py>(
    py: Python<'py>,
    path: PathBuf,
    filter: Option<String>,
    mmap: bool,
    lenient: bool,
    write: Option<RowSink>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let format = write.as_ref().map(|target| target.copy_format(py)).transpose()?.unwrap_or_default();
    let source = Source::new(vec![path], filter, mmap, lenient);
    write.as_ref().map_or(Ok(()), |target| target.spare(py, source.paths()))?;
    let mut input = if write.is_some() { source.keeping_options() } else { source }.open(py)?;
    let copied = match &write {
        Some(target) => Some(input.copy_to(Box::new(target.open()?), target.name(), format)),
        None => None,
    };
    let (interrupt, unfiltered) = (input.interrupt().cloned(), input.unfiltered());
    let mut scan = Scan::new(input);
    while enter(py, || Ok(scan.step()))? {
        py.check_signals()?;
        if let Some(progress) = &progress {
            progress.call1(scan.progress())?;
        }
    }
    if interrupt.is_some_and(|interrupt| interrupt.is_given()) {
        return Err(raised());
    }
    let report = serde_json::to_value(scan.report());
    let report = to_python(py, &report.map_err(|error| PyRuntimeError::new_err(error.to_string()))?)?;
    report.set_item("unfiltered", unfiltered.counts())?;
    if let Some(copied) = copied {
        report.set_item("copied", copied.packets())?;
        report.set_item("copies_cut", copied.cut_packets())?;
        report.set_item("copies_bared", copied.bared_packets())?;
    }
    Ok(report)
}

/// Frames by their numbers, one dictionary each; see `netfast.files.frames`.
///
/// Threads: a lock guards the reader. `fork`: open captures after it. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct FrameIterator {
    state: Mutex<Frames>,
    gauge: Gauge,
    damages: Damages,
}

struct Frames {
    input: Input,
    /// First and last numbers that are wanted, in any order; all when there are none.
    wanted: Vec<(u64, u64)>,
    /// Places in the current vector that are still to be given, the last first.
    places: Vec<usize>,
}

impl Frames {
    /// Finds the wanted frames of the current vector.
    fn look(&mut self) {
        let (first, wanted) = (self.input.batch().first_frame, &self.wanted);
        let is_wanted =
            |frame: &u64| wanted.is_empty() || wanted.iter().any(|(from, to)| (from..=to).contains(&frame));
        let numbers = self.input.packets().map(|(frame, ..)| frame).filter(is_wanted);
        self.places = numbers.map(|frame| (frame - first) as usize).collect();
        self.places.reverse();
    }

    /// True when no later frame is wanted.
    fn is_past(&self) -> bool {
        let next = self.input.batch().first_frame.saturating_add(self.input.batch().records.len() as u64);
        !self.wanted.is_empty() && self.wanted.iter().all(|(_, to)| *to < next)
    }
}

#[pymethods]
impl FrameIterator {
    #[new]
    #[pyo3(signature = (paths, wanted, *, filter=None, mmap=false, lenient=false))]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        wanted: Vec<(u64, u64)>,
        filter: Option<String>,
        mmap: bool,
        lenient: bool,
    ) -> PyResult<Self> {
        let input = Source::new(paths, filter, mmap, lenient).keeping_options().open(py)?;
        let (gauge, damages) = (input.gauge(), input.damages());
        Ok(Self { state: Mutex::new(Frames { input, wanted, places: Vec::new() }), gauge, damages })
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        const VECTOR: usize = 4096;
        loop {
            py.check_signals()?;
            let more = enter(py, || {
                let mut state = lock(&self.state);
                if !state.places.is_empty() {
                    return Ok(true);
                }
                let more = !state.is_past() && state.input.next(VECTOR)?;
                if more {
                    state.look();
                }
                Ok(more)
            })?;
            if !more {
                return Ok(None);
            }
            let mut state = lock(&self.state);
            if let Some(at) = state.places.pop() {
                return frame(py, &state.input, at).map(Some);
            }
        }
    }

    /// Packets and (decompressed) bytes read so far.
    fn progress(&self) -> (u64, u64) {
        self.gauge.read()
    }

    /// What is damaged of each capture, as far as it was read: `path`, `count` of places, bytes `skipped`, and
    /// `places` (the first thousand), each with `frame`, `offset`, `skipped` and `what`.
    #[getter]
    fn damage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        source::damage(py, &self.damages)
    }
}

/// The record at this place of the input's vector.
fn frame<'py>(py: Python<'py>, input: &Input, at: usize) -> PyResult<Bound<'py, PyDict>> {
    let batch = input.batch();
    let record = &batch.records[at];
    let comments = batch.options_of(at).filter_map(|option| match option {
        PacketOption::Comment(text) => Some(text.into_owned()),
        _ => None,
    });
    let interface = input.interfaces().get(usize::from(record.interface));
    let dict = PyDict::new(py);
    dict.set_item("frame", batch.first_frame + at as u64)?;
    dict.set_item("time_ns", record.time_ns)?;
    dict.set_item("caplen", record.caplen)?;
    dict.set_item("len", record.len)?;
    dict.set_item("link_type", record.link)?;
    dict.set_item("interface", interface.and_then(|interface| interface.name.as_deref()))?;
    dict.set_item("comments", comments.collect::<Vec<_>>())?;
    dict.set_item("data", PyBytes::new(py, record.data(batch.bytes())))?;
    Ok(dict)
}
