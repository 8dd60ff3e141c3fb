//! Programs: what is done with each packet of one way of a connection, written once and shared by content.
use crate::port::{Mac, PortId};
use crate::reason::DropReason;
use hashbrown::HashTable;
use netfast_filter::outcome::{Asked, BaseId, CounterId, RuleId, RuleStep};
use netfast_flow::cache::NONE;
use netfast_low::hash::Seed;
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hash, Hasher};

/// The most that a program's Ethernet header has: addresses, a tag, the type.
pub(crate) const ETHERNET_MAX: usize = 18;

/// Where in the packet's way a step stands: which addresses and which hop limit its rule sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Before destination translation.
    Arrived,
    /// Behind destination translation.
    Translated,
    /// For the node itself.
    Input,
    /// Routed; hop limit counted down.
    Forwarded,
    /// Likewise, and the source is translated.
    Leaving,
}

/// Something to do for each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    pub base: BaseId,
    pub stage: Stage,
    pub what: What,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// A rule, or a part of one.
    Rule(RuleStep),
    /// The packet came to the end of a base chain, which is a drop.
    Drop(Option<RuleId>),
}

/// What dropped a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum By {
    /// A rule.
    Rule(RuleId),
    /// The policy of a base chain.
    Policy(BaseId),
}

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// Out by a port, behind this Ethernet header.
    Output {
        port: PortId,
        wire: PortId,
        mtu: u32,
        /// The slot of the neighbour that it goes to, or [`NONE`].
        neighbour: u32,
        length: u8,
        ethernet: [u8; ETHERNET_MAX],
    },
    /// To the node itself.
    Deliver,
    /// Dropped by a rule or policy.
    Drop {
        reason: DropReason,
        by: Option<By>,
        /// Behind routing: the port that it would leave by, and the MTU. What is longer, or has no hop left, ends before.
        beyond: Option<(PortId, u32)>,
    },
    /// The rules have to be walked for each packet.
    Walk,
}

impl End {
    /// True when `size` IP octets with this hop limit take the end's way: behind routing what is longer than the MTU, or has no hop
    /// left, ends before.
    #[inline]
    pub fn fits(&self, hop_limit: u8, size: u32) -> bool {
        match *self {
            Self::Output { mtu, .. } | Self::Drop { beyond: Some((_, mtu)), .. } => {
                size <= mtu && hop_limit > 1
            }
            Self::Deliver | Self::Drop { beyond: None, .. } | Self::Walk => true,
        }
    }
}

/// A program, as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Program {
    /// The port that packets of this way come from.
    pub in_port: PortId,
    /// Steps in order; empty for most programs.
    pub steps: SmallVec<[Step; 1]>,
    /// Counters that count every packet of the way, and rules that each one comes to the end of: they are not steps, the
    /// program counts for them.
    pub counters: SmallVec<[CounterId; 4]>,
    pub hits: SmallVec<[RuleId; 4]>,
    /// Addresses and ports are rewritten to those of the connection's other key.
    pub translate: bool,
    pub end: End,
    /// The packet's mark at the end.
    pub mark: u32,
    /// What the walk asked of the connection: a change of it makes the program void.
    pub asked: Asked,
    /// Base chains that were walked, by their bits: a change of one makes the program void.
    pub chains: u64,
}

/// What the fast path reads of a program: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Slot {
    /// Packets that its counters have not been told yet. Their bytes stand apart, so that each is one addition to memory.
    pub packets: u64,
    /// Where packets come from and where they leave, side by side for one comparison.
    pub ports: [PortId; 2],
    pub bytes: u64,
    /// The longest packet; 0 when the program has steps or does not end with an Ethernet header of 14 bytes, so that none
    /// fits.
    pub mtu: u32,
    pub wire: PortId,
    /// Ways of connections that use it.
    users: u32,
    /// The slot of the neighbour that its packets go to, or [`NONE`].
    neighbour: u32,
    /// The lowest bits of `packets` when that was looked at last.
    seen: u32,
    pub ethernet: [u8; 14],
    pub translate: bool,
    /// Packets were counted and taken since that was looked at last.
    was_used: bool,
}

const _: () = assert!(size_of::<Slot>() == 64);

impl Slot {
    fn new(program: &Program) -> Self {
        let mut slot = Self {
            packets: 0,
            ports: [program.in_port, 0],
            bytes: 0,
            mtu: 0,
            wire: 0,
            users: 1,
            neighbour: NONE,
            seen: 0,
            ethernet: [0; 14],
            translate: program.translate,
            was_used: false,
        };
        if let End::Output { neighbour, .. } = program.end {
            slot.neighbour = neighbour;
        }
        if let End::Output { port, wire, mtu, length: 14, ethernet, .. } = &program.end {
            (slot.ports[1], slot.wire) = (*port, *wire);
            slot.mtu = if program.steps.is_empty() { *mtu } else { 0 };
            slot.ethernet.copy_from_slice(&ethernet[..14]);
        }
        slot
    }
}

/// All programs of a node, each once.
#[derive(Debug)]
pub(crate) struct Programs {
    slots: Vec<Slot>,
    programs: Vec<Program>,
    free: Vec<u32>,
    table: HashTable<u32>,
    hasher: Hashing,
    limit: usize,
    /// Programs that had no room: their packets walk the tables each time.
    pub refused: u64,
}

