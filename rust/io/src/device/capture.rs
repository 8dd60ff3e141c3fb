//! A capture file as a port: its frames are received, at their own pace or another, and what is sent is recorded.
//!
//! Frames of other link types than Ethernet get a link header with zero addresses where they hold an IP packet. A packet's
//! time is when it was due, on the caller's clock, not the file's. A file has no descriptor: the device is asked again at
//! [`Device::next_timeout`].
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use netfast_buf::{BATCH_PACKETS, PacketBatch, PacketPool, Skb};
use netfast_offload::features::FeatureSet;
use netfast_time::{Duration, Instant};
use netfast_wire::dissect::{Frame, dissect};
use netfast_wire::{Layers, Limits, LinkType, Present};

use super::stack::{copy_frame, file_error};
use super::tee::OUTBOUND;
use super::{Device, DeviceCounters, DeviceError, DeviceReason, Link, Received};
use crate::Error;
use crate::capture::{
    InterfaceOptions, PacketMeta, PcapngOptions, PcapngWriter, Reader, ReaderOptions, Record, RecordBatch,
};

/// How long a packet that was due, and that nobody asked for, waits for the next question.
const RETRY: Duration = Duration::from_millis(1);
/// Frames that are looked at in one call: those that are dropped do not fill a batch.
const TURN_FRAMES: usize = 2 * BATCH_PACKETS;
/// Records that are read from the file at a time.
const RECORDS: usize = 256;
const ETHERNET: usize = 14;
/// Frames of at most so many bytes are copied: they would keep a whole block of the file, and be copied when the node writes
/// into their headers anyway.
const SHORT: usize = 384;
/// Bytes of those blocks.
const BLOCK: usize = 64 << 10;

/// How fast a capture is replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Pace {
    /// With the distances in time that the file has.
    #[default]
    Original,
    /// So many times as fast; more than 0.
    Scaled(f64),
    /// As fast as packets are taken.
    Full,
}

/// What is replayed and recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureOptions {
    /// The file whose frames are received; without one nothing is.
    pub replay: Option<PathBuf>,
    /// The file that what is sent is recorded in (pcapng; it is emptied first); without one that is counted as sent, and
    /// forgotten.
    pub record: Option<PathBuf>,
    /// How fast it is replayed.
    pub pace: Pace,
    /// How many times it is replayed, at least 1. Each time begins when the one before has ended.
    pub times: u32,
    /// Damaged parts of the file are skipped where the format allows it.
    pub lenient: bool,
    /// The MTU in bytes: longer packets that are sent are dropped.
    pub mtu: u32,
}

impl CaptureOptions {
    /// Replays a file once, at its own pace.
    pub fn replay(path: impl Into<PathBuf>) -> Self {
        Self { replay: Some(path.into()), ..Self::default() }
    }

    /// Records what is sent.
    pub fn record(path: impl Into<PathBuf>) -> Self {
        Self { record: Some(path.into()), ..Self::default() }
    }
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self { replay: None, record: None, pace: Pace::Original, times: 1, lenient: false, mtu: 1_500 }
    }
}

/// Capture files as a port.
pub struct CaptureFile {
    name: String,
    options: CaptureOptions,
    replay: Option<Replay>,
    record: Option<PcapngWriter<File>>,
    point_to_point: bool,
    scratch: Vec<u8>,
    counters: DeviceCounters,
    /// When it was asked last.
    asked: Instant,
}

/// A file on its way.
struct Replay {
    reader: Reader,
    records: RecordBatch,
    /// The next record in `records`.
    at: usize,
    /// Times that are left after this one.
    left: u32,
    /// The file's time of the first packet, and when that was due.
    begin: Option<(u64, Instant)>,
    /// When the last packet was due.
    last: Option<Instant>,
    /// When the next packet is due.
    next: Option<Instant>,
}

impl CaptureFile {
    /// Opens the files.
    ///
    /// # Errors
    /// [`DeviceError::Setting`]; [`DeviceError::File`] when a file cannot be opened, or is no capture.
    pub fn open(options: CaptureOptions) -> Result<Self, DeviceError> {
        let path = options.replay.as_ref().or(options.record.as_ref());
        let name = path.and_then(|path| path.file_name()).unwrap_or("capture".as_ref());
        let name = name.to_string_lossy().into_owned();
        check(&name, &options)?;
        let replay = match &options.replay {
            Some(path) => Some(Replay::new(&options).map_err(|source| file_error(path, source))?),
            None => None,
        };
        let point_to_point = replay.as_ref().is_some_and(|replay| {
            replay.reader.interfaces().iter().any(|i| i.link_type != LinkType::ETHERNET)
        });
        let record = match &options.record {
            Some(path) => Some(recorder(path, &name).map_err(|source| file_error(path, source))?),
            None => None,
        };
        Ok(Self {
            name,
            options,
            replay,
            record,
            point_to_point,
            scratch: Vec::new(),
            counters: DeviceCounters::default(),
            asked: Instant::ZERO,
        })
    }

