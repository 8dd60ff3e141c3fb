//! `netfast.packets`: a capture as columns.
use crate::arrow::{array_capsules, schema_capsule, stream_capsule};
use crate::gate::{enter, lock, raise};
use crate::source::{LastError, Source};
use crate::text::{RowSink, html_table, rows_to_python};
use arrow_schema::ArrowError;
use netfast_capture::{
    AddressForm, Input, PacketReader, PacketRow, ReadOptions, SharedColumns, TextFormat, TextWriter,
    packet_batch, packet_schema,
};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList};
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
}

impl PacketStream {
    fn reader(&self, py: Python<'_>) -> PyResult<PacketReader> {
        self.error.clear();
        let first = lock(&self.first).take();
        let input = first.map_or_else(|| self.source.open(py), Ok)?;
        Ok(PacketReader::new(input, self.options))
    }
}

#[pymethods]
impl PacketStream {
    #[new]
    #[pyo3(signature = (paths, *, filter=None, inner=false, checksums=true, text_addresses=false, mmap=false, lenient=false))]
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
    ) -> PyResult<Self> {
        let source = Source::new(paths, filter, mmap, lenient);
        let addresses = if text_addresses { AddressForm::Text } else { AddressForm::Binary };
        let first = Mutex::new(Some(source.open(py)?));
        let options = ReadOptions { checksums, inner, addresses };
        Ok(Self { source, options, first, error: LastError::default() })
    }

    /// The exception that ended the latest run early, or `None`.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<PyErr> {
        self.error.get().map(|error| raise(py, &error))
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<PacketIterator> {
        Ok(PacketIterator {
            reader: Mutex::new(self.reader(py)?),
            addresses: self.options.addresses,
            error: self.error.clone(),
            progress: Mutex::default(),
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
        let (mut reader, form, last) = (self.reader(py)?, self.options.addresses, self.error.clone());
        let batches = std::iter::from_fn(move || {
            let next =
                reader.next_columns().and_then(|columns| columns.map(|c| packet_batch(&c, form)).transpose());
            next.map_err(|error| ArrowError::ExternalError(Box::new(last.set(error)))).transpose()
        });
        stream_capsule(py, packet_schema(form), batches)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &packet_schema(self.options.addresses))
    }

    /// Writes all rows as text: `form` is "csv", "jsonl" or "tsv", `target` a path or a file descriptor.
    ///
    /// `progress` is called with (packets, bytes) read so far, about ten times a second. Returns the rows written.
    #[pyo3(signature = (target, form, progress=None))]
    fn write_text(
        &self,
        py: Python<'_>,
        target: RowSink,
        form: &str,
        progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let mut reader = self.reader(py)?;
        let mut writer = TextWriter::new(target.open()?, crate::text::format(py, form)?);
        let mut rows = 0;
        let mut batches = 0u64;
        loop {
            let step = enter(py, || {
                let columns = reader.next_columns()?;
                if let Some(columns) = &columns {
                    writer.packets(columns)?;
                    if reader.input().is_live() {
                        writer.flush()?;
                    }
                }
                Ok(columns.map_or(0, |columns| columns.len() as u64))
            });
            match step {
                Ok(0) => break,
                Ok(count) => rows += count,
                Err(error) => {
                    enter(py, || writer.flush())?;
                    return Err(error);
                }
            }
            batches += 1;
            if let Err(interrupt) = py.check_signals() {
                enter(py, || writer.flush())?;
                return Err(interrupt);
            }
            if let Some(progress) = progress.as_ref().filter(|_| batches.is_multiple_of(64)) {
                progress.call1(reader.input().progress())?;
            }
        }
        enter(py, || writer.flush())?;
        Ok(rows)
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

/// Batches of packets as columns, in constant memory.
#[pyclass(frozen, module = "netfast")]
pub struct PacketIterator {
    reader: Mutex<PacketReader>,
    addresses: AddressForm,
    error: LastError,
    /// Beside the reader's lock, which is held while a read waits.
    progress: Mutex<(u64, u64)>,
}

#[pymethods]
impl PacketIterator {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<PacketColumns>> {
        py.check_signals()?;
        let next = py.detach(|| {
            let mut reader = lock(&self.reader);
            let next = reader.next_columns();
            *lock(&self.progress) = reader.input().progress();
            next
        });
        let columns = next.map_err(|error| raise(py, &self.error.set(error)))?;
        Ok(columns.map(|columns| PacketColumns { columns, addresses: self.addresses }))
    }

    /// Packets and (decompressed) bytes read until the latest batch, those included that the filter did not keep.
    fn progress(&self) -> (u64, u64) {
        *lock(&self.progress)
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
