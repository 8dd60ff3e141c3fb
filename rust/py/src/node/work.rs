//! Packets in and out, time, traces, events, taps.
use super::hook::{Answer, ask};
use super::mistake::Mistake;
use super::packets::{Frame, Given, Outcome, PushResult};
use super::state::State;
use super::tap::{CaptureFile, FileError};
use super::value::{maybe_time, refused, time};
use super::{Node, raise, raise_node};
use crate::errors::option_error;
use crate::gate::raise_io;
use netfast_buf::{BufError, PacketBatch, PacketPool, Skb};
use netfast_datapath::{CacheCounters, Difference, NewFlow, Outputs, PortId, Tracking};
use netfast_flow::conntrack::Tuple;
use netfast_time::Instant;
use netfast_wire::LinkType;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

/// What the cache did.
pub fn cache_row<'py>(py: Python<'py>, cache: &CacheCounters) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("hits", cache.hits)?;
    row.set_item("known", cache.known)?;
    row.set_item("misses", cache.misses)?;
    row.set_item("uncached", cache.uncached)?;
    row.set_item("walked", cache.walked)?;
    row.set_item("refreshed", cache.refreshed)?;
    row.set_item("revalidated", cache.revalidated)?;
    row.set_item("changed", cache.changed)?;
    row.set_item("refused", cache.refused)?;
    Ok(row)
}

impl State {
    /// Refuses what a tap cannot write, before the file is made anew.
    fn check_tap(&self, path: &Path) -> Result<(), Mistake> {
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        if ending.is_some_and(|ending| ending == "pcap" || ending == "cap") {
            let expected =
                "a name that ends in .pcapng, for taps write pcapng (directions, reasons of drops)";
            return Err(refused("path", expected, &path.display().to_string()));
        }
        self.refuse_replayed("path", path)?;
        self.refuse_tapped("path", path)
    }

    /// Refuses a file that a tap is writing.
    pub fn refuse_tapped(&self, key: &'static str, path: &Path) -> Result<(), Mistake> {
        let Some(port) = self.taps.writes(path) else { return Ok(()) };
        let port = self.node.port_name(port);
        let expected = format!("another file than that of the tap at port {port:?}, or an end of it first");
        Err(refused(key, &expected, &path.display().to_string()))
    }

    /// Refuses to write a file that the device of a port reads.
    pub fn refuse_replayed(&self, key: &'static str, path: &Path) -> Result<(), Mistake> {
        let devices = self.node.port_configs().filter_map(|(port, _)| self.device_of(port));
        match devices.into_iter().any(|device| device.reads(path)) {
            true => Err(Mistake::Overwritten { key, path: path.display().to_string() }),
            false => Ok(()),
        }
    }

    /// Writes what taps recorded.
    pub fn write_taps(&mut self) -> Result<(), FileError> {
        let Self { taps, node, .. } = self;
        taps.write(node)
    }

    /// The flows that packets of a batch begin, with the names of their ports, and for each packet which of them it is of.
    fn new_flows(&self, port: PortId, packets: &PacketBatch) -> (Vec<(NewFlow, String)>, Vec<Option<usize>>) {
        let (mut flows, mut places) = (Vec::<(NewFlow, String)>::new(), Vec::with_capacity(packets.len()));
        let mut known = HashMap::<Tuple, usize>::new();
        for (at, packet) in packets.packets().iter().enumerate() {
            let begun = self.node.new_flows(port, std::slice::from_ref(packet)).pop();
            places.push(begun.map(|flow| {
                if let Some(place) = known.get(&flow.tuple) {
                    return *place;
                }
                let place = flows.len();
                known.extend(
                    std::iter::once(flow.tuple).chain(flow.tuple.reply()).map(|tuple| (tuple, place)),
                );
                flows.push((NewFlow { packet: at, ..flow }, self.node.port_name(flow.port).to_owned()));
                place
            }));
        }
        (flows, places)
    }

