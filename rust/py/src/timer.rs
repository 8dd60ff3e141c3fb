//! `TimerWheel` for Python: single operations, and batches over any buffer of 64-bit integers.
use std::sync::{Mutex, MutexGuard, PoisonError};

use netfast_time::{Instant, TimerConfig, TimerError, TimerHandle, TimerWheel as Wheel};
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::errors::{config_error, resource_error};

/// Batches from this size on let other Python threads run: they take about a millisecond.
const DETACH_FROM: usize = 1 << 15;

/// Holds up to millions of timers in constant time each: a hierarchical timer wheel that never fires early.
///
/// `TimerWheel(now=0, *, limit=16777216, preallocate=False)`
///
/// Time is an argument: an integer of nanoseconds from 0 to 2**64 - 1 on any clock that you own
/// (`time.monotonic_ns()`, packet times, a simulation's). The wheel reads no clock and starts no thread: call
/// `expire(now)`, at the latest at `next_expiry()`. A clock that goes back is clamped to the latest time seen.
///
/// A timer is never early. It is due less than 4/63 (6.4 %) of its delay late, the delay counted from the latest
/// `expire`; armed with `exact=True` (which costs O(log n)) it is due exactly at its deadline. A deadline that has
/// passed is due at once. A payload is an integer of up to 64 bits, such as the index of what times out.
///
/// A handle is an integer that names one armed timer. It goes stale when the timer fires or is cancelled; a stale one
/// is refused. At `limit` armed timers, arming raises `ResourceError`; `preallocate` takes all memory at once (60 bytes
/// a timer).
///
/// Batches take an `array.array`, a numpy array or any other buffer of signed or unsigned 64-bit integers, or a
/// sequence of ints; results are read-only memoryviews of unsigned 64-bit integers.
///
/// Threads: each method is atomic, a lock guards the wheel; batches of some ten thousand let other threads run
/// meanwhile. `fork`: the child has its own copy; do not fork while another thread is in a method. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct TimerWheel {
    wheel: Mutex<Wheel<u64>>,
}

/// The timers that one `expire` fired, in firing order, as columns.
///
/// Iterating gives `(payload, deadline)` pairs; `len()` counts the timers. Immutable, so free to share between
/// threads; `pickle` is refused: pickle `bytes(expired.payloads)` instead.
#[pyclass(frozen, module = "netfast")]
pub struct Expired {
    payloads: Py<PyMemoryView>,
    deadlines: Py<PyMemoryView>,
    handles: Py<PyMemoryView>,
    count: usize,
    more: bool,
}

#[pymethods]
impl Expired {
    /// What each timer was armed with.
    #[getter]
    fn payloads(&self, py: Python<'_>) -> Py<PyMemoryView> {
        self.payloads.clone_ref(py)
    }

    /// When each timer was to fire, in nanoseconds; never later than the `now` of the call.
    #[getter]
    fn deadlines(&self, py: Python<'_>) -> Py<PyMemoryView> {
        self.deadlines.clone_ref(py)
    }

    /// The handles that named the timers; stale now.
    #[getter]
    fn handles(&self, py: Python<'_>) -> Py<PyMemoryView> {
        self.handles.clone_ref(py)
    }

    /// True when more timers are due, but the call's `limit` was reached.
    #[getter]
    fn more(&self) -> bool {
        self.more
    }

    fn __len__(&self) -> usize {
        self.count
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("builtins")?.getattr("zip")?.call1((self.payloads(py), self.deadlines(py)))
    }

    fn __repr__(&self) -> String {
        format!("<netfast.Expired: {} timers{}>", self.count, if self.more { ", more are due" } else { "" })
    }
}

#[pymethods]
impl TimerWheel {
    #[new]
    #[pyo3(signature = (now: "SupportsIndex" = 0, *, limit = 16777216, preallocate = false))]
    fn new(
        py: Python<'_>,
        #[pyo3(from_py_with = now_of)] now: u64,
        limit: u64,
        preallocate: bool,
    ) -> PyResult<Self> {
        let most = TimerConfig::MOST;
        let Some(limit) = u32::try_from(limit).ok().filter(|limit| (1..=most).contains(limit)) else {
            return Err(config_error(py, &format!("limit must be from 1 to {most}, not {limit}")));
        };
        match Wheel::try_new(Instant::from_nanos(now), TimerConfig { limit, preallocate }) {
            Ok(wheel) => Ok(Self { wheel: Mutex::new(wheel) }),
            Err(error) => Err(PyMemoryError::new_err(error.to_string())),
        }
    }

