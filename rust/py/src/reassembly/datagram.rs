//! What comes out of reassembly: packets as lists of pieces that stand where they were received.
use crate::packet::Packet;
use crate::reader::CapturedBytes;
use netfast_buf::{Block, ChecksumState, Skb};
use netfast_wire::LinkType;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice, PyTuple};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What became of a packet that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramKind {
    /// It is no fragment.
    Unfragmented,
    /// Its fragment header was taken out.
    Atomic,
    /// It was made of fragments.
    Reassembled,
}

impl DatagramKind {
    fn name(self) -> &'static str {
        match self {
            Self::Unfragmented => "unfragmented",
            Self::Atomic => "atomic",
            Self::Reassembled => "reassembled",
        }
    }
}

/// A packet that goes on.
pub struct Whole {
    pub kind: DatagramKind,
    pub link: LinkType,
    pub fragments: u32,
    pub largest_fragment: u32,
    pub identification: Option<u32>,
    checksum: ChecksumState,
    time_ns: u64,
    pieces: Vec<(Block, usize, usize)>,
    len: usize,
}

impl Whole {
    pub fn new(kind: DatagramKind, link: LinkType, mut packet: Skb) -> Self {
        Self {
            kind,
            link,
            fragments: u32::from(kind == DatagramKind::Atomic),
            largest_fragment: 0,
            identification: None,
            checksum: packet.hot.checksum,
            time_ns: packet.hot.timestamp.as_nanos(),
            len: packet.len() as usize,
            pieces: packet.pin().collect(),
        }
    }

    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|(block, at, len)| block.bytes().get(*at..*at + *len).unwrap_or_default())
    }
}

/// A packet that came out of a `Reassembler`: whole, though its bytes may stand in pieces.
///
/// `segments` are memoryviews of the pieces, without a copy; `bytes(datagram)` and `packet` bring them together.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `packet`.
#[pyclass(frozen, module = "netfast")]
pub struct Datagram {
    all: Arc<Vec<Whole>>,
    at: usize,
}

impl Datagram {
    fn whole(&self) -> &Whole {
        &self.all[self.at]
    }

    /// For those who take packets: time, link type, bytes.
    pub fn parts(&self) -> (u64, LinkType, Vec<u8>) {
        let whole = self.whole();
        (whole.time_ns, whole.link, whole.segments().collect::<Vec<_>>().concat())
    }
}

