//! A node on live ports: the event loop that moves packets between devices and it.
//!
//! The loop stands beside the node, behind the same lock, which is taken for a turn (at most a batch of each port) and let go
//! while nothing is to do. Whoever else wants it gets it between two turns, however busy the loop is: all go through one gate.
mod patch;

pub use patch::Patch;

use crate::device::{DeviceSpec, counter_row, device_error, link_row, put_port_counters};
use crate::errors::{config_error, option_error, resource_error};
use crate::node::{Node, Shared, State, pass, raise, raise_node};
use netfast_buf::PacketBatch;
use netfast_datapath::{Outputs, PortId};
use netfast_io::device::{Device, Link};
use netfast_io::event_loop::{
    Clock, EventLoop, LoopConfig, LoopError, LoopEvent, Poller, PortOptions, Ready, Turn, Waiter,
};
use netfast_offload::features::FeatureSet;
use netfast_time::{Duration, Instant};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};

/// How often Python is asked whether a signal came, and the longest that nobody looks.
const SLICE: Duration = Duration::from_millis(50);
/// Events of ports that wait to be taken; later ones are only counted.
const MAX_EVENTS: usize = 1_024;

/// Something that happened to a port with a device.
pub struct LiveEvent {
    time: Instant,
    event: LoopEvent,
}

/// A number of each time that a device was given to a port: numbers of ports are given again.
pub type Loan = u64;

/// The device of a port.
struct Lent {
    /// What it was opened from.
    spec: DeviceSpec,
    /// Whether the port's MTU follows that of the device.
    follows_mtu: bool,
    loan: Loan,
}

/// What stands beside a node with devices.
pub struct Live {
    /// The devices.
    pub event_loop: EventLoop,
    clock: Clock,
    ports: BTreeMap<PortId, Lent>,
    /// Loans so far.
    loans: Loan,
    events: VecDeque<LiveEvent>,
    missed: u64,
    /// A taken server has not been given back.
    serving: bool,
    stop: bool,
    /// How long what waits may still leave after a stop.
    drain: Duration,
    /// The process that opened it.
    process: u32,
    /// Files of taps that could not be written.
    tap_failures: u64,
}

impl Live {
    fn new() -> Result<Self, LoopError> {
        let event_loop = EventLoop::new(LoopConfig::default())?;
        let clock = event_loop.poller().clock();
        Ok(Self {
            event_loop,
            clock,
            ports: BTreeMap::new(),
            loans: 0,
            events: VecDeque::new(),
            missed: 0,
            serving: false,
            stop: false,
            drain: Duration::from_secs(1),
            process: std::process::id(),
            tap_failures: 0,
        })
    }

    /// What the device of a port was opened from.
    pub fn spec(&self, port: PortId) -> Option<&DeviceSpec> {
        self.ports.get(&port).map(|lent| &lent.spec)
    }

    /// Whether a port has the device of this loan yet.
    pub fn has(&self, port: PortId, loan: Loan) -> bool {
        self.ports.get(&port).is_some_and(|lent| lent.loan == loan)
    }
}

/// What a port takes from its device where nobody said anything else.
pub struct Found {
    pub mac: Option<[u8; 6]>,
    pub mtu: u32,
    pub features: FeatureSet,
    pub point_to_point: bool,
}

impl Found {
    /// What a link says. What a device merges with loss is not sent on.
    pub fn of(link: &Link) -> Self {
        Self {
            mac: link.mac,
            mtu: link.mtu.clamp(68, 65_535),
            features: link.features.without(FeatureSet::LARGE_RECEIVE),
            point_to_point: link.point_to_point,
        }
    }
}

impl State {
    /// The loop, made when it is first needed.
    fn live(&mut self) -> Result<&mut Live, LoopError> {
        if self.live.is_none() {
            self.live = Some(Box::new(Live::new()?));
        }
        match &mut self.live {
            Some(live) => Ok(live),
            None => Err(LoopError::Number(0)),
        }
    }

