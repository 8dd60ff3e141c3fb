//! What works here and what does not.
use netfast_io::device::probe::probe as ask;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What works here: a row for each device and way to send, with `lack` where it does not work.
#[pyfunction]
pub fn probe(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let findings = py.detach(ask);
    let row = |finding: &netfast_io::device::probe::Finding| {
        let row = PyDict::new(py);
        row.set_item("name", finding.probe.name())?;
        row.set_item("purpose", finding.probe.purpose())?;
        row.set_item("works", finding.answer.is_ok())?;
        row.set_item("lack", finding.answer.as_ref().err().map(ToString::to_string))?;
        Ok(row)
    };
    findings.iter().map(row).collect()
}
