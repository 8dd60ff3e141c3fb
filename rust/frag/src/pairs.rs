//! How fast the identifications of each source, destination and protocol are used up (RFC 4963).
use crate::key::FragmentKey;
use crate::slab::{Hashed, Links, List, Slab};
use crate::sources::Sources;
use netfast_low::hash::Seed;
use netfast_time::{Duration, Instant};

/// An identification that is so much ahead of the last one is the same counter's, which others were taken from in between;
/// one further away comes from a sender that chooses by chance, and is one.
const SEQUENTIAL: u32 = 2_048;
/// The rate is measured over so many identifications ...
const WINDOW: u64 = 256;
/// ... or so much time, whatever ends first.
const WINDOW_TIME: Duration = Duration::from_secs(1);
/// No datagram expires sooner, however fast identifications come: half the wrap time at 100 Gb/s is four times that.
pub(crate) const MIN_LIFETIME: Duration = Duration::from_millis(1);

/// A counter of a sender, as far as it is seen.
#[derive(Debug)]
pub(crate) struct Pair {
    hash: u64,
    key: FragmentKey,
    last: u32,
    /// Identifications used up since the pair is known.
    progress: u64,
    since: Instant,
    since_progress: u64,
    /// Half the time in which identifications come round, in the last window.
    half_wrap: Duration,
    /// The shorter one of that and of the one in the window before.
    lifetime: Duration,
    references: u32,
    /// Its source, which refers to nothing.
    source: u32,
}

impl Hashed for Pair {
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn mixed(&self) -> u32 {
        self.key.mixed()
    }
}

impl Pair {
    /// Half of all identifications of its family.
    fn half(&self) -> u64 {
        if self.key.is_ipv4() { 1 << 15 } else { 1 << 31 }
    }

    fn distance(&self, id: u32) -> u32 {
        let distance = id.wrapping_sub(self.last);
        if self.key.is_ipv4() { distance & 0xffff } else { distance }
    }

    fn observe(&mut self, id: u32, now: Instant) {
        match self.distance(id) {
            0 => return,
            distance @ 1..=SEQUENTIAL => self.progress += u64::from(distance),
            // A little behind: sent before what was seen last.
            distance if u64::from(distance) >= 2 * self.half() - u64::from(SEQUENTIAL) => return,
            _ => self.progress += 1,
        }
        self.last = id;
        let (used, time) = (self.progress - self.since_progress, now - self.since);
        if used >= WINDOW || time >= WINDOW_TIME {
            let nanos = u128::from(time.as_nanos()) * u128::from(self.half()) / u128::from(used.max(1));
            let half_wrap = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).max(MIN_LIFETIME);
            (self.lifetime, self.half_wrap) = (half_wrap.min(self.half_wrap), half_wrap);
            (self.since, self.since_progress) = (now, self.progress);
        }
    }
}

/// What a datagram that begins has to know of its pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    pub pair: u32,
    /// Whose it is.
    pub source: u32,
    /// How much was used up so far.
    pub progress: u64,
    /// How long an identification stays that of one datagram.
    pub lifetime: Duration,
}

/// Pairs that have datagrams or tombstones, and at most `limit` others; and the sources that they are of.
#[derive(Debug)]
pub(crate) struct Pairs {
    pub sources: Sources,
    seed: Seed,
    pairs: Slab<Pair>,
    idle: List,
    links: Links,
    limit: usize,
    /// Pairs forgotten at the limit.
    pub forgotten: u64,
}

impl Pairs {
    pub fn new(seed: Seed, limit: usize) -> Self {
        Self {
            sources: Sources::new(seed.next()),
            seed,
            pairs: Slab::new(),
            idle: List::EMPTY,
            links: Links::default(),
            limit,
            forgotten: 0,
        }
    }

    /// The pair of a datagram that begins, with one reference more.
    #[inline]
    pub fn begin(&mut self, key: &FragmentKey, now: Instant) -> Begun {
        let pair_key = key.pair();
        let id = match self.pairs.recall(pair_key.mixed()) {
            Some((id, pair)) if pair.key.is(&pair_key) => id,
            _ => self.find(key, pair_key, now),
        };
        let pair = &mut self.pairs[id];
        pair.observe(key.identification(), now);
        pair.references += 1;
        let begun = Begun { pair: id, source: pair.source, progress: pair.progress, lifetime: pair.lifetime };
        if pair.references == 1 {
            self.links.remove(&mut self.idle, id);
        }
        begun
    }

    #[inline(never)]
    fn find(&mut self, key: &FragmentKey, pair_key: FragmentKey, now: Instant) -> u32 {
        let hash = pair_key.hash(self.seed);
        let id = match self.pairs.find(hash, |pair| pair.key.is(&pair_key)) {
            Some(id) => id,
            None => {
                let id = self.pairs.insert(Pair {
                    hash,
                    key: pair_key,
                    last: key.identification(),
                    progress: 0,
                    since: now,
                    since_progress: 0,
                    half_wrap: Duration::MAX,
                    lifetime: Duration::MAX,
                    references: 0,
                    source: self.sources.begin(key),
                });
                self.links.push(&mut self.idle, id);
                id
            }
        };
        self.pairs.remember(pair_key.mixed(), id);
        id
    }

    /// Gives a reference back.
    pub fn end(&mut self, id: u32) {
        let pair = &mut self.pairs[id];
        pair.references -= 1;
        if pair.references > 0 {
            return;
        }
        self.links.push(&mut self.idle, id);
        while self.idle.len() > self.limit {
            let Some(oldest) = self.idle.first() else { return };
            self.links.remove(&mut self.idle, oldest);
            self.sources.end(self.pairs[oldest].source);
            self.pairs.remove(oldest);
            self.forgotten += 1;
        }
    }

    /// How long an identification stays that of one datagram.
    #[inline]
    pub fn lifetime(&self, id: u32) -> Duration {
        self.pairs[id].lifetime
    }

    /// Whether an identification that was used at `born`, `age` ago, may have come round.
    #[inline(always)]
    pub fn came_round(&self, id: u32, born: u64, age: Duration) -> bool {
        let pair = &self.pairs[id];
        pair.progress - born >= pair.half() || age >= pair.lifetime
    }

    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    pub fn memory(&self) -> usize {
        self.pairs.memory() + self.links.memory() + self.sources.memory()
    }
}
