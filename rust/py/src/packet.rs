//! One packet for Python: the column values at once, headers and trees when they are asked for.
mod given;
mod tree;

use std::sync::OnceLock;

use netfast_io::capture::Record;
use netfast_wire::checksum::{verify_l3, verify_l4};
use netfast_wire::header::{self as wire, Dissection};
use netfast_wire::{
    Checksum, Frame, HeaderKind, Layers, Limits, LinkType, Present, dissect as dissect_frame,
};
use pyo3::IntoPyObjectExt;
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyIndexError, PyKeyError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyMemoryView, PySlice, PyTuple, PyType};

use crate::headers::{Stack, hash, header_class, kind_of, no_packet_attribute, to_error, wrap, wrap_all};
use crate::reader::CapturedBytes;

pub(crate) use given::{Given, link_type};

/// One packet, dissected.
///
/// The attributes named like the packet columns (`src`, `dst`, `protocol`, `src_port` …) describe the outermost packet
/// and are `None` where it has no such value or the capture cut it. `headers` are the headers of all layers, tunnels
/// included, and what iteration gives; `packet[IPv6]` is the first of a class, `IPv6 in packet` asks for one. `len()`
/// counts bytes. `inner` is the packet that a tunnel carries. `explain()` tells the packet in
/// words, `show()` as a tree, `tree()` as data; `wrong` lists what is wrong with it. `to_stack()` gives headers to
/// change and emit again.
///
/// A `bytes` object is kept, not copied; anything that may change is copied.
///
/// Packets are equal when bytes, link type and length on the wire are; `time_ns`, `frame` and `interface` do not count.
///
/// Threads: immutable, so free to share. `pickle` and `copy` work, and keep time, frame and interface.
#[pyclass(frozen, module = "netfast.packet")]
pub struct Packet {
    data: Data,
    origin: Origin,
    link: LinkType,
    wire_len: u32,
    layers: Layers,
    dissection: OnceLock<Dissection>,
}

/// Where the bytes stand.
enum Data {
    /// In an object of Python's.
    Python(Py<PyBytes>),
    /// In the block that they were read into.
    Captured(Py<CapturedBytes>),
}

/// What a capture says of a packet.
#[derive(Clone, Copy, Default)]
struct Origin {
    frame: Option<u64>,
    time_ns: Option<u64>,
    interface: Option<u16>,
}

/// Dissects one packet.
///
/// `data` is bytes, or headers (`IPv6(...) / UDP()`), which are emitted, or a packet of scapy's. `link` is what bytes
/// begin with: a link type's number or name as in captures (`"EN10MB"`, `"RAW"`, `"LINUX_SLL"`, `"IEEE802_11_RADIO"` …)
/// or `"ethernet"`, which is the default; headers know it themselves. `wire_len` is the packet's length on the wire when
/// a capture cut it, `time_ns` when it was seen, in ns since the epoch.
///
/// Bytes never make it fail: `verdict` and `wrong` say what they are not. `ConfigError` for an unknown `link`.
#[pyfunction]
#[pyo3(signature = (data, *, link: "int | str | None" = None, wire_len: "int | None" = None, time_ns: "int | None" = None))]
pub fn dissect(
    data: &Bound<'_, PyAny>,
    link: Option<&Bound<'_, PyAny>>,
    wire_len: Option<&Bound<'_, PyAny>>,
    time_ns: Option<&Bound<'_, PyAny>>,
) -> PyResult<Packet> {
    let link = link.map(link_type).transpose()?;
    let given = Given::alone(data, link)?;
    let wire_len = wire_len.map(given::length).transpose()?.flatten().unwrap_or(0).max(given.wire_len);
    let time_ns = time_ns.map(given::time).transpose()?.or(given.time_ns);
    let link = link.unwrap_or(given.link);
    let bytes = given.into_bytes(data.py());
    let mut packet = Packet::new(bytes, link, Some(wire_len));
    packet.origin.time_ns = time_ns;
    Ok(packet)
}

