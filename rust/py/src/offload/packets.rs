//! Packets with what offloads know of them: out of captures, bytes and other batches, and into Python again.
use super::segmentation::locate;
use crate::errors::{number_of, option_error};
use crate::gate::lock;
use crate::headers::Header;
use crate::node::Batch;
use crate::packet::{Given, Packet, link_type};
use crate::reader::{CapturedBytes, PacketBatch};
use netfast_buf::{Block, BlockPool, ChecksumState, GsoFlags, GsoType, HotLine, PacketPool, Skb};
use netfast_offload::segment::{self, SegmentConfig};
use netfast_time::Instant;
use netfast_wire::LinkType;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice, PyTuple};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The ways in which a packet is cut, by name.
const TYPES: [(&str, GsoType); 3] = [("tcp4", GsoType::Tcp4), ("tcp6", GsoType::Tcp6), ("udp", GsoType::Udp)];

/// What is known about checksums, by name.
const CHECKSUMS: [(&str, ChecksumState); 4] = [
    ("unchecked", ChecksumState::Unchecked),
    ("good", ChecksumState::Good),
    ("bad", ChecksumState::Bad),
    ("partial", ChecksumState::Partial),
];

/// Packets of a batch that a representation shows.
const SHOWN: usize = 20;

/// The value of a name in a table, or what is wrong with the argument.
pub fn named<T: Copy>(py: Python<'_>, option: &str, name: &str, table: &[(&str, T)]) -> PyResult<T> {
    let found = table.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<_> = table.iter().map(|(known, _)| *known).collect();
        option_error(py, option, &format!("{option}={name:?}: give one of {}", known.join(", ")))
    })
}

/// The name of a value in a table.
fn name_of<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> Option<&'static str> {
    table.iter().find(|(_, known)| known == value).map(|(name, _)| *name)
}

/// A GSO type by its name.
pub fn gso_type(py: Python<'_>, name: &str) -> PyResult<GsoType> {
    named(py, "gso_type", name, &TYPES)
}

/// A pool for packets that are only put together: it keeps nothing.
pub fn passing_pool() -> PacketPool {
    PacketPool::new(BlockPool::new(0, 0))
}

/// A packet's bytes, piece by piece.
pub fn bytes_of(packet: &Skb) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(packet.len() as usize);
    packet.segments().for_each(|segment| bytes.extend_from_slice(segment));
    bytes
}

/// The bytes of what a caller gave, as the owner of a block.
struct Owner(Given);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Packets of callers, without a copy of their bytes. All begin with the same link type.
pub struct Taken {
    pub packets: Vec<Skb>,
    pub link: LinkType,
}

impl Taken {
    /// Whatever is packets: an `OffloadBatch`, a `PacketBatch`, one packet, or an iterable of packets. `link` is that of
    /// bytes, and of all packets; without it the first one says it.
    pub fn of(object: &Bound<'_, PyAny>, link: Option<LinkType>) -> PyResult<Self> {
        let mut taking = Taking { packets: Vec::new(), given: link, link };
        let one = Given::is_one(object) || object.is_instance_of::<Header>();
        if !taking.several(object)? && (one || !taking.any(object)?) {
            taking.alone(object)?;
        }
        Ok(Self { packets: taking.packets, link: taking.link.unwrap_or(LinkType::ETHERNET) })
    }
}

struct Taking {
    packets: Vec<Skb>,
    /// What the caller said of bytes and headers.
    given: Option<LinkType>,
    link: Option<LinkType>,
}

