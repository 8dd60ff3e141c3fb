//! Capture files: what every format's reader gives.
use netfast_buf::Block;
use netfast_wire::LinkType;

/// One packet record: where its bytes stand in its batch's block, and what the file says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Time stamp, ns since the epoch (saturated to u64).
    pub time_ns: u64,
    /// Offset of the captured bytes in the batch's block.
    pub offset: u32,
    /// Captured bytes.
    pub caplen: u32,
    /// Bytes of the frame on the wire.
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
}