    /// What the device of a port is or is to be.
    pub fn device_of(&self, port: PortId) -> Option<&DeviceSpec> {
        let live = self.live.as_ref().and_then(|live| live.spec(port));
        live.or_else(|| self.wanted.get(&port).map(|wanted| &wanted.spec))
    }

    /// Gives a port its device.
    pub fn attach(
        &mut self,
        port: PortId,
        device: Box<dyn Device>,
        options: PortOptions,
        spec: &DeviceSpec,
        follows_mtu: bool,
    ) -> Result<Loan, LoopError> {
        let live = self.live()?;
        live.event_loop.add(port, device, options)?;
        live.loans += 1;
        live.ports.insert(port, Lent { spec: spec.clone(), follows_mtu, loan: live.loans });
        Ok(live.loans)
    }

    /// Takes a port's device away, open, unless it is gone.
    pub fn detach(&mut self, port: PortId) -> Option<Box<dyn Device>> {
        let Self { live, node, .. } = self;
        let live = live.as_mut()?;
        live.ports.remove(&port);
        live.event_loop.remove(port, node.pool())?.0
    }

    /// The time of the devices, while a port has one.
    pub fn live_now(&self) -> Option<Instant> {
        self.live.as_ref().filter(|live| !live.ports.is_empty()).map(|live| live.clock.now())
    }

    /// Packets that leave by ports with a device are put before those; the others stay.
    pub fn send_live(&mut self, outputs: &mut Outputs) {
        let Some(now) = self.live_now() else { return };
        self.send_out(now, None, outputs);
        if let Some(live) = &self.live {
            // What could not leave at once is watched from the next turn on.
            live.event_loop.poller().wake();
        }
    }

    fn send_out(&mut self, now: Instant, from: Option<PortId>, outputs: &mut Outputs) {
        let Self { live, node, .. } = self;
        let Some(live) = live else { return };
        for port in 0..outputs.ports() as PortId {
            if !outputs.port(port).is_empty() && live.ports.contains_key(&port) {
                live.event_loop.send(from, port, outputs.drain_port(port), node.pool());
            }
        }
        live.event_loop.flush(now, node.pool());
    }

    /// Takes what the loop has to tell; what follows from it is done.
    fn note_loop_events(&mut self, now: Instant) {
        let Self { live, node, .. } = self;
        let Some(live) = live else { return };
        for event in live.event_loop.take_events() {
            if let LoopEvent::Link { port, link } | LoopEvent::Returned { port, link } = &event
                && live.ports.get(port).is_some_and(|lent| lent.follows_mtu)
            {
                // One that the node cannot have, too short for IPv6, leaves it as it was; the event tells it.
                let _ = node.set_mtu(*port, Found::of(link).mtu);
            }
            if let LoopEvent::Gone { port, .. } | LoopEvent::Link { port, link: Link { up: false, .. } } =
                &event
            {
                node.forget_neighbours(*port);
            }
            if live.events.len() < MAX_EVENTS {
                live.events.push_back(LiveEvent { time: now, event });
            } else {
                live.missed += 1;
            }
        }
    }

