//! The set of pieces: sorted chunks, so that a piece costs the same wherever it falls.
use super::OverlapPolicy;
use smallvec::SmallVec;

/// Pieces in a chunk. One chunk is a flat array, which is what almost every datagram needs; moving half a chunk is about as
/// cheap as finding the place.
const CHUNK: usize = 64;
static NO_CHUNK: Vec<Piece> = Vec::new();

/// Some bytes of a datagram or stream, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First position.
    pub start: u32,
    /// The position after the last.
    pub end: u32,
    /// What it came with, as the caller numbered it.
    pub owner: u32,
    /// Pieces that came in order at the end share it.
    run: u32,
}

type Pieces = SmallVec<[Piece; 8]>;

/// What became of a new piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Inserted {
    /// All of it is kept, and it overlapped nothing.
    Kept,
    /// None of it is kept and nothing changed: it was there already, or is empty.
    Duplicate,
    /// It overlaps, which the policy does not allow; nothing changed.
    Conflict,
    /// It overlapped, and the policy said who has which bytes.
    Resolved {
        /// Bytes of the new piece that are kept.
        kept: u32,
        /// Bytes that older pieces lost to it.
        replaced: u32,
    },
}

/// One consequence of a resolved overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// These bytes of the new piece are kept.
    Kept {
        /// First position.
        start: u32,
        /// The position after the last.
        end: u32,
    },
    /// These bytes of an older piece gave way.
    Replaced {
        /// First position.
        start: u32,
        /// The position after the last.
        end: u32,
        /// Whose they were.
        owner: u32,
    },
}

/// Disjoint pieces in order.
///
/// A piece behind all others takes constant time, any other O(log n) comparisons and the moving of at most a chunk, plus one
/// step for each piece that it overlaps. It holds as many pieces as it is given: the caller bounds them. An emptied set
/// keeps the memory of one chunk.
#[derive(Debug, Default)]
pub struct IntervalSet {
    /// No chunk is empty, but the only one may be.
    chunks: SmallVec<[Vec<Piece>; 1]>,
    pieces: usize,
    covered: u64,
    /// End and run of the last piece; 0 without pieces.
    end: u32,
    last_run: u32,
    runs: u32,
    steps: u64,
}

impl IntervalSet {
    /// A set without pieces.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `start..end`, which belongs to `owner`.
    #[inline]
    pub fn insert(&mut self, policy: OverlapPolicy, start: u32, end: u32, owner: u32) -> Inserted {
        self.insert_with(policy, start, end, owner, |_| {})
    }

    /// Adds `start..end`, which belongs to `owner`, and reports the parts of a resolved overlap.
    #[inline]
    pub fn insert_with(
        &mut self,
        policy: OverlapPolicy,
        start: u32,
        end: u32,
        owner: u32,
        report: impl FnMut(Part),
    ) -> Inserted {
        if start >= end {
            return Inserted::Duplicate;
        }
        if start >= self.end() {
            self.append(start, end, owner);
            return Inserted::Kept;
        }
        self.insert_inside(policy, (start, end, owner), report)
    }

    /// The position after the last byte; 0 without pieces.
    #[inline]
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Bytes in all pieces.
    #[inline]
    pub fn covered(&self) -> u64 {
        self.covered
    }

    /// Pieces.
    #[inline]
    pub fn len(&self) -> usize {
        self.pieces
    }

