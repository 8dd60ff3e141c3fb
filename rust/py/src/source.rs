//! How captures are opened from Python.
use crate::gate::enter;
use crate::signals;
use netfast_capture::{Damages, Error, Input, InputOptions, ReassembleOptions};
use netfast_io::capture::ReaderOptions;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Which captures, and how they are seen; opened as often as they are iterated over.
#[derive(Clone, Debug)]
pub struct Source {
    paths: Vec<PathBuf>,
    options: InputOptions,
}

impl Source {
    pub fn new(paths: Vec<PathBuf>, filter: Option<String>, mmap: bool, lenient: bool) -> Self {
        let reader = ReaderOptions { mmap, lenient, ..ReaderOptions::default() };
        Self { paths, options: InputOptions { reader, filter, reassemble: None } }
    }

    /// The files that are read.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The same with the options of packets (comments and the like), which reading columns has no use for.
    pub fn keeping_options(mut self) -> Self {
        self.options.reader.keep_options = true;
        self
    }

    /// The same with fragments put together.
    pub fn reassembling(mut self, how: Option<ReassembleOptions>) -> Self {
        self.options.reassemble = how;
        self
    }

    pub fn open(&self, py: Python<'_>) -> PyResult<Input> {
        let mut options = self.options.clone();
        options.reader.interrupt = Some(signals::interrupt(py)?);
        enter(py, || Input::open(&self.paths, &options))
    }

    /// True when every input is a file, which can be read again.
    pub fn reopens(&self) -> bool {
        self.paths.iter().all(|path| path.metadata().is_ok_and(|metadata| metadata.is_file()))
    }

    /// The names of the files, for a representation.
    pub fn names(&self) -> String {
        let names: Vec<_> = self.paths.iter().map(|path| format!("'{}'", path.display())).collect();
        names.join(", ")
    }
}

/// Damaged captures as dictionaries: path, damaged places, bytes skipped, and the first thousand places one by one.
pub fn damage<'py>(py: Python<'py>, damages: &Damages) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for capture in damages.captures() {
        let places = PyList::empty(py);
        for place in &capture.places {
            let dict = PyDict::new(py);
            dict.set_item("frame", place.frame)?;
            dict.set_item("offset", place.offset)?;
            dict.set_item("skipped", place.skipped)?;
            dict.set_item("what", &place.what)?;
            places.append(dict)?;
        }
        let dict = PyDict::new(py);
        dict.set_item("path", &capture.path)?;
        dict.set_item("count", capture.count)?;
        dict.set_item("skipped", capture.skipped)?;
        dict.set_item("places", places)?;
        list.append(dict)?;
    }
    Ok(list)
}

/// What ended the latest run over a capture early; shared by a stream and the runs over it.
#[derive(Clone, Debug, Default)]
pub struct LastError(Arc<Mutex<Option<Arc<Error>>>>);

impl LastError {
    pub fn set(&self, error: Error) -> Arc<Error> {
        let error = Arc::new(error);
        *crate::gate::lock(&self.0) = Some(error.clone());
        error
    }

    pub fn clear(&self) {
        *crate::gate::lock(&self.0) = None;
    }

    pub fn get(&self) -> Option<Arc<Error>> {
        crate::gate::lock(&self.0).clone()
    }
}
