//! `netfast.packets`: a capture as columns.
use crate::arrow::{array_capsules, schema_capsule, stream_capsule};
use crate::gate::{enter, lock, raise};
use crate::reassembly::{counter_dict, reassemble_options};
use crate::source::{self, LastError, Source};
use crate::text::{RowSink, Written, html_table, rows_to_python, write_rows};
use arrow_schema::ArrowError;
use netfast_capture::{
    AddressForm, Damages, Error, Gauge, Input, PacketReader, PacketRow, ReadOptions, ReassemblyGauge,
    SharedColumns, TextFormat, TextWriter, Unfiltered, packet_batch, packet_schema,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyDict, PyList};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

/// The packets of one or more captures as Arrow columns; made by `netfast.packets`.
///
/// Threads: iterators are independent of each other, and each may be used from any thread. `fork`: open captures
/// after it. `pickle`: refused; pickle the arguments instead.
#[pyclass(frozen, module = "netfast")]
pub struct PacketStream {
    source: Source,
    options: ReadOptions,
    first: Mutex<Option<Input>>,
    error: LastError,
    unfiltered: Mutex<Unfiltered>,
    damages: Mutex<Damages>,
    gauge: Mutex<Gauge>,
    reassembly: Mutex<ReassemblyGauge>,
}

impl PacketStream {
    fn reader(&self, py: Python<'_>) -> PyResult<PacketReader> {
        self.reader_with(py, self.options)
    }

    fn reader_with(&self, py: Python<'_>, options: ReadOptions) -> PyResult<PacketReader> {
        self.error.clear();
        let first = lock(&self.first).take();
        let input = first.map_or_else(|| self.source.open(py), Ok)?;
        *lock(&self.unfiltered) = input.unfiltered();
        *lock(&self.damages) = input.damages();
        *lock(&self.gauge) = input.gauge();
        *lock(&self.reassembly) = input.reassembly();
        Ok(PacketReader::new(input, options))
    }

    fn iterator(&self, reader: PacketReader) -> PacketIterator {
        PacketIterator {
            gauge: reader.input().gauge(),
            reader: Mutex::new(reader),
            addresses: self.options.addresses,
            error: self.error.clone(),
        }
    }
}

#[pymethods]
impl PacketStream {
    #[new]
    #[pyo3(signature = (paths, *, filter=None, inner=false, checksums=true, text_addresses=false, mmap=false, lenient=false, reassemble=None))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        filter: Option<String>,
        inner: bool,
        checksums: bool,
        text_addresses: bool,
        mmap: bool,
        lenient: bool,
        reassemble: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let reassemble = reassemble.map(reassemble_options).transpose()?;
        let source = Source::new(paths, filter, mmap, lenient).reassembling(reassemble);
        let addresses = if text_addresses { AddressForm::Text } else { AddressForm::Binary };
        let first = Mutex::new(Some(source.open(py)?));
        let options = ReadOptions { checksums, inner, addresses, heads: false };
        Ok(Self {
            source,
            options,
            first,
            error: LastError::default(),
            unfiltered: Mutex::default(),
            damages: Mutex::default(),
            gauge: Mutex::default(),
            reassembly: Mutex::default(),
        })
    }

    /// The exception that ended the latest run early, or `None`.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<PyErr> {
        self.error.get().map(|error| raise(py, &error))
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

    /// What is damaged of each capture, as far as it was read: `path`, `count` of places, bytes `skipped`, and
    /// `places` (the first thousand), each with `frame`, `offset`, `skipped` and `what`.
    #[getter]
    fn damage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        source::damage(py, &lock(&self.damages))
    }

    /// Packets of the latest run: `packets` that were read, `kept` by the filter, `unfiltered` because it could not be
    /// asked about them; and the (decompressed) `bytes` that were read.
    #[getter]
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let gauge = lock(&self.gauge).clone();
        let (packets, bytes) = gauge.read();
        let dict = PyDict::new(py);
        dict.set_item("packets", packets)?;
        dict.set_item("kept", gauge.kept())?;
        dict.set_item("unfiltered", lock(&self.unfiltered).counts().values().sum::<u64>())?;
        dict.set_item("bytes", bytes)?;
        Ok(dict)
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<PacketIterator> {
        Ok(self.iterator(self.reader(py)?))
    }

    /// Iterates over batches that have `_heads`, for lines that people read.
    fn _with_heads(&self, py: Python<'_>) -> PyResult<PacketIterator> {
        let options = ReadOptions { heads: true, ..self.options };
        Ok(self.iterator(self.reader_with(py, options)?))
    }

    /// Arrow PyCapsule interface; a requested schema is not negotiated.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let (mut reader, form, last) = (self.reader(py)?, self.options.addresses, self.error.clone());
        let batches = std::iter::from_fn(move || {
            let next =
                reader.next_columns().and_then(|columns| columns.map(|c| packet_batch(&c, form)).transpose());
            next.map_err(|error| arrow_error(error, &last)).transpose()
        });
        stream_capsule(py, packet_schema(form), batches)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &packet_schema(self.options.addresses))
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
        let mut reader = self.reader(py)?;
        let gauge = reader.input().gauge();
        write_rows(py, &target, form, progress.as_ref(), &gauge, move |writer| {
            writer.begin_packets()?;
            let Some(columns) = reader.next_columns()? else { return Ok(Written::All) };
            writer.packets(&columns)?;
            if reader.input().is_live() {
                writer.flush()?;
            }
            Ok(Written::Rows(columns.len()))
        })
    }

    fn __repr__(&self) -> String {
        format!("<netfast.PacketStream of {}>", self.source.names())
    }

    /// The first rows as a table; a stream that can be read only once is not touched.
    fn _repr_html_(&self, py: Python<'_>) -> PyResult<Option<String>> {
        if !self.source.reopens() {
            return Ok(None);
        }
        let mut reader = PacketReader::new(self.source.open(py)?, self.options);
        let columns = enter(py, || reader.next_columns())?;
        let rows = columns.iter().flat_map(|c| (0..c.len()).map(|row| PacketRow::new(c, row)));
        Ok(Some(html_table(rows, None)))
    }
}