    /// What is wrong with one of its files; of one that it does not have nothing can be.
    fn failed(&self, path: &Option<PathBuf>, source: Error) -> DeviceError {
        file_error(path.as_deref().unwrap_or(self.name.as_ref()), source)
    }

    /// Gives what is due; what is wrong with the file ends it.
    fn give(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, Error> {
        for _ in 0..TURN_FRAMES {
            if batch.is_full() {
                break;
            }
            let Some(replay) = &mut self.replay else { return Ok(Received::End) };
            let Some(record) = replay.current(&self.options)? else {
                self.replay = None;
                continue;
            };
            let due = replay.due(&record, now, self.options.pace);
            replay.next = Some(due);
            if due > now {
                return Ok(Received::Empty);
            }
            match replay.frame(&record, pool) {
                Ok(mut packet) => {
                    packet.hot.timestamp = due;
                    self.counters.received += 1;
                    self.counters.received_bytes += u64::from(packet.len());
                    batch.push(packet).expect("it is not full");
                }
                Err(reason) => self.counters.drop_in(reason),
            }
            replay.at += 1;
            replay.last = Some(due);
        }
        Ok(Received::More)
    }
}

fn check(name: &str, options: &CaptureOptions) -> Result<(), DeviceError> {
    let setting = |setting, value: String, expected: &str| {
        Err(DeviceError::Setting { device: name.to_owned(), setting, value, expected: expected.to_owned() })
    };
    if let Some(path) = &options.replay
        && path.metadata().is_ok_and(|data| !data.is_file())
    {
        let expected = "a regular file: a pipe would hold up everything else";
        return setting("replay", path.display().to_string(), expected);
    }
    if options.replay.is_some() && options.replay == options.record {
        return setting("record", name.to_owned(), "another file than the one that is replayed");
    }
    if let Pace::Scaled(scale) = options.pace
        && !(scale > 0.0 && scale.is_finite())
    {
        return setting("pace", scale.to_string(), "more than 0, and finite");
    }
    if options.times == 0 {
        return setting("times", "0".to_owned(), "at least 1");
    }
    if !(68..=65_535).contains(&options.mtu) {
        return setting("mtu", options.mtu.to_string(), "68 to 65535");
    }
    Ok(())
}

fn recorder(path: &std::path::Path, name: &str) -> Result<PcapngWriter<File>, Error> {
    let named = PcapngOptions { application: Some("netfast".to_owned()), ..PcapngOptions::default() };
    let mut writer = PcapngWriter::create(path, &named)?;
    let interface = InterfaceOptions::new(LinkType::ETHERNET);
    writer.add_interface(&InterfaceOptions { name: Some(name.to_owned()), ..interface })?;
    writer.flush()?;
    Ok(writer)
}

impl Replay {
    fn new(options: &CaptureOptions) -> Result<Self, Error> {
        let records = RecordBatch::default();
        let left = options.times - 1;
        Ok(Self {
            reader: reader(options)?,
            records,
            at: 0,
            left,
            begin: None,
            last: None,
            next: Some(Instant::ZERO),
        })
    }

    /// The next record; `None` at the end of the last time.
    fn current(&mut self, options: &CaptureOptions) -> Result<Option<Record>, Error> {
        loop {
            if let Some(record) = self.records.records.get(self.at) {
                return Ok(Some(*record));
            }
            self.at = 0;
            if self.reader.next_batch(&mut self.records, RECORDS)? {
                continue;
            }
            // A file without packets would be read for ever.
            if self.left == 0 || self.begin.is_none() {
                return Ok(None);
            }
            self.left -= 1;
            (self.reader, self.begin) = (reader(options)?, None);
        }
    }

