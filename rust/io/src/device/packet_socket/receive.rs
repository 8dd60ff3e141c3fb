//! From the kernel to packets.
use netfast_buf::{BATCH_PACKETS, BlockPool, BufError, ChecksumState, PacketBatch, PacketPool, Skb};
use netfast_offload::virtio::{ByteOrder, HeaderForm, SHORT_HEADER, VirtioCodec, VirtioHeader};
use netfast_time::Instant;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::blocks::Blocks;
use super::slots::{Captured, Slots};
use super::{PacketSocket, system};
use crate::device::outgoing::ETHERNET_HEADER;
use crate::device::tun::Slots as Reader;
use crate::device::{DeviceCounters, DeviceError, DeviceReason, Received};

/// Bytes of headers that somebody may want to write, of a long frame.
const HEAD: usize = 256;

/// A frame that is not longer, with headroom before it, fits the usual blocks of a pool.
const USUAL: usize = 1_900;

/// Bytes after which it is time to go on with what was received: it is in the processor's cache yet.
const TURN_BYTES: u64 = 128 << 10;

/// Frames that are looked at in one call: those that are dropped do not fill a batch, and whoever sends nothing else would
/// keep everybody else waiting.
const TURN_FRAMES: usize = 2 * BATCH_PACKETS;

/// Link addresses, behind which a VLAN tag stands.
const ADDRESSES: usize = 12;

/// Where packets come from.
pub(super) enum Source {
    Blocks(Blocks),
    Slots {
        slots: Slots,
        /// What reads frames that are longer than a slot.
        reader: Box<Reader>,
        /// Bytes of the header of offloads.
        header: u32,
    },
}

impl Source {
    pub(super) fn slots(slots: Slots, header: usize) -> Self {
        Self::Slots { slots, reader: Box::new(Reader::new()), header: header as u32 }
    }
}

/// What is known of a frame beside its bytes.
#[derive(Clone, Copy)]
struct Told<'a> {
    header: &'a [u8],
    status: u32,
    tag: Option<[u8; 4]>,
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
        let mut taker = Taker {
            now,
            codec: self.codec.as_mut(),
            counters: &mut self.counters,
            batch: &mut *batch,
            pool,
            large: &self.large,
        };
        let found = match &mut self.source {
            Source::Blocks(blocks) => taker.blocks(blocks),
            Source::Slots { slots, reader, header } => {
                taker.slots(slots, reader, *header, self.socket.as_fd())
            }
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
    large: &'a BlockPool,
}

