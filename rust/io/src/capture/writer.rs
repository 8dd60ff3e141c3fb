//! Capture writing: pcap and pcapng.
//!
//! Both writers collect whole packets in a buffer and count what reaches the file, so that a full disk is told
//! with the number of packets that are whole. `finish` writes what is left; a writer that is dropped without it
//! tries to, and cannot tell.
use std::io::{self, Write};

use netfast_wire::LinkType;

use crate::Error;

mod pcap;
mod pcapng;

pub use pcap::{PcapOptions, PcapWriter};
pub use pcapng::{InterfaceOptions, PacketMeta, PcapngOptions, PcapngWriter};

/// Bytes that are collected before the file is written.
const BUFFER: usize = 256 << 10;

/// A buffer before a file that knows which packets are whole in it.
pub(super) struct Output<W: Write> {
    /// None after `finish`.
    inner: Option<W>,
    buffer: Vec<u8>,
    /// Where the packets of the buffer end.
    ends: Vec<usize>,
    /// Packets that stand in the file.
    packets: u64,
    /// Bytes that stand in the file.
    bytes: u64,
    /// What went wrong before: nothing may be written after a gap.
    failed: Option<(io::ErrorKind, Option<i32>)>,
}

impl<W: Write> Output<W> {
    pub fn new(inner: W) -> Self {
        let buffer = Vec::with_capacity(BUFFER);
        Self { inner: Some(inner), buffer, ends: Vec::new(), packets: 0, bytes: 0, failed: None }
    }

    /// Packets given so far.
    pub fn given(&self) -> u64 {
        self.packets + self.ends.len() as u64
    }

    /// The buffer, to append one packet or block to.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Ends a packet.
    pub fn end_packet(&mut self) -> Result<(), Error> {
        self.ends.push(self.buffer.len());
        self.flush_when_full()
    }

    pub fn flush_when_full(&mut self) -> Result<(), Error> {
        if self.buffer.len() < BUFFER { Ok(()) } else { self.flush_buffer() }
    }

    /// Writes what was collected and flushes what is below.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.flush_buffer()?;
        let flushed = self.inner.as_mut().map_or(Ok(()), W::flush);
        flushed.map_err(|source| self.error(source))
    }

    pub fn finish(mut self) -> Result<W, Error> {
        self.flush()?;
        match self.inner.take() {
            Some(inner) => Ok(inner),
            None => Err(self.error(io::ErrorKind::NotConnected.into())),
        }
    }

    fn error(&self, source: io::Error) -> Error {
        Error::Write { packets: self.packets, bytes: self.bytes, source }
    }

    fn flush_buffer(&mut self) -> Result<(), Error> {
        if let Some((kind, code)) = self.failed {
            return Err(self.error(code.map_or_else(|| kind.into(), io::Error::from_raw_os_error)));
        }
        let Some(inner) = self.inner.as_mut() else { return Ok(()) };
        let mut done = 0;
        let failure = loop {
            if done == self.buffer.len() {
                break None;
            }
            match inner.write(&self.buffer[done..]) {
                Ok(0) => break Some(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Some(e),
            }
        };
        self.bytes += done as u64;
        self.packets += self.ends.partition_point(|&end| end <= done) as u64;
        self.buffer.clear();
        self.ends.clear();
        match failure {
            None => Ok(()),
            Some(source) => {
                self.failed = Some((source.kind(), source.raw_os_error()));
                Err(self.error(source))
            }
        }
    }
}

impl<W: Write> Drop for Output<W> {
    fn drop(&mut self) {
        if self.failed.is_none() && !std::thread::panicking() {
            let _ = self.flush_buffer();
        }
    }
}

/// The longest packet (bytes) of a link type that Wireshark and libpcap take from a file; both refuse a file with a longer
/// one. The writers write longer ones all the same, up to what [`ReaderOptions`](super::ReaderOptions) believes.
pub fn longest_portable(link: LinkType) -> usize {
    match link.0 {
        // USB as FreeBSD, Linux (twice), Windows and macOS see it, and D-Bus.
        186 | 189 | 220 | 231 | 249 | 266 => 128 << 20,
        // Elektrobit's bus recorder.
        279 => 8 << 20,
        _ => 256 << 10,
    }
}

/// Creates a file for a writer.
fn create(path: &std::path::Path) -> Result<std::fs::File, Error> {
    std::fs::File::create(path).map_err(|source| Error::Io { operation: "create", offset: 0, source })
}

/// The length of a packet as a format's 32-bit field, below the longest that readers take.
fn checked_len(data: &[u8], packet: u64, format: &'static str) -> Result<u32, Error> {
    let limit = super::ReaderOptions::MAX_RECORD;
    u32::try_from(data.len()).ok().filter(|&len| len <= limit).ok_or(Error::Unwritable {
        packet,
        format,
        field: "captured length",
        value: data.len() as u64,
        limit: u64::from(limit),
    })
}
