//! Which of many items (rules of a chain, elements of a set) may match a packet, found without looking at each.
//!
//! Lucent bit vectors (Lakshman and Stiliadis, SIGCOMM 1998), made sparse: for each class of fields the line of values is cut into
//! pieces in which the same items match. A piece lists its items as words of bits; items that do not ask for the class
//! stand once in the class's `wild` vector. Look-up finds the piece of each class and joins the vectors word by word, in order.
//! An item that would have to be listed in too many pieces is taken for wild: it is looked at more often than needed, but
//! none is ever missed.

use netfast_nft::ast::Interval;

/// Most entries of all pieces of a class, for each item. Beyond it the broadest items count as wild.
pub(crate) const MAX_ENTRIES_PER_ITEM: usize = 16;

/// Most classes.
pub(crate) const MAX_CLASSES: usize = 8;

/// What an item asks of a class: any of these intervals; `None` if it takes everything.
pub(crate) type Claim = Option<Vec<Interval>>;

#[derive(Debug, Default)]
struct Class {
    /// Which of the caller's classes it is.
    number: usize,
    wild: Box<[u64]>,
    /// No item is wild.
    strict: bool,
    starts: Starts,
    /// Where each piece's entries begin, and the end of the last.
    offsets: Box<[u32]>,
    /// Per entry: which word, ascending within a piece.
    words: Box<[u32]>,
    bits: Box<[u64]>,
}

/// Where the pieces of a class begin; the first is 0.
#[derive(Debug)]
pub(crate) enum Starts {
    /// Of classes of small values: the piece of each value, the last for all that are larger.
    Direct(Box<[u16]>),
    Short(Box<[u32]>),
    /// Of addresses. Those of IPv4, mapped into IPv6, stand apart, without what they have in common, from piece `first`
    /// on.
    Long {
        starts: Box<[u128]>,
        mapped: Box<[u32]>,
        first: usize,
    },
}

/// What IPv4 addresses mapped into IPv6 begin with (RFC 4291 section 2.5.5.2).
const MAPPED: u128 = 0xffff;

impl Default for Starts {
    fn default() -> Self {
        Self::Direct([0].into())
    }
}

impl Starts {
    /// Values that [`Starts::Direct`] tells apart.
    const DIRECT: u128 = 256;

    pub fn new(starts: &[u128]) -> Self {
        let last = starts.last().copied().unwrap_or(0);
        let piece = |value: u128| starts.partition_point(|start| *start <= value) as u16 - 1;
        if last <= Self::DIRECT {
            Self::Direct((0..=Self::DIRECT).map(piece).collect())
        } else if last <= u32::MAX.into() {
            Self::Short(starts.iter().map(|start| *start as u32).collect())
        } else {
            let mapped = starts.iter().filter(|start| **start >> 32 == MAPPED).map(|start| *start as u32);
            let first = starts.partition_point(|start| start >> 32 < MAPPED);
            Self::Long { starts: starts.into(), mapped: mapped.collect(), first }
        }
    }

    #[inline]
    pub fn piece(&self, value: u128) -> usize {
        match self {
            Self::Direct(pieces) => pieces[value.min(Self::DIRECT) as usize].into(),
            Self::Short(starts) => {
                let value = u32::try_from(value).unwrap_or(u32::MAX);
                starts.partition_point(|start| *start <= value) - 1
            }
            Self::Long { mapped, first, .. } if value >> 32 == MAPPED => {
                let value = value as u32;
                first + mapped.partition_point(|start| *start <= value) - 1
            }
            Self::Long { starts, .. } => starts.partition_point(|start| *start <= value) - 1,
        }
    }

    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Direct(pieces) => size_of_val(&**pieces),
            Self::Short(starts) => size_of_val(&**starts),
            Self::Long { starts, mapped, .. } => size_of_val(&**starts) + size_of_val(&**mapped),
        }
    }
}

/// The index over a list of items.
#[derive(Debug, Default)]
pub(crate) struct Index {
    words: usize,
    classes: Vec<Class>,
    /// One bit per item.
    all: Box<[u64]>,
}

