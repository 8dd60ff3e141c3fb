//! The packet against the obvious: a vector of bytes. Packets that share bytes must not see each other's changes.
use netfast_buf::{
    BATCH_PACKETS, Block, BlockPool, BufError, HEADROOM, MAX_SEGMENTS, Offsets, POOL_BLOCKS, PacketBatch,
    PacketPool, Skb,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Operation {
    Push(u8),
    Pop(u16),
    Trim(u16),
    Append(u8),
    AppendPacket(u8),
    Split(u16),
    Duplicate,
    Write(u16, u8),
    Pull(u16),
    Headers(u16),
    Linearise,
    Pin,
    Drop,
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        any::<u8>().prop_map(Push),
        any::<u16>().prop_map(Pop),
        any::<u16>().prop_map(Trim),
        any::<u8>().prop_map(Append),
        any::<u8>().prop_map(Append),
        any::<u8>().prop_map(Append),
        any::<u8>().prop_map(AppendPacket),
        any::<u16>().prop_map(Split),
        Just(Duplicate),
        (any::<u16>(), any::<u8>()).prop_map(|(at, value)| Write(at, value)),
        any::<u16>().prop_map(Pull),
        any::<u16>().prop_map(Headers),
        Just(Linearise),
        Just(Pin),
        Just(Drop),
    ]
}

/// A packet, what it must hold, and what was pinned of it.
struct Subject {
    packet: Skb,
    bytes: Vec<u8>,
    pins: Vec<(Block, usize, usize, Vec<u8>)>,
}

struct World {
    subjects: Vec<Subject>,
    pool: PacketPool,
    block: Block,
}

fn part(at: u16, length: usize) -> u32 {
    (usize::from(at) % (length + 1)) as u32
}

impl World {
    fn new(pool: PacketPool) -> Self {
        let block = Block::from((0..=255).collect::<Vec<u8>>());
        let mut world = Self { subjects: Vec::new(), pool, block };
        world.start();
        world
    }

    fn start(&mut self) {
        let packet = Skb::from_block(self.block.clone(), 50, 100).unwrap();
        self.subjects.push(Subject { packet, bytes: (50..150).collect(), pins: Vec::new() });
    }

    fn apply(&mut self, which: usize, operation: &Operation) {
        let (index, several) = (which % self.subjects.len(), self.subjects.len() > 1);
        let Subject { packet, bytes, pins } = &mut self.subjects[index];
        let pool = &mut self.pool;
        match *operation {
            Operation::Push(count) => {
                let pushed = packet.push(u32::from(count), pool).unwrap();
                assert!(pushed.iter().all(|&byte| byte == 0) && pushed.len() == usize::from(count));
                pushed.fill(count);
                bytes.splice(..0, std::iter::repeat_n(count, count.into()));
            }
            Operation::Pop(count) => {
                let count = part(count, bytes.len());
                packet.pop(count).unwrap();
                bytes.drain(..count as usize);
            }
            Operation::Trim(to) => {
                packet.trim(u32::from(to));
                bytes.truncate(to.into());
            }
            Operation::Append(count) => {
                packet.append_block(self.block.clone(), 0, count.into(), pool).unwrap();
                bytes.extend(0..count);
            }
            Operation::AppendPacket(which) if several => {
                let mut other = self.subjects.remove(usize::from(which) % self.subjects.len());
                let into = index % self.subjects.len();
                let Subject { packet, bytes, .. } = &mut self.subjects[into];
                packet.append(&mut other.packet, pool).unwrap();
                assert!(other.packet.is_empty() && other.packet.to_vec().is_empty());
                bytes.extend(other.bytes);
            }
            Operation::AppendPacket(_) | Operation::Drop => {
                let ended = self.subjects.remove(index);
                self.pool.recycle(ended.packet);
                self.start();
            }
            Operation::Split(at) => {
                let at = part(at, bytes.len());
                let packet = packet.split(at).unwrap();
                let bytes = bytes.split_off(at as usize);
                self.subjects.push(Subject { packet, bytes, pins: Vec::new() });
            }
            Operation::Duplicate => {
                let (packet, bytes) = (packet.duplicate(pool), bytes.clone());
                self.subjects.push(Subject { packet, bytes, pins: Vec::new() });
            }
            Operation::Write(length, value) => {
                let length = part(length, bytes.len());
                packet.head_mut(length, pool).unwrap().fill(value);
                bytes[..length as usize].fill(value);
            }
            Operation::Pull(length) => packet.pull(part(length, bytes.len()), pool).unwrap(),
            Operation::Headers(length) => packet.set_header_length(part(length, bytes.len()), pool).unwrap(),
            Operation::Linearise => {
                packet.linearise(pool);
                assert!(packet.segments().len() <= 1);
            }
            Operation::Pin => {
                let pinned: Vec<_> = packet.pin().collect();
                let segments = packet.segments().map(<[u8]>::to_vec);
                pins.extend(
                    pinned.into_iter().zip(segments).map(|((block, at, len), bytes)| (block, at, len, bytes)),
                );
                pins.truncate(8);
            }
        }
        self.subjects.truncate(12);
    }