    /// Arms a timer and returns its handle.
    #[pyo3(signature = (deadline: "SupportsIndex", payload: "SupportsIndex" = 0, *, exact = false))]
    fn arm(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = deadline_of)] deadline: u64,
        #[pyo3(from_py_with = payload_of)] payload: u64,
        exact: bool,
    ) -> PyResult<u64> {
        let armed = arm_one(&mut self.lock(py), deadline, payload, exact);
        armed.map_err(|error| full(py, error))
    }

    /// Disarms a timer and returns its payload; `None` when it fired or was cancelled before.
    #[pyo3(signature = (handle: "SupportsIndex", /))]
    fn cancel(&self, py: Python<'_>, #[pyo3(from_py_with = handle_of)] handle: u64) -> Option<u64> {
        self.lock(py).cancel(TimerHandle::from_bits(handle)?)
    }

    /// Gives an armed timer a new deadline; false when it fired or was cancelled before.
    #[pyo3(signature = (handle: "SupportsIndex", deadline: "SupportsIndex"))]
    fn rearm(&self, py: Python<'_>, handle: u64, #[pyo3(from_py_with = deadline_of)] deadline: u64) -> bool {
        rearm_one(&mut self.lock(py), handle, deadline)
    }

    /// The `(payload, deadline)` of an armed timer; `None` when it fired or was cancelled before.
    #[pyo3(signature = (handle: "SupportsIndex", /))]
    fn get(&self, py: Python<'_>, #[pyo3(from_py_with = handle_of)] handle: u64) -> Option<(u64, u64)> {
        let (payload, deadline) = self.lock(py).get(TimerHandle::from_bits(handle)?)?;
        Some((payload, deadline.as_nanos()))
    }

    /// Arms a timer for each deadline, with the payloads (each 0 without), and returns the handles in order.
    ///
    /// Raises `ResourceError`, with no timer armed, where they would be more than `limit`.
    #[pyo3(signature = (deadlines, payloads = None, *, exact = false))]
    fn arm_many<'py>(
        &self,
        py: Python<'py>,
        deadlines: &Bound<'py, PyAny>,
        payloads: Option<&Bound<'py, PyAny>>,
        exact: bool,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        let deadlines = integers("deadlines", deadlines)?;
        let payloads = payloads.map(|payloads| integers("payloads", payloads)).transpose()?;
        if let Some(payloads) = &payloads {
            same_length(py, "payloads", payloads, "deadlines", &deadlines)?;
        }
        let handles = PyBytes::new_with(py, size_of_val(&*deadlines), |memory| {
            let armed = self.run(py, deadlines.len(), |wheel| {
                arm_all(wheel, &deadlines, payloads.as_deref(), exact, memory)
            });
            armed.map_err(|error| full(py, error))
        })?;
        view(&handles)
    }

    /// Disarms the timers of all handles that are not stale, and returns how many these were.
    #[pyo3(signature = (handles, /))]
    fn cancel_many(&self, py: Python<'_>, handles: &Bound<'_, PyAny>) -> PyResult<usize> {
        let handles = integers("handles", handles)?;
        let cancel =
            |wheel: &mut Wheel<u64>, bits: u64| TimerHandle::from_bits(bits).and_then(|h| wheel.cancel(h));
        Ok(self.run(py, handles.len(), |wheel| {
            handles.iter().filter(|&&bits| cancel(wheel, bits).is_some()).count()
        }))
    }

    /// Gives each timer its new deadline, where its handle is not stale, and returns how many these were.
    #[pyo3(signature = (handles, deadlines))]
    fn rearm_many(
        &self,
        py: Python<'_>,
        handles: &Bound<'_, PyAny>,
        deadlines: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        let (handles, deadlines) = (integers("handles", handles)?, integers("deadlines", deadlines)?);
        same_length(py, "handles", &handles, "deadlines", &deadlines)?;
        Ok(self.run(py, handles.len(), |wheel| {
            handles
                .iter()
                .zip(&deadlines)
                .filter(|&(&bits, &deadline)| rearm_one(wheel, bits, deadline))
                .count()
        }))
    }

    /// Moves the clock to `now` and fires all timers that are due, at most `limit` of them.
    #[pyo3(signature = (now: "SupportsIndex", limit = None))]
    fn expire(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = now_of)] now: u64,
        limit: Option<usize>,
    ) -> PyResult<Expired> {
        let limit = limit.unwrap_or(usize::MAX);
        let most = self.lock(py).len().min(limit);
        let (columns, more) =
            self.run(py, most, |wheel| Columns::fire(wheel, Instant::from_nanos(now), limit));
        Ok(Expired {
            payloads: column(py, &columns.payloads)?.unbind(),
            deadlines: column(py, &columns.deadlines)?.unbind(),
            handles: column(py, &columns.handles)?.unbind(),
            count: columns.payloads.len(),
            more,
        })
    }

    /// When the next timer is due: an `expire` before that fires nothing, one at that time fires at least one. `None`
    /// when no timer is armed.
    fn next_expiry(&self, py: Python<'_>) -> Option<u64> {
        self.lock(py).next_expiry().map(Instant::as_nanos)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.lock(py).len()
    }

    /// The latest time that the wheel was told, in nanoseconds.
    #[getter]
    fn now(&self, py: Python<'_>) -> u64 {
        self.lock(py).now().as_nanos()
    }

    /// The most timers that may be armed at the same time.
    #[getter]
    fn limit(&self, py: Python<'_>) -> usize {
        self.lock(py).limit()
    }

    /// Bytes of memory that the wheel holds.
    #[getter]
    fn memory(&self, py: Python<'_>) -> usize {
        self.lock(py).memory()
    }

    /// How often the clock went back and was clamped.
    #[getter]
    fn backward_steps(&self, py: Python<'_>) -> u64 {
        self.lock(py).backward_steps()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let wheel = self.lock(py);
        format!(
            "<netfast.TimerWheel: {} of {} timers, now={}>",
            wheel.len(),
            wheel.limit(),
            wheel.now().as_nanos()
        )
    }
}

