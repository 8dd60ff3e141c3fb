//! What follows from an answer of the system: to a part, to a message, to the rung.
use crate::transmit::message::{Completion, Payload, Release};
use crate::transmit::outstanding::{Queued, read_error_queue};
use crate::transmit::plan::{FEWER_SEGMENTS, Part};
use crate::transmit::ring::Ring;
use crate::transmit::{Blocked, CHANGES_KEPT, Change, Reason, Rung, TransmitError, Transmitter};
use netfast_time::Instant;
use rustix::event::epoll;
use std::os::fd::AsFd;

/// Copied parts in a row after which zero-copy is switched off.
const COPIED_RUN: u32 = 16;

/// Messages in a row that the system would not segment after which it is not asked again.
const UNSEGMENTED_RUN: u32 = 16;

/// Entries of the error queue that one call of [`Transmitter::reap`] reads.
const NOTIFICATIONS: usize = 1_024;

/// Answers in a row that tell about the rung.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Runs {
    copied: u32,
    unsegmented: u32,
}

impl<P: Payload> Transmitter<P> {
    /// Sends what can be sent.
    pub(super) fn push(&mut self, now: Instant) {
        loop {
            self.drop_cancelled(now);
            // What is with the ring is waited for also when its rung was left: nothing may overtake it.
            let is_sending = self.ring.as_ref().is_some_and(Ring::is_busy);
            if self.queue.is_empty() || self.blocked.is_some() || is_sending || !self.plan() {
                return;
            }
            let goes_on = match self.scratch.parts[0].rung.is_ring() {
                true => self.push_ring(now),
                false => self.push_calls(now),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Takes in what the system says of parts that it had.
    pub(super) fn reap(&mut self, now: Instant) {
        self.reap_ring(now);
        for _ in 0..NOTIFICATIONS {
            if self.outstanding.awaited() == 0 {
                return;
            }
            match read_error_queue(self.socket.as_fd()) {
                Queued::Empty => return,
                Queued::Other => {}
                Queued::Free(range) => {
                    let mut outstanding = std::mem::take(&mut self.outstanding);
                    outstanding
                        .free(range, |slot| self.notified(slot, Rung::ZeroCopy, Some(range.copied), now));
                    self.outstanding = outstanding;
                }
            }
        }
    }

    /// Ends messages at the front that were cancelled while they were with the ring.
    pub(super) fn drop_cancelled(&mut self, now: Instant) {
        while let Some(&slot) = self.queue.front() {
            let is_sending = self.ring.as_ref().is_some_and(|ring| ring.is_sending(slot));
            if !self.slab.state(slot).is_cancelled || is_sending {
                return;
            }
            self.queue.pop_front();
            self.end(slot, now, Some(libc::ECANCELED));
        }
    }

    /// The system took `count` bytes of a part of the message at the front.
    pub(super) fn accept(&mut self, part: &Part, count: usize, now: Instant) {
        // Datagrams are taken whole.
        let count = if self.kind.is_stream { count } else { part.length };
        let counters = self.counters.rung_mut(part.rung);
        counters.parts += 1;
        counters.datagrams += u64::from(part.segments);
        counters.bytes += count as u64;
        self.counters.short += u64::from(count < part.length);
        if part.segments > 1 {
            self.runs.unsegmented = 0;
        }
        let state = self.slab.state_mut(part.slot);
        if state.is_sent {
            return;
        }
        state.sent += count;
        state.handed = now;
        // A payload that has become shorter than it was gives nothing more.
        if state.sent >= state.total || count == 0 {
            self.unqueue(part.slot);
            self.end(part.slot, now, None);
        }
    }

    /// The system did not take a part of the message at the front. True when it is to be tried again at once.
    pub(super) fn refuse(&mut self, part: &Part, errno: i32, now: Instant) -> bool {
        match errno {
            libc::EINTR => true,
            libc::EAGAIN => {
                self.counters.blocked += 1;
                self.blocked = Some(Blocked::Writable);
                false
            }
            libc::ENOBUFS | libc::ENOMEM => self.refuse_memory(part),
            libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP
                if part.segments > 1 || part.zero_copy =>
            {
                self.refuse_kind(part, errno);
                true
            }
            _ => {
                if self.kind.is_stream && errno != libc::ECANCELED {
                    self.break_stream(errno, now);
                } else {
                    self.unqueue(part.slot);
                    self.end(part.slot, now, Some(errno));
                }
                true
            }
        }
    }

    /// Takes a message out of the queue; it is the front one unless the system did not keep to the order.
    fn unqueue(&mut self, slot: u32) {
        match self.queue.front() {
            Some(&front) if front == slot => drop(self.queue.pop_front()),
            _ => self.queue.retain(|&queued| queued != slot),
        }
    }

    /// There is no memory for what is in flight: it is waited for, or without any the part is copied.
    fn refuse_memory(&mut self, part: &Part) -> bool {
        self.counters.out_of_memory += 1;
        let awaited = self.outstanding.awaited() + self.ring.as_ref().map_or(0, |ring| ring.awaited());
        if awaited > 0 {
            self.blocked = Some(Blocked::Release);
            return false;
        }
        if part.zero_copy {
            self.copy_instead(part);
            return true;
        }
        self.counters.blocked += 1;
        self.blocked = Some(Blocked::Writable);
        false
    }

    /// The system cannot do with the part what was asked for: it is asked for less.
    fn refuse_kind(&mut self, part: &Part, errno: i32) {
        if part.zero_copy {
            self.copy_instead(part);
            if errno == libc::EOPNOTSUPP {
                let what = "sending without a copy";
                self.descend(self.shape.copying(), Reason::Unsupported { what, errno });
            }
        } else if part.segments > FEWER_SEGMENTS {
            self.shape.max_segments = FEWER_SEGMENTS;
        } else {
            self.counters.unsegmented += 1;
            self.slab.state_mut(part.slot).must_cut = true;
            self.runs.unsegmented += 1;
            // EIO: the route's device does no checksums, so that no datagram of this socket will be segmented.
            if errno == libc::EIO || self.runs.unsegmented >= UNSEGMENTED_RUN {
                self.shape.segments = false;
                let base = self.shape.base();
                let to = if base == Rung::Segment { Rung::Sendmmsg } else { base };
                self.descend(to, Reason::NotSegmented { errno });
            }
        }
    }

    fn copy_instead(&mut self, part: &Part) {
        self.counters.zero_copy_refused += 1;
        self.slab.state_mut(part.slot).must_copy = true;
    }

    /// A stream of which a piece is missing would be another stream: all that waits fails.
    fn break_stream(&mut self, errno: i32, now: Instant) {
        self.broken = Some(errno);
        for slot in std::mem::take(&mut self.queue) {
            self.end(slot, now, Some(errno));
        }
    }

    /// The first phase of a message is over: nothing more of it will be handed over. It is no longer in the queue.
    pub(super) fn end(&mut self, slot: u32, now: Instant, errno: Option<i32>) {
        let state = self.slab.state_mut(slot);
        state.is_sent = true;
        let outcome = errno.map_or(Ok(state.sent), |errno| Err(state.failure(errno)));
        let awaited = state.awaited;
        match errno {
            None => self.counters.sent += 1,
            Some(libc::ECANCELED) => self.counters.cancelled += 1,
            Some(_) => self.counters.failed += 1,
        }
        let ticket = self.slab.ticket(slot);
        if awaited > 0 {
            self.done.push_back(Completion::Sent { ticket, outcome });
            return;
        }
        if self.slab.state(slot).copied + self.slab.state(slot).zero_copied > 0 {
            // Notified already, before the end was known.
            self.done.push_back(Completion::Sent { ticket, outcome });
            self.release(slot, now);
        } else if let Some(payload) = self.slab.remove(slot) {
            self.counters.released += 1;
            self.done.push_back(Completion::Done { ticket, outcome, payload });
        }
    }

    /// The system does not read a part any more that went without a copy, or was `copied` after all; `None` when it did
    /// not go.
    pub(super) fn notified(&mut self, slot: u32, rung: Rung, copied: Option<bool>, now: Instant) {
        let state = self.slab.state_mut(slot);
        state.awaited = state.awaited.saturating_sub(1);
        let waited = now.since(state.handed);
        if let Some(copied) = copied {
            let counters = self.counters.rung_mut(rung);
            let (told, counted) = match copied {
                true => (&mut state.copied, &mut counters.copied),
                false => (&mut state.zero_copied, &mut counters.zero_copied),
            };
            *told += 1;
            *counted += 1;
            counters.notification_time += waited;
            counters.notification_longest = counters.notification_longest.max(waited);
        }
        if state.awaited == 0 && state.is_sent {
            self.release(slot, now);
        }
        if self.blocked == Some(Blocked::Release) {
            self.blocked = None;
        }
        if let Some(copied) = copied {
            self.judge(copied);
        }
    }

    fn release(&mut self, slot: u32, now: Instant) {
        let ticket = self.slab.ticket(slot);
        let state = self.slab.state(slot);
        let waited = now.since(state.handed);
        let release = Release { zero_copied: state.zero_copied, copied: state.copied, waited };
        if let Some(payload) = self.slab.remove(slot) {
            self.counters.released += 1;
            self.done.push_back(Completion::Released { ticket, payload, release });
        }
    }

    /// Leaves zero-copy when the system copies all the same, and takes it up again when it does not.
    pub(super) fn judge(&mut self, copied: bool) {
        self.runs.copied = if copied { self.runs.copied.saturating_add(1) } else { 0 };
        let (base, now, copying) = (self.shape.base(), self.shape.rung(), self.shape.copying());
        if !self.config.is_adaptive || !base.is_zero_copy() {
            return;
        }
        if self.runs.copied >= COPIED_RUN && now == base {
            self.shape.switch(false);
            self.note(Change { from: base, to: copying, reason: Reason::Copied { messages: COPIED_RUN } });
        } else if !copied && now != base {
            self.shape.switch(true);
            self.note(Change { from: now, to: base, reason: Reason::NotCopied });
        }
    }

    /// Leaves the rung for good.
    pub(super) fn descend(&mut self, to: Rung, reason: Reason) {
        let from = self.shape.base();
        self.shape.take(to);
        self.note(Change { from, to, reason });
    }

    fn note(&mut self, change: Change) {
        if self.changes.len() < CHANGES_KEPT {
            self.changes.push(change);
        }
        self.counters.changes += 1;
    }

    /// Has the socket watched for what is waited for: room, or notifications, which are errors to epoll(7).
    pub(super) fn watch(&mut self) -> Result<(), TransmitError> {
        let wanted = match self.blocked {
            Some(Blocked::Writable) => Some(epoll::EventFlags::OUT),
            _ if self.outstanding.awaited() > 0 => Some(epoll::EventFlags::empty()),
            _ => None,
        };
        if wanted == self.watched {
            return Ok(());
        }
        let (socket, data) = (self.socket.as_fd(), epoll::EventData::new_u64(0));
        let done = match (self.watched, wanted) {
            (None, Some(events)) => epoll::add(&self.epoll, socket, data, events),
            (Some(_), Some(events)) => epoll::modify(&self.epoll, socket, data, events),
            (_, None) => epoll::delete(&self.epoll, socket),
        };
        done.map_err(TransmitError::system("epoll_ctl"))?;
        self.watched = wanted;
        Ok(())
    }
}
