//! Stacks of headers for Python.
use netfast_wire::header as wire;
use pyo3::IntoPyObjectExt;
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyIndexError, PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyString, PyTuple, PyType};

use super::{Header, classes, convert, hash, kind_of, repr, set_named, to_error};

/// Headers on each other, outermost first, and a payload: what `header / header / b"payload"` makes.
///
/// `bytes(stack)` emits the packet. Fields that were not given are filled in: lengths, next headers and EtherTypes,
/// counts, checksums with their pseudo-headers; options are padded. What was given is kept, right or wrong.
/// `LocalProtocolError` says what cannot be expressed.
///
/// `stack[IPv6]` is the first header of a class, `stack[0]` the outermost one; iteration gives the headers.
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
        inner.headers.extend_from_slice(&stack.headers);
        inner.payload.extend_from_slice(&stack.payload);
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
    #[new]
    #[pyo3(signature = (*parts))]
    fn new(parts: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let mut stack = Self { inner: wire::Stack::default() };
        for part in parts.iter() {
            stack = pushed(stack.inner, &part)?;
        }
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

    /// The stack with this payload.
    fn with_payload(&self, payload: &Bound<'_, PyAny>) -> PyResult<Self> {
        let headers = self.inner.headers.clone();
        Ok(Self { inner: wire::Stack { headers, payload: convert::bytes_of(payload)?.into_owned() } })
    }

    /// The stack with lengths, checksums and what says which header follows left to emission again: for a captured
    /// packet that was changed. Numbers that netfast could not derive are kept.
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

    fn __contains__(&self, header: &Bound<'_, PyType>) -> PyResult<bool> {
        let kind = kind_of(header)?;
        Ok(self.inner.headers.iter().any(|header| header.kind() == kind))
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
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
        Ok(if parts.len() < 2 { format!("HeaderStack({})", parts.join(", ")) } else { parts.join(" / ") })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let inner = &slf.get().inner;
        let mut parts: Vec<_> = super::wrap_all(py, &inner.headers)?.iter().collect();
        parts.push(PyBytes::new(py, &inner.payload).into_any());
        (slf.get_type(), PyTuple::new(py, parts)?).into_bound_py_any(py)
    }
}

impl Stack {
    fn find(&self, key: &Bound<'_, PyAny>) -> PyResult<usize> {
        let count = self.inner.headers.len();
        if let Ok(index) = key.extract::<isize>() {
            let from_end = if index < 0 { index + count as isize } else { index };
            return usize::try_from(from_end)
                .ok()
                .filter(|index| *index < count)
                .ok_or_else(|| PyIndexError::new_err(format!("the stack has {count} headers")));
        }
        let class =
            key.cast::<PyType>().map_err(|_| PyTypeError::new_err("give a header class or an index"))?;
        let kind = kind_of(class)?;
        let found = self.inner.headers.iter().position(|header| header.kind() == kind);
        found.ok_or_else(|| PyKeyError::new_err(format!("the stack has no {kind}")))
    }
}
