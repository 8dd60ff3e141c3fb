//! The gate: what takes long runs without the GIL, and errors of the crates become Python's.
use crate::errors::{ParsePlace, config_error, parse_error, resource_error};
use crate::signals::raised;
use netfast_capture::Error;
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock; to be called without the GIL, or for work that never waits for it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left is still valid memory, and the panic itself was raised in Python.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` without the GIL and maps its error.
pub fn enter<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    py.detach(work).map_err(|error| raise(py, &error))
}

/// The exception of an error.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    match error {
        Error::Capture { path, source } => raise_io(py, path, source),
        Error::Write(source) => raise_os(source, &format!("writing rows failed: {source}"), None),
        Error::Filter(filter) => config_error(py, &format!("filter: {filter}")),
        Error::Several { errors } => raise_several(py, error, errors),
        Error::Interrupted => raised(),
        Error::Flow(_) | Error::NoInput => config_error(py, &error.to_string()),
        _ => PyRuntimeError::new_err(error.to_string()),
    }
}

/// Several captures are damaged: what is wrong with all of them, with the place of the first.
fn raise_several(py: Python<'_>, all: &Error, errors: &[Error]) -> PyErr {
    let place = ParsePlace { frame: all.frame(), offset: all.offset(), ..ParsePlace::default() };
    match errors {
        [one] => raise(py, one),
        _ => parse_error(py, &all.to_string(), place),
    }
}

/// The exception of an error of a capture file.
pub fn raise_io(py: Python<'_>, path: &str, source: &netfast_io::Error) -> PyErr {
    if let Some(os) = source.os_error() {
        // Of a file that cannot be opened the system's words say everything; the file's name follows.
        let plain = os.kind() == std::io::ErrorKind::IsADirectory
            || matches!(source, netfast_io::Error::Io { operation, .. } if *operation != "read");
        let text = if plain { os.to_string() } else { source.to_string() };
        return raise_os(os, &text, Some(path));
    }
    let text = format!("{path}: {source}");
    match source {
        netfast_io::Error::TooManyInterfaces { .. } => resource_error(py, &text, None),
        netfast_io::Error::Unwritable { .. } | netfast_io::Error::SecondLinkType { .. } => {
            config_error(py, &text)
        }
        _ => {
            let place =
                ParsePlace { frame: source.frame(), offset: source.offset(), ..ParsePlace::default() };
            parse_error(py, &text, place)
        }
    }
}

/// `OSError`, which picks its subclass by the number, and shows it before the text.
pub fn raise_os(error: &std::io::Error, text: &str, path: Option<&str>) -> PyErr {
    let numbered = error.raw_os_error().map(|number| format!(" (os error {number})"));
    let text = numbered.and_then(|number| text.strip_suffix(&number)).unwrap_or(text);
    match (error.raw_os_error(), path) {
        (Some(number), Some(path)) => PyOSError::new_err((number, text.to_owned(), path.to_owned())),
        (Some(number), None) => PyOSError::new_err((number, text.to_owned())),
        (None, _) => PyOSError::new_err(text.to_owned()),
    }
}