    fn check(&self) {
        for Subject { packet, bytes, pins } in &self.subjects {
            assert_eq!(&packet.to_vec(), bytes);
            assert_eq!(packet.len() as usize, bytes.len());
            assert!(packet.segments().len() <= MAX_SEGMENTS);
            assert!(
                packet.header_length() as usize <= packet.head().len(),
                "all headers are in the first segment"
            );
            let middle = bytes.len() / 3;
            let mut read = vec![0; bytes.len() - middle];
            packet.read(middle as u32, &mut read).unwrap();
            assert_eq!(read, bytes[middle..]);
            for (block, at, length, seen) in pins {
                assert_eq!(&block.bytes()[*at..at + length], seen, "what is pinned never changes");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn packets_agree_with_vectors(operations in prop::collection::vec((any::<usize>(), operation()), 1..120)) {
        // Memory of packets that do not fit a small block is of another kind in each.
        for pool in [PacketPool::new(BlockPool::new(512, 8)), PacketPool::default()] {
            let mut world = World::new(pool);
            for (which, operation) in &operations {
                world.apply(*which, operation);
                world.check();
            }
        }
    }
}

fn captured(pool: &mut PacketPool) -> (Block, Skb) {
    let block = Block::from(vec![7; 1_500]);
    let mut packet = Skb::from_block(block.clone(), 100, 1_400).unwrap();
    packet.set_header_length(54, pool).unwrap();
    packet.hot.outer = Offsets::new(Some(0), Some(14), Some(34));
    (block, packet)
}

#[test]
fn a_captured_packet_pins_its_block_and_copies_nothing() {
    let mut pool = PacketPool::default();
    let (block, packet) = captured(&mut pool);
    assert!(!block.is_unique());
    assert!(std::ptr::eq(packet.head(), &raw const block.bytes()[100..1_500]));
    assert_eq!(pool.copies, Default::default());
    drop(packet);
    assert!(block.is_unique());
}

#[test]
fn only_the_headers_of_a_changed_packet_are_copied() {
    let mut pool = PacketPool::default();
    let (block, mut packet) = captured(&mut pool);
    packet.head_mut(20, &mut pool).unwrap()[0] = 1;
    assert_eq!((pool.copies.bytes, pool.copies.events, pool.copies.unshares), (54, 1, 1));
    assert!(std::ptr::eq(packet.segments().nth(1).unwrap(), &raw const block.bytes()[154..1_500]));
    packet.head_mut(54, &mut pool).unwrap()[53] = 1;
    assert_eq!(packet.headroom(), HEADROOM);
    packet.push(HEADROOM, &mut pool).unwrap().fill(2);
    assert_eq!(
        (pool.copies.bytes, packet.segments().len(), packet.headroom()),
        (54, 2, 0),
        "no copy any more"
    );
    assert_eq!((packet.header_length(), packet.hot.outer.l4()), (54 + HEADROOM, Some(34 + HEADROOM)));
    packet.push(1, &mut pool).unwrap();
    assert_eq!(pool.copies.bytes, 54 + 54 + u64::from(HEADROOM), "the headroom was used up");
    assert_eq!(block.bytes(), [7; 1_500]);
}

#[test]
fn a_pushed_header_and_the_old_ones_stand_in_the_first_segment() {
    let mut pool = PacketPool::default();
    let (_, mut packet) = captured(&mut pool);
    packet.push(40, &mut pool).unwrap().fill(9);
    assert_eq!((packet.head().len(), packet.header_length(), packet.segments().len()), (94, 94, 2));
    packet.pop(54).unwrap();
    assert_eq!((packet.header_length(), packet.hot.outer.l2(), packet.hot.outer.l4()), (40, None, Some(20)));
}

#[test]
fn a_duplicate_is_counted_and_a_change_does_not_reach_it() {
    let mut pool = PacketPool::default();
    let mut packet = Skb::from_slice(&[1; 100], &mut pool).unwrap();
    let copied = pool.copies.bytes;
    let twin = packet.duplicate(&mut pool);
    assert_eq!((pool.copies.clones, pool.copies.bytes, packet.headroom()), (1, copied, 0));
    packet.head_mut(1, &mut pool).unwrap()[0] = 2;
    assert_eq!((packet.head()[0], twin.head()[0]), (2, 1));
    assert_eq!((packet.headroom(), twin.headroom()), (HEADROOM, 0), "what was shared stays read-only");
}

#[test]
fn more_than_64_pieces_become_one_and_that_is_counted() {
    let mut pool = PacketPool::default();
    let block = Block::from(vec![5; 10]);
    let mut packet = Skb::new();
    for pieces in 1..=MAX_SEGMENTS {
        packet.append_block(block.clone(), 0, 10, &mut pool).unwrap();
        assert_eq!(packet.segments().len(), pieces);
    }
    assert_eq!(pool.copies.events, 0);
    packet.append_block(block, 0, 10, &mut pool).unwrap();
    assert_eq!((packet.segments().len(), pool.copies.linearised, pool.copies.bytes), (1, 1, 650));
    assert_eq!(packet.to_vec(), [5; 650]);
}

#[test]
fn lengths_that_cannot_be_are_errors() {
    let mut pool = PacketPool::default();
    let block = Block::from(vec![0; 10]);
    for (offset, length) in [(0, 11), (11, 0), (5, 6), (usize::MAX, 2), (1, usize::MAX)] {
        let error = Skb::from_block(block.clone(), offset, length).unwrap_err();
        assert_eq!(error, BufError::OutOfBlock { offset, length, have: 10 });
    }
    let mut packet = Skb::from_block(block, 0, 10).unwrap();
    let short = BufError::TooShort { need: 11, have: 10 };
    assert_eq!(packet.pop(11), Err(short));
    assert_eq!(packet.pull(11, &mut pool), Err(short));
    assert_eq!(packet.head_mut(11, &mut pool).unwrap_err(), short);
    assert_eq!(packet.split(11).unwrap_err(), short);
    assert_eq!(packet.read(1, &mut [0; 10]), Err(short));
    let too_long = BufError::TooLong { length: 10, more: u32::MAX as usize - 10 };
    assert_eq!(packet.push(u32::MAX - 10, &mut pool).unwrap_err(), too_long);
    assert_eq!(packet.to_vec(), [0; 10]);
}

#[test]
fn recycled_memory_is_used_again_unless_somebody_else_refers_to_it() {
    let mut pool = PacketPool::default();
    let packet = Skb::from_slice(&[1; 64], &mut pool).unwrap();
    let memory = packet.head().as_ptr();
    pool.recycle(packet);
    assert_eq!(pool.waiting(), 1);
    let mut packet = Skb::from_slice(&[2; 300], &mut pool).unwrap();
    assert_eq!((packet.head().as_ptr(), pool.waiting()), (memory, 0));
    let twin = packet.duplicate(&mut pool);
    pool.recycle(packet);
    assert_eq!((pool.waiting(), twin.to_vec()), (0, vec![2; 300]));
    // Of a size that no packet of this pool asks for: let go.
    let huge = Skb::from_slice(&[3; 9_000], &mut pool).unwrap();
    pool.recycle(huge);
    assert_eq!(pool.waiting(), 0);
}

#[test]
fn waiting_memory_is_bounded_and_large_blocks_return_to_the_block_pool() {
    let blocks = BlockPool::new(2_048, 8);
    let mut pool = PacketPool::new(blocks.clone());
    for length in [64, 1_500] {
        let packets: Vec<_> =
            (0..POOL_BLOCKS + 3).map(|_| Skb::from_slice(&vec![0; length], &mut pool).unwrap()).collect();
        packets.into_iter().for_each(|packet| pool.recycle(packet));
    }
    assert_eq!((pool.waiting(), blocks.idle()), (2 * POOL_BLOCKS, 3));
    assert_eq!(pool.clone().waiting(), 0);
    drop(pool);
    assert_eq!(blocks.idle(), 8);
    let mut pool = PacketPool::default();
    for length in [64, 385, 1_920, 1_921] {
        let packets: Vec<_> =
            (0..POOL_BLOCKS / 2 + 3).map(|_| Skb::from_slice(&vec![0; length], &mut pool).unwrap()).collect();
        packets.into_iter().for_each(|packet| pool.recycle(packet));
    }
    // Usual blocks wait for the lengths between, in one list; longer ones are let go.
    assert_eq!(pool.waiting(), 2 * (POOL_BLOCKS / 2 + 3));
    let packets: Vec<_> =
        (0..POOL_BLOCKS + 3).map(|_| Skb::from_slice(&[0; 1_500], &mut pool).unwrap()).collect();
    packets.into_iter().for_each(|packet| pool.recycle(packet));
    assert_eq!(pool.waiting(), POOL_BLOCKS / 2 + 3 + POOL_BLOCKS);
}

#[test]
fn a_batch_is_recycled_whole() {
    let (mut pool, mut batch) = (PacketPool::default(), PacketBatch::new());
    for length in [0, 64, 384, 385, 1_500] {
        let packet = batch.push_slice(&vec![4; length], &mut pool).unwrap();
        assert_eq!((packet.to_vec(), packet.headroom()), (vec![4; length], HEADROOM));
    }
    pool.recycle_batch(&mut batch);
    assert_eq!((batch.len(), pool.waiting()), (0, 5));
    let mut list = Vec::new();
    assert!(batch.push_slice(&[5; 64], &mut pool).is_ok());
    batch.hand_over(&mut list);
    assert!(batch.push_slice(&[6; 600], &mut pool).is_ok());
    batch.hand_over(&mut list);
    assert_eq!((list.len(), list[1].len(), batch.len(), pool.waiting()), (2, 600, 0, 3));
    pool.recycle_all(&mut list);
    assert_eq!((list.len(), pool.waiting()), (0, 5));
    (0..BATCH_PACKETS).for_each(|_| assert!(batch.push_slice(&[1], &mut pool).is_ok()));
    assert_eq!(batch.push_slice(&[1], &mut pool).unwrap_err(), BufError::BatchFull);
}

#[test]
fn bytes_of_every_length_are_copied_whole() {
    let mut pool = PacketPool::default();
    let bytes: Vec<u8> = (0..=255).cycle().take(400).collect();
    for length in 0..bytes.len() {
        let packet = Skb::from_slice(&bytes[1..][..length], &mut pool).unwrap();
        assert_eq!(packet.to_vec(), bytes[1..][..length]);
        pool.recycle(packet);
    }
}

#[test]
fn packets_of_one_two_and_many_pieces_let_go_of_all() {
    let mut pool = PacketPool::default();
    for pieces in 1..6 {
        let block = Block::from(vec![8; 100]);
        let pieced = |pool: &mut PacketPool| {
            let mut packet = Skb::new();
            (0..pieces).for_each(|at| packet.append_block(block.clone(), at, 20, pool).unwrap());
            packet.push(14, pool).unwrap();
            packet
        };
        let mut taken = pieced(&mut pool);
        let (moved, dropped) = (std::mem::take(&mut taken), pieced(&mut pool));
        assert_eq!((taken.segments().len(), moved.segments().len()), (0, pieces + 1));
        assert!(!block.is_unique());
        drop(dropped);
        pool.recycle_all(&mut vec![taken, moved]);
        assert!(block.is_unique() && pool.waiting() == 1);
    }
}

#[test]
fn headers_are_told_and_written_in_one_go() {
    let mut pool = PacketPool::default();
    let owned = |length: usize, pool: &mut PacketPool| Skb::from_slice(&vec![1; length], pool).unwrap();
    let (block, captured) = captured(&mut pool);
    for (mut packet, unshared) in [(owned(64, &mut pool), 0), (owned(1_500, &mut pool), 0), (captured, 1)] {
        let before = pool.copies.unshares;
        let headers = packet.headers_mut(60, &mut pool).unwrap();
        assert_eq!(headers.len(), 60);
        headers.fill(2);
        assert_eq!((packet.header_length(), &packet.to_vec()[..60]), (60, &[2; 60][..]));
        assert_eq!(pool.copies.unshares - before, unshared);
        let (need, have) = (packet.len() + 1, packet.len());
        assert_eq!(packet.headers_mut(need, &mut pool).unwrap_err(), BufError::TooShort { need, have });
        assert_eq!(packet.header_length(), 60);
    }
    assert_eq!(block.bytes(), [7; 1_500]);
}
