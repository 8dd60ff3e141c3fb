//! From the kernel to packets.
use std::io::IoSliceMut;
use std::os::fd::AsFd;

use netfast_buf::{BlockMut, BlockPool, Offsets, PacketBatch, PacketPool, Skb};
use netfast_time::Instant;
use rustix::io::{Errno, readv};

use super::{ETHERNET, Tun, TunKind};
use crate::device::{DeviceError, DeviceReason, Received};

/// Bytes of a packet that stand in memory of its own, in which headers can be written: what a small block of a
/// [`PacketPool`] has behind its headroom.
pub const HEAD: usize = 384;
/// Bytes behind those, for packets of a usual MTU.
pub const BLOCK: usize = 2_048;
/// Bytes of each further block, which only super-packets and jumbo frames reach. Smaller ones would waste less behind a
/// packet of some thousand bytes, but each piece more costs a long one two per cent of its way.
pub const LARGE_BLOCK: usize = 32_768;
/// What one block holds besides.
const SHORT: usize = HEAD + BLOCK;
/// With these the longest IP packet and a link and virtio header fit, and a byte more: who fills all was cut.
const LARGE_BLOCKS: usize = 2;
const LONG: usize = SHORT + LARGE_BLOCKS * LARGE_BLOCK;
const _: () = assert!(LONG > 65_535 + 18 + 12);

/// Bytes after which [`receive`](crate::device::Device::receive) returns: what is sent on next is still in the processor's
/// cache, and memory in flight is bounded.
pub const READ_BYTES: u64 = 256 << 10;

/// A tag of a frame (IEEE 802.1Q).
const VLAN: u32 = 4;

/// Idle blocks that wait for reuse: those of two turns.
const IDLE: usize = 2 * netfast_buf::BATCH_PACKETS;
const IDLE_LARGE: usize = 2 * READ_BYTES as usize / LARGE_BLOCK;

/// Ethertypes of what TUN carries.
pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;

/// Where the next packet is read to, behind its head.
pub(in crate::device) struct Slots {
    blocks: BlockPool,
    large: BlockPool,
    /// Blocks that are free, the next one first; they are not shared before they are filled.
    ready: [Option<BlockMut>; 1 + LARGE_BLOCKS],
}

impl Slots {
    pub fn new() -> Self {
        let (blocks, large) = (BlockPool::new(BLOCK, IDLE), BlockPool::new(LARGE_BLOCK, IDLE_LARGE));
        Self { blocks, large, ready: Default::default() }
    }

    /// Bytes that fit.
    pub const CAPACITY: usize = LONG;

    /// Reads one packet; its bytes as they came.
    pub fn read(&mut self, fd: &impl AsFd, pool: &mut PacketPool) -> Result<Skb, Errno> {
        self.read_up_to(Self::CAPACITY, fd, pool)
    }

    /// The same of a packet that may be known to be short: each piece more to read into costs the system some time.
    fn read_up_to(&mut self, most: usize, fd: &impl AsFd, pool: &mut PacketPool) -> Result<Skb, Errno> {
        let mut packet = Skb::new();
        let head = packet.push(HEAD as u32, pool).expect("far below what a packet holds");
        let mut slots = self.ready.iter_mut().enumerate().map(|(place, slot)| {
            let pool = if place == 0 { &self.blocks } else { &self.large };
            IoSliceMut::new(slot.get_or_insert_with(|| pool.take()).bytes_mut())
        });
        let mut next = || slots.next().unwrap_or_else(|| IoSliceMut::new(&mut []));
        let read = if most <= SHORT {
            readv(fd, &mut [IoSliceMut::new(head), next()])
        } else {
            readv(fd, &mut [IoSliceMut::new(head), next(), next(), next()])
        };
        match read {
            Ok(length) => {
                self.give(&mut packet, length, pool);
                Ok(packet)
            }
            Err(error) => {
                pool.recycle(packet);
                Err(error)
            }
        }
    }

