//! Stacks of headers for Python.
use netfast_wire::header as wire;
use pyo3::IntoPyObjectExt;
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyIndexError, PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PySlice, PyString, PyTuple};

use super::{Header, classes, convert, hash, header_class, kind_of, repr, set_named, to_error};

/// Headers on each other, outermost first, and a payload: what `header / header / b"payload"` makes.
///
/// `bytes(stack)` emits the packet. Fields that were not given are filled in: lengths, next headers and EtherTypes,
/// counts, checksums with their pseudo-headers; options are padded. What was given is kept, right or wrong.
/// `LocalProtocolError` says what cannot be expressed.
///
/// `trailer` is what stands behind the packet by its own lengths: the padding of a short Ethernet frame, say. Lengths and
/// checksums do not count it; `with_trailer(b"")` drops it. `cut` says that the capture has only the first bytes of the
/// packet, which `recompute()` has regard for.
///
/// `stack[IPv6]` is the first header of a class, `stack[0]` the outermost one, `stack[1:]` the stack without that;
/// iteration gives the headers. `len()` is that of the emitted bytes; `len(stack.headers)` counts headers.
///
/// Threads: immutable, so free to share. `pickle` and `copy` work.
#[pyclass(frozen, name = "HeaderStack", module = "netfast.headers")]
pub struct Stack {
    pub(crate) inner: wire::Stack,
}

/// The stack with a header, another stack or payload bytes behind.
pub(super) fn pushed(mut inner: wire::Stack, other: &Bound<'_, PyAny>) -> PyResult<Stack> {
    let behind_payload = |what: &str| {
        PyTypeError::new_err(format!(
            "{what} cannot follow payload bytes: put headers first, then one payload"
        ))
    };
    if let Ok(bytes) = other.cast::<PyBytes>() {
        inner.payload.extend_from_slice(bytes.as_bytes());
        return Ok(Stack { inner });
    }
    if let Ok(header) = other.cast::<Header>() {
        if !inner.payload.is_empty() {
            return Err(behind_payload("a header"));
        }
        inner.headers.push(header.get().inner.clone());
        return Ok(Stack { inner });
    }
    if let Ok(stack) = other.cast::<Stack>() {
        let stack = &stack.get().inner;
        if !inner.payload.is_empty() && !stack.headers.is_empty() {
            return Err(behind_payload("a stack"));
        }
        inner.append(stack);
        return Ok(Stack { inner });
    }
    if other.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("a payload is bytes, not str: write b'...' or text.encode()"));
    }
    match convert::bytes_of(other) {
        Ok(bytes) => {
            inner.payload.extend_from_slice(&bytes);
            Ok(Stack { inner })
        }
        Err(_) => {
            let name = other.get_type().name()?;
            Err(PyTypeError::new_err(format!("a header is followed by headers or bytes, not {name}")))
        }
    }
}

pub(super) fn emit<'py>(py: Python<'py>, stack: &wire::Stack) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, stack.buffer_len(), |output| {
        stack.emit(output).map(|_| ()).map_err(|error| to_error(py, error))
    })
}

#[pymethods]
impl Stack {
    /// A stack of these headers, stacks and bytes, in this order.
    ///
    /// `trailer` is bytes, or a list of `(uncounted, bytes)` for those of packets in tunnels, the innermost first, each
    /// with the index of the first header whose lengths do not count them.
    #[new]
    #[pyo3(signature = (*parts, trailer: "bytes | list[tuple[int, bytes]] | None" = None, cut=false))]
    fn new(parts: &Bound<'_, PyTuple>, trailer: Option<&Bound<'_, PyAny>>, cut: bool) -> PyResult<Self> {
        let mut stack = Self { inner: wire::Stack::default() };
        for part in parts.iter() {
            stack = pushed(stack.inner, &part)?;
        }
        if let Some(trailer) = trailer {
            stack.inner.trailers = trailers(trailer)?;
        }
        stack.inner.cut |= cut;
        Ok(stack)
    }