/// A keyed hash over words, for content that strangers' packets choose.
#[derive(Clone, Copy, Debug)]
struct Hashing(Seed);

struct Words {
    seed: Seed,
    state: u64,
}

impl BuildHasher for Hashing {
    type Hasher = Words;

    fn build_hasher(&self) -> Words {
        Words { seed: self.0, state: 0 }
    }
}

impl Hasher for Words {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(32) {
            let mut words = [0u8; 32];
            words[..chunk.len()].copy_from_slice(chunk);
            let word =
                |at: usize| u64::from_le_bytes(*words[at * 8..].first_chunk::<8>().expect("four words"));
            self.state =
                self.seed.hash5(&[self.state, word(0), word(1), word(2), word(3) ^ chunk.len() as u64]);
        }
    }
}

impl Programs {
    pub fn new(seed: u64, limit: usize) -> Self {
        let hasher = Hashing(Seed::new(seed ^ 0x70_72_6f_67));
        Self {
            slots: Vec::new(),
            programs: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            hasher,
            limit,
            refused: 0,
        }
    }

    /// The id of a program, which has one user more; [`NONE`] when there is no room for another one.
    pub fn intern(&mut self, program: &Program) -> u32 {
        let hash = self.hasher.hash_one(program);
        if let Some(&id) = self.table.find(hash, |&id| self.programs[id as usize] == *program) {
            self.slots[id as usize].users += 1;
            return id;
        }
        if self.slots.len() - self.free.len() >= self.limit {
            self.refused += 1;
            return NONE;
        }
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = Slot::new(program);
                self.programs[id as usize] = program.clone();
                id
            }
            None => {
                self.slots.push(Slot::new(program));
                self.programs.push(program.clone());
                (self.slots.len() - 1) as u32
            }
        };
        let (programs, hasher) = (&self.programs, self.hasher);
        self.table.insert_unique(hash, id, |&id| hasher.hash_one(&programs[id as usize]));
        id
    }

    /// One user more of a program that has some.
    pub fn share(&mut self, id: u32) {
        if let Some(slot) = self.slots.get_mut(id as usize) {
            slot.users += 1;
        }
    }

    /// One user less; gives the program, and what its counters have not been told, when that was the last.
    pub fn release(&mut self, id: u32) -> Option<(&Program, u64, u64)> {
        let slot = self.slots.get_mut(id as usize)?;
        slot.users -= 1;
        if slot.users > 0 {
            return None;
        }
        let (packets, bytes) = (slot.packets, slot.bytes);
        let program = &self.programs[id as usize];
        let hash = self.hasher.hash_one(program);
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        self.free.push(id);
        Some((program, packets, bytes))
    }

    #[inline(always)]
    pub fn get(&self, id: u32) -> Option<&Program> {
        self.programs.get(id as usize)
    }

    #[inline(always)]
    pub fn slot_mut(&mut self, id: u32) -> Option<&mut Slot> {
        self.slots.get_mut(id as usize)
    }

    /// What counters have not been told, of all programs.
    pub fn drain_counts(&mut self, mut tell: impl FnMut(&Program, u64, u64)) {
        for (slot, program) in self.slots.iter_mut().zip(&self.programs) {
            slot.was_used |= slot.packets as u32 != slot.seen;
            slot.seen = 0;
            let (packets, bytes) = (std::mem::take(&mut slot.packets), std::mem::take(&mut slot.bytes));
            if packets > 0 && slot.users > 0 {
                tell(program, packets, bytes);
            }
        }
    }

    /// The neighbours that packets went to since this was asked last, some more than once.
    pub fn used_neighbours(&mut self, mut tell: impl FnMut(u32)) {
        for slot in &mut self.slots {
            if slot.was_used || slot.packets as u32 != slot.seen {
                (slot.was_used, slot.seen) = (false, slot.packets as u32);
                if slot.neighbour != NONE {
                    tell(slot.neighbour);
                }
            }
        }
    }

    /// Programs in use.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// The Ethernet header of packets that leave by a port: how long it is, and its bytes.
pub(crate) fn ethernet(from: Mac, to: Mac, tag: Option<u16>, v6: bool) -> (u8, [u8; ETHERNET_MAX]) {
    ethernet_of(from, to, tag, if v6 { 0x86dd } else { 0x0800 })
}

/// Likewise, for any EtherType.
pub(crate) fn ethernet_of(from: Mac, to: Mac, tag: Option<u16>, kind: u16) -> (u8, [u8; ETHERNET_MAX]) {
    let mut header = [0; ETHERNET_MAX];
    header[..6].copy_from_slice(&to);
    header[6..12].copy_from_slice(&from);
    match tag {
        None => {
            header[12..14].copy_from_slice(&kind.to_be_bytes());
            (14, header)
        }
        Some(tag) => {
            header[12..14].copy_from_slice(&0x8100u16.to_be_bytes());
            header[14..16].copy_from_slice(&tag.to_be_bytes());
            header[16..18].copy_from_slice(&kind.to_be_bytes());
            (18, header)
        }
    }
}