    /// Events of ports with devices since the last time, as rows.
    pub fn take_live_events<'py>(&mut self, py: Python<'py>, list: &Bound<'py, PyList>) -> PyResult<()> {
        let Self { live, node, .. } = self;
        let Some(live) = live else { return Ok(()) };
        for LiveEvent { time, event } in live.events.drain(..) {
            let row = PyDict::new(py);
            row.set_item("time_ns", time.as_nanos())?;
            let (kind, port) = match &event {
                LoopEvent::Gone { port, error, retried } => {
                    row.set_item("error", error.to_string())?;
                    row.set_item("retried", retried)?;
                    ("port_gone", port)
                }
                LoopEvent::Refused { port, error } => {
                    row.set_item("error", error.to_string())?;
                    ("port_refused", port)
                }
                LoopEvent::Returned { port, link } => {
                    row.set_item("mtu", link.mtu)?;
                    ("port_returned", port)
                }
                LoopEvent::Link { port, link } => {
                    row.set_item("up", link.up)?;
                    row.set_item("mtu", link.mtu)?;
                    ("port_link", port)
                }
                LoopEvent::Ended { port } => ("port_ended", port),
                _ => continue,
            };
            row.set_item("kind", kind)?;
            row.set_item("port", node.port_name(*port))?;
            list.append(row)?;
        }
        if live.missed > 0 {
            let row = PyDict::new(py);
            row.set_item("kind", "missed")?;
            row.set_item("time_ns", node.now().as_nanos())?;
            row.set_item("count", std::mem::take(&mut live.missed))?;
            list.append(row)?;
        }
        Ok(())
    }

    fn has_events(&self) -> bool {
        self.node.has_events() || self.live.as_ref().is_some_and(|live| !live.events.is_empty())
    }
}

/// What a serving call works with.
struct Work {
    ready: Ready,
    batch: PacketBatch,
    outputs: Outputs,
    waiter: Waiter,
    clock: Clock,
    ended: bool,
}

impl Work {
    /// One turn; to be called without the GIL.
    fn turn(&mut self, shared: &Shared) -> PyResult<Turn> {
        let relock = || shared.lock_detached();
        let now = self.clock.now();
        let (mut state, mut raised) = (relock(), None);
        {
            let State { live, node, .. } = &mut *state;
            let Some(live) = live else { return Ok(Turn::Drained) };
            if std::mem::take(&mut live.stop) {
                let until = now + live.drain;
                live.event_loop.drain(until);
            }
            live.event_loop.begin(now, &self.ready, node.pool());
        }
        loop {
            let State { live, node, .. } = &mut *state;
            let Some(live) = live else { break };
            let Some(port) = live.event_loop.next_ready() else { break };
            live.event_loop.receive(now, port, &mut self.batch, node.pool());
            if self.batch.is_empty() {
                continue;
            }
            // Whatever a hook raised, the packets went through.
            state = pass(&relock, state, port, Some(now), &mut self.batch, &mut raised, &mut self.outputs);
            state.finish_outputs(now, Some(port), &mut self.outputs);
        }
        let due = state.node.next_timeout().is_some_and(|time| time <= now);
        if due || self.ready.timer {
            state.node.poll(now, &mut self.outputs);
            state.finish_outputs(now, None, &mut self.outputs);
        }
        let next = state.node.next_timeout();
        let State { live, node, .. } = &mut *state;
        let Some(live) = live else { return Ok(Turn::Drained) };
        let turn = live.event_loop.finish(now, next, node.pool()).map_err(loop_error)?;
        state.note_loop_events(now);
        if state.write_taps().is_err()
            && let Some(live) = &mut state.live
        {
            live.tap_failures += 1;
        }
        raised.map_or(Ok(turn), Err)
    }

    /// Turns for a while; waits in between. What it found last.
    fn slice(&mut self, shared: &Shared, poller: &Poller, until: Option<Instant>) -> PyResult<Turn> {
        let end = self.clock.now() + SLICE;
        loop {
            let turn = self.turn(shared)?;
            let now = self.clock.now();
            let past = until.is_some_and(|until| now >= until);
            if turn == Turn::Drained || past {
                return Ok(turn);
            }
            match turn {
                Turn::More => poller.wait(Some(Duration::ZERO), &mut self.ready).map_err(loop_error)?,
                _ => {
                    let most = until.map(|until| until.since(now));
                    self.waiter.wait(poller, most, &mut self.ready).map_err(loop_error)?;
                    if self.ready.is_empty() {
                        return Ok(turn);
                    }
                }
            }
            if self.clock.now() >= end {
                return Ok(turn);
            }
        }
    }
}

