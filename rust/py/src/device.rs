//! `netfast.Tun` and the other devices, natively: opened by Python or by a configuration, then given to a port.
mod claims;
mod doctor;
mod handed;
mod kinds;
mod spec;

pub use claims::{is_file, plain};
pub use doctor::probe;
pub use spec::{DeviceSpec, Remake, Value};

use crate::errors::{config_error, option_error};
use crate::gate::{lock, raise_io};
use crate::node::{Mistake, Shared, mac_text, raise};
use crate::offload::features::Features;
use crate::serve::Loan;
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_datapath::PortId;
use netfast_io::device::memory::{MemoryLink, MemoryOptions};
use netfast_io::device::tracer::{FrameSummary, Tracer};
use netfast_io::device::{Device as AnyDevice, DeviceCounters, DeviceError, DeviceReason, Link, Received};
use netfast_io::event_loop::{Clock, LivePortCounters, PortOptions};
use pyo3::exceptions::{PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The exception of a device.
pub fn device_error(py: Python<'_>, error: &DeviceError) -> PyErr {
    let text = error.to_string();
    match error {
        DeviceError::NotPermitted { .. } => PyOSError::new_err((EPERM, text)),
        DeviceError::Gone { .. } => PyOSError::new_err((ENODEV, text)),
        DeviceError::Setting { setting, .. } => option_error(py, setting, &text),
        DeviceError::Missing { .. } => config_error(py, &text),
        DeviceError::File { path, source } => raise_io(py, path, source),
        DeviceError::System { source, .. } => match source.raw_os_error() {
            Some(number) => PyOSError::new_err((number, text)),
            None => PyOSError::new_err(text),
        },
        _ => PyOSError::new_err(text),
    }
}

const EPERM: i32 = 1;
const ENODEV: i32 = 19;

/// Takes a lock; who waits for it lets the GIL go.
pub fn held<'a, T>(py: Python<'_>, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
    mutex.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
}

/// Where a device is.
enum Slot {
    /// Nobody else has it. How it is opened again may hold what the system has opened for it, so that goes with it.
    Own(Box<dyn AnyDevice>, Option<Remake>),
    /// A port of a stack has it, since a certain loan.
    Lent(Arc<Shared>, PortId, Loan),
    Closed,
}

