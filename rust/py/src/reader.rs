//! `netfast.Capture`: packets of captures, in batches, each packet a view of the block that it was read into.
use crate::gate::{enter, lock, raise};
use crate::packet::Packet;
use crate::reassembly::{counter_dict, reassemble_options};
use crate::source::{self, LastError, Source};
use netfast_buf::{Block, Skb};
use netfast_capture::{Damages, Gauge, Input, ReassemblyGauge, Unfiltered};
use netfast_io::capture::{Interrupt, Record};
use netfast_wire::LinkType;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySlice};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Packets in a batch.
const BATCH: usize = netfast_buf::BATCH_PACKETS;

/// Packets of a batch that notebooks show.
const SHOWN: usize = 20;

/// Reads captures packet by packet: iterates over `PacketBatch` of up to 256 packets.
///
/// A batch's packets stand in the block of memory that they were read into; a packet, or a memoryview of it, keeps that
/// block alive, so keep what you need and let go of the rest.
///
/// Threads: a lock guards the reader; one iteration at a time. `fork`: open captures after it. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct Capture {
    source: Source,
    input: Mutex<Option<Input>>,
    error: LastError,
    gauge: Gauge,
    interrupt: Option<Interrupt>,
    unfiltered: Unfiltered,
    damages: Damages,
    reassembly: ReassemblyGauge,
}

#[pymethods]
impl Capture {
    #[new]
    #[pyo3(signature = (paths, *, filter=None, mmap=false, lenient=false, reassemble=None))]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        filter: Option<String>,
        mmap: bool,
        lenient: bool,
        reassemble: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let reassemble = reassemble.map(reassemble_options).transpose()?;
        let source = Source::new(paths, filter, mmap, lenient).reassembling(reassemble);
        let input = source.open(py)?;
        let (gauge, interrupt, unfiltered) = (input.gauge(), input.interrupt().cloned(), input.unfiltered());
        let (damages, reassembly) = (input.damages(), input.reassembly());
        Ok(Self {
            source,
            input: Mutex::new(Some(input)),
            error: LastError::default(),
            gauge,
            interrupt,
            unfiltered,
            damages,
            reassembly,
        })
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<PacketBatch>> {
        py.check_signals()?;
        let next = py.detach(|| {
            let mut input = lock(&self.input);
            let input = input.as_mut()?;
            Some(input.next(BATCH).map(|more| more.then(|| PacketBatch::of(input))))
        });
        let closed = || PyValueError::new_err("the capture is closed; open it again");
        next.ok_or_else(closed)?.map_err(|error| raise(py, &self.error.set(error)))
    }

    /// The exception that ended the reading early, or `None`.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<PyErr> {
        self.error.get().map(|error| raise(py, &error))
    }

    /// Link types of the interfaces met so far (LINKTYPE_ numbers).
    #[getter]
    fn link_types(&self, py: Python<'_>) -> Vec<u16> {
        py.detach(|| {
            let input = lock(&self.input);
            let readers = input.as_ref().map(Input::readers).unwrap_or_default();
            readers.iter().flat_map(|reader| reader.interfaces()).map(|each| each.link_type.0).collect()
        })
    }

    /// Packets and (decompressed) bytes read so far, those included that the filter did not keep.
    fn progress(&self) -> (u64, u64) {
        self.gauge.read()
    }

    /// Packets that the filter could not be asked about, by link type (LINKTYPE_ numbers).
    #[getter]
    fn unfiltered(&self) -> BTreeMap<u16, u64> {
        self.unfiltered.counts()
    }

    /// Counters of reassembly; zeros without.
    #[getter]
    fn reassembly<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        counter_dict(py, &self.reassembly.counters())
    }

    /// What is damaged of each capture, as far as it was read: `path`, `count` of places, bytes `skipped`, and
    /// `places` (the first thousand), each with `frame`, `offset`, `skipped` and `what`.
    #[getter]
    fn damage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        source::damage(py, &self.damages)
    }

    /// Closes the files; packets that were given stay valid. A read that waits in another thread ends.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.interrupt.iter().for_each(Interrupt::cancel);
        enter(py, || {
            *lock(&self.input) = None;
            Ok(())
        })
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        format!("<netfast.Capture of {}>", self.source.names())
    }
}

/// Up to 256 packets of a capture, in its order: indexing and iteration give `Packet`, a slice a list of them.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle the packets.
#[pyclass(frozen, module = "netfast", sequence)]
pub struct PacketBatch {
    /// Where all of them stand; none without packets.
    block: Option<Block>,
    records: Vec<(u64, Record)>,
}

impl PacketBatch {
    fn of(input: &Input) -> Self {
        let records = input.packets().map(|(frame, record, _)| (frame, *record)).collect();
        Self { block: input.batch().block.clone(), records }
    }

