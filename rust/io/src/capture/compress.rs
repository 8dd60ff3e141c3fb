//! Compressed captures: gzip (RFC 1952) and Zstandard (RFC 8878), told by their first bytes.
//!
//! Decoding streams: memory is bounded by the decoders' windows, whatever a small file expands to.
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

mod gzip;

use gzip::GzipReader;

/// A compression that readers take off by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// gzip, any number of members.
    Gzip,
    /// Zstandard, any number of frames.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Most layers of compression that are taken off.
pub(super) const MAX_LAYERS: usize = 4;
/// Bytes that tell a compression.
pub(super) const MAGIC_LEN: usize = 4;
/// Compressed bytes that are read at a time.
const INPUT_BUFFER: usize = 128 << 10;
/// Largest Zstandard window: what `zstd` itself takes without `--long` (RFC 8878 asks decoders for 8 MiB).
const MAX_WINDOW: u64 = 128 << 20;
/// Zstandard's skippable frames: sixteen magic numbers.
const SKIPPABLE: u32 = 0x184d_2a50;
const ZSTD_MAGIC: u32 = 0xfd2f_b528;

/// The compression that begins with these bytes.
pub(super) fn detect(first: &[u8]) -> Option<Compression> {
    if first.starts_with(&[0x1f, 0x8b, 8]) {
        return Some(Compression::Gzip);
    }
    let magic = u32::from_le_bytes(*first.first_chunk()?);
    (magic == ZSTD_MAGIC || magic & !15 == SKIPPABLE).then_some(Compression::Zstd)
}

/// The decoder of a compression.
pub(super) fn decoder(compression: Compression, inner: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
    let inner = BufReader::with_capacity(INPUT_BUFFER, inner);
    match compression {
        Compression::Gzip => Box::new(GzipReader::new(inner)),
        Compression::Zstd => Box::new(ZstdReader::new(inner)),
    }
}

/// Zstandard frames one after another.
///
/// The decoder keeps its window back until it has seen a frame's last block. When the file ends or is damaged before
/// that, it is given an empty last block, so that all that was compressed before comes out; then the error is told.
struct ZstdReader<R> {
    inner: R,
    frame: FrameDecoder,
    inside: bool,
    /// The block at hand: header and content.
    block: Vec<u8>,
    /// What went wrong inside the frame.
    broken: Option<io::Error>,
}

/// An empty raw block that is its frame's last, and room for a checksum.
const LAST_BLOCK: &[u8] = &[1, 0, 0, 0, 0, 0, 0];

impl<R: BufRead> ZstdReader<R> {
    fn new(inner: R) -> Self {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(MAX_WINDOW);
        Self { inner, frame, inside: false, block: Vec::new(), broken: None }
    }

    /// Goes to the next frame; false at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.inner.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let mut magic = [0; MAGIC_LEN];
            self.inner.read_exact(&mut magic)?;
            if u32::from_le_bytes(magic) & !15 == SKIPPABLE {
                let mut length = [0; 4];
                self.inner.read_exact(&mut length)?;
                let length = u64::from(u32::from_le_bytes(length));
                if io::copy(&mut self.inner.by_ref().take(length), &mut io::sink())? != length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            self.frame.reset((&magic[..]).chain(&mut self.inner)).map_err(invalid)?;
            return Ok(true);
        }
    }

    /// Decodes the next block, whose end must be there.
    fn next_block(&mut self) -> io::Result<()> {
        let one = BlockDecodingStrategy::UptoBlocks(1);
        // After the last block the decoder reads the frame's checksum by itself.
        let whole = self.read_block().and_then(|()| {
            self.frame.decode_blocks((&self.block[..]).chain(&mut self.inner), one).map_err(invalid)
        });
        if let Err(error) = whole {
            self.broken = Some(error);
            self.frame.decode_blocks(LAST_BLOCK, BlockDecodingStrategy::UptoBlocks(1)).map_err(invalid)?;
        }
        Ok(())
    }

    /// Reads a whole block (RFC 8878, 3.1.1.2).
    fn read_block(&mut self) -> io::Result<()> {
        let mut header = [0; 3];
        self.inner.read_exact(&mut header)?;
        let bits = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        // Type 1 is one byte that is repeated; the others have their content's length.
        let length = if bits >> 1 & 3 == 1 { 1 } else { bits as usize >> 3 };
        self.block.clear();
        self.block.extend_from_slice(&header);
        self.block.resize(header.len() + length, 0);
        self.inner.read_exact(&mut self.block[header.len()..])
    }

    fn check_sum(&self) -> io::Result<()> {
        match (self.frame.get_checksum_from_data(), self.frame.get_calculated_checksum()) {
            (Some(said), Some(is)) if said != is => Err(invalid("the frame's checksum does not match")),
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.inside {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.inside = true;
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                self.next_block()?;
            }
            let got = self.frame.read(into)?;
            if got > 0 || into.is_empty() {
                return Ok(got);
            }
            self.inside = false;
            if let Some(error) = self.broken.take() {
                return Err(error);
            }
            self.check_sum()?;
        }
    }
}

/// A decoder's error as an I/O error; an end that came too early keeps its kind.
fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    let error = error.into();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return io::Error::new(io.kind(), error);
        }
        cause = inner.source();
    }
    io::Error::new(io::ErrorKind::InvalidData, error)
}
