//! The hook for new flows: a function of Python's that is asked about them, in batches.
use super::packets::address_bytes;
use crate::errors::option_error;
use netfast_datapath::{HookPolicy, HookVerdict, NewFlow as Flow};
use pyo3::exceptions::{PyRuntimeWarning, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use std::net::{IpAddr, Ipv6Addr};

/// A flow that begins, as a hook is asked about it.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct NewFlow {
    flow: Flow,
    port: String,
}

#[pymethods]
impl NewFlow {
    /// The port that its first packet came in at.
    #[getter]
    fn port(&self) -> &str {
        &self.port
    }

    /// Source address of its first packet.
    #[getter]
    fn src(&self) -> String {
        text(&self.flow.tuple.source)
    }

    /// Destination address of its first packet.
    #[getter]
    fn dst(&self) -> String {
        text(&self.flow.tuple.destination)
    }

    /// Number of its protocol.
    #[getter]
    fn protocol(&self) -> u8 {
        self.flow.tuple.protocol
    }

    /// Source port; `None` for protocols without.
    #[getter]
    fn src_port(&self) -> Option<u16> {
        self.flow.tuple.has_ports().then_some(self.flow.tuple.source_port)
    }

    /// Destination port; `None` for protocols without.
    #[getter]
    fn dst_port(&self) -> Option<u16> {
        self.flow.tuple.has_ports().then_some(self.flow.tuple.destination_port)
    }

    /// Which packet of the batch begins it, from 0.
    #[getter]
    fn index(&self) -> usize {
        self.flow.packet
    }

    fn __repr__(&self) -> String {
        let end = |address: &[u8; 16], port: Option<u16>| match port {
            Some(port) if address.starts_with(&[0; 10]) => format!("{}:{port}", text(address)),
            Some(port) => format!("[{}]:{port}", text(address)),
            None => text(address),
        };
        let tuple = &self.flow.tuple;
        let (from, to) = (end(&tuple.source, self.src_port()), end(&tuple.destination, self.dst_port()));
        format!("<netfast.NewFlow {from} > {to} protocol {} at {}>", tuple.protocol, self.port)
    }
}

fn text(address: &[u8; 16]) -> String {
    Ipv6Addr::from(*address).to_canonical().to_string()
}

/// What a hook said.
#[derive(Default)]
pub struct Answer {
    /// Of each flow; by the policy where the hook failed.
    pub verdicts: Vec<Option<HookVerdict>>,
    /// Whether it failed.
    pub failed: bool,
    /// What must reach the caller once the packets are through: Ctrl-C and exits.
    pub raised: Option<PyErr>,
}

/// Asks a hook.
pub fn ask(
    py: Python<'_>,
    hook: &Py<PyAny>,
    flows: &[(Flow, String)],
    policy: HookPolicy,
    tracks: bool,
) -> Answer {
    let said = said(py, hook, flows).and_then(|verdicts| {
        let translates = |verdict: &HookVerdict| verdict.source.is_some() || verdict.destination.is_some();
        match tracks || !verdicts.iter().flatten().any(translates) {
            true => Ok(verdicts),
            false => Err(PyValueError::new_err("translations need connections: set tracking=\"on\"")),
        }
    });
    let failed = said.as_ref().err().filter(|error| !passes_through(py, error));
    if let Some(error) = failed {
        warn(py, error);
    }
    match said {
        Ok(verdicts) => Answer { verdicts, failed: false, raised: None },
        Err(error) => Answer {
            raised: passes_through(py, &error).then_some(error),
            ..Answer::of_policy(policy, flows.len())
        },
    }
}

impl Answer {
    /// That for flows about which no hook could be asked.
    pub fn of_policy(policy: HookPolicy, flows: usize) -> Self {
        let verdict = HookVerdict { drop: policy == HookPolicy::Drop, ..HookVerdict::default() };
        Self { verdicts: vec![Some(verdict); flows], failed: true, raised: None }
    }
}

/// Ctrl-C and exits are not swallowed: the policy holds for the packets, and then they go on to the caller.
fn passes_through(py: Python<'_>, error: &PyErr) -> bool {
    !error.is_instance_of::<pyo3::exceptions::PyException>(py)
}

