//! What tests share: captures built byte by byte, and what a reader makes of them; live ports.
#![allow(dead_code, reason = "each test file uses its part")]
#[cfg(target_os = "linux")]
pub mod live;

use netfast_io::Error;
use netfast_io::capture::{Reader, ReaderOptions, RecordBatch};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A packet as tests compare them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub time_ns: u64,
    pub len: u32,
    pub link: u16,
    pub interface: u16,
    pub data: Vec<u8>,
}

pub fn packet(time_ns: u64, len: u32, data: &[u8]) -> Packet {
    Packet { time_ns, len, link: 1, interface: 0, data: data.to_vec() }
}

/// Numbers in one byte order.
#[derive(Clone, Copy)]
pub struct Order(pub bool);

impl Order {
    pub fn u16(self, value: u16) -> Vec<u8> {
        if self.0 { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    pub fn u32(self, value: u32) -> Vec<u8> {
        if self.0 { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    pub fn u64(self, value: u64) -> Vec<u8> {
        if self.0 { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    pub fn words(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|&value| self.u32(value)).collect()
    }

    pub fn pcap_header(self, magic: u32, version: (u16, u16), network: u32) -> Vec<u8> {
        [
            self.u32(magic),
            self.u16(version.0),
            self.u16(version.1),
            vec![0; 8],
            self.u32(65535),
            self.u32(network),
        ]
        .concat()
    }

    /// A record with `extra` bytes between header and packet.
    pub fn record(self, seconds: u32, fraction: u32, len: u32, extra: usize, data: &[u8]) -> Vec<u8> {
        let head = self.words(&[seconds, fraction, data.len() as u32, len]);
        [head, vec![0xee; extra], data.to_vec()].concat()
    }

    pub fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let total = self.u32((body.len() + padding.len() + 12) as u32);
        [&self.u32(kind), &total, body, &padding, &total].concat()
    }

    pub fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [self.u16(code), self.u16(value.len() as u16), value.to_vec(), padding].concat()
    }

    pub fn section(self, options: &[u8]) -> Vec<u8> {
        let head = [self.u32(0x1a2b_3c4d), self.u16(1), self.u16(0), vec![0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &[&head, options].concat())
    }

    pub fn interface(self, link: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
        self.block(1, &[&self.u16(link), &[0, 0][..], &self.u32(snaplen), options].concat())
    }

    pub fn enhanced(self, interface: u32, ticks: u64, len: u32, data: &[u8], options: &[u8]) -> Vec<u8> {
        let head = self.words(&[interface, (ticks >> 32) as u32, ticks as u32, data.len() as u32, len]);
        let padding = vec![0; data.len().next_multiple_of(4) - data.len()];
        self.block(6, &[&head, data, &padding, options].concat())
    }
}

pub const LE: Order = Order(false);
pub const BE: Order = Order(true);

/// Reads to the end or the first error.
pub fn drain(reader: &mut Reader, max: usize) -> (Vec<Packet>, Option<Error>) {
    let mut batch = RecordBatch::default();
    let mut packets = Vec::new();
    loop {
        match reader.next_batch(&mut batch, max) {
            Ok(true) => collect(&batch, &mut packets),
            Ok(false) => return (packets, None),
            Err(error) => {
                // An error is told once, then comes the end.
                assert!(!reader.next_batch(&mut batch, max).expect("the end"));
                return (packets, Some(error));
            }
        }
    }
}

pub fn collect(batch: &RecordBatch, packets: &mut Vec<Packet>) {
    assert!(!batch.records.is_empty());
    assert_eq!(batch.first_frame, packets.len() as u64 + 1);
    packets.extend(batch.packets().map(|(record, data)| Packet {
        time_ns: record.time_ns,
        len: record.len,
        link: record.link,
        interface: record.interface,
        data: data.to_vec(),
    }));
}

/// A source that gives so many bytes a time, like a slow pipe.
pub struct Dribble {
    pub bytes: Vec<u8>,
    pub at: usize,
    pub step: usize,
}

impl std::io::Read for Dribble {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = self.step.min(into.len()).min(self.bytes.len() - self.at);
        into[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

pub fn options() -> ReaderOptions {
    ReaderOptions::default()
}

pub fn from_memory(file: &[u8], options: ReaderOptions) -> Result<Reader, Error> {
    Reader::from_block(file.to_vec().into(), options)
}

/// A file in the temporary directory that is removed again.
pub struct TempFile(pub std::path::PathBuf);

impl TempFile {
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        // Tests run side by side, and some use a name twice.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("netfast-io-{}-{number}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("the temporary directory can be written");
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Reads the bytes in every way there is, in blocks and batches of several sizes, and expects the same each time.
pub fn read_all_ways(name: &str, file: &[u8], lenient: bool) -> (Vec<Packet>, Option<Error>) {
    let with = |block_size, mmap| ReaderOptions { lenient, block_size, mmap, ..options() };
    let temp = TempFile::new(name, file);
    let mut results = Vec::new();
    for (block_size, max) in [(256, 3), (4096, 1), (ReaderOptions::BLOCK_SIZE, 4096)] {
        let dribble = |step| Box::new(Dribble { bytes: file.to_vec(), at: 0, step });
        results.push(Reader::open(&temp.0, with(block_size, false)).map(|mut r| drain(&mut r, max)));
        results.push(Reader::open(&temp.0, with(block_size, true)).map(|mut r| drain(&mut r, max)));
        results.push(from_memory(file, with(block_size, false)).map(|mut r| drain(&mut r, max)));
        for step in [1, 7, usize::MAX] {
            let reader = Reader::from_reader(dribble(step), with(block_size, false));
            results.push(reader.map(|mut r| drain(&mut r, max)));
        }
    }
    let mut results: Vec<_> =
        results.into_iter().map(|result| result.unwrap_or_else(|error| (Vec::new(), Some(error)))).collect();
    let Some(first) = results.pop() else { unreachable!("there are ways") };
    for other in &results {
        assert_eq!(other.0, first.0);
        assert_eq!(other.1.as_ref().map(ToString::to_string), first.1.as_ref().map(ToString::to_string));
    }
    first
}
