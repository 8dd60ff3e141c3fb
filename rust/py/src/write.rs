//! Captures written: packets of others, copied.
use crate::gate::enter;
use crate::reassembly::{counter_dict, reassemble_options};
use crate::source::{self, Source};
use crate::text::RowSink;
use netfast_capture::Copier;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;

/// Copies the packets that `filter` keeps to a file; see `netfast.files.copy`. Counts of `packets`, of those that were
/// `cut` and those that lost their options (`bared`), of those `unfiltered` by link type, the `damage`, how many were
/// `read`, and the counters of `reassembly`.
#[pyfunction]
#[pyo3(signature = (paths, target, *, filter=None, limit=None, mmap=false, lenient=false, progress=None, reassemble=None))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn copy<'py>(
    py: Python<'py>,
    paths: Vec<PathBuf>,
    target: RowSink,
    filter: Option<String>,
    limit: Option<u64>,
    mmap: bool,
    lenient: bool,
    progress: Option<Bound<'_, PyAny>>,
    reassemble: Option<&Bound<'_, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    /// Vectors between two looks at signals.
    const VECTORS: usize = 64;
    let format = target.copy_format(py)?;
    target.spare(py, &paths)?;
    let reassemble = reassemble.map(reassemble_options).transpose()?;
    let source = Source::new(paths, filter, mmap, lenient).keeping_options().reassembling(reassemble);
    let input = source.open(py)?;
    let (name, unfiltered, damages) = (target.name(), input.unfiltered(), input.damages());
    let reassembly = input.reassembly();
    let mut copier = Copier::new(input, target.open()?, name, format, limit.unwrap_or(u64::MAX));
    let outcome = loop {
        let some = enter(py, || {
            let more = |_: usize| copier.step();
            (0..VECTORS).map(more).find(|step| !matches!(step, Ok(true))).unwrap_or(Ok(true))
        });
        match some {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
        if let Err(interrupt) = py.check_signals() {
            break Err(interrupt);
        }
        if let Some(Err(error)) = progress.as_ref().map(|progress| progress.call1(copier.progress())) {
            break Err(error);
        }
    };
    // Whatever ended it: what was copied until then is whole in the file.
    let flushed = enter(py, || copier.flush());
    outcome.and(flushed)?;
    let counts = PyDict::new(py);
    counts.set_item("packets", copier.packets())?;
    counts.set_item("cut", copier.cut_packets())?;
    counts.set_item("bared", copier.bared_packets())?;
    counts.set_item("unfiltered", unfiltered.counts())?;
    counts.set_item("damage", source::damage(py, &damages)?)?;
    counts.set_item("read", copier.progress().0)?;
    counts.set_item("reassembly", counter_dict(py, &reassembly.counters())?)?;
    Ok(counts)
}
