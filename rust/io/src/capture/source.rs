//! Where the bytes come from, and the block that they stand in while records are walked.
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use netfast_buf::{Block, BlockMut, BlockPool};

use crate::Error;

/// A source that gives less than this part of a block at a time gets blocks of the right size, so that packets
/// that are kept do not pin memory that holds nothing.
const SMALL_PART: usize = 4;

/// What is read goes to a page boundary, in whole pages, as it stands in the page cache. Where the destination is
/// 1 to 63 bytes further into its page than the source, the kernel's copy takes three to four times as long
/// (measured on AMD Zen); a cut record of arbitrary length in front would hit that now and then.
const PAGE: usize = 4096;
/// Bytes of a block besides those that are read: for a cut record before them, and to reach a page boundary.
pub(super) const HEADROOM: usize = 2 * PAGE;

/// Offsets in a block are u32; memory that is longer is given out as several blocks of at most this size.
const MAX_SPAN: usize = if cfg!(test) { 4096 } else { 1 << 31 };

pub(super) enum Source {
    /// A regular file, read with `pread`: its own position is not moved.
    File { file: File, next: u64, length: u64 },
    /// Anything that is read in order. `fill`: it does not wait for somebody else to write, so blocks are filled;
    /// then it is known how much of the file underneath was read, and how long that is.
    Stream { stream: Box<dyn Read + Send>, fill: Option<Progress> },
    /// Memory that holds all of it.
    Memory { all: Block },
    /// Nothing more to come.
    Empty,
}

/// How much of a file was read, counted below its decompression.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub read: Arc<AtomicU64>,
    pub length: u64,
}

/// Counts what is read.
pub(super) struct Counted<R> {
    pub inner: R,
    pub read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(into)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// What reading gave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refill {
    /// More bytes than before.
    More,
    /// The end, as it should be.
    End,
    /// A regular file ends before the length that it had when it was opened: it was cut meanwhile.
    Shrunk { missing: u64 },
}

/// A span of memory that a block was made of.
struct Span {
    all: Block,
    start: usize,
    end: usize,
}

impl AsRef<[u8]> for Span {
    fn as_ref(&self) -> &[u8] {
        &self.all.bytes()[self.start..self.end]
    }
}

/// The block at hand: `at..end` of it is still to be walked.
pub(super) struct Window {
    source: Source,
    pool: BlockPool,
    pub block: Block,
    pub at: usize,
    pub end: usize,
    /// File offset of the block's first byte; below zero (wrapped) while carried bytes stand in front.
    pub base: u64,
    /// Carries the cut record from one block to the next.
    carry: Vec<u8>,
    /// An error that came after some bytes of the same refill: it is told once these are walked.
    failed: Option<io::Error>,
}

impl Window {
    pub fn new(source: Source, pool: BlockPool) -> Self {
        let mut window = Self {
            source,
            pool,
            block: Block::from(Vec::new()),
            at: 0,
            end: 0,
            base: 0,
            carry: Vec::new(),
            failed: None,
        };
        if let Source::Memory { all } = &window.source {
            window.end = all.bytes().len().min(MAX_SPAN);
            window.block = if all.bytes().len() <= MAX_SPAN { all.clone() } else { span(all, 0) };
        }
        window
    }

    /// Bytes that are still to be walked.
    pub fn have(&self) -> usize {
        self.end - self.at
    }

    /// File offset of the next byte to be walked.
    pub fn offset(&self) -> u64 {
        self.base.wrapping_add(self.at as u64)
    }

    /// Bytes of the file that were walked, and its length, if that is known.
    pub fn progress(&self) -> Option<(u64, u64)> {
        match &self.source {
            Source::File { length, .. } => Some((self.offset(), *length)),
            Source::Memory { all } => Some((self.offset(), all.bytes().len() as u64)),
            Source::Stream { fill, .. } => {
                fill.as_ref().map(|progress| (progress.read.load(Ordering::Relaxed), progress.length))
            }
            Source::Empty => None,
        }
    }

