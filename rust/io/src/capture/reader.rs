//! The reader: source, window, and the walker of the format put together.
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use netfast_buf::{Block, BlockPool};

use super::RecordBatch;
use super::compress::{self, Compression};
use super::format::{Damage, Format, Interface, Section, Statistics};
use super::interrupt::{self, Interrupt, Patient};
use super::pcap::{self, Pcap};
use super::pcapng::Pcapng;
use super::source::{Counted, HEADROOM, Progress, Refill, Source, Window};
use crate::Error;
use crate::error::{FirstBytes, Looks};

/// Blocks that wait for reuse in a reader's own pool.
const IDLE_BLOCKS: usize = 4;
/// Bounds of the block size that callers may ask for.
const BLOCK_SIZES: std::ops::RangeInclusive<usize> = 256..=1 << 30;
/// Bound of [`ReaderOptions::max_record`].
const MAX_RECORD: u32 = 1 << 30;

/// Records that memory is taken for before any is read; a caller may ask for any number.
pub(super) const RESERVED: usize = 4096;

/// How a capture is read.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// Map a regular file that is not compressed instead of reading it. **A mapped file that another program
    /// shortens kills the process** (SIGBUS on the next access), so this is for files that nobody changes.
    pub mmap: bool,
    /// Go on after damage where the format allows it; what was skipped is told by [`Statistics::damage`].
    pub lenient: bool,
    /// Bytes in a block, used when no pool is given.
    pub block_size: usize,
    /// The pool that blocks come from; readers may share one.
    pub pool: Option<BlockPool>,
    /// Longest packet that is believed; one that claims more is an error, before any memory is taken for it.
    /// At most 2^30.
    pub max_record: u32,
    /// Keep the options of pcapng's packets (comments, flags, …) in [`RecordBatch::options`].
    pub keep_options: bool,
    /// Asked while a FIFO, pipe or device is read or waited for, whether to go on; without it waits are for ever.
    pub interrupt: Option<Interrupt>,
}

impl ReaderOptions {
    /// Bytes in a block unless said otherwise: half of a usual second-level cache, so that what `pread` brought
    /// is still there when it is walked.
    pub const BLOCK_SIZE: usize = 256 << 10;
    /// Longest packet that is believed unless said otherwise.
    pub const MAX_RECORD: u32 = 256 << 20;
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            mmap: false,
            lenient: false,
            block_size: Self::BLOCK_SIZE,
            pool: None,
            max_record: Self::MAX_RECORD,
            keep_options: false,
            interrupt: None,
        }
    }
}

/// Reads one capture.
///
/// Batches are asked for one by one; memory is constant in the length of the file, as long as blocks are let go.
/// A reader may be sent to another thread. It knows no clock and starts no thread.
///
/// ```
/// use netfast_io::capture::{Reader, ReaderOptions, RecordBatch};
/// # fn main() -> Result<(), netfast_io::Error> {
/// # let file = [&0xa1b2c3d4u32.to_le_bytes()[..], &[2, 0, 4, 0], &[0; 12], &[1, 0, 0, 0]].concat();
/// let mut reader = Reader::from_block(file.into(), ReaderOptions::default())?;
/// let mut batch = RecordBatch::default();
/// while reader.next_batch(&mut batch, 256)? {
///     for (record, bytes) in batch.packets() {
///         println!("{} ns: {} bytes", record.time_ns, bytes.len());
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Reader {
    window: Window,
    walker: Walker,
    meta: Meta,
    lenient: bool,
    /// Number of the next frame.
    frame: u64,
    done: bool,
}

enum Walker {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// What is known of the file.
pub(super) struct Meta {
    pub format: Format,
    pub interfaces: Vec<Interface>,
    pub sections: Vec<Section>,
    pub statistics: Statistics,
}

impl Meta {
    pub fn new(format: Format) -> Self {
        Self { format, interfaces: Vec::new(), sections: Vec::new(), statistics: Statistics::default() }
    }
}

/// One walk over a window.
pub(super) struct Walk<'a> {
    /// The window's bytes from its block's first one.
    pub bytes: &'a [u8],
    /// Where the walk stands.
    pub at: usize,
    /// Where the header of the batch's first record stands.
    pub first_at: usize,
    /// File offset of the block's first byte, wrapping.
    pub base: u64,
    /// Number of the next frame.
    pub frame: u64,
    /// Records that the batch may hold.
    pub max: usize,
}

