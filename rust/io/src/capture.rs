//! Capture files: what every format's reader gives, and the readers and writers themselves.
//!
//! [`Reader`] reads one capture in batches of records whose bytes stand in one pooled block; [`Merge`] makes one
//! input of several captures; [`PcapWriter`] and [`PcapngWriter`] write. Formats: pcap
//! (draft-ietf-opsawg-pcap) with the variants that were found in the wild, pcapng (draft-ietf-opsawg-pcapng).
use netfast_buf::Block;
use netfast_wire::LinkType;

mod compress;
mod format;
mod interrupt;
mod merge;
mod options;
mod pcap;
mod pcapng;
mod reader;
mod source;
mod writer;

pub use compress::Compression;
pub use format::{
    Damage, Format, Interface, LATEST_NS, NameRecord, PcapVariant, Resolution, Secrets, Section, Statistics,
};
pub use interrupt::Interrupt;
pub use merge::Merge;
pub use options::{OptionsIter, OtherOption, PacketOption, PacketOptions};
pub use reader::{Reader, ReaderOptions};
pub use writer::{
    InterfaceOptions, PacketMeta, PcapOptions, PcapWriter, PcapngOptions, PcapngWriter, longest_portable,
};

/// One packet record: where its bytes stand in its batch's block, and what the file says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Time stamp, ns since the epoch (clamped to 0..=[`LATEST_NS`], counted in [`Statistics::time_out_of_range`]). A record without one (pcapng's simple packets; see
    /// [`RecordBatch::has_time`]) has that of the record before it in its file, 0 where none has had one yet.
    pub time_ns: u64,
    /// Offset of the captured bytes in the batch's block.
    pub offset: u32,
    /// Captured bytes.
    pub caplen: u32,
    /// Bytes of the frame on the wire, as the file says; may be less than `caplen` in odd files
    /// (counted in [`Statistics::caplen_above_len`]).
    pub len: u32,
    /// LINKTYPE_ number of the record's interface.
    pub link: u16,
    /// Index of the interface in [`Reader::interfaces`].
    pub interface: u16,
}

impl Record {
    /// The record's link type.
    pub fn link_type(&self) -> LinkType {
        LinkType(self.link)
    }

    /// The captured bytes, given the bytes of the batch's block.
    #[inline]
    pub fn data<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        &block[self.offset as usize..][..self.caplen as usize]
    }
}

/// Consecutive records whose bytes stand in one block.
#[derive(Debug, Default)]
pub struct RecordBatch {
    /// The block; `None` while the batch is empty.
    pub block: Option<Block>,
    /// The records, in file order. Reused between calls.
    pub records: Vec<Record>,
    /// Frame number of the first record, counted from 1.
    pub first_frame: u64,
    /// Offset of the first record (its header) in the (decompressed) file.
    pub file_offset: u64,
    /// Offset of the block's first byte in the (decompressed) file: `block_offset + record.offset` is where a
    /// record's captured bytes stand. Wraps below zero when bytes were carried in front; add with wrapping. 0 in
    /// batches that [`Merge`] gathered from several files.
    pub block_offset: u64,
    /// Options of the packets, in order of their records; filled with
    /// [`ReaderOptions::keep_options`] only, and only for packets that have some.
    pub options: Vec<PacketOptions>,
    /// Indices of the records without a time stamp of their own, ascending; few files have any.
    pub without_time: Vec<u32>,
}

impl RecordBatch {
    /// Drops the records and lets go of the block; the vectors keep their memory.
    pub fn clear(&mut self) {
        self.block = None;
        self.records.clear();
        self.options.clear();
        self.without_time.clear();
        self.first_frame = 0;
        self.file_offset = 0;
        self.block_offset = 0;
    }

    /// The bytes of the block; none while the batch is empty.
    pub fn bytes(&self) -> &[u8] {
        self.block.as_ref().map_or(&[], Block::bytes)
    }

    /// The records with their captured bytes.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = (&Record, &[u8])> {
        let bytes = self.bytes();
        self.records.iter().map(move |record| (record, record.data(bytes)))
    }

    /// Whether the record at `index` has a time stamp of its own; if not, its time is that of a neighbour.
    #[inline]
    pub fn has_time(&self, index: usize) -> bool {
        self.without_time.is_empty()
            || !u32::try_from(index).is_ok_and(|index| self.without_time.binary_search(&index).is_ok())
    }

    /// Byte order of the numbers in the options of the record at `index`, as [`OptionsIter`] does not tell it; false
    /// when there are none.
    pub fn options_big_endian(&self, index: usize) -> bool {
        self.options_at(index).is_some_and(|options| options.big_endian)
    }

    /// The options of the record at `index`; none when it has none or they were not kept.
    pub fn options_of(&self, index: usize) -> OptionsIter<'_> {
        self.options_at(index).map_or_else(OptionsIter::empty, |options| options.iter(self.bytes()))
    }

    fn options_at(&self, index: usize) -> Option<&PacketOptions> {
        let index = u32::try_from(index).ok()?;
        let at = self.options.binary_search_by_key(&index, |options| options.record);
        at.ok().map(|at| &self.options[at])
    }
}
