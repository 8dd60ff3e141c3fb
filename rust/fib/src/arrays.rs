//! Many small arrays in one vector: the children and the results of the nodes of a trie.

/// Room that arrays are given; one that grows past it moves.
const SIZES: [u8; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/// The owner knows where each array begins and how long it is; the longest has 64 items.
#[derive(Clone, Debug)]
pub(crate) struct Arrays<T> {
    items: Vec<T>,
    /// Where unused arrays of each size begin.
    free: [Vec<u32>; SIZES.len()],
}

impl<T: Copy + Default> Arrays<T> {
    pub(crate) fn new() -> Self {
        Self { items: Vec::new(), free: Default::default() }
    }

    #[inline(always)]
    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }

    #[inline(always)]
    pub(crate) fn items_mut(&mut self) -> &mut [T] {
        &mut self.items
    }

    /// Puts an item before item `at` of the array of `len` items at `base`; returns where the array begins now.
    pub(crate) fn insert(&mut self, base: u32, len: usize, at: usize, item: T) -> u32 {
        let stays = len > 0 && size_class(len) == size_class(len + 1);
        let new_base = if stays { base } else { self.allocate(size_class(len + 1)) };
        let (old, new) = (base as usize, new_base as usize);
        self.items.copy_within(old + at..old + len, new + at + 1);
        if !stays {
            self.items.copy_within(old..old + at, new);
            self.release(base, len);
        }
        self.items[new + at] = item;
        new_base
    }

    /// Takes item `at` out of the array of `len` items at `base`; returns where the array begins now.
    pub(crate) fn remove(&mut self, base: u32, len: usize, at: usize) -> u32 {
        let start = base as usize;
        self.items.copy_within(start + at + 1..start + len, start + at);
        if len == 1 {
            self.release(base, len);
            return 0;
        }
        if size_class(len) == size_class(len - 1) {
            return base;
        }
        let new_base = self.allocate(size_class(len - 1));
        self.items.copy_within(start..start + len - 1, new_base as usize);
        self.release(base, len);
        new_base
    }

    /// Gives an array back.
    pub(crate) fn release(&mut self, base: u32, len: usize) {
        if len > 0 {
            self.free[size_class(len)].push(base);
        }
    }

    /// Bytes that the arrays occupy.
    pub(crate) fn memory(&self) -> usize {
        let free: usize = self.free.iter().map(|list| list.capacity() * size_of::<u32>()).sum();
        self.items.capacity() * size_of::<T>() + free
    }

    fn allocate(&mut self, class: usize) -> u32 {
        self.free[class].pop().unwrap_or_else(|| {
            let base = self.items.len();
            self.items.resize(base + usize::from(SIZES[class]), T::default());
            base as u32
        })
    }
}

fn size_class(len: usize) -> usize {
    SIZES.partition_point(|&size| usize::from(size) < len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behave_like_vectors(steps in proptest::collection::vec((0usize..4, any::<bool>(), 0usize..64), 1..400)) {
            let mut arrays = Arrays::new();
            let mut expected: [(u32, Vec<u32>); 4] = Default::default();
            for (serial, (which, grows, at)) in steps.into_iter().enumerate() {
                let (base, array) = &mut expected[which];
                if grows && array.len() < 64 {
                    let at = at % (array.len() + 1);
                    *base = arrays.insert(*base, array.len(), at, serial as u32);
                    array.insert(at, serial as u32);
                } else if !array.is_empty() {
                    let at = at % array.len();
                    *base = arrays.remove(*base, array.len(), at);
                    array.remove(at);
                }
                for (base, array) in &expected {
                    let stored = &arrays.items()[*base as usize..][..array.len()];
                    prop_assert_eq!(stored, &array[..]);
                }
            }
        }
    }

    #[test]
    fn room_is_used_again() {
        let mut arrays = Arrays::new();
        for _ in 0..1000 {
            let base = arrays.insert(0, 0, 0, 1u32);
            let base = arrays.insert(base, 1, 1, 2);
            let base = arrays.remove(base, 2, 0);
            arrays.remove(base, 1, 0);
        }
        assert_eq!(arrays.items().len(), 3);
    }
}
