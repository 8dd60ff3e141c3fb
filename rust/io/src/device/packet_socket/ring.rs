//! The ring that the kernel puts packets into (`TPACKET_V3`, packet_mmap).
//!
//! ```text
//! block: 0 version | 8 status | 12 packets | 16 offset of the first
//! packet: 0 offset of the next | 12 captured bytes | 16 bytes | 20 status | 24 offset of the frame | 32 VLAN tag, its type
//! ```
//!
//! A block belongs to the kernel, or to us from the moment that its status says so until we say otherwise. Packets may refer
//! to a block that is ours ([`Frame::block`]); then it goes back when the last of them is gone.
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use netfast_buf::Block;

use super::slots::{half, word};
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

/// The memory that we share with the kernel.
struct Shared {
    memory: MmapRaw,
    block: usize,
    /// Which blocks packets refer to, and how many these are.
    is_lent: Box<[AtomicBool]>,
    lent: AtomicUsize,
}

impl Shared {
    fn status(&self, index: usize) -> &AtomicU32 {
        debug_assert!((index + 1) * self.block <= self.memory.len());
        // SAFETY: the status of each block is within the mapping, at a multiple of four bytes from its page-aligned start, and
        // lives as long. The kernel and we change it as a whole, and read it before the rest of the block; that is its
        // protocol. Through `bytes` it is seen only while nobody writes it.
        unsafe { AtomicU32::from_ptr(self.memory.as_mut_ptr().add(index * self.block + STATUS).cast()) }
    }

    /// Gives a block back to the kernel.
    fn release(&self, index: usize) {
        self.status(index).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }

    /// The bytes of a block.
    ///
    /// # Safety
    /// The block is ours until the last use of the bytes: its status was read as `TP_STATUS_USER`, and it was not released.
    unsafe fn bytes(&self, index: usize) -> &[u8] {
        debug_assert!((index + 1) * self.block <= self.memory.len());
        // SAFETY: the block is within the mapping, which lives as long as `self`; the kernel does not write to it while it is
        // ours (the caller's promise), and we never do.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(index * self.block), self.block) }
    }
}

/// A block that packets refer to.
struct Lent {
    shared: Arc<Shared>,
    index: usize,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: only a block that is ours is lent, and it is released when this is dropped.
        unsafe { self.shared.bytes(self.index) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.shared.release(self.index);
        // After the release, so that who sees that it is not lent sees no old status.
        self.shared.is_lent[self.index].store(false, Ordering::Release);
        self.shared.lent.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where we read.
struct Cursor {
    left: u32,
    offset: usize,
    lent: Option<Block>,
}

/// A ring; it is unmapped with the last packet that refers to it.
pub(super) struct Ring {
    shared: Arc<Shared>,
    blocks: usize,
    index: usize,
    /// The block at `index` is ours.
    cursor: Option<Cursor>,
    /// Bytes of the header of offloads before each frame.
    header: usize,
}

/// A packet in the ring.
pub(super) struct Frame<'a> {
    /// It begins with the Ethernet header.
    pub bytes: &'a [u8],
    /// The header of offloads; empty when there is none.
    pub header: &'a [u8],
    /// Not all of it was captured.
    pub truncated: bool,
    /// `TP_STATUS_…`.
    pub status: u32,
    /// The VLAN tag that the kernel took out, type first.
    pub tag: Option<[u8; 4]>,
    place: Place<'a>,
}

/// Where a frame stands.
struct Place<'a> {
    shared: &'a Arc<Shared>,
    index: usize,
    blocks: usize,
    offset: usize,
    lent: &'a mut Option<Block>,
}

impl Frame<'_> {
    /// Lends the block to a packet, which may refer to it from the offset on at which the frame stands. `None` when half of
    /// the blocks are lent: then the frame is to be copied, so that packets that wait for something stop no others.
    pub(super) fn block(&mut self) -> Option<(Block, usize)> {
        let Place { shared, index, blocks, offset, lent } = &mut self.place;
        if lent.is_none() {
            if shared.lent.load(Ordering::Relaxed) * 2 >= *blocks {
                return None;
            }
            shared.lent.fetch_add(1, Ordering::Relaxed);
            shared.is_lent[*index].store(true, Ordering::Relaxed);
            **lent = Some(Block::from_owner(Lent { shared: Arc::clone(shared), index: *index }));
        }
        Some((lent.as_ref()?.clone(), *offset))
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ring({} blocks of {} bytes)", self.blocks, self.shared.block)
    }
}

