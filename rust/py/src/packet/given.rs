//! What callers give as a packet: to `netfast.write`, `FlowTable.push` and `dissect`.
use netfast_buf::{Block, HotLine, Skb};
use netfast_wire::LinkType;
use netfast_wire::header as wire;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyInt, PyMemoryView, PyString, PyTuple, PyType};

use super::{Data, Packet};
use crate::errors::{config_error, option_error};
use crate::headers::{Header, Stack, bytes_of, to_error};
use crate::offload::OffloadPacket;
use crate::reader::CapturedBytes;
use crate::reassembly::Datagram;

/// A packet as it was given, in memory that needs no GIL.
pub(crate) struct Given {
    /// When it was seen, if that was said: nanoseconds since the epoch.
    pub time_ns: Option<u64>,
    /// What its bytes begin with.
    pub link: LinkType,
    /// Its length on the wire; never below that of its bytes.
    pub wire_len: u32,
    /// What offloads know of it, of an `OffloadPacket`.
    pub marks: Option<Box<HotLine>>,
    bytes: Held,
}

enum Held {
    Object(PyBackedBytes),
    Captured(Py<CapturedBytes>),
    Copied(Vec<u8>),
}

impl Given {
    /// The packet's bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Held::Object(bytes) => bytes,
            Held::Captured(bytes) => bytes.get().bytes(),
            Held::Copied(bytes) => bytes,
        }
    }

    /// The packet where it stands, without a copy.
    pub fn into_skb(self) -> Skb {
        let len = self.bytes().len();
        let block = match self.bytes {
            Held::Captured(bytes) => return bytes.get().to_skb(),
            Held::Object(bytes) => Block::from_owner(bytes),
            Held::Copied(bytes) => Block::from(bytes),
        };
        Skb::from_block(block, 0, len).unwrap_or_default()
    }

    /// A packet with its marks.
    pub fn marked(bytes: Vec<u8>, link: LinkType, marks: Box<HotLine>) -> Self {
        let time_ns = Some(marks.timestamp.as_nanos()).filter(|time| *time > 0);
        Self { time_ns, marks: Some(marks), ..Self::new(Held::Copied(bytes), Some(link)) }
    }

    /// The bytes as an object of Python's; a `bytes` object that was given is itself.
    pub(super) fn into_bytes(self, py: Python<'_>) -> Bound<'_, PyBytes> {
        match self.bytes {
            Held::Object(bytes) => {
                let Ok(object) = bytes.into_pyobject(py);
                object
            }
            _ => PyBytes::new(py, self.bytes()),
        }
    }

    /// A `Packet`, headers, bytes or a scapy packet, or `(time_ns, packet)` or `(time_ns, packet, wire_len)` of one.
    ///
    /// `link` is the link type of bytes, and of headers in place of the one that the outermost of them says.
    pub fn of(item: &Bound<'_, PyAny>, link: Option<LinkType>) -> PyResult<Self> {
        let Ok(parts) = item.cast::<PyTuple>() else { return Self::alone(item, link) };
        if !(2..=3).contains(&parts.len()) {
            return Err(PyTypeError::new_err(format!(
                "a packet with its time is (time_ns, packet) or (time_ns, packet, wire_len), not a tuple of {}",
                parts.len()
            )));
        }
        let time_ns = time(&parts.get_item(0)?)?;
        let mut given = Self::alone(&parts.get_item(1)?, link)?;
        given.time_ns = Some(time_ns);
        if parts.len() == 3 {
            given.wire_len = given.wire_len.max(length(&parts.get_item(2)?)?.unwrap_or(0));
        }
        Ok(given)
    }

    /// Packets that each have a time, from an iterable.
    pub fn timed(items: &Bound<'_, PyAny>, link: Option<LinkType>) -> PyResult<Vec<(u64, Self)>> {
        const FORMS: &str = "give a PacketBatch, or a list of Packets of a capture, of (time_ns, packet) or of \
                             (time_ns, packet, wire_len)";
        if Self::is_one(items) {
            let name = items.get_type().name()?;
            return Err(PyTypeError::new_err(format!("packets is one {name}: {FORMS}")));
        }
        let name = || items.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        let items = items
            .try_iter()
            .map_err(|_| PyTypeError::new_err(format!("packets cannot be {}: {FORMS}", name())))?;
        let mut batch = Vec::new();
        for item in items {
            let item = item?;
            let given = Self::of(&item, link)?;
            let without_time = || {
                let name = item.get_type().name().map(|name| name.to_string()).unwrap_or_default();
                let text = format!("packet {} is {name} without a time: give (time_ns, packet)", batch.len());
                PyTypeError::new_err(text)
            };
            let time_ns = given.time_ns.ok_or_else(without_time)?;
            batch.push((time_ns, given));
        }
        Ok(batch)
    }

    /// True for what is a single packet, with a time or without, though it could be iterated over.
    pub fn is_one(object: &Bound<'_, PyAny>) -> bool {
        object.is_instance_of::<PyBytes>()
            || object.is_instance_of::<PyByteArray>()
            || object.is_instance_of::<PyMemoryView>()
            || object.is_instance_of::<PyString>()
            || object.is_instance_of::<Packet>()
            || object.is_instance_of::<Datagram>()
            || object.is_instance_of::<OffloadPacket>()
            || object.is_instance_of::<Stack>()
            || object
                .cast::<PyTuple>()
                .is_ok_and(|parts| parts.get_item(0).is_ok_and(|first| is_number(&first)))
    }

    /// Packets from an iterable, or a single one; a time is not needed.
    pub fn several(items: &Bound<'_, PyAny>) -> PyResult<Vec<Self>> {
        Self::all(items, None)
    }

    /// As [`several`](Self::several); `link` as in [`of`](Self::of).
    pub fn all(items: &Bound<'_, PyAny>, link: Option<LinkType>) -> PyResult<Vec<Self>> {
        if Self::is_one(items) || items.is_instance_of::<Header>() {
            return Ok(vec![Self::of(items, link)?]);
        }
        let refused = |_| {
            let name = items.get_type().name().map(|name| name.to_string()).unwrap_or_default();
            PyTypeError::new_err(format!(
                "packets cannot be {name}: give a Batch, a PacketBatch, or a list of Packets, headers, bytes or \
                 (time_ns, packet)"
            ))
        };
        items.try_iter().map_err(refused)?.map(|item| Self::of(&item?, link)).collect()
    }

    /// As [`of`](Self::of), without a time.
    pub(super) fn alone(item: &Bound<'_, PyAny>, link: Option<LinkType>) -> PyResult<Self> {
        if let Ok(bytes) = item.cast::<PyBytes>() {
            return Ok(Self::new(Held::Object(bytes.clone().into()), link));
        }
        if let Ok(packet) = item.cast::<Packet>() {
            return Ok(Self::packet(packet));
        }
        if let Ok(datagram) = item.cast::<Datagram>() {
            let (time_ns, link, bytes) = datagram.get().parts();
            return Ok(Self { time_ns: Some(time_ns), ..Self::new(Held::Copied(bytes), Some(link)) });
        }
        if let Ok(packet) = item.cast::<OffloadPacket>() {
            return Ok(packet.get().given());
        }
        if let Some(mut stack) = headers(item) {
            let link = link.map_or_else(|| stack_link(item.py(), &stack), Ok)?;
            stack.fit(link);
            let bytes = stack.to_vec().map_err(|error| to_error(item.py(), error))?;
            return Ok(Self::new(Held::Copied(bytes), Some(link)));
        }
        if item.is_instance_of::<PyByteArray>() || item.is_instance_of::<PyMemoryView>() {
            return Ok(Self::new(Held::Copied(bytes_of(item)?.into_owned()), link));
        }
        Self::foreign(item, link)
    }

    /// Packets of other programs: scapy's, and what else has octets.
    fn foreign(item: &Bound<'_, PyAny>, link: Option<LinkType>) -> PyResult<Self> {
        let py = item.py();
        let name = item.get_type().name()?;
        let refused = || {
            let text = format!(
                "{name} is no packet: give a Packet, headers, bytes, or (time_ns, packet) with one of these"
            );
            PyTypeError::new_err(text)
        };
        if item.is_instance_of::<PyString>() {
            let text = "a packet is bytes, not str: use bytes.fromhex() for hexadecimal text";
            return Err(PyTypeError::new_err(text));
        }
        let theirs = py.import("netfast.packet")?.call_method1("_of_scapy", (item,))?;
        if let Ok(packet) = theirs.cast::<Packet>() {
            return Ok(Self::packet(packet));
        }
        if let Ok(bytes) = bytes_of(item) {
            return Ok(Self::new(Held::Copied(bytes.into_owned()), link));
        }
        // Packets of dpkt and the like.
        if item.is_instance_of::<PyType>() || !item.hasattr("__bytes__")? {
            return Err(refused());
        }
        let bytes = py.get_type::<PyBytes>().call1((item,))?;
        Ok(Self::new(Held::Object(bytes.cast_into::<PyBytes>()?.into()), link))
    }

    fn packet(packet: &Bound<'_, Packet>) -> Self {
        let (py, this) = (packet.py(), packet.get());
        let bytes = match &this.data {
            Data::Python(bytes) => Held::Object(bytes.bind(py).clone().into()),
            Data::Captured(bytes) => Held::Captured(bytes.clone_ref(py)),
        };
        Self { time_ns: this.origin.time_ns, link: this.link, wire_len: this.wire_len, marks: None, bytes }
    }

    fn new(bytes: Held, link: Option<LinkType>) -> Self {
        let link = link.unwrap_or(LinkType::ETHERNET);
        let mut given = Self { time_ns: None, link, wire_len: 0, marks: None, bytes };
        given.wire_len = u32::try_from(given.bytes().len()).unwrap_or(u32::MAX);
        given
    }
}

