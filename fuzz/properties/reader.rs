//! Any bytes as a capture: nothing panics, hangs or grows, and the result does not depend on how they are read.
//!
//! The first byte chooses strict or lenient, and how the capture that follows is wrapped; see `Choice`.
use netfast_io::Error;
use netfast_io::capture::{Format, Reader, ReaderOptions, Record, RecordBatch};
use std::io::{self, Read};

/// Batch sizes, the last being more than any input fills.
const BATCHES: [usize; 4] = [1, 2, 7, 4096];
/// Bytes that a compressed input may become: enough for any seed, and a bomb ends here.
const INFLATED: u64 = 1 << 22;

struct Choice {
    lenient: bool,
    keep_options: bool,
    /// 0: as it is, 1: in gzip, 2: in Zstandard, 3: in gzip in Zstandard.
    wrap: u8,
    /// Bytes that a dribbling stream gives at a time.
    step: usize,
}

pub fn check(data: &[u8]) {
    let Some((&first, file)) = data.split_first() else { return };
    let choice = Choice {
        lenient: first & 1 != 0,
        keep_options: first & 2 != 0,
        wrap: first >> 2 & 3,
        step: usize::from(first >> 4) + 1,
    };
    let file = match choice.wrap {
        0 => file.to_vec(),
        1 => gzip(file),
        2 => zstandard(file),
        _ => zstandard(&gzip(file)),
    };
    let options = |block_size| ReaderOptions {
        lenient: choice.lenient,
        keep_options: choice.keep_options,
        block_size,
        max_record: 1 << 20,
        ..ReaderOptions::default()
    };
    let plain = file.len() as u64;
    let whole =
        BATCHES.map(|batch| read(Reader::from_block(file.clone().into(), options(1 << 16)), batch, plain));
    for other in &whole[1..] {
        assert_eq!(&whole[0], other, "batch sizes differ");
    }
    let dribble = Box::new(Dribble { bytes: file, at: 0, step: choice.step });
    let dribbled = read(Reader::from_reader(dribble, options(256)), 7, plain);
    // The variants of pcap under one magic number are told by the records that have come.
    if whole[0].format == dribbled.format && !choice.lenient {
        assert_eq!(whole[0], dribbled, "a file and a stream differ");
    }
}

/// What came of a capture.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    format: Option<Format>,
    packets: u64,
    bytes: u64,
    digest: u64,
    error: Option<(Option<u64>, Option<u64>)>,
}

fn read(reader: Result<Reader, Error>, max: usize, plain: u64) -> Outcome {
    let mut outcome = Outcome::default();
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) => return Outcome { error: Some(place(&error)), ..outcome },
    };
    let mut batch = RecordBatch::default();
    loop {
        match reader.next_batch(&mut batch, max) {
            Ok(true) => take(&batch, max, &mut outcome),
            Ok(false) => break,
            Err(error) => {
                outcome.error = Some(place(&error));
                assert!(batch.records.is_empty(), "an error with records");
                assert!(
                    matches!(reader.next_batch(&mut batch, max), Ok(false)),
                    "reading goes on after an error"
                );
                break;
            }
        }
        if outcome.bytes > INFLATED {
            return Outcome::default();
        }
    }
    // Of pcap, the first records tell the variant.
    outcome.format = Some(reader.format());
    let statistics = reader.statistics();
    assert_eq!(statistics.packets, outcome.packets);
    if statistics.compression.is_empty() {
        assert!(outcome.packets * 12 <= plain, "{} packets of {plain} bytes", outcome.packets);
        assert!(outcome.bytes <= plain, "{} captured bytes of {plain}", outcome.bytes);
        if let Some((_, Some(offset))) = outcome.error {
            assert!(offset <= plain, "an error at {offset} of {plain}");
        }
    }
    if let Some((Some(frame), _)) = outcome.error {
        assert_eq!(frame, outcome.packets + 1, "the error names another frame");
    }
    outcome
}

fn place(error: &Error) -> (Option<u64>, Option<u64>) {
    assert!(!error.to_string().is_empty());
    (error.frame(), error.offset())
}

fn take(batch: &RecordBatch, max: usize, outcome: &mut Outcome) {
    assert!(!batch.records.is_empty() && batch.records.len() <= max);
    assert_eq!(batch.first_frame, outcome.packets + 1);
    for (i, (record, data)) in batch.packets().enumerate() {
        let Record { time_ns, caplen, len, link, interface, .. } = *record;
        assert_eq!(data.len(), caplen as usize);
        let place = batch.block_offset.wrapping_add(u64::from(record.offset));
        let options = batch.options_of(i).count() as u64;
        let fields = [time_ns, len.into(), link.into(), interface.into(), place, options];
        let all = fields.into_iter().chain(data.iter().map(|&byte| u64::from(byte)));
        outcome.digest = all.fold(outcome.digest, |sum, next| (sum ^ next).wrapping_mul(0x0100_0000_01b3));
        outcome.bytes += u64::from(caplen);
    }
    outcome.packets += batch.records.len() as u64;
}

/// A stream that gives little at a time.
struct Dribble {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl Read for Dribble {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.step.min(into.len()).min(self.bytes.len() - self.at);
        into[..n].copy_from_slice(&self.bytes[self.at..][..n]);
        self.at += n;
        Ok(n)
    }
}

/// A gzip member (RFC 1952) of stored blocks (RFC 1951 section 3.2.4).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for chunk in bytes.chunks(0xffff) {
        let length = chunk.len() as u16;
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(chunk);
    }
    out.extend([1, 0, 0, 0xff, 0xff]);
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    out.extend(crc.sum().to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

/// A Zstandard frame of raw blocks (RFC 8878 sections 3.1.1.1 and 3.1.1.2).
fn zstandard(bytes: &[u8]) -> Vec<u8> {
    // No content size, no checksum; a window of 128 KiB.
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    for chunk in bytes.chunks(1 << 16) {
        out.extend(&(chunk.len() as u32 * 8).to_le_bytes()[..3]);
        out.extend(chunk);
    }
    out.extend([1, 0, 0]);
    out
}
