//! Descriptors, addresses and counters between Python and the transmitter.
use crate::errors::option_error;
use netfast_io::transmit::{Rung, TransmitCounters};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{BorrowedFd, OwnedFd};

/// A descriptor of our own for the socket.
pub fn socket_of(number: i32) -> PyResult<OwnedFd> {
    if number < 0 {
        return Err(PyValueError::new_err("the socket is closed"));
    }
    // SAFETY: the number is not -1. It is only duplicated here; where it is no descriptor, that is the error.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(borrowed.try_clone_to_owned()?)
}

/// An address as Python's sockets have it: `(host, port)`, or `(host, port, flow, scope)` of IPv6.
pub fn address_of(to: &Bound<'_, PyTuple>) -> PyResult<SocketAddr> {
    let wrong = || PyTypeError::new_err("to: give (address, port), or (address, port, flow label, scope)");
    if to.len() != 2 && to.len() != 4 {
        return Err(wrong());
    }
    let host: String = to.get_item(0)?.extract().map_err(|_| wrong())?;
    let number = |at: usize| -> PyResult<u32> { to.get_item(at)?.extract().map_err(|_| wrong()) };
    let not = |text: String| option_error(to.py(), "to", &text);
    let port = u16::try_from(number(1)?).map_err(|_| not("to: ports are 0 to 65,535".to_owned()))?;
    let address: IpAddr =
        host.parse().map_err(|_| not(format!("to: {host:?} is no IP address: names are not looked up")))?;
    match (address, to.len()) {
        (IpAddr::V6(address), 4) => Ok(scoped(address, port, number(2)?, number(3)?)),
        _ => Ok(SocketAddr::new(address, port)),
    }
}

fn scoped(address: Ipv6Addr, port: u16, flow: u32, scope: u32) -> SocketAddr {
    SocketAddr::V6(SocketAddrV6::new(address, port, flow, scope))
}

/// The counters by name, those of rungs under `rungs`; with the bytes and pieces that were copied for Python's sake.
pub fn counters_of<'py>(
    py: Python<'py>,
    counters: &TransmitCounters,
    (copied_bytes, copied): (u64, u64),
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let all = [
        ("copied_here", copied),
        ("copied_here_bytes", copied_bytes),
        ("taken", counters.taken),
        ("sent", counters.sent),
        ("failed", counters.failed),
        ("cancelled", counters.cancelled),
        ("released", counters.released),
        ("full", counters.full),
        ("blocked", counters.blocked),
        ("out_of_memory", counters.out_of_memory),
        ("short", counters.short),
        ("unsegmented", counters.unsegmented),
        ("zero_copy_refused", counters.zero_copy_refused),
        ("leaked", counters.leaked),
        ("changes", counters.changes),
    ];
    for (name, value) in all {
        dict.set_item(name, value)?;
    }
    let rungs = PyDict::new(py);
    for &rung in Rung::ALL {
        let of = counters.rung(rung);
        let each = PyDict::new(py);
        let all = [
            ("parts", of.parts),
            ("datagrams", of.datagrams),
            ("bytes", of.bytes),
            ("calls", of.calls),
            ("zero_copied", of.zero_copied),
            ("copied", of.copied),
            ("notification_ns", of.notification_time.as_nanos()),
            ("longest_notification_ns", of.notification_longest.as_nanos()),
        ];
        for (name, value) in all {
            each.set_item(name, value)?;
        }
        rungs.set_item(rung.name(), each)?;
    }
    dict.set_item("rungs", rungs)?;
    Ok(dict)
}
