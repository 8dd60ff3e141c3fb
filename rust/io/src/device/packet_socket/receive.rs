//! From the kernel to packets.
use netfast_buf::{Block, BlockPool, BufError, ChecksumState, PacketBatch, PacketPool, Skb};
use netfast_offload::virtio::{ByteOrder, HeaderForm, VirtioCodec, VirtioHeader};
use netfast_time::Instant;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::ring::Ring;
use super::slots::{Captured, Slots};
use super::{PacketSocket, system};
use crate::device::messages::{Extras, Inbox};
use crate::device::outgoing::ETHERNET_HEADER;
use crate::device::{DeviceCounters, DeviceError, DeviceReason, Received};

/// Bytes of a frame that is not copied whole that are: the headers that somebody will want to write.
const HEAD: usize = 256;

/// A frame of the ring that is longer refers to it, a shorter one is copied: to count references costs what 2 KiB do.
const PINNED: usize = 2_048;

/// Bytes after which it is time to go on with what was received: it is in the processor's cache yet.
const TURN_BYTES: u64 = 128 << 10;

/// Room for a super-packet and its headers.
const LONGEST: usize = 65_536 + 512;

/// Blocks that long frames are copied to, and how many idle ones are kept.
const LARGE_BLOCK: usize = 16_384;
const IDLE: usize = 64;

/// Link addresses, behind which a VLAN tag stands.
const ADDRESSES: usize = 12;

/// Where packets come from.
#[derive(Debug)]
pub(super) enum Source {
    Ring(Ring),
    Slots { slots: Slots, queue: Box<Queue> },
}

/// Frames that are longer than a slot.
#[derive(Debug)]
pub(super) struct Queue {
    inbox: Inbox,
    large: BlockPool,
    /// Bytes of the header of offloads.
    header: usize,
}

impl Source {
    pub(super) fn slots(slots: Slots, header: usize) -> Self {
        let inbox = Inbox::new(header + LONGEST, 1, Extras::default());
        let queue = Queue { inbox, large: BlockPool::new(LARGE_BLOCK, IDLE), header };
        Self::Slots { slots, queue: Box::new(queue) }
    }
}

/// What is known of a frame beside its bytes.
struct Told<'a> {
    header: &'a [u8],
    status: u32,
    tag: Option<[u8; 4]>,
    truncated: bool,
}

/// Where the bytes of a long frame may stay or go.
enum Long<'a, 'f> {
    Ring(&'a mut super::ring::Frame<'f>),
    Copy(&'a BlockPool),
}

impl PacketSocket {
    /// Gives on what has arrived, until the batch is full.
    pub(super) fn take(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        let had = batch.len();
        let mut taker =
            Taker { now, codec: self.codec.as_mut(), counters: &mut self.counters, batch: &mut *batch, pool };
        let found = match &mut self.source {
            Source::Ring(ring) => taker.ring(ring),
            Source::Slots { slots, queue } => taker.slots(slots, queue, self.socket.as_fd()),
        };
        // A ring tells nothing of the interface: what woke us may be an error that waits.
        if found == Received::Empty
            && batch.len() == had
            && let Ok(Some(error)) = system::take_error(self.socket.as_fd())
        {
            return self.answered(io::Error::from_raw_os_error(error));
        }
        Ok(found)
    }

    /// What an error of the socket means.
    fn answered(&mut self, error: io::Error) -> Result<Received, DeviceError> {
        match error.raw_os_error() {
            Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => {
                self.look()?;
                Ok(Received::Empty)
            }
            _ => Err(self.failed("recv", error)),
        }
    }
}

/// Puts frames into a batch.
struct Taker<'a> {
    now: Instant,
    codec: Option<&'a mut VirtioCodec>,
    counters: &'a mut DeviceCounters,
    batch: &'a mut PacketBatch,
    pool: &'a mut PacketPool,
}

