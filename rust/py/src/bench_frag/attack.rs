//! Fragments made to hurt, with those of others in between.
use super::{BenchError, Chance};
use netfast_buf::{PacketPool, Skb};
use netfast_frag::{Outcome, OverlapPolicy, Reassembler, ReassemblyConfig};
use netfast_time::{Duration, Instant};
use netfast_wire::LinkType;
use netfast_wire::checksum::checksum;
use std::collections::VecDeque;

/// After so many hostile fragments one of somebody else comes.
const BETWEEN: u64 = 32;
/// After so many the memory of all tables is asked for, which goes through them.
const LOOK: u64 = 1 << 14;
/// Fragments of eight bytes of one datagram; the last one never comes.
const TINY: u64 = 8_188;
/// Hostile fragments come at a million a second.
const INTERVAL: Duration = Duration::from_micros(1);
/// Bytes of data of a larger fragment.
const LARGE: u32 = 1_480;

/// Kinds of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Datagrams in fragments of 8 bytes, every second place first, never whole (FragmentSmack, CVE-2018-5391).
    Smack,
    /// First fragments of datagrams that never become whole, from sources that are made up.
    NeverCompleted,
    /// The same from one source.
    OneSource,
    /// One sender that uses 1,024 identifications again and again, in datagrams of two fragments.
    IdReuse,
    /// Two fragments of a datagram in each relation that two intervals can have, one after the other.
    Overlap(OverlapPolicy),
}

/// All, by their names.
pub const ATTACKS: &[(&str, Attack)] = &[
    ("fragment_smack", Attack::Smack),
    ("never_completed", Attack::NeverCompleted),
    ("one_source", Attack::OneSource),
    ("id_reuse", Attack::IdReuse),
    ("overlaps_drop", Attack::Overlap(OverlapPolicy::Drop)),
    ("overlaps_linux", Attack::Overlap(OverlapPolicy::Linux)),
    ("overlaps_bsd", Attack::Overlap(OverlapPolicy::Bsd)),
    ("overlaps_windows", Attack::Overlap(OverlapPolicy::Windows)),
    ("overlaps_first", Attack::Overlap(OverlapPolicy::First)),
    ("overlaps_last", Attack::Overlap(OverlapPolicy::Last)),
];

/// The second interval in each of Allen's thirteen relations to 64 to 128, in bytes.
const RELATIONS: [(u32, u32); 13] = [
    (0, 32),
    (0, 64),
    (32, 96),
    (64, 96),
    (80, 112),
    (96, 128),
    (64, 128),
    (32, 128),
    (32, 160),
    (64, 160),
    (96, 160),
    (128, 160),
    (160, 192),
];

/// What an attack came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Damage {
    /// Nanoseconds a fragment, packets made of bytes included.
    pub cost: f64,
    /// Comparisons and moved pieces for finding the places of fragments, each.
    pub steps: f64,
    /// Most bytes that waiting fragments took, as the limit counts them.
    pub held: usize,
    /// That limit.
    pub limit: usize,
    /// Most bytes with all tables.
    pub memory: usize,
    /// Datagrams of others, and how many of them were lost.
    pub others: u64,
    pub others_lost: u64,
}

/// A fragment to be made.
#[derive(Clone, Copy, Debug)]
struct Piece {
    source: u32,
    id: u16,
    start: u32,
    end: u32,
    more: bool,
    /// Bytes of data of the whole datagram, where it becomes whole.
    total: u16,
}

impl Attack {
    /// The `number`th hostile fragment.
    fn piece(self, number: u64, chance: &mut Chance) -> Piece {
        let attacker = 0x0a01_0001;
        let first =
            |source, id: u64| Piece { source, id: id as u16, start: 0, end: LARGE, more: true, total: 0 };
        match self {
            Self::Smack => {
                let (datagram, place) = (number / TINY, number % TINY);
                // All odd places, then all even ones.
                let place = if place < TINY / 2 { 2 * place + 1 } else { 2 * (place - TINY / 2) };
                let start = 8 * place as u32;
                Piece { source: attacker, id: datagram as u16, start, end: start + 8, more: true, total: 0 }
            }
            Self::NeverCompleted => first(0x0b00_0000 | chance.below(1 << 24) as u32, chance.next()),
            Self::OneSource => first(attacker, number),
            Self::IdReuse => {
                let start = (number % 2) as u32 * LARGE;
                let id = (number / 2 % 1_024) as u16;
                Piece {
                    source: attacker,
                    id,
                    start,
                    end: start + LARGE,
                    more: start == 0,
                    total: 2 * LARGE as u16,
                }
            }
            Self::Overlap(_) => {
                let (source, id) = (0x0c00_0000 | ((number as u32 / 2) & 0xff), (number / 512) as u16);
                let (start, end) = match number % 2 {
                    0 => (64, 128),
                    _ => RELATIONS[(number / 2 % RELATIONS.len() as u64) as usize],
                };
                Piece { source, id, start, end, more: true, total: 0 }
            }
        }
    }

    /// Datagrams of others that wait for their second fragment at a time.
    fn waiting(self) -> usize {
        // A table that gives the oldest up forgets them all in that time.
        if self == Self::OneSource { 512 } else { 4 }
    }

