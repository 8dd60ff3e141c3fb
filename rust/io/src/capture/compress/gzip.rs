//! gzip (RFC 1952), any number of members.
//!
//! The usual decoders drop what a call had decoded when it meets damage; a capture's packets before the damage are
//! wanted, so this one gives them first and the error then.
use std::io::{self, BufRead, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Window of deflate (RFC 1951 section 2).
const WINDOW: usize = 32 << 10;
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Bytes of a member's header before what its flags announce.
const HEADER: usize = 10;

/// Flags of a member's header (RFC 1952 section 2.3.1).
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;

pub(super) struct GzipReader<R> {
    inner: R,
    inflate: Decompress,
    crc: Crc,
    inside: bool,
    /// True once a member has begun.
    begun: bool,
    /// What was decoded and not taken yet is `at..end`.
    output: Box<[u8]>,
    at: usize,
    end: usize,
    /// What went wrong behind that.
    broken: Option<io::Error>,
}

impl<R: BufRead> GzipReader<R> {
    pub fn new(inner: R) -> Self {
        let output = vec![0; WINDOW].into_boxed_slice();
        let inflate = Decompress::new(false);
        Self {
            inner,
            inflate,
            crc: Crc::new(),
            inside: false,
            begun: false,
            output,
            at: 0,
            end: 0,
            broken: None,
        }
    }

    /// Goes to the next member; false at the end. Zeros behind the last member are padding (of tapes and blocks).
    fn next_member(&mut self) -> io::Result<bool> {
        let padding = self.begun && self.skip_zeros()?;
        let mut header = Vec::with_capacity(HEADER);
        self.inner.by_ref().take(HEADER as u64).read_to_end(&mut header)?;
        if header.is_empty() {
            return Ok(false);
        }
        if padding || header.iter().zip(MAGIC).any(|(&is, magic)| is != magic) {
            return Err(damage(if self.begun {
                "trailing garbage behind the last gzip member"
            } else {
                "no gzip member where one should begin"
            }));
        }
        let Some(&flags) = header.get(3).filter(|_| header.len() == HEADER) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        self.begun = true;
        if flags & EXTRA != 0 {
            let mut length = [0; 2];
            self.inner.read_exact(&mut length)?;
            self.skip(u16::from_le_bytes(length).into())?;
        }
        for text in [NAME, COMMENT] {
            // A text that does not end leaves nothing to read, which the deflate stream then misses.
            if flags & text != 0 {
                self.inner.skip_until(0)?;
            }
        }
        if flags & HEADER_CRC != 0 {
            self.skip(2)?;
        }
        self.inflate.reset(false);
        self.crc.reset();
        Ok(true)
    }

    /// True when there were some.
    fn skip_zeros(&mut self) -> io::Result<bool> {
        let mut any = false;
        loop {
            let bytes = self.inner.fill_buf()?;
            let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
            let all = zeros == bytes.len() && zeros > 0;
            self.inner.consume(zeros);
            any |= zeros > 0;
            if !all {
                return Ok(any);
            }
        }
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        if io::copy(&mut self.inner.by_ref().take(length), &mut io::sink())? == length {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Decodes what comes next.
    fn decode(&mut self) -> io::Result<()> {
        let input = self.inner.fill_buf()?;
        if input.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (taken, given) = (self.inflate.total_in(), self.inflate.total_out());
        // The decoder works in a ring of one window and forgets, at damage, what it could not hand out of it. Room up
        // to the ring's end, and no more, makes it hand out each part as soon as it is decoded.
        let room = WINDOW - (given % WINDOW as u64) as usize;
        let status = self.inflate.decompress(input, &mut self.output[..room], FlushDecompress::None);
        self.inner.consume((self.inflate.total_in() - taken) as usize);
        self.at = 0;
        self.end = (self.inflate.total_out() - given) as usize;
        self.crc.update(&self.output[..self.end]);
        match status {
            Ok(Status::StreamEnd) => {
                self.inside = false;
                self.broken = self.trailer().err();
            }
            Ok(_) => {}
            Err(error) => self.broken = Some(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
        Ok(())
    }

    /// RFC 1952 section 2.3.1: checksum and length, modulo 2^32.
    fn trailer(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.inner.read_exact(&mut trailer)?;
        let [a, b, c, d, e, f, g, h] = trailer;
        if u32::from_le_bytes([a, b, c, d]) != self.crc.sum() {
            return Err(damage("the gzip checksum does not match"));
        }
        if u32::from_le_bytes([e, f, g, h]) != self.crc.amount() {
            return Err(damage("the length at the end of the gzip member does not match"));
        }
        Ok(())
    }
}

fn damage(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.at < self.end || into.is_empty() {
                let n = into.len().min(self.end - self.at);
                into[..n].copy_from_slice(&self.output[self.at..][..n]);
                self.at += n;
                return Ok(n);
            }
            if let Some(error) = self.broken.take() {
                return Err(error);
            }
            if !self.inside {
                self.inside = self.next_member()?;
                if !self.inside {
                    return Ok(0);
                }
            }
            self.decode()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use flate2::{Compression, GzBuilder};
    use std::io::Write;

    fn plain() -> Vec<u8> {
        (0..300_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()).collect()
    }

    fn pack(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).expect("memory");
        encoder.finish().expect("memory")
    }

    fn unpack(packed: &[u8], step: usize) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut reader = GzipReader::new(io::BufReader::with_capacity(step, packed));
        let mut out = Vec::new();
        let error = reader.read_to_end(&mut out).err().map(|error| error.kind());
        (out, error)
    }

    #[test]
    fn members_with_every_field_come_out_one_after_another() {
        let named = GzBuilder::new().filename("name").comment("comment").extra(vec![1, 2, 3]);
        let mut encoder = named.write(Vec::new(), Compression::fast());
        encoder.write_all(&plain()).expect("memory");
        let mut packed = encoder.finish().expect("memory");
        packed.extend(pack(b"the second"));
        packed.extend(pack(b""));
        for step in [1, 7, 1 << 17] {
            assert_eq!(unpack(&packed, step), ([&plain()[..], b"the second"].concat(), None));
        }
    }

    #[test]
    fn all_that_stands_before_damage_comes_out() {
        let (plain, packed) = (plain(), pack(&plain()));
        for at in (20..packed.len() - 8).step_by(packed.len() / 23) {
            let mut damaged = packed.clone();
            damaged[at..at + 8].fill(0xff);
            // Byte by byte, nothing is decoded together with what is damaged.
            let (slow, _) = unpack(&damaged, 1);
            let (fast, error) = unpack(&damaged, 1 << 17);
            assert_eq!(fast.len(), slow.len(), "damaged at {at}");
            assert_eq!(error, Some(io::ErrorKind::InvalidData));
            let (before, _) = unpack(&packed[..at], 1);
            assert!(fast.starts_with(&before) && plain.starts_with(&before));
        }
    }

    #[test]
    fn a_cut_or_changed_end_is_told_after_the_data() {
        let packed = pack(b"some text");
        let end = packed.len();
        for cut in 1..8 {
            let (out, error) = unpack(&packed[..end - cut], 64);
            assert_eq!((&out[..], error), (&b"some text"[..], Some(io::ErrorKind::UnexpectedEof)));
        }
        for at in [end - 8, end - 4] {
            let mut changed = packed.clone();
            changed[at] ^= 1;
            let (out, error) = unpack(&changed, 64);
            assert_eq!((&out[..], error), (&b"some text"[..], Some(io::ErrorKind::InvalidData)));
        }
    }

    /// As `gzip -t` has it: zeros are padding, anything else is not.
    #[test]
    fn what_follows_the_last_member_is_padding_or_garbage() {
        let packed = pack(b"some text");
        let cases: [(&[u8], Option<io::ErrorKind>); 8] = [
            (&[0; 1], None),
            (&[0; 3], None),
            (&[0; 4096], None),
            (b"\x1f\x8b\x08", Some(io::ErrorKind::UnexpectedEof)),
            (b"\x1f\x8b\x07\0\0\0\0\0\0\0", Some(io::ErrorKind::InvalidData)),
            (b"gar", Some(io::ErrorKind::InvalidData)),
            (b"\0\0garbage of many bytes", Some(io::ErrorKind::InvalidData)),
            (b"\0\x1f\x8b\x08\0\0\0\0\0\0\0", Some(io::ErrorKind::InvalidData)),
        ];
        for (tail, expected) in cases {
            for step in [1, 2, 1 << 17] {
                let (out, error) = unpack(&[&packed[..], tail].concat(), step);
                assert_eq!((&out[..], error), (&b"some text"[..], expected), "{tail:?}");
            }
        }
    }
}