impl Taker<'_> {
    fn ring(&mut self, ring: &mut Ring) -> Received {
        let enough = self.counters.received_bytes + TURN_BYTES;
        while !self.batch.is_full() && self.counters.received_bytes < enough {
            let Some(mut frame) = ring.next() else { return Received::Empty };
            let told = Told {
                header: frame.header,
                status: frame.status,
                tag: frame.tag,
                truncated: frame.truncated,
            };
            let bytes = frame.bytes;
            self.frame(bytes, &told, Long::Ring(&mut frame));
        }
        Received::More
    }

    fn slots(&mut self, slots: &mut Slots, queue: &mut Queue, socket: BorrowedFd<'_>) -> Received {
        let enough = self.counters.received_bytes + TURN_BYTES;
        while !self.batch.is_full() && self.counters.received_bytes < enough {
            let Some(Captured { bytes, header, truncated, status, tag }) = slots.next() else {
                return Received::Empty;
            };
            let mut told = Told { header, status, tag, truncated };
            if status & libc::TP_STATUS_COPY == 0 {
                self.frame(bytes, &told, Long::Copy(&queue.large));
                continue;
            }
            self.counters.system_calls += 1;
            // It is at the front of the queue: what is shorter does not get there.
            let Ok(1) = queue.inbox.receive(socket, 1) else {
                self.counters.drop_in(DeviceReason::Truncated);
                continue;
            };
            let message = queue.inbox.message(0);
            let (header, bytes) = message.bytes.split_at_checked(queue.header).unwrap_or((&[], &[]));
            (told.header, told.truncated) = (header, message.truncated);
            self.frame(bytes, &told, Long::Copy(&queue.large));
        }
        Received::More
    }

    /// Puts one frame into the batch, or counts why not.
    #[inline]
    fn frame(&mut self, bytes: &[u8], told: &Told<'_>, long: Long<'_, '_>) {
        let is_plain = told.tag.is_none() && told.header.iter().all(|byte| *byte == 0);
        let is_usual = bytes.len() >= ETHERNET_HEADER as usize && bytes.len() <= PINNED && !told.truncated;
        if is_plain && is_usual && told.status & libc::TP_STATUS_CSUMNOTREADY == 0 {
            let Ok(packet) = self.batch.push_slice(bytes, self.pool) else { return };
            packet.hot.timestamp = self.now;
        } else {
            match self.build(bytes, told, long) {
                Ok(packet) => drop(self.batch.push(packet)),
                Err(reason) => return self.counters.drop_in(reason),
            }
        }
        self.counters.received += 1;
        self.counters.received_bytes += (bytes.len() + told.tag.map_or(0, |tag| tag.len())) as u64;
    }

    #[inline(never)]
    fn build(&mut self, bytes: &[u8], told: &Told<'_>, long: Long<'_, '_>) -> Result<Skb, DeviceReason> {
        if told.truncated {
            return Err(DeviceReason::Truncated);
        }
        if bytes.len() < ETHERNET_HEADER as usize {
            return Err(DeviceReason::Malformed);
        }
        // With a tag the addresses are put before it, in the headroom.
        let begin = if told.tag.is_some() { ADDRESSES } else { 0 };
        let mut packet = self.stored(bytes, begin, long).map_err(|_| DeviceReason::Truncated)?;
        if let Some(tag) = told.tag {
            let place =
                packet.push((begin + tag.len()) as u32, self.pool).map_err(|_| DeviceReason::Truncated)?;
            place[..begin].copy_from_slice(&bytes[..begin]);
            place[begin..].copy_from_slice(&tag);
        }
        let marked = self.mark(&mut packet, told);
        packet.hot.timestamp = self.now;
        match marked {
            Ok(()) => Ok(packet),
            Err(reason) => {
                self.pool.recycle(packet);
                Err(reason)
            }
        }
    }

    /// The bytes from `begin` on: the headers copied, the rest of a long frame where it is, if it may stay there.
    fn stored(&mut self, bytes: &[u8], begin: usize, long: Long<'_, '_>) -> Result<Skb, BufError> {
        if bytes.len() <= PINNED {
            return Skb::from_slice(&bytes[begin..], self.pool);
        }
        let mut packet = Skb::from_slice(&bytes[begin..HEAD], self.pool)?;
        let large = match long {
            Long::Ring(frame) => {
                if let Some((block, offset)) = frame.block() {
                    packet.append_block(block, offset + HEAD, bytes.len() - HEAD, self.pool)?;
                    return Ok(packet);
                }
                None
            }
            Long::Copy(large) => Some(large),
        };
        for piece in bytes[HEAD..].chunks(LARGE_BLOCK) {
            let block = match large {
                Some(large) => {
                    let mut block = large.take();
                    block.bytes_mut()[..piece.len()].copy_from_slice(piece);
                    block.freeze()
                }
                None => Block::from(piece.to_vec()),
            };
            self.pool.copies.bytes += piece.len() as u64;
            packet.append_block(block, 0, piece.len(), self.pool)?;
        }
        Ok(packet)
    }

    /// Marks a packet as its header of offloads and its status say.
    fn mark(&mut self, packet: &mut Skb, told: &Told<'_>) -> Result<(), DeviceReason> {
        let Some(codec) = &mut self.codec else {
            // That it is not finished is all that is said: where the checksum is, its headers tell.
            if told.status & libc::TP_STATUS_CSUMNOTREADY != 0 {
                packet.hot.checksum = ChecksumState::Partial;
            }
            return Ok(());
        };
        let header = VirtioHeader::parse(told.header, HeaderForm::Short, ByteOrder::Native);
        let mut header = header.map_err(|_| DeviceReason::OffloadHeader)?;
        if told.tag.is_some() && header.has(VirtioHeader::NEEDS_CSUM) {
            // The kernel counts from the frame without its tag.
            header.csum_start = header.csum_start.saturating_add(4);
            header.hdr_len = header.hdr_len.saturating_add(4);
        }
        codec.mark(&header, packet, self.pool).map_err(|_| DeviceReason::OffloadHeader)
    }
}
