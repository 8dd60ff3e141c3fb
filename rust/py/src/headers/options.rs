//! Options, chunks, tags and records between Python and Rust.
//!
//! An option by its name is checked against the shape of its data; one by its number takes any bytes, so that what is
//! wrong can be built, too, and what was captured can be written as it was read.
use std::net::{IpAddr, Ipv6Addr};

use netfast_wire::HeaderKind;
use netfast_wire::header::options::{self, FIRST_POINTER, OptionSpec, Shape};
use netfast_wire::header::{FieldSpec, HeaderError, Opt, OptionSpace, OptionValue, mac_text};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::convert::{address, any_address, bytes_of, is_buffer, mac};
use super::to_error_py;
use crate::errors::field_error;

/// Options from a list of `(name, value)` pairs and of names without data, or a dictionary.
pub(super) fn list(
    kind: HeaderKind,
    field: &FieldSpec,
    space: OptionSpace,
    object: &Bound<'_, PyAny>,
) -> PyResult<Vec<Opt>> {
    let expected = "a list of (name, value) pairs, a dict of these, or bytes";
    let wrong = || to_error_py(HeaderError::WrongType { kind, field: field.name, expected });
    if object.is_instance_of::<PyString>() {
        return Err(wrong());
    }
    let items = match object.cast::<PyDict>() {
        Ok(items) => items.items().into_any(),
        Err(_) => object.clone(),
    };
    let place = Place { kind, field: field.name, space };
    items.try_iter().map_err(|_| wrong())?.map(|item| place.option(&item?)).collect()
}

/// Characters of a value that an error shows.
const LONGEST_VALUE: usize = 100;

/// Where options stand, for errors.
struct Place {
    kind: HeaderKind,
    field: &'static str,
    space: OptionSpace,
}

impl Place {
    fn error(&self, py: Python<'_>, message: &str) -> PyErr {
        let message = format!("{}.{}: {message}", self.kind, self.field);
        field_error(py, &message, self.kind.name(), self.field)
    }

