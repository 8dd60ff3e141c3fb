//! The ring of blocks in which packets of any length stand close to each other (`TPACKET_V3`, packet_mmap).
//!
//! ```text
//! block: 0 version | 8 status | 12 packets | 16 offset of the first
//! packet: 0 offset of the next | 12 captured bytes | 16 bytes | 20 status | 24 offset of the frame | 32 VLAN tag | 36 its type
//! ```
//!
//! A block belongs to the kernel, or to us from the moment that its status says so until we say otherwise. The kernel fills
//! blocks in turn, so that one packet that somebody holds in its block would stop all: what is received is copied.
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::slots::{Captured, half, part, tag, word};
use super::system;

const STATUS: usize = 8;
const PACKETS: usize = 12;
const FIRST: usize = 16;
const NEXT: usize = 0;
const CAPTURED: usize = 12;
const LENGTH: usize = 16;
const PACKET_STATUS: usize = 20;
const FRAME: usize = 24;
const TAG: usize = 32;
const TAG_TYPE: usize = 36;

/// Where we read in a block that is ours.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    left: u32,
    offset: usize,
}

/// A ring of blocks.
pub(super) struct Blocks {
    memory: MmapRaw,
    block: usize,
    count: usize,
    index: usize,
    /// The block at `index` is ours.
    cursor: Option<Cursor>,
    /// Bytes of the header of offloads before each frame.
    header: usize,
}

impl Blocks {
    /// Has the kernel make a ring of `count` blocks of `block` bytes for the socket, and maps it. A block is given to us after
    /// `retire` milliseconds though it is not full. `header` bytes of offloads are before each frame.
    pub(super) fn new(
        socket: BorrowedFd<'_>,
        block: u32,
        count: u32,
        retire: u32,
        header: usize,
    ) -> io::Result<Self> {
        let request = libc::tpacket_req3 {
            tp_block_size: block,
            tp_block_nr: count,
            // Frames have any length; the kernel checks that blocks hold a whole number of these.
            tp_frame_size: 2_048,
            tp_frame_nr: block / 2_048 * count,
            tp_retire_blk_tov: retire,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        system::set_blocks(socket, &request)?;
        let (block, count) = (block as usize, count as usize);
        let memory = MmapOptions::new().len(block * count).map_raw(socket.as_raw_fd())?;
        Ok(Self { memory, block, count, index: 0, cursor: None, header })
    }

    fn status(&self) -> &AtomicU32 {
        debug_assert!((self.index + 1) * self.block <= self.memory.len());
        // SAFETY: the status of each block is within the mapping, at a multiple of four bytes from its page-aligned start, and
        // lives as long. The kernel and we change it as a whole, and read it before the rest of the block.
        unsafe { AtomicU32::from_ptr(self.memory.as_mut_ptr().add(self.index * self.block + STATUS).cast()) }
    }

    /// The next packet, if the kernel has given us one; those before it are gone.
    pub(super) fn next(&mut self) -> Option<Captured<'_>> {
        if self.cursor.is_some_and(|cursor| cursor.left == 0) {
            self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.index = (self.index + 1) % self.count;
            self.cursor = None;
        }
        if self.cursor.is_none() && self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the status says that the block is ours; it is released only above, which takes `self` as a whole.
        let block = unsafe { part(&self.memory, self.index * self.block, self.block) };
        let cursor = self.cursor.get_or_insert_with(|| Cursor {
            left: word(block, PACKETS),
            offset: word(block, FIRST) as usize,
        });
        cursor.left = cursor.left.checked_sub(1)?;
        let packet = block.get(cursor.offset..).unwrap_or(&[]);
        cursor.offset += word(packet, NEXT) as usize;
        let start = usize::from(half(packet, FRAME));
        let status = word(packet, PACKET_STATUS);
        Some(Captured {
            bytes: packet.get(start..start + word(packet, CAPTURED) as usize).unwrap_or(&[]),
            header: start.checked_sub(self.header).and_then(|at| packet.get(at..start)).unwrap_or(&[]),
            length: word(packet, LENGTH),
            status,
            tag: tag(status, word(packet, TAG) as u16, half(packet, TAG_TYPE)),
        })
    }
}