    /// True without pieces.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pieces == 0
    }

    /// The pieces in order of position.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.chunks.iter().flatten()
    }

    /// The pieces that have bytes in `start..end`, in order.
    pub fn overlapping(&self, start: u32, end: u32) -> impl Iterator<Item = &Piece> {
        let (chunk, at) = self.find(start);
        let (first, rest) = self.chunks.get(chunk..).and_then(<[_]>::split_first).unwrap_or((&NO_CHUNK, &[]));
        let pieces = first.get(at..).unwrap_or_default().iter().chain(rest.iter().flatten());
        pieces.take_while(move |piece| piece.start < end && start < end)
    }

    /// Adds `start..end`, which belongs to `owner` and is not empty, if it overlaps nothing; else nothing changes.
    #[inline(always)]
    pub fn insert_free(&mut self, start: u32, end: u32, owner: u32) -> bool {
        if start >= self.end() {
            self.append(start, end, owner);
            return true;
        }
        self.insert_free_inside(start, end, owner)
    }

    fn insert_free_inside(&mut self, start: u32, end: u32, owner: u32) -> bool {
        let (place, found) = self.place_of(start);
        let free = found.is_none_or(|found| found.start >= end);
        if free {
            let run = self.next_run();
            self.put(place, Piece { start, end, owner, run });
        }
        free
    }

    /// Comparisons and moved pieces so far: what the work of an attacker's packets is measured by.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes all pieces out.
    #[inline]
    pub fn clear(&mut self) {
        self.chunks.truncate(1);
        if let Some(first) = self.chunks.first_mut() {
            first.clear();
        }
        (self.pieces, self.covered, self.end, self.last_run, self.runs) = (0, 0, 0, 0, 0);
    }

    /// Bytes of memory behind the set.
    pub fn memory(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<Piece>()).sum()
    }

    #[inline(always)]
    fn append(&mut self, start: u32, end: u32, owner: u32) {
        if self.end != start || self.is_empty() {
            self.last_run = self.next_run();
        }
        let piece = Piece { start, end, owner, run: self.last_run };
        self.end = end;
        self.steps += 1;
        self.pieces += 1;
        self.covered += u64::from(end - start);
        if self.chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK) {
            self.begin_chunk();
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(piece);
        }
    }

    #[cold]
    fn begin_chunk(&mut self) {
        self.chunks.push(Vec::new());
    }

    /// After pieces were put in or taken out elsewhere than at the end.
    fn note_last(&mut self) {
        let last = self.chunks.last().and_then(|chunk| chunk.last());
        (self.end, self.last_run) = last.map_or((0, 0), |last| (last.end, last.run));
    }

    fn next_run(&mut self) -> u32 {
        self.runs = self.runs.wrapping_add(1);
        self.runs
    }

    /// Where the first piece stands that ends after `start`, or where one that begins there would.
    fn find(&self, start: u32) -> (usize, usize) {
        let chunk = self.chunks.partition_point(|chunk| chunk.last().is_none_or(|last| last.end <= start));
        let at = self.chunks.get(chunk).map_or(0, |chunk| chunk.partition_point(|piece| piece.end <= start));
        (chunk, at)
    }

    /// As [`IntervalSet::find`], with the piece that is there.
    #[inline]
    fn place_of(&mut self, start: u32) -> ((usize, usize), Option<Piece>) {
        self.count_search();
        let (chunk, at) = self.find(start);
        ((chunk, at), self.chunks.get(chunk).and_then(|chunk| chunk.get(at)).copied())
    }

    fn count_search(&mut self) {
        self.steps += u64::from(usize::BITS - self.chunks.len().leading_zeros());
        self.steps += u64::from(CHUNK.ilog2());
    }

    fn insert_inside(
        &mut self,
        policy: OverlapPolicy,
        (start, end, owner): (u32, u32, u32),
        report: impl FnMut(Part),
    ) -> Inserted {
        if self.insert_free(start, end, owner) {
            return Inserted::Kept;
        }
        let (_, Some(found)) = self.place_of(start) else { return Inserted::Duplicate };
        match policy {
            OverlapPolicy::Drop if (found.start, found.end) == (start, end) => Inserted::Duplicate,
            OverlapPolicy::Linux if self.in_one_run(start, end) => Inserted::Duplicate,
            OverlapPolicy::Drop | OverlapPolicy::Linux => Inserted::Conflict,
            _ => self.resolve(policy, (start, end, owner), report),
        }
    }

    /// Whether pieces of one run cover `start..end` together.
    fn in_one_run(&mut self, start: u32, end: u32) -> bool {
        let mut reached: Option<(u32, u32)> = None;
        let mut steps = 0;
        for piece in self.overlapping(start, end) {
            steps += 1;
            match reached {
                None if piece.start > start => break,
                Some((run, at)) if (piece.run, piece.start) != (run, at) => break,
                _ => reached = Some((piece.run, piece.end)),
            }
        }
        self.steps += steps;
        reached.is_some_and(|(_, at)| at >= end)
    }

    #[inline(never)]
    fn resolve(
        &mut self,
        policy: OverlapPolicy,
        (start, end, owner): (u32, u32, u32),
        mut report: impl FnMut(Part),
    ) -> Inserted {
        let old: Pieces = self.overlapping(start, end).copied().collect();
        self.steps += old.len() as u64;
        let run = self.next_run();
        let (mut kept, mut replaced, mut from) = (0, 0, start);
        // Old pieces that win stay as they are: an attacker pays for each change once.
        let (mut removed, mut added) = (Pieces::new(), Pieces::new());
        let mut keep = |from: u32, to: u32, added: &mut Pieces, report: &mut dyn FnMut(Part)| {
            if from < to {
                kept += to - from;
                added.push(Piece { start: from, end: to, owner, run });
                report(Part::Kept { start: from, end: to });
            }
        };
        for piece in old {
            if !policy.new_wins((start, end), (piece.start, piece.end)) {
                keep(from, piece.start, &mut added, &mut report);
                from = piece.end;
                continue;
            }
            let (lost, until) = (piece.start.max(start), piece.end.min(end));
            replaced += until - lost;
            report(Part::Replaced { start: lost, end: until, owner: piece.owner });
            removed.push(piece);
            if piece.start < start {
                added.push(Piece { end: start, ..piece });
            }
            if piece.end > end {
                added.push(Piece { start: end, ..piece });
            }
        }
        keep(from, end, &mut added, &mut report);
        removed.iter().for_each(|piece| self.take_out(piece));
        for piece in added {
            self.count_search();
            self.put(self.find(piece.start), piece);
        }
        self.note_last();
        Inserted::Resolved { kept, replaced }
    }

    fn take_out(&mut self, piece: &Piece) {
        self.count_search();
        let (chunk, at) = self.find(piece.start);
        self.steps += (self.chunks[chunk].len() - at) as u64;
        self.chunks[chunk].remove(at);
        if self.chunks[chunk].is_empty() && self.chunks.len() > 1 {
            self.chunks.remove(chunk);
        }
        self.pieces -= 1;
        self.covered -= u64::from(piece.end - piece.start);
    }

    fn put(&mut self, (mut chunk, mut at): (usize, usize), piece: Piece) {
        if chunk == self.chunks.len() {
            // Behind all others: in the last chunk.
            chunk = chunk.saturating_sub(1);
            at = self.chunks.get(chunk).map_or(0, Vec::len);
        }
        if self.chunks.is_empty() {
            self.chunks.push(Vec::new());
        }
        if self.chunks[chunk].len() >= CHUNK {
            let upper = self.chunks[chunk].split_off(CHUNK / 2);
            self.steps += (upper.len() + self.chunks.len() - chunk) as u64;
            self.chunks.insert(chunk + 1, upper);
            if at > CHUNK / 2 {
                (chunk, at) = (chunk + 1, at - CHUNK / 2);
            }
        }
        self.steps += (self.chunks[chunk].len() - at) as u64;
        self.chunks[chunk].insert(at, piece);
        self.pieces += 1;
        self.covered += u64::from(piece.end - piece.start);
    }
}