impl Slot {
    /// Takes the device out, unless somebody else has it.
    fn take_own(&mut self) -> Option<(Box<dyn AnyDevice>, Option<Remake>)> {
        match std::mem::replace(self, Self::Closed) {
            Self::Own(device, remake) => Some((device, remake)),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// A device; used through `netfast.Tun` and its like, which document everything.
///
/// Threads: each method is atomic. `fork`: parent and child share what the system has opened; use it in one. `pickle`:
/// refused.
#[pyclass(frozen, module = "netfast")]
pub struct Device {
    slot: Mutex<Slot>,
    spec: DeviceSpec,
    name: String,
    pool: Mutex<PacketPool>,
    /// The last frames, of one that traces.
    trace: Option<Arc<Trace>>,
}

/// The last frames that went through a device.
struct Trace {
    keep: usize,
    last: Mutex<VecDeque<FrameSummary>>,
}

impl Trace {
    /// Looks at what goes through a device.
    fn around(self: &Arc<Self>, device: Box<dyn AnyDevice>) -> Box<dyn AnyDevice> {
        let trace = self.clone();
        Box::new(Tracer::new(device, 0).with_callback(move |frame| {
            let mut last = lock(&trace.last);
            if last.len() >= trace.keep {
                last.pop_front();
            }
            last.push_back(*frame);
        }))
    }
}

impl Device {
    fn of(spec: DeviceSpec, device: Box<dyn AnyDevice>, remake: Option<Remake>) -> Self {
        let name = device.name().to_owned();
        let slot = Mutex::new(Slot::Own(device, remake));
        Self { slot, spec, name, pool: Mutex::default(), trace: None }
    }

    /// Gives the device away, to `to`; what that returns goes wrong leaves it gone.
    pub fn lend(
        &self,
        py: Python<'_>,
        shared: &Arc<Shared>,
        to: impl FnOnce(Box<dyn AnyDevice>, PortOptions, &DeviceSpec) -> PyResult<(PortId, Loan)>,
        reopen: bool,
    ) -> PyResult<()> {
        let mut slot = held(py, &self.slot);
        let Some((device, remake)) = slot.take_own() else {
            let text = format!("device: {} is at a port already, or closed", self.name);
            return Err(option_error(py, "device", &text));
        };
        let reopen = remake.filter(|_| reopen).map(|remake| Box::new(move || remake()) as _);
        let options = PortOptions { reopen, ..self.spec.options() };
        let (port, loan) = to(device, options, &self.spec)?;
        *slot = Slot::Lent(shared.clone(), port, loan);
        Ok(())
    }

    /// Gives the device away for good, to a loop without a node.
    pub fn give(&self, py: Python<'_>) -> PyResult<(Box<dyn AnyDevice>, PortOptions)> {
        Ok((self.take(py)?.0, self.spec.options()))
    }

    /// Takes the device out for good, with how it is opened again.
    fn take(&self, py: Python<'_>) -> PyResult<(Box<dyn AnyDevice>, Option<Remake>)> {
        held(py, &self.slot).take_own().ok_or_else(|| {
            let text = format!("device: {} is at a port already, or closed", self.name);
            option_error(py, "device", &text)
        })
    }

    /// What it is on its link.
    pub fn link_now(&self, py: Python<'_>) -> PyResult<Link> {
        self.with(py, |device| device.link())?.ok_or_else(|| self.closed(py))
    }

    /// Asks the device, wherever it is; `None` when it is nowhere.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        ask: impl FnOnce(&dyn AnyDevice) -> T + Send,
    ) -> PyResult<Option<T>> {
        let slot = held(py, &self.slot);
        Ok(match &*slot {
            Slot::Own(device, _) => Some(ask(&**device)),
            Slot::Lent(shared, port, loan) => {
                let state = shared.lock(py);
                let live = state.live.as_ref().filter(|live| live.has(*port, *loan));
                live.and_then(|live| live.event_loop.device(*port)).map(ask)
            }
            Slot::Closed => None,
        })
    }

    fn closed(&self, py: Python<'_>) -> PyErr {
        config_error(py, &format!("{} is closed or gone; open another one", self.name))
    }

    /// The device itself, while nobody else has it.
    fn own<T>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Box<dyn AnyDevice>, &mut PacketPool) -> PyResult<T>,
    ) -> PyResult<T> {
        let mut slot = held(py, &self.slot);
        match &mut *slot {
            Slot::Own(device, _) => work(device, &mut held(py, &self.pool)),
            Slot::Lent(..) => {
                let text =
                    format!("{} belongs to a port of a stack, which alone moves its packets", self.name);
                Err(config_error(py, &text))
            }
            Slot::Closed => Err(self.closed(py)),
        }
    }
}

#[pymethods]
impl Device {
    /// Opens a device.
    #[staticmethod]
    fn open(py: Python<'_>, kind: &str, settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let spec = spec_of(py, kind, settings)?;
        let (device, remake) = py.detach(|| spec.open_kept()).map_err(|error| device_error(py, &error))?;
        Ok(Self::of(spec, device, remake))
    }

    /// Opens a device around another one, which belongs to it from then on.
    #[staticmethod]
    fn around(
        py: Python<'_>,
        kind: &str,
        settings: &Bound<'_, PyDict>,
        device: &Bound<'_, Self>,
    ) -> PyResult<Self> {
        settings.set_item("device", device)?;
        let spec = spec_of(py, kind, settings)?;
        let (own, remake) = device.get().take(py)?;
        let device = spec.around(own).map_err(|error| device_error(py, &error))?;
        let remake = spec.remade_around(remake);
        Ok(Self::of(spec, device, remake))
    }