    /// One option: `(name, value)`, `(name,)`, or the name of one without data.
    fn option(&self, item: &Bound<'_, PyAny>) -> PyResult<Opt> {
        let py = item.py();
        let (key, value) = match item.cast::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => (pair.get_item(0)?, Some(pair.get_item(1)?)),
            Ok(single) if single.len() == 1 => (single.get_item(0)?, None),
            Ok(_) => {
                let text = format!("{} is no option: give (name, value)", item.repr()?);
                return Err(self.error(py, &text));
            }
            Err(_) => (item.clone(), None),
        };
        let named = key.is_instance_of::<PyString>();
        let code = self.code(&key)?;
        let spec = options::spec(self.space, code);
        let opt = match value.as_ref().filter(|value| !value.is_none()) {
            Some(value) => self.filled(code, spec, named, value)?,
            None => {
                let bare = value.is_none() && spec.is_some_and(|spec| spec.shape == Shape::Bytes);
                let empty = match self.space {
                    OptionSpace::Sctp if value.is_some() => OptionValue::Flagged(0, Vec::new()),
                    _ => OptionValue::Empty,
                };
                Some(Opt::new(code, empty)).filter(|_| !bare)
            }
        };
        let problem = match &opt {
            Some(opt) => options::check(self.space, opt).err(),
            None => Some("this kind takes bytes"),
        };
        match (opt, problem) {
            (Some(opt), None) => Ok(opt),
            (_, problem) => Err(self.refused(&key, value.as_ref(), spec, named, problem.unwrap_or_default())),
        }
    }

    /// The error of a value that the option does not take.
    fn refused(
        &self,
        key: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        spec: Option<&OptionSpec>,
        named: bool,
        problem: &str,
    ) -> PyErr {
        let name = key.str().map(|name| name.to_string()).unwrap_or_default();
        let text = |value: &Bound<'_, PyAny>| value.repr().map(|text| text.to_string()).unwrap_or_default();
        let given = match value.map(|value| (text(value), value)) {
            None => "given without a value".into(),
            Some((text, value)) if text.len() > LONGEST_VALUE && is_buffer(value) => {
                format!("is {} bytes long", value.len().unwrap_or_default())
            }
            Some((text, _)) => format!("is {}", text.chars().take(LONGEST_VALUE).collect::<String>()),
        };
        let remedy = match spec.map(|spec| (spec, options::takes(self.space, spec))) {
            Some((_, takes)) if takes == "None" => "it carries nothing: give None".into(),
            Some((spec, takes)) if named && takes != "bytes" => {
                format!("it takes {takes}; ({}, b'...') takes any bytes", spec.code)
            }
            _ => problem.to_string(),
        };
        self.error(key.py(), &format!("{name} {given}; {remedy}"))
    }

    /// An option's kind from its name or number.
    fn code(&self, key: &Bound<'_, PyAny>) -> PyResult<u32> {
        let Ok(name) = key.extract::<&str>() else {
            return key.extract::<u32>().map_err(|_| {
                let given = key.repr().map(|text| text.to_string()).unwrap_or_default();
                self.error(
                    key.py(),
                    &format!("{given} is no option: give (name, value), or a number for the name"),
                )
            });
        };
        options::code(self.space, name).ok_or_else(|| {
            let known: Vec<_> = options::table(self.space).iter().map(|spec| spec.name).collect();
            let hint = super::names::similar(name, known.iter().copied());
            let hint = hint.map_or_else(String::new, |hint| format!("; did you mean {hint:?}?"));
            let known = if known.is_empty() { "numbers only".into() } else { known.join(", ") };
            self.error(key.py(), &format!("there is no option {name:?}{hint}; known are: {known}"))
        })
    }

    /// An option with data; `None` when the data is not what its kind takes.
    fn filled(
        &self,
        code: u32,
        spec: Option<&'static OptionSpec>,
        named: bool,
        object: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Opt>> {
        let shape = spec.map_or(Shape::Bytes, |spec| spec.shape);
        if !is_buffer(object) {
            return Ok(value(self.space, code, shape, object)?.map(|value| Opt::new(code, value)));
        }
        let bytes = bytes_of(object)?.into_owned();
        let value = match (shape, self.space) {
            _ if code == options::RAW => OptionValue::Bytes(bytes),
            (_, OptionSpace::Sctp) => OptionValue::Flagged(0, bytes),
            (Shape::Bytes, _) => OptionValue::Bytes(bytes),
            _ => options::shaped(self.space, shape, &bytes),
        };
        let unshaped =
            shape != Shape::Bytes && code != options::RAW && matches!(value, OptionValue::Bytes(_));
        Ok(Some(Opt::new(code, value)).filter(|_| !(named && unshaped)))
    }
}

