//! Memory that the ring knows beforehand (registered buffers): the system need not look its pages up for each message.
use crate::transmit::{Payload, TransmitError};
use memmap2::MmapMut;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most that one registered buffer may be, io_uring_register(2).
const LARGEST: usize = 1 << 30;

/// Registered memory in slots of one size, of which each has one owner at a time. Clones are one and the same.
///
/// A slot that is in flight comes back when its message is released; [`Arena::take`] then gives it to somebody else. The
/// limit is the number of slots; at the limit there is none.
#[derive(Clone)]
pub struct Arena(Arc<Inner>);

struct Inner {
    /// All slots; never borrowed as a whole, because slots are written by their owners.
    base: NonNull<u8>,
    length: usize,
    slot: usize,
    free: Mutex<Vec<u32>>,
    _map: MmapMut,
}

// SAFETY: the memory belongs to the map, which stays; slots are disjoint, and each is written through its one owner only.
unsafe impl Send for Inner {}
// SAFETY: as above; the list of free slots is behind a lock.
unsafe impl Sync for Inner {}

impl Arena {
    /// Memory for `slots` slots of `slot` bytes, which is zero.
    ///
    /// # Errors
    /// [`TransmitError::Setting`] for no bytes or more than 1 GiB, [`TransmitError::System`] when there is no memory.
    pub fn new(slots: usize, slot: usize) -> Result<Self, TransmitError> {
        let length = slots.checked_mul(slot).filter(|&length| (1..=LARGEST).contains(&length));
        let Some(length) = length else {
            let value = (slots as u64).saturating_mul(slot as u64);
            return Err(TransmitError::Setting {
                setting: "arena",
                value,
                expected: "1 byte to 1 GiB in all",
            });
        };
        let failed = |source| TransmitError::System { call: "mmap", source };
        let mut map = MmapMut::map_anon(length).map_err(failed)?;
        // Large pages are fewer pieces for a driver; a hint.
        let _ = map.advise(memmap2::Advice::HugePage);
        let base = NonNull::new(map.as_mut_ptr()).ok_or(TransmitError::last("mmap"))?;
        let free = Mutex::new((0..slots as u32).rev().collect());
        Ok(Self(Arc::new(Inner { base, length, slot, free, _map: map })))
    }

    /// A slot of its own, with `length` bytes that are what the last owner left, or `None` when none is free or it is too
    /// short.
    pub fn take(&self, length: usize) -> Option<ArenaBuffer> {
        if length > self.0.slot {
            return None;
        }
        let slot = self.0.lock().pop()?;
        Some(ArenaBuffer { arena: self.clone(), slot, length })
    }

    /// Bytes of a slot.
    pub fn slot_size(&self) -> usize {
        self.0.slot
    }

    /// Slots that nobody owns.
    pub fn free(&self) -> usize {
        self.0.lock().len()
    }

    /// All of it, as the ring registers it.
    pub(super) fn whole(&self) -> libc::iovec {
        libc::iovec { iov_base: self.0.base.as_ptr().cast(), iov_len: self.0.length }
    }

    /// True when an entry lies in it.
    pub(super) fn holds(&self, entry: &libc::iovec) -> bool {
        let at = (entry.iov_base as usize).wrapping_sub(self.0.base.as_ptr() as usize);
        at < self.0.length && entry.iov_len <= self.0.length - at
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arena({} of {} bytes, {} free)", self.0.length / self.0.slot, self.0.slot, self.free())
    }
}

/// Bytes of an [`Arena`] that belong to whoever has this; they go back when it is dropped.
#[derive(Debug)]
pub struct ArenaBuffer {
    arena: Arena,
    slot: u32,
    length: usize,
}

impl ArenaBuffer {
    fn start(&self) -> NonNull<u8> {
        // SAFETY: slot numbers are below the number of slots, so that the place is in the map.
        unsafe { self.arena.0.base.add(self.slot as usize * self.arena.0.slot) }
    }

    /// Makes it shorter; a longer length changes nothing.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl Deref for ArenaBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `length` is at most a slot's, the slot is initialised and this is its one owner.
        unsafe { std::slice::from_raw_parts(self.start().as_ptr(), self.length) }
    }
}

impl DerefMut for ArenaBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for reading, and it is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start().as_ptr(), self.length) }
    }
}

impl AsRef<[u8]> for ArenaBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Payload for ArenaBuffer {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&**self)
    }
}

impl Drop for ArenaBuffer {
    fn drop(&mut self) {
        self.arena.0.lock().push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_one_owner_and_come_back() {
        let arena = Arena::new(2, 64).expect("some memory");
        let (mut one, two) = (arena.take(64).expect("free"), arena.take(10).expect("free"));
        assert!(arena.take(1).is_none(), "the limit");
        one.fill(7);
        assert_eq!((&*two, one.len()), (&[0; 10][..], 64));
        drop(one);
        let again = arena.take(3).expect("back");
        assert_eq!((&*again, arena.free()), (&[7; 3][..], 0));
        assert!(arena.take(65).is_none() && Arena::new(0, 64).is_err() && Arena::new(2, usize::MAX).is_err());
    }
}