    /// Differences that were found since the last call, each with its packet in hexadecimal.
    pub fn take_differences(&mut self) -> Vec<String> {
        let (found, missed, _) = self.node.take_differences();
        let node = &self.node;
        let line = |difference: &Difference| {
            let bytes: String = difference.packet.iter().map(|byte| format!("{byte:02x}")).collect();
            let (time, port) = (difference.time.as_nanos(), node.port_name(difference.port));
            format!("at {time} ns by {port}: {}: {bytes}", difference.text)
        };
        let more = (missed > 0).then(|| format!("and {missed} more differences"));
        found.iter().map(line).chain(more).collect()
    }

    /// All packets that the caller gave, in batches.
    fn push_all(
        &mut self,
        port: PortId,
        now: Option<Instant>,
        given: &Given<'_, '_>,
        batch: &mut PacketBatch,
        outputs: &mut Outputs,
    ) -> PyResult<()> {
        let mut at = 0;
        while let Some(frames) = given.plain() {
            at = frames
                .fill(at, batch, self.node.pool())
                .map_err(|error| Python::attach(|py| too_long(py, error)))?;
            self.push(port, now, batch, &[], outputs);
            if at == frames.len() {
                return Ok(());
            }
        }
        given
            .each(|frame| {
                if batch.is_full() {
                    self.push(port, now, batch, &[], outputs);
                }
                self.take(batch, frame)
            })
            .map_err(|error| Python::attach(|py| too_long(py, error)))?;
        self.push(port, now, batch, &[], outputs);
        Ok(())
    }

    /// Copies the frame into the batch.
    #[inline]
    pub fn take(&mut self, packets: &mut PacketBatch, frame: Frame<'_>) -> Result<(), BufError> {
        frame.mark(packets.push_slice(frame.bytes, self.node.pool())?);
        Ok(())
    }
}

fn too_long(py: Python<'_>, error: BufError) -> PyErr {
    option_error(py, "packets", &error.to_string())
}

/// A batch goes in. A hook is asked about it first: without the lock, which `relock` takes again, so that it may call
/// the stack. What must reach the caller is `raised`, after the packets went in: they must not be lost. Once something is,
/// no hook is asked, and the policy holds.
pub fn pass<'a>(
    relock: &dyn Fn() -> MutexGuard<'a, State>,
    mut state: MutexGuard<'a, State>,
    port: PortId,
    now: Option<Instant>,
    packets: &mut PacketBatch,
    raised: &mut Option<PyErr>,
    out: &mut Outputs,
) -> MutexGuard<'a, State> {
    if state.hook.is_none() {
        state.push(port, now, packets, &[], out);
        return state;
    }
    let (flows, places) = state.new_flows(port, packets);
    if flows.is_empty() {
        state.push(port, now, packets, &[], out);
        return state;
    }
    let (policy, tracks) = (state.node.hook_policy(), state.node.config().tracking == Tracking::On);
    let asked = std::thread::current().id();
    let answer = Python::attach(|py| {
        let hook = state.hook.as_ref().filter(|_| raised.is_none()).map(|hook| hook.clone_ref(py));
        state.asking.push(asked);
        drop(state);
        match hook {
            Some(hook) => ask(py, &hook, &flows, policy, tracks),
            None if raised.is_some() => Answer::of_policy(policy, flows.len()),
            None => Answer::default(),
        }
    });
    // Not within what holds the GIL: whoever has the lock may need that to go on.
    let mut state = relock();
    state.asking.retain(|thread| *thread != asked);
    let said = |flow: &Option<usize>| flow.and_then(|flow| answer.verdicts.get(flow).copied().flatten());
    let verdicts: Vec<_> = places.iter().map(said).collect();
    if answer.failed {
        state.note_hook_failure(flows.len());
    }
    *raised = raised.take().or(answer.raised);
    state.push(port, now, packets, &verdicts, out);
    state
}

