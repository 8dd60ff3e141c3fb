//! What goes through a device, written to a pcapng file: both ways, with the direction in each packet's flags.
use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;

use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_time::{Duration, Instant};
use netfast_wire::LinkType;

use super::stack::{Observer, copy_frame, file_error, offer};
use super::{Device, DeviceError, Received};
use crate::Error;
use crate::capture::{InterfaceOptions, PacketMeta, PcapngOptions, PcapngWriter};

/// How long what was captured may be on its way to the file.
pub const TEE_FLUSH: Duration = Duration::from_secs(1);

/// The default of [`TeeOptions::limit`]: 4 GiB.
pub const TEE_BYTES: u64 = 4 << 30;

/// `epb_flags` (draft-ietf-opsawg-pcapng 4.3.1): inbound, outbound.
pub(super) const INBOUND: u32 = 1;
pub(super) const OUTBOUND: u32 = 2;

/// What is captured, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeeOptions {
    /// The file; it is emptied first.
    pub path: PathBuf,
    /// The most bytes of a frame that are kept; 0 for all.
    pub snaplen: u32,
    /// The most bytes of frames in the file; what comes then is counted as [`TeeCounters::beyond`].
    pub limit: u64,
}

impl TeeOptions {
    /// Whole frames, [`TEE_BYTES`] of them.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), snaplen: 0, limit: TEE_BYTES }
    }
}

/// What became of the frames that went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TeeCounters {
    /// Frames given to the file.
    pub captured: u64,
    /// Bytes of them that were kept.
    pub bytes: u64,
    /// Frames beyond the limit.
    pub beyond: u64,
    /// Frames after an error of the file.
    pub failed: u64,
}

/// A device whose frames are captured. Nothing that happens to the file disturbs it: after an error nothing is written any
/// more, and [`Tee::error`] and [`Device::close`] tell it.
///
/// Times are those that packets have when they are received, and `now` when they are sent: ns since the epoch, where the
/// caller's clock counts from there. Super-packets are one frame each, open checksums are filled in.
pub struct Tee<D> {
    inner: D,
    file: Capture,
    offered: VecDeque<Skb>,
    /// Bytes of frames; none between two calls.
    scratch: Vec<u8>,
    /// The frames in `scratch`: length on the wire, and how many bytes there are.
    frames: Vec<(u32, usize)>,
}

struct Capture {
    path: PathBuf,
    writer: Option<PcapngWriter<File>>,
    limit: u64,
    snaplen: usize,
    counters: TeeCounters,
    error: Option<Error>,
    flush_at: Instant,
}

impl Capture {
    fn write(&mut self, time: Instant, length: u32, bytes: &[u8], direction: u32) {
        if self.error.is_some() {
            self.counters.failed += 1;
        } else if self.counters.bytes + bytes.len() as u64 > self.limit {
            // Nothing short slips in behind what was too long: what is in the file has no gaps.
            self.limit = 0;
            self.counters.beyond += 1;
        } else if let Some(writer) = &mut self.writer {
            let meta = PacketMeta { flags: Some(direction), ..PacketMeta::default() };
            match writer.write(0, time.as_nanos(), length, bytes, &meta) {
                Ok(()) => {
                    self.counters.captured += 1;
                    self.counters.bytes += bytes.len() as u64;
                }
                Err(error) => {
                    self.counters.failed += 1;
                    self.error = Some(error);
                }
            }
        }
    }

    fn flush(&mut self, now: Instant) {
        if now < self.flush_at {
            return;
        }
        self.flush_at = now + TEE_FLUSH;
        if self.error.is_none()
            && let Some(writer) = &mut self.writer
        {
            self.error = writer.flush().err();
        }
    }
}

/// Copies what is offered, and writes what was taken.
struct Sending<'a> {
    file: &'a mut Capture,
    scratch: &'a mut Vec<u8>,
    frames: &'a mut Vec<(u32, usize)>,
    now: Instant,
}

impl Observer for Sending<'_> {
    fn offered(&mut self, packet: &Skb, pool: &mut PacketPool) {
        let start = self.scratch.len();
        copy_frame(packet, self.file.snaplen, self.scratch, pool);
        self.frames.push((packet.len(), self.scratch.len() - start));
    }

    fn taken(&mut self, count: usize) {
        let mut rest = &self.scratch[..];
        for &(length, kept) in self.frames.iter().take(count) {
            let (frame, behind) = rest.split_at(kept);
            self.file.write(self.now, length, frame, OUTBOUND);
            rest = behind;
        }
        self.scratch.clear();
        self.frames.clear();
    }
}

impl<D: Device> Tee<D> {
    /// Captures what goes through a device.
    ///
    /// # Errors
    /// [`DeviceError::File`] when the file cannot be made.
    pub fn new(inner: D, options: &TeeOptions) -> Result<Self, DeviceError> {
        let named = PcapngOptions { application: Some("netfast".to_owned()), ..PcapngOptions::default() };
        let interface = InterfaceOptions {
            snaplen: options.snaplen,
            name: Some(inner.name().to_owned()),
            ..InterfaceOptions::new(LinkType::ETHERNET)
        };
        let made = PcapngWriter::create(&options.path, &named).and_then(|mut writer| {
            writer.add_interface(&interface)?;
            writer.flush()?;
            Ok(writer)
        });
        let writer = made.map_err(|source| file_error(&options.path, source))?;
        let file = Capture {
            path: options.path.clone(),
            writer: Some(writer),
            limit: options.limit,
            snaplen: if options.snaplen == 0 { usize::MAX } else { options.snaplen as usize },
            counters: TeeCounters::default(),
            error: None,
            flush_at: Instant::ZERO,
        };
        Ok(Self { inner, file, offered: VecDeque::new(), scratch: Vec::new(), frames: Vec::new() })
    }

    /// What became of the frames.
    pub fn tee_counters(&self) -> TeeCounters {
        self.file.counters
    }

    /// What went wrong with the file.
    pub fn error(&self) -> Option<&Error> {
        self.file.error.as_ref()
    }

    /// The device below.
    pub fn inner(&self) -> &D {
        &self.inner
    }
}

impl<D: Device> Device for Tee<D> {
    forward!(self => self.inner; name link descriptor sender reap in_flight is_blocked completions next_timeout counters);

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        let before = batch.len();
        let found = self.inner.receive(now, batch, pool);
        for packet in &batch.packets()[before..] {
            copy_frame(packet, self.file.snaplen, &mut self.scratch, pool);
            self.file.write(packet.hot.timestamp, packet.len(), &self.scratch, INBOUND);
            self.scratch.clear();
        }
        self.file.flush(now);
        found
    }

    fn transmit(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        let Self { inner, file, offered, scratch, frames } = self;
        let mut sending = Sending { file, scratch, frames, now };
        let done = offer(inner, now, packets, pool, offered, &mut sending);
        self.file.flush(now);
        done
    }

    /// Ends the device, then completes the file.
    fn close(&mut self, pool: &mut PacketPool) -> Result<(), DeviceError> {
        let closed = self.inner.close(pool);
        if let Some(writer) = self.file.writer.take() {
            let finished = writer.finish().err();
            self.file.error = self.file.error.take().or(finished);
        }
        closed?;
        self.file.error.take().map_or(Ok(()), |source| Err(file_error(&self.file.path, source)))
    }
}

#[cfg(test)]
mod tests;