impl State {
    /// What came out goes to its ports; what is for the node itself ends here, where nobody takes it.
    fn finish_outputs(&mut self, now: Instant, from: Option<PortId>, outputs: &mut Outputs) {
        self.send_out(now, from, outputs);
        let Self { live, node, .. } = self;
        if let Some(live) = live {
            // Those that have no device: the loop counts what is for nowhere.
            for port in 0..outputs.ports() as PortId {
                if !outputs.port(port).is_empty() {
                    live.event_loop.send(from, port, outputs.drain_port(port), node.pool());
                }
            }
        }
        outputs.recycle(self.node.pool());
    }
}

/// A loop that runs; used through `Stack.serve` and its like.
///
/// Threads: one at a time runs it, `stop` may come from any. `fork`: refused in the child. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct Server {
    shared: Arc<Shared>,
    poller: Arc<Poller>,
    work: Mutex<Work>,
}

#[pymethods]
impl Server {
    /// The descriptor that is readable when there is something to do.
    fn fileno(&self) -> i32 {
        self.poller.descriptor().as_raw_fd()
    }

    /// Runs for some seconds, or until it is stopped and drained: `"time"`, `"drained"`; with `events` also until there are
    /// some: `"events"`.
    #[pyo3(signature = (seconds=None, *, events=false))]
    fn run(&self, py: Python<'_>, seconds: Option<f64>, events: bool) -> PyResult<&'static str> {
        let taken = self.work.try_lock();
        let mut taken = taken.map_err(|_| config_error(py, "another thread runs this server"))?;
        let work = &mut *taken;
        let seconds = seconds.map(|seconds| Duration::from_nanos((seconds.max(0.0) * 1e9) as u64));
        let until = seconds.map(|seconds| work.clock.now() + seconds);
        loop {
            let turn = py.detach(|| work.slice(&self.shared, &self.poller, until))?;
            py.check_signals()?;
            if turn == Turn::Drained {
                work.ended = true;
                return Ok("drained");
            }
            if events && self.shared.lock(py).has_events() {
                return Ok("events");
            }
            if until.is_some_and(|until| work.clock.now() >= until) {
                return Ok("time");
            }
        }
    }

    /// One turn without waiting: `"more"`, `"idle"` or `"drained"`.
    fn turn(&self, py: Python<'_>) -> PyResult<&'static str> {
        let taken = self.work.try_lock();
        let mut taken = taken.map_err(|_| config_error(py, "another thread runs this server"))?;
        let work = &mut *taken;
        let turn = py.detach(|| {
            self.poller.wait(Some(Duration::ZERO), &mut work.ready).map_err(loop_error)?;
            work.turn(&self.shared)
        })?;
        work.ended |= turn == Turn::Drained;
        Ok(match turn {
            Turn::More => "more",
            Turn::Idle => "idle",
            Turn::Drained => "drained",
        })
    }

    /// Gives the loop back.
    fn finish(&self, py: Python<'_>) {
        let mut state = self.shared.lock(py);
        if let Some(live) = &mut state.live {
            live.serving = false;
            live.stop = false;
            live.event_loop.resume();
        }
    }
}

/// The exception of the loop about a port that people know by its name.
fn port_error(port: &str, error: LoopError) -> PyErr {
    match error {
        LoopError::Taken(_) => Python::attach(|py| {
            let text = format!("port {port:?} has a device: remove the port first, or close that device");
            option_error(py, "device", &text)
        }),
        error => loop_error(error),
    }
}

/// The exception of the loop; may be called without the GIL.
fn loop_error(error: LoopError) -> PyErr {
    Python::attach(|py| match &error {
        LoopError::System { source, .. } => match source.raw_os_error() {
            Some(number) => PyOSError::new_err((number, error.to_string())),
            None => PyOSError::new_err(error.to_string()),
        },
        LoopError::Number(_) => resource_error(py, &error.to_string(), None),
        _ => config_error(py, &error.to_string()),
    })
}

#[pymethods]
impl Node {
    /// Gives a port that is there a device.
    #[pyo3(signature = (port, device, *, reopen=true, follows_mtu=true))]
    fn attach(
        &self,
        py: Python<'_>,
        port: &str,
        device: &crate::device::Device,
        reopen: bool,
        follows_mtu: bool,
    ) -> PyResult<()> {
        let shared = self.shared().clone();
        let give = |device, options, spec: &DeviceSpec| {
            let mut state = shared.lock(py);
            let number = state.port("port", port).map_err(|mistake| raise(py, mistake))?;
            let attached = state.attach(number, device, options, spec, follows_mtu);
            Ok((number, attached.map_err(|error| port_error(port, error))?))
        };
        device.lend(py, &shared, give, reopen)
    }

    /// What a port takes from a device: its link address (a new one where the device has none), MTU, features, and whether it
    /// is point-to-point.
    #[staticmethod]
    fn settings_of<'py>(py: Python<'py>, device: &crate::device::Device) -> PyResult<Bound<'py, PyDict>> {
        let found = Found::of(&device.link_now(py)?);
        let row = PyDict::new(py);
        row.set_item("mac", crate::node::mac_text(found.mac.unwrap_or_else(own_mac)))?;
        row.set_item("mtu", found.mtu)?;
        row.set_item("features", crate::offload::features::Features::of(found.features))?;
        row.set_item("point_to_point", found.point_to_point)?;
        Ok(row)
    }