impl TimerWheel {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Wheel<u64>> {
        // No operation of the wheel panics half-way by contract; a poisoned lock would only hide the first report.
        self.wheel.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a batch; a long one detached from the interpreter.
    fn run<R: Send>(
        &self,
        py: Python<'_>,
        size: usize,
        batch: impl FnOnce(&mut Wheel<u64>) -> R + Send,
    ) -> R {
        if size < DETACH_FROM {
            return batch(&mut self.lock(py));
        }
        py.detach(|| batch(&mut self.wheel.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What fired, before it is Python's.
#[derive(Default)]
struct Columns {
    payloads: Vec<u64>,
    deadlines: Vec<u64>,
    handles: Vec<u64>,
}

impl Columns {
    fn fire(wheel: &mut Wheel<u64>, now: Instant, limit: usize) -> (Self, bool) {
        let mut columns = Self::default();
        wheel.advance(now);
        // Clamped, so that a clock that went back is counted once and not for each timer.
        let now = wheel.now();
        while columns.payloads.len() < limit {
            let Some(expired) = wheel.pop_expired(now) else { return (columns, false) };
            columns.payloads.push(expired.payload);
            columns.deadlines.push(expired.deadline.as_nanos());
            columns.handles.push(expired.handle.to_bits());
        }
        let more = wheel.next_expiry().is_some_and(|at| at <= now);
        (columns, more)
    }
}

fn arm_one(wheel: &mut Wheel<u64>, deadline: u64, payload: u64, exact: bool) -> Result<u64, TimerError> {
    let deadline = Instant::from_nanos(deadline);
    let armed = if exact { wheel.arm_exact(deadline, payload) } else { wheel.arm(deadline, payload) };
    armed.map(TimerHandle::to_bits)
}

/// Arms all timers or none, and writes their handles to `handles`, as the machine keeps a u64.
fn arm_all(
    wheel: &mut Wheel<u64>,
    deadlines: &[u64],
    payloads: Option<&[u64]>,
    exact: bool,
    handles: &mut [u8],
) -> Result<(), TimerError> {
    wheel.reserve(deadlines.len())?;
    let payload = |row: usize| payloads.map_or(0, |payloads| payloads[row]);
    let places = handles.chunks_exact_mut(size_of::<u64>());
    for (row, (&deadline, place)) in deadlines.iter().zip(places).enumerate() {
        place.copy_from_slice(&arm_one(wheel, deadline, payload(row), exact)?.to_ne_bytes());
    }
    Ok(())
}

fn rearm_one(wheel: &mut Wheel<u64>, handle: u64, deadline: u64) -> bool {
    TimerHandle::from_bits(handle)
        .is_some_and(|handle| wheel.rearm(handle, Instant::from_nanos(deadline)).is_ok())
}

fn full(py: Python<'_>, error: TimerError) -> PyErr {
    match error {
        TimerError::Full { limit } => resource_error(py, &error.to_string(), Some(u64::from(limit))),
        _ => PyMemoryError::new_err(error.to_string()),
    }
}

fn same_length(py: Python<'_>, name: &str, values: &[u64], other: &str, others: &[u64]) -> PyResult<()> {
    if values.len() == others.len() {
        return Ok(());
    }
    Err(config_error(py, &format!("{} {name} do not go with {} {other}", values.len(), others.len())))
}

/// Copies 64-bit integers out of a buffer or a sequence. They are copied because other threads may write into the
/// caller's buffer while the batch runs.
fn integers(name: &str, values: &Bound<'_, PyAny>) -> PyResult<Vec<u64>> {
    if let Some(unsigned) = buffer::<u64>(values)? {
        return Ok(unsigned);
    }
    if let Some(signed) = buffer::<i64>(values)? {
        return signed
            .into_iter()
            .enumerate()
            .map(|(row, value)| {
                u64::try_from(value).map_err(|_| {
                    let message = format!("{name}[{row}] is {value}: give integers from 0 to 2**64 - 1");
                    config_error(values.py(), &message)
                })
            })
            .collect();
    }
    let number =
        |(row, value): (usize, PyResult<Bound<'_, PyAny>>)| integer(&format!("{name}[{row}]"), &value?);
    values.try_iter()?.enumerate().map(number).collect()
}

/// An integer of up to 64 bits.
fn integer(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    value.extract().map_err(|error: PyErr| {
        let given = value.repr().map(|text| text.to_string()).unwrap_or_default();
        let message = format!("{name} is {given}: give an integer from 0 to 2**64 - 1");
        match error.is_instance_of::<PyTypeError>(value.py()) {
            true => PyTypeError::new_err(message),
            false => config_error(value.py(), &message),
        }
    })
}

fn deadline_of(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    integer("deadline", value)
}

fn payload_of(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    integer("payload", value)
}

fn handle_of(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    integer("handle", value)
}

fn now_of(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    integer("now", value)
}

/// The items of a one-dimensional buffer of `T`; `None` for anything else.
fn buffer<T: Element>(values: &Bound<'_, PyAny>) -> PyResult<Option<Vec<T>>> {
    match PyBuffer::<T>::get(values) {
        Ok(buffer) if buffer.dimensions() == 1 => buffer.to_vec(values.py()).map(Some),
        _ => Ok(None),
    }
}

/// A read-only memoryview of unsigned 64-bit integers over memory of its own.
fn column<'py>(py: Python<'py>, values: &[u64]) -> PyResult<Bound<'py, PyMemoryView>> {
    let bytes = PyBytes::new_with(py, size_of_val(values), |memory| {
        for (place, value) in memory.chunks_exact_mut(size_of::<u64>()).zip(values) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(())
    })?;
    view(&bytes)
}

fn view<'py>(bytes: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyMemoryView>> {
    Ok(PyMemoryView::from(bytes)?.call_method1("cast", ("Q",))?.cast_into()?)
}