/// Why a walk ended.
pub(super) enum Stop {
    /// The batch is full.
    Full,
    /// So many bytes from `at` are needed.
    Need(usize),
    /// Damage at `at`.
    Bad(Error),
}

/// What a search for the next whole record came to.
pub(super) enum Resync {
    /// It stands here.
    Found(usize),
    /// Go on from here with so many bytes.
    Need { from: usize, need: usize },
    /// There is none.
    Nothing,
}

impl Reader {
    /// Opens a file, FIFO or device.
    ///
    /// # Errors
    /// What the system says; [`Error::NotACapture`], [`Error::Truncated`] or [`Error::UnsupportedVersion`] about
    /// the file's header.
    pub fn open(path: impl AsRef<Path>, options: ReaderOptions) -> Result<Self, Error> {
        let file = interrupt::open(path.as_ref(), options.interrupt.as_ref());
        let file = file.map_err(|source| Error::Io { operation: "open", offset: 0, source })?;
        Self::from_file(file, options)
    }

    /// Reads an open file from where it stands: a regular file with `pread`, anything else (standard input, a
    /// pipe) as it comes: what a pipe delivers is delivered at once, without waiting for a whole block.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_file(mut file: File, options: ReaderOptions) -> Result<Self, Error> {
        let failed = |operation| move |source| Error::Io { operation, offset: 0, source };
        let metadata = file.metadata().map_err(failed("stat"))?;
        if !metadata.is_file() {
            let stream: Box<dyn Read + Send> = match options.interrupt.clone() {
                Some(interrupt) => Box::new(Patient::new(file, interrupt)),
                None => Box::new(file),
            };
            return Self::from_stream(stream, options, None);
        }
        let start = file.stream_position().map_err(failed("seek"))?;
        let mut first = [0; compress::MAGIC_LEN];
        let n = super::source::read_at(&file, &mut first, start).map_err(failed("read"))?;
        if compress::detect(&first[..n]).is_some() {
            let progress = Progress { length: metadata.len().saturating_sub(start), ..Progress::default() };
            let counted = Counted { inner: file, read: progress.read.clone() };
            return Self::from_stream(Box::new(counted), options, Some(progress));
        }
        if options.mmap {
            let block = super::source::map(&file, start, metadata.len()).map_err(failed("map"))?;
            return Self::from_block(block, options);
        }
        let length = metadata.len();
        Self::start(Source::File { file, next: start, length }, options, Vec::new())
    }

    /// Reads a stream as it comes.
    ///
    /// Two things take more than has come: a Zstandard decoder keeps its last window back until the frame's end,
    /// and pcap's variants under one magic number are told by the records that stand in the first read (a pipe
    /// that brings them one by one is taken for the usual variant).
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_reader(stream: Box<dyn Read + Send>, options: ReaderOptions) -> Result<Self, Error> {
        Self::from_stream(stream, options, None)
    }

    /// Reads a capture that stands in memory; its batches refer to `block`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_block(block: Block, options: ReaderOptions) -> Result<Self, Error> {
        if compress::detect(block.bytes()).is_some() {
            let progress = Progress { length: block.bytes().len() as u64, ..Progress::default() };
            let counted = Counted { inner: io::Cursor::new(Owned(block)), read: progress.read.clone() };
            return Self::from_stream(Box::new(counted), options, Some(progress));
        }
        Self::start(Source::Memory { all: block }, options, Vec::new())
    }

    /// Takes off the layers of compression. `fill`: the stream never waits for another program.
    fn from_stream(
        mut stream: Box<dyn Read + Send>,
        options: ReaderOptions,
        fill: Option<Progress>,
    ) -> Result<Self, Error> {
        let mut layers = Vec::new();
        loop {
            let mut first = Vec::with_capacity(compress::MAGIC_LEN);
            let read = stream.by_ref().take(compress::MAGIC_LEN as u64).read_to_end(&mut first);
            read.map_err(|source| read_error(source, &layers, 0, 1))?;
            let found = compress::detect(&first);
            stream = Box::new(io::Cursor::new(first).chain(stream));
            let Some(compression) = found else { break };
            if layers.len() == compress::MAX_LAYERS {
                return Err(Error::TooDeep { limit: compress::MAX_LAYERS });
            }
            layers.push(compression);
            stream = compress::decoder(compression, stream);
        }
        Self::start(Source::Stream { stream, fill }, options, layers)
    }

    /// Reads the file header.
    fn start(source: Source, options: ReaderOptions, compression: Vec<Compression>) -> Result<Self, Error> {
        let size = options.block_size.clamp(*BLOCK_SIZES.start(), *BLOCK_SIZES.end());
        let pool = options.pool.clone().unwrap_or_else(|| BlockPool::new(size + HEADROOM, IDLE_BLOCKS));
        let mut window = Window::new(source, pool);
        let max_record = options.max_record.min(MAX_RECORD);
        let have = need(&mut window, compress::MAGIC_LEN, &compression)?;
        let bytes = &window.block.bytes()[window.at..window.end];
        let (walker, mut meta) = if have && Pcapng::begins(bytes) {
            (Walker::Pcapng(Pcapng::new(&options, max_record)), Meta::new(Format::Pcapng))
        } else if let Some(length) = pcap::header_length(bytes) {
            if !need(&mut window, length, &compression)? {
                return Err(truncated(&window, 1, "file header", length));
            }
            let Some(header) = window.block.bytes()[window.at..].first_chunk() else {
                return Err(truncated(&window, 1, "file header", length));
            };
            let (pcap, meta) = Pcap::new(header, options.lenient, max_record)?;
            window.at += length;
            (Walker::Pcap(pcap), meta)
        } else {
            return Err(Error::NotACapture { first: FirstBytes::new(bytes), looks: Looks::like(bytes) });
        };
        meta.statistics.compression = compression;
        meta.statistics.file_bytes = window.offset().wrapping_add(window.have() as u64);
        let mut reader = Self { window, walker, meta, lenient: options.lenient, frame: 1, done: false };
        reader.look_ahead();
        Ok(reader)
    }

    /// Takes in what stands before the first packet, as far as it has been read: interfaces and sections are
    /// known at once for most files, and a pipe is not waited for.
    fn look_ahead(&mut self) {
        if matches!(self.walker, Walker::Pcapng(_)) {
            let mut none = RecordBatch::default();
            // Damage is met again, and told, by the first `next_batch`.
            let _ = self.walk(&mut none, 0);
        }
    }

    /// Fills the batch with up to `max_records` (at least one) records that stand in one block. False at the end
    /// of the capture, with an empty batch. The block of the batch's last filling is let go first.
    ///
    /// # Errors
    /// All records before the damage come first; then its error, once; then false.
    pub fn next_batch(&mut self, batch: &mut RecordBatch, max_records: usize) -> Result<bool, Error> {
        batch.clear();
        while !self.done {
            let stop = self.walk(batch, max_records.max(1));
            if !batch.records.is_empty() {
                self.frame += batch.records.len() as u64;
                self.meta.statistics.packets += batch.records.len() as u64;
                batch.block = Some(self.window.block.clone());
                batch.block_offset = self.window.base;
                return Ok(true);
            }
            match stop {
                Stop::Full => debug_assert!(false, "a full batch holds records"),
                Stop::Need(need) => self.more(need)?,
                Stop::Bad(error) => self.damaged(error)?,
            }
        }
        Ok(false)
    }

    fn walk(&mut self, batch: &mut RecordBatch, max: usize) -> Stop {
        let window = &mut self.window;
        let mut walk = Walk {
            bytes: &window.block.bytes()[..window.end],
            at: window.at,
            first_at: window.at,
            base: window.base,
            frame: self.frame,
            max,
        };
        let stop = match &mut self.walker {
            Walker::Pcap(pcap) => pcap.walk(&mut walk, &mut self.meta, batch),
            Walker::Pcapng(pcapng) => pcapng.walk(&mut walk, &mut self.meta, batch),
        };
        window.at = walk.at;
        batch.first_frame = self.frame;
        batch.file_offset = walk.base.wrapping_add(walk.first_at as u64);
        stop
    }

    /// Reads on; at the end of the file says whether it was a good end.
    fn more(&mut self, need: usize) -> Result<(), Error> {
        let refill = match self.window.refill(need) {
            Ok(refill) => refill,
            Err(error) => return self.broken(error),
        };
        let have = self.window.have();
        let error = match refill {
            Refill::More => {
                self.meta.statistics.file_bytes = self.window.offset().wrapping_add(have as u64);
                return Ok(());
            }
            Refill::End if have == 0 => {
                self.done = true;
                return Ok(());
            }
            Refill::End => truncated(&self.window, self.frame, self.part(), need),
            Refill::Shrunk { missing } => {
                let offset = self.window.offset();
                Error::Shrunk { frame: self.frame, offset, end: offset.wrapping_add(have as u64), missing }
            }
        };
        self.damaged(error)
    }

    fn part(&self) -> &'static str {
        match self.walker {
            Walker::Pcap(_) => "record",
            Walker::Pcapng(_) => "block",
        }
    }

    /// Ends with the error, or skips what is damaged.
    fn damaged(&mut self, error: Error) -> Result<(), Error> {
        if !self.lenient {
            return self.fail(error);
        }
        let (frame, offset) = (self.frame, self.window.offset());
        if let Walker::Pcapng(pcapng) = &mut self.walker {
            let bytes = &self.window.block.bytes()[self.window.at..self.window.end];
            pcapng.forget(bytes, offset, &mut self.meta);
        }
        let mut eof = matches!(error, Error::Truncated { .. } | Error::Shrunk { .. });
        let mut broken = None;
        loop {
            match self.resync(offset, eof) {
                Resync::Found(at) => {
                    self.window.at = at;
                    break;
                }
                Resync::Need { from, need } => {
                    self.window.at = from.min(self.window.end);
                    match self.window.refill(need) {
                        Ok(Refill::More) => {}
                        Ok(_) => eof = true,
                        Err(error) => {
                            // The source itself is broken: nothing more can come.
                            self.window.at = self.window.end;
                            broken = Some(error);
                            break;
                        }
                    }
                }
                Resync::Nothing => {
                    self.window.at = self.window.end;
                    self.done = eof;
                    break;
                }
            }
        }
        let skipped = self.window.offset().wrapping_sub(offset);
        self.meta.statistics.add_damage(Damage { frame, offset, skipped, what: error.fact() });
        broken.map_or(Ok(()), |error| self.broken(error))
    }

    /// Ends because the source cannot be read further: by damage of its compression, or by the system's error.
    fn broken(&mut self, error: Error) -> Result<(), Error> {
        let error = name_compression(error, &self.meta.statistics.compression, self.frame);
        if self.lenient && error.os_error().is_none() { self.end(error) } else { self.fail(error) }
    }

    /// Goes on with the search after the damage at offset `damaged`: behind it, or from where the search stands.
    fn resync(&self, damaged: u64, eof: bool) -> Resync {
        let bytes = &self.window.block.bytes()[..self.window.end];
        let (at, begins) = (self.window.at, self.window.offset() == damaged);
        match &self.walker {
            Walker::Pcap(pcap) => pcap.resync(bytes, at + usize::from(begins), eof),
            Walker::Pcapng(pcapng) if begins => pcapng.resync_behind(bytes, at, eof),
            Walker::Pcapng(pcapng) => pcapng.resync(bytes, at, eof),
        }
    }

    /// Ends after damage that nothing can follow.
    fn end(&mut self, error: Error) -> Result<(), Error> {
        let _ = self.fail(error);
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Result<(), Error> {
        self.done = true;
        self.meta.statistics.add_damage(Damage {
            frame: self.frame,
            offset: error.offset().unwrap_or(self.window.offset()),
            skipped: 0,
            what: error.fact(),
        });
        Err(error)
    }

    /// The capture's format.
    pub fn format(&self) -> Format {
        self.meta.format
    }

    /// The interfaces met so far, numbered over all sections. A pcap file has one.
    pub fn interfaces(&self) -> &[Interface] {
        &self.meta.interfaces
    }

    /// The sections met so far; a pcap file has none.
    pub fn sections(&self) -> &[Section] {
        &self.meta.sections
    }

    /// Bytes of the file (as it stands, compressed or not) that were read, and its length. None for a pipe and
    /// at the end.
    pub fn progress(&self) -> Option<(u64, u64)> {
        self.window.progress()
    }

    /// What was read so far, and what was odd about it.
    pub fn statistics(&self) -> &Statistics {
        &self.meta.statistics
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("format", &self.meta.format)
            .field("next_frame", &self.frame)
            .field("offset", &self.window.offset())
            .finish_non_exhaustive()
    }
}

