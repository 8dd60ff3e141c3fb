//! A header as a value: its bytes and which of its fields emission shall fill in.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bits::{clear_bits, read_number, write_number};
use super::layout;
use super::options::{self, OptionSpace, OptionValue};
use super::spec::{FieldSpec, FieldType, HeaderError, HeaderSpec, Position, Value};
use crate::HeaderKind;

/// A header of any kind, owned.
///
/// What was parsed is kept bit by bit, reserved bits included, so `parse` and `emit` are each other's inverse. Fields
/// of a new header that depend on its neighbours (lengths, next protocols, checksums) are [`Value::Auto`] until set;
/// a [`Stack`](super::Stack) fills them in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    kind: HeaderKind,
    auto: u64,
    bytes: Vec<u8>,
}

/// Bit of [`Header::auto`] behind those of all fields: emission fills in the length in a jumbo option (RFC 2675).
const JUMBO_AUTO: u64 = 1 << 63;

impl Header {
    /// A header with the defaults of its table; everything that can be derived is left to emission.
    #[must_use]
    pub fn new(kind: HeaderKind) -> Self {
        let spec = super::spec(kind);
        let mut header = Self { kind, auto: 0, bytes: Vec::with_capacity(spec.min_len.max(24)) };
        header.bytes.resize(spec.min_len, 0);
        for (index, field) in spec.fields.iter().enumerate() {
            if field.auto {
                header.auto |= 1 << index;
            }
            if field.default != 0 && field.locate(&header.bytes).is_some() {
                write_number(&mut header.bytes, field, field.default);
            }
        }
        header.settle(spec);
        header.pad(spec);
        header
    }

    /// The header at the front of `bytes`, and how many of them it is: [`buffer_len`](Self::buffer_len).
    ///
    /// # Errors
    /// [`HeaderError::Truncated`] when the bytes end before the header does.
    pub fn parse(kind: HeaderKind, bytes: &[u8]) -> Result<Self, HeaderError> {
        Ok(Self { kind, auto: 0, bytes: super::spec(kind).slice(bytes)?.to_vec() })
    }

    /// A header of exactly these bytes, whatever length it says it has.
    ///
    /// # Errors
    /// [`HeaderError::Truncated`] when they are fewer than the fixed part.
    pub fn exact(kind: HeaderKind, bytes: &[u8]) -> Result<Self, HeaderError> {
        let (need, have) = (super::spec(kind).min_len, bytes.len());
        if have < need {
            return Err(HeaderError::Truncated { kind, offset: 0, need, have });
        }
        Ok(Self { kind, auto: 0, bytes: bytes.to_vec() })
    }

    /// As [`exact`](Self::exact), with the set of fields left to emission that [`auto_bits`](Self::auto_bits) gave.
    ///
    /// # Errors
    /// As `exact`.
    pub fn restore(kind: HeaderKind, bytes: &[u8], auto: u64) -> Result<Self, HeaderError> {
        let mut header = Self::exact(kind, bytes)?;
        let derivable = |(index, field): (usize, &FieldSpec)| u64::from(field.auto) << index;
        let fields: u64 = header.spec().fields.iter().enumerate().map(derivable).sum();
        let jumbo = if header.jumbo_place().is_some() { JUMBO_AUTO } else { 0 };
        header.auto = auto & (fields | jumbo);
        Ok(header)
    }

    /// The fields left to emission, one bit each in the order of the table.
    #[must_use]
    pub const fn auto_bits(&self) -> u64 {
        self.auto
    }

    /// Which header this is.
    #[must_use]
    pub const fn kind(&self) -> HeaderKind {
        self.kind
    }

