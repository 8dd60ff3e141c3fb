//! The ICMP errors that senders of fragments are owed.
use crate::errors::{number_of, option_error};
use crate::packet::Packet;
use netfast_buf::Skb;
use netfast_frag::FragmentReason;
use netfast_wire::LinkType;
use netfast_wire::router::{IPV6_ERROR_MAX, IcmpError, Sender, may_answer, write_error};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::net::IpAddr;

/// An ICMP or ICMPv6 error that the sender of a fragment is owed: time exceeded, where the first fragment came and others
/// did not (RFC 792, RFC 8200 4.5), or parameter problem (RFC 792, RFC 8200 4.5, RFC 7112).
///
/// How many errors are sent is the caller's to limit (RFC 1812 4.3.2.8, RFC 4443 2.4 f).
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `packet`.
#[pyclass(frozen, module = "netfast")]
pub struct OwedError {
    error: IcmpError,
    reason: FragmentReason,
    link: LinkType,
    time_ns: u64,
    network: usize,
    bytes: Vec<u8>,
}

impl OwedError {
    /// The error about a packet, if its sender may be told at all (RFC 1812 4.3.2.7, RFC 4443 2.4 e).
    pub fn about(packet: &Skb, link: LinkType, reason: FragmentReason, error: IcmpError) -> Option<Self> {
        let network = packet.hot.outer.l3()? as usize;
        let bytes = packet.to_vec();
        let unicast = link != LinkType::ETHERNET || bytes.first().is_some_and(|first| first & 1 == 0);
        may_answer(error, bytes.get(network..)?, unicast).ok()?;
        Some(Self { error, reason, link, time_ns: packet.hot.timestamp.as_nanos(), network, bytes })
    }

    fn ip(&self) -> &[u8] {
        self.bytes.get(self.network..).unwrap_or_default()
    }

    fn is_ipv4(&self) -> bool {
        self.ip().first().is_some_and(|first| first >> 4 == 4)
    }
}

#[pymethods]
impl OwedError {
    /// Type of the ICMP message: 11 or 12 of ICMP, 3 or 4 of ICMPv6.
    #[getter]
    fn r#type(&self) -> u8 {
        match (self.error, self.is_ipv4()) {
            (IcmpError::ParameterProblem { .. }, true) => 12,
            (IcmpError::ParameterProblem { .. }, false) => 4,
            (_, true) => 11,
            (_, false) => 3,
        }
    }

    /// Its code.
    #[getter]
    fn code(&self) -> u8 {
        match self.error {
            IcmpError::ParameterProblem { code, .. } => code,
            _ => 1,
        }
    }

    /// Of a parameter problem: the octet of the IP packet where it is.
    #[getter]
    fn pointer(&self) -> Option<u32> {
        match self.error {
            IcmpError::ParameterProblem { pointer, .. } => Some(pointer),
            _ => None,
        }
    }

    /// Why the fragment or its datagram was given up.
    #[getter]
    fn reason(&self) -> &'static str {
        self.reason.name()
    }

    /// The fragment that the error is about.
    #[getter]
    fn packet(&self, py: Python<'_>) -> Packet {
        Packet::new(PyBytes::new(py, &self.bytes), self.link, None).at_time(self.time_ns)
    }

    /// The message as an IP packet from `source` (an address of the packet's IP version) to the fragment's sender, which
    /// quotes the fragment.
    #[pyo3(signature = (source: "Any", *, hop_limit: "int" = 64, identification: "int" = 0))]
    fn message(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = source_of)] source: IpAddr,
        #[pyo3(from_py_with = hop_limit_of)] hop_limit: u8,
        #[pyo3(from_py_with = identification_of)] identification: u16,
    ) -> PyResult<Packet> {
        let mut memory = [0; IPV6_ERROR_MAX];
        let sender = Sender { source, hop_limit, identification };
        let written = write_error(self.error, self.ip(), &sender, &mut memory)
            .map_err(|error| option_error(py, "source", &format!("source={source}: {error}")))?;
        Ok(Packet::new(PyBytes::new(py, written), LinkType::RAW, None))
    }

    fn __repr__(&self) -> String {
        let what = if self.pointer().is_some() { "parameter problem" } else { "reassembly time exceeded" };
        format!("<netfast.OwedError: {what}, for {}>", self.reason.name())
    }
}

fn source_of(object: &Bound<'_, PyAny>) -> PyResult<IpAddr> {
    object.extract().map_err(|_| {
        let given = object.repr().map(|text| text.to_string()).unwrap_or_default();
        let text = format!("source={given}: give an IP address, such as 192.0.2.1");
        option_error(object.py(), "source", &text)
    })
}

fn hop_limit_of(object: &Bound<'_, PyAny>) -> PyResult<u8> {
    number_of(object, "hop_limit", "a number from 0 to 255")
}

fn identification_of(object: &Bound<'_, PyAny>) -> PyResult<u16> {
    number_of(object, "identification", "a number from 0 to 65535")
}
