//! Headers for Python: values that are built, changed, stacked and emitted.
mod classes;
mod convert;
mod names;
mod options;
mod stack;

use netfast_wire::HeaderKind;
use netfast_wire::header::{self as wire, Value};
use pyo3::IntoPyObjectExt;
use pyo3::basic::CompareOp;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};

pub use classes::*;
pub(crate) use names::similar;
pub use stack::Stack;

use crate::errors::{ParsePlace, field_error, layer_error};

/// What all headers have: the base of `IPv6`, `UDP` and the others, not to be built itself.
///
/// A header is a value: its fields are read as attributes and changed by `replace(field=value)`, which gives another
/// header. `header / header` and `header / bytes` stack; `bytes()` of a stack fills in lengths, the numbers that say what
/// follows, and checksums. A field that is left to that reads as `None`; a field that was given is written as it is, even
/// if it is wrong. Headers are equal when their bytes and their given fields are; `repr` evaluates back.
///
/// Addresses are text; `str`, `bytes`, `int` and `ipaddress` objects are taken. Options are lists of `(name, value)`
/// pairs or a dictionary; a name alone is enough for those without data, and a number stands for kinds without a name.
/// `TCP.forms()` tells the names and what each takes. Raw `bytes` are taken as they are.
///
/// Threads: immutable, so free to share. `pickle` and `copy` work.
#[pyclass(frozen, subclass, module = "netfast.headers")]
pub struct Header {
    pub(crate) inner: wire::Header,
}

impl Header {
    fn spec(&self) -> &'static wire::HeaderSpec {
        self.inner.spec()
    }
}

#[pymethods]
impl Header {
    /// The header with other values in these fields; `None` leaves a field to emission again, or takes an optional one
    /// away.
    #[pyo3(signature = (**fields))]
    fn replace<'py>(
        &self,
        py: Python<'py>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut inner = self.inner.clone();
        if let Some(fields) = fields {
            set_named(&mut inner, fields)?;
        }
        classes::wrap(py, inner)
    }

    /// The header with its lengths and checksums, and what else emission can fill in, left to emission.
    fn recompute<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut inner = self.inner.clone();
        inner.reset_auto();
        classes::wrap(py, inner)
    }

    /// The fields by name, in wire order, as far as the header has them.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        for (index, field) in self.spec().fields.iter().enumerate().filter(|(_, field)| !field.alias) {
            let value = self.inner.get_at(index);
            if value != Value::Absent {
                fields.set_item(field.name, convert::to_python(py, field, value)?)?;
            }
        }
        Ok(fields)
    }

    /// A field's value for a reader, with what is known of it: `TCP(flags="SA").text("flags")` is `18 (SYN, ACK)`.
    fn text(&self, field: &str) -> PyResult<String> {
        let index = self.spec().field(field).ok_or_else(|| names::unknown(self.inner.kind(), field))?;
        let value = self.inner.get_at(index);
        Ok(wire::value_text(&self.spec().fields[index], &value, self.inner.as_bytes()))
    }

    /// The header's own bytes, with zero in fields that are left to emission behind other headers.
    fn raw<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.as_bytes())
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let stack = wire::Stack { headers: vec![self.inner.clone()], ..wire::Stack::default() };
        stack::emit(py, &stack)
    }

    fn __len__(&self) -> usize {
        self.inner.buffer_len()
    }

    fn __truediv__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Stack> {
        let _ = py;
        let mut headers = Vec::with_capacity(4);
        headers.push(self.inner.clone());
        stack::pushed(wire::Stack { headers, ..wire::Stack::default() }, other)
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, operation: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        let equal = self.inner == other.get().inner;
        Ok(match operation {
            CompareOp::Eq => equal.into_pyobject(py)?.to_owned().into_any().unbind(),
            CompareOp::Ne => (!equal).into_pyobject(py)?.to_owned().into_any().unbind(),
            _ => py.NotImplemented(),
        })
    }

    fn __hash__(&self) -> u64 {
        hash(&self.inner)
    }

    /// Says which field may have been meant.
    fn __getattr__(&self, name: &str) -> PyResult<Py<PyAny>> {
        Err(names::no_attribute(self.inner.kind(), name))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        repr(py, &self.inner)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let inner = &slf.get().inner;
        let state = (PyBytes::new(py, inner.as_bytes()), inner.auto_bits());
        (slf.get_type().getattr("_restore")?, state).into_bound_py_any(py)
    }

    /// Rebuilds a pickled header.
    #[classmethod]
    fn _restore<'py>(class: &Bound<'py, PyType>, data: &[u8], auto: u64) -> PyResult<Bound<'py, PyAny>> {
        let py = class.py();
        let kind = kind_of(class)?;
        let inner = wire::Header::restore(kind, data, auto).map_err(|error| to_error(py, error))?;
        classes::wrap(py, inner)
    }

    /// What the options, chunks, tags, records or TLVs of this class are: for each field that lists such, their names with
    /// what each takes, in words.
    #[classmethod]
    fn forms<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyDict>> {
        let py = class.py();
        let fields = PyDict::new(py);
        for field in wire::spec(kind_of(class)?).fields {
            let wire::FieldType::Options(space) = field.ty else { continue };
            let known = PyDict::new(py);
            for spec in wire::options::table(space) {
                known.set_item(spec.name, wire::options::takes(space, spec))?;
            }
            fields.set_item(field.name, known)?;
        }
        Ok(fields)
    }

    /// The header at the front of `data`; every field is what the bytes say. What is behind the header is left out:
    /// `len()` of it tells where that begins, and `netfast.dissect` takes a whole packet apart.
    ///
    /// Raises `ParseError` when they end before the header does.
    #[classmethod]
    fn parse<'py>(class: &Bound<'py, PyType>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = class.py();
        let bytes = convert::bytes_of(data)?;
        let inner = wire::Header::parse(kind_of(class)?, &bytes).map_err(|error| to_error(py, error))?;
        classes::wrap(py, inner)
    }
}