impl Index {
    /// Indexes `items` items; `claims[class][item]` says what they ask for.
    pub fn build(items: usize, claims: &[Vec<Claim>]) -> Self {
        let words = items.div_ceil(64);
        let mut all = vec![u64::MAX; words].into_boxed_slice();
        if !items.is_multiple_of(64) {
            all[words - 1] = (1 << (items % 64)) - 1;
        }
        let mut classes: Vec<Class> = claims
            .iter()
            .enumerate()
            .take(MAX_CLASSES)
            .filter(|(_, claims)| claims.iter().any(Option::is_some))
            .map(|(number, claims)| Class::build(number, words, claims))
            .collect();
        classes.sort_by_key(|class| class.wild.iter().map(|word| word.count_ones()).sum::<u32>());
        Self { words, classes, all }
    }

    /// Bytes that it takes.
    pub fn memory_bytes(&self) -> usize {
        let class = |class: &Class| {
            size_of::<Class>()
                + class.wild.len() * 8
                + class.starts.memory_bytes()
                + class.offsets.len() * 4
                + class.words.len() * 12
        };
        self.all.len() * 8 + self.classes.iter().map(class).sum::<usize>()
    }

    /// The items that may match these values, by class; an item that asks for a class without value does not match.
    #[inline(always)]
    pub fn candidates(&self, value: impl Fn(usize) -> Option<u128>) -> Candidates<'_> {
        let mut candidates = Candidates {
            index: self,
            lists: [(0, 0); MAX_CLASSES],
            driver: usize::MAX,
            next: 0,
            word: 0,
            bits: 0,
        };
        let mut least = u32::MAX;
        for (position, (list, class)) in candidates.lists.iter_mut().zip(&self.classes).enumerate() {
            if let Some(value) = value(class.number) {
                *list = class.list(value);
            }
            if class.strict && list.1 - list.0 < least {
                least = list.1 - list.0;
                candidates.driver = position;
            }
        }
        candidates
    }
}

impl Class {
    fn build(number: usize, words: usize, claims: &[Claim]) -> Self {
        let mut starts = vec![0u128];
        for interval in claims.iter().flatten().flatten() {
            starts.push(interval.low);
            starts.extend(interval.high.checked_add(1));
        }
        starts.sort_unstable();
        starts.dedup();
        let pieces_of = |interval: &Interval| {
            let first = starts.partition_point(|start| *start <= interval.low) - 1;
            let last = starts.partition_point(|start| *start <= interval.high) - 1;
            first..last + 1
        };
        let coverage = |claim: &Claim| {
            claim.as_ref().map_or(0, |intervals| intervals.iter().map(|i| pieces_of(i).len()).sum::<usize>())
        };
        let too_broad = breadth_limit(claims.iter().map(coverage).collect());
        let mut wild = vec![0u64; words].into_boxed_slice();
        let mut pieces: Vec<Vec<(u32, u64)>> = vec![Vec::new(); starts.len()];
        for (item, claim) in claims.iter().enumerate() {
            let (word, bit) = (item / 64, 1u64 << (item % 64));
            match claim {
                Some(intervals) if coverage(claim) <= too_broad => {
                    for piece in intervals.iter().flat_map(pieces_of) {
                        match pieces[piece].last_mut() {
                            Some((last, bits)) if *last as usize == word => *bits |= bit,
                            _ => pieces[piece].push((word as u32, bit)),
                        }
                    }
                }
                _ => wild[word] |= bit,
            }
        }
        let mut offsets = vec![0u32];
        let (mut listed, mut bits) = (Vec::new(), Vec::new());
        for piece in pieces {
            listed.extend(piece.iter().map(|entry| entry.0));
            bits.extend(piece.iter().map(|entry| entry.1));
            offsets.push(listed.len() as u32);
        }
        Self {
            number,
            strict: wild.iter().all(|word| *word == 0),
            wild,
            starts: Starts::new(&starts),
            offsets: offsets.into(),
            words: listed.into(),
            bits: bits.into(),
        }
    }

    #[inline]
    fn list(&self, value: u128) -> (u32, u32) {
        let piece = self.starts.piece(value);
        (self.offsets[piece], self.offsets[piece + 1])
    }
}

/// The most pieces that an item may cover, so that all together stay within the limit.
fn breadth_limit(mut coverage: Vec<usize>) -> usize {
    coverage.sort_unstable();
    let mut left = coverage.len() * MAX_ENTRIES_PER_ITEM;
    let mut limit = 0;
    for pieces in coverage {
        if pieces > left {
            break;
        }
        left -= pieces;
        limit = pieces;
    }
    limit
}

/// Items that may match, in order.
#[derive(Clone, Debug)]
pub(crate) struct Candidates<'a> {
    index: &'a Index,
    /// What is left of each class's piece.
    lists: [(u32, u32); MAX_CLASSES],
    /// The class whose piece names all words that need a look.
    driver: usize,
    next: usize,
    word: usize,
    bits: u64,
}

