//! Hints about pages of memory: they change what an access costs, never what it gives.

/// Asks the system for large pages under memory that has not been written yet, reserved or all zeros: a table of many small entries that is read
/// at random costs a walk through the page tables for each, unless few large pages hold it.
///
/// Only what lies between page boundaries of 2 MiB is concerned, so nothing happens to memory smaller than that, nor
/// where the system has no such pages (Linux: `/sys/kernel/mm/transparent_hugepage/enabled` says `never`).
pub fn advise_huge<T>(memory: &mut [T]) {
    const HUGE: usize = 2 << 20;
    let bytes = size_of_val(memory);
    let start: *mut u8 = memory.as_mut_ptr().cast();
    let skip = start.align_offset(HUGE);
    let len = bytes.saturating_sub(skip) / HUGE * HUGE;
    if len > 0 {
        advise(start.wrapping_add(skip), len);
    }
}

#[cfg(target_os = "linux")]
fn advise(start: *mut u8, len: usize) {
    // SAFETY: the range lies within one allocation that the caller borrowed mutably; the advice changes neither its
    // contents nor whether it may be accessed. A refusal is no error: the hint is not taken.
    let _ = unsafe { libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_not_concerned() {
        let mut memory: Vec<u64> = Vec::with_capacity(1 << 20);
        memory.extend(0..1000);
        advise_huge(memory.spare_capacity_mut());
        advise_huge::<u64>(&mut []);
        memory.extend(1000..1 << 20);
        assert!(memory.iter().enumerate().all(|(at, &value)| value == at as u64));
    }
}