/// Headers, when these are some.
fn headers(item: &Bound<'_, PyAny>) -> Option<wire::Stack> {
    if let Ok(stack) = item.cast::<Stack>() {
        return Some(stack.get().inner.clone());
    }
    let header = item.cast::<Header>().ok()?;
    Some(wire::Stack { headers: vec![header.get().inner.clone()], ..wire::Stack::default() })
}

/// The link type that the outermost header says; bytes without any header are Ethernet's.
fn stack_link(py: Python<'_>, stack: &wire::Stack) -> PyResult<LinkType> {
    let Some(outermost) = stack.headers.first() else { return Ok(LinkType::ETHERNET) };
    stack.link_type().ok_or_else(|| {
        let message = format!(
            "no link type begins with {}: put Ethernet, IPv6 or IPv4 before it, or give `link`",
            outermost.kind()
        );
        config_error(py, &message)
    })
}

fn is_number(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyInt>()
}

/// A time in nanoseconds since the epoch.
pub(super) fn time(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    object.extract::<u64>().map_err(|_| {
        let given = object.repr().map(|text| text.to_string()).unwrap_or_default();
        if object.is_instance_of::<PyInt>() {
            let message = format!("time_ns={given}: give nanoseconds since the epoch, from 0 to 2**64 - 1");
            return option_error(object.py(), "time_ns", &message);
        }
        let name = || object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        let given = if given.len() > 40 { name() } else { given };
        PyTypeError::new_err(format!("the first of (time_ns, packet) is an int of nanoseconds, not {given}"))
    })
}

