//! The ring whose packets are there at once (`TPACKET_V2`, packet_mmap).
//!
//! ```text
//! slot: 0 status | 4 bytes | 8 captured bytes | 12 offset of the frame | 24 VLAN tag | 26 its type
//! ```
//!
//! A slot belongs to the kernel, or to us from the moment that its status says so until we say otherwise. A frame that is
//! longer than a slot is captured in part, and waits as a whole in the socket's queue (`PACKET_COPY_THRESH`).
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::system;

const LENGTH: usize = 4;
const CAPTURED: usize = 8;
const FRAME: usize = 12;
const TAG: usize = 24;
const TAG_TYPE: usize = 26;

/// Memory is asked for in such pieces.
pub(super) const PIECE: u32 = 65_536;

/// A ring of slots.
pub(super) struct Slots {
    memory: MmapRaw,
    slot: usize,
    count: usize,
    index: usize,
    /// The slot at `index` is ours, and was given on.
    is_read: bool,
    /// Bytes of the header of offloads before each frame.
    header: usize,
}

/// A packet in a ring.
pub(super) struct Captured<'a> {
    /// It begins with the Ethernet header.
    pub bytes: &'a [u8],
    /// The header of offloads; empty when there is none.
    pub header: &'a [u8],
    /// How many bytes the frame has; not all of them may be captured.
    pub length: u32,
    /// `TP_STATUS_…`; with `TP_STATUS_COPY` all of it waits in the queue.
    pub status: u32,
    /// The VLAN tag that the kernel took out, type first.
    pub tag: Option<[u8; 4]>,
}

impl Slots {
    /// Has the kernel make a ring of `count` slots of `slot` bytes for the socket, and maps it: `slot` is a power of two up
    /// to [`PIECE`]. `header` bytes of offloads are before each frame.
    pub(super) fn new(socket: BorrowedFd<'_>, slot: u32, count: u32, header: usize) -> io::Result<Self> {
        let request = libc::tpacket_req {
            tp_block_size: PIECE,
            tp_block_nr: count / (PIECE / slot),
            tp_frame_size: slot,
            tp_frame_nr: count,
        };
        system::set_slots(socket, &request)?;
        let (slot, count) = (slot as usize, count as usize);
        let memory = MmapOptions::new().len(slot * count).map_raw(socket.as_raw_fd())?;
        Ok(Self { memory, slot, count, index: 0, is_read: false, header })
    }

    fn status(&self) -> &AtomicU32 {
        debug_assert!((self.index + 1) * self.slot <= self.memory.len());
        // SAFETY: the status of each slot is within the mapping, at a multiple of four bytes from its page-aligned start, and
        // lives as long. The kernel and we change it as a whole, and read it before the rest of the slot.
        unsafe { AtomicU32::from_ptr(self.memory.as_mut_ptr().add(self.index * self.slot).cast()) }
    }

    /// The next packet, if the kernel has given us one; the one before goes back.
    pub(super) fn next(&mut self) -> Option<Captured<'_>> {
        if std::mem::take(&mut self.is_read) {
            self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.index = (self.index + 1) % self.count;
        }
        let status = self.status().load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        self.is_read = true;
        // SAFETY: the status says that the slot is ours; it is released only by the next call, which takes `self` as a whole.
        let slot = unsafe { part(&self.memory, self.index * self.slot, self.slot) };
        let start = usize::from(half(slot, FRAME));
        Some(Captured {
            bytes: slot.get(start..start + word(slot, CAPTURED) as usize).unwrap_or(&[]),
            header: start.checked_sub(self.header).and_then(|at| slot.get(at..start)).unwrap_or(&[]),
            length: word(slot, LENGTH),
            status,
            tag: tag(status, half(slot, TAG), half(slot, TAG_TYPE)),
        })
    }
}

/// A part of a ring.
///
/// # Safety
/// It is within the mapping and ours: the kernel does not write to it, nor do we, before the last use of the bytes.
pub(super) unsafe fn part(memory: &MmapRaw, start: usize, length: usize) -> &[u8] {
    debug_assert!(start + length <= memory.len());
    // SAFETY: the caller promises it; the mapping lives as long as the bytes are borrowed.
    unsafe { std::slice::from_raw_parts(memory.as_ptr().add(start), length) }
}

/// The VLAN tag that the kernel took out, type first, as the status says.
pub(super) fn tag(status: u32, tag: u16, tag_type: u16) -> Option<[u8; 4]> {
    let tag_type = if status & libc::TP_STATUS_VLAN_TPID_VALID != 0 { tag_type } else { 0x8100 };
    let [[a, b], [c, d]] = [tag_type.to_be_bytes(), tag.to_be_bytes()];
    (status & libc::TP_STATUS_VLAN_VALID != 0).then_some([a, b, c, d])
}

pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word))
}

pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |half| u16::from_ne_bytes(*half))
}
