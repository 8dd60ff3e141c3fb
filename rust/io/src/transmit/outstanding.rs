//! `MSG_ZEROCOPY`: the socket numbers the parts that it took, and its error queue says which numbers are free.
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Free numbers of a socket: from `first` to `last`, which may be less when the number wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) copied: bool,
}

/// Which message a number stands for, until it is free.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    /// The number of the front part, as the socket counts, which begins at 0 and wraps.
    first: u32,
    /// The messages, by number; `None` for what was free before those in front of it.
    parts: VecDeque<Option<u32>>,
    /// How many of them are not free.
    awaited: usize,
}

impl Outstanding {
    /// One whose first part has this number.
    #[cfg(test)]
    pub(super) fn starting_at(first: u32) -> Self {
        Self { first, ..Self::default() }
    }

    /// The socket took a part of a message.
    pub(super) fn push(&mut self, slot: u32) {
        self.parts.push_back(Some(slot));
        self.awaited += 1;
    }

    /// Parts that are not free.
    pub(super) fn awaited(&self) -> usize {
        self.awaited
    }

    /// Parts are free: calls `each` with the message of each. A number that is not outstanding is passed over.
    pub(super) fn free(&mut self, range: Range, mut each: impl FnMut(u32)) {
        let Some(back) = self.parts.len().checked_sub(1) else { return };
        // Numbers are compared by their distance from the front, so that a wrap is no matter.
        let more = range.last.wrapping_sub(range.first) as usize;
        let (ahead, behind) = (range.first.wrapping_sub(self.first), self.first.wrapping_sub(range.first));
        let (from, to) = match ahead as usize {
            ahead if ahead <= back => (ahead, ahead.saturating_add(more)),
            _ if behind as usize <= more => (0, more - behind as usize),
            _ => return,
        };
        for part in self.parts.range_mut(from..=to.min(back)) {
            if let Some(slot) = part.take() {
                self.awaited -= 1;
                each(slot);
            }
        }
        while let Some(None) = self.parts.front() {
            self.parts.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }
}

/// What one read of an error queue found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// Free numbers.
    Free(Range),
    /// Something else, such as an ICMP error of a socket that asked for them.
    Other,
    /// Nothing.
    Empty,
}

/// Room for one `sock_extended_err` with the offender's address, and what else a socket may have asked for.
const CONTROL_LENGTH: usize = 512;

#[repr(C, align(8))]
struct Room([u8; CONTROL_LENGTH]);

/// Reads one entry of a socket's error queue (ip(7), `MSG_ERRQUEUE`).
pub(super) fn read_error_queue(socket: BorrowedFd<'_>) -> Queued {
    let mut room = Room([0; CONTROL_LENGTH]);
    // SAFETY: all fields of `msghdr` are integers or pointers, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_control = room.0.as_mut_ptr().cast();
    // The type of the field differs between C libraries.
    header.msg_controllen = CONTROL_LENGTH as _;
    // SAFETY: the header points to `room`, whose length it says; both outlive the call.
    let got =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if got < 0 {
        return Queued::Empty;
    }
    let length = (header.msg_controllen as usize).min(CONTROL_LENGTH);
    parse_control(&room.0[..length])
}

/// Looks for a zero-copy notification in control messages. Walked over bytes, so that no length of them is believed.
fn parse_control(mut control: &[u8]) -> Queued {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    const WORD: usize = size_of::<usize>();
    let number = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_ne_bytes)
    };
    while control.len() >= HEADER {
        // `cmsg_len` is a machine word on Linux.
        let Some(length) = control.first_chunk().map(|word| usize::from_ne_bytes(*word)) else { break };
        let (Some(level), Some(kind)) = (number(control, WORD), number(control, WORD + 4)) else { break };
        let Some(data) = control.get(HEADER..length) else { break };
        let is_error = matches!(
            (level as i32, kind as i32),
            (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR) | (libc::SOL_PACKET, _)
        );
        // struct sock_extended_err: errno, origin, type, code, pad, info, data.
        if is_error && data.len() >= 16 && data[4] == SO_EE_ORIGIN_ZEROCOPY {
            let (Some(first), Some(last)) = (number(data, 8), number(data, 12)) else { break };
            return Queued::Free(Range { first, last, copied: data[6] & SO_EE_CODE_ZEROCOPY_COPIED != 0 });
        }
        control = control.get(length.next_multiple_of(WORD)..).unwrap_or(&[]);
    }
    Queued::Other
}

/// linux/errqueue.h: a notification of zero-copy.
const SO_EE_ORIGIN_ZEROCOPY: u8 = 5;

/// linux/errqueue.h: the system copied after all.
const SO_EE_CODE_ZEROCOPY_COPIED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn freed(book: &mut Outstanding, first: u32, last: u32) -> Vec<u32> {
        let mut slots = Vec::new();
        book.free(Range { first, last, copied: false }, |slot| slots.push(slot));
        slots
    }

    #[test]
    fn numbers_wrap_at_32_bits_and_ranges_go_over_the_wrap() {
        let mut book = Outstanding::starting_at(u32::MAX - 1);
        (10..15).for_each(|slot| book.push(slot));
        assert_eq!(freed(&mut book, 0, 1), [12, 13], "out of order, behind the wrap");
        assert_eq!(book.awaited(), 3);
        assert_eq!(
            freed(&mut book, u32::MAX - 1, 0),
            [10, 11],
            "across the wrap; what was free is not told again"
        );
        assert_eq!(freed(&mut book, 2, 2), [14]);
        assert_eq!((book.awaited(), book.first, book.parts.len()), (0, 3, 0));
    }

    #[test]
    fn ranges_that_are_not_outstanding_end_soon_and_change_nothing() {
        let mut book = Outstanding::starting_at(5);
        book.push(1);
        assert_eq!(freed(&mut book, 6, 4), [0; 0], "ends one before it, as all numbers there are would");
        assert_eq!(freed(&mut book, 6, 5), [1]);
        book.push(2);
        assert_eq!(freed(&mut book, 7, u32::MAX), [0; 0]);
        assert_eq!(freed(&mut book, 0, 5), [0; 0]);
        assert_eq!(book.awaited(), 1);
        assert_eq!(freed(&mut book, 0, 6), [2], "one that begins before it");
    }

    #[test]
    fn control_messages_of_any_bytes_are_no_danger() {
        for length in 0..96_usize {
            for byte in [0_u8, 1, 16, 48, 255] {
                let bytes = vec![byte; length];
                assert_ne!(parse_control(&bytes), Queued::Empty, "{length} of {byte}");
            }
        }
    }
}
