//! Columns as Arrow record batches: the arrays stand where they were filled, nothing numeric is copied.
use crate::columns::{Columns, HAS_L3_CHECKSUM, HAS_L4_CHECKSUM, SharedColumns};
use crate::schema::packet_schema;
use crate::{Error, FlowColumns};
use arrow_array::types::{
    ArrowPrimitiveType, Int8Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use netfast_wire::{Checksum, Present, Verdict, address};
use std::sync::{Arc, LazyLock};
use zerocopy::{Immutable, IntoBytes};

/// How addresses stand in Arrow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressForm {
    /// 16 bytes; IPv4 mapped into IPv6.
    #[default]
    Binary,
    /// Text: dotted IPv4, IPv6 by RFC 5952.
    Text,
}

/// One array of shared columns, as the owner of its bytes.
struct Borrowed {
    columns: SharedColumns,
    bytes: fn(&Columns) -> &[u8],
}

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        (self.bytes)(&self.columns)
    }
}

fn buffer(columns: &SharedColumns, bytes: fn(&Columns) -> &[u8]) -> Buffer {
    Buffer::from(bytes::Bytes::from_owner(Borrowed { columns: columns.clone(), bytes }))
}

fn raw<T: IntoBytes + Immutable, const N: usize>(array: &[T; N]) -> &[u8] {
    array.as_bytes()
}

/// Makes the batch of one set of columns.
struct Maker<'a> {
    columns: &'a SharedColumns,
}

impl Maker<'_> {
    fn nulls(&self, bit: u16) -> Option<NullBuffer> {
        let bytes: fn(&Columns) -> &[u8] = match bit {
            Present::IP => |c| c.bitmap(Present::IP),
            Present::PROTOCOL => |c| c.bitmap(Present::PROTOCOL),
            Present::PORTS => |c| c.bitmap(Present::PORTS),
            Present::TCP_FLAGS => |c| c.bitmap(Present::TCP_FLAGS),
            Present::PAYLOAD => |c| c.bitmap(Present::PAYLOAD),
            Present::FLOW_LABEL => |c| c.bitmap(Present::FLOW_LABEL),
            Present::FRAGMENT => |c| c.bitmap(Present::FRAGMENT),
            Present::VLAN => |c| c.bitmap(Present::VLAN),
            HAS_L3_CHECKSUM => |c| c.bitmap(HAS_L3_CHECKSUM),
            _ => |c| c.bitmap(HAS_L4_CHECKSUM),
        };
        let bits = BooleanBuffer::new(buffer(self.columns, bytes), 0, self.columns.len());
        Some(NullBuffer::new(bits)).filter(|nulls| nulls.null_count() > 0)
    }

    fn numbers<T: ArrowPrimitiveType>(
        &self,
        bytes: fn(&Columns) -> &[u8],
        nulls: Option<NullBuffer>,
    ) -> ArrayRef {
        let values = ScalarBuffer::<T::Native>::new(buffer(self.columns, bytes), 0, self.columns.len());
        Arc::new(PrimitiveArray::<T>::new(values, nulls))
    }

    fn addresses(
        &self,
        form: AddressForm,
        bytes: fn(&Columns) -> &[u8],
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, Error> {
        let len = self.columns.len();
        Ok(match form {
            AddressForm::Binary => {
                let values = buffer(self.columns, bytes).slice_with_length(0, len * 16);
                Arc::new(FixedSizeBinaryArray::try_new(16, values, nulls)?)
            }
            AddressForm::Text => {
                let versions = &self.columns.ip_version[..len];
                Arc::new(address_text(versions, bytes(self.columns).as_chunks().0))
            }
        })
    }

    fn words(
        &self,
        bytes: fn(&Columns) -> &[u8],
        nulls: Option<NullBuffer>,
        words: &ArrayRef,
    ) -> Result<ArrayRef, Error> {
        let keys = ScalarBuffer::<i8>::new(buffer(self.columns, bytes), 0, self.columns.len());
        let keys = PrimitiveArray::<Int8Type>::new(keys, nulls);
        Ok(Arc::new(DictionaryArray::try_new(keys, words.clone())?))
    }
}

