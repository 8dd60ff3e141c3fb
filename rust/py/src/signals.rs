//! Ctrl-C while native code waits for a pipe, or looks for a packet that a filter keeps.
use netfast_io::capture::Interrupt;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use std::cell::RefCell;
use std::sync::OnceLock;
use std::thread::ThreadId;

/// The thread on which Python runs signal handlers. Only there is the GIL taken in the middle of native work: other
/// threads have nothing to hear, and may be outlived by the interpreter.
static MAIN: OnceLock<ThreadId> = OnceLock::new();

thread_local! {
    /// What a signal handler raised while native code ran on this thread.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// What ends a read when a signal handler raises; to be made while the interpreter is attached.
pub fn interrupt(py: Python<'_>) -> PyResult<Interrupt> {
    if MAIN.get().is_none() {
        let threading = py.import("threading")?;
        let main: u64 = threading.call_method0("main_thread")?.getattr("ident")?.extract()?;
        let here: u64 = threading.call_method0("get_ident")?.extract()?;
        if main == here {
            MAIN.get_or_init(|| std::thread::current().id());
        }
    }
    Ok(Interrupt::new(|| {
        let is_main = MAIN.get() == Some(&std::thread::current().id());
        let checked = is_main.then(|| Python::try_attach(|py| py.check_signals())).flatten();
        let Some(Err(error)) = checked else { return false };
        RAISED.with(|raised| *raised.borrow_mut() = Some(error));
        true
    }))
}

/// The exception that ended a read on this thread.
pub fn raised() -> PyErr {
    let raised = RAISED.with(|raised| raised.borrow_mut().take());
    raised.unwrap_or_else(|| PyKeyboardInterrupt::new_err("reading was interrupted"))
}

/// Ends reading when it is dropped: threads that wait for a pipe are not waited for.
#[derive(Debug)]
pub struct CancelOnDrop(pub Interrupt);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
