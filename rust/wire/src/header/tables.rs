//! Views and specifications, made from the tables.
//!
//! A row of a table reads
//!
//! ```text
//! name: type[<space>] [modifier ...] @ position(...) [if condition] = default, "what it is" [, name of a value];
//! ```
//!
//! - types: `u8 u16 u32 u64 flag mac ip4 ip6 bytes addrs addrs4 opts<Space>`;
//! - modifiers: `auto` (emission derives it), `soft` (emission derives it in places, else it has its default), `alias` (a second reading of bits other rows cover), `shape` (other
//!   rows' presence depends on it), `times8` (counts units of eight bytes, values are bytes);
//! - positions: `bits(first, width)` from the start of the header, `little(byte, size, shift, width)`,
//!   `tail(first byte)`, `range(function)`, `range_little(function, shift, width)`, `host_order(byte)`.
//!
//! `shape` rows come before the rows they decide on, variable ones last.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::options::{Opt, OptionSpace};
use super::spec::{FieldSpec, FieldType, HeaderError, HeaderSpec, Position, Value, plain_name, same};
use super::value::{self, Header};
use super::{bits, layout, names};
use crate::HeaderKind;

const fn has(modifiers: &[&str], name: &str) -> bool {
    let mut index = 0;
    while index < modifiers.len() {
        if same(modifiers[index], name) {
            return true;
        }
        index += 1;
    }
    false
}

macro_rules! field_type {
    (u8) => {
        FieldType::Uint
    };
    (u16) => {
        FieldType::Uint
    };
    (u32) => {
        FieldType::Uint
    };
    (u64) => {
        FieldType::Uint
    };
    (flag) => {
        FieldType::Flag
    };
    (mac) => {
        FieldType::Mac
    };
    (ip4) => {
        FieldType::Ipv4
    };
    (ip6) => {
        FieldType::Ipv6
    };
    (bytes) => {
        FieldType::Bytes
    };
    (addrs) => {
        FieldType::Addresses
    };
    (addrs4) => {
        FieldType::Addresses4
    };
    (opts $space:ident) => {
        FieldType::Options(OptionSpace::$space)
    };
}

macro_rules! position {
    (bits($offset:expr, $width:expr)) => {
        Position::Bits { offset: $offset, width: $width }
    };
    (little($byte:expr, $size:expr, $shift:expr, $width:expr)) => {
        Position::Little { byte: $byte, size: $size, shift: $shift, width: $width }
    };
    (tail($start:expr)) => {
        Position::Tail($start)
    };
    (range($range:expr)) => {
        Position::Range($range)
    };
    (range_little($range:expr, $shift:expr, $width:expr)) => {
        Position::RangeLittle { range: $range, shift: $shift, width: $width }
    };
    (host_order($byte:expr)) => {
        Position::HostOrder { byte: $byte }
    };
}

macro_rules! option_of {
    () => {
        None
    };
    ($function:path) => {
        Some($function)
    };
}

/// What a view's accessor returns; optional when the field may be absent.
macro_rules! view_type {
    (bits [] $($ty:tt)*) => { view_type!($($ty)*) };
    (little [] $($ty:tt)*) => { view_type!($($ty)*) };
    (host_order [] $($ty:tt)*) => { view_type!($($ty)*) };
    (tail [] $($ty:tt)*) => { view_type!($($ty)*) };
    ($position:ident [$($condition:path)?] $($ty:tt)*) => { Option<view_type!($($ty)*)> };
    (u8) => { u8 };
    (u16) => { u16 };
    (u32) => { u32 };
    (u64) => { u64 };
    (flag) => { bool };
    (mac) => { [u8; 6] };
    (ip4) => { Ipv4Addr };
    (ip6) => { Ipv6Addr };
    (bytes) => { Vec<u8> };
    (addrs) => { Vec<IpAddr> };
    (addrs4) => { Vec<IpAddr> };
    (opts $space:ident) => { Vec<Opt> };
}

macro_rules! field {
    (
        $field:ident: $ty:ident $(<$space:ident>)? $($modifier:ident)* @ $position:ident($($place:expr),*)
        $(if $condition:path)? = $default:expr, $doc:literal $(, $text:path)?
    ) => {
        FieldSpec {
            name: plain_name(stringify!($field)),
            ty: field_type!($ty $($space)?),
            position: position!($position($($place),*)),
            present: option_of!($($condition)?),
            default: $default,
            auto: has(&[$(stringify!($modifier)),*], "auto") || has(&[$(stringify!($modifier)),*], "soft"),
            soft: has(&[$(stringify!($modifier)),*], "soft"),
            alias: has(&[$(stringify!($modifier)),*], "alias"),
            times8: has(&[$(stringify!($modifier)),*], "times8"),
            shape: has(&[$(stringify!($modifier)),*], "shape"),
            doc: $doc,
            text: option_of!($($text)?),
        }
    };
}