    /// The headers, outermost first.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        super::wrap_all(py, &self.inner.headers)
    }

    /// The bytes behind the last header.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.payload)
    }

    /// The stack with other values in the fields of the first header of this class, or of the header of this index.
    #[pyo3(signature = (header, /, **fields))]
    fn replace(&self, header: &Bound<'_, PyAny>, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let index = self.find(header)?;
        let mut inner = self.inner.clone();
        if let Some(fields) = fields {
            set_named(&mut inner.headers[index], fields)?;
        }
        Ok(Self { inner })
    }

    /// What stands behind the packet by its own lengths.
    #[getter]
    fn trailer<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.trailers.iter().flat_map(|part| part.bytes.clone()).collect::<Vec<_>>())
    }

    /// The capture has only the first bytes of the packet.
    #[getter]
    fn cut(&self) -> bool {
        self.inner.cut
    }

    /// The link type of a capture whose packets begin with the outermost header; `None` when there is none.
    #[getter]
    fn link_type(&self) -> Option<u16> {
        self.inner.link_type().map(|link| link.0)
    }

    /// The stack with this payload, all of it: without a trailer, and no longer cut.
    fn with_payload(&self, payload: &Bound<'_, PyAny>) -> PyResult<Self> {
        let payload = convert::bytes_of(payload)?.into_owned();
        Ok(Self {
            inner: wire::Stack { headers: self.inner.headers.clone(), payload, ..wire::Stack::default() },
        })
    }

    /// The stack with these bytes behind the packet, which no length counts; `b""` for none.
    fn with_trailer(&self, trailer: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut inner = self.inner.clone();
        inner.trailers = trailers(trailer)?;
        Ok(Self { inner })
    }

    /// The stack with lengths, checksums and what says which header follows left to emission again: for a captured
    /// packet that was changed. Numbers that netfast could not derive are kept.
    ///
    /// What depends on bytes that are not there is kept, too. Behind a header that says that the packet is a fragment,
    /// lengths and checksums are those of the whole datagram; in a packet that the capture cut (`cut`), they are those of
    /// the whole packet. The checksum of an IPv4 header is always done again.
    fn recompute(&self) -> Self {
        let mut inner = self.inner.clone();
        inner.rederive();
        Self { inner }
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        emit(py, &self.inner)
    }

    /// Bytes of the emitted packet.
    fn __len__(&self) -> usize {
        self.inner.buffer_len()
    }

    fn __truediv__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        pushed(self.inner.clone(), other)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.headers(py)?.try_iter()
    }

    fn __contains__(&self, header: &Bound<'_, PyAny>) -> PyResult<bool> {
        let kind = kind_of(header_class(header)?)?;
        Ok(self.inner.headers.iter().any(|header| header.kind() == kind))
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(slice) = key.cast::<PySlice>() {
            return Self { inner: self.part(slice)? }.into_bound_py_any(py);
        }
        let index = self.find(key)?;
        classes::wrap(py, self.inner.headers[index].clone())
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, operation: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        let equal = self.inner == other.get().inner;
        match operation {
            CompareOp::Eq => equal.into_py_any(py),
            CompareOp::Ne => (!equal).into_py_any(py),
            _ => Ok(py.NotImplemented()),
        }
    }

    fn __hash__(&self) -> u64 {
        hash(&self.inner)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut parts = Vec::with_capacity(self.inner.headers.len() + 1);
        for header in &self.inner.headers {
            parts.push(repr(py, header)?);
        }
        if !self.inner.payload.is_empty() {
            parts.push(PyBytes::new(py, &self.inner.payload).repr()?.to_string());
        }
        let (inner, plain) = (&self.inner, parts.len() > 1);
        match &inner.trailers[..] {
            [] => {}
            [only] if only.uncounted == 0 => {
                parts.push(format!("trailer={}", PyBytes::new(py, &only.bytes).repr()?));
            }
            several => parts.push(format!("trailer={}", trailer_list(py, several)?.repr()?)),
        }
        if inner.cut {
            parts.push("cut=True".into());
        }
        let plain = plain && inner.trailers.is_empty() && !inner.cut;
        Ok(if plain { parts.join(" / ") } else { format!("HeaderStack({})", parts.join(", ")) })
    }

    /// The emitted packet as a scapy packet. Needs scapy.
    fn to_scapy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let packet = crate::packet::dissect(slf.as_any(), None, None, None)?;
        Bound::new(slf.py(), packet)?.call_method0("to_scapy")
    }

    /// The headers of a scapy packet, which scapy builds. Needs scapy.
    #[staticmethod]
    fn from_scapy(packet: &Bound<'_, PyAny>) -> PyResult<Self> {
        let theirs = packet.py().import("netfast.packet")?.call_method1("_from_scapy", (packet,))?;
        let stack = theirs.call_method0("to_stack")?;
        Ok(Self { inner: stack.cast::<Self>()?.get().inner.clone() })
    }

    /// The emitted packet as a table for notebooks; nothing when it cannot be emitted or has no link type.
    fn _repr_html_(slf: &Bound<'_, Self>) -> Option<String> {
        let packet = crate::packet::dissect(slf.as_any(), None, None, None).ok()?;
        Bound::new(slf.py(), packet).ok()?.call_method0("_repr_html_").ok()?.extract().ok()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let inner = &slf.get().inner;
        let headers = super::wrap_all(py, &inner.headers)?;
        let payload = PyBytes::new(py, &inner.payload);
        let state = (headers, payload, trailer_list(py, &inner.trailers)?, inner.cut);
        (slf.get_type().getattr("_restore")?, state).into_bound_py_any(py)
    }

    /// Rebuilds a pickled stack.
    #[staticmethod]
    fn _restore(
        headers: &Bound<'_, PyTuple>,
        payload: &Bound<'_, PyAny>,
        trailer: &Bound<'_, PyAny>,
        cut: bool,
    ) -> PyResult<Self> {
        pushed(Self::new(headers, Some(trailer), cut)?.inner, payload)
    }
}

