//! Writing classic pcap: little-endian, version 2.4.
use std::fs::File;
use std::io::Write;
use std::path::Path;

use netfast_wire::LinkType;

use super::{Output, checked_len, create};
use crate::Error;

/// How a pcap file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcapOptions {
    /// Time stamps in nanoseconds (magic 0xa1b23c4d), else in microseconds, which every program reads.
    pub nanoseconds: bool,
    /// The snapshot length that the header claims. Longer packets are not cut.
    pub snaplen: u32,
}

impl Default for PcapOptions {
    fn default() -> Self {
        Self { nanoseconds: true, snaplen: 262_144 }
    }
}

/// Writes a pcap file: one link type, no comments. See [`PcapngWriter`](super::PcapngWriter) for more.
pub struct PcapWriter<W: Write> {
    output: Output<W>,
    nanoseconds: bool,
}

impl PcapWriter<File> {
    /// Creates (or empties) a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: impl AsRef<Path>, link: LinkType, options: PcapOptions) -> Result<Self, Error> {
        Ok(Self::new(create(path.as_ref())?, link, options))
    }
}

impl<W: Write> PcapWriter<W> {
    /// Writes to anything; it needs no buffer of its own.
    pub fn new(inner: W, link: LinkType, options: PcapOptions) -> Self {
        let mut output = Output::new(inner);
        let magic: u32 = if options.nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let header = output.buffer();
        header.extend_from_slice(&magic.to_le_bytes());
        header.extend_from_slice(&2u16.to_le_bytes());
        header.extend_from_slice(&4u16.to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        header.extend_from_slice(&options.snaplen.to_le_bytes());
        header.extend_from_slice(&u32::from(link.0).to_le_bytes());
        Self { output, nanoseconds: options.nanoseconds }
    }

    /// Adds a packet: ns since the epoch, length on the wire (bytes), captured bytes.
    ///
    /// # Errors
    /// [`Error::Unwritable`] for a time after the year 2106 or a packet longer than
    /// [`ReaderOptions::MAX_RECORD`](crate::capture::ReaderOptions::MAX_RECORD); the writer can be used further.
    /// [`Error::Write`] when the file cannot take more; nothing can be written after it.
    pub fn write(&mut self, time_ns: u64, len: u32, data: &[u8]) -> Result<(), Error> {
        let packet = self.output.given() + 1;
        let caplen = checked_len(data, packet, "pcap")?;
        let seconds = u32::try_from(time_ns / 1_000_000_000).map_err(|_| Error::Unwritable {
            packet,
            format: "pcap",
            field: "time in seconds",
            value: time_ns / 1_000_000_000,
            limit: u64::from(u32::MAX),
        })?;
        let nanoseconds = (time_ns % 1_000_000_000) as u32;
        let fraction = if self.nanoseconds { nanoseconds } else { nanoseconds / 1000 };
        let buffer = self.output.buffer();
        for field in [seconds, fraction, caplen, len] {
            buffer.extend_from_slice(&field.to_le_bytes());
        }
        buffer.extend_from_slice(data);
        self.output.end_packet()
    }

    /// Packets given so far.
    pub fn packets(&self) -> u64 {
        self.output.given()
    }

    /// Writes what was collected.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.output.flush()
    }

    /// Writes what was collected and gives the inner writer back.
    ///
    /// # Errors
    /// [`Error::Write`] with the number of packets that are whole in the file.
    pub fn finish(self) -> Result<W, Error> {
        self.output.finish()
    }
}