    /// Makes a packet of so many bytes of the head and the blocks that hold them.
    fn give(&mut self, packet: &mut Skb, length: usize, pool: &mut PacketPool) {
        packet.trim(length.min(HEAD) as u32);
        packet.set_header_length(0, pool).expect("no bytes are needed");
        let mut left = length.saturating_sub(HEAD);
        for slot in &mut self.ready {
            let Some(block) = slot.take_if(|_| left > 0) else { break };
            let count = left.min(block.bytes().len());
            packet.append_block(block.freeze(), 0, count, pool).expect("within the block");
            left -= count;
        }
    }
}

impl Tun {
    /// Reads packets until the batch is full, nothing is left, or it is time to go on with them.
    pub(super) fn read(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        let Some(fd) = self.fd.as_ref() else { return Err(self.gone()) };
        // An MTU that has just grown is known a moment later.
        let short = self.codec.is_none() && (self.control.mtu + ETHERNET + VLAN) < SHORT as u32;
        let most = if short { SHORT } else { Slots::CAPACITY };
        let (mut bytes, mut calls) = (0, 0);
        let found = loop {
            if batch.is_full() || bytes >= READ_BYTES || calls >= 2 * netfast_buf::BATCH_PACKETS {
                break Ok(Received::More);
            }
            calls += 1;
            let mut packet = match self.slots.read_up_to(most, fd, pool) {
                Ok(packet) => packet,
                Err(Errno::AGAIN) => break Ok(Received::Empty),
                Err(Errno::INTR) => continue,
                Err(error) => break Err(error),
            };
            bytes += u64::from(packet.len());
            packet.hot.timestamp = now;
            if packet.len() as usize >= most {
                self.control.forget();
                self.counters.drop_in(DeviceReason::Truncated);
                pool.recycle(packet);
                continue;
            }
            match accept(packet, self.kind, self.codec.as_mut(), pool) {
                Ok(packet) => {
                    self.counters.received += 1;
                    self.counters.received_bytes += u64::from(packet.len());
                    batch.push(packet).expect("it is not full");
                }
                Err(Refusal(reason, packet)) => {
                    self.counters.drop_in(reason);
                    pool.recycle(packet);
                }
            }
        };
        self.counters.system_calls += calls as u64;
        found.map_err(|error| self.failed("readv", error.into()))
    }
}

/// A packet that is not taken, and why.
struct Refusal(DeviceReason, Skb);

/// Makes a frame of what was read.
#[expect(clippy::result_large_err, reason = "a packet that was refused gives its memory back")]
fn accept(
    mut packet: Skb,
    kind: TunKind,
    codec: Option<&mut netfast_offload::virtio::VirtioCodec>,
    pool: &mut PacketPool,
) -> Result<Skb, Refusal> {
    if let Some(codec) = codec {
        packet = codec
            .receive(packet, pool)
            .map_err(|refused| Refusal(DeviceReason::OffloadHeader, refused.packet))?;
    }
    match kind {
        TunKind::Tap if packet.len() >= ETHERNET => Ok(packet),
        TunKind::Tap => Err(Refusal(DeviceReason::Malformed, packet)),
        TunKind::Tun => with_link_header(packet, pool),
    }
}

/// Puts a link header with zero addresses before an IP packet.
#[expect(clippy::result_large_err, reason = "a packet that was refused gives its memory back")]
fn with_link_header(mut packet: Skb, pool: &mut PacketPool) -> Result<Skb, Refusal> {
    let ethertype = match packet.head().first().map(|first| first >> 4) {
        Some(4) => IPV4,
        Some(6) => IPV6,
        _ => return Err(Refusal(DeviceReason::Malformed, packet)),
    };
    let header = packet.push(ETHERNET, pool).expect("far below what a packet holds");
    header[12..].copy_from_slice(&ethertype.to_be_bytes());
    let outer = packet.hot.outer;
    if outer.l3().is_some() {
        packet.hot.outer = Offsets::new(Some(0), outer.l3(), outer.l4());
    }
    Ok(packet)
}