/// Trailers from bytes or a list of `(uncounted, bytes)`.
fn trailers(object: &Bound<'_, PyAny>) -> PyResult<Vec<wire::Trailer>> {
    let filled = |list: Vec<wire::Trailer>| list.into_iter().filter(|part| !part.bytes.is_empty()).collect();
    if let Ok(list) = object.extract::<Vec<(usize, Bound<'_, PyBytes>)>>() {
        let part = |(uncounted, bytes): (usize, Bound<'_, PyBytes>)| wire::Trailer {
            uncounted,
            bytes: bytes.as_bytes().to_vec(),
        };
        return Ok(filled(list.into_iter().map(part).collect()));
    }
    let wrong = |_| PyTypeError::new_err("a trailer is bytes, or a list of (uncounted, bytes)");
    let bytes = convert::bytes_of(object).map_err(wrong)?.into_owned();
    Ok(filled(vec![wire::Trailer { uncounted: 0, bytes }]))
}

fn trailer_list<'py>(py: Python<'py>, trailers: &[wire::Trailer]) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, trailers.iter().map(|part| (part.uncounted, PyBytes::new(py, &part.bytes))))
}

impl Stack {
    /// The headers of a slice; what stands behind the last header follows it.
    fn part(&self, slice: &Bound<'_, PySlice>) -> PyResult<wire::Stack> {
        let count = self.inner.headers.len();
        let places = slice.indices(count as isize)?;
        let (start, stop) = (places.start.max(0) as usize, places.stop.max(0) as usize);
        if places.step != 1 {
            return Err(PyTypeError::new_err("headers are taken in their order: a slice has no step"));
        }
        let headers = self.inner.headers.get(start..stop).unwrap_or(&[]).to_vec();
        let mut part = wire::Stack { headers, ..wire::Stack::default() };
        if stop == count {
            let mut trailers = self.inner.trailers.clone();
            // What the headers before the slice count belongs to them, and no header of it counts the others.
            trailers
                .iter_mut()
                .for_each(|trailer| trailer.uncounted = trailer.uncounted.saturating_sub(start));
            part.payload = self.inner.payload.clone();
            part.trailers = trailers;
            part.cut = self.inner.cut;
        }
        Ok(part)
    }

    fn find(&self, key: &Bound<'_, PyAny>) -> PyResult<usize> {
        let count = self.inner.headers.len();
        if let Ok(index) = key.extract::<isize>() {
            let from_end = if index < 0 { index + count as isize } else { index };
            return usize::try_from(from_end)
                .ok()
                .filter(|index| *index < count)
                .ok_or_else(|| PyIndexError::new_err(format!("the stack has {count} headers")));
        }
        let kind = kind_of(header_class(key)?)?;
        let found = self.inner.headers.iter().position(|header| header.kind() == kind);
        found.ok_or_else(|| PyKeyError::new_err(format!("the stack has no {kind}")))
    }
}