impl Packet {
    pub(crate) fn new(data: Bound<'_, PyBytes>, link: LinkType, wire_len: Option<u32>) -> Self {
        let (layers, wire_len) = first_look(data.as_bytes(), link, wire_len.unwrap_or(0));
        let data = Data::Python(data.unbind());
        Self { data, origin: Origin::default(), link, wire_len, layers, dissection: OnceLock::new() }
    }

    /// The same, seen at a time in ns.
    pub(crate) fn at_time(mut self, time_ns: u64) -> Self {
        self.origin.time_ns = Some(time_ns);
        self
    }

    /// A packet that stands in the block that it was read into.
    pub(crate) fn captured(
        py: Python<'_>,
        bytes: CapturedBytes,
        frame: u64,
        record: &Record,
    ) -> PyResult<Self> {
        let link = record.link_type();
        let (layers, wire_len) = first_look(bytes.bytes(), link, record.len);
        let origin =
            Origin { frame: Some(frame), time_ns: Some(record.time_ns), interface: Some(record.interface) };
        let data = Data::Captured(Py::new(py, bytes)?);
        Ok(Self { data, origin, link, wire_len, layers, dissection: OnceLock::new() })
    }

    fn bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        match &self.data {
            Data::Python(bytes) => bytes.as_bytes(py),
            Data::Captured(bytes) => bytes.get().bytes(),
        }
    }

    /// A read-only view of all captured bytes; it keeps them where they are.
    fn view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        match &self.data {
            Data::Python(bytes) => PyMemoryView::from(bytes.bind(py)),
            Data::Captured(bytes) => PyMemoryView::from(bytes.bind(py)),
        }
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        match &self.data {
            Data::Python(bytes) => bytes.bind(py).clone(),
            Data::Captured(bytes) => PyBytes::new(py, bytes.get().bytes()),
        }
    }

    fn frame<'a>(&'a self, py: Python<'a>) -> Frame<'a> {
        Frame { bytes: self.bytes(py), wire_len: self.wire_len, link: self.link }
    }

    fn dissection(&self, py: Python<'_>) -> &Dissection {
        self.dissection.get_or_init(|| Dissection::new(&self.frame(py), &Limits::default()))
    }

    fn has(&self, bits: u16) -> bool {
        self.layers.present.has(bits)
    }

    /// A row of a table for notebooks: frame, time and what it is.
    pub(crate) fn row(&self, py: Python<'_>) -> String {
        let text = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
        let what = tree::escaped(&tree::summary(&self.layers, self.dissection(py)));
        let (frame, time) = (text(self.origin.frame), text(self.origin.time_ns));
        format!("<tr><td>{frame}</td><td>{time}</td><td>{what}</td></tr>")
    }

    fn stack(&self, py: Python<'_>) -> PyResult<wire::Stack> {
        self.dissection(py).stack(&self.frame(py)).map_err(|error| to_error(py, error))
    }

    fn header_at<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        let (kind, offset, len) = self.dissection(py).headers[index];
        let bytes = self.bytes(py).get(offset..offset.saturating_add(len)).unwrap_or(&[]);
        wrap(py, wire::Header::exact(kind, bytes).map_err(|error| to_error(py, error))?)
    }

    fn find(&self, py: Python<'_>, class: &Bound<'_, PyType>) -> PyResult<(HeaderKind, Option<usize>)> {
        let kind = kind_of(class)?;
        Ok((kind, self.dissection(py).headers.iter().position(|(found, ..)| *found == kind)))
    }

    fn checksum_text(checksum: Checksum) -> Option<&'static str> {
        (checksum != Checksum::None).then(|| checksum.name())
    }
}