impl Node {
    /// As [`State::push_all`], and a hook is asked about each batch.
    #[allow(clippy::too_many_arguments, reason = "the parts of a push, borrowed apart")]
    fn ask_and_push<'a>(
        &'a self,
        py: Python<'_>,
        state: MutexGuard<'a, State>,
        port: PortId,
        now: Option<Instant>,
        given: &Given<'_, '_>,
        batch: &mut PacketBatch,
        outputs: &mut Outputs,
    ) -> PyResult<MutexGuard<'a, State>> {
        let relock = || self.lock(py);
        let (mut held, mut raised) = (Some(state), None);
        given.each(|frame| -> PyResult<()> {
            let mut state = held.take().unwrap_or_else(relock);
            if batch.is_full() {
                state = pass(&relock, state, port, now, batch, &mut raised, outputs);
            }
            let taken = state.take(batch, frame);
            held = Some(state);
            taken.map_err(|error| too_long(py, error))
        })?;
        let state = pass(&relock, held.unwrap_or_else(relock), port, now, batch, &mut raised, outputs);
        raised.map_or(Ok(state), Err)
    }

    /// The result of a call.
    pub fn finish(
        &self,
        py: Python<'_>,
        mut state: MutexGuard<'_, State>,
        mut outputs: Outputs,
    ) -> PyResult<PushResult> {
        state.send_live(&mut outputs);
        let written = state.write_taps();
        drop(state);
        let result = PushResult::new(Outcome::new(outputs, self.shared.clone()));
        written.map(|()| result).map_err(|(path, error)| raise_io(py, &path, &error))
    }
}

#[pymethods]
impl Node {
    #[pyo3(signature = (port, packets, now=None))]
    fn push(
        &self,
        py: Python<'_>,
        port: &str,
        packets: &Bound<'_, PyAny>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PushResult> {
        let now = maybe_time(now)?.map(Instant::from_nanos);
        let given = Given::of(packets)?;
        given.check(py)?;
        let mut state = self.lock(py);
        state.refuse_within_hook(py)?;
        let port = state.port("port", port).map_err(|mistake| raise(py, mistake))?;
        let mut outputs = state.outputs();
        let mut batch = state.incoming.take().unwrap_or_default();
        let pushed = match state.hook {
            None => state.push_all(port, now, &given, &mut batch, &mut outputs).map(|()| state),
            Some(_) => self.ask_and_push(py, state, port, now, &given, &mut batch, &mut outputs),
        };
        let mut state = match pushed {
            Ok(state) => state,
            Err(error) => {
                let mut state = self.lock(py);
                state.incoming = Some(batch);
                state.send_live(&mut outputs);
                // All packets went in, and the caller has no result: the next call's has what came out.
                state.kept = Some(outputs);
                // What was raised says more than that a tap could not be written.
                let _ = state.write_taps();
                return Err(error);
            }
        };
        state.incoming = Some(batch);
        self.finish(py, state, outputs)
    }

    #[pyo3(signature = (packet, now=None))]
    fn send(
        &self,
        py: Python<'_>,
        packet: &Bound<'_, PyAny>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PushResult> {
        let now = maybe_time(now)?;
        let given = crate::packet::Given::of(packet, Some(LinkType::RAW))?;
        if given.bytes().first().is_some_and(|octet| !matches!(octet >> 4, 4 | 6)) {
            let text =
                "packet: send takes an IP packet, from its IP header on; a frame comes in at a port by push";
            return Err(option_error(py, "packet", text));
        }
        let mut state = self.lock(py);
        let now = state.now(now.or(given.time_ns));
        let packet = Skb::from_slice(given.bytes(), state.node.pool());
        let packet = packet.map_err(|error| option_error(py, "packet", &error.to_string()))?;
        let mut outputs = state.outputs();
        state.node.send(now, packet, &mut outputs);
        self.finish(py, state, outputs)
    }

    fn poll(&self, py: Python<'_>, now: &Bound<'_, PyAny>) -> PyResult<PushResult> {
        let now = Instant::from_nanos(time(now)?);
        let mut state = self.lock(py);
        let mut outputs = state.outputs();
        state.node.poll(now, &mut outputs);
        self.finish(py, state, outputs)
    }

    fn next_timeout(&self, py: Python<'_>) -> Option<u64> {
        self.lock(py).node.next_timeout().map(Instant::as_nanos)
    }

