//! `netfast.write`: packets to a pcapng or pcap file.
use crate::errors::config_error;
use crate::gate::{lock, raise_io};
use crate::packet::{Given, link_type};
use crate::reader::PacketBatch;
use netfast_io::capture::{
    InterfaceOptions, PacketMeta, PcapOptions, PcapWriter, PcapngOptions, PcapngWriter,
};
use netfast_wire::LinkType;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Mutex;

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
        file: Option<PcapWriter<File>>,
        link: Option<LinkType>,
        nanoseconds: bool,
    },
    Pcapng {
        file: PcapngWriter<File>,
        interfaces: Vec<LinkType>,
    },
}

impl CaptureWriter {
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
            return Err(config_error(py, &text));
        }
        writing.now = time_ns;
        writing.writer.write(&self.path, packet).map_err(|error| self.fail(py, &error))
    }
}

impl Writer {
    fn write(
        &mut self,
        path: &PathBuf,
        packet: (u64, LinkType, u32, &[u8]),
    ) -> Result<(), netfast_io::Error> {
        let (time_ns, link, len, data) = packet;
        match self {
            Self::Pcap { file, link: known, nanoseconds } => {
                let options = PcapOptions { nanoseconds: *nanoseconds, ..PcapOptions::default() };
                if file.is_none() {
                    *file = Some(PcapWriter::create(path, link, options)?);
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

    fn finish(self, path: &PathBuf, link: LinkType) -> Result<u64, netfast_io::Error> {
        match self {
            Self::Pcap { file, nanoseconds, .. } => {
                let options = PcapOptions { nanoseconds, ..PcapOptions::default() };
                let file = file.map_or_else(|| PcapWriter::create(path, link, options), Ok)?;
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
                let file = PcapngWriter::create(&path, &options);
                let file = file.map_err(|error| raise_io(py, &path.display().to_string(), &error))?;
                Writer::Pcapng { file, interfaces: Vec::new() }
            }
            _ => {
                return Err(config_error(
                    py,
                    &format!("no capture format {form:?}; there are pcapng and pcap"),
                ));
            }
        };
        let writing = Writing { writer, now: 0 };
        Ok(Self { path, link, writer: Mutex::new(Some(writing)) })
    }

    /// Writes one packet in any of the forms that `netfast.write` takes, or those of a `PacketBatch`.
    fn write(&self, py: Python<'_>, packet: &Bound<'_, PyAny>) -> PyResult<()> {
        let closed = || PyValueError::new_err("the capture is closed; nothing more can be written");
        if let Ok(batch) = packet.cast::<PacketBatch>() {
            let mut writing = lock(&self.writer);
            let writing = writing.as_mut().ok_or_else(closed)?;
            return batch.get().packets().try_for_each(|packet| self.put(py, writing, packet));
        }
        // Before the lock is taken: this may run Python.
        let given = Given::of(packet, self.link)?;
        let mut writing = lock(&self.writer);
        let writing = writing.as_mut().ok_or_else(closed)?;
        let time_ns = given.time_ns.unwrap_or(writing.now);
        self.put(py, writing, (time_ns, given.link, given.wire_len, given.bytes()))
    }

    /// Ends the file and returns how many packets it holds.
    fn close(&self, py: Python<'_>) -> PyResult<u64> {
        let link = self.link.unwrap_or(LinkType::ETHERNET);
        match lock(&self.writer).take() {
            Some(writing) => writing.writer.finish(&self.path, link).map_err(|error| self.fail(py, &error)),
            None => Ok(0),
        }
    }
}