/// What an option carries; `None` when the object is not of its shape.
fn value(
    space: OptionSpace,
    code: u32,
    shape: Shape,
    object: &Bound<'_, PyAny>,
) -> PyResult<Option<OptionValue>> {
    if code == options::RAW {
        return Ok(None);
    }
    if space == OptionSpace::Sctp {
        let parts = object.extract::<(u8, Bound<'_, PyAny>)>().ok().filter(|(_, body)| is_buffer(body));
        return parts
            .map(|(flags, body)| Ok(OptionValue::Flagged(flags, bytes_of(&body)?.into_owned())))
            .transpose();
    }
    if matches!(space, OptionSpace::Mld | OptionSpace::Igmp) {
        return record(object);
    }
    Ok(match shape {
        Shape::Uint(_) | Shape::Zeros | Shape::Jumbo => object.extract().ok().map(OptionValue::Uint),
        Shape::Int(_) => object.extract().ok().map(OptionValue::Int),
        Shape::Fields(_) | Shape::Pairs(_) => object.extract().ok().map(OptionValue::Numbers),
        Shape::Reserved => match object.extract::<u64>() {
            Ok(number) => Some(OptionValue::Uint(number)),
            Err(_) => object.extract().ok().map(OptionValue::Numbers),
        },
        Shape::Route => addresses(object, 4, Some(FIRST_POINTER))?,
        Shape::Servers => addresses(object, 16, None)?,
        Shape::Address => address(object, 16)?.map(OptionValue::Address),
        Shape::Mac => mac(object).map(OptionValue::Mac),
        Shape::Prefix => prefix(object)?,
        _ => None,
    })
}

/// `(number, [addresses])` or `(number, address)`, or the addresses alone where the number has a default.
fn addresses(object: &Bound<'_, PyAny>, width: usize, default: Option<u64>) -> PyResult<Option<OptionValue>> {
    let (number, list) = match (object.extract::<(u64, Bound<'_, PyAny>)>(), default) {
        (Ok(parts), _) => parts,
        (Err(_), Some(default)) => (default, object.clone()),
        (Err(_), None) => return Ok(None),
    };
    if let Some(single) = address(&list, width)? {
        return Ok(Some(OptionValue::Addresses(number, vec![single])));
    }
    if list.is_instance_of::<PyString>() {
        return Ok(None);
    }
    let Ok(items) = list.try_iter() else { return Ok(None) };
    let list: Option<Vec<IpAddr>> = items.map(|item| address(&item?, width)).collect::<PyResult<_>>()?;
    Ok(list.map(|list| OptionValue::Addresses(number, list)))
}

/// `(group, sources)` or `(group, sources, auxiliary)`; a group alone has no sources.
fn record(object: &Bound<'_, PyAny>) -> PyResult<Option<OptionValue>> {
    if let Some(group) = any_address(object) {
        return Ok(Some(OptionValue::Record(group, Vec::new(), Vec::new())));
    }
    let Some(parts) = object.cast::<PyTuple>().ok().filter(|parts| (2..=3).contains(&parts.len())) else {
        return Ok(None);
    };
    let group = any_address(&parts.get_item(0)?);
    let sources = match parts.get_item(1)?.try_iter() {
        Ok(items) => items.map(|source| Ok(any_address(&source?))).collect::<PyResult<Option<Vec<_>>>>()?,
        Err(_) => None,
    };
    let auxiliary = match parts.len() {
        3 => bytes_of(&parts.get_item(2)?).map(|bytes| bytes.into_owned()).ok(),
        _ => Some(Vec::new()),
    };
    Ok(group
        .zip(sources)
        .zip(auxiliary)
        .map(|((group, sources), auxiliary)| OptionValue::Record(group, sources, auxiliary)))
}

/// `("2001:db8::/64", flags, valid, preferred)`, and a fifth item for reserved bits.
fn prefix(object: &Bound<'_, PyAny>) -> PyResult<Option<OptionValue>> {
    let Some(parts) = object.cast::<PyTuple>().ok().filter(|parts| (4..=5).contains(&parts.len())) else {
        return Ok(None);
    };
    let text = parts.get_item(0)?.str()?;
    let network = text.to_str()?.split_once('/').and_then(|(address, len)| {
        let len = len.parse().ok().filter(|len: &u8| *len <= 128)?;
        Some((address.parse::<Ipv6Addr>().ok()?.octets(), len))
    });
    let flags = parts.get_item(1)?.extract::<u8>().ok();
    let word = |index: usize| -> PyResult<Option<u32>> { Ok(parts.get_item(index)?.extract().ok()) };
    let (valid, preferred) = (word(2)?, word(3)?);
    let reserved = if parts.len() == 5 { word(4)? } else { Some(0) };
    let lifetimes = valid.zip(preferred).zip(reserved);
    Ok(network.zip(flags).zip(lifetimes).map(|(((prefix, len), flags), ((valid, preferred), reserved))| {
        OptionValue::Prefix { prefix, len, flags, valid, preferred, reserved }
    }))
}

/// An option as Python has it: its name or, where it has none or its data is not of its form, its number; and its data.
pub(super) fn to_python<'py>(
    py: Python<'py>,
    space: OptionSpace,
    opt: &Opt,
) -> PyResult<Bound<'py, PyTuple>> {
    let shaped = options::spec(space, opt.code).is_some_and(|spec| spec.shape != Shape::Bytes);
    let malformed = shaped && matches!(opt.value, OptionValue::Bytes(_));
    let key = match options::name(space, opt.code).filter(|_| !malformed) {
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
        OptionValue::Addresses(number, list) => {
            let list: Vec<_> = list.iter().map(ToString::to_string).collect();
            (number, list).into_bound_py_any(py)?
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