    /// Begins to serve: one server at a time.
    #[pyo3(signature = (*, busy_poll=0.0, drain=1.0))]
    fn serve(&self, py: Python<'_>, busy_poll: f64, drain: f64) -> PyResult<Server> {
        for (option, value, most) in [("busy_poll", busy_poll, 1.0), ("drain", drain, 3_600.0)] {
            if !(0.0..=most).contains(&value) {
                let text = format!("{option}={value}: give seconds, from 0 to {most}");
                return Err(option_error(py, option, &text));
            }
        }
        let mut state = self.lock(py);
        let live = state.live().map_err(loop_error)?;
        if live.process != std::process::id() {
            let text = "the ports were opened before a fork: open them in the process that serves";
            return Err(config_error(py, text));
        }
        if live.serving {
            return Err(config_error(py, "the stack is being served: stop that first"));
        }
        (live.serving, live.stop) = (true, false);
        live.drain = Duration::from_nanos((drain * 1e9) as u64);
        live.event_loop.resume();
        let (poller, clock) = (live.event_loop.poller(), live.clock);
        let busy = Duration::from_nanos((busy_poll * 1e9) as u64);
        let work = Work {
            ready: Ready::new(),
            batch: PacketBatch::new(),
            outputs: Outputs::new(),
            waiter: Waiter::new(busy),
            clock,
            ended: false,
        };
        Ok(Server { shared: self.shared().clone(), poller, work: Mutex::new(work) })
    }

    /// Whether a server runs.
    #[getter]
    fn is_serving(&self, py: Python<'_>) -> bool {
        self.lock(py).live.as_ref().is_some_and(|live| live.serving)
    }

    /// Lets the server that runs drain and end.
    fn stop(&self, py: Python<'_>) {
        if let Some(live) = self.lock(py).live.as_mut().filter(|live| live.serving) {
            live.stop = true;
            live.event_loop.poller().wake();
        }
    }

