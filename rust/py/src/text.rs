//! Rows of text and rows of Python objects.
use crate::errors::{config_error, option_error};
use crate::gate::{enter, raise_os};
use crate::packets::FORMATS;
use netfast_capture::{CopyFormat, Error, Gauge, TextFormat, TextWriter};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use serde::Serialize;
use std::fs::File;
use std::io::BufWriter;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where rows go: a path, or an open file descriptor (which stays open).
#[derive(FromPyObject)]
pub enum RowSink {
    /// A file descriptor.
    Descriptor(i32),
    /// A file, made anew.
    Path(PathBuf),
}

impl RowSink {
    /// Refuses a file that is among those to be read: it would be emptied before.
    pub fn spare(&self, py: Python<'_>, read: &[PathBuf]) -> PyResult<()> {
        let Self::Path(target) = self else { return Ok(()) };
        let is = |path: &Path| {
            std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|m| (m.dev(), m.ino()))
        };
        let Some(written) = is(target) else { return Ok(()) };
        if read.iter().any(|path| is(path) == Some(written)) {
            let name = target.display();
            return Err(option_error(
                py,
                "target",
                &format!("{name} is read, so it cannot be written; give another name"),
            ));
        }
        Ok(())
    }

    /// How errors call it.
    pub fn name(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Descriptor(1) => "standard output".to_owned(),
            Self::Descriptor(number) => format!("descriptor {number}"),
        }
    }

    /// The format of a capture that is written here: what the name's ending says.
    pub fn copy_format(&self, py: Python<'_>) -> PyResult<CopyFormat> {
        let Self::Path(path) = self else { return Ok(CopyFormat::Pcapng) };
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("pcap" | "cap") => Ok(CopyFormat::Pcap),
            Some(packed @ ("gz" | "zst" | "bz2" | "xz" | "lz4")) => {
                let name = path.display();
                let text = format!(
                    "{name}: captures are not written compressed; write it without .{packed} and compress it then"
                );
                Err(config_error(py, &text))
            }
            _ => Ok(CopyFormat::Pcapng),
        }
    }

    /// The format of rows that are written here: the one that was named, or what the file's ending says.
    fn text_format(&self, py: Python<'_>, named: Option<&str>) -> PyResult<TextFormat> {
        if let Some(name) = named {
            return format(py, name);
        }
        let ending = match self {
            Self::Path(path) => path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()),
            Self::Descriptor(_) => None,
        };
        let known = FORMATS.iter().find(|(name, _)| Some(*name) == ending.as_deref());
        known.map(|(_, format)| *format).ok_or_else(|| {
            let name = self.name();
            config_error(py, &format!("{name}: its ending is no text format; name it: csv, jsonl or tsv"))
        })
    }

    pub fn open(&self) -> PyResult<BufWriter<File>> {
        let file = match self {
            Self::Path(path) => File::create(path)
                .map_err(|error| raise_os(&error, &error.to_string(), Some(&self.name())))?,
            Self::Descriptor(number) => {
                if *number < 0 {
                    return Err(std::io::Error::from_raw_os_error(9).into());
                }
                // SAFETY: the number is not negative; if it names no open file, duplicating it fails with EBADF. It is
                // borrowed only for this duplication, during which this thread holds the GIL and nothing closes it.
                let borrowed = unsafe { BorrowedFd::borrow_raw(*number) };
                File::from(borrowed.as_fd().try_clone_to_owned()?)
            }
        };
        Ok(BufWriter::with_capacity(64 << 10, file))
    }
}

/// The format of this name.
pub fn format(py: Python<'_>, name: &str) -> PyResult<TextFormat> {
    let found = FORMATS.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, format)| *format)
        .ok_or_else(|| config_error(py, &format!("no text format {name:?}; there are csv, jsonl and tsv")))
}

/// What a step of [`write_rows`] came to.
pub enum Written {
    /// So many rows, or none so far.
    Rows(usize),
    /// All rows are written.
    All,
}

/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(100);

/// Writes rows step by step and returns how many; whatever ends it, the rows before are written.
#[allow(clippy::disallowed_methods, reason = "progress is told to people")]
pub fn write_rows(
    py: Python<'_>,
    target: &RowSink,
    form: Option<&str>,
    progress: Option<&Bound<'_, PyAny>>,
    gauge: &Gauge,
    mut step: impl FnMut(&mut TextWriter<BufWriter<File>>) -> Result<Written, Error> + Send,
) -> PyResult<u64> {
    // A file whose format is not known stays as it is.
    let format = target.text_format(py, form)?;
    let mut writer = TextWriter::new(target.open()?, format);
    let (mut rows, mut told) = (0, Instant::now());
    let outcome = loop {
        match enter(py, || step(&mut writer)) {
            Ok(Written::Rows(count)) => rows += count as u64,
            Ok(Written::All) => break Ok(rows),
            Err(error) => break Err(error),
        }
        if let Err(interrupt) = py.check_signals() {
            break Err(interrupt);
        }
        if let Some(progress) = progress.filter(|_| told.elapsed() >= PROGRESS) {
            told = Instant::now();
            if let Err(error) = progress.call1(gauge.read()) {
                break Err(error);
            }
        }
    };
    let flushed = enter(py, || writer.flush());
    outcome.and_then(|rows| flushed.map(|()| rows))
}

/// Text that netfast's own writers made.
pub fn utf8(bytes: Vec<u8>) -> PyResult<String> {
    String::from_utf8(bytes).map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

/// Rows as dictionaries.
pub fn rows_to_python<'py>(
    py: Python<'py>,
    rows: impl ExactSizeIterator<Item = impl Serialize>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for row in rows {
        let value = serde_json::to_value(row).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        list.append(to_python(py, &value)?)?;
    }
    Ok(list)
}

/// Rows that a notebook shows of a batch.
const SHOWN: usize = 20;

/// The first rows as a table for notebooks, `total` rows in all where that is known.
pub fn html_table(rows: impl Iterator<Item = impl Serialize>, total: Option<usize>) -> String {
    use serde_json::Value;
    let mut html = String::from("<table>");
    let mut shown = 0;
    for row in rows.take(SHOWN) {
        let Ok(Value::Object(fields)) = serde_json::to_value(row) else { continue };
        if shown == 0 {
            html.push_str("<thead><tr>");
            fields.keys().for_each(|name| html.push_str(&format!("<th>{}</th>", escape(name))));
            html.push_str("</tr></thead><tbody>");
        }
        html.push_str("<tr>");
        for value in fields.values() {
            let text = match value {
                Value::Null => String::new(),
                Value::String(text) => escape(text),
                other => escape(&other.to_string()),
            };
            html.push_str(&format!("<td>{text}</td>"));
        }
        html.push_str("</tr>");
        shown += 1;
    }
    html.push_str("</tbody></table>");
    match total {
        Some(total) => html.push_str(&format!("<p>{shown} of {total} rows</p>")),
        None => html.push_str(&format!("<p>the first {shown} rows</p>")),
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A JSON value as a Python object.
pub fn to_python<'py>(py: Python<'py>, value: &serde_json::Value) -> PyResult<Bound<'py, PyAny>> {
    use serde_json::Value;
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into_pyobject(py)?.into_any(),
            (None, Some(number)) => number.into_pyobject(py)?.into_any(),
            (None, None) => number.as_f64().into_pyobject(py)?,
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (name, value) in fields {
                dict.set_item(name, to_python(py, value)?)?;
            }
            dict.into_any()
        }
    })
}
