//! `netfast.VirtioHeader` and `netfast.VirtioCodec`.
use super::packets::{OffloadBatch, Taken, named, passing_pool};
use crate::errors::{ParsePlace, field_error, layer_error, number_of, option_error};
use crate::gate::lock;
use crate::packet::link_type;
use netfast_offload::features::VirtioFeatures;
use netfast_offload::segment::DEFAULT_SEGMENTS;
use netfast_offload::virtio::{
    ByteOrder, HeaderForm, LONG_HEADER, Peer, VirtioCodec as Engine, VirtioConfig, VirtioError,
    VirtioHeader as Header,
};
use netfast_wire::LinkType;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyInt};
use std::sync::Mutex;

const FORMS: [(&str, HeaderForm); 2] = [("short", HeaderForm::Short), ("long", HeaderForm::Long)];
const ORDERS: [(&str, ByteOrder); 3] =
    [("little", ByteOrder::Little), ("big", ByteOrder::Big), ("native", ByteOrder::Native)];
const PEERS: [(&str, Peer); 3] = [("tun", Peer::Tun), ("device", Peer::Device), ("driver", Peer::Driver)];

/// The header before a packet of a virtio network device, and of TUN or TAP with `IFF_VNET_HDR` (virtio 1.3, 5.1.6), as
/// it stands: any values, believed by nobody. `VirtioCodec` compares them with the packet.
///
/// `flags` are `NEEDS_CSUM`, `DATA_VALID` and `RSC_INFO`, `gso_type` one of the `GSO_` values, perhaps with `GSO_ECN`;
/// `gso_size` are the payload bytes of a segment, `csum_start` is where checksumming begins and `csum_offset` where from
/// there the checksum is put; all lengths in bytes. `num_buffers` is only in the long form.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `to_bytes()`.
#[pyclass(frozen, eq, get_all, module = "netfast")]
#[derive(Clone, PartialEq)]
pub struct VirtioHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
    num_buffers: u16,
}

impl From<Header> for VirtioHeader {
    fn from(header: Header) -> Self {
        let Header { flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers } = header;
        Self { flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers }
    }
}

impl VirtioHeader {
    fn inner(&self) -> Header {
        let Self { flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers } = *self;
        Header { flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers }
    }
}

#[pymethods]
impl VirtioHeader {
    /// The checksum is to be filled in.
    #[classattr]
    const NEEDS_CSUM: u8 = Header::NEEDS_CSUM;
    /// The checksum was found right.
    #[classattr]
    const DATA_VALID: u8 = Header::DATA_VALID;
    /// `csum_start` and `csum_offset` count merged segments and duplicate acknowledgements.
    #[classattr]
    const RSC_INFO: u8 = Header::RSC_INFO;
    /// One packet.
    #[classattr]
    const GSO_NONE: u8 = Header::GSO_NONE;
    /// TCP over IPv4.
    #[classattr]
    const GSO_TCPV4: u8 = Header::GSO_TCPV4;
    /// UDP to be fragmented, which is not taken.
    #[classattr]
    const GSO_UDP: u8 = Header::GSO_UDP;
    /// TCP over IPv6.
    #[classattr]
    const GSO_TCPV6: u8 = Header::GSO_TCPV6;
    /// UDP to be segmented.
    #[classattr]
    const GSO_UDP_L4: u8 = Header::GSO_UDP_L4;
    /// The TCP packet has CWR set.
    #[classattr]
    const GSO_ECN: u8 = Header::GSO_ECN;

