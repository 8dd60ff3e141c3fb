//! `netfast.write`: packets to a pcapng or pcap file.
use crate::errors::config_error;
use crate::gate::{lock, raise_io};
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
    writer: Mutex<Option<Writer>>,
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
        raise_io(py, &self.path.display().to_string(), error)
    }
}

impl Writer {
    fn write(
        &mut self,
        path: &PathBuf,
        packet: (u64, LinkType, u32, &[u8]),
        comments: &[&str],
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
                file.write(number, time_ns, len, data, &PacketMeta { comments, ..PacketMeta::default() })
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
    #[pyo3(signature = (path, form, *, nanoseconds=true))]
    fn new(py: Python<'_>, path: PathBuf, form: &str, nanoseconds: bool) -> PyResult<Self> {
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
        Ok(Self { path, writer: Mutex::new(Some(writer)) })
    }

    /// Writes one packet: bytes that begin with a header of link type `link`, when it was seen (ns since the epoch),
    /// and how long it was on the wire.
    #[pyo3(signature = (data, time_ns, link, wire_len=None, comments=Vec::new()))]
    fn write(
        &self,
        py: Python<'_>,
        data: pyo3::buffer::PyBuffer<u8>,
        time_ns: u64,
        link: u16,
        wire_len: Option<u32>,
        comments: Vec<String>,
    ) -> PyResult<()> {
        let data = data.to_vec(py)?;
        let mut writer = lock(&self.writer);
        let closed = || PyValueError::new_err("the capture is closed; nothing more can be written");
        let writer = writer.as_mut().ok_or_else(closed)?;
        let link = LinkType(link);
        if let Writer::Pcap { link: Some(known), .. } = writer
            && *known != link
        {
            return Err(config_error(
                py,
                &format!(
                    "a pcap file has one link type: it began with {known}, this packet is {link}; write pcapng"
                ),
            ));
        }
        let len = wire_len.unwrap_or(0).max(u32::try_from(data.len()).unwrap_or(u32::MAX));
        let comments: Vec<&str> = comments.iter().map(String::as_str).collect();
        writer
            .write(&self.path, (time_ns, link, len, &data), &comments)
            .map_err(|error| self.fail(py, &error))
    }

    /// Ends the file and returns how many packets it holds; a file without packets is given `link`.
    #[pyo3(signature = (link=1))]
    fn close(&self, py: Python<'_>, link: u16) -> PyResult<u64> {
        match lock(&self.writer).take() {
            Some(writer) => writer.finish(&self.path, LinkType(link)).map_err(|error| self.fail(py, &error)),
            None => Ok(0),
        }
    }
}
