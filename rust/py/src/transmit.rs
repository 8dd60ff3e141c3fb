//! `netfast.Transmitter`: messages to a socket, whose memory is held until the system does not read it any more.
mod payload;
mod settings;

use crate::errors::{config_error, option_error, resource_error};
use crate::gate::raise_os;
use netfast_buf::Block;
use netfast_io::transmit::{
    Arena, Cancelled, Completion, Message, Reason, Refused, Rung, Ticket, TransmitConfig, TransmitError,
    Transmitter as Engine, rungs,
};
use netfast_time::Instant;
pub use payload::Pieces;
use payload::{Copying, pieces_of};
use pyo3::exceptions::{PyPermissionError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyTuple};
use settings::{address_of, counters_of, socket_of};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Buffers that a benchmark sends from, 64 KiB apart, so that not all are in the nearest cache.
const BENCH_BUFFERS: usize = 64;

/// What ended: ticket, whether sent, whether released, bytes sent, error number or 0, parts not copied, parts copied,
/// nanoseconds from hand-over to notification.
type Ended = (u64, bool, bool, usize, i32, u32, u32, u64);

/// Sends over a socket: `netfast.Transmitter` uses it, nobody else should.
///
/// Threads: each method is atomic. `fork`: refused in the child, where closing it does nothing. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct NativeTransmitter {
    engine: Mutex<Option<Engine<Pieces>>>,
    arena: Option<Arena>,
    copying: Copying,
    descriptor: OwnedFd,
    /// Nanoseconds count from here.
    start: std::time::Instant,
    /// The process that opened it.
    process: u32,
}

impl Drop for NativeTransmitter {
    /// What a fork copied is let go of without a word to the system: rings, and what they read, are the parent's.
    fn drop(&mut self) {
        if !self.is_ours() {
            std::mem::forget(self.engine.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

#[pymethods]
impl NativeTransmitter {
    /// Takes a copy of the descriptor `socket`.
    #[new]
    #[pyo3(signature = (socket, *, rung=None, zero_copy_from=None, adaptive=true, max_messages=1024,
        max_bytes=67_108_864, close_timeout_ns=1_000_000_000, registered=0, registered_size=65_536))]
    #[allow(clippy::too_many_arguments, reason = "settings by name")]
    #[allow(clippy::disallowed_methods, reason = "the times of notifications are real")]
    fn new(
        py: Python<'_>,
        socket: i32,
        rung: Option<&str>,
        zero_copy_from: Option<usize>,
        adaptive: bool,
        max_messages: usize,
        max_bytes: usize,
        close_timeout_ns: u64,
        registered: usize,
        registered_size: usize,
    ) -> PyResult<Self> {
        let arena = match registered {
            0 => None,
            slots => Some(Arena::new(slots, registered_size).map_err(|error| raise(py, error))?),
        };
        let defaults = TransmitConfig::default();
        let config = TransmitConfig {
            rung: rung.map(|name| rung_of(py, name)).transpose()?,
            zero_copy_from: zero_copy_from.unwrap_or(defaults.zero_copy_from),
            is_adaptive: adaptive,
            messages: max_messages,
            bytes: max_bytes,
            close_wait: netfast_time::Duration::from_nanos(close_timeout_ns),
            arena: arena.clone(),
        };
        let socket = socket_of(socket)?;
        let engine = Engine::new(socket, config).map_err(|error| raise(py, error))?;
        let descriptor = engine.descriptor().try_clone_to_owned()?;
        Ok(Self {
            engine: Mutex::new(Some(engine)),
            arena,
            copying: Copying::default(),
            descriptor,
            start: std::time::Instant::now(),
            process: std::process::id(),
        })
    }

    /// Takes a message; `None` when a limit is reached. `data` is one buffer, or a list or tuple of them.
    #[pyo3(signature = (data, to=None, segment=0))]
    fn submit(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        to: Option<&Bound<'_, PyTuple>>,
        segment: u16,
    ) -> PyResult<Option<u64>> {
        self.check(py)?;
        let to = to.map(address_of).transpose()?;
        let payload = pieces_of(data, self.arena.as_ref(), &self.copying)?;
        let mut engine = self.lock(py)?;
        match opened(&mut engine)?.submit(Message { payload, to, segment }) {
            Ok(ticket) => Ok(Some(ticket.to_bits())),
            Err(Refused { error: TransmitError::Full { .. }, .. }) => Ok(None),
            Err(Refused { error, .. }) => Err(raise(py, error)),
        }
    }

    /// Sends what can be sent and looks for notifications; gives what ended when `collect`, else forgets it.
    fn drive(&self, py: Python<'_>, collect: bool) -> PyResult<Vec<Ended>> {
        self.check(py)?;
        let completions = py.detach(|| {
            let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(engine) = engine.as_mut() else { return Ok(Vec::new()) };
            engine.drive(self.now())?;
            Ok(std::iter::from_fn(|| engine.next_completion()).collect())
        });
        // Payloads are let go of here, where the interpreter is attached.
        let completions: Vec<_> = completions.map_err(|error| raise(py, error))?;
        Ok(completions.into_iter().map(ended).filter(|_| collect).collect())
    }

    /// Takes a message back: `"now"`, `"asked"` or `"too late"`.
    fn cancel(&self, py: Python<'_>, ticket: u64) -> PyResult<&'static str> {
        let mut engine = self.lock(py)?;
        Ok(match opened(&mut engine)?.cancel(Ticket::from_bits(ticket)) {
            Cancelled::Now => "now",
            Cancelled::Asked => "asked",
            Cancelled::TooLate => "too late",
        })
    }

    /// What is readable when `drive` has something to do.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        opened(&mut *self.lock(py)?)?;
        Ok(self.descriptor.as_raw_fd())
    }

    /// Messages that the system has not taken to their end.
    #[getter]
    fn queued(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.lock(py)?.as_ref().map_or(0, Engine::queued))
    }

