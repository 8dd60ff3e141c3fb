//! What a capture holds, and one of its frames.
use crate::gate::enter;
use crate::signals::raised;
use crate::source::Source;
use crate::text::{RowSink, to_python};
use netfast_capture::{Input, Scan};
use netfast_io::capture::PacketOption;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::path::PathBuf;

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
    let source = Source::new(vec![path], filter, mmap, lenient);
    let mut input = if write.is_some() { source.keeping_options() } else { source }.open(py)?;
    let copied = match &write {
        Some(target) => Some(input.copy_to(Box::new(target.open()?), target.name())),
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
    }
    Ok(report)
}

/// One frame by its number (from 1), or `None` when there are fewer; see `netfast.files.frame`.
#[pyfunction]
#[pyo3(signature = (paths, number, *, mmap=false, lenient=false))]
pub fn read_frame<'py>(
    py: Python<'py>,
    paths: Vec<PathBuf>,
    number: u64,
    mmap: bool,
    lenient: bool,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    const VECTOR: usize = 4096;
    let mut input = Source::new(paths, None, mmap, lenient).keeping_options().open(py)?;
    while enter(py, || input.next(VECTOR))? {
        py.check_signals()?;
        let batch = input.batch();
        let at = number.checked_sub(batch.first_frame).and_then(|at| usize::try_from(at).ok());
        if let Some(at) = at.filter(|&at| at < batch.records.len()) {
            return frame(py, &input, at).map(Some);
        }
    }
    Ok(None)
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