    /// When a record is due: never before the one before it.
    fn due(&mut self, record: &Record, now: Instant, pace: Pace) -> Instant {
        let (first, begin) = *self.begin.get_or_insert((record.time_ns, self.last.unwrap_or(now)));
        let after = record.time_ns.saturating_sub(first);
        let due = match pace {
            Pace::Original => begin + Duration::from_nanos(after),
            Pace::Scaled(scale) => begin + Duration::from_nanos((after as f64 / scale) as u64),
            Pace::Full => now,
        };
        self.last.map_or(due, |last| due.max(last))
    }

    /// The record as a frame, or why it is none.
    fn frame(&self, record: &Record, pool: &mut PacketPool) -> Result<Skb, DeviceReason> {
        let block = self.records.block.as_ref().ok_or(DeviceReason::Malformed)?;
        let interface = self.reader.interfaces().get(usize::from(record.interface));
        let fcs = interface.and_then(|interface| interface.fcs_len).map_or(0, u32::from);
        let (kept, length) = (record.caplen, record.len.saturating_sub(fcs));
        if kept < length {
            return Err(DeviceReason::Truncated);
        }
        let (offset, length) = (record.offset as usize, kept.min(length) as usize);
        let malformed = |_| DeviceReason::Malformed;
        if record.link_type() == LinkType::ETHERNET {
            if length < ETHERNET {
                return Err(DeviceReason::Malformed);
            }
            if length <= SHORT {
                return Skb::from_slice(&block.bytes()[offset..offset + length], pool).map_err(malformed);
            }
            return Skb::from_block(block.clone(), offset, length).map_err(malformed);
        }
        let bytes = &record.data(block.bytes())[..length];
        let mut layers = Layers::default();
        let frame = Frame::whole(bytes, record.link_type());
        dissect(&frame, &Limits::default(), &mut layers, &mut ());
        let start = layers.l3_offset as usize;
        if !layers.present.has(Present::IP) || start >= length {
            return Err(DeviceReason::Malformed);
        }
        let ethertype: u16 = if layers.ip_version == 6 { 0x86dd } else { 0x0800 };
        let mut packet = Skb::from_block(block.clone(), offset + start, length - start).map_err(malformed)?;
        let header = packet.push(ETHERNET as u32, pool).map_err(malformed)?;
        header[12..].copy_from_slice(&ethertype.to_be_bytes());
        Ok(packet)
    }
}

fn reader(options: &CaptureOptions) -> Result<Reader, Error> {
    let path = options.replay.as_deref().unwrap_or("".as_ref());
    Reader::open(
        path,
        ReaderOptions { lenient: options.lenient, block_size: BLOCK, ..ReaderOptions::default() },
    )
}

impl Device for CaptureFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn link(&self) -> Link {
        Link {
            mac: None,
            mtu: self.options.mtu,
            point_to_point: self.point_to_point,
            up: true,
            features: FeatureSet::SCATTER_GATHER,
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        self.asked = now;
        let found = self.give(now, batch, pool);
        found.map_err(|source| {
            self.replay = None;
            self.failed(&self.options.replay, source)
        })
    }

    fn transmit(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        self.asked = now;
        let longest = self.options.mtu + ETHERNET as u32 + 8;
        while let Some(packet) = packets.pop_front() {
            if packet.len() > longest {
                self.counters.drop_out(DeviceReason::TooLong);
            } else {
                if let Some(writer) = &mut self.record {
                    self.scratch.clear();
                    copy_frame(&packet, usize::MAX, &mut self.scratch, pool);
                    let meta = PacketMeta { flags: Some(OUTBOUND), ..PacketMeta::default() };
                    let written = writer.write(0, now.as_nanos(), packet.len(), &self.scratch, &meta);
                    if let Err(source) = written {
                        self.counters.drop_out(DeviceReason::Refused);
                        self.record = None;
                        pool.recycle(packet);
                        return Err(self.failed(&self.options.record, source));
                    }
                }
                self.counters.sent += 1;
                self.counters.sent_bytes += u64::from(packet.len());
            }
            pool.recycle(packet);
        }
        Ok(())
    }

    fn next_timeout(&self) -> Option<Instant> {
        let due = self.replay.as_ref()?.next?;
        // What was due when we were asked waits for somebody to take it.
        Some(if due > self.asked { due } else { self.asked + RETRY })
    }

    fn counters(&self) -> DeviceCounters {
        self.counters.clone()
    }

    fn close(&mut self, _: &mut PacketPool) -> Result<(), DeviceError> {
        self.replay = None;
        match self.record.take().map(PcapngWriter::finish) {
            Some(Err(source)) => Err(self.failed(&self.options.record, source)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
