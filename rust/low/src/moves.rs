//! Moving many items from one list to another.

/// Moves all items of `from` behind those of `into`, in order; a default one stands in the place of each.
///
/// It does what `into.extend(from.iter_mut().map(std::mem::take))` does. The compiler cannot know that the two lists do not
/// overlap, and copies each item twice there: what is taken is kept elsewhere until its place is written.
#[inline]
pub fn take_all<T: Default>(from: &mut [T], into: &mut Vec<T>) {
    into.reserve(from.len());
    for item in from {
        let end = into.len();
        // SAFETY: `end` is below the capacity, which was reserved; `from` is borrowed mutably and is no part of the spare
        // capacity of `into`. Until the item is written over, `from` owns it and the copy does not count, so that a default
        // that panics changes nothing; then the copy counts, and nothing can panic or drop in between.
        unsafe {
            std::ptr::copy_nonoverlapping(item, into.as_mut_ptr().add(end), 1);
            std::ptr::write(item, T::default());
            into.set_len(end + 1);
        }
    }
}

/// Moves what `take` gives of each item behind those of `into`, up to the first item that it gives nothing of, and of `most` items:
/// how many items that was.
///
/// A loop over [`Vec::push`] would ask for room, and write the length, each time.
#[inline(always)]
pub fn take_while<T, U>(
    from: &mut [T],
    most: usize,
    into: &mut Vec<U>,
    mut take: impl FnMut(&mut T) -> Option<U>,
) -> usize {
    let most = most.min(from.len());
    into.reserve(most);
    let (start, mut taken) = (into.len(), 0);
    for item in &mut from[..most] {
        let Some(item) = take(item) else { break };
        // SAFETY: `start + taken` is below `start + most`, for which there is room.
        unsafe { into.as_mut_ptr().add(start + taken).write(item) };
        taken += 1;
    }
    // SAFETY: so many were written behind the first `start`. Where `take` panics they are leaked, which is sound.
    unsafe { into.set_len(start + taken) };
    taken
}

/// Empties a list without dropping its items, of which nothing is left to be dropped. What they own is leaked.
#[inline]
pub fn forget_all<T>(items: &mut Vec<T>) {
    // SAFETY: no item is read any more, and a length of zero is within any capacity. Not to drop is sound.
    unsafe { items.set_len(0) };
}

#[cfg(test)]
mod tests {
    use super::{forget_all, take_all, take_while};
    use std::cell::Cell;
    use std::rc::Rc;

    thread_local! {
        /// Defaults that are made before one panics.
        static DEFAULTS: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    #[derive(Debug)]
    struct Item(Option<Rc<u32>>);

    impl Default for Item {
        fn default() -> Self {
            let left = DEFAULTS.get().checked_sub(1).expect("no more defaults");
            DEFAULTS.set(left);
            Self(None)
        }
    }

    fn items(owners: &[Rc<u32>]) -> Vec<Item> {
        owners.iter().map(|owner| Item(Some(owner.clone()))).collect()
    }

    fn numbers(items: &[Item]) -> Vec<Option<u32>> {
        items.iter().map(|item| item.0.as_deref().copied()).collect()
    }

    #[test]
    fn items_are_moved_in_order_and_each_has_one_owner() {
        let owners: Vec<_> = (0..5).map(Rc::new).collect();
        let (mut from, mut into) = (items(&owners), Vec::new());
        take_all(&mut from[3..], &mut into);
        take_all(&mut from[..2], &mut into);
        take_all(&mut from[..0], &mut into);
        assert_eq!(numbers(&into), [Some(3), Some(4), Some(0), Some(1)]);
        assert_eq!(numbers(&from), [None, None, Some(2), None, None]);
        assert!(owners.iter().all(|owner| Rc::strong_count(owner) == 2));
        drop((from, into));
        assert!(owners.iter().all(|owner| Rc::strong_count(owner) == 1));
    }

    #[test]
    fn items_are_taken_up_to_the_first_that_has_nothing() {
        let owners: Vec<_> = (0..6).map(Rc::new).collect();
        let (mut from, mut into) = (items(&owners), vec![Rc::new(9)]);
        from[4].0 = None;
        assert_eq!(take_while(&mut from, 2, &mut into, |item| item.0.take()), 2);
        assert_eq!(take_while(&mut from[2..], 9, &mut into, |item| item.0.take()), 2);
        assert_eq!(take_while(&mut from[4..], 9, &mut into, |item| item.0.take()), 0);
        assert_eq!(take_while(&mut from[..0], 9, &mut into, |item| item.0.take()), 0);
        assert_eq!(into.iter().map(|item| **item).collect::<Vec<_>>(), [9, 0, 1, 2, 3]);
        assert_eq!(numbers(&from), [None, None, None, None, None, Some(5)]);
        drop((from, into));
        assert!(owners.iter().all(|owner| Rc::strong_count(owner) == 1));
    }

    #[test]
    fn what_is_forgotten_is_not_dropped_and_the_list_goes_on() {
        let owners: Vec<_> = (0..5).map(Rc::new).collect();
        let mut list = items(&owners);
        let taken: Vec<_> = list.iter_mut().map(|item| item.0.take()).collect();
        let capacity = list.capacity();
        forget_all(&mut list);
        assert_eq!((list.len(), list.capacity()), (0, capacity));
        assert!(owners.iter().all(|owner| Rc::strong_count(owner) == 2));
        list.extend(taken.into_iter().map(Item));
        drop(list);
        assert!(owners.iter().all(|owner| Rc::strong_count(owner) == 1));
    }

    #[test]
    fn a_default_that_panics_leaves_every_item_with_one_owner() {
        let owners: Vec<_> = (0..5).map(Rc::new).collect();
        let (mut from, mut into) = (items(&owners), Vec::new());
        DEFAULTS.set(3);
        let taken = std::panic::AssertUnwindSafe(|| take_all(&mut from, &mut into));
        assert!(std::panic::catch_unwind(taken).is_err());
        assert_eq!(numbers(&into), [Some(0), Some(1), Some(2)]);
        assert_eq!(numbers(&from), [None, None, None, Some(3), Some(4)]);
        assert!(owners.iter().all(|owner| Rc::strong_count(owner) == 2));
    }
}