pub(crate) fn address_text(versions: &[u8], addresses: &[[u8; 16]]) -> StringArray {
    versions
        .iter()
        .zip(addresses)
        .map(|(&version, &bytes)| address(version, bytes).map(|address| address.to_string()))
        .collect()
}

pub(crate) fn words(names: impl Iterator<Item = &'static str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(names))
}

static VERDICTS: LazyLock<ArrayRef> =
    LazyLock::new(|| words(Verdict::ALL.iter().map(|verdict| verdict.name())));
static CHECKSUMS: LazyLock<ArrayRef> =
    LazyLock::new(|| words(Checksum::ALL.iter().map(|checksum| checksum.name())));

/// A batch of packets under [`packet_schema`].
///
/// # Errors
/// Arrow's refusal, which would be a defect of netfast.
pub fn packet_batch(columns: &SharedColumns, form: AddressForm) -> Result<RecordBatch, Error> {
    let maker = Maker { columns };
    let ip = maker.nulls(Present::IP);
    let ports = maker.nulls(Present::PORTS);
    let fragment = maker.nulls(Present::FRAGMENT);
    let protocol = maker.nulls(Present::PROTOCOL);
    let more = BooleanBuffer::new(buffer(columns, |c| c.bitmap(Present::MORE_FRAGMENTS)), 0, columns.len());
    let arrays = vec![
        maker.numbers::<UInt64Type>(|c| raw(&c.frame), None),
        maker.numbers::<Int64Type>(|c| raw(&c.time_ns), None),
        maker.numbers::<UInt32Type>(|c| raw(&c.caplen), None),
        maker.numbers::<UInt32Type>(|c| raw(&c.wire_len), None),
        maker.numbers::<UInt16Type>(|c| raw(&c.link_type), None),
        maker.numbers::<UInt16Type>(|c| raw(&c.vlan), maker.nulls(Present::VLAN)),
        maker.numbers::<UInt8Type>(|c| raw(&c.ip_version), ip.clone()),
        maker.addresses(form, |c| raw(&c.src), ip.clone())?,
        maker.addresses(form, |c| raw(&c.dst), ip.clone())?,
        maker.numbers::<UInt8Type>(|c| raw(&c.protocol), protocol),
        maker.numbers::<UInt16Type>(|c| raw(&c.src_port), ports.clone()),
        maker.numbers::<UInt16Type>(|c| raw(&c.dst_port), ports),
        maker.numbers::<UInt16Type>(|c| raw(&c.tcp_flags), maker.nulls(Present::TCP_FLAGS)),
        maker.numbers::<UInt32Type>(|c| raw(&c.payload_len), maker.nulls(Present::PAYLOAD)),
        maker.numbers::<UInt8Type>(|c| raw(&c.hop_limit), ip.clone()),
        maker.numbers::<UInt8Type>(|c| raw(&c.traffic_class), ip),
        maker.numbers::<UInt32Type>(|c| raw(&c.flow_label), maker.nulls(Present::FLOW_LABEL)),
        maker.numbers::<UInt16Type>(|c| raw(&c.fragment_offset), fragment.clone()),
        maker.numbers::<UInt32Type>(|c| raw(&c.fragment_id), fragment.clone()),
        Arc::new(BooleanArray::new(more, fragment)),
        maker.words(|c| raw(&c.l3_checksum), maker.nulls(HAS_L3_CHECKSUM), &CHECKSUMS)?,
        maker.words(|c| raw(&c.l4_checksum), maker.nulls(HAS_L4_CHECKSUM), &CHECKSUMS)?,
        maker.words(|c| raw(&c.verdict), None, &VERDICTS)?,
    ];
    Ok(RecordBatch::try_new(packet_schema(form), arrays)?)
}

/// A batch of flows under [`crate::flow_schema`].
///
/// # Errors
/// Arrow's refusal, which would be a defect of netfast.
pub fn flow_batch(columns: &FlowColumns, form: AddressForm) -> Result<RecordBatch, Error> {
    columns.to_batch(form)
}
