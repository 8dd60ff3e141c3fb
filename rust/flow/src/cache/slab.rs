//! Lines of which only some entries have one, with places that are given again.
use super::HUGE_FROM;
use netfast_low::pages::advise_huge;

/// Lines that only some entries have.
#[derive(Debug)]
pub(super) struct Slab<T> {
    pub items: Vec<T>,
    free: Vec<u32>,
    limit: usize,
}

impl<T: Copy> Slab<T> {
    pub fn new(limit: usize) -> Self {
        Self { items: Vec::new(), free: Vec::new(), limit }
    }

    pub fn insert(&mut self, item: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.items[at as usize] = item;
            return at;
        }
        if self.items.capacity() == 0 {
            // Address space, as for entries; where the system does not give so much, lines move as they become more.
            let _ = self.items.try_reserve_exact(self.limit);
        }
        if self.items.len() == HUGE_FROM {
            advise_huge(self.items.spare_capacity_mut());
        }
        self.items.push(item);
        (self.items.len() - 1) as u32
    }

    pub fn remove(&mut self, at: u32) {
        self.free.push(at);
    }

    pub fn memory(&self) -> usize {
        self.items.len() * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }
}
