//! Files of taps: what a node recorded at its ports, as captures.
use netfast_datapath::{Node, PortId, TapKind};
use netfast_io::Error;
use netfast_io::capture::{InterfaceOptions, PacketMeta, PcapngOptions, PcapngWriter};
use netfast_wire::LinkType;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// `epb_flags`: inbound and outbound (draft-ietf-opsawg-pcapng 4.3.1).
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// A capture of Ethernet frames that is being written.
pub struct CaptureFile {
    path: PathBuf,
    /// The path without links, by which two names of one file are known.
    resolved: PathBuf,
    name: String,
    writer: PcapngWriter<File>,
    /// The interface of packets without link header, once there was one.
    raw: Option<u32>,
}

/// An error of a file, with its path.
pub type FileError = (String, Error);

impl CaptureFile {
    /// Makes the file anew, with one interface of this name.
    pub fn create(path: &Path, name: &str) -> Result<Self, FileError> {
        let told = |error| (path.display().to_string(), error);
        let created =
            File::create(path).map_err(|source| Error::Io { operation: "create", offset: 0, source });
        let options = PcapngOptions { application: Some("netfast".into()), ..PcapngOptions::default() };
        let mut writer = PcapngWriter::new(created.map_err(told)?, &options);
        writer.add_interface(&interface(name, LinkType::ETHERNET)).map_err(told)?;
        let resolved = resolved(path);
        Ok(Self { path: path.to_owned(), resolved, name: name.to_owned(), writer, raw: None })
    }

    /// Adds a frame.
    pub fn write(&mut self, time_ns: u64, frame: &[u8], meta: &PacketMeta<'_>) -> Result<(), FileError> {
        self.put(0, time_ns, frame, meta)
    }

    /// Adds a packet that begins with its IP header.
    pub fn write_raw(&mut self, time_ns: u64, packet: &[u8], meta: &PacketMeta<'_>) -> Result<(), FileError> {
        let told = |error| (self.path.display().to_string(), error);
        let number = match self.raw {
            Some(number) => number,
            None => self.writer.add_interface(&interface(&self.name, LinkType::RAW)).map_err(told)?,
        };
        self.raw = Some(number);
        self.put(number, time_ns, packet, meta)
    }

    fn put(
        &mut self,
        interface: u32,
        time_ns: u64,
        bytes: &[u8],
        meta: &PacketMeta<'_>,
    ) -> Result<(), FileError> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let written = self.writer.write(interface, time_ns, length, bytes, meta);
        written.map_err(|error| (self.path.display().to_string(), error))
    }

    /// Completes the file and says its name.
    pub fn finish(self) -> Result<String, FileError> {
        let path = self.path.display().to_string();
        self.writer.finish().map_err(|error| (path.clone(), error)).map(|_| path)
    }
}

/// A path without links and dots; of a file that is not there yet its folder's.
pub fn resolved(path: &Path) -> PathBuf {
    let folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(folder).unwrap_or_else(|| path.to_owned())
}

fn interface(name: &str, link: LinkType) -> InterfaceOptions {
    InterfaceOptions { name: Some(name.to_owned()), ..InterfaceOptions::new(link) }
}

/// The files of a node's taps, by port.
#[derive(Default)]
pub struct TapFiles {
    files: HashMap<PortId, CaptureFile>,
}

impl TapFiles {
    /// Adds a port's file; one that it had is completed.
    pub fn add(&mut self, port: PortId, file: CaptureFile) -> Result<(), FileError> {
        self.files.insert(port, file).map_or(Ok(()), |before| before.finish().map(drop))
    }

    /// The port whose tap writes this file.
    pub fn writes(&self, path: &Path) -> Option<PortId> {
        let resolved = resolved(path);
        self.files.iter().find(|(_, file)| file.resolved == resolved).map(|(port, _)| *port)
    }

    /// Completes a port's file.
    pub fn remove(&mut self, port: PortId) -> Result<(), FileError> {
        self.files.remove(&port).map_or(Ok(()), |file| file.finish().map(drop))
    }

    /// The ports that have files.
    pub fn ports(&self) -> Vec<PortId> {
        self.files.keys().copied().collect()
    }

    /// Writes what the node recorded since the last time.
    pub fn write(&mut self, node: &mut Node) -> Result<(), FileError> {
        if self.files.is_empty() {
            return Ok(());
        }
        let (tapped, missed) = node.take_taps();
        for (at, packet) in tapped.iter().enumerate() {
            let Some(file) = self.files.get_mut(&packet.port) else { continue };
            let (flags, comment) = match &packet.kind {
                TapKind::In => (INBOUND, None),
                TapKind::Out => (OUTBOUND, None),
                TapKind::Dropped(reason, None) => {
                    (INBOUND, Some(format!("dropped: {reason}: {}", reason.about())))
                }
                TapKind::Dropped(reason, Some(rule)) => (INBOUND, Some(format!("dropped: {reason}: {rule}"))),
            };
            let comments: Vec<&str> = comment.iter().map(String::as_str).collect();
            // Packets that were recorded no more come behind the last that was.
            let lost = if at + 1 == tapped.len() && missed > 0 { Some(missed) } else { None };
            let meta = PacketMeta {
                comments: &comments,
                flags: Some(flags),
                drop_count: lost,
                ..PacketMeta::default()
            };
            file.write(packet.time.as_nanos(), &packet.bytes, &meta)?;
        }
        Ok(())
    }
}
