//! Raises netfast's exceptions. They are Python classes (the limited API has no native subclasses of built-in
//! exceptions), looked up once and kept.
use crate::node::Problem;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyType};

const MODULE: &str = "netfast.errors";

/// An exception of `class` with a message and attributes; when even that fails, the error that stopped it.
fn raise(
    py: Python<'_>,
    class: &PyOnceLock<Py<PyType>>,
    name: &str,
    message: &str,
    attributes: Attributes<'_>,
) -> PyErr {
    let build = || {
        let keywords = PyDict::new(py);
        for (key, value) in attributes {
            if let Some(number) = value {
                keywords.set_item(key, number)?;
            }
        }
        class.import(py, MODULE, name)?.call((message,), Some(&keywords))
    };
    build().map_or_else(|error| error, PyErr::from_value)
}

type Attributes<'a> = &'a [(&'a str, Option<u64>)];

/// `netfast.ParseError`: bytes that are not what they should be, with the frame (from 1) and the byte offset in the
/// file or packet where they stand, and how many bytes were needed and there.
#[allow(dead_code, reason = "each area of the binding uses those that it needs")]
pub fn parse_error(py: Python<'_>, message: &str, attributes: ParsePlace) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let ParsePlace { frame, offset, need, have } = attributes;
    let attributes = [("frame", frame), ("offset", offset), ("need", need), ("have", have)];
    raise(py, &CLASS, "ParseError", message, &attributes)
}

/// Where a [`parse_error`] is.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParsePlace {
    /// Number of the packet in its capture, from 1.
    pub frame: Option<u64>,
    /// Byte offset in the file or the packet.
    pub offset: Option<u64>,
    /// Bytes that were needed there.
    pub need: Option<u64>,
    /// Bytes that were there.
    pub have: Option<u64>,
}

/// `netfast.ConfigError`: an argument or a combination of arguments that cannot be.
#[allow(dead_code, reason = "each area of the binding uses those that it needs")]
pub fn config_error(py: Python<'_>, message: &str) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    raise(py, &CLASS, "ConfigError", message, &[])
}

/// [`config_error`] with the name of the argument that it is about, which also stands in `option`.
#[allow(dead_code, reason = "each area of the binding uses those that it needs")]
pub fn option_error(py: Python<'_>, option: &str, message: &str) -> PyErr {
    let error = config_error(py, message);
    // Without the attribute the error still says everything in its text.
    let _ = error.value(py).setattr("option", option);
    error
}

/// [`config_error`] of a text, with file, line and column where they are known.
pub fn placed_error(py: Python<'_>, problem: &Problem) -> PyErr {
    let error = config_error(py, &problem.to_string());
    let value = error.value(py);
    // Without the attributes the error still says everything in its text.
    let _ = value.setattr("file", problem.file.as_deref());
    let _ = value.setattr("line", problem.place.map(|place| place.line));
    let _ = value.setattr("column", problem.place.map(|place| place.column));
    error
}

/// A number that an argument is; the error names the argument and says what it takes.
#[allow(dead_code, reason = "each area of the binding uses those that it needs")]
pub fn number_of<T: TryFrom<u64>>(object: &Bound<'_, PyAny>, option: &str, takes: &str) -> PyResult<T> {
    let number = object.extract::<u64>().ok().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| {
        let given = object.repr().map(|text| text.to_string()).unwrap_or_default();
        let message = format!("{option}={given}: give {takes}");
        match object.is_instance_of::<PyInt>() {
            true => option_error(object.py(), option, &message),
            false => PyTypeError::new_err(message),
        }
    })
}

/// `netfast.ResourceError`: a named limit was reached.
#[allow(dead_code, reason = "each area of the binding uses those that it needs")]
pub fn resource_error(py: Python<'_>, message: &str, limit: Option<u64>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    raise(py, &CLASS, "ResourceError", message, &[("limit", limit)])
}

/// `netfast.FieldError`: a header's field cannot have or be given a value.
#[allow(dead_code, reason = "each area of the binding uses those that it needs")]
pub fn field_error(py: Python<'_>, message: &str, header: &str, field: &str) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let build = || {
        let keywords = PyDict::new(py);
        keywords.set_item("header", header)?;
        keywords.set_item("field", field)?;
        CLASS.import(py, MODULE, "FieldError")?.call((message,), Some(&keywords))
    };
    build().map_or_else(|error| error, PyErr::from_value)
}

/// [`parse_error`] with the name of the header that it is about.
#[allow(dead_code, reason = "each area of the binding uses those that it needs")]
pub fn layer_error(py: Python<'_>, message: &str, layer: &str, place: ParsePlace) -> PyErr {
    let error = parse_error(py, message, place);
    // Without the attribute the error still says everything in its text.
    let _ = error.value(py).setattr("layer", layer);
    error
}
