//! Tables of zeros that take memory where they are written.
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use zerocopy::FromZeros;

/// Items that are zero until they are written: of none at first it becomes longer, up to a fixed number, for nothing.
///
/// A `Vec` of zeros whose items stand on cache lines is written when it is made: allocators give memory that the system has
/// cleared, and that is not there yet, for small alignments alone. So here is room to move up to the next line.
#[derive(Debug)]
pub struct Zeroed<T> {
    items: NonNull<T>,
    len: usize,
    room: usize,
    block: NonNull<u8>,
    layout: Layout,
}

/// What every allocator aligns to by itself.
const ALIGNED: usize = 8;
/// Blocks of fewer bytes are cleared soon enough.
const LARGE: usize = 1 << 20;
/// Blocks of so many bytes come from the system, and go back to it (glibc: `M_MMAP_THRESHOLD` is at most 32 MiB): of a smaller one
/// that was used before, the allocator clears each byte. Address space costs nothing.
const FROM_SYSTEM: usize = 33 << 20;

impl<T: FromZeros + Copy> Zeroed<T> {
    /// Room for so many items; `None` when there is no address space for them.
    pub fn new(room: usize) -> Option<Self> {
        let bytes = room.checked_mul(size_of::<T>())?.checked_add(align_of::<T>())?;
        let bytes = if bytes < LARGE { bytes } else { bytes.max(FROM_SYSTEM) };
        let layout = Layout::from_size_align(bytes, ALIGNED).ok()?;
        // SAFETY: the layout is at least `align_of::<T>()` bytes, never none.
        let block = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let skip = block.align_offset(align_of::<T>());
        // SAFETY: an aligned place is less than `align_of::<T>()` bytes away, which the block has beside its items.
        let items = unsafe { block.add(skip) }.cast();
        Some(Self { items, len: 0, room, block, layout })
    }

    /// It has `len` items at least, as far as there is room.
    #[inline]
    pub fn lengthen(&mut self, len: usize) {
        self.len = self.len.max(len.min(self.room));
    }

    /// All items that there is room for.
    pub fn all_mut(&mut self) -> &mut [T] {
        // SAFETY: `new` has made `room` items there, aligned and zero, which `FromZeros` says are values; they live as long as this,
        // which is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.items.as_ptr(), self.room) }
    }
}

impl<T> Deref for Zeroed<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: as in `all_mut`; `len` is never above `room`.
        unsafe { std::slice::from_raw_parts(self.items.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Zeroed<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `all_mut`; `len` is never above `room`.
        unsafe { std::slice::from_raw_parts_mut(self.items.as_ptr(), self.len) }
    }
}

impl<T> Drop for Zeroed<T> {
    fn drop(&mut self) {
        // SAFETY: `new` got the block with this layout; its items, being `Copy`, have nothing to be dropped.
        unsafe { dealloc(self.block.as_ptr(), self.layout) }
    }
}

// SAFETY: it owns its items, as a boxed slice does.
unsafe impl<T: Send> Send for Zeroed<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Zeroed<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, FromZeros)]
    #[repr(C, align(64))]
    struct Line([u64; 8]);

    #[test]
    fn items_are_zero_aligned_and_stay_what_they_become() {
        for len in [0, 1, 1_000, 1 << 20] {
            let mut lines = Zeroed::<Line>::new(len).unwrap();
            assert!(lines.is_empty() && lines.all_mut().len() == len);
            lines.lengthen(len / 2);
            assert_eq!(lines.len(), len / 2);
            lines.lengthen(usize::MAX);
            lines.lengthen(1);
            assert_eq!((lines.len(), lines.as_ptr().align_offset(64)), (len, 0));
            if let [first, .., last] = &mut *lines {
                (first.0, last.0) = ([1; 8], [2; 8]);
            }
            let sum: u64 = lines.iter().flat_map(|line| line.0).sum();
            assert_eq!(sum, if len > 1 { 24 } else { 0 });
        }
        assert!(Zeroed::<Line>::new(usize::MAX / 64).is_none());
        assert!(Zeroed::<Line>::new(usize::MAX).is_none());
        assert_eq!(Zeroed::<()>::new(9).unwrap().all_mut().len(), 9);
    }
}