#[pymethods]
impl Datagram {
    /// "reassembled" from fragments; "atomic": an IPv6 packet whose only fragment it was, the fragment header is gone
    /// (RFC 6946); "unfragmented": as it was.
    #[getter]
    fn kind(&self) -> &'static str {
        self.whole().kind.name()
    }

    /// Fragments that it was made of: 0 for an unfragmented packet.
    #[getter]
    fn fragments(&self) -> u32 {
        self.whole().fragments
    }

    /// IP bytes of the largest of them, header included: the MTU that it was cut to. 0 where it was not reassembled.
    #[getter]
    fn largest_fragment(&self) -> u32 {
        self.whole().largest_fragment
    }

    /// What its fragments had in common; `None` where it was not reassembled. That of IPv6 went with the fragment header.
    #[getter]
    fn identification(&self) -> Option<u32> {
        self.whole().identification
    }

    /// The transport checksum over all bytes: "good", "bad" (perhaps fragments of two datagrams, RFC 4963), or `None` where
    /// it was not verified: of packets that were not reassembled, of transports without one, and when verifying is off.
    #[getter]
    fn checksum(&self) -> Option<&'static str> {
        match self.whole().checksum {
            ChecksumState::Good => Some("good"),
            ChecksumState::Bad => Some("bad"),
            _ => None,
        }
    }

    /// When it was whole, in ns: the time of the fragment that came last.
    #[getter]
    fn time_ns(&self) -> u64 {
        self.whole().time_ns
    }

    /// What its bytes begin with: LINKTYPE_ number.
    #[getter]
    fn link_type(&self) -> u16 {
        self.whole().link.0
    }

    /// Its bytes in order, as read-only memoryviews of where they stand; they keep that memory alive.
    #[getter]
    fn segments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let views = self.whole().pieces.iter().map(|(block, offset, len)| {
            let bytes = CapturedBytes::new(block.clone(), *offset, *len);
            PyMemoryView::from(&Bound::new(py, bytes)?.into_any())
        });
        PyTuple::new(py, views.collect::<PyResult<Vec<_>>>()?)
    }

    /// The packet dissected; its bytes are copied.
    #[getter]
    fn packet(&self, py: Python<'_>) -> PyResult<Packet> {
        let whole = self.whole();
        Ok(Packet::new(self.__bytes__(py)?, whole.link, None).at_time(whole.time_ns))
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        PyBytes::new_with(py, self.whole().len, |mut into| {
            for segment in self.whole().segments() {
                let (here, rest) = into.split_at_mut(segment.len());
                here.copy_from_slice(segment);
                into = rest;
            }
            Ok(())
        })
    }

    fn __len__(&self) -> usize {
        self.whole().len
    }

    fn __repr__(&self) -> String {
        let whole = self.whole();
        let fragments = match whole.kind {
            DatagramKind::Reassembled => format!(" from {} fragments", whole.fragments),
            _ => String::new(),
        };
        format!("<netfast.Datagram: {} bytes, {}{fragments}>", whole.len, whole.kind.name())
    }
}

/// The packets that came out of one call of a `Reassembler`, in order: indexing and iteration give `Datagram`, a slice a
/// list of them.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle the packets.
#[pyclass(frozen, module = "netfast", sequence)]
pub struct Datagrams {
    all: Arc<Vec<Whole>>,
}

impl Datagrams {
    pub fn new(all: Vec<Whole>) -> Self {
        Self { all: Arc::new(all) }
    }

    fn at(&self, at: usize) -> Datagram {
        Datagram { all: self.all.clone(), at }
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

#[pymethods]
impl Datagrams {
    fn __len__(&self) -> usize {
        self.all.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: Chosen<'py>) -> PyResult<Bound<'py, PyAny>> {
        let count = self.all.len();
        match index {
            Chosen::One(index) => {
                let from_end = if index < 0 { index + count as isize } else { index };
                let at = usize::try_from(from_end).ok().filter(|at| *at < count);
                let at = at.ok_or_else(|| PyIndexError::new_err(format!("there are {count} packets")))?;
                self.at(at).into_bound_py_any(py)
            }
            Chosen::Several(slice) => {
                let places = slice.indices(count as isize)?;
                let place = |index: usize| places.start + index as isize * places.step;
                let chosen = (0..places.slicelength).map(|index| self.at(place(index) as usize));
                chosen.collect::<Vec<_>>().into_bound_py_any(py)
            }
        }
    }

    fn __iter__(this: Py<Self>) -> DatagramIterator {
        DatagramIterator { all: this, next: AtomicUsize::new(0) }
    }

    fn __repr__(&self) -> String {
        let whole = self.all.iter().filter(|whole| whole.kind == DatagramKind::Reassembled).count();
        format!("<netfast.Datagrams: {} packets, {whole} reassembled>", self.all.len())
    }
}

/// The packets of `Datagrams`, one by one.
///
/// Threads: each packet goes to one of them. `fork`: shared as any memory. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct DatagramIterator {
    all: Py<Datagrams>,
    next: AtomicUsize,
}

#[pymethods]
impl DatagramIterator {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self) -> Option<Datagram> {
        let (all, count) = (self.all.get(), self.all.get().all.len());
        let at = self.next.fetch_add(1, Ordering::Relaxed).min(count);
        self.next.fetch_min(count, Ordering::Relaxed);
        (at < count).then(|| all.at(at))
    }
}
