//! What the policies say, byte by byte: slow, and written from their definition alone.
use netfast_frag::OverlapPolicy;

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Kept,
    Ignored,
    Conflict,
    /// Bytes of the new piece that are kept, and of old ones that gave way.
    Resolved(usize, usize),
}

/// Who has each byte. The strict policies look at whole pieces, and Linux at runs of them.
pub struct Oracle {
    policy: OverlapPolicy,
    pub owners: Vec<Option<u32>>,
    pieces: Vec<(usize, usize)>,
    runs: Vec<(usize, usize)>,
}

impl Oracle {
    pub fn new(policy: OverlapPolicy, size: usize) -> Self {
        Self { policy, owners: vec![None; size], pieces: Vec::new(), runs: Vec::new() }
    }

    pub fn insert(&mut self, start: usize, end: usize, owner: u32) -> Verdict {
        if self.owners[start..end].iter().any(Option::is_some) {
            match self.policy {
                OverlapPolicy::Drop if self.pieces.contains(&(start, end)) => return Verdict::Ignored,
                OverlapPolicy::Linux if self.runs.iter().any(|run| run.0 <= start && end <= run.1) => {
                    return Verdict::Ignored;
                }
                OverlapPolicy::Drop | OverlapPolicy::Linux => return Verdict::Conflict,
                _ => return self.resolve(start, end, owner),
            }
        }
        self.pieces.push((start, end));
        let reached = self.owners.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
        match self.runs.iter_mut().find(|run| run.1 == start && start == reached) {
            Some(run) => run.1 = end,
            None => self.runs.push((start, end)),
        }
        self.owners[start..end].fill(Some(owner));
        Verdict::Kept
    }

    fn resolve(&mut self, start: usize, end: usize, owner: u32) -> Verdict {
        let before = self.owners.clone();
        let (mut kept, mut replaced) = (0, 0);
        for at in start..end {
            let new_wins = match before[at] {
                None => true,
                Some(old) => {
                    let from =
                        before[..at].iter().rposition(|&other| other != Some(old)).map_or(0, |at| at + 1);
                    let to = before[at..]
                        .iter()
                        .position(|&other| other != Some(old))
                        .map_or(before.len(), |n| at + n);
                    match self.policy {
                        OverlapPolicy::Bsd => start < from,
                        OverlapPolicy::Windows => start < from && end > to,
                        OverlapPolicy::Last => true,
                        _ => false,
                    }
                }
            };
            if new_wins {
                kept += 1;
                replaced += usize::from(before[at].is_some());
                self.owners[at] = Some(owner);
            }
        }
        Verdict::Resolved(kept, replaced)
    }
}