    /// Gets more bytes, in a new block that begins with what is still to be walked. `need` bytes in all make the
    /// next step possible: it waits for these, and for no more.
    ///
    /// A block grows with what was read (it doubles), never with what a length field promises.
    pub fn refill(&mut self, need: usize) -> Result<Refill, Error> {
        if let Source::Memory { all } = &self.source {
            return Ok(self.next_span(all.clone()));
        }
        if matches!(self.source, Source::Empty) {
            return Ok(Refill::End);
        }
        let have = self.have();
        let base = self.offset();
        let (mut block, start) = self.carry_over(need);
        let from = start + have;
        let whole_pages = (block.bytes().len() - from) / PAGE * PAGE;
        let to = if whole_pages > 0 { from + whole_pages } else { block.bytes().len() };
        let into = &mut block.bytes_mut()[from..to];
        let enough = need.saturating_sub(have).max(1);
        let got = match &mut self.source {
            Source::File { file, next, .. } => {
                let mut at = *next;
                let read = |part: &mut [u8]| {
                    let n = read_at(file, part, at)?;
                    at += n as u64;
                    Ok(n)
                };
                read_some(read, into, enough, &mut self.failed)
            }
            Source::Stream { stream, fill } => {
                let enough = if fill.is_some() { into.len() } else { enough };
                read_some(|part| stream.read(part), into, enough, &mut self.failed)
            }
            Source::Memory { .. } | Source::Empty => Ok(0),
        };
        let offset = base.wrapping_add(have as u64);
        let got = match got {
            Ok(got) => got,
            Err(source) => {
                self.put(block, start, from, base);
                return Err(Error::Io { operation: "read", offset, source });
            }
        };
        self.put(block, start, from + got, base);
        match &mut self.source {
            Source::File { next, length, .. } => {
                *next += got as u64;
                if got == 0 && *next < *length {
                    return Ok(Refill::Shrunk { missing: *length - *next });
                }
            }
            Source::Stream { .. } | Source::Memory { .. } | Source::Empty => {}
        }
        if got == 0 {
            self.source = Source::Empty;
            return Ok(Refill::End);
        }
        Ok(Refill::More)
    }

    /// A block to read into, in which what is still to be walked stands before a page boundary, and where it
    /// begins. The old block is let go first: when nobody else keeps it, the pool gives the same memory back,
    /// still warm in the cache.
    fn carry_over(&mut self, need: usize) -> (BlockMut, usize) {
        let have = self.have();
        self.carry.clear();
        self.carry.extend_from_slice(&self.block.bytes()[self.at..self.end]);
        self.block = Block::from(Vec::new());
        let pooled = self.pool.block_size();
        let mut block = if need.max(have + 1) + HEADROOM <= pooled {
            self.pool.take()
        } else {
            BlockMut::unpooled(need.min(have.saturating_mul(2)).max(have + pooled) + HEADROOM)
        };
        let boundary = block.bytes().as_ptr().align_offset(PAGE);
        let read_at = boundary.saturating_add(have.saturating_sub(boundary).next_multiple_of(PAGE));
        // Pools of blocks too small for pages: then just in front.
        let start = if read_at < block.bytes().len() { read_at - have } else { 0 };
        block.bytes_mut()[start..start + have].copy_from_slice(&self.carry);
        if self.carry.capacity() > pooled {
            self.carry = Vec::new();
        }
        (block, start)
    }

    /// Makes the block the window: bytes `start..end`, the first of them at `base` in the file.
    fn put(&mut self, block: BlockMut, start: usize, end: usize, base: u64) {
        let waits = matches!(self.source, Source::Stream { fill: None, .. });
        self.at = start;
        self.block = if waits && end - start < block.bytes().len() / SMALL_PART {
            self.at = 0;
            Block::from(block.bytes()[start..end].to_vec())
        } else {
            block.freeze()
        };
        self.end = self.at + (end - start);
        self.base = base.wrapping_sub(self.at as u64);
    }

    /// The next part of memory that is too long for one block.
    fn next_span(&mut self, all: Block) -> Refill {
        let (from, length) = (self.offset() as usize, all.bytes().len());
        if self.base as usize + self.end >= length || self.at == 0 && self.end == MAX_SPAN {
            return Refill::End;
        }
        self.block = span(&all, from);
        (self.at, self.end, self.base) = (0, self.block.bytes().len(), from as u64);
        Refill::More
    }
}

fn span(all: &Block, start: usize) -> Block {
    let end = all.bytes().len().min(start.saturating_add(MAX_SPAN));
    Block::from_owner(Span { all: all.clone(), start, end })
}

/// Reads until `enough` bytes are there or the source ends. An error after some bytes waits in `failed`.
fn read_some(
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    into: &mut [u8],
    enough: usize,
    failed: &mut Option<io::Error>,
) -> io::Result<usize> {
    if let Some(error) = failed.take() {
        return Err(error);
    }
    let mut got = 0;
    while got < enough.min(into.len()) {
        match read(&mut into[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if got > 0 => {
                *failed = Some(e);
                break;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

#[cfg(unix)]
pub(super) fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    file.read_at(into, at)
}

#[cfg(not(unix))]
pub(super) fn read_at(mut file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(at))?;
    file.read(into)
}

/// Maps a regular file from `start` to its length of now.
pub(super) fn map(file: &File, start: u64, length: u64) -> io::Result<Block> {
    if length <= start {
        return Ok(Block::from(Vec::new()));
    }
    // SAFETY: a mapping is sound as long as nobody changes the file below it. That is what the caller of
    // `ReaderOptions::mmap` promises, and its documentation says what happens otherwise; see SAFETY.md.
    let map = unsafe { memmap2::MmapOptions::new().offset(start).map(file)? };
    #[cfg(unix)]
    let _ = map.advise(memmap2::Advice::Sequential);
    Ok(Block::from_owner(map))
}