    /// What the loop and its ports did: `None` without devices.
    fn live<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let mut state = self.lock(py);
        let blocks = state.node.pool().waiting();
        let Some(live) = &state.live else { return Ok(None) };
        let (row, ports, counters) = (PyDict::new(py), PyDict::new(py), live.event_loop.counters());
        row.set_item("turns", counters.turns)?;
        row.set_item("timeouts", counters.timeouts)?;
        row.set_item("wakes", counters.wakes)?;
        row.set_item("batches", counters.batches)?;
        row.set_item("packets", counters.packets)?;
        row.set_item("nowhere", counters.nowhere)?;
        row.set_item("blocks", blocks)?;
        row.set_item("tap_failures", live.tap_failures)?;
        for number in live.event_loop.ports() {
            let Some(counters) = live.event_loop.device_counters(number) else { continue };
            let port = counter_row(py, &counters)?;
            if let Some(counters) = live.event_loop.port_counters(number) {
                put_port_counters(&port, &counters)?;
            }
            let link = live.event_loop.link(number);
            port.set_item("link", link.map(|link| link_row(py, link)).transpose()?)?;
            port.set_item("device", live.event_loop.device(number).map(|device| device.name().to_owned()))?;
            port.set_item("kind", live.spec(number).map(|spec| spec.kind().name))?;
            port.set_item("ended", live.event_loop.is_ended(number))?;
            ports.set_item(state.node.port_name(number), port)?;
        }
        row.set_item("ports", ports)?;
        Ok(Some(row))
    }

    /// Closes all devices, in order.
    fn close_ports(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.lock(py);
        let State { live, node, .. } = &mut *state;
        let Some(live) = live else { return Ok(()) };
        live.ports.clear();
        live.event_loop.close(node.pool()).map_err(|error| device_error(py, &error))
    }

    /// Devices that the configuration names, by port; they are opened by `open_port`.
    fn wanted_ports(&self, py: Python<'_>) -> Vec<String> {
        let state = self.lock(py);
        state.wanted.keys().map(|port| state.node.port_name(*port).to_owned()).collect()
    }

    /// Opens the device that the configuration names for a port.
    fn open_port(&self, py: Python<'_>, port: &str) -> PyResult<()> {
        let mut state = self.lock(py);
        let number = state.port("port", port).map_err(|mistake| raise(py, mistake))?;
        let Some(wanted) = state.wanted.get(&number).cloned() else { return Ok(()) };
        let (device, remake) = wanted.spec.open_kept().map_err(|error| device_error(py, &error))?;
        let found = Found::of(&device.link());
        let mut configs = state.node.port_configs();
        let point_to_point = configs.any(|(id, config)| id == number && config.point_to_point);
        drop(configs);
        if found.point_to_point && !point_to_point {
            let text = format!(
                "port {port:?}: {} has one other end and no neighbours: say point_to_point = true",
                device.name()
            );
            return Err(option_error(py, "point_to_point", &text));
        }
        if let Some(mac) = found.mac.filter(|_| wanted.takes_mac && !point_to_point) {
            state.node.set_mac(number, mac).map_err(|error| raise_node(py, "mac", error))?;
        }
        if wanted.takes_mtu {
            state.node.set_mtu(number, found.mtu).map_err(|error| raise_node(py, "mtu", error))?;
        }
        if wanted.takes_features {
            let set = state.node.set_features(number, found.features);
            set.map_err(|error| raise_node(py, "features", error))?;
        }
        let options = PortOptions {
            reopen: remake.map(|remake| Box::new(move || remake()) as _),
            ..wanted.spec.options()
        };
        let attached = state.attach(number, device, options, &wanted.spec, wanted.takes_mtu);
        attached.map(drop).map_err(|error| port_error(port, error))
    }
}

/// A device that a configuration names for a port.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What to open.
    pub spec: DeviceSpec,
    /// The link address was not given: it is that of the device, if it has one.
    pub takes_mac: bool,
    /// The MTU was not given: it is that of the device.
    pub takes_mtu: bool,
    /// The features were not given: they are those of the device.
    pub takes_features: bool,
}

/// A link address for a port whose device has none: made up, of one station, administered locally (IEEE 802-2014, 8.4).
pub fn own_mac() -> [u8; 6] {
    let [_, _, a, b, c, d, e, f] = crate::node::random_seed().to_be_bytes();
    [a & 0xfc | 0x02, b, c, d, e, f]
}
