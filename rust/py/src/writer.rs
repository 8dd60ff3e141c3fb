//! `netfast.write`: packets to a pcapng or pcap file.
use crate::errors::{config_error, option_error};
use crate::gate::raise_io;
use crate::packet::{Given, link_type};
use crate::reader::PacketBatch;
use netfast_io::capture::{
    InterfaceOptions, PacketMeta, PcapOptions, PcapWriter, PcapngOptions, PcapngWriter,
};
use netfast_wire::LinkType;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Writes packets to a capture file; used through `netfast.write`.
///
/// Threads: each method is atomic. `fork`: write from one process only. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct CaptureWriter {
    path: PathBuf,
    /// The link type that the caller gave.
    link: Option<LinkType>,
    writer: Mutex<Option<Writing>>,
}

struct Writing {
    writer: Writer,
    /// When the latest packet was, in ns since the epoch.
    now: u64,
}

enum Writer {
    /// The link type is in the file's header, so the file begins with its first packet.
    Pcap {
        file: Option<PcapWriter<Target>>,
        link: Option<LinkType>,
        nanoseconds: bool,
    },
    Pcapng {
        file: PcapngWriter<Target>,
        interfaces: Vec<LinkType>,
    },
}

/// The file of a writer. What it is asked to do may wait, for the reader of a FIFO say, so that is done without the GIL;
/// a writer gives it many packets at once.
struct Target(File);

impl Target {
    /// Makes the file anew; `-` is standard output.
    fn create(path: &Path) -> Result<Self, netfast_io::Error> {
        let open = || match path.as_os_str() == "-" {
            true => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            false => File::create(path),
        };
        let created = Python::attach(|py| py.detach(open));
        created.map(Self).map_err(|source| netfast_io::Error::Io { operation: "create", offset: 0, source })
    }
}

impl io::Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Python::attach(|py| py.detach(|| self.0.write(bytes)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Python::attach(|py| py.detach(|| self.0.flush()))
    }
}

impl CaptureWriter {
    /// The lock, which is held while the GIL is let go for writing: who waits for it lets it go, too.
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Option<Writing>> {
        self.writer.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, py: Python<'_>, error: &netfast_io::Error) -> PyErr {
        let path = self.path.display().to_string();
        match error {
            netfast_io::Error::Unwritable { format, .. } => {
                let remedy = if *format == "pcap" { "; pcapng holds more" } else { "" };
                config_error(py, &format!("{path}: {error}{remedy}"))
            }
            _ => raise_io(py, &path, error),
        }
    }

    fn put(
        &self,
        py: Python<'_>,
        writing: &mut Writing,
        packet: (u64, LinkType, u32, &[u8]),
    ) -> PyResult<()> {
        let (time_ns, link, ..) = packet;
        if let Writer::Pcap { link: Some(known), .. } = writing.writer
            && known != link
        {
            let text = format!(
                "a pcap file has one link type: it began with {known}, this packet is {link}; write pcapng"
            );
            return Err(option_error(py, "link", &text));
        }
        writing.now = time_ns;
        writing.writer.write(&self.path, packet).map_err(|error| self.fail(py, &error))
    }
}

impl Writer {
    fn write(&mut self, path: &Path, packet: (u64, LinkType, u32, &[u8])) -> Result<(), netfast_io::Error> {
        let (time_ns, link, len, data) = packet;
        match self {
            Self::Pcap { file, link: known, nanoseconds } => {
                let options = PcapOptions { nanoseconds: *nanoseconds, ..PcapOptions::default() };
                if file.is_none() {
                    *file = Some(PcapWriter::new(Target::create(path)?, link, options));
                    *known = Some(link);
                }
                file.as_mut().map_or(Ok(()), |file| file.write(time_ns, len, data))
            }
            Self::Pcapng { file, interfaces } => {
                let number = match interfaces.iter().position(|known| *known == link) {
                    Some(number) => number as u32,
                    None => {
                        interfaces.push(link);
                        file.add_interface(&InterfaceOptions::new(link))?
                    }
                };
                file.write(number, time_ns, len, data, &PacketMeta::default())
            }
        }
    }

    fn finish(self, path: &Path, link: LinkType) -> Result<u64, netfast_io::Error> {
        match self {
            Self::Pcap { file, nanoseconds, .. } => {
                let options = PcapOptions { nanoseconds, ..PcapOptions::default() };
                let file = match file {
                    Some(file) => file,
                    None => PcapWriter::new(Target::create(path)?, link, options),
                };
                let packets = file.packets();
                file.finish().map(|_| packets)
            }
            Self::Pcapng { file, .. } => {
                let packets = file.packets();
                file.finish().map(|_| packets)
            }
        }
    }
}

#[pymethods]
impl CaptureWriter {
    #[new]
    #[pyo3(signature = (path, form, *, link: "int | str | None" = None, nanoseconds=true))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        form: &str,
        link: Option<&Bound<'_, PyAny>>,
        nanoseconds: bool,
    ) -> PyResult<Self> {
        let link = link.map(link_type).transpose()?;
        let writer = match form {
            "pcap" => Writer::Pcap { file: None, link: None, nanoseconds },
            "pcapng" => {
                let options =
                    PcapngOptions { application: Some("netfast".into()), ..PcapngOptions::default() };
                let target = Target::create(&path);
                let target = target.map_err(|error| raise_io(py, &path.display().to_string(), &error))?;
                Writer::Pcapng { file: PcapngWriter::new(target, &options), interfaces: Vec::new() }
            }
            _ => {
                let text = format!("no capture format {form:?}; there are pcapng and pcap");
                return Err(option_error(py, "format", &text));
            }
        };
        let writing = Writing { writer, now: 0 };
        Ok(Self { path, link, writer: Mutex::new(Some(writing)) })
    }

    /// Writes one packet in any of the forms that `netfast.write` takes, or those of a `PacketBatch`.
    fn write(&self, py: Python<'_>, packet: &Bound<'_, PyAny>) -> PyResult<()> {
        let closed = || PyValueError::new_err("the capture is closed; nothing more can be written");
        if let Ok(batch) = packet.cast::<PacketBatch>() {
            let mut writing = self.lock(py);
            let writing = writing.as_mut().ok_or_else(closed)?;
            return batch.get().packets().try_for_each(|packet| self.put(py, writing, packet));
        }
        // Before the lock is taken: this may run Python.
        let given = Given::of(packet, self.link)?;
        let mut writing = self.lock(py);
        let writing = writing.as_mut().ok_or_else(closed)?;
        let time_ns = given.time_ns.unwrap_or(writing.now);
        self.put(py, writing, (time_ns, given.link, given.wire_len, given.bytes()))
    }

    /// Ends the file and returns how many packets it holds.
    fn close(&self, py: Python<'_>) -> PyResult<u64> {
        let link = self.link.unwrap_or(LinkType::ETHERNET);
        let writing = self.lock(py).take();
        match writing {
            Some(writing) => writing.writer.finish(&self.path, link).map_err(|error| self.fail(py, &error)),
            None => Ok(0),
        }
    }
}