macro_rules! define_headers {
    ($(
        $(#[$meta:meta])*
        $name:ident $python:ident $summary:literal [$min:expr, $fixed:expr, $len:expr] {$(
            $field:ident: $ty:ident $(<$space:ident>)? $($modifier:ident)* @ $position:ident($($place:expr),*)
            $(if $condition:path)? = $default:expr, $doc:literal $(, $text:path)?;
        )*}
    )*) => {
        $(
            #[doc = $summary]
            ///
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name<'a>(&'a [u8]);

            impl<'a> $name<'a> {
                /// The fields in wire order.
                pub const FIELDS: &'static [FieldSpec] = &[$(field!(
                    $field: $ty $(<$space>)? $($modifier)* @ $position($($place),*) $(if $condition)? = $default, $doc
                    $(, $text)?
                )),*];

                /// The header's table.
                pub const SPEC: HeaderSpec = HeaderSpec {
                    kind: HeaderKind::$name,
                    doc: $summary,
                    min_len: $min,
                    fixed_len: $fixed,
                    header_len: $len,
                    fields: Self::FIELDS,
                };

                /// A view of the header at the front of `bytes`; its accessors cannot fail.
                ///
                /// # Errors
                /// [`HeaderError::Truncated`] when the bytes end before the header does.
                pub fn new_checked(bytes: &'a [u8]) -> Result<Self, HeaderError> {
                    Self::SPEC.slice(bytes).map(Self)
                }

                /// A new value of this kind with the defaults of its table.
                #[must_use]
                pub fn value() -> Header {
                    Header::new(HeaderKind::$name)
                }

                /// The header's bytes.
                #[must_use]
                pub fn as_bytes(&self) -> &'a [u8] {
                    self.0
                }

                $(
                    #[doc = $doc]
                    #[must_use]
                    pub fn $field(&self) -> view_type!($position [$($condition)?] $ty $($space)?) {
                        const FIELD: FieldSpec = field!(
                            $field: $ty $(<$space>)? $($modifier)* @ $position($($place),*) $(if $condition)?
                            = $default, $doc $(, $text)?
                        );
                        FromField::from_field(self.0, &FIELD)
                    }
                )*
            }
        )*

        /// The table of this kind of header, when it stands here.
        pub(in crate::header) fn lookup(kind: HeaderKind) -> Option<&'static HeaderSpec> {
            match kind {
                $(HeaderKind::$name => {
                    static SPEC: HeaderSpec = $name::SPEC;
                    Some(&SPEC)
                })*
                _ => None,
            }
        }
    };
}

/// A Rust type that a field's bits can be read as.
trait FromField: Sized {
    fn from_field(bytes: &[u8], field: &FieldSpec) -> Self;
}

macro_rules! from_number {
    ($($ty:ty),*) => {$(
        impl FromField for $ty {
            #[inline]
            fn from_field(bytes: &[u8], field: &FieldSpec) -> Self {
                bits::read_number(bytes, field) as $ty
            }
        }
    )*};
}

from_number!(u8, u16, u32, u64);

impl FromField for bool {
    #[inline]
    fn from_field(bytes: &[u8], field: &FieldSpec) -> Self {
        bits::read_number(bytes, field) != 0
    }
}

macro_rules! from_value {
    ($($ty:ty => $variant:ident),*) => {$(
        impl FromField for $ty {
            fn from_field(bytes: &[u8], field: &FieldSpec) -> Self {
                match value::read(bytes, field) {
                    Value::$variant(value) => value.into(),
                    _ => <$ty>::from(EMPTY),
                }
            }
        }
    )*};
}

/// What a field reads as when its bytes are missing, which a checked view rules out.
struct Missing;
const EMPTY: Missing = Missing;

impl From<Missing> for [u8; 6] {
    fn from(_: Missing) -> Self {
        [0; 6]
    }
}

impl From<Missing> for Ipv4Addr {
    fn from(_: Missing) -> Self {
        Self::UNSPECIFIED
    }
}

impl From<Missing> for Ipv6Addr {
    fn from(_: Missing) -> Self {
        Self::UNSPECIFIED
    }
}

impl<T> From<Missing> for Vec<T> {
    fn from(_: Missing) -> Self {
        Self::new()
    }
}

from_value!([u8; 6] => Mac, Ipv4Addr => Ipv4, Ipv6Addr => Ipv6, Vec<u8> => Bytes, Vec<IpAddr> => Addresses,
    Vec<Opt> => Options);

impl<T: FromField> FromField for Option<T> {
    fn from_field(bytes: &[u8], field: &FieldSpec) -> Self {
        field.locate(bytes).map(|_| T::from_field(bytes, field))
    }
}

macro_rules! family {
    ($(#[$meta:meta])* $module:ident $table:ident) => {
        $(#[$meta])*
        pub mod $module {
            use super::*;
            $crate::$table!(define_headers);
        }
    };
}

family! {
    /// Link-layer headers.
    link link_headers
}

family! {
    /// IP and the IPv6 extension headers.
    network network_headers
}

family! {
    /// Transport headers, control messages and tunnels.
    transport transport_headers
}
