//! The segments of a packet after its first.
use std::ops::{Deref, DerefMut};

use crate::pool::PacketPool;
use crate::segment::Segment;

/// A list that costs one comparison where it is empty, and no allocation up to one segment: the payload behind headers
/// that were copied. A vector that keeps some elements in place is walked and freed by calls, even when it has none.
#[derive(Debug, Default)]
pub(crate) enum Rest {
    #[default]
    None,
    One(Segment),
    More(Vec<Segment>),
}

/// Pieces that a list has room for when it is made for the second one: what becomes more than two mostly grows on.
const ROOM: usize = 16;

impl Rest {
    /// True without segments.
    #[inline(always)]
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Puts a segment behind all of them.
    #[inline]
    pub(crate) fn push(&mut self, segment: Segment) {
        match self {
            Self::More(list) => list.push(segment),
            _ => self.push_early(segment),
        }
    }

    /// As [`Rest::push`], of the bytes of a segment after the first `from`, and with a list of the pool's where one is needed.
    #[inline(always)]
    pub(crate) fn push_pooled(&mut self, segment: Segment, from: u32, pool: &mut PacketPool) {
        // Without a call that takes it, the segment goes into the list from registers, and waits for nothing.
        match self {
            Self::More(list) if list.len() < list.capacity() => list.push(segment.after(from)),
            _ => self.push_rarely(segment.after(from), pool),
        }
    }

    #[inline(never)]
    fn push_rarely(&mut self, segment: Segment, pool: &mut PacketPool) {
        if let Self::More(list) = self {
            return list.push(segment);
        }
        let Some(mut list) = pool.list() else { return self.push_early(segment) };
        if let Self::One(other) = std::mem::take(self) {
            list.push(other);
        }
        list.push(segment);
        *self = Self::More(list);
    }

    #[inline(never)]
    fn push_early(&mut self, segment: Segment) {
        *self = match std::mem::take(self) {
            Self::One(other) => {
                let mut list = Vec::with_capacity(ROOM);
                list.extend([other, segment]);
                Self::More(list)
            }
            _ => Self::One(segment),
        };
    }

    /// Puts a segment before the one at `at`, or behind all of them.
    pub(crate) fn insert(&mut self, at: usize, segment: Segment) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(segment),
            Self::One(other) if at == 0 => Self::More(vec![segment, other]),
            Self::One(other) => Self::More(vec![other, segment]),
            Self::More(mut list) => {
                list.insert(at, segment);
                Self::More(list)
            }
        };
    }

    /// Puts a list behind this one.
    pub(crate) fn append(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::None) => {}
            (Self::None, other) => *self = other,
            (_, Self::One(segment)) => self.push(segment),
            (Self::More(list), Self::More(other)) => list.extend(other),
            (Self::One(_), Self::More(mut list)) => {
                if let Self::One(segment) = std::mem::take(self) {
                    list.insert(0, segment);
                }
                *self = Self::More(list);
            }
        }
    }

    /// Takes the segments from `at` on.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        match self {
            _ if at == 0 => std::mem::take(self),
            Self::More(list) => Self::listed(list.split_off(at)),
            _ => Self::None,
        }
    }

    /// Takes the last `length` bytes, at least one, when they are one segment or a part of one.
    #[inline]
    pub(crate) fn take_last(&mut self, length: u32) -> Option<Segment> {
        let last = self.last_mut()?;
        match last.len().checked_sub(length)? {
            0 => match self {
                Self::More(list) if list.len() > 1 => list.pop(),
                _ => match std::mem::take(self) {
                    Self::One(last) => Some(last),
                    Self::More(mut list) => list.pop(),
                    Self::None => None,
                },
            },
            left => Some(last.cut(left)),
        }
    }

    /// An empty list is none: who lets a packet go asks for segments, and would not free it.
    fn listed(list: Vec<Segment>) -> Self {
        if list.is_empty() { Self::None } else { Self::More(list) }
    }

    /// Lets the first `count` segments go, and takes the one after them.
    pub(crate) fn advance(&mut self, count: usize) -> Option<Segment> {
        match std::mem::take(self) {
            Self::One(segment) if count == 0 => Some(segment),
            Self::More(mut list) if count < list.len() => {
                let next = list.drain(..=count).next_back();
                *self = Self::listed(list);
                next
            }
            _ => None,
        }
    }

    /// How many segments end within the first `length` bytes, and how many of these bytes are in the one after them.
    pub(crate) fn within(&self, length: u32) -> (usize, u32) {
        let (mut whole, mut left) = (0, length);
        while let Some(segment) = self.get(whole).filter(|segment| segment.len() <= left) {
            left -= segment.len();
            whole += 1;
        }
        (whole, left)
    }

    /// Ends after `length` bytes; a segment without bytes goes.
    pub(crate) fn truncate(&mut self, length: u32) {
        let (whole, left) = self.within(length);
        if let Some(cut) = self.get_mut(whole).filter(|_| left > 0) {
            cut.truncate(left);
            self.split_off(whole + 1);
        } else {
            self.split_off(whole);
        }
    }

    /// The same number of segments, made of these.
    pub(crate) fn map(&mut self, make: impl FnMut(&mut Segment) -> Segment) -> Self {
        match self.iter_mut().map(make) {
            mut one if one.len() == 1 => one.next().map_or(Self::None, Self::One),
            more if more.len() > 1 => Self::More(more.collect()),
            _ => Self::None,
        }
    }
}

impl Deref for Rest {
    type Target = [Segment];

    #[inline]
    fn deref(&self) -> &[Segment] {
        match self {
            Self::None => &[],
            Self::One(segment) => std::slice::from_ref(segment),
            Self::More(list) => list,
        }
    }
}

impl DerefMut for Rest {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Segment] {
        match self {
            Self::None => &mut [],
            Self::One(segment) => std::slice::from_mut(segment),
            Self::More(list) => list,
        }
    }
}