pub(crate) fn hash<T: std::hash::Hash>(value: &T) -> u64 {
    use std::hash::Hasher;
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A header class that is asked for.
pub(crate) fn header_class<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyType>> {
    object.cast::<PyType>().map_err(|_| {
        let given = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("give a header class, such as IPv6, or an index, not {given}"))
    })
}

/// The kind that a header class stands for.
pub(crate) fn kind_of(class: &Bound<'_, PyType>) -> PyResult<HeaderKind> {
    classes::kind_of(class).ok_or_else(|| {
        let name = class.name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("{name} is not a header class; IPv6, UDP and the like are"))
    })
}

/// Sets fields by keyword.
fn set_named(inner: &mut wire::Header, fields: &Bound<'_, PyDict>) -> PyResult<()> {
    let spec = inner.spec();
    let mut values = vec![None; spec.fields.len()];
    for (name, value) in fields.iter() {
        let name: String = name.extract()?;
        let Some(index) = spec.field(&name) else { return Err(names::unknown(inner.kind(), &name)) };
        values[index] = Some(value);
    }
    set_all(inner, &values)
}

/// Sets fields in the order of the table; those that say something else of the same bits are refused.
fn set_all(inner: &mut wire::Header, values: &[Option<Bound<'_, PyAny>>]) -> PyResult<()> {
    let kind = inner.kind();
    let mut numbers = Vec::new();
    for (index, given) in values.iter().enumerate() {
        let Some(given) = given else { continue };
        let value = convert::from_python(kind, &inner.spec().fields[index], given)?;
        if let Value::Uint(number) = value {
            numbers.push((index, number, given));
        }
        inner.set_at(index, value).map_err(to_error_py)?;
    }
    match numbers.iter().find(|(index, number, _)| inner.get_at(*index).uint() != Some(*number)) {
        Some((index, _, given)) => Err(contradiction(inner, *index, given, values)),
        None => Ok(()),
    }
}

/// The error of a field that another one, given with it, has changed.
fn contradiction(
    inner: &wire::Header,
    index: usize,
    given: &Bound<'_, PyAny>,
    values: &[Option<Bound<'_, PyAny>>],
) -> PyErr {
    let spec = inner.spec();
    let place = |index: usize| spec.fields[index].locate(inner.as_bytes());
    let overlaps = |other: usize| match (place(index), place(other)) {
        (Some((start, len)), Some((other, width))) => start < other + width && other < start + len,
        _ => false,
    };
    let others = || (0..values.len()).filter(|other| *other != index && values[*other].is_some());
    let other = others().find(|other| overlaps(*other)).or_else(|| others().next_back());
    let text = |value: &Bound<'_, PyAny>| value.repr().map(|text| text.to_string()).unwrap_or_default();
    let (name, kind) = (spec.fields[index].name, spec.kind);
    let other = other.and_then(|other| Some((spec.fields[other].name, values[other].as_ref()?)));
    let message = match other {
        Some((other, value)) => format!(
            "{kind}.{name}={} and {other}={} contradict each other: give one of them",
            text(given),
            text(value)
        ),
        None => format!("{kind}.{name}={} makes another header of it, without this field", text(given)),
    };
    field_error(given.py(), &message, kind.name(), name)
}

/// A new header from the arguments of its class, one for each field of its table.
fn build(
    kind: HeaderKind,
    arguments: &[Option<Bound<'_, PyAny>>],
    unknown: Option<&Bound<'_, PyDict>>,
) -> PyResult<Header> {
    if let Some((name, _)) = unknown.and_then(|unknown| unknown.iter().next()) {
        return Err(names::unknown(kind, &name.extract::<String>()?));
    }
    let mut inner = wire::Header::new(kind);
    set_all(&mut inner, arguments)?;
    Ok(Header { inner })
}

/// Text that evaluates to an equal header.
pub(crate) fn repr(py: Python<'_>, inner: &wire::Header) -> PyResult<String> {
    let kind = inner.kind();
    let mut rebuilt = wire::Header::new(kind);
    let mut text = format!("{kind}(");
    for (index, field) in inner.spec().fields.iter().enumerate().filter(|(index, _)| is_told(inner, *index)) {
        if inner.is_auto(index) || inner.get_at(index) == Value::Absent {
            continue;
        }
        if !field.auto && rebuilt.get_at(index) == inner.get_at(index) {
            continue;
        }
        let mut value = inner.get_at(index);
        if rebuilt.set_at(index, value.clone()).is_err() || !same_bytes(&rebuilt, inner, index) {
            let Some(raw) = field_bytes(inner, index) else { continue };
            value = Value::Bytes(raw);
            if rebuilt.set_at(index, value.clone()).is_err() {
                continue;
            }
        }
        let value = convert::to_python(py, field, value)?;
        let comma = if text.ends_with('(') { "" } else { ", " };
        text.push_str(&format!("{comma}{}={}", field.name, value.bind(py).repr()?));
    }
    if rebuilt == *inner {
        return Ok(text + ")");
    }
    let bytes = PyBytes::new(py, inner.as_bytes()).repr()?;
    Ok(match inner.auto_bits() {
        0 if wire::Header::parse(kind, inner.as_bytes()).as_ref() == Ok(inner) => {
            format!("{kind}.parse({bytes})")
        }
        auto => format!("{kind}._restore({bytes}, {auto})"),
    })
}

/// True for the fields that `repr` tells: those of the table, and for one of which a part is left to emission its parts.
fn is_told(header: &wire::Header, index: usize) -> bool {
    let fields = header.spec().fields;
    let place = |index: usize| fields[index].locate(header.as_bytes());
    let overlap = |left: usize, right: usize| match (place(left), place(right)) {
        (Some((left, len)), Some((right, width))) => left < right + width && right < left + len,
        _ => false,
    };
    let parted = |index: usize| {
        let mut parts = (0..fields.len()).filter(|part| fields[*part].alias && header.is_auto(*part));
        parts.any(|part| overlap(part, index))
    };
    match fields[index].alias {
        true => (0..fields.len()).any(|whole| !fields[whole].alias && overlap(whole, index) && parted(whole)),
        false => !parted(index),
    }
}

fn field_bytes(header: &wire::Header, index: usize) -> Option<Vec<u8>> {
    let (offset, len) = header.spec().fields[index].locate(header.as_bytes())?;
    Some(header.as_bytes().get(offset / 8..(offset + len) / 8)?.to_vec())
}

fn same_bytes(left: &wire::Header, right: &wire::Header, index: usize) -> bool {
    let variable =
        matches!(left.spec().fields[index].position, wire::Position::Tail(_) | wire::Position::Range(_));
    !variable || field_bytes(left, index) == field_bytes(right, index)
}

pub(crate) fn to_error_py(error: wire::HeaderError) -> PyErr {
    Python::attach(|py| to_error(py, error))
}

/// The Python exception of a header error.
pub(crate) fn to_error(py: Python<'_>, error: wire::HeaderError) -> PyErr {
    use wire::HeaderError as E;
    let message = error.to_string();
    match error {
        E::WrongType { .. } | E::UnknownField { .. } => PyTypeError::new_err(message),
        E::Truncated { kind, offset, need, have } => {
            let number = |value: usize| Some(value as u64);
            let place =
                ParsePlace { frame: None, offset: number(offset), need: number(need), have: number(have) };
            layer_error(py, &message, kind.name(), place)
        }
        E::OutOfRange { kind, field, .. }
        | E::Misread { kind, field, .. }
        | E::Absent { kind, field }
        | E::BadOption { kind, field, .. }
        | E::TooLong { kind, field, .. }
        | E::Unpadded { kind, field, .. }
        | E::Underdetermined { kind, field, .. } => field_error(py, &message, kind.name(), field),
        _ => field_error(py, &message, "", ""),
    }
}

/// Header objects from a tuple of the classes.
pub(crate) fn wrap_all<'py>(py: Python<'py>, headers: &[wire::Header]) -> PyResult<Bound<'py, PyTuple>> {
    let wrapped: PyResult<Vec<_>> = headers.iter().map(|header| classes::wrap(py, header.clone())).collect();
    PyTuple::new(py, wrapped?)
}

pub(crate) use classes::wrap;
pub(crate) use convert::{bytes_of, to_python};
pub(crate) use names::no_packet_attribute;