    fn trace<'py>(
        &self,
        py: Python<'py>,
        packet: &Bound<'_, PyAny>,
        port: &str,
    ) -> PyResult<Bound<'py, PyDict>> {
        let given = Given::Several(vec![crate::packet::Given::of(packet, None)?]);
        given.check(py)?;
        let state = self.lock(py);
        let number = state.port("port", port).map_err(|mistake| raise(py, mistake))?;
        let mut found = None;
        let traced = given.each(|frame| {
            let mut packet = Skb::from_slice(frame.bytes, &mut PacketPool::default())?;
            frame.mark(&mut packet);
            found = Some(state.node.trace(number, &packet));
            Ok(())
        });
        traced.map_err(|error: BufError| option_error(py, "packet", &error.to_string()))?;
        let row = PyDict::new(py);
        let Some(trace) = found else { return Ok(row) };
        let steps: Vec<_> = trace.steps.iter().map(|step| (step.table, step.text.as_str())).collect();
        row.set_item("steps", steps)?;
        row.set_item("verdict", &trace.verdict)?;
        row.set_item("cache", trace.cache.name())?;
        row.set_item("reason", trace.reason.map(|reason| reason.name()))?;
        row.set_item("out_port", trace.out_port.map(|port| state.node.port_name(port)))?;
        Ok(row)
    }

    /// A function that is asked about new flows; `None` takes it away.
    #[pyo3(signature = (hook=None))]
    fn set_hook(&self, py: Python<'_>, hook: Option<Py<PyAny>>) {
        let before = std::mem::replace(&mut self.lock(py).hook, hook);
        // What it held may run Python when it goes: not under the lock.
        drop(before);
    }

    #[getter]
    fn verify(&self, py: Python<'_>) -> bool {
        self.lock(py).verify
    }

    #[setter]
    fn set_verify(&self, py: Python<'_>, verify: bool) {
        let mut state = self.lock(py);
        state.verify = verify;
        state.node.set_verify(verify);
    }

    /// Takes the differences that were found since the last call, each with its packet.
    fn differences(&self, py: Python<'_>) -> Vec<String> {
        self.lock(py).take_differences()
    }

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut state = self.lock(py);
        let ((events, missed), list) = (state.node.take_events(), PyList::empty(py));
        for (time, event) in &events {
            list.append(super::event::row(py, &state.node, *time, event)?)?;
        }
        state.take_live_events(py, &list)?;
        for (time, flows) in state.take_hook_failures() {
            let row = PyDict::new(py);
            row.set_item("kind", "hook_failed")?;
            row.set_item("time_ns", time.as_nanos())?;
            row.set_item("flows", flows)?;
            list.append(row)?;
        }
        if missed > 0 {
            let row = PyDict::new(py);
            row.set_item("kind", "missed")?;
            row.set_item("time_ns", state.node.now().as_nanos())?;
            row.set_item("count", missed)?;
            list.append(row)?;
        }
        Ok(list)
    }

    /// Captures what goes through a port into a file; `None` completes it.
    #[pyo3(signature = (port, path=None))]
    fn tap(&self, py: Python<'_>, port: &str, path: Option<PathBuf>) -> PyResult<()> {
        let mut state = self.lock(py);
        let number = state.port("port", port).map_err(|mistake| raise(py, mistake))?;
        let told = |(path, error): (String, netfast_io::Error)| raise_io(py, &path, &error);
        match path {
            Some(path) => {
                state.check_tap(&path).map_err(|mistake| raise(py, mistake))?;
                let file = CaptureFile::create(&path, port).map_err(told)?;
                state.taps.add(number, file).map_err(told)?;
            }
            None => state.taps.remove(number).map_err(told)?,
        }
        let on = state.taps.ports().contains(&number);
        state.node.tap(number, on).map_err(|error| raise_node(py, "port", error))
    }

    /// Completes the files of all taps.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.lock(py);
        for port in state.taps.ports() {
            let closed = state.taps.remove(port);
            closed.map_err(|(path, error)| raise_io(py, &path, &error))?;
            state.node.tap(port, false).map_err(|error| raise_node(py, "port", error))?;
        }
        Ok(())
    }
}
