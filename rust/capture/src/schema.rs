//! Names and Arrow types of the columns: fixed, so that programs can rely on them.
use crate::AddressForm;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// Names of the packet columns, in order.
pub const PACKET_COLUMNS: &[&str] = &[
    "frame",
    "time_ns",
    "caplen",
    "len",
    "link_type",
    "vlan",
    "ip_version",
    "src",
    "dst",
    "protocol",
    "src_port",
    "dst_port",
    "tcp_flags",
    "payload_len",
    "hop_limit",
    "traffic_class",
    "flow_label",
    "fragment_offset",
    "fragment_id",
    "more_fragments",
    "l3_checksum",
    "l4_checksum",
    "verdict",
];

/// Names of the flow columns, in order.
pub const FLOW_COLUMNS: &[&str] = &[
    "first_ns",
    "last_ns",
    "ip_version",
    "src",
    "dst",
    "protocol",
    "src_port",
    "dst_port",
    "vlan",
    "packets_fwd",
    "packets_rev",
    "bytes_fwd",
    "bytes_rev",
    "l2_bytes_fwd",
    "l2_bytes_rev",
    "tcp_flags_fwd",
    "tcp_flags_rev",
    "state",
    "end_reason",
    "community_id",
];

/// Names of the columns that statistics add; sizes in IP octets, gaps (inter-arrival times) in ns.
pub const STATISTICS_COLUMNS: &[&str] = &[
    "size_min_fwd",
    "size_mean_fwd",
    "size_max_fwd",
    "size_stddev_fwd",
    "size_min_rev",
    "size_mean_rev",
    "size_max_rev",
    "size_stddev_rev",
    "iat_min_fwd",
    "iat_mean_fwd",
    "iat_max_fwd",
    "iat_stddev_fwd",
    "iat_min_rev",
    "iat_mean_rev",
    "iat_max_rev",
    "iat_stddev_rev",
    "packet_lengths",
    "packet_directions",
];

pub(crate) fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8))
}

pub(crate) fn address_type(form: AddressForm) -> DataType {
    match form {
        AddressForm::Binary => DataType::FixedSizeBinary(16),
        AddressForm::Text => DataType::Utf8,
    }
}

pub(crate) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, false)))
}

/// The schema of packet batches.
pub fn packet_schema(form: AddressForm) -> SchemaRef {
    let fields: Vec<_> = PACKET_COLUMNS
        .iter()
        .map(|&name| {
            let (kind, nullable) = match name {
                "frame" => (DataType::UInt64, false),
                "time_ns" => (DataType::Int64, false),
                "caplen" | "len" => (DataType::UInt32, false),
                "link_type" => (DataType::UInt16, false),
                "verdict" => (dictionary(), false),
                "src" | "dst" => (address_type(form), true),
                "ip_version" | "protocol" | "hop_limit" | "traffic_class" => (DataType::UInt8, true),
                "payload_len" | "flow_label" | "fragment_id" => (DataType::UInt32, true),
                "more_fragments" => (DataType::Boolean, true),
                "l3_checksum" | "l4_checksum" => (dictionary(), true),
                // vlan, ports, tcp_flags, fragment_offset
                _ => (DataType::UInt16, true),
            };
            Field::new(name, kind, nullable)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// The schema of flow batches.
pub fn flow_schema(form: AddressForm, statistics: bool) -> SchemaRef {
    let mut fields: Vec<_> = FLOW_COLUMNS
        .iter()
        .map(|&name| {
            let (kind, nullable) = match name {
                "first_ns" | "last_ns" => (DataType::Int64, false),
                "ip_version" | "protocol" => (DataType::UInt8, false),
                "src" | "dst" => (address_type(form), false),
                "src_port" | "dst_port" | "vlan" => (DataType::UInt16, true),
                "tcp_flags_fwd" | "tcp_flags_rev" => (DataType::UInt16, true),
                "state" | "end_reason" => (dictionary(), false),
                "community_id" => (DataType::Utf8, false),
                _ => (DataType::UInt64, false),
            };
            Field::new(name, kind, nullable)
        })
        .collect();
    if statistics {
        fields.extend(STATISTICS_COLUMNS.iter().map(|&name| match name {
            "packet_lengths" => Field::new(name, list_of(DataType::UInt32), false),
            "packet_directions" => Field::new(name, list_of(DataType::UInt8), false),
            _ if name.contains("_mean_") || name.contains("_stddev_") => {
                Field::new(name, DataType::Float64, true)
            }
            _ => Field::new(name, DataType::UInt64, true),
        }));
    }
    Arc::new(Schema::new(fields))
}