impl Candidates<'_> {
    /// The next item.
    #[inline]
    pub fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            let word = match self.index.classes.get(self.driver) {
                Some(class) => {
                    let (at, end) = self.lists[self.driver];
                    if at == end {
                        return None;
                    }
                    class.words[at as usize] as usize
                }
                None if self.next < self.index.words => self.next,
                None => return None,
            };
            self.next = word + 1;
            self.word = word;
            self.bits = self.join(word);
        }
        let item = self.word * 64 + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(item)
    }

    #[inline]
    fn join(&mut self, word: usize) -> u64 {
        let mut joined = self.index.all[word];
        for (class, (at, end)) in self.index.classes.iter().zip(&mut self.lists) {
            let mut bits = class.wild[word];
            while *at < *end {
                let entry = *at as usize;
                let listed = class.words[entry] as usize;
                if listed > word {
                    break;
                }
                *at += 1;
                if listed == word {
                    bits |= class.bits[entry];
                    break;
                }
            }
            joined &= bits;
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim() -> impl Strategy<Value = Claim> {
        let interval = (0u128..40, 0u128..12).prop_map(|(low, more)| Interval { low, high: low + more });
        prop_oneof![
            1 => Just(None),
            2 => prop::collection::vec(interval, 0..4).prop_map(Some),
            1 => Just(Some(vec![Interval { low: 0, high: u128::MAX }])),
        ]
    }

    fn holds(claim: &Claim, value: Option<u128>) -> bool {
        match (claim, value) {
            (None, _) => true,
            (Some(intervals), Some(value)) => intervals.iter().any(|interval| interval.contains(value)),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn finds_what_a_look_at_each_finds(
            claims in prop::collection::vec((claim(), claim(), claim()), 1..200),
            value in (prop::option::of(0u128..60), prop::option::of(0u128..60), prop::option::of(0u128..60)),
        ) {
            let values = [value.0, value.1, value.2];
            let columns = [
                claims.iter().map(|c| c.0.clone()).collect::<Vec<_>>(),
                claims.iter().map(|c| c.1.clone()).collect(),
                claims.iter().map(|c| c.2.clone()).collect(),
            ];
            let index = Index::build(claims.len(), &columns);
            let mut candidates = index.candidates(|class| values[class]);
            let mut found = Vec::new();
            while let Some(item) = candidates.next() {
                found.push(item);
            }
            let expected: Vec<usize> = (0..claims.len())
                .filter(|item| columns.iter().zip(values).all(|(column, value)| holds(&column[*item], value)))
                .collect();
            prop_assert!(found.is_sorted());
            for item in expected {
                prop_assert!(found.contains(&item), "{item} was missed");
            }
        }
    }

    #[test]
    fn the_piece_of_a_value_begins_at_or_before_it() {
        let v4 = MAPPED << 32;
        let lines: [&[u128]; 4] = [
            &[0, 3, 256],
            &[0, 3, 70_000],
            &[0, 1 << 20, v4 - 1, v4, v4 + 7, v4 + u128::from(u32::MAX), v4 + (1 << 32), 1 << 120],
            &[0, v4 + 9, 1 << 99],
        ];
        for line in lines {
            let starts = Starts::new(line);
            let near = line.iter().flat_map(|start| [start.saturating_sub(1), *start, start + 1]);
            for value in near.chain([u128::MAX, v4 + 5, v4 + 10]) {
                let expected = line.iter().filter(|start| **start <= value).count() - 1;
                assert_eq!(starts.piece(value), expected, "{value:#x} in {line:x?}");
            }
        }
    }

    #[test]
    fn broad_items_are_wild_when_lists_would_grow_beyond_the_limit() {
        let items = 1_000usize;
        let mut column: Vec<Claim> =
            (0..items as u128).map(|value| Some(vec![Interval::single(value * 2)])).collect();
        column.extend((0..items).map(|_| Some(vec![Interval { low: 0, high: u128::MAX }])));
        let index = Index::build(column.len(), &[column]);
        assert!(index.memory_bytes() < 2 * items * MAX_ENTRIES_PER_ITEM * 12 + 200_000);
        let mut candidates = index.candidates(|_| Some(500));
        assert_eq!(candidates.next(), Some(250));
        assert_eq!(candidates.next(), Some(1_000));
    }
}
