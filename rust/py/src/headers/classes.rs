//! One Python class for each header, made from the tables of `netfast_wire`.
#![allow(clippy::upper_case_acronyms, reason = "the classes are named as the protocols are")]
use netfast_wire::HeaderKind;
use netfast_wire::header::{self as wire, FieldSpec, Value, field_index, link, network, transport};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyType};

use super::{Header, build, convert};

/// The Python object of a header of any kind.
pub(crate) fn wrap(py: Python<'_>, inner: wire::Header) -> PyResult<Bound<'_, PyAny>> {
    wrap_link(py, inner)
        .or_else(|inner| wrap_network(py, inner))
        .or_else(|inner| wrap_transport(py, inner))
        .unwrap_or_else(|inner| Ok(Bound::new(py, Header { inner })?.into_any()))
}

/// The kind that a class stands for.
pub(super) fn kind_of(class: &Bound<'_, PyType>) -> Option<HeaderKind> {
    kind_link(class).or_else(|| kind_network(class)).or_else(|| kind_transport(class))
}

/// What a field that is always there reads as.
macro_rules! plain_type {
    (u8) => { u64 };
    (u16) => { u64 };
    (u32) => { u64 };
    (u64) => { u64 };
    (flag) => { bool };
    (mac) => { String };
    (ip4) => { String };
    (ip6) => { String };
    (bytes) => { Py<PyBytes> };
    ($ty:ident) => { Py<PyAny> };
}

/// What reading a field gives: `Option` for what may be absent or left to emission.
macro_rules! read_type {
    ($position:ident [$($condition:path)?] [auto] $ty:ident) => { Option<plain_type!($ty)> };
    (bits [] [$($modifier:ident)*] $ty:ident) => { plain_type!($ty) };
    (little [] [$($modifier:ident)*] $ty:ident) => { plain_type!($ty) };
    (tail [] [$($modifier:ident)*] $ty:ident) => { plain_type!($ty) };
    ($position:ident [$($condition:path)?] [$($modifier:ident)*] $ty:ident) => { Option<plain_type!($ty)> };
}

/// A field's value as one of the types above.
trait Read: Sized {
    fn read(py: Python<'_>, field: &FieldSpec, value: Value) -> PyResult<Self>;
}

impl Read for u64 {
    fn read(_: Python<'_>, _: &FieldSpec, value: Value) -> PyResult<Self> {
        Ok(value.uint().unwrap_or_default())
    }
}

impl Read for bool {
    fn read(_: Python<'_>, _: &FieldSpec, value: Value) -> PyResult<Self> {
        Ok(value.uint().unwrap_or_default() != 0)
    }
}

impl Read for String {
    fn read(_: Python<'_>, _: &FieldSpec, value: Value) -> PyResult<Self> {
        Ok(match value {
            Value::Mac(address) => wire::mac_text(&address),
            Value::Ipv4(address) => address.to_string(),
            Value::Ipv6(address) => address.to_string(),
            _ => Self::new(),
        })
    }
}

impl Read for Py<PyBytes> {
    fn read(py: Python<'_>, _: &FieldSpec, value: Value) -> PyResult<Self> {
        let bytes = if let Value::Bytes(bytes) = value { bytes } else { Vec::new() };
        Ok(PyBytes::new(py, &bytes).unbind())
    }
}

impl Read for Py<PyAny> {
    fn read(py: Python<'_>, field: &FieldSpec, value: Value) -> PyResult<Self> {
        convert::to_python(py, field, value)
    }
}

impl<T: Read> Read for Option<T> {
    fn read(py: Python<'_>, field: &FieldSpec, value: Value) -> PyResult<Self> {
        match value {
            Value::Auto | Value::Absent => Ok(None),
            value => T::read(py, field, value).map(Some),
        }
    }
}

fn read<T: Read>(header: &Bound<'_, Header>, index: usize) -> PyResult<T> {
    let inner = &header.get().inner;
    T::read(header.py(), &inner.spec().fields[index], inner.get_at(index))
}

/// Builds the signature of a constructor field by field, then defines the class.
macro_rules! define_class {
    // A field of a type whose arguments and values have this annotation.
    (@field $done:tt [$($signature:tt)*] [$field:ident u8, $($rest:tt)*]) => {
        define_class!(@field $done [$($signature)* $field: "int | None" = None,] [$($rest)*]);
    };
    // TCP's flags may be letters.
    (@field $done:tt [$($signature:tt)*] [flags u16, $($rest:tt)*]) => {
        define_class!(@field $done [$($signature)* flags: "int | str | None" = None,] [$($rest)*]);
    };
    (@field $done:tt [$($signature:tt)*] [$field:ident u16, $($rest:tt)*]) => {
        define_class!(@field $done [$($signature)* $field: "int | None" = None,] [$($rest)*]);
    };
    (@field $done:tt [$($signature:tt)*] [$field:ident u32, $($rest:tt)*]) => {
        define_class!(@field $done [$($signature)* $field: "int | None" = None,] [$($rest)*]);
    };
    (@field $done:tt [$($signature:tt)*] [$field:ident u64, $($rest:tt)*]) => {
        define_class!(@field $done [$($signature)* $field: "int | None" = None,] [$($rest)*]);
    };
    (@field $done:tt [$($signature:tt)*] [$field:ident flag, $($rest:tt)*]) => {
        define_class!(@field $done [$($signature)* $field: "bool | int | None" = None,] [$($rest)*]);
    };
    (@field $done:tt [$($signature:tt)*] [$field:ident bytes, $($rest:tt)*]) => {
        define_class!(@field $done [$($signature)* $field: "bytes | bytearray | memoryview | None" = None,] [$($rest)*]);
    };
    (@field $done:tt [$($signature:tt)*] [$field:ident mac, $($rest:tt)*]) => {
        define_class!(@field $done [$($signature)* $field: "str | bytes | int | None" = None,] [$($rest)*]);
    };
    (@field $done:tt [$($signature:tt)*] [$field:ident $ty:ident, $($rest:tt)*]) => {
        define_class!(@field $done [$($signature)* $field: "object" = None,] [$($rest)*]);
    };
    (@field [$module:ident $name:ident $python:ident $summary:literal {$(
            $field:ident $ty:ident $position:ident $condition:tt $modifiers:tt $doc:literal,
        )*}]
        [$($signature:tt)*] []
    ) => {
        #[doc = $summary]
        ///
        /// Every field is a keyword argument; what is not given has its default or is filled in when a stack is
        /// emitted. See `Header` for what all headers can do.
        #[pyclass(frozen, extends = Header, module = "netfast.headers")]
        pub struct $python;

        #[pymethods]
        impl $python {
            #[new]
            #[pyo3(signature = (*, $($signature)* **unknown: "None"))]
            #[allow(clippy::too_many_arguments, reason = "one keyword for each field of the header")]
            fn new(
                $($field: Option<Bound<'_, PyAny>>,)*
                unknown: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<PyClassInitializer<Self>> {
                let header = build(HeaderKind::$name, &[$($field),*], unknown)?;
                Ok(PyClassInitializer::from(header).add_subclass(Self))
            }

            $(
                #[doc = $doc]
                #[getter]
                fn $field(slf: &Bound<'_, Self>) -> PyResult<read_type!($position $condition $modifiers $ty)> {
                    const INDEX: usize = field_index($module::$name::FIELDS, stringify!($field));
                    read(slf.as_super(), INDEX)
                }
            )*
        }
    };
}

/// Defines the macro that a table calls. `$d` is a dollar sign, so that the inner macro has its own variables.
macro_rules! family_callback {
    ($callback:ident $module:ident $wrap:ident $kind_of:ident $d:tt) => {
        macro_rules! $callback {
            ($d(
                $d(#[$d meta:meta])*
                $d name:ident $d python:ident $d summary:literal [$d min:expr, $d fixed:expr, $d len:expr] {$d(
                    $d field:ident: $d ty:ident $d(<$d space:ident>)? $d($d modifier:ident)*
                    @ $d position:ident($d($d place:expr),*) $d(if $d condition:path)? = $d default:expr, $d doc:literal
                    $d(, $d text:path)?;
                )*}
            )*) => {
                $d(
                    define_class! {
                        @field [$module $d name $d python $d summary {$d(
                            $d field $d ty $d position [$d($d condition)?] [$d($d modifier)*] $d doc,
                        )*}]
                        [] [$d($d field $d ty,)*]
                    }
                )*

                fn $wrap(
                    py: Python<'_>,
                    inner: wire::Header,
                ) -> Result<PyResult<Bound<'_, PyAny>>, wire::Header> {
                    match inner.kind() {
                        $d(HeaderKind::$d name => {
                            let class = PyClassInitializer::from(Header { inner }).add_subclass($d python);
                            Ok(Bound::new(py, class).map(Bound::into_any))
                        })*
                        _ => Err(inner),
                    }
                }

                fn $kind_of(class: &Bound<'_, PyType>) -> Option<HeaderKind> {
                    let py = class.py();
                    $d(
                        if class.is(&py.get_type::<$d python>()) {
                            return Some(HeaderKind::$d name);
                        }
                    )*
                    None
                }
            };
        }
    };
}

family_callback!(define_link link wrap_link kind_link $);
netfast_wire::link_headers!(define_link);
family_callback!(define_network network wrap_network kind_network $);
netfast_wire::network_headers!(define_network);
family_callback!(define_transport transport wrap_transport kind_transport $);
netfast_wire::transport_headers!(define_transport);