impl Taker<'_> {
    fn blocks(&mut self, blocks: &mut Blocks) -> Received {
        let enough = self.counters.received_bytes + TURN_BYTES;
        for _ in 0..TURN_FRAMES {
            if self.batch.is_full() || self.counters.received_bytes >= enough {
                break;
            }
            let Some(captured) = blocks.next() else { return Received::Empty };
            self.frame(&captured);
        }
        Received::More
    }

    fn slots(
        &mut self,
        slots: &mut Slots,
        reader: &mut Reader,
        header: u32,
        socket: BorrowedFd<'_>,
    ) -> Received {
        let enough = self.counters.received_bytes + TURN_BYTES;
        for _ in 0..TURN_FRAMES {
            if self.batch.is_full() || self.counters.received_bytes >= enough {
                break;
            }
            let Some(captured) = slots.next() else { return Received::Empty };
            if captured.status & libc::TP_STATUS_COPY == 0 {
                self.frame(&captured);
                continue;
            }
            let Captured { header: offloads, status, tag, length, .. } = captured;
            let told = Told { header: offloads, status, tag };
            let read = self.read(reader, socket, header + length);
            match read.and_then(|packet| self.whole(packet, header, &told)) {
                Ok(packet) => self.give(packet),
                Err(reason) => self.counters.drop_in(reason),
            }
        }
        Received::More
    }

    /// Reads the frame at the front of the queue, which has so many bytes; what is shorter than a slot does not get there.
    fn read(
        &mut self,
        reader: &mut Reader,
        socket: BorrowedFd<'_>,
        length: u32,
    ) -> Result<Skb, DeviceReason> {
        let mut errors = 0;
        while errors < 3 {
            self.counters.system_calls += 1;
            let packet = match reader.read(&socket, self.pool) {
                Ok(packet) => packet,
                Err(Errno::AGAIN) => break,
                // What waited at the socket, such as that the interface went down; the frame is there yet.
                Err(_) => {
                    errors += 1;
                    continue;
                }
            };
            let is_cut = packet.len() as usize >= Reader::CAPACITY;
            if packet.len() == length && !is_cut {
                return Ok(packet);
            }
            self.pool.recycle(packet);
            if is_cut {
                break;
            }
            // Not the one that the slot announced, which then comes after it.
            self.counters.drop_in(DeviceReason::Truncated);
        }
        Err(DeviceReason::Truncated)
    }

    /// Makes a frame of what was read.
    fn whole(&mut self, mut packet: Skb, header: u32, told: &Told<'_>) -> Result<Skb, DeviceReason> {
        let mut offloads = [0; SHORT_HEADER];
        let offloads = &mut offloads[..header as usize];
        let mut addresses = [0; ADDRESSES];
        let read = packet.read(0, offloads).and_then(|()| packet.pop(header));
        read.and_then(|()| packet.read(0, &mut addresses)).map_err(|_| DeviceReason::Malformed)?;
        if let Some(tag) = told.tag {
            packet.pop(ADDRESSES as u32).map_err(|_| DeviceReason::Malformed)?;
            self.put_back(&mut packet, &addresses, tag)?;
        }
        self.mark(packet, &Told { header: offloads, ..*told })
    }

    fn give(&mut self, packet: Skb) {
        self.counters.received += 1;
        self.counters.received_bytes += u64::from(packet.len());
        drop(self.batch.push(packet));
    }

    /// Puts one frame into the batch, or counts why not.
    #[inline]
    fn frame(&mut self, captured: &Captured<'_>) {
        let bytes = captured.bytes;
        let is_plain = captured.tag.is_none() && captured.header.iter().all(|byte| *byte == 0);
        let is_usual = bytes.len() >= ETHERNET_HEADER as usize && bytes.len() <= USUAL;
        let is_whole = bytes.len() >= captured.length as usize;
        if is_plain && is_usual && is_whole && captured.status & libc::TP_STATUS_CSUMNOTREADY == 0 {
            let Ok(packet) = self.batch.push_slice(bytes, self.pool) else { return };
            packet.hot.timestamp = self.now;
            self.counters.received += 1;
            self.counters.received_bytes += bytes.len() as u64;
            return;
        }
        let built = if is_whole { self.build(captured) } else { Err(DeviceReason::Truncated) };
        match built {
            Ok(packet) => self.give(packet),
            Err(reason) => self.counters.drop_in(reason),
        }
    }

    #[inline(never)]
    fn build(&mut self, captured: &Captured<'_>) -> Result<Skb, DeviceReason> {
        let Captured { bytes, header, status, tag, .. } = *captured;
        if bytes.len() < ETHERNET_HEADER as usize {
            return Err(DeviceReason::Malformed);
        }
        // With a tag the addresses are put before it, in the headroom.
        let begin = if tag.is_some() { ADDRESSES } else { 0 };
        let mut packet = self.copied(&bytes[begin..]).map_err(|_| DeviceReason::Truncated)?;
        if let Some(tag) = tag {
            self.put_back(&mut packet, &bytes[..begin], tag)?;
        }
        self.mark(packet, &Told { header, status, tag })
    }

    /// Puts a tag before a frame without addresses, and those before it.
    fn put_back(&mut self, packet: &mut Skb, addresses: &[u8], tag: [u8; 4]) -> Result<(), DeviceReason> {
        let length = (addresses.len() + tag.len()) as u32;
        let place = packet.push(length, self.pool).map_err(|_| DeviceReason::Truncated)?;
        place[..addresses.len()].copy_from_slice(addresses);
        place[addresses.len()..].copy_from_slice(&tag);
        Ok(())
    }

    /// A packet with these bytes: of a long one the headers in memory that can be written, the rest in large blocks.
    fn copied(&mut self, bytes: &[u8]) -> Result<Skb, BufError> {
        if bytes.len() <= USUAL {
            return Skb::from_slice(bytes, self.pool);
        }
        let (head, rest) = bytes.split_at(HEAD);
        let mut packet = Skb::from_slice(head, self.pool)?;
        for piece in rest.chunks(self.large.block_size()) {
            let mut block = self.large.take();
            block.bytes_mut()[..piece.len()].copy_from_slice(piece);
            self.pool.copies.bytes += piece.len() as u64;
            packet.append_block(block.freeze(), 0, piece.len(), self.pool)?;
        }
        Ok(packet)
    }

    /// Marks a packet as its header of offloads and its status say.
    fn mark(&mut self, mut packet: Skb, told: &Told<'_>) -> Result<Skb, DeviceReason> {
        packet.hot.timestamp = self.now;
        let Some(codec) = &mut self.codec else {
            // That it is not finished is all that is said: where the checksum is, its headers tell.
            if told.status & libc::TP_STATUS_CSUMNOTREADY != 0 {
                packet.hot.checksum = ChecksumState::Partial;
            }
            return Ok(packet);
        };
        let header = VirtioHeader::parse(told.header, HeaderForm::Short, ByteOrder::Native);
        let marked = header.and_then(|mut header| {
            if told.tag.is_some() && header.has(VirtioHeader::NEEDS_CSUM) {
                // The kernel counts from the frame without its tag.
                header.csum_start = header.csum_start.saturating_add(4);
                header.hdr_len = header.hdr_len.saturating_add(4);
            }
            codec.mark(&header, &mut packet, self.pool)
        });
        if marked.is_ok() {
            return Ok(packet);
        }
        self.pool.recycle(packet);
        Err(DeviceReason::OffloadHeader)
    }
}