    /// For other files of the binding: time, link type, length on the wire and captured bytes of each packet.
    pub fn packets(&self) -> impl Iterator<Item = (u64, LinkType, u32, &[u8])> {
        let bytes = self.block.as_ref().map_or(&[][..], Block::bytes);
        self.records
            .iter()
            .map(|(_, record)| (record.time_ns, LinkType(record.link), record.len, record.data(bytes)))
    }
}

impl PacketBatch {
    /// Where its packets stand, and what was read of each; no block without packets.
    pub fn records(&self) -> (Option<&Block>, impl Iterator<Item = &Record>) {
        (self.block.as_ref(), self.records.iter().map(|(_, record)| record))
    }

    fn at(&self, py: Python<'_>, at: usize) -> PyResult<Packet> {
        let (frame, record) = self.records[at];
        let block = self.block.clone().unwrap_or_else(|| Block::from(Vec::new()));
        let bytes = CapturedBytes { block, offset: record.offset as usize, len: record.caplen as usize };
        Packet::captured(py, bytes, frame, &record)
    }
}

/// Which packets of a batch are asked for.
#[derive(FromPyObject)]
enum Chosen<'py> {
    /// One.
    One(isize),
    /// Several.
    Several(Bound<'py, PySlice>),
}

/// The packets of a `PacketBatch`, one by one.
///
/// Threads: each packet goes to one of them. `fork`: shared as any memory. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct PacketBatchIterator {
    batch: Py<PacketBatch>,
    next: AtomicUsize,
}

#[pymethods]
impl PacketBatchIterator {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Packet>> {
        let batch = self.batch.get();
        let at = self.next.fetch_add(1, Ordering::Relaxed).min(batch.records.len());
        self.next.fetch_min(batch.records.len(), Ordering::Relaxed);
        (at < batch.records.len()).then(|| batch.at(py, at)).transpose()
    }
}

#[pymethods]
impl PacketBatch {
    fn __len__(&self) -> usize {
        self.records.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: Chosen<'py>) -> PyResult<Bound<'py, PyAny>> {
        let count = self.records.len();
        match index {
            Chosen::One(index) => {
                let from_end = if index < 0 { index + count as isize } else { index };
                let at = usize::try_from(from_end).ok().filter(|at| *at < count);
                let at = at.ok_or_else(|| PyIndexError::new_err(format!("the batch has {count} packets")))?;
                self.at(py, at)?.into_bound_py_any(py)
            }
            Chosen::Several(slice) => {
                let places = slice.indices(count as isize)?;
                let place = |index: usize| places.start + index as isize * places.step;
                let packets = (0..places.slicelength).map(|index| self.at(py, place(index) as usize));
                packets.collect::<PyResult<Vec<_>>>()?.into_bound_py_any(py)
            }
        }
    }

    fn __iter__(this: Py<Self>) -> PacketBatchIterator {
        PacketBatchIterator { batch: this, next: AtomicUsize::new(0) }
    }

    /// A line for each of the first packets, for notebooks.
    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        let mut text = String::from(
            "<table class=\"netfast-batch\"><tr><th>frame</th><th>time</th><th>packet</th></tr>",
        );
        for at in 0..self.records.len().min(SHOWN) {
            text.push_str(&self.at(py, at)?.row(py));
        }
        Ok(format!("{text}</table><p>{} packets</p>", self.records.len()))
    }

    fn __repr__(&self) -> String {
        format!("<netfast.PacketBatch: {} packets>", self.records.len())
    }
}

/// The bytes of a captured packet, where they were read: the exporter of its memoryviews, which keeps their block alive.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; take `bytes()` of it.
#[pyclass(frozen, module = "netfast")]
pub struct CapturedBytes {
    block: Block,
    offset: usize,
    len: usize,
}

impl CapturedBytes {
    /// `len` bytes of a block.
    pub fn new(block: Block, offset: usize, len: usize) -> Self {
        Self { block, offset, len }
    }

    /// The same as a packet.
    pub fn to_skb(&self) -> Skb {
        Skb::from_block(self.block.clone(), self.offset, self.len).unwrap_or_default()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.block.bytes().get(self.offset..self.offset + self.len).unwrap_or_default()
    }
}

#[pymethods]
impl CapturedBytes {
    /// The buffer protocol: read-only, one-dimensional.
    ///
    /// # Safety
    /// Called by the interpreter, with a view that it owns.
    unsafe fn __getbuffer__(this: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes = this.get().bytes();
        let (start, len) = (bytes.as_ptr().cast_mut().cast(), bytes.len() as ffi::Py_ssize_t);
        // SAFETY: `view` is the interpreter's. The bytes never move and are never written while the block has a handle,
        // and the view holds a reference to this object, which has one; it is told to be read-only.
        let answer = unsafe { ffi::PyBuffer_FillInfo(view, this.as_ptr(), start, len, 1, flags) };
        if answer == 0 { Ok(()) } else { Err(PyErr::fetch(this.py())) }
    }

    fn __len__(&self) -> usize {
        self.len
    }
}
