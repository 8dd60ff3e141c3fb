//! Events as rows for Python.
use super::value::mac_text;
use netfast_datapath::{Event, Node, PortId};
use netfast_flow::conntrack::Tuple;
use netfast_time::Instant;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::net::Ipv6Addr;

/// An address as text, IPv4 as such.
pub fn address_text(address: &[u8; 16]) -> String {
    Ipv6Addr::from(*address).to_canonical().to_string()
}

/// Addresses, ports and protocol, with a prefix before the names.
pub fn put_tuple(row: &Bound<'_, PyDict>, prefix: &str, tuple: &Tuple) -> PyResult<()> {
    let port = |port: u16| tuple.has_ports().then_some(port);
    row.set_item(format!("{prefix}src"), address_text(&tuple.source))?;
    row.set_item(format!("{prefix}dst"), address_text(&tuple.destination))?;
    row.set_item(format!("{prefix}src_port"), port(tuple.source_port))?;
    row.set_item(format!("{prefix}dst_port"), port(tuple.destination_port))
}

fn put_flow(row: &Bound<'_, PyDict>, tuple: &Tuple) -> PyResult<()> {
    row.set_item("protocol", tuple.protocol)?;
    put_tuple(row, "", tuple)
}

/// An event: its `kind`, `time_ns`, and what belongs to it.
pub fn row<'py>(py: Python<'py>, node: &Node, time: Instant, event: &Event) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("kind", event.name())?;
    row.set_item("time_ns", time.as_nanos())?;
    let name = |port: &Option<PortId>| port.map(|port| node.port_name(port));
    match event {
        Event::NewConnection { id, original, reply } => {
            row.set_item("id", id)?;
            put_flow(&row, original)?;
            put_tuple(&row, "reply_", reply)?;
        }
        Event::EndedConnection { id, reason, original, reply, packets, bytes, created } => {
            row.set_item("id", id)?;
            row.set_item("reason", reason.name())?;
            put_flow(&row, original)?;
            put_tuple(&row, "reply_", reply)?;
            row.set_item("packets", packets[0])?;
            row.set_item("reply_packets", packets[1])?;
            row.set_item("bytes", bytes[0])?;
            row.set_item("reply_bytes", bytes[1])?;
            row.set_item("created_ns", created.as_nanos())?;
        }
        Event::Log { prefix, rule, tuple, in_port, out_port, length } => {
            row.set_item("prefix", &**prefix)?;
            row.set_item("rule", &**rule)?;
            put_flow(&row, tuple)?;
            row.set_item("in_port", name(in_port))?;
            row.set_item("out_port", name(out_port))?;
            row.set_item("length", length)?;
        }
        Event::UnresolvedNeighbour { port, address } | Event::NeighbourDisplaced { port, address } => {
            row.set_item("port", node.port_name(*port))?;
            row.set_item("ip", address.to_string())?;
        }
        Event::NeighbourChanged { port, address, mac, from } => {
            row.set_item("port", node.port_name(*port))?;
            row.set_item("ip", address.to_string())?;
            row.set_item("mac", mac_text(*mac))?;
            row.set_item("from_mac", from.map(mac_text))?;
        }
        Event::NeighbourFailed { port, address, mac } => {
            row.set_item("port", node.port_name(*port))?;
            row.set_item("ip", address.to_string())?;
            row.set_item("mac", mac.map(mac_text))?;
        }
        Event::NatExhausted { tuple } | Event::TableFull { tuple } => put_flow(&row, tuple)?,
        // What later versions of the node tell besides has its kind and its time.
        _ => {}
    }
    Ok(row)
}