/// The values of the packet columns.
#[pymethods]
impl Packet {
    /// The captured bytes: a read-only memoryview, without a copy. What it views never moves and is not used again
    /// while it lives. `bytes(packet)` gives bytes of its own.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        self.view(py)
    }

    /// Number of the packet in its capture, from 1; `None` for one that was not read from a capture.
    #[getter(frame)]
    fn frame_number(&self) -> Option<u64> {
        self.origin.frame
    }

    /// When it was captured, in ns since the epoch; `None` where nobody said.
    #[getter]
    fn time_ns(&self) -> Option<u64> {
        self.origin.time_ns
    }

    /// Number of the interface in its capture, from 0; `None` for one that was not read from a capture.
    #[getter]
    fn interface(&self) -> Option<u16> {
        self.origin.interface
    }

    /// Captured bytes.
    #[getter]
    fn caplen(&self, py: Python<'_>) -> usize {
        self.bytes(py).len()
    }

    /// Bytes on the wire.
    #[getter]
    fn len(&self) -> u32 {
        self.wire_len
    }

    /// Number of the link type.
    #[getter]
    fn link_type(&self) -> u16 {
        self.link.0
    }

    /// VLAN identifier of the outermost tag.
    #[getter]
    fn vlan(&self) -> Option<u16> {
        self.has(Present::VLAN).then_some(self.layers.vlan)
    }

    /// 4 or 6.
    #[getter]
    fn ip_version(&self) -> Option<u8> {
        self.has(Present::IP).then_some(self.layers.ip_version)
    }

    /// Source address.
    #[getter]
    fn src(&self) -> Option<String> {
        self.layers.src_ip().filter(|_| self.has(Present::IP)).map(|address| address.to_string())
    }

    /// Destination address.
    #[getter]
    fn dst(&self) -> Option<String> {
        self.layers.dst_ip().filter(|_| self.has(Present::IP)).map(|address| address.to_string())
    }

    /// Upper-layer protocol, after the extension headers.
    #[getter]
    fn protocol(&self) -> Option<u8> {
        self.has(Present::PROTOCOL).then_some(self.layers.protocol)
    }

    /// Source port.
    #[getter]
    fn src_port(&self) -> Option<u16> {
        self.has(Present::PORTS).then_some(self.layers.src_port)
    }

    /// Destination port.
    #[getter]
    fn dst_port(&self) -> Option<u16> {
        self.has(Present::PORTS).then_some(self.layers.dst_port)
    }

    /// All twelve TCP flag bits as a number.
    #[getter]
    fn tcp_flags(&self) -> Option<u16> {
        self.has(Present::TCP_FLAGS).then_some(self.layers.tcp_flags)
    }

    /// Bytes that the IP length leaves after the transport header.
    #[getter]
    fn payload_len(&self) -> Option<u32> {
        self.has(Present::PAYLOAD).then_some(self.layers.payload_len)
    }

    /// Hop limit or time to live.
    #[getter]
    fn hop_limit(&self) -> Option<u8> {
        self.has(Present::IP).then_some(self.layers.hop_limit)
    }

    /// Traffic class or type of service: DSCP and ECN.
    #[getter]
    fn traffic_class(&self) -> Option<u8> {
        self.has(Present::IP).then_some(self.layers.traffic_class)
    }

    /// IPv6 flow label.
    #[getter]
    fn flow_label(&self) -> Option<u32> {
        self.has(Present::FLOW_LABEL).then_some(self.layers.flow_label)
    }

    /// Bytes of the datagram before this fragment.
    #[getter]
    fn fragment_offset(&self) -> Option<u16> {
        self.has(Present::FRAGMENT).then_some(self.layers.fragment_offset)
    }

    /// Identification that fragments of a datagram share.
    #[getter]
    fn fragment_id(&self) -> Option<u32> {
        self.has(Present::FRAGMENT).then_some(self.layers.fragment_id)
    }

    /// More fragments follow.
    #[getter]
    fn more_fragments(&self) -> Option<bool> {
        self.has(Present::FRAGMENT).then(|| self.has(Present::MORE_FRAGMENTS))
    }

    /// `good` or `bad`; `None` without IPv4 header checksum.
    #[getter]
    fn l3_checksum(&self, py: Python<'_>) -> Option<&'static str> {
        Self::checksum_text(verify_l3(&self.frame(py), &self.layers))
    }

    /// `good`, `bad`, `absent`, or why it was not verified; `None` for protocols without.
    #[getter]
    fn l4_checksum(&self, py: Python<'_>) -> Option<&'static str> {
        Self::checksum_text(verify_l4(&self.frame(py), &self.layers))
    }

    /// `ok`, or why dissection stopped.
    #[getter]
    fn verdict(&self) -> &'static str {
        self.layers.verdict.name()
    }

    /// The five-tuple: source, destination, protocol, source port, destination port.
    #[getter]
    fn five_tuple(&self) -> FiveTuple {
        (self.src(), self.dst(), self.protocol(), self.src_port(), self.dst_port())
    }

    /// The headers of all layers, outermost first.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        wrap_all(py, &self.stack(py)?.headers)
    }

    /// What the transport header of the outermost packet carries, or what follows the last header when there is none: a
    /// read-only view of the captured bytes.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let caplen = self.bytes(py).len();
        let found = self.dissection(py);
        let (start, end) =
            tree::carried(&self.layers, found).unwrap_or_else(|| (found.payload_offset(), found.end));
        let (start, end) = (start.min(caplen), end.min(caplen));
        let view = self.view(py)?;
        view.get_item(PySlice::new(py, start as isize, end as isize, 1))
    }

    /// The packet that a tunnel carries, with the time of this one; `None` when there is none. Its bytes are its own.
    #[getter]
    fn inner(&self, py: Python<'_>) -> Option<Self> {
        let found = self.dissection(py);
        let (_, first) = *found.packets.get(1)?;
        let (kind, offset, _) = *found.headers.get(first)?;
        let link =
            wire::Stack { headers: vec![wire::Header::new(kind)], ..wire::Stack::default() }.link_type()?;
        let end = match self.layers.end {
            0 => self.bytes(py).len(),
            end => end as usize,
        };
        let bytes = self.bytes(py);
        let held = bytes.get(offset..end.min(bytes.len()))?;
        let wire_len = u32::try_from(end.saturating_sub(offset)).ok();
        let mut inner = Self::new(PyBytes::new(py, held), link, wire_len);
        inner.origin = self.origin;
        Some(inner)
    }

    /// What is wrong or remarkable: `(header, offset, what)` in the order of the bytes.
    #[getter]
    fn wrong(&self, py: Python<'_>) -> Vec<(Option<&'static str>, usize, String)> {
        let findings = wire::examine(&self.frame(py), self.dissection(py));
        findings
            .into_iter()
            .map(|found| (found.kind.map(HeaderKind::name), found.offset, found.what))
            .collect()
    }

    /// The packet in words: what it is, layer by layer, and what is wrong with it.
    fn explain(&self, py: Python<'_>) -> String {
        tree::explain(&self.frame(py), &self.layers, self.dissection(py))
    }

    /// The packet as a tree in text: every field with its offset, bytes and value.
    fn show(&self, py: Python<'_>) -> String {
        tree::show(&self.frame(py), self.dissection(py))
    }

    /// The packet as data: a list of headers, each `{"header", "offset", "length", "fields", "wrong"}`; fields are
    /// `{"name", "value", "text", "offset", "bits", "bytes"}` with the bit offset in the frame and the bytes in
    /// hexadecimal. The headers of a packet that an ICMP error quotes follow those of the error, with `"quoted"` true.
    fn tree<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        tree::tree(py, &self.frame(py), self.dissection(py))
    }

    fn _repr_html_(&self, py: Python<'_>) -> String {
        tree::html(&self.frame(py), self.dissection(py), &tree::summary(&self.layers, self.dissection(py)))
    }

    /// Headers, payload and trailer to change and emit again: `bytes(packet.to_stack())` is `bytes(packet)`.
    ///
    /// Every field is what the packet says, lengths and checksums too; `HeaderStack.recompute()` leaves those to
    /// emission.
    fn to_stack(&self, py: Python<'_>) -> PyResult<Stack> {
        Ok(Stack { inner: self.stack(py)? })
    }

    /// The packet as a scapy packet, with its time and its length on the wire. Needs scapy.
    fn to_scapy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("netfast.packet")?.call_method1("_to_scapy", (slf,))
    }

    /// A scapy packet, built by scapy and dissected by netfast. Needs scapy.
    #[staticmethod]
    fn from_scapy<'py>(packet: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        packet.py().import("netfast.packet")?.call_method1("_from_scapy", (packet,))
    }

    /// The first header of this class, or `None`.
    fn get<'py>(&self, py: Python<'py>, header: &Bound<'py, PyType>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.find(py, header)? {
            (_, Some(index)) => self.header_at(py, index).map(Some),
            (_, None) => Ok(None),
        }
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(index) = key.extract::<isize>() {
            let count = self.dissection(py).headers.len();
            let from_end = if index < 0 { index + count as isize } else { index };
            let found = usize::try_from(from_end).ok().filter(|index| *index < count);
            let error = || PyIndexError::new_err(format!("the packet has {count} headers"));
            return self.header_at(py, found.ok_or_else(error)?);
        }
        let class = header_class(key)?;
        match self.find(py, class)? {
            (_, Some(index)) => self.header_at(py, index),
            (kind, None) => Err(PyKeyError::new_err(format!("the packet has no {kind}"))),
        }
    }

    fn __contains__(&self, py: Python<'_>, header: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.find(py, header_class(header)?)?.1.is_some())
    }

    /// The headers, outermost first.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.headers(py)?.try_iter()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.to_bytes(py)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.bytes(py).len()
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, operation: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        let other = other.get();
        let equal =
            self.link == other.link && self.wire_len == other.wire_len && self.bytes(py) == other.bytes(py);
        match operation {
            CompareOp::Eq => equal.into_py_any(py),
            CompareOp::Ne => (!equal).into_py_any(py),
            _ => Ok(py.NotImplemented()),
        }
    }

    /// Says which attribute may have been meant.
    fn __getattr__(slf: &Bound<'_, Self>, name: &str) -> PyResult<Py<PyAny>> {
        let known: Vec<String> = slf.get_type().dir()?.extract()?;
        let known = known.iter().map(String::as_str).filter(|known| !known.starts_with('_'));
        let found = slf.get().dissection(slf.py());
        Err(no_packet_attribute(name, found.headers.iter().map(|(kind, ..)| *kind), known))
    }

    fn __hash__(&self, py: Python<'_>) -> u64 {
        hash(&(self.bytes(py), self.link.0, self.wire_len))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<Packet {}>", tree::summary(&self.layers, self.dissection(py)))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let Origin { frame, time_ns, interface } = this.origin;
        let arguments = (this.to_bytes(py), this.link.0, this.wire_len, frame, time_ns, interface);
        (slf.get_type().getattr("_restore")?, arguments).into_bound_py_any(py)
    }

    /// Rebuilds a pickled packet.
    #[staticmethod]
    #[pyo3(signature = (data, link, wire_len, frame=None, time_ns=None, interface=None))]
    fn _restore(
        data: Bound<'_, PyBytes>,
        link: u16,
        wire_len: u32,
        frame: Option<u64>,
        time_ns: Option<u64>,
        interface: Option<u16>,
    ) -> Self {
        let mut packet = Self::new(data, LinkType(link), Some(wire_len));
        packet.origin = Origin { frame, time_ns, interface };
        packet
    }
}

/// What columns hold of a packet, and its length on the wire, which is never below what was captured.
fn first_look(bytes: &[u8], link: LinkType, wire_len: u32) -> (Layers, u32) {
    let mut frame = Frame::whole(bytes, link);
    frame.wire_len = frame.wire_len.max(wire_len);
    let mut layers = Layers::default();
    dissect_frame(&frame, &Limits::default(), &mut layers, &mut ());
    (layers, frame.wire_len)
}

type FiveTuple = (Option<String>, Option<String>, Option<u8>, Option<u16>, Option<u16>);