    /// The table of this header.
    #[must_use]
    pub fn spec(&self) -> &'static HeaderSpec {
        super::spec(self.kind)
    }

    /// The bytes, with zero where emission has yet to fill a field in.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the header as it stands, alone; lengths and checksums that are [`Value::Auto`] are written as zero.
    ///
    /// # Errors
    /// [`HeaderError::OutputTooShort`].
    pub fn emit(&self, output: &mut [u8]) -> Result<usize, HeaderError> {
        let (need, have) = (self.bytes.len(), output.len());
        let target = output.get_mut(..need).ok_or(HeaderError::OutputTooShort { need, have })?;
        target.copy_from_slice(&self.bytes);
        Ok(need)
    }

    /// True when emission shall fill the field in.
    #[must_use]
    pub fn is_auto(&self, index: usize) -> bool {
        index < 64 && self.auto & (1 << index) != 0
    }

    /// Leaves every field that can be derived to emission again, as after an edit of a parsed header. A field that says
    /// which header follows is best kept when the next header is unknown: see [`Stack::rederive`](super::Stack::rederive).
    pub fn reset_auto(&mut self) {
        for (index, field) in self.spec().fields.iter().enumerate() {
            if field.auto && !field.soft {
                self.auto |= 1 << index;
                layout::widen(self.kind, field.name, &mut self.bytes, 0);
                write_number(&mut self.bytes, field, 0);
            }
        }
        self.reset_jumbo();
    }

    /// Appends zeros to the variable part at the end.
    pub(super) fn pad_tail(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, 0);
    }

    /// Where the length of a jumbo option stands.
    pub(super) fn jumbo_place(&self) -> Option<std::ops::Range<usize>> {
        let extension = matches!(self.kind, HeaderKind::HopByHop | HeaderKind::DestinationOptions);
        let place = options::place_of(self.bytes.get(2..).filter(|_| extension)?, options::JUMBO as u8)?;
        (place.len() == 4).then(|| place.start + 2..place.end + 2)
    }

    /// True when emission shall fill in the length in a jumbo option.
    pub(super) fn is_jumbo_auto(&self) -> bool {
        self.auto & JUMBO_AUTO != 0
    }

    /// Leaves the length in a jumbo option to emission, if there is one.
    pub(super) fn reset_jumbo(&mut self) {
        if let Some(place) = self.jumbo_place() {
            self.bytes[place].fill(0);
            self.auto |= JUMBO_AUTO;
        }
    }

    /// A field's value by name.
    ///
    /// # Errors
    /// [`HeaderError::UnknownField`].
    pub fn get(&self, name: &str) -> Result<Value, HeaderError> {
        Ok(self.get_at(self.index(name)?))
    }

    /// A field's value by its position in the table; [`Value::Absent`] beyond its end.
    #[must_use]
    pub fn get_at(&self, index: usize) -> Value {
        match self.spec().fields.get(index) {
            None => Value::Absent,
            Some(field) if self.is_auto(index) && !field.soft => Value::Auto,
            Some(field) => {
                let mut value = read(&self.bytes, field);
                if let (true, Value::Options(list)) = (self.is_jumbo_auto(), &mut value) {
                    let jumbo = list.iter_mut().find(|opt| opt.code == options::JUMBO);
                    jumbo.into_iter().for_each(|opt| opt.value = OptionValue::Empty);
                }
                value
            }
        }
    }

    /// Sets a field by name. [`Value::Auto`] leaves it to emission again, or takes an optional field away.
    ///
    /// # Errors
    /// The name is unknown, the value does not fit or is of another type, or the header has no such field with its
    /// present type and flags.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<(), HeaderError> {
        self.set_at(self.index(name)?, value.into())
    }

    /// [`set`](Self::set), for chains.
    ///
    /// # Errors
    /// As `set`.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Result<Self, HeaderError> {
        self.set(name, value)?;
        Ok(self)
    }

    /// Sets a field by its position in the table.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_at(&mut self, index: usize, value: Value) -> Result<(), HeaderError> {
        let spec = self.spec();
        let Some(field) = spec.fields.get(index) else {
            return Err(HeaderError::UnknownField { kind: self.kind, field: index.to_string().into() });
        };
        if matches!(value, Value::Auto | Value::Absent) {
            return self.unset(spec, index);
        }
        let value = self.check(field, value)?;
        let absent = field.locate(&self.bytes).is_none();
        let moves = matches!(field.position, Position::Range(_) | Position::HostOrder { .. });
        // A value that is refused makes no room for itself either.
        let before = (absent || moves).then(|| self.clone());
        let outcome = self.set_checked(spec, index, value, absent);
        if let (Err(_), Some(before)) = (&outcome, before) {
            *self = before;
        }
        outcome
    }

    /// Sets a field to a value of its type; after an error the header is not to be used.
    fn set_checked(
        &mut self,
        spec: &'static HeaderSpec,
        index: usize,
        value: Value,
        absent: bool,
    ) -> Result<(), HeaderError> {
        let field = &spec.fields[index];
        if absent {
            let before = self.clone();
            if layout::enable(self.kind, field.name, &mut self.bytes, true) {
                self.reshape(spec, &before);
            } else if !layout::grow(self.kind, field.name, &mut self.bytes) {
                return Err(HeaderError::Absent { kind: self.kind, field: field.name });
            }
        }
        let number = value.uint();
        if let Some(number) = number {
            layout::widen(self.kind, field.name, &mut self.bytes, number);
            self.fits(field, number)?;
        }
        let changes = field.shape && Value::Uint(read_number(&self.bytes, field)) != value;
        let before = changes.then(|| self.clone());
        let jumbo = is_open_jumbo(field, &value);
        let written = self.write(field, index, value)?;
        let misread =
            |bytes: &[u8], number| field.locate(bytes).is_none() || read_number(bytes, field) != number;
        if let Some(value) = number.filter(|number| misread(&self.bytes, *number)) {
            return Err(HeaderError::Misread { kind: self.kind, field: field.name, value });
        }
        if changes {
            layout::imply(self.kind, field.name, &mut self.bytes);
        }
        self.auto &= !(1 << index);
        if let Some(part) = layout::part(self.kind, field.name, &self.bytes).and_then(|part| spec.field(part))
        {
            self.auto &= !(1 << part);
        }
        if matches!(field.ty, FieldType::Options(_)) {
            self.auto &= !JUMBO_AUTO;
            if jumbo {
                self.reset_jumbo();
            }
        }
        if let Some(before) = before {
            self.reshape(spec, &before);
        }
        let automatic = |name: &str| spec.field(name).is_some_and(|index| self.auto & (1 << index) != 0);
        if let Some((place, count)) = layout::counter(self.kind, field.name, &self.bytes, written, automatic)
        {
            self.bytes[place] = count;
        }
        Ok(())
    }

    fn unset(&mut self, spec: &'static HeaderSpec, index: usize) -> Result<(), HeaderError> {
        let field = &spec.fields[index];
        if field.auto {
            layout::widen(self.kind, field.name, &mut self.bytes, field.default);
            if field.locate(&self.bytes).is_some() {
                write_number(&mut self.bytes, field, field.default);
            }
            self.auto |= 1 << index;
            return Ok(());
        }
        if matches!(field.position, Position::Tail(_)) {
            if let Some((start, _)) = field.locate(&self.bytes) {
                self.bytes.truncate(start / 8);
                self.auto &= !JUMBO_AUTO;
            }
            return Ok(());
        }
        let before = self.clone();
        if layout::enable(self.kind, field.name, &mut self.bytes, false) {
            self.reshape(spec, &before);
            return Ok(());
        }
        Err(HeaderError::WrongType {
            kind: self.kind,
            field: field.name,
            expected: "a value; it is not derived",
        })
    }

    fn index(&self, name: &str) -> Result<usize, HeaderError> {
        let unknown = || HeaderError::UnknownField { kind: self.kind, field: name.into() };
        self.spec().field(name).ok_or_else(unknown)
    }

    /// Whether a field has room for a number.
    fn fits(&self, field: &FieldSpec, value: u64) -> Result<(), HeaderError> {
        let (kind, max) = (self.kind, field.max_in(&self.bytes));
        if value <= max {
            return Ok(());
        }
        Err(HeaderError::OutOfRange { kind, field: field.name, value, max })
    }

    /// Turns what the caller may give for a field into what the field holds.
    fn check(&self, field: &FieldSpec, value: Value) -> Result<Value, HeaderError> {
        let expected = match (field.ty, &value) {
            (FieldType::Uint, Value::Uint(number)) | (FieldType::Flag, Value::Uint(number)) => {
                if field.times8 && *number % 8 != 0 {
                    let expected = "a multiple of 8 bytes";
                    return Err(HeaderError::WrongType { kind: self.kind, field: field.name, expected });
                }
                // The widths of fields whose place depends on others are looked at when there is room for them.
                if !matches!(field.position, Position::Range(_)) {
                    self.fits(field, *number)?;
                }
                return Ok(Value::Uint(*number));
            }
            (FieldType::Uint | FieldType::Flag, Value::Flag(flag)) => {
                return Ok(Value::Uint(u64::from(*flag)));
            }
            (FieldType::Mac, Value::Mac(_))
            | (FieldType::Ipv4, Value::Ipv4(_))
            | (FieldType::Ipv6, Value::Ipv6(_))
            | (FieldType::Bytes | FieldType::Options(_), Value::Bytes(_))
            | (FieldType::Addresses | FieldType::Addresses4, Value::Bytes(_) | Value::Addresses(_))
            | (FieldType::Options(_), Value::Options(_)) => return Ok(value),
            (FieldType::Uint, _) => "a number",
            (FieldType::Flag, _) => "True or False",
            (FieldType::Mac, _) => "a hardware address",
            (FieldType::Ipv4, _) => "an IPv4 address",
            (FieldType::Ipv6, _) => "an IPv6 address",
            (FieldType::Bytes, _) => "bytes",
            (FieldType::Addresses, _) => "a list of IPv6 addresses, or bytes",
            (FieldType::Addresses4, _) => "a list of IPv4 addresses, or bytes",
            (FieldType::Options(_), _) => "a list of options, or bytes",
        };
        Err(HeaderError::WrongType { kind: self.kind, field: field.name, expected })
    }

    /// Writes a checked value; variable fields change the length of the header. Returns the bytes written of those.
    fn write(&mut self, field: &FieldSpec, index: usize, value: Value) -> Result<usize, HeaderError> {
        let kind = self.kind;
        let encoded: Vec<u8> =
            match value {
                Value::Uint(number) => {
                    write_number(&mut self.bytes, field, number);
                    return Ok(0);
                }
                Value::Mac(address) => address.to_vec(),
                Value::Ipv4(address) => address.octets().to_vec(),
                Value::Ipv6(address) => address.octets().to_vec(),
                Value::Bytes(bytes) => bytes,
                Value::Addresses(addresses) => self.addresses(field, &addresses)?,
                Value::Options(list) => {
                    let FieldType::Options(space) = field.ty else { return Ok(0) };
                    let start = field.locate(&self.bytes).map_or(0, |(offset, _)| offset / 8);
                    options::encode(space, &list, start).map_err(|(index, problem)| {
                        HeaderError::BadOption { kind, field: field.name, index, problem }
                    })?
                }
                Value::Auto | Value::Absent | Value::Flag(_) => return Ok(0),
            };
        let absent = HeaderError::Absent { kind, field: field.name };
        let (offset, width) = field.locate(&self.bytes).ok_or(absent)?;
        let range = offset / 8..offset.div_ceil(8) + width / 8;
        let variable = !matches!(
            field.ty,
            FieldType::Uint | FieldType::Flag | FieldType::Mac | FieldType::Ipv4 | FieldType::Ipv6
        ) && !matches!(field.position, Position::Bits { .. });
        // Bytes between others have the length that the header's type gives them.
        let fixed = field.ty == FieldType::Bytes && range.end != self.bytes.len();
        if fixed && encoded.len() != range.len() {
            let expected = "as many bytes as the header's type has there";
            return Err(HeaderError::WrongType { kind, field: field.name, expected });
        }
        if !variable && encoded.len() != range.len() {
            return Err(HeaderError::OutOfRange {
                kind,
                field: super::spec(kind).fields[index].name,
                value: encoded.len() as u64,
                max: range.len() as u64,
            });
        }
        let written = encoded.len();
        self.bytes.splice(range, encoded);
        Ok(written)
    }

    fn addresses(&self, field: &FieldSpec, list: &[IpAddr]) -> Result<Vec<u8>, HeaderError> {
        let mut output = Vec::with_capacity(list.len() * 16);
        for address in list {
            match (address, field.ty) {
                (IpAddr::V4(address), FieldType::Addresses4) => output.extend(address.octets()),
                (IpAddr::V6(address), FieldType::Addresses) => output.extend(address.octets()),
                _ => {
                    let expected = "addresses of its own IP version";
                    return Err(HeaderError::WrongType { kind: self.kind, field: field.name, expected });
                }
            }
        }
        Ok(output)
    }

    /// After a field that decides on the presence of others: what both layouts have keeps its value, what is new gets
    /// its default, what is gone leaves no bits behind.
    fn reshape(&mut self, spec: &'static HeaderSpec, before: &Header) {
        let mut fresh = Self { kind: self.kind, auto: 0, bytes: self.bytes.clone() };
        fresh.bytes.truncate(spec.min_len);
        fresh.settle(spec);
        let conditional =
            |field: &&FieldSpec| field.present.is_some() || matches!(field.position, Position::Range(_));
        for field in spec.fields.iter().filter(conditional) {
            if let Some((offset, width)) = field.locate(&before.bytes).filter(|_| !field.shape) {
                clear_bits(&mut fresh.bytes, offset, width);
            }
        }
        for (index, field) in spec.fields.iter().enumerate().filter(|(_, field)| !field.alias && !field.shape)
        {
            if field.locate(&fresh.bytes).is_none() {
                continue;
            }
            let Some((offset, width)) = field.locate(&before.bytes) else {
                write_number(&mut fresh.bytes, field, field.default);
                self.auto |= u64::from(field.auto) << index;
                continue;
            };
            let value = match field.ty {
                FieldType::Uint | FieldType::Flag => Value::Uint(read_number(&before.bytes, field)),
                FieldType::Options(_) | FieldType::Addresses | FieldType::Addresses4 => {
                    Value::from(before.bytes.get(offset / 8..(offset + width) / 8).unwrap_or(&[]))
                }
                FieldType::Bytes if matches!(field.position, Position::Range(_)) => {
                    copy_front(
                        &mut fresh.bytes,
                        field,
                        before.bytes.get(offset / 8..).unwrap_or(&[]),
                        width / 8,
                    );
                    continue;
                }
                _ => read(&before.bytes, field),
            };
            // Both layouts have the field and the value was read from it, so it can only fit.
            let _ = fresh.write(field, index, value);
        }
        fresh.pad(spec);
        self.bytes = fresh.bytes;
    }

    /// Options of extension headers are never nothing: without any there is padding to eight bytes.
    fn pad(&mut self, spec: &HeaderSpec) {
        for field in spec.fields {
            let FieldType::Options(space @ (OptionSpace::Ipv6 | OptionSpace::Mobility)) = field.ty else {
                continue;
            };
            let Some((offset, width)) = field.locate(&self.bytes) else { continue };
            let place = offset / 8..(offset + width) / 8;
            if self.bytes[place.clone()].iter().all(|byte| *byte == 0) {
                // Nothing but padding cannot fail to be written.
                self.bytes.splice(place, options::encode(space, &[], offset / 8).unwrap_or_default());
            }
        }
    }

    /// Grows the header to the length that its fixed fields ask for.
    fn settle(&mut self, spec: &HeaderSpec) {
        let need = (spec.fixed_len)(&self.bytes).clamp(spec.min_len, MAX_FIXED);
        if self.bytes.len() < need {
            self.bytes.resize(need, 0);
        }
    }
}

