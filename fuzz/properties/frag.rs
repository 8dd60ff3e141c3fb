//! Any fragments at any times: no packet is lost or comes from nowhere, memory is bounded, what is made whole can be cut into
//! fragments again, and honest datagrams come out as they were, whatever comes beside them in another context.
//!
//! The first two bytes set the reassembler up; then one operation after the other until the bytes are used up.
use netfast_buf::{Block, PacketPool, Skb};
use netfast_frag::{
    FragmentError, Outcome, OverlapPolicy, Reassembled, Reassembler, ReassemblyConfig, refragment,
};
use netfast_time::{Duration, Instant};
use netfast_wire::LinkType;

const MEMORY: usize = 1 << 18;
/// What the tables may have beside what waits.
const TABLES: usize = 1 << 20;
const HONEST: u32 = 1;
const HOSTILE: u32 = 0;

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn u8(&mut self) -> u8 {
        let (&first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        first
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }
}

struct World {
    reassembler: Reassembler,
    pool: PacketPool,
    now: Instant,
    policy: OverlapPolicy,
}

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (setup, policy) = (bytes.u8(), bytes.u8());
    // Nobody wants to see dropped ones: fragments that come in order are joined.
    let joins = policy & 0x80 != 0;
    let policy = OverlapPolicy::ALL[usize::from(policy) % OverlapPolicy::ALL.len()];
    let config = ReassemblyConfig {
        link: LinkType::RAW,
        seed: u64::from(setup),
        overlap: policy,
        overlap_ipv6: policy,
        max_datagrams: 32,
        max_memory: MEMORY,
        source_share: 1 + usize::from(setup & 3),
        max_fragments: if setup & 4 == 0 { 8_192 } else { 5 },
        max_tombstones: usize::from(setup >> 4),
        max_pairs: 8,
        max_events: 16,
        max_dropped: if joins { 0 } else { 4 },
        pin_large_blocks: setup & 8 != 0,
        report_completed: setup & 1 != 0,
        verify_checksum: setup & 2 != 0,
        ..ReassemblyConfig::default()
    };
    let mut world = World {
        reassembler: Reassembler::new(config),
        pool: PacketPool::default(),
        now: Instant::ZERO,
        policy,
    };
    while !bytes.0.is_empty() {
        world.step(&mut bytes);
    }
    while world.reassembler.poll_timeout(Instant::MAX, &mut world.pool).is_some() {}
    assert!(world.reassembler.is_empty());
    assert_eq!((world.reassembler.held_memory(), world.reassembler.counters().held), (0, 0));
    world.check();
}

