//! What changed, for those who keep decisions.
use crate::{Prefix, TableId};

/// A part of the answers of [`Fib::resolve`](crate::Fib::resolve) that may be different now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Destinations (and, for the reverse path, sources) in this prefix, in this table.
    Route {
        /// The table.
        table: TableId,
        /// The prefix; more specific routes in it are as they were.
        prefix: Prefix,
    },
    /// Rules came or went: any destination.
    Rules,
    /// More changes than the queue holds: any destination.
    Everything,
}

/// Changes that nobody has taken yet.
///
/// At the limit all of them become one [`Change::Everything`].
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    queue: Vec<Change>,
    limit: usize,
}

impl Changes {
    pub(crate) fn new(limit: usize) -> Self {
        Self { queue: Vec::new(), limit: limit.max(1) }
    }

    /// True when the queue overflowed with this change.
    pub(crate) fn push(&mut self, change: Change) -> bool {
        match self.queue.last() {
            Some(Change::Everything) => return false,
            Some(last) if *last == change => return false,
            _ => {}
        }
        if self.queue.len() < self.limit {
            self.queue.push(change);
            return false;
        }
        self.queue.clear();
        self.queue.push(Change::Everything);
        true
    }

    pub(crate) fn take(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.queue)
    }
}