/// A length on the wire, when one is given.
pub(super) fn length(object: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
    object.extract::<Option<u32>>().map_err(|_| {
        let given = object.repr().map(|text| text.to_string()).unwrap_or_default();
        let text = format!("wire_len={given}: give bytes, from 0 to 2**32 - 1");
        match object.is_instance_of::<PyInt>() {
            true => option_error(object.py(), "wire_len", &text),
            false => PyTypeError::new_err(text),
        }
    })
}

/// A link type by its number or name.
pub(crate) fn link_type(object: &Bound<'_, PyAny>) -> PyResult<LinkType> {
    if let Ok(number) = object.extract::<u16>() {
        return Ok(LinkType(number));
    }
    let known: Vec<_> = LinkType::SUPPORTED.iter().filter_map(|link| link.name()).collect();
    let unknown = || {
        let given = object.repr().map(|text| text.to_string()).unwrap_or_default();
        let text = format!("link {given} is unknown; use a number or one of: ethernet, {}", known.join(", "));
        option_error(object.py(), "link", &text)
    };
    match object.extract::<&str>() {
        Ok(text) if text.eq_ignore_ascii_case("ethernet") => Ok(LinkType::ETHERNET),
        Ok(text) => LinkType::from_name(text).ok_or_else(unknown),
        Err(_) if object.is_instance_of::<PyInt>() => Err(unknown()),
        Err(_) => Err(PyTypeError::new_err("link is a link type's number or name, such as 101 or 'RAW'")),
    }
}