fn said(py: Python<'_>, hook: &Py<PyAny>, flows: &[(Flow, String)]) -> PyResult<Vec<Option<HookVerdict>>> {
    let described: Vec<_> =
        flows.iter().map(|(flow, port)| NewFlow { flow: *flow, port: port.clone() }).collect();
    let described =
        PyList::new(py, described.into_iter().map(|flow| Py::new(py, flow)).collect::<PyResult<Vec<_>>>()?)?;
    let answer = hook.bind(py).call1((described,))?;
    if answer.is_none() {
        return Ok(vec![None; flows.len()]);
    }
    let verdicts = answer.try_iter()?.map(|verdict| verdict_of(&verdict?)).collect::<PyResult<Vec<_>>>()?;
    if verdicts.len() != flows.len() {
        let text = format!("{} verdicts for {} flows: return one for each", verdicts.len(), flows.len());
        return Err(PyValueError::new_err(text));
    }
    for (verdict, (flow, _)) in verdicts.iter().zip(flows) {
        verdict.as_ref().map_or(Ok(()), |verdict| check_family(verdict, flow))?;
    }
    Ok(verdicts)
}

/// Translations stay within the family of the flow.
fn check_family(verdict: &HookVerdict, flow: &Flow) -> PyResult<()> {
    let is_v6 = |address: &[u8; 16]| Ipv6Addr::from(*address).to_ipv4_mapped().is_none();
    let v6 = is_v6(&flow.tuple.source);
    for (name, endpoint) in [("source", verdict.source), ("destination", verdict.destination)] {
        if let Some((address, _)) = endpoint.filter(|(address, _)| is_v6(address) != v6) {
            let family = if v6 { "IPv6" } else { "IPv4" };
            let text = format!("{name}={} for an {family} flow: give an {family} address", text(&address));
            return Err(PyValueError::new_err(text));
        }
    }
    Ok(())
}

/// `None`, "accept", "drop" or a `FlowVerdict`.
fn verdict_of(object: &Bound<'_, PyAny>) -> PyResult<Option<HookVerdict>> {
    if object.is_none() {
        return Ok(None);
    }
    if let Ok(word) = object.cast::<PyString>() {
        return match word.to_str()? {
            "accept" => Ok(None),
            "drop" => Ok(Some(HookVerdict { drop: true, ..HookVerdict::default() })),
            other => Err(PyValueError::new_err(format!("verdict {other:?}: there are accept and drop"))),
        };
    }
    let refused = |_| {
        let name = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("a verdict is None, \"accept\", \"drop\" or a FlowVerdict, not {name}"))
    };
    let drop = object.getattr("drop").map_err(refused)?.extract()?;
    let mark = object.getattr("mark").map_err(refused)?.extract()?;
    Ok(Some(HookVerdict {
        drop,
        mark,
        source: endpoint(object, "source", "source_port")?,
        destination: endpoint(object, "destination", "destination_port")?,
    }))
}

type Endpoint = Option<([u8; 16], Option<u16>)>;

fn endpoint(object: &Bound<'_, PyAny>, address: &str, port: &str) -> PyResult<Endpoint> {
    let given: Option<String> = object.getattr(address)?.extract()?;
    let port_given: Option<u16> = object.getattr(port)?.extract()?;
    let Some(text) = given else {
        return match port_given {
            Some(_) => Err(option_error(object.py(), port, &format!("{port} needs {address}; give both"))),
            None => Ok(None),
        };
    };
    let parsed: IpAddr = text.parse().map_err(|_| {
        option_error(object.py(), address, &format!("{address}={text:?}: give an address such as 192.0.2.1"))
    })?;
    Ok(Some((address_bytes(parsed), port_given)))
}

/// A `RuntimeWarning` that says where the hook failed and has what it raised as its cause. Where warnings are errors it is
/// told as one that nobody can catch: what came out of the node must reach the caller.
fn warn(py: Python<'_>, failure: &PyErr) {
    let warned = || -> PyResult<()> {
        let place = raised_at(py, failure)?.map_or_else(String::new, |place| format!(" ({place})"));
        let text = format!("the hook for new flows failed, so the policy holds: {failure}{place}");
        let warning = py.get_type::<PyRuntimeWarning>().call1((text,))?;
        warning.setattr("__cause__", failure.clone_ref(py).into_value(py))?;
        // The caller of the stack's method.
        let level = PyDict::new(py);
        level.set_item("stacklevel", 2)?;
        py.import("warnings")?.call_method("warn", (warning,), Some(&level)).map(drop)
    };
    if let Err(error) = warned() {
        error.write_unraisable(py, None);
    }
}

/// File and line where an exception was raised, if that was in Python.
fn raised_at(py: Python<'_>, error: &PyErr) -> PyResult<Option<String>> {
    let Some(traceback) = error.traceback(py) else { return Ok(None) };
    let mut last = traceback.into_any();
    loop {
        let next = last.getattr("tb_next")?;
        if next.is_none() {
            break;
        }
        last = next;
    }
    let file = last.getattr("tb_frame")?.getattr("f_code")?.getattr("co_filename")?;
    Ok(Some(format!("{file}, line {}", last.getattr("tb_lineno")?)))
}