    /// A device that keeps the last frames of another one, which belongs to it from then on.
    #[staticmethod]
    fn tracer(py: Python<'_>, device: &Bound<'_, Self>, keep: usize) -> PyResult<Self> {
        if !(1..=1 << 20).contains(&keep) {
            let text = format!("keep={keep}: give a number of frames, from 1 to 1048576");
            return Err(option_error(py, "keep", &text));
        }
        let inner = device.get();
        let (own, remake) = inner.take(py)?;
        let trace = Arc::new(Trace { keep, last: Mutex::default() });
        let again = trace.clone();
        let remake = remake.map(|remake| Arc::new(move || remake().map(|one| again.around(one))) as Remake);
        let traced = Self::of(inner.spec.clone(), trace.around(own), remake);
        Ok(Self { trace: Some(trace), ..traced })
    }

    /// Takes what a tracer saw last, a line for each frame.
    fn traced(&self) -> Vec<String> {
        let Some(trace) = &self.trace else { return Vec::new() };
        let last = std::mem::take(&mut *lock(&trace.last));
        last.iter().map(ToString::to_string).collect()
    }

    /// Two devices that are joined in memory.
    #[staticmethod]
    #[pyo3(signature = (names, packets=None, mtu=1500))]
    fn pair(py: Python<'_>, names: [String; 2], packets: Option<usize>, mtu: u32) -> PyResult<(Self, Self)> {
        let mut options = MemoryOptions { names, mtu, ..MemoryOptions::default() };
        options.packets = packets.unwrap_or(options.packets);
        let (one, other) = MemoryLink::pair(options).map_err(|error| device_error(py, &error))?;
        let spec = DeviceSpec::memory();
        Ok((Self::of(spec.clone(), Box::new(one), None), Self::of(spec, Box::new(other), None)))
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.spec.kind().name
    }

    /// Whether it is open, here or at a port.
    #[getter]
    fn is_open(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.with(py, |_| ())?.is_some())
    }

    fn link<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        link_row(py, &self.link_now(py)?)
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = self.with(py, |device| device.counters())?.ok_or_else(|| self.closed(py))?;
        counter_row(py, &counters)
    }

    /// Takes frames that have arrived, at most a batch.
    fn receive<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, bool)> {
        let (mut batch, now) = (PacketBatch::new(), Clock::new().now());
        let end = self.own(py, |device, pool| {
            device.receive(now, &mut batch, pool).map_err(|error| device_error(py, &error))
        })?;
        let frames = batch.packets().iter().map(|packet| PyBytes::new(py, &packet.to_vec()));
        let list = PyList::new(py, frames.collect::<Vec<_>>())?;
        held(py, &self.pool).recycle_batch(&mut batch);
        Ok((list, end == Received::End))
    }

    /// Sends frames; those that do not fit now are left out, and their number is returned.
    fn send(&self, py: Python<'_>, frames: Vec<Vec<u8>>) -> PyResult<usize> {
        let now = Clock::new().now();
        self.own(py, |device, pool| {
            let mut queue = VecDeque::with_capacity(frames.len());
            for frame in &frames {
                let packet = Skb::from_slice(frame, pool);
                queue.push_back(packet.map_err(|error| option_error(py, "frames", &error.to_string()))?);
            }
            let sent = device.transmit(now, &mut queue, pool);
            let left = queue.len();
            queue.into_iter().for_each(|packet| pool.recycle(packet));
            sent.map(|()| left).map_err(|error| device_error(py, &error))
        })
    }

    /// What is readable when frames have arrived; -1 when there is no such thing.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        use std::os::fd::AsRawFd;
        let found = self.with(py, |device| device.descriptor().map(|descriptor| descriptor.as_raw_fd()))?;
        Ok(found.flatten().unwrap_or(-1))
    }

    /// Ends it; at a port it is taken away from there.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let slot = std::mem::replace(&mut *held(py, &self.slot), Slot::Closed);
        let mut pool = PacketPool::default();
        let device = match slot {
            Slot::Own(device, _) => Some(device),
            // The port may have been removed, and its number be another's now.
            Slot::Lent(shared, port, loan) => {
                let mut state = shared.lock(py);
                let has = state.live.as_ref().is_some_and(|live| live.has(port, loan));
                if has { state.detach(port) } else { None }
            }
            Slot::Closed => None,
        };
        let Some(mut device) = device else { return Ok(()) };
        py.detach(|| device.close(&mut pool)).map_err(|error| device_error(py, &error))
    }
}