impl Ring {
    /// Has the kernel make a ring for the socket, and maps it. `header` bytes of offloads are before each frame.
    pub(super) fn new(
        socket: BorrowedFd<'_>,
        block: u32,
        blocks: u32,
        retire: u32,
        header: usize,
    ) -> io::Result<Self> {
        let request = libc::tpacket_req3 {
            tp_block_size: block,
            tp_block_nr: blocks,
            // Frames have any length; the kernel checks that blocks hold a whole number of these.
            tp_frame_size: 2_048,
            tp_frame_nr: block / 2_048 * blocks,
            tp_retire_blk_tov: retire,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        system::set_ring(socket, &request)?;
        let (block, blocks) = (block as usize, blocks as usize);
        let memory = MmapOptions::new().len(block * blocks).map_raw(socket.as_raw_fd())?;
        let is_lent = (0..blocks).map(|_| AtomicBool::new(false)).collect();
        let shared = Arc::new(Shared { memory, block, is_lent, lent: AtomicUsize::new(0) });
        Ok(Self { shared, blocks, index: 0, cursor: None, header })
    }

    /// The next packet, if the kernel has given us one.
    pub(super) fn next(&mut self) -> Option<Frame<'_>> {
        if self.cursor.as_ref().is_none_or(|cursor| cursor.left == 0) {
            self.leave();
            self.enter()?;
        }
        let Self { shared, index, blocks, cursor, header, .. } = self;
        let cursor = cursor.as_mut()?;
        // SAFETY: there is a cursor only in a block that is ours; it is released where the cursor ends, which needs `self`.
        let bytes = unsafe { shared.bytes(*index) };
        let packet = bytes.get(cursor.offset..).unwrap_or(&[]);
        let next = word(packet, NEXT) as usize;
        let (captured, length, status) =
            (word(packet, CAPTURED), word(packet, LENGTH), word(packet, PACKET_STATUS));
        let start = usize::from(half(packet, FRAME));
        let at = cursor.offset + start;
        cursor.left -= 1;
        cursor.offset += next;
        let tag_type =
            if status & libc::TP_STATUS_VLAN_TPID_VALID != 0 { half(packet, TAG_TYPE) } else { 0x8100 };
        let tag = (status & libc::TP_STATUS_VLAN_VALID != 0).then(|| {
            let [[a, b], [c, d]] = [tag_type.to_be_bytes(), (word(packet, TAG) as u16).to_be_bytes()];
            [a, b, c, d]
        });
        Some(Frame {
            bytes: packet.get(start..start + captured as usize).unwrap_or(&[]),
            header: start.checked_sub(*header).and_then(|at| packet.get(at..start)).unwrap_or(&[]),
            truncated: captured < length,
            status,
            tag,
            place: Place { shared, index: *index, blocks: *blocks, offset: at, lent: &mut cursor.lent },
        })
    }

    /// Begins with the block at the index, if it is ours.
    fn enter(&mut self) -> Option<()> {
        if self.shared.is_lent[self.index].load(Ordering::Acquire) {
            return None;
        }
        let status = self.shared.status(self.index).load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the status was just read, and the block is released only in `leave` or with the last packet that refers to
        // it.
        let block = unsafe { self.shared.bytes(self.index) };
        let (left, offset) = (word(block, PACKETS), word(block, FIRST) as usize);
        self.cursor = Some(Cursor { left, offset, lent: None });
        if left == 0 {
            self.leave();
        }
        self.cursor.as_ref().map(drop)
    }

    /// Ends with the block at the index: it goes back at once, or when no packet refers to it any more.
    fn leave(&mut self) {
        let Some(cursor) = self.cursor.take() else { return };
        match cursor.lent {
            Some(lent) => drop(lent),
            None => self.shared.release(self.index),
        }
        self.index = (self.index + 1) % self.blocks;
    }
}
