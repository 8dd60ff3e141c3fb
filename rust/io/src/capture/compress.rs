//! Compressed captures: gzip (RFC 1952) and Zstandard (RFC 8878), told by their first bytes.
//!
//! Decoding streams: memory is bounded by the decoders' windows, whatever a small file expands to.
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::FrameDecoder;

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
        Compression::Gzip => Box::new(MultiGzDecoder::new(inner)),
        Compression::Zstd => Box::new(ZstdReader::new(inner)),
    }
}

/// Zstandard frames one after another.
struct ZstdReader<R> {
    inner: R,
    frame: FrameDecoder,
    inside: bool,
}

impl<R: BufRead> ZstdReader<R> {
    fn new(inner: R) -> Self {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(MAX_WINDOW);
        Self { inner, frame, inside: false }
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
                let one = ruzstd::decoding::BlockDecodingStrategy::UptoBlocks(1);
                self.frame.decode_blocks(&mut self.inner, one).map_err(invalid)?;
            }
            let got = self.frame.read(into)?;
            if got > 0 || into.is_empty() {
                return Ok(got);
            }
            self.check_sum()?;
            self.inside = false;
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