/// An error as Arrow's consumers take it; of an interrupt, too, they make an exception of their own.
pub fn arrow_error(error: Error, last: &LastError) -> ArrowError {
    ArrowError::ExternalError(Box::new(last.set(error)))
}

/// Batches of packets as columns, in constant memory.
#[pyclass(frozen, module = "netfast")]
pub struct PacketIterator {
    reader: Mutex<PacketReader>,
    addresses: AddressForm,
    error: LastError,
    gauge: Gauge,
}

#[pymethods]
impl PacketIterator {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<PacketColumns>> {
        py.check_signals()?;
        let next = py.detach(|| lock(&self.reader).next_columns());
        let columns = next.map_err(|error| raise(py, &self.error.set(error)))?;
        Ok(columns.map(|columns| PacketColumns { columns, addresses: self.addresses }))
    }

    /// Packets and (decompressed) bytes read so far, those included that the filter did not keep.
    fn progress(&self) -> (u64, u64) {
        self.gauge.read()
    }
}

/// Up to some thousand packets as columns, in memory that is used again when nobody refers to it.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; convert to a DataFrame first.
#[pyclass(frozen, module = "netfast")]
pub struct PacketColumns {
    columns: SharedColumns,
    addresses: AddressForm,
}

#[pymethods]
impl PacketColumns {
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
        let batch = packet_batch(&self.columns, self.addresses).map_err(|error| raise(py, &error))?;
        array_capsules(py, &batch)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &packet_schema(self.addresses))
    }

    /// The rows as dictionaries, addresses as text.
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = (0..self.columns.len()).map(|row| PacketRow::new(&self.columns, row));
        rows_to_python(py, rows)
    }

    /// The first bytes of each packet that has no ports, of a batch of `_with_heads`.
    fn _heads<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.columns.heads().iter().map(|head| PyBytes::new(py, head)).collect()
    }

    /// The rows as text: "csv", "jsonl" or "tsv".
    fn text(&self, py: Python<'_>, form: &str) -> PyResult<String> {
        let mut writer = TextWriter::new(Vec::new(), crate::text::format(py, form)?);
        enter(py, || writer.packets(&self.columns))?;
        crate::text::utf8(std::mem::take(writer.sink_mut()))
    }

    fn __repr__(&self) -> String {
        format!("<netfast.PacketColumns: {} packets>", self.columns.len())
    }

    fn _repr_html_(&self) -> String {
        let rows = (0..self.columns.len()).map(|row| PacketRow::new(&self.columns, row));
        html_table(rows, Some(self.columns.len()))
    }
}

/// The names of the formats that rows of text have.
pub const FORMATS: [(&str, TextFormat); 3] =
    [("csv", TextFormat::Csv), ("jsonl", TextFormat::JsonLines), ("tsv", TextFormat::Tabs)];
