//! Flow records as columns.
use crate::Error;
use crate::arrow::{AddressForm, address_text, words};
use crate::schema::flow_schema;
use arrow_array::builder::{ListBuilder, PrimitiveBuilder};
use arrow_array::types::{ArrowPrimitiveType, Int8Type, UInt8Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, FixedSizeBinaryArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::{DataType, Field};
use netfast_flow::{CommunityId, EndReason, FlowRecord, FlowState, FlowStatistics, Moments};
use netfast_wire::dissect::protocol;
use std::sync::{Arc, LazyLock};

/// Flow records on their way out.
#[derive(Clone, Debug, Default)]
pub struct FlowColumns {
    records: Vec<FlowRecord>,
    statistics: bool,
}

static STATES: LazyLock<ArrayRef> = LazyLock::new(|| words(FlowState::ALL.iter().map(|state| state.name())));
static REASONS: LazyLock<ArrayRef> =
    LazyLock::new(|| words(EndReason::ALL.iter().map(|reason| reason.name())));

impl FlowColumns {
    /// Takes records; `statistics` says whether their columns are wanted.
    pub fn new(records: Vec<FlowRecord>, statistics: bool) -> Self {
        Self { records, statistics }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records.
    pub fn records(&self) -> &[FlowRecord] {
        &self.records
    }

    /// True when the records carry statistics.
    pub fn has_statistics(&self) -> bool {
        self.statistics
    }

    fn numbers<T: ArrowPrimitiveType>(&self, value: impl Fn(&FlowRecord) -> T::Native) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::from_iter_values(self.records.iter().map(value)))
    }

    fn optional<T: ArrowPrimitiveType>(&self, value: impl Fn(&FlowRecord) -> Option<T::Native>) -> ArrayRef {
        Arc::new(self.records.iter().map(value).collect::<PrimitiveArray<T>>())
    }

    fn keyed(&self, value: impl Fn(&FlowRecord) -> u8, words: &ArrayRef) -> Result<ArrayRef, Error> {
        let keys = PrimitiveArray::<Int8Type>::from_iter_values(self.records.iter().map(|r| value(r) as i8));
        Ok(Arc::new(DictionaryArray::try_new(keys, words.clone())?))
    }

    fn addresses(
        &self,
        form: AddressForm,
        value: impl Fn(&FlowRecord) -> [u8; 16],
    ) -> Result<ArrayRef, Error> {
        let bytes: Vec<[u8; 16]> = self.records.iter().map(value).collect();
        Ok(match form {
            AddressForm::Binary => {
                let values = Buffer::from_vec(bytes.into_flattened());
                Arc::new(FixedSizeBinaryArray::try_new(16, values, None)?)
            }
            AddressForm::Text => {
                let versions: Vec<u8> = self.records.iter().map(|r| r.key.ip_version()).collect();
                Arc::new(address_text(&versions, &bytes))
            }
        })
    }

    /// Text of one length: written straight into the array's buffer.
    fn community_ids(&self) -> Result<ArrayRef, Error> {
        let text: Vec<CommunityId> = self.records.iter().map(FlowRecord::community_id).collect();
        let lengths = OffsetBuffer::from_repeated_length(size_of::<CommunityId>(), text.len());
        Ok(Arc::new(StringArray::try_new(lengths, Buffer::from_vec(text.into_flattened()), None)?))
    }

    pub(crate) fn to_batch(&self, form: AddressForm) -> Result<RecordBatch, Error> {
        use arrow_array::types::{Int64Type, UInt16Type, UInt64Type};
        let time = |ns: u64| ns.min(i64::MAX as u64) as i64;
        let tcp =
            |r: &FlowRecord, way: usize| (r.key.protocol() == protocol::TCP).then_some(r.tcp_flags[way]);
        let mut arrays: Vec<ArrayRef> = vec![
            self.numbers::<Int64Type>(|r| time(r.first_ns)),
            self.numbers::<Int64Type>(|r| time(r.last_ns)),
            self.numbers::<UInt8Type>(|r| r.key.ip_version()),
            self.addresses(form, |r| r.src.address)?,
            self.addresses(form, |r| r.dst.address)?,
            self.numbers::<UInt8Type>(|r| r.key.protocol()),
            self.optional::<UInt16Type>(|r| r.src.port),
            self.optional::<UInt16Type>(|r| r.dst.port),
            self.optional::<UInt16Type>(|r| r.key.vlan()),
            self.numbers::<UInt64Type>(|r| r.packets[0]),
            self.numbers::<UInt64Type>(|r| r.packets[1]),
            self.numbers::<UInt64Type>(|r| r.bytes[0]),
            self.numbers::<UInt64Type>(|r| r.bytes[1]),
            self.numbers::<UInt64Type>(|r| r.l2_bytes[0]),
            self.numbers::<UInt64Type>(|r| r.l2_bytes[1]),
            self.optional::<UInt16Type>(|r| tcp(r, 0)),
            self.optional::<UInt16Type>(|r| tcp(r, 1)),
            self.keyed(|r| r.state as u8, &STATES)?,
            self.keyed(|r| r.end_reason as u8, &REASONS)?,
            self.community_ids()?,
        ];
        if self.statistics {
            arrays.extend(self.statistics_arrays());
        }
        Ok(RecordBatch::try_new(flow_schema(form, self.statistics), arrays)?)
    }

    fn statistics_arrays(&self) -> Vec<ArrayRef> {
        use arrow_array::types::{Float64Type, UInt64Type};
        let mut arrays = Vec::new();
        for series in [size as fn(&FlowStatistics, usize) -> &Moments, gap] {
            for way in [0, 1] {
                let of = |r: &FlowRecord| r.statistics.as_deref().map(|s| *series(s, way));
                arrays.push(self.optional::<UInt64Type>(|r| of(r).and_then(|m| m.min())));
                arrays.push(self.optional::<Float64Type>(|r| of(r).and_then(|m| m.mean())));
                arrays.push(self.optional::<UInt64Type>(|r| of(r).and_then(|m| m.max())));
                arrays.push(self.optional::<Float64Type>(|r| of(r).and_then(|m| m.deviation())));
            }
        }
        arrays.push(self.list::<UInt32Type>(DataType::UInt32, |s| &s.lengths));
        arrays.push(self.list::<UInt8Type>(DataType::UInt8, |s| &s.directions));
        arrays
    }

    fn list<T: ArrowPrimitiveType>(
        &self,
        item: DataType,
        values: fn(&FlowStatistics) -> &[T::Native],
    ) -> ArrayRef {
        let field = Field::new("item", item, false);
        let mut builder = ListBuilder::new(PrimitiveBuilder::<T>::new()).with_field(field);
        for record in &self.records {
            builder.values().append_slice(record.statistics.as_deref().map_or(&[], values));
            builder.append(true);
        }
        Arc::new(builder.finish()) as Arc<dyn Array>
    }
}

fn size(statistics: &FlowStatistics, way: usize) -> &Moments {
    &statistics.size[way]
}

fn gap(statistics: &FlowStatistics, way: usize) -> &Moments {
    &statistics.gap[way]
}