/// A block as bytes that a cursor reads.
struct Owned(Block);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Reads until `wanted` bytes are there; false when the file is shorter.
fn need(window: &mut Window, wanted: usize, layers: &[Compression]) -> Result<bool, Error> {
    while window.have() < wanted {
        match window.refill(wanted).map_err(|error| name_compression(error, layers, 1))? {
            Refill::More => {}
            Refill::End | Refill::Shrunk { .. } => return Ok(false),
        }
    }
    Ok(true)
}

fn truncated(window: &Window, frame: u64, part: &'static str, need: usize) -> Error {
    Error::Truncated { frame, offset: window.offset(), part, need: need as u64, have: window.have() as u64 }
}

fn name_compression(error: Error, layers: &[Compression], frame: u64) -> Error {
    match error {
        Error::Io { offset, source, .. } => read_error(source, layers, offset, frame),
        other => other,
    }
}

/// A failed read: the system's error, or a damaged or cut compression.
fn read_error(source: io::Error, layers: &[Compression], offset: u64, frame: u64) -> Error {
    match layers.last() {
        Some(_) if source.kind() == io::ErrorKind::UnexpectedEof => {
            Error::Truncated { frame, offset, part: "compressed data", need: 1, have: 0 }
        }
        Some(&compression) if source.raw_os_error().is_none() => {
            Error::Decompress { frame, compression, offset, source }
        }
        _ => Error::Io { operation: "read", offset, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that is too long for one block is given out in several (in tests a block spans 4096 bytes).
    #[test]
    fn long_memory_is_given_out_in_spans() -> Result<(), Error> {
        let mut file = [&0xa1b2_c3d4u32.to_le_bytes()[..], &[2, 0, 4, 0], &[0; 12], &[1, 0, 0, 0]].concat();
        for i in 0..1000u32 {
            for field in [i, 0, 70, 70] {
                file.extend(field.to_le_bytes());
            }
            file.extend([i as u8; 70]);
        }
        let mut reader = Reader::from_block(file.clone().into(), ReaderOptions::default())?;
        let (mut batch, mut packets) = (RecordBatch::default(), 0);
        while reader.next_batch(&mut batch, 4096)? {
            assert!(batch.bytes().len() <= 4096);
            assert_eq!(batch.first_frame, packets + 1);
            for (record, data) in batch.packets() {
                assert_eq!(data, [packets as u8; 70]);
                assert_eq!(batch.block_offset + u64::from(record.offset), 24 + packets * 86 + 16);
                packets += 1;
            }
        }
        assert_eq!((packets, reader.progress()), (1000, Some((file.len() as u64, file.len() as u64))));
        // A record that no span can hold is the end of what can be read, not a loop.
        file.truncate(24);
        file.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 32, 0, 0]);
        file.extend([0; 8192]);
        let mut reader = Reader::from_block(file.into(), ReaderOptions::default())?;
        assert!(matches!(reader.next_batch(&mut batch, 1), Err(Error::Truncated { frame: 1, .. })));
        Ok(())
    }

    #[test]
    fn readers_may_go_to_another_thread() {
        fn sent<T: Send>() {}
        sent::<Reader>();
        sent::<RecordBatch>();
    }
}
