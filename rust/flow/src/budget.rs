//! How many flows there may be, over all tables that share the limit.
use std::sync::atomic::{AtomicU32, Ordering};

/// A limit that several tables keep together, each on its own thread.
///
/// A table without flows may always hold one, so that the limit can be passed by one flow for each other table.
#[derive(Debug)]
pub struct FlowBudget {
    limit: u32,
    used: AtomicU32,
}

impl FlowBudget {
    /// Room for so many flows.
    pub fn new(limit: u32) -> Self {
        Self { limit, used: AtomicU32::new(0) }
    }

    /// Takes room for one flow; false when there is none.
    pub(crate) fn take(&self) -> bool {
        // Nothing but the number itself is shared.
        if self.used.fetch_add(1, Ordering::Relaxed) < self.limit {
            return true;
        }
        self.give(1);
        false
    }

    /// Takes room for one flow whether there is some or not.
    pub(crate) fn take_anyhow(&self) {
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn give(&self, flows: u32) {
        self.used.fetch_sub(flows, Ordering::Relaxed);
    }
}