/// True for options with a jumbo option whose length is left to emission.
fn is_open_jumbo(field: &FieldSpec, value: &Value) -> bool {
    let open = |opt: &options::Opt| opt.code == options::JUMBO && opt.value == OptionValue::Empty;
    field.ty == FieldType::Options(OptionSpace::Ipv6)
        && matches!(value, Value::Options(list) if list.iter().any(open))
}

/// Copies what a field held in another layout to the front of its place in this one.
fn copy_front(bytes: &mut [u8], field: &FieldSpec, old: &[u8], old_len: usize) {
    let Some((offset, width)) = field.locate(bytes) else { return };
    let len = old_len.min(width / 8).min(old.len());
    bytes[offset / 8..offset / 8 + len].copy_from_slice(&old[..len]);
}

/// No header has a fixed part longer than this; a bound, so that no table can make memory grow.
const MAX_FIXED: usize = 512;

/// A field's value in header bytes; [`Value::Absent`] when it is not there.
#[must_use]
pub fn read(bytes: &[u8], field: &FieldSpec) -> Value {
    let Some((offset, width)) = field.locate(bytes) else { return Value::Absent };
    let slice = bytes.get(offset / 8..(offset + width).div_ceil(8)).unwrap_or(&[]);
    match field.ty {
        FieldType::Uint => Value::Uint(read_number(bytes, field)),
        FieldType::Flag => Value::Flag(read_number(bytes, field) != 0),
        FieldType::Mac => slice.try_into().map_or_else(|_| Value::Bytes(slice.to_vec()), Value::Mac),
        FieldType::Ipv4 => <[u8; 4]>::try_from(slice)
            .map_or_else(|_| Value::Bytes(slice.to_vec()), |octets| Value::Ipv4(Ipv4Addr::from(octets))),
        FieldType::Ipv6 => <[u8; 16]>::try_from(slice)
            .map_or_else(|_| Value::Bytes(slice.to_vec()), |octets| Value::Ipv6(Ipv6Addr::from(octets))),
        FieldType::Bytes => Value::Bytes(slice.to_vec()),
        FieldType::Addresses => addresses::<16>(slice),
        FieldType::Addresses4 => addresses::<4>(slice),
        FieldType::Options(space) => Value::Options(options::decode(space, slice)),
    }
}

fn addresses<const N: usize>(slice: &[u8]) -> Value {
    if !slice.len().is_multiple_of(N) {
        return Value::Bytes(slice.to_vec());
    }
    Value::Addresses(slice.chunks_exact(N).map(options::address_of).collect())
}