    #[new]
    #[pyo3(signature = (
        *, flags: "int | None" = None, gso_type: "int | None" = None, hdr_len: "int | None" = None, gso_size: "int | None" = None,
        csum_start: "int | None" = None, csum_offset: "int | None" = None, num_buffers: "int | None" = None,
    ))]
    fn new(
        flags: Option<&Bound<'_, PyAny>>,
        gso_type: Option<&Bound<'_, PyAny>>,
        hdr_len: Option<&Bound<'_, PyAny>>,
        gso_size: Option<&Bound<'_, PyAny>>,
        csum_start: Option<&Bound<'_, PyAny>>,
        csum_offset: Option<&Bound<'_, PyAny>>,
        num_buffers: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self {
            flags: field(flags, "flags")?,
            gso_type: field(gso_type, "gso_type")?,
            hdr_len: field(hdr_len, "hdr_len")?,
            gso_size: field(gso_size, "gso_size")?,
            csum_start: field(csum_start, "csum_start")?,
            csum_offset: field(csum_offset, "csum_offset")?,
            num_buffers: field(num_buffers, "num_buffers")?,
        })
    }

    /// The header at the beginning of `data`: 12 bytes, 10 in the `form` `"short"`, which TUN has unless
    /// `TUNSETVNETHDRSZ` said otherwise. `order` is that of bytes: `"little"` (virtio 1.0 and later), `"big"`, or
    /// `"native"` (TUN as it is opened).
    ///
    /// Raises `ParseError` for fewer bytes.
    #[staticmethod]
    #[pyo3(signature = (data, *, form="long", order="little"))]
    fn parse(py: Python<'_>, data: PyBackedBytes, form: &str, order: &str) -> PyResult<Self> {
        let (form, order) = (named(py, "form", form, &FORMS)?, named(py, "order", order, &ORDERS)?);
        Header::parse(&data, form, order).map(Self::from).map_err(|error| raise(py, None, error))
    }

    /// The header as bytes.
    #[pyo3(signature = (*, form="long", order="little"))]
    fn to_bytes<'py>(&self, py: Python<'py>, form: &str, order: &str) -> PyResult<Bound<'py, PyBytes>> {
        let (form, order) = (named(py, "form", form, &FORMS)?, named(py, "order", order, &ORDERS)?);
        let mut bytes = [0; LONG_HEADER];
        let length = self.inner().emit(&mut bytes, form, order).map_err(|error| raise(py, None, error))?;
        Ok(PyBytes::new(py, &bytes[..length]))
    }

    fn __repr__(&self) -> String {
        format!(
            "VirtioHeader(flags={:#x}, gso_type={:#x}, hdr_len={}, gso_size={}, csum_start={}, csum_offset={}, \
             num_buffers={})",
            self.flags,
            self.gso_type,
            self.hdr_len,
            self.gso_size,
            self.csum_start,
            self.csum_offset,
            self.num_buffers
        )
    }
}

/// A field of a header, which is 0 when nobody gave it.
fn field<T: TryFrom<u64> + Default>(given: Option<&Bound<'_, PyAny>>, name: &'static str) -> PyResult<T> {
    let Some(given) = given else { return Ok(T::default()) };
    if !given.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err(format!("{name} is {}: give an int", given.get_type().name()?)));
    }
    let number = given.extract::<u64>().ok().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| {
        let most = (1u32 << (8 * size_of::<T>())) - 1;
        let text = format!("VirtioHeader.{name}={given}: give 0 to {most}");
        field_error(given.py(), &text, "VirtioHeader", name)
    })
}

/// Reads and writes the virtio headers of one port.
///
/// `receive` takes packets that begin with a header and gives them without it, marked as it says; `send` puts headers
/// before packets. Nothing in a header is believed that the packet contradicts. `link` is what packets begin with behind
/// the header: Ethernet, or `"RAW"` for TUN. `form` and `order` are those of `VirtioHeader.parse`. `peer` is who is at
/// the other end: `"tun"` (a kernel), `"device"` (we are its driver) or `"driver"` (we are its device). `features` are
/// the feature bits that were negotiated, as a number (`VIRTIO_NET_F_CSUM` is bit 0); without them all offloads but UDP
/// fragmentation. A super-packet of more than `max_segments` (2,048) is refused.
///
/// Threads: each method is atomic. `fork`: the child has its own copy. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct VirtioCodec {
    engine: Mutex<Engine>,
    link: LinkType,
}

