//! The trains: buckets of eight by flow, and a list of all by age.
use super::train::Train;
use netfast_low::tags::Tags;

const SLOTS: usize = 8;
/// No train.
pub(super) const NONE: u32 = u32::MAX;

/// Where trains stand. Who puts a train in its place or takes it away says so here.
#[derive(Debug)]
pub(super) struct Table {
    tags: Vec<Tags>,
    pub trains: Vec<Train>,
    /// Of each place, numbers for the addresses of the outer and the inner IP header, zero where nothing is held.
    pairs: Vec<[u32; 2]>,
    oldest: u32,
    newest: u32,
    pub held: usize,
}

/// A place for a flow.
pub(super) enum Place {
    /// It is held there.
    Held(usize),
    Free(usize),
    /// All are used; here stands the oldest.
    Full(usize),
}

fn tag(flow: u64) -> u16 {
    (flow >> 48) as u16 | 1
}

impl Table {
    /// With room for `flows`, a power of two and at least eight.
    pub(super) fn new(flows: usize) -> Self {
        Self {
            tags: vec![Tags::default(); flows / SLOTS],
            trains: (0..flows).map(|_| Train::default()).collect(),
            pairs: vec![[0; 2]; flows],
            oldest: NONE,
            newest: NONE,
            held: 0,
        }
    }

    #[inline(always)]
    fn bucket(&self, flow: u64) -> usize {
        flow as usize & (self.tags.len() - 1)
    }

    /// The place of a flow that is held.
    #[inline(always)]
    pub(super) fn find(&self, flow: u64) -> Option<usize> {
        let bucket = self.bucket(flow);
        let mut slots = self.tags[bucket].matches(tag(flow));
        slots.find(|slot| self.trains[bucket * SLOTS + slot].flow == flow).map(|slot| bucket * SLOTS + slot)
    }

    /// Where a flow stands or may stand.
    #[inline(always)]
    pub(super) fn place(&self, flow: u64) -> Place {
        if let Some(at) = self.find(flow) {
            return Place::Held(at);
        }
        let bucket = self.bucket(flow);
        match self.tags[bucket].empty().first() {
            Some(slot) => Place::Free(bucket * SLOTS + slot),
            None => Place::Full(self.oldest_of(bucket)),
        }
    }

    #[cold]
    fn oldest_of(&self, bucket: usize) -> usize {
        let all = bucket * SLOTS..(bucket + 1) * SLOTS;
        all.min_by_key(|&at| self.trains[at].order).unwrap_or(bucket * SLOTS)
    }

    /// A train has begun at a free place.
    #[inline(always)]
    pub(super) fn enter(&mut self, at: usize, pairs: [u32; 2]) {
        let (flow, newest) = (self.trains[at].flow, self.newest);
        self.tags[at / SLOTS].0[at % SLOTS] = tag(flow);
        self.pairs[at] = pairs;
        (self.trains[at].older, self.trains[at].newer) = (newest, NONE);
        match self.trains.get_mut(newest as usize) {
            Some(train) => train.newer = at as u32,
            None => self.oldest = at as u32,
        }
        self.newest = at as u32;
        self.held += 1;
    }

    /// The train of a place has ended.
    #[inline(always)]
    pub(super) fn leave(&mut self, at: usize) {
        let (older, newer) = (self.trains[at].older, self.trains[at].newer);
        match self.trains.get_mut(older as usize) {
            Some(train) => train.newer = newer,
            None => self.oldest = newer,
        }
        match self.trains.get_mut(newer as usize) {
            Some(train) => train.older = older,
            None => self.newest = older,
        }
        self.tags[at / SLOTS].0[at % SLOTS] = 0;
        self.pairs[at] = [0; 2];
        self.held -= 1;
    }

    /// The place of the train that began first.
    #[inline]
    pub(super) fn oldest(&self) -> Option<usize> {
        (self.oldest != NONE).then_some(self.oldest as usize)
    }

    /// A train whose inner or outer addresses are these; of several any.
    pub(super) fn between(&self, pair: u32) -> Option<usize> {
        self.pairs.iter().position(|pairs| pairs.contains(&pair))
    }
}