    /// Messages that are not released.
    #[getter]
    fn in_flight(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.lock(py)?.as_ref().map_or(0, Engine::in_flight))
    }

    /// Their bytes.
    #[getter]
    fn in_flight_bytes(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.lock(py)?.as_ref().map_or(0, Engine::in_flight_bytes))
    }

    /// The rung that long messages take.
    #[getter]
    fn rung(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(opened(&mut *self.lock(py)?)?.rung().name())
    }

    /// Changes of the rung: from, to, why.
    #[getter]
    fn changes(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, &'static str, String)>> {
        let mut engine = self.lock(py)?;
        let changes = opened(&mut engine)?.changes().iter();
        Ok(changes.map(|change| (change.from.name(), change.to.name(), change.reason.to_string())).collect())
    }

    /// How many there are.
    #[getter]
    fn change_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.lock(py)?.as_ref().map_or(0, |engine| engine.changes().len()))
    }

    /// What it did, by name.
    #[getter]
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut engine = self.lock(py)?;
        counters_of(py, opened(&mut engine)?.counters(), self.copying.counts())
    }

    /// Whether this process opened it, not one that it was forked from.
    #[getter]
    fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }

    /// Ends it; gives what it did in all and what ended. Afterwards it is closed.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyDict>, Vec<Ended>)>> {
        if !self.is_ours() {
            return Ok(None);
        }
        let Some(engine) = self.lock(py)?.take() else { return Ok(None) };
        let closed = py.detach(|| engine.close());
        let counters = counters_of(py, &closed.counters, self.copying.counts())?;
        Ok(Some((counters, closed.completions.into_iter().map(ended).collect())))
    }

    /// Each rung for a socket, and why it does not work.
    #[staticmethod]
    fn rungs(py: Python<'_>, socket: i32) -> PyResult<Vec<(&'static str, Option<String>)>> {
        let socket = socket_of(socket)?;
        let known = rungs(std::os::fd::AsFd::as_fd(&socket)).map_err(|error| raise(py, error))?;
        Ok(known
            .into_iter()
            .map(|(rung, reason)| (rung.name(), reason.map(|reason| reason.to_string())))
            .collect())
    }

    /// Sends messages of `size` bytes again and again for `seconds`, up to `batch` before each drive, and gives how many,
    /// and how many datagrams these are. With `registered` memory the payload stands there, else in one buffer after the
    /// other of 64.
    #[allow(clippy::disallowed_methods, reason = "measuring is what it is for")]
    fn bench(
        &self,
        py: Python<'_>,
        size: usize,
        segment: u16,
        batch: usize,
        seconds: f64,
    ) -> PyResult<(u64, u64)> {
        let pages = Arena::new(BENCH_BUFFERS, size.max(1 << 16)).map_err(|error| raise(py, error))?;
        let buffers = std::iter::from_fn(|| pages.take(size)).map(|mut buffer| {
            // Pages that were never written to are one and the same.
            buffer.fill(7);
            Pieces::shared(Block::from_owner(buffer))
        });
        let payloads: Vec<Pieces> = buffers.collect();
        let length = Duration::try_from_secs_f64(seconds).map_err(|_| PyValueError::new_err("seconds"))?;
        let sent = py.detach(|| {
            let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(engine) = engine.as_mut() else { return Ok(0) };
            let (start, before) = (std::time::Instant::now(), engine.counters().sent);
            while start.elapsed() < length {
                for at in 0..batch {
                    let registered = self.arena.as_ref().and_then(|arena| arena.take(size));
                    let payload =
                        registered.map_or_else(|| payloads[at % BENCH_BUFFERS].again(), Pieces::from);
                    if engine.submit(Message { payload, to: None, segment }).is_err() {
                        break;
                    }
                }
                engine.drive(self.now())?;
                while engine.next_completion().is_some() {}
                if engine.queued() > 0 {
                    engine.wait(netfast_time::Duration::from_millis(1))?;
                }
            }
            Ok(engine.counters().sent - before)
        });
        let sent = sent.map_err(|error: TransmitError| raise(py, error))?;
        let datagrams = if segment == 0 { 1 } else { size.div_ceil(usize::from(segment)).max(1) };
        Ok((sent, sent * datagrams as u64))
    }
}

