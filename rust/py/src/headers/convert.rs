//! Field values between Python and Rust.
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netfast_wire::HeaderKind;
use netfast_wire::header::names::TCP_FLAG_NAMES;
use netfast_wire::header::options::{self, Shape};
use netfast_wire::header::{
    FieldSpec, FieldType, HeaderError, Opt, OptionSpace, OptionValue, Value, mac_text,
};
use pyo3::IntoPyObjectExt;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyInt, PyList, PyString, PyTuple};

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
        FieldType::Mac => Value::Mac(
            mac(object).ok_or_else(|| wrong("a hardware address such as '02:00:00:00:00:01', or 6 bytes"))?,
        ),
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
            Value::Options(option_list(kind, field, space, object)?)
        }
    })
}

fn is_buffer(object: &Bound<'_, PyAny>) -> bool {
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
    if object.is_instance_of::<PyString>() || object.is_instance_of::<PyInt>() {
        let given = object.repr().map(|text| text.to_string()).unwrap_or_default();
        let message = format!("{kind}.{} takes {expected}, not {given}", field.name);
        return field_error(object.py(), &message, kind.name(), field.name);
    }
    to_error_py(HeaderError::WrongType { kind, field: field.name, expected })
}

fn number(kind: HeaderKind, field: &FieldSpec, object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(number) = object.extract::<u64>() {
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

fn mac(object: &Bound<'_, PyAny>) -> Option<[u8; 6]> {
    if let Ok(text) = object.extract::<&str>() {
        let mut address = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut address {
            let part = parts.next().filter(|part| (1..=2).contains(&part.len()))?;
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
fn address(object: &Bound<'_, PyAny>, width: usize) -> PyResult<Option<IpAddr>> {
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
fn any_address(object: &Bound<'_, PyAny>) -> Option<IpAddr> {
    address(object, 16).ok().flatten().or_else(|| address(object, 4).ok().flatten())
}

fn option_list(
    kind: HeaderKind,
    field: &FieldSpec,
    space: OptionSpace,
    object: &Bound<'_, PyAny>,
) -> PyResult<Vec<Opt>> {
    let expected = "a list of (name, value) pairs, or bytes";
    let wrong = || to_error_py(HeaderError::WrongType { kind, field: field.name, expected });
    if object.is_instance_of::<PyString>() {
        return Err(wrong());
    }
    let mut list = Vec::new();
    for item in object.try_iter().map_err(|_| wrong())? {
        let item = item?;
        let (key, value) = match item.cast::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => (pair.get_item(0)?, Some(pair.get_item(1)?)),
            Ok(single) if single.len() == 1 => (single.get_item(0)?, None),
            Ok(_) => return Err(wrong()),
            Err(_) => (item.clone(), None),
        };
        let code = match key.extract::<&str>() {
            Ok(name) => options::code(space, name).ok_or_else(|| {
                let known: Vec<_> = options::table(space).iter().map(|spec| spec.name).collect();
                let known = if known.is_empty() { "a number".into() } else { known.join(", ") };
                let message = format!("{kind}.{} has no option {name:?}; known are: {known}", field.name);
                field_error(object.py(), &message, kind.name(), field.name)
            })?,
            Err(_) => key.extract::<u32>().map_err(|_| wrong())?,
        };
        let value = value.filter(|value| !value.is_none());
        let value = match value {
            None => OptionValue::Empty,
            Some(value) => option_value(space, code, &value)?,
        };
        list.push(Opt::new(code, value));
    }
    Ok(list)
}

fn option_value(space: OptionSpace, code: u32, object: &Bound<'_, PyAny>) -> PyResult<OptionValue> {
    let shape = options::spec(space, code).map_or(Shape::Bytes, |spec| spec.shape);
    let flagged = space == OptionSpace::Sctp && code != options::RAW;
    if is_buffer(object) {
        let bytes = bytes_of(object)?.into_owned();
        return Ok(if flagged { OptionValue::Flagged(0, bytes) } else { OptionValue::Bytes(bytes) });
    }
    if let (Shape::Int(_), Ok(number)) = (shape, object.extract::<i64>()) {
        return Ok(OptionValue::Int(number));
    }
    if let Ok(number) = object.extract::<u64>() {
        return Ok(OptionValue::Uint(number));
    }
    if flagged {
        let (flags, body): (u8, Bound<'_, PyAny>) = object.extract()?;
        return Ok(OptionValue::Flagged(flags, bytes_of(&body)?.into_owned()));
    }
    if matches!(space, OptionSpace::Mld | OptionSpace::Igmp) {
        return record(object);
    }
    match shape {
        Shape::Mac => {
            if let Some(address) = mac(object) {
                return Ok(OptionValue::Mac(address));
            }
        }
        Shape::Prefix => return prefix(object),
        _ => {}
    }
    if let Some(address) = any_address(object) {
        return Ok(OptionValue::Address(address));
    }
    if let Ok(numbers) = object.extract::<Vec<u64>>() {
        return Ok(OptionValue::Numbers(numbers));
    }
    let given = object.repr()?;
    Err(PyTypeError::new_err(format!(
        "an option takes None, a number, a tuple of numbers, an address or bytes, not {given}"
    )))
}

/// `(group, sources)` or `(group, sources, auxiliary)`; a group alone has no sources.
fn record(object: &Bound<'_, PyAny>) -> PyResult<OptionValue> {
    let no_address = |object: &Bound<'_, PyAny>| {
        let given = object.repr().map(|text| text.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("a record takes (group, sources) of addresses, not {given}"))
    };
    if let Some(group) = any_address(object) {
        return Ok(OptionValue::Record(group, Vec::new(), Vec::new()));
    }
    let parts = object.cast::<PyTuple>().map_err(|_| no_address(object))?;
    if !(2..=3).contains(&parts.len()) {
        return Err(no_address(object));
    }
    let group = any_address(&parts.get_item(0)?).ok_or_else(|| no_address(object))?;
    let mut sources = Vec::new();
    for source in parts.get_item(1)?.try_iter()? {
        sources.push(any_address(&source?).ok_or_else(|| no_address(object))?);
    }
    let auxiliary = match parts.len() {
        3 => bytes_of(&parts.get_item(2)?)?.into_owned(),
        _ => Vec::new(),
    };
    Ok(OptionValue::Record(group, sources, auxiliary))
}

/// `("2001:db8::/64", flags, valid, preferred)`, and a fifth item for reserved bits.
fn prefix(object: &Bound<'_, PyAny>) -> PyResult<OptionValue> {
    let wrong =
        || PyTypeError::new_err("prefix_information takes ('2001:db8::/64', flags, valid, preferred)");
    let parts = object.cast::<PyTuple>().map_err(|_| wrong())?;
    if !(4..=5).contains(&parts.len()) {
        return Err(wrong());
    }
    let text = parts.get_item(0)?.str()?;
    let (address, len) = text.to_str()?.split_once('/').ok_or_else(wrong)?;
    Ok(OptionValue::Prefix {
        prefix: address.parse::<Ipv6Addr>().map_err(|_| wrong())?.octets(),
        len: len.parse().map_err(|_| wrong())?,
        flags: parts.get_item(1)?.extract()?,
        valid: parts.get_item(2)?.extract()?,
        preferred: parts.get_item(3)?.extract()?,
        reserved: if parts.len() == 5 { parts.get_item(4)?.extract()? } else { 0 },
    })
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
            let items: PyResult<Vec<_>> = list.iter().map(|opt| option(py, space, opt)).collect();
            Ok(PyList::new(py, items?)?.into_any().unbind())
        }
        _ => Ok(py.None()),
    }
}

fn option<'py>(py: Python<'py>, space: OptionSpace, opt: &Opt) -> PyResult<Bound<'py, PyTuple>> {
    let key = match options::name(space, opt.code) {
        Some(name) => name.into_bound_py_any(py)?,
        None => opt.code.into_bound_py_any(py)?,
    };
    let value = match &opt.value {
        OptionValue::Empty => py.None().into_bound(py),
        OptionValue::Uint(number) => number.into_bound_py_any(py)?,
        OptionValue::Int(number) => number.into_bound_py_any(py)?,
        OptionValue::Numbers(numbers) => PyTuple::new(py, numbers)?.into_any(),
        OptionValue::Address(address) => address.to_string().into_bound_py_any(py)?,
        OptionValue::Mac(address) => mac_text(address).into_bound_py_any(py)?,
        OptionValue::Record(group, sources, auxiliary) => {
            let sources: Vec<_> = sources.iter().map(ToString::to_string).collect();
            match auxiliary.is_empty() {
                true => (group.to_string(), sources).into_bound_py_any(py)?,
                false => (group.to_string(), sources, PyBytes::new(py, auxiliary)).into_bound_py_any(py)?,
            }
        }
        OptionValue::Prefix { prefix, len, flags, valid, preferred, reserved } => {
            let text = format!("{}/{len}", Ipv6Addr::from(*prefix));
            match reserved {
                0 => (text, flags, valid, preferred).into_bound_py_any(py)?,
                _ => (text, flags, valid, preferred, reserved).into_bound_py_any(py)?,
            }
        }
        OptionValue::Flagged(flags, body) => (flags, PyBytes::new(py, body)).into_bound_py_any(py)?,
        OptionValue::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        _ => py.None().into_bound(py),
    };
    PyTuple::new(py, [key, value])
}