impl World {
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let operation = bytes.u8();
        match operation & 7 {
            0 | 1 => {
                let (number, piece) = (bytes.u8(), bytes.u8());
                let packet = honest(number, piece);
                self.push(HONEST, packet, operation, Some(number));
            }
            2 | 3 => {
                let (number, piece, at, value) = (bytes.u8(), bytes.u8(), bytes.u8(), bytes.u8());
                let mut packet = honest(number, piece);
                let at = usize::from(at) % packet.len();
                packet[at] ^= value;
                if packet[0] >> 4 == 4 {
                    checksum(&mut packet);
                }
                self.push(HOSTILE, packet, operation, None);
            }
            4 => {
                let count = usize::from(bytes.u8());
                self.push(HOSTILE, bytes.take(count), operation, None);
            }
            5 => {
                let shift = u32::from(bytes.u8() % 64);
                let later = self.now.as_nanos().saturating_add(u64::from(bytes.u8()) << shift.min(40));
                self.now = if shift == 63 { Instant::ZERO } else { Instant::from_nanos(later) };
            }
            6 => self.poll(),
            _ => {
                let _ = self.reassembler.poll_event();
                let _ = self.reassembler.poll_dropped();
            }
        }
        self.check();
    }

    fn poll(&mut self) {
        let due = self.reassembler.next_timeout();
        let expired = self.reassembler.poll_timeout(self.now, &mut self.pool);
        if let Some(due) = due.filter(|due| *due <= self.now) {
            assert!(expired.is_some(), "nothing at {due}");
        }
    }

    /// `shape` says whether the packet stands in a block, a large one, or in pieces.
    fn push(&mut self, context: u32, packet: Vec<u8>, shape: u8, number: Option<u8>) {
        let mut skb = Skb::new();
        match shape >> 6 {
            0 => skb = Skb::from_slice(&packet, &mut self.pool).expect("short"),
            1 => {
                let mut block = packet.clone();
                block.resize(1 << 17, 0xee);
                skb = Skb::from_block(Block::from(block), 0, packet.len()).expect("in the block");
            }
            _ => {
                for piece in packet.chunks(usize::from(shape >> 3 & 7) * 8 + 1) {
                    let block = Block::from(piece.to_vec());
                    skb.append_block(block, 0, piece.len(), &mut self.pool).expect("short");
                }
            }
        }
        self.now += Duration::from_nanos(1_000);
        match self.reassembler.handle_packet(self.now, context, skb, &mut self.pool) {
            Outcome::NotFragment(same) => assert_eq!(same.to_vec(), packet),
            Outcome::Complete(made) => {
                if let Some(number) = number {
                    assert_eq!(made.packet.to_vec(), whole(number));
                }
                self.cut(made);
            }
            Outcome::Held | Outcome::Atomic(_) => {}
            Outcome::Dropped(dropped) => assert!(!dropped.packet.is_empty() || packet.is_empty()),
        }
    }

    /// A whole datagram is right by its own lengths, and comes together again from its fragments.
    fn cut(&mut self, mut made: Reassembled) {
        let expected = made.packet.to_vec();
        let mut fragments = Vec::new();
        match refragment(&mut made, u32::MAX, &mut self.pool, &mut fragments) {
            Ok(count) => assert_eq!(count, fragments.len()),
            // Fragments with other options than the first one's, or that policies resolved.
            Err(FragmentError::HeaderChain { .. } | FragmentError::MtuTooSmall { .. }) => return,
            Err(error) => panic!("{error}"),
        }
        let config = ReassemblyConfig { link: LinkType::RAW, ..ReassemblyConfig::default() };
        let mut again = Reassembler::new(config);
        let count = fragments.len();
        for (number, fragment) in fragments.into_iter().enumerate() {
            match again.handle_packet(self.now, 0, fragment, &mut self.pool) {
                Outcome::Held => {}
                Outcome::Complete(made) => {
                    assert_eq!(number + 1, count);
                    // Options that are not in each fragment are in the first, and the header may say "don't fragment".
                    assert_eq!(made.packet.to_vec(), expected);
                }
                // As where the header chain of a policy's mixture is not whole.
                _ => return,
            }
        }
    }

    fn check(&self) {
        let counters = self.reassembler.counters();
        assert!(counters.is_conserved(), "{counters:?}");
        assert!(self.reassembler.len() <= 32);
        assert!(self.reassembler.held_memory() <= MEMORY);
        assert!(self.reassembler.memory() <= MEMORY + TABLES, "{} bytes", self.reassembler.memory());
        assert!(self.reassembler.pairs() <= 32 + 16 + 8 + 1);
        assert!(self.reassembler.steps() <= counters.packets * 2_048, "{}", self.policy);
    }
}

/// The data of a datagram: its length and bytes follow from its number.
fn data(number: u8) -> Vec<u8> {
    (0..usize::from(number >> 1) * 24 + 17).map(|at| (at as u8).wrapping_mul(number | 1)).collect()
}

fn header(number: u8, len: usize, field: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, number, 0, 0, 64, 253, 0, 0, 10, 0, 0, number >> 4, 10, 0, 1, 1];
    packet[2..4].copy_from_slice(&((20 + len) as u16).to_be_bytes());
    packet[6..8].copy_from_slice(&field.to_be_bytes());
    checksum(&mut packet);
    packet
}

fn checksum(packet: &mut [u8]) {
    let len = (usize::from(packet[0] & 15) * 4).min(packet.len());
    if len >= 20 {
        packet[10..12].fill(0);
        let sum = netfast_wire::checksum::checksum(&packet[..len]).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
    }
}

fn ipv6(number: u8, next: u8, len: usize) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
    packet[4..6].copy_from_slice(&(len as u16).to_be_bytes());
    packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number >> 4]);
    packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    packet
}

/// Odd numbers are IPv6.
fn whole(number: u8) -> Vec<u8> {
    let data = data(number);
    let mut packet =
        if number & 1 == 0 { header(number, data.len(), 0) } else { ipv6(number, 253, data.len()) };
    packet.extend_from_slice(&data);
    packet
}

/// The data is cut into pieces of 8 to 64 bytes.
fn honest(number: u8, piece: u8) -> Vec<u8> {
    let (data, size) = (data(number), 8 + usize::from(number >> 5) * 8);
    let pieces = data.len().div_ceil(size);
    let start = usize::from(piece) % pieces * size;
    let end = (start + size).min(data.len());
    let more = u16::from(end < data.len());
    let mut packet = if number & 1 == 0 {
        header(number, end - start, more << 13 | (start / 8) as u16)
    } else {
        let mut packet = ipv6(number, 44, 8 + end - start);
        packet.extend_from_slice(&[253, 0]);
        packet.extend_from_slice(&(start as u16 | more).to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, number]);
        packet
    };
    packet.extend_from_slice(&data[start..end]);
    packet
}