impl Taking {
    /// A batch of ours, or an `OffloadPacket`; false for anything else.
    fn several(&mut self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = object.py();
        if let Ok(batch) = object.cast::<OffloadBatch>() {
            let batch = batch.get();
            self.begins(py, batch.link)?;
            let mut pool = passing_pool();
            let mut held = lock(&batch.packets);
            self.packets.extend(held.iter_mut().map(|packet| packet.duplicate(&mut pool)));
        } else if let Ok(packet) = object.cast::<OffloadPacket>() {
            self.begins(py, packet.get().link)?;
            self.packets.push(packet.get().to_skb());
        } else if let Ok(batch) = object.cast::<Batch>() {
            let (batch, mut pool) = (batch.get(), passing_pool());
            batch.frames(|frame| -> PyResult<()> {
                self.begins(py, frame.link)?;
                let mut packet = Skb::from_slice(frame.bytes, &mut pool)
                    .map_err(|error| option_error(py, "packets", &error.to_string()))?;
                frame.mark(&mut packet);
                self.packets.push(packet);
                Ok(())
            })?;
        } else if let Ok(batch) = object.cast::<PacketBatch>() {
            let (Some(block), records) = batch.get().records() else { return Ok(true) };
            for record in records {
                self.begins(py, record.link_type())?;
                let place = (record.offset as usize, record.caplen as usize);
                let mut packet = Skb::from_block(block.clone(), place.0, place.1).expect("within its block");
                packet.hot.timestamp = Instant::from_nanos(record.time_ns);
                packet.hot.in_port = u32::from(record.interface);
                self.packets.push(packet);
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// An iterable of packets; false for what is none.
    fn any(&mut self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(items) = object.try_iter() else { return Ok(false) };
        for item in items {
            let item = item?;
            if !self.several(&item)? {
                self.alone(&item)?;
            }
        }
        Ok(true)
    }

    fn alone(&mut self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let given = Given::of(item, self.given)?;
        self.begins(item.py(), given.link)?;
        let (time_ns, marks, length) = (given.time_ns, given.marks.clone(), given.bytes().len());
        let mut packet = Skb::from_block(Block::from_owner(Owner(given)), 0, length).map_err(|error| {
            option_error(item.py(), "packets", &format!("packet {}: {error}", self.packets.len()))
        })?;
        if let Some(marks) = marks {
            packet.hot.mark(&marks);
        }
        packet.hot.timestamp = Instant::from_nanos(time_ns.unwrap_or(0));
        self.packets.push(packet);
        Ok(())
    }

    fn begins(&mut self, py: Python<'_>, link: LinkType) -> PyResult<()> {
        let wanted = *self.link.get_or_insert(link);
        if wanted == link {
            return Ok(());
        }
        let at = self.packets.len();
        let text = format!(
            "packet {at} begins with {link}, not with {wanted}: give packets of one `link` at a time"
        );
        Err(option_error(py, "packets", &text))
    }
}

/// A packet with what offloads know of it: how it is cut into others (GSO), and the state of its checksums.
///
/// `data` is a packet in any of the forms that `netfast.write` takes. `gso_type` is `"tcp4"`, `"tcp6"` or `"udp"`, the
/// innermost protocol of a packet that stands for several, and `gso_size` the payload bytes of each. `checksum` is
/// `"unchecked"`, `"good"`, `"bad"`, or `"partial"`: the transport checksum field holds the sum of the pseudo-header
/// only, and whoever sends the packet fills it in. `fixed_id` (of a tunnel's inside `inner_fixed_id`) says that all
/// IPv4 headers have the same identification; without it they count on. `link` is what bytes begin with, Ethernet
/// without it.
///
/// `bytes()` is the packet, `len()` its length, `segments` its pieces where they stand.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `bytes()` of it.
#[pyclass(frozen, module = "netfast")]
pub struct OffloadPacket {
    pieces: Vec<(Block, usize, usize)>,
    /// On a line of its own: Python's objects begin at a multiple of 16.
    hot: Box<HotLine>,
    link: LinkType,
}

// Python's allocator aligns no further.
const _: () = assert!(align_of::<OffloadPacket>() <= 16);

impl OffloadPacket {
    pub fn of(packet: &mut Skb, link: LinkType) -> Self {
        Self { pieces: packet.pin().collect(), hot: Box::new(packet.hot), link }
    }

    /// The packet, which shares the bytes.
    pub fn to_skb(&self) -> Skb {
        let (mut packet, mut pool) = (Skb::new(), passing_pool());
        for (block, offset, length) in &self.pieces {
            packet.append_block(block.clone(), *offset, *length, &mut pool).expect("it was a packet before");
        }
        packet.hot = *self.hot;
        packet
    }

    /// The packet as callers give one.
    pub fn given(&self) -> Given {
        let views = self.pieces.iter().map(|(block, offset, length)| &block.bytes()[*offset..][..*length]);
        Given::marked(views.collect::<Vec<_>>().concat(), self.link, self.hot.clone())
    }
}

#[pymethods]
impl OffloadPacket {
    #[new]
    #[pyo3(signature = (
        data, *, gso_type=None, gso_size: "int | None" = None, checksum="unchecked", fixed_id=false, inner_fixed_id=false,
        link: "int | str | None" = None,
    ))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        data: &Bound<'_, PyAny>,
        gso_type: Option<&str>,
        gso_size: Option<&Bound<'_, PyAny>>,
        checksum: &str,
        fixed_id: bool,
        inner_fixed_id: bool,
        link: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = data.py();
        let mut taken = Taken::of(data, link.map(link_type).transpose()?)?;
        let [packet] = &mut taken.packets[..] else {
            return Err(PyTypeError::new_err("data is one packet: use OffloadBatch for several"));
        };
        if let Some(name) = gso_type {
            packet.hot.gso_type = self::gso_type(py, name)?;
        }
        if let Some(size) = gso_size {
            packet.hot.gso_size = number_of(size, "gso_size", "bytes of payload, from 0 to 65,535")?;
        }
        packet.hot.checksum = named(py, "checksum", checksum, &CHECKSUMS)?;
        for (is, flag) in [(fixed_id, GsoFlags::FIXED_ID), (inner_fixed_id, GsoFlags::INNER_FIXED_ID)] {
            packet.hot.gso_flags = if is { packet.hot.gso_flags.with(flag) } else { packet.hot.gso_flags };
        }
        if gso_type.is_some() || gso_size.is_some() {
            locate(packet, taken.link);
            let config = SegmentConfig { link: taken.link, segments: u32::MAX, ..SegmentConfig::default() };
            // What cannot be cut says so when it is to be: until then nobody has counted.
            let count = segment::count(packet, &config, &mut passing_pool()).unwrap_or(0);
            packet.hot.gso_segments = u16::try_from(count).unwrap_or(u16::MAX);
        }
        Ok(Self::of(packet, taken.link))
    }

