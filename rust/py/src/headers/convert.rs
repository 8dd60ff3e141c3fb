//! Field values between Python and Rust.
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netfast_wire::HeaderKind;
use netfast_wire::header::names::TCP_FLAG_NAMES;
use netfast_wire::header::{FieldSpec, FieldType, HeaderError, Value, mac_text};
use pyo3::IntoPyObjectExt;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyInt, PyList, PyString};

use super::to_error_py;
use crate::errors::field_error;

/// The bytes of a `bytes`, `bytearray` or other buffer of octets; only what may change is copied.
pub(crate) fn bytes_of<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Cow::Borrowed(bytes.as_bytes()));
    }
    if let Ok(bytes) = object.cast::<PyByteArray>() {
        return Ok(Cow::Owned(bytes.to_vec()));
    }
    let buffer = PyBuffer::<u8>::get(object)?;
    Ok(Cow::Owned(buffer.to_vec(object.py())?))
}

/// A field's value from what the caller gave.
pub(super) fn from_python(kind: HeaderKind, field: &FieldSpec, object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if object.is_none() {
        return Ok(Value::Auto);
    }
    let wrong = |expected| to_error_py(HeaderError::WrongType { kind, field: field.name, expected });
    Ok(match field.ty {
        FieldType::Uint | FieldType::Flag => number(kind, field, object)?,
        FieldType::Mac => {
            let expected = "a hardware address such as '02:00:00:00:00:01', or 6 bytes";
            Value::Mac(mac(object).ok_or_else(|| address_error(kind, field, object, expected))?)
        }
        FieldType::Ipv4 => match address(object, 4)? {
            Some(IpAddr::V4(address)) => Value::Ipv4(address),
            _ => return Err(address_error(kind, field, object, "an IPv4 address such as '192.0.2.1'")),
        },
        FieldType::Ipv6 => match address(object, 16)? {
            Some(IpAddr::V6(address)) => Value::Ipv6(address),
            _ => return Err(address_error(kind, field, object, "an IPv6 address such as '2001:db8::1'")),
        },
        FieldType::Bytes => Value::Bytes(bytes_of(object).map_err(|_| wrong("bytes"))?.into_owned()),
        FieldType::Addresses | FieldType::Addresses4 => {
            if is_buffer(object) {
                return Ok(Value::Bytes(bytes_of(object)?.into_owned()));
            }
            let width = if field.ty == FieldType::Addresses { 16 } else { 4 };
            let expected = "a list of addresses, or bytes";
            let items = object.try_iter().map_err(|_| wrong(expected))?;
            let mut list = Vec::new();
            for item in items {
                let item = item?;
                let error = || address_error(kind, field, &item, expected);
                list.push(address(&item, width)?.ok_or_else(error)?);
            }
            Value::Addresses(list)
        }
        FieldType::Options(space) => {
            if is_buffer(object) {
                return Ok(Value::Bytes(bytes_of(object)?.into_owned()));
            }
            Value::Options(super::options::list(kind, field, space, object)?)
        }
    })
}

pub(super) fn is_buffer(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyBytes>()
        || object.is_instance_of::<PyByteArray>()
        || object.is_instance_of::<pyo3::types::PyMemoryView>()
}

/// A well-formed argument of the right type that is no address: a `ValueError`; another type: a `TypeError`.
fn address_error(
    kind: HeaderKind,
    field: &FieldSpec,
    object: &Bound<'_, PyAny>,
    expected: &'static str,
) -> PyErr {
    if object.is_instance_of::<PyString>() || object.is_instance_of::<PyInt>() || is_buffer(object) {
        let given = object.repr().map(|text| text.to_string()).unwrap_or_default();
        let message = format!("{kind}.{} takes {expected}, not {given}", field.name);
        return field_error(object.py(), &message, kind.name(), field.name);
    }
    to_error_py(HeaderError::WrongType { kind, field: field.name, expected })
}

fn number(kind: HeaderKind, field: &FieldSpec, object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(number) = object.extract::<u64>() {
        if field.times8 && number % 8 != 0 {
            let message = format!("{kind}.{} is {number}; it counts bytes in multiples of 8", field.name);
            return Err(field_error(object.py(), &message, kind.name(), field.name));
        }
        return Ok(Value::Uint(number));
    }
    if let (Ok(text), "flags", HeaderKind::Tcp) = (object.extract::<&str>(), field.name, kind) {
        return tcp_flags(text).map(Value::Uint).ok_or_else(|| {
            let message =
                format!("TCP.flags is {text:?}; use letters of FSRPAUECN, as 'SA', or names, as 'SYN|ACK'");
            field_error(object.py(), &message, kind.name(), field.name)
        });
    }
    if object.is_instance_of::<PyInt>() {
        let message = format!("{kind}.{} is {}; allowed are 0 to {}", field.name, object.str()?, field.max());
        return Err(field_error(object.py(), &message, kind.name(), field.name));
    }
    Err(to_error_py(HeaderError::WrongType { kind, field: field.name, expected: "a number" }))
}

