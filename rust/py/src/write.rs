//! Captures written: packets of others, copied.
use crate::gate::enter;
use crate::source::Source;
use crate::text::RowSink;
use netfast_capture::Copier;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Copies the packets that `filter` keeps to a pcapng file; see `netfast.files.copy`. How many, how many of them
/// were cut, and of how many the filter could not be asked, by link type.
#[pyfunction]
#[pyo3(signature = (paths, target, *, filter=None, limit=None, mmap=false, lenient=false, progress=None))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn copy(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    target: RowSink,
    filter: Option<String>,
    limit: Option<u64>,
    mmap: bool,
    lenient: bool,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(u64, u64, BTreeMap<u16, u64>)> {
    /// Vectors between two looks at signals.
    const VECTORS: usize = 64;
    let input = Source::new(paths, filter, mmap, lenient).keeping_options().open(py)?;
    let (name, unfiltered) = (target.name(), input.unfiltered());
    let mut copier = Copier::new(input, target.open()?, name, limit.unwrap_or(u64::MAX));
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
    outcome.and(flushed).map(|()| (copier.packets(), copier.cut_packets(), unfiltered.counts()))
}