    /// How it is cut: `"tcp4"`, `"tcp6"`, `"udp"`; `None` for a packet that stands for itself.
    #[getter]
    fn gso_type(&self) -> Option<&'static str> {
        name_of(&TYPES, &self.hot.gso_type)
    }

    /// Payload bytes of each packet that it stands for; 0 when it stands for itself.
    #[getter]
    fn gso_size(&self) -> u16 {
        self.hot.gso_size
    }

    /// How many packets it stands for; 1 when it stands for itself, or says of itself what contradicts its headers.
    #[getter]
    fn gso_segments(&self) -> u16 {
        self.hot.gso_segments.max(1)
    }

    /// `"unchecked"`, `"good"`, `"bad"` or `"partial"`.
    #[getter]
    fn checksum(&self) -> &'static str {
        name_of(&CHECKSUMS, &self.hot.checksum).unwrap_or_default()
    }

    /// Whether all packets that it stands for have the same IPv4 identification, in the outermost header.
    #[getter]
    fn fixed_id(&self) -> bool {
        self.hot.gso_flags.has(GsoFlags::FIXED_ID)
    }

    /// The same of the IPv4 header inside of a tunnel.
    #[getter]
    fn inner_fixed_id(&self) -> bool {
        self.hot.gso_flags.has(GsoFlags::INNER_FIXED_ID)
    }

    /// Whether what it stands for is in a tunnel.
    #[getter]
    fn tunnel(&self) -> bool {
        self.hot.gso_flags.has(GsoFlags::TUNNEL)
    }

    /// When the first of the packets that it stands for was captured, in ns since the epoch; 0 where nobody said.
    #[getter]
    fn time_ns(&self) -> u64 {
        self.hot.timestamp.as_nanos()
    }

    /// Number of the link type.
    #[getter]
    fn link_type(&self) -> u16 {
        self.link.0
    }

    /// Its pieces in order: read-only memoryviews of the bytes where they stand, as `os.writev` takes them.
    #[getter]
    fn segments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let view = |(block, offset, length): &(Block, usize, usize)| {
            let bytes = Bound::new(py, CapturedBytes::new(block.clone(), *offset, *length))?;
            PyMemoryView::from(&bytes)
        };
        PyTuple::new(py, self.pieces.iter().map(view).collect::<PyResult<Vec<_>>>()?)
    }

    /// The packet dissected, with its time.
    #[getter]
    fn packet(&self, py: Python<'_>) -> PyResult<Packet> {
        let packet = Packet::new(self.__bytes__(py)?, self.link, None);
        Ok(match self.hot.timestamp.as_nanos() {
            0 => packet,
            time_ns => packet.at_time(time_ns),
        })
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        PyBytes::new_with(py, self.__len__(), |memory| {
            let mut rest = memory;
            for (block, offset, length) in &self.pieces {
                let (place, behind) = rest.split_at_mut(*length);
                place.copy_from_slice(&block.bytes()[*offset..][..*length]);
                rest = behind;
            }
            Ok(())
        })
    }

    fn __len__(&self) -> usize {
        self.pieces.iter().map(|(.., length)| length).sum()
    }

    fn __repr__(&self) -> String {
        let (length, pieces) = (self.__len__(), self.pieces.len());
        match self.gso_type() {
            None => format!("<netfast.OffloadPacket: {length} bytes, checksum {}>", self.checksum()),
            Some(name) => format!(
                "<netfast.OffloadPacket: {name}, {} segments of {}, {length} bytes in {pieces} pieces, checksum {}>",
                self.gso_segments(),
                self.gso_size(),
                self.checksum()
            ),
        }
    }
}