/// `"SA"`, `"SYN|ACK"` or `"SYN, ACK"`.
fn tcp_flags(text: &str) -> Option<u64> {
    const LETTERS: &str = "FSRPAUECN";
    let bit = |name: &str| TCP_FLAG_NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
    let names: Option<Vec<usize>> =
        text.split(['|', ',', ' ']).filter(|name| !name.is_empty()).map(bit).collect();
    let bits = names.or_else(|| text.chars().map(|letter| LETTERS.find(letter)).collect());
    bits.map(|bits| bits.iter().fold(0, |flags, bit| flags | 1 << bit))
}

pub(super) fn mac(object: &Bound<'_, PyAny>) -> Option<[u8; 6]> {
    if let Ok(text) = object.extract::<&str>() {
        let mut address = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut address {
            // `from_str_radix` takes a sign, which is no digit.
            let digits = |part: &&str| part.bytes().all(|digit| digit.is_ascii_hexdigit());
            let part = parts.next().filter(|part| (1..=2).contains(&part.len())).filter(digits)?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        return parts.next().is_none().then_some(address);
    }
    if let Ok(number) = object.extract::<u64>() {
        return number.to_be_bytes()[2..].try_into().ok().filter(|_| number >> 48 == 0);
    }
    bytes_of(object).ok()?.as_ref().try_into().ok()
}

/// An address of `width` bytes from text, bytes, a number or an `ipaddress` object; `None` when it is none.
pub(super) fn address(object: &Bound<'_, PyAny>, width: usize) -> PyResult<Option<IpAddr>> {
    if let Ok(text) = object.cast::<PyString>() {
        let text = text.to_str()?;
        return Ok(match width {
            4 => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            _ => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        });
    }
    if object.is_instance_of::<PyInt>() && !object.is_instance_of::<PyBool>() {
        return Ok(match width {
            4 => object.extract::<u32>().ok().map(|number| Ipv4Addr::from(number).into()),
            _ => object.extract::<u128>().ok().map(|number| Ipv6Addr::from(number).into()),
        });
    }
    let octets: Vec<u8> = if is_buffer(object) {
        bytes_of(object)?.into_owned()
    } else {
        match object.getattr_opt("packed")? {
            Some(packed) => packed.extract()?,
            None => return Ok(None),
        }
    };
    let wide = <[u8; 16]>::try_from(&octets[..]).ok().filter(|_| width == 16);
    let narrow = <[u8; 4]>::try_from(&octets[..]).ok().filter(|_| width == 4);
    Ok(wide
        .map(|octets| Ipv6Addr::from(octets).into())
        .or(narrow.map(|octets| Ipv4Addr::from(octets).into())))
}

/// An address of either version.
pub(super) fn any_address(object: &Bound<'_, PyAny>) -> Option<IpAddr> {
    address(object, 16).ok().flatten().or_else(|| address(object, 4).ok().flatten())
}

/// What Python sees of a field's value; `None` for what emission fills in.
pub(crate) fn to_python(py: Python<'_>, field: &FieldSpec, value: Value) -> PyResult<Py<PyAny>> {
    match value {
        Value::Uint(number) => number.into_py_any(py),
        Value::Flag(flag) => flag.into_py_any(py),
        Value::Mac(address) => mac_text(&address).into_py_any(py),
        Value::Ipv4(address) => address.to_string().into_py_any(py),
        Value::Ipv6(address) => address.to_string().into_py_any(py),
        Value::Bytes(bytes) => Ok(PyBytes::new(py, &bytes).into_any().unbind()),
        Value::Addresses(list) => {
            let list: Vec<_> = list.iter().map(ToString::to_string).collect();
            list.into_py_any(py)
        }
        Value::Options(list) => {
            let FieldType::Options(space) = field.ty else { return Ok(py.None()) };
            let items: PyResult<Vec<_>> =
                list.iter().map(|opt| super::options::to_python(py, space, opt)).collect();
            Ok(PyList::new(py, items?)?.into_any().unbind())
        }
        _ => Ok(py.None()),
    }
}