#[pymethods]
impl VirtioCodec {
    #[new]
    #[pyo3(signature = (
        *, link: "int | str | None" = None, form="long", order="little", peer="tun", features: "int | None" = None,
        max_segments: "int | None" = None,
    ))]
    fn new(
        py: Python<'_>,
        link: Option<&Bound<'_, PyAny>>,
        form: &str,
        order: &str,
        peer: &str,
        features: Option<&Bound<'_, PyAny>>,
        max_segments: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let link = link.map(link_type).transpose()?.unwrap_or(LinkType::ETHERNET);
        let features = features.map(|bits| number_of(bits, "features", "feature bits, a number of 64 bits"));
        let most =
            max_segments.map(|most| number_of(most, "max_segments", "the most packets of one, from 1"));
        let config = VirtioConfig {
            link,
            form: named(py, "form", form, &FORMS)?,
            order: named(py, "order", order, &ORDERS)?,
            peer: named(py, "peer", peer, &PEERS)?,
            features: features.transpose()?.map_or(VirtioFeatures::OFFLOADS, VirtioFeatures),
            segments: most.transpose()?.unwrap_or(DEFAULT_SEGMENTS),
        };
        Ok(Self { engine: Mutex::new(Engine::new(config)), link })
    }

    /// Takes the headers off packets, and marks the packets as they say.
    ///
    /// Raises `ParseError` for the first packet whose header or bytes are refused: it names field, value and remedy,
    /// `reason` is the name of the reason, `packet` the index; `ConfigError` where it needs what was not negotiated. With
    /// `drop` such packets are left out and only counted.
    #[pyo3(signature = (packets, *, drop=false))]
    fn receive(&self, py: Python<'_>, packets: &Bound<'_, PyAny>, drop: bool) -> PyResult<OffloadBatch> {
        let taken = Taken::of(packets, Some(self.link))?;
        let (mut engine, mut pool) = (lock(&self.engine), passing_pool());
        let mut out = Vec::with_capacity(taken.packets.len());
        for (at, packet) in taken.packets.into_iter().enumerate() {
            match engine.receive(packet, &mut pool) {
                Ok(packet) => out.push(packet),
                Err(_) if drop => {}
                Err(refused) => return Err(raise(py, Some(at), refused.error)),
            }
        }
        Ok(OffloadBatch::of(out, self.link))
    }

    /// Puts headers before packets that say what the packets do: `os.writev(tun, packet.segments)`.
    ///
    /// Raises `ParseError` for the first packet that the peer does not take so: it is to be cut (`segment`), or its
    /// checksum to be filled in (`finish_checksums`), before; `ConfigError` where it needs what was not negotiated.
    fn send(&self, py: Python<'_>, packets: &Bound<'_, PyAny>) -> PyResult<OffloadBatch> {
        let taken = Taken::of(packets, Some(self.link))?;
        let (mut engine, mut pool) = (lock(&self.engine), passing_pool());
        let mut out = Vec::with_capacity(taken.packets.len());
        for (at, packet) in taken.packets.into_iter().enumerate() {
            let sent = engine.send(packet, &mut pool);
            out.push(sent.map_err(|refused| raise(py, Some(at), refused.error))?);
        }
        Ok(OffloadBatch::of(out, self.link))
    }

    /// What it did, by name: packets `received` and `sent`, super-packets among them, checksums of other protocols
    /// `filled` in, `wrong_hdr_len`, and those `refused` by reason.
    #[getter]
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (dict, refused) = (PyDict::new(py), PyDict::new(py));
        let counters = *lock(&self.engine).counters();
        for (name, value) in [
            ("received", counters.received),
            ("sent", counters.sent),
            ("received_super", counters.received_super),
            ("sent_super", counters.sent_super),
            ("filled", counters.filled),
            ("wrong_hdr_len", counters.wrong_hdr_len),
        ] {
            dict.set_item(name, value)?;
        }
        for (name, count) in VirtioError::NAMES.iter().zip(counters.refused).filter(|(_, count)| *count > 0) {
            refused.set_item(name, count)?;
        }
        dict.set_item("refused", refused)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        let engine = lock(&self.engine);
        let counters = engine.counters();
        format!("<netfast.VirtioCodec: {} received, {} sent>", counters.received, counters.sent)
    }
}

/// The exception of a header or packet that is refused.
fn raise(py: Python<'_>, at: Option<usize>, error: VirtioError) -> PyErr {
    if let VirtioError::NotNegotiated { .. } = error {
        return told(py, at, option_error(py, "features", &text(at, error)), error);
    }
    // Where the field is that is refused.
    let offset = match error {
        VirtioError::UnknownType { .. }
        | VirtioError::UdpFragmentation
        | VirtioError::EcnWithoutTcp { .. } => Some(1),
        VirtioError::NoSize { .. } | VirtioError::SizeBeyondPayload { .. } => Some(4),
        VirtioError::ChecksumBeyondPacket { .. } | VirtioError::ChecksumElsewhere { .. } => Some(6),
        VirtioError::NoBuffers => Some(10),
        _ => None,
    };
    let mut place = ParsePlace { offset, ..ParsePlace::default() };
    if let VirtioError::TooShort { need, have } = error {
        (place.need, place.have) = (u64::try_from(need).ok(), u64::try_from(have).ok());
    }
    told(py, at, layer_error(py, &text(at, error), "VirtioHeader", place), error)
}

fn text(at: Option<usize>, error: VirtioError) -> String {
    at.map_or_else(|| error.to_string(), |at| format!("packet {at}: {error}"))
}

/// The exception with the name of its reason.
fn told(py: Python<'_>, at: Option<usize>, raised: PyErr, error: VirtioError) -> PyErr {
    // Without the attributes the error still says everything in its text.
    let _ = raised.value(py).setattr("reason", error.name());
    let _ = raised.value(py).setattr("packet", at);
    raised
}