/// Packets with what offloads know of them, in order: what a `Collator` and `segment` give, and take most quickly.
///
/// `OffloadBatch(packets)` takes a `PacketBatch` of a capture, what came out of a `Stack` (which is copied, with its
/// marks), or an iterable of packets in any of the forms that `netfast.write` takes, all of one link type; other bytes are
/// not copied. Indexing and iteration give `OffloadPacket`, a slice a list of them.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `bytes()` of the packets.
#[pyclass(frozen, module = "netfast", sequence)]
pub struct OffloadBatch {
    packets: Mutex<Vec<Skb>>,
    count: usize,
    link: LinkType,
}

impl OffloadBatch {
    pub fn of(packets: Vec<Skb>, link: LinkType) -> Self {
        Self { count: packets.len(), packets: Mutex::new(packets), link }
    }

    /// The packets, one after the other, without a copy.
    pub fn each<E>(&self, take: impl FnMut(&Skb) -> Result<(), E>) -> Result<(), E> {
        lock(&self.packets).iter().try_for_each(take)
    }

    /// What the packets begin with.
    pub fn link(&self) -> LinkType {
        self.link
    }

    fn at(&self, at: usize) -> OffloadPacket {
        OffloadPacket::of(&mut lock(&self.packets)[at], self.link)
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
impl OffloadBatch {
    #[new]
    #[pyo3(signature = (packets=None, *, link: "int | str | None" = None))]
    fn new(packets: Option<&Bound<'_, PyAny>>, link: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let link = link.map(link_type).transpose()?;
        let Some(packets) = packets else {
            return Ok(Self::of(Vec::new(), link.unwrap_or(LinkType::ETHERNET)));
        };
        let taken = Taken::of(packets, link)?;
        Ok(Self::of(taken.packets, taken.link))
    }

    /// Number of the link type of all packets.
    #[getter]
    fn link_type(&self) -> u16 {
        self.link.0
    }

    fn __len__(&self) -> usize {
        self.count
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: Chosen<'py>) -> PyResult<Bound<'py, PyAny>> {
        let count = self.count;
        match index {
            Chosen::One(index) => {
                let from_end = if index < 0 { index + count as isize } else { index };
                let at = usize::try_from(from_end).ok().filter(|at| *at < count);
                let at = at.ok_or_else(|| PyIndexError::new_err(format!("the batch has {count} packets")))?;
                self.at(at).into_bound_py_any(py)
            }
            Chosen::Several(slice) => {
                let places = slice.indices(count as isize)?;
                let place = |index: usize| places.start + index as isize * places.step;
                let packets = (0..places.slicelength).map(|index| self.at(place(index) as usize));
                packets.collect::<Vec<_>>().into_bound_py_any(py)
            }
        }
    }

    fn __iter__(this: Py<Self>) -> OffloadBatchIterator {
        OffloadBatchIterator { batch: this, next: AtomicUsize::new(0) }
    }

    fn __repr__(&self) -> String {
        let packets = lock(&self.packets);
        let supers = packets.iter().filter(|packet| packet.hot.gso_size != 0).count();
        format!("<netfast.OffloadBatch: {} packets, {supers} of them super-packets>", self.count)
    }

    /// A line for each of the first packets, for notebooks.
    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        let mut text = String::from(
            "<table class=\"netfast-batch\"><tr><th>frame</th><th>time</th><th>packet</th></tr>",
        );
        for at in 0..self.count.min(SHOWN) {
            text.push_str(&self.at(at).packet(py)?.row(py));
        }
        Ok(format!("{text}</table><p>{} packets</p>", self.count))
    }
}

/// The packets of an `OffloadBatch`, one by one.
///
/// Threads: each packet goes to one of them. `fork`: shared as any memory. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct OffloadBatchIterator {
    batch: Py<OffloadBatch>,
    next: AtomicUsize,
}

#[pymethods]
impl OffloadBatchIterator {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self) -> Option<OffloadPacket> {
        let batch = self.batch.get();
        let at = self.next.fetch_add(1, Ordering::Relaxed).min(batch.count);
        self.next.fetch_min(batch.count, Ordering::Relaxed);
        (at < batch.count).then(|| batch.at(at))
    }
}