    fn config(self) -> ReassemblyConfig {
        let overlap = match self {
            Self::Overlap(policy) => policy,
            _ => OverlapPolicy::Drop,
        };
        ReassemblyConfig { link: LinkType::RAW, overlap, ..ReassemblyConfig::default() }
    }

    /// Puts `fragments` of them in. Without `reassembles` packets are made and let go: what the loop itself costs.
    #[allow(clippy::disallowed_methods, reason = "measuring is what it is for")]
    pub fn run(self, fragments: u64, seed: u64, reassembles: bool) -> Result<Damage, BenchError> {
        if !(1..=1 << 40).contains(&fragments) {
            return Err(BenchError::Range { field: "fragments", takes: "1 to 2^40" });
        }
        let config = self.config();
        let mut damage = Damage { limit: config.max_memory, ..Damage::default() };
        let mut target = Target::new(config, reassembles);
        let (mut chance, mut others) = (Chance::new(seed), VecDeque::new());
        let start = std::time::Instant::now();
        for number in 0..fragments {
            target.put(&self.piece(number, &mut chance))?;
            if number % BETWEEN == 0 {
                // Half of them begin a datagram, half end one.
                let turn = number / BETWEEN;
                if turn.is_multiple_of(2) {
                    let begin = Piece {
                        source: 0x0d00_0000 | (turn as u32 / 2) & 0x3ff,
                        id: (turn / 2) as u16,
                        start: 0,
                        end: LARGE,
                        more: true,
                        total: LARGE as u16 + 8,
                    };
                    target.put(&begin)?;
                    others.push_back(begin);
                } else if others.len() > self.waiting() {
                    damage.others += 1;
                    let lost = match others.pop_front() {
                        Some(begun) => {
                            !target.put(&Piece { start: LARGE, end: LARGE + 8, more: false, ..begun })?
                        }
                        None => true,
                    };
                    damage.others_lost += u64::from(lost && reassembles);
                }
                damage.held = damage.held.max(target.reassembler.held_memory());
            }
            if number % LOOK == 0 || number + 1 == fragments {
                damage.memory = damage.memory.max(target.reassembler.memory());
            }
        }
        damage.cost = start.elapsed().as_nanos() as f64 / target.count as f64;
        damage.steps = target.reassembler.steps() as f64 / target.count as f64;
        if !target.reassembler.counters().is_conserved() {
            return Err(BenchError::Lost);
        }
        Ok(damage)
    }
}

/// A reassembler under attack.
struct Target {
    reassembler: Reassembler,
    reassembles: bool,
    pool: PacketPool,
    frame: Vec<u8>,
    now: Instant,
    count: u64,
}

impl Target {
    fn new(config: ReassemblyConfig, reassembles: bool) -> Self {
        Self {
            reassembler: Reassembler::new(config),
            reassembles,
            pool: PacketPool::default(),
            frame: vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1],
            now: Instant::from_secs(1),
            count: 0,
        }
    }

    /// True when it made a datagram whole.
    fn put(&mut self, piece: &Piece) -> Result<bool, BenchError> {
        self.count += 1;
        self.now += INTERVAL;
        self.write(piece);
        let packet = Skb::from_slice(&self.frame, &mut self.pool).map_err(|_| BenchError::Lost)?;
        if !self.reassembles {
            self.pool.recycle(packet);
            return Ok(false);
        }
        let outcome = self.reassembler.handle_packet(self.now, 0, packet, &mut self.pool);
        let whole = matches!(outcome, Outcome::Complete(_));
        match outcome {
            Outcome::Complete(datagram) => self.pool.recycle(datagram.packet),
            Outcome::Dropped(dropped) => self.pool.recycle(dropped.packet),
            Outcome::Held => {}
            Outcome::NotFragment(_) | Outcome::Atomic(_) => return Err(BenchError::Lost),
        }
        if self.count.is_multiple_of(64) {
            while let Some(expired) = self.reassembler.poll_timeout(self.now, &mut self.pool) {
                expired.first.into_iter().for_each(|packet| self.pool.recycle(packet));
            }
            while self.reassembler.poll_event().is_some() {}
        }
        Ok(whole)
    }

    fn write(&mut self, piece: &Piece) {
        let length = 20 + piece.end - piece.start;
        self.frame.resize(length as usize, 0);
        let mut data = 20;
        if piece.start == 0 && length > 36 {
            // UDP without a checksum, which nobody can be asked to verify.
            self.frame[20..28].copy_from_slice(&[0, 1, 0, 2, 0, 0, 0, 0]);
            self.frame[24..26].copy_from_slice(&piece.total.to_be_bytes());
            data += 8;
        }
        // No two fragments have the same data, so that overlaps differ.
        self.frame[data..data + 8].copy_from_slice(&self.count.to_be_bytes());
        self.frame[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        self.frame[4..6].copy_from_slice(&piece.id.to_be_bytes());
        let word = (piece.start / 8) as u16 | u16::from(piece.more) << 13;
        self.frame[6..8].copy_from_slice(&word.to_be_bytes());
        self.frame[10..12].fill(0);
        self.frame[12..16].copy_from_slice(&piece.source.to_be_bytes());
        let sum = checksum(&self.frame[..20]).to_be_bytes();
        self.frame[10..12].copy_from_slice(&sum);
    }
}