impl NativeTransmitter {
    /// What there is, in the process that opened it: who had the lock when another one was forked is not there.
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Option<Engine<Pieces>>>> {
        self.check(py)?;
        Ok(self.engine.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner))
    }

    /// Refuses a process that is not the one that opened it.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_ours() {
            return Ok(());
        }
        let text = "the transmitter was opened before a fork: open another one in this process";
        Err(config_error(py, text))
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.start.elapsed().as_nanos().try_into().unwrap_or(u64::MAX))
    }
}

fn opened(engine: &mut Option<Engine<Pieces>>) -> PyResult<&mut Engine<Pieces>> {
    engine.as_mut().ok_or_else(|| PyValueError::new_err("the transmitter is closed"))
}

fn ended(completion: Completion<Pieces>) -> Ended {
    let ticket = completion.ticket().to_bits();
    let told = |outcome: Result<usize, netfast_io::transmit::Failure>| match outcome {
        Ok(sent) => (sent, 0),
        Err(failure) => (failure.sent, failure.errno),
    };
    match completion {
        Completion::Sent { outcome, .. } => {
            let (sent, errno) = told(outcome);
            (ticket, true, false, sent, errno, 0, 0, 0)
        }
        Completion::Done { outcome, .. } => {
            let (sent, errno) = told(outcome);
            (ticket, true, true, sent, errno, 0, 0, 0)
        }
        Completion::Released { release, .. } => {
            (ticket, false, true, 0, 0, release.zero_copied, release.copied, release.waited.as_nanos())
        }
    }
}

fn rung_of(py: Python<'_>, name: &str) -> PyResult<Rung> {
    Rung::named(name).ok_or_else(|| {
        let names: Vec<&str> = Rung::ALL.iter().map(|rung| rung.name()).collect();
        option_error(py, "rung", &format!("rung={name:?}: give one of {}", names.join(", ")))
    })
}

/// The exception of an error.
fn raise(py: Python<'_>, error: TransmitError) -> PyErr {
    let text = error.to_string();
    match error {
        TransmitError::System { source, call } => raise_os(&source, &format!("{call}: {source}"), None),
        TransmitError::Broken { errno } => raise_os(&std::io::Error::from_raw_os_error(errno), &text, None),
        TransmitError::Unavailable { reason: Reason::Forbidden { errno, .. }, .. } => {
            PyPermissionError::new_err((errno, text))
        }
        TransmitError::Unavailable { .. } => option_error(py, "rung", &text),
        TransmitError::TooLong { .. } => option_error(py, "segment", &text),
        TransmitError::Setting { setting, .. } => {
            let option = match setting {
                "arena" => "registered",
                "bytes" => "max_bytes",
                _ => "max_messages",
            };
            option_error(py, option, &text.replacen(setting, option, 1))
        }
        TransmitError::Full { limit, .. } => resource_error(py, &text, Some(limit as u64)),
        _ => config_error(py, &text),
    }
}