/// What a device is to be, of Python's arguments; `None` stands for none.
fn spec_of(py: Python<'_>, kind: &str, settings: &Bound<'_, PyDict>) -> PyResult<DeviceSpec> {
    let mut given = Vec::new();
    for (key, value) in settings {
        if !value.is_none() {
            let key: String = key.extract()?;
            let value = value_of(&key, &value)?;
            given.push((key, value));
        }
    }
    DeviceSpec::new(kind, given).map_err(|refusal| match refusal.1 {
        Mistake::Type { key, expected, found } => {
            PyTypeError::new_err(format!("{key}: expected {expected}, not {found}"))
        }
        mistake => raise(py, mistake),
    })
}

fn value_of(key: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::Text(text.to_str()?.to_owned()));
    }
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Flag(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Value::Number(value.extract().unwrap_or(i64::MAX)));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Value::Real(value.extract()?));
    }
    if let Ok(device) = value.cast::<Device>() {
        return Ok(Value::Device(Box::new(device.get().spec.clone())));
    }
    let texts: Result<Vec<String>, _> = value.extract();
    texts.map(Value::Texts).map_err(|_| {
        let name = value.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("{key}: a setting of a device is no {name}"))
    })
}

/// What a device is on its link, as a row.
pub fn link_row<'py>(py: Python<'py>, link: &Link) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("mac", link.mac.map(mac_text))?;
    row.set_item("mtu", link.mtu)?;
    row.set_item("point_to_point", link.point_to_point)?;
    row.set_item("up", link.up)?;
    row.set_item("features", Features::of(link.features))?;
    Ok(row)
}

/// What went through a device, as a row.
pub fn counter_row<'py>(py: Python<'py>, counters: &DeviceCounters) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("received", counters.received)?;
    row.set_item("received_bytes", counters.received_bytes)?;
    row.set_item("sent", counters.sent)?;
    row.set_item("sent_bytes", counters.sent_bytes)?;
    let drops = |counts: &[u64]| -> PyResult<Bound<'py, PyDict>> {
        let row = PyDict::new(py);
        for reason in DeviceReason::ALL {
            let count = counts.get(*reason as usize).copied().unwrap_or(0);
            if count > 0 {
                row.set_item(reason.name(), count)?;
            }
        }
        Ok(row)
    };
    row.set_item("dropped_in", drops(&counters.dropped_in)?)?;
    row.set_item("dropped_out", drops(&counters.dropped_out)?)?;
    row.set_item("system_calls", counters.system_calls)?;
    row.set_item("blocked", counters.blocked)?;
    row.set_item("copied", counters.copied)?;
    Ok(row)
}

/// What the loop counted for a port, added to a row.
pub fn put_port_counters(row: &Bound<'_, PyDict>, counters: &LivePortCounters) -> PyResult<()> {
    row.set_item("queue_full", counters.queue_full)?;
    row.set_item("stalled", counters.stalled)?;
    row.set_item("away", counters.away)?;
    row.set_item("unsent", counters.unsent)?;
    row.set_item("budget_exhausted", counters.budget_exhausted)?;
    row.set_item("paused", counters.paused)?;
    row.set_item("reopened", counters.reopened)?;
    row.set_item("queued", counters.queued)?;
    row.set_item("queued_bytes", counters.queued_bytes)
}
