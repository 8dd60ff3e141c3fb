//! Prefetch hints: they never fault and never change what a program computes.

/// Asks the cache for the line of `slice[index]`; an index outside does nothing.
#[inline(always)]
pub fn prefetch<T>(slice: &[T], index: usize) {
    if let Some(item) = slice.get(index) {
        line(std::ptr::from_ref(item).cast());
    }
}

/// Asks the cache for the first two lines of `slice[index]`; an index outside does nothing.
#[inline(always)]
pub fn prefetch2<T>(slice: &[T], index: usize) {
    if let Some(item) = slice.get(index) {
        let first: *const u8 = std::ptr::from_ref(item).cast();
        line(first);
        line(first.wrapping_add(64));
    }
}

/// Asks the cache for the line of `slice[index]`, where such an item is: outside, for memory that nobody needs.
#[inline(always)]
pub fn prefetch_within<T>(slice: &[T], index: usize) {
    line(slice.as_ptr().wrapping_add(index).cast());
}

/// Asks the cache for the first two lines of `slice[index]`, likewise.
#[inline(always)]
pub fn prefetch2_within<T>(slice: &[T], index: usize) {
    let first: *const u8 = slice.as_ptr().wrapping_add(index).cast();
    line(first);
    line(first.wrapping_add(64));
}

/// Asks the cache for the line `distance` bytes behind the first of `bytes`, whatever stands there: of what is read in
/// order, that comes soon.
#[inline(always)]
pub fn prefetch_behind(bytes: &[u8], distance: usize) {
    line(bytes.as_ptr().wrapping_add(distance));
}

#[inline(always)]
fn line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint: it reads nothing and faults at no address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
