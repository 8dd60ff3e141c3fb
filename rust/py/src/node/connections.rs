//! Connections as they stood: rows for Python, columns for Arrow.
use super::event::{address_text, put_tuple};
use crate::arrow::{array_capsules, schema_capsule};
use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array};
use arrow_schema::ArrowError;
use netfast_datapath::ConnectionInfo;
use netfast_flow::conntrack::{Status, Tuple};
use netfast_time::Instant;
use pyo3::exceptions::{PyIndexError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList, PyTuple};
use std::sync::Arc;

/// Bits of a connection's status that people ask for, by their names in conntrack(8).
const STATUS: &[(&str, Status)] = &[
    ("seen_reply", Status::SEEN_REPLY),
    ("assured", Status::ASSURED),
    ("snat", Status::SNAT),
    ("dnat", Status::DNAT),
];

/// The connections of a node at one time; used through `netfast.Connections`.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle the rows.
#[pyclass(frozen, module = "netfast")]
pub struct ConnectionTable {
    now: Instant,
    connections: Vec<ConnectionInfo>,
}

impl ConnectionTable {
    pub fn new(now: Instant, connections: Vec<ConnectionInfo>) -> Self {
        Self { now, connections }
    }

    fn row_of<'py>(&self, py: Python<'py>, connection: &ConnectionInfo) -> PyResult<Bound<'py, PyDict>> {
        let row = PyDict::new(py);
        row.set_item("id", connection.id)?;
        row.set_item("protocol", connection.original.protocol)?;
        put_tuple(&row, "", &connection.original)?;
        put_tuple(&row, "reply_", &connection.reply)?;
        row.set_item("icmp_id", identifier(&connection.original))?;
        row.set_item("reply_icmp_id", identifier(&connection.reply))?;
        row.set_item("state", connection.tcp.map(|tcp| tcp.name()))?;
        row.set_item("status", PyTuple::new(py, status(connection))?)?;
        row.set_item("mark", connection.mark)?;
        row.set_item("packets", connection.packets[0])?;
        row.set_item("bytes", connection.bytes[0])?;
        row.set_item("reply_packets", connection.packets[1])?;
        row.set_item("reply_bytes", connection.bytes[1])?;
        row.set_item("created_ns", connection.created.as_nanos())?;
        row.set_item("expires_ns", self.expires(connection))?;
        Ok(row)
    }

    fn expires(&self, connection: &ConnectionInfo) -> u64 {
        (self.now + connection.expires_in).as_nanos()
    }

    fn numbers(&self, of: impl Fn(&ConnectionInfo) -> u64) -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(self.connections.iter().map(of)))
    }

    fn addresses(&self, of: impl Fn(&ConnectionInfo) -> &[u8; 16]) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(self.connections.iter().map(|each| address_text(of(each)))))
    }

    fn ports(&self, of: impl Fn(&ConnectionInfo) -> (&Tuple, u16)) -> ArrayRef {
        let ports = self.connections.iter().map(|each| {
            let (tuple, port) = of(each);
            tuple.has_ports().then_some(port)
        });
        Arc::new(ports.collect::<UInt16Array>())
    }

    fn identifiers(&self, of: impl Fn(&ConnectionInfo) -> &Tuple) -> ArrayRef {
        Arc::new(self.connections.iter().map(|each| identifier(of(each))).collect::<UInt16Array>())
    }

    /// The columns, named as the rows name them.
    fn batch(&self) -> Result<RecordBatch, ArrowError> {
        let all = &self.connections;
        let protocols = UInt8Array::from_iter_values(all.iter().map(|each| each.original.protocol));
        let states: StringArray = all.iter().map(|each| each.tcp.map(|tcp| tcp.name())).collect();
        let statuses = StringArray::from_iter_values(all.iter().map(|each| status(each).join(" ")));
        let marks = UInt32Array::from_iter_values(all.iter().map(|each| each.mark));
        RecordBatch::try_from_iter_with_nullable([
            ("id", self.numbers(|each| each.id), false),
            ("protocol", Arc::new(protocols), false),
            ("src", self.addresses(|each| &each.original.source), false),
            ("dst", self.addresses(|each| &each.original.destination), false),
            ("src_port", self.ports(|each| (&each.original, each.original.source_port)), true),
            ("dst_port", self.ports(|each| (&each.original, each.original.destination_port)), true),
            ("reply_src", self.addresses(|each| &each.reply.source), false),
            ("reply_dst", self.addresses(|each| &each.reply.destination), false),
            ("reply_src_port", self.ports(|each| (&each.reply, each.reply.source_port)), true),
            ("reply_dst_port", self.ports(|each| (&each.reply, each.reply.destination_port)), true),
            ("icmp_id", self.identifiers(|each| &each.original), true),
            ("reply_icmp_id", self.identifiers(|each| &each.reply), true),
            ("state", Arc::new(states), true),
            ("status", Arc::new(statuses), false),
            ("mark", Arc::new(marks), false),
            ("packets", self.numbers(|each| each.packets[0]), false),
            ("bytes", self.numbers(|each| each.bytes[0]), false),
            ("reply_packets", self.numbers(|each| each.packets[1]), false),
            ("reply_bytes", self.numbers(|each| each.bytes[1]), false),
            ("created_ns", self.numbers(|each| each.created.as_nanos()), false),
            ("expires_ns", self.numbers(|each| self.expires(each)), false),
        ])
    }
}

fn status(connection: &ConnectionInfo) -> Vec<&'static str> {
    STATUS.iter().filter(|(_, bit)| connection.status.has(*bit)).map(|(name, _)| *name).collect()
}

/// That of ICMP, which stands where others have the source port.
fn identifier(tuple: &Tuple) -> Option<u16> {
    tuple.is_icmp().then_some(tuple.source_port)
}

fn defect(error: ArrowError) -> PyErr {
    PyRuntimeError::new_err(format!("connections do not fit their columns: {error}"))
}

#[pymethods]
impl ConnectionTable {
    fn __len__(&self) -> usize {
        self.connections.len()
    }

    /// One connection, from 0.
    fn row<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyDict>> {
        let missing = || PyIndexError::new_err(format!("there are {} connections", self.connections.len()));
        self.row_of(py, self.connections.get(index).ok_or_else(missing)?)
    }

    /// All connections as dictionaries.
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for connection in &self.connections {
            list.append(self.row_of(py, connection)?)?;
        }
        Ok(list)
    }

    /// Arrow PyCapsule interface; a requested schema is not negotiated.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let _ = requested_schema;
        array_capsules(py, &self.batch().map_err(defect)?)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let empty = Self { now: self.now, connections: Vec::new() };
        schema_capsule(py, &empty.batch().map_err(defect)?.schema())
    }
}
