//! The rungs of io_uring: a chain of linked requests, each begun when the one before is done, so that order is kept also
//! while the system waits for room in the socket.
use crate::transmit::message::Payload;
use crate::transmit::plan::Part;
use crate::transmit::{Arena, BATCH, Blocked, MESSAGES, Reason, Rung, Transmitter};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use netfast_time::Instant;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Completions that the ring holds. Notifications that are awaited are fewer, so that it never runs over.
const COMPLETIONS: u32 = 4_096;

/// io_uring_enter(2): take completions.
const GET_EVENTS: u32 = 1;

/// io_uring(7): report with the notification whether the system copied.
const REPORT_USAGE: u16 = 1 << 3;

/// The answer of such a notification when it did.
const USAGE_COPIED: u32 = 1 << 31;

/// The user data of a request to cancel; chains are not numbered that far.
const CANCEL: u64 = u64::MAX;

/// What names a request in its completions: the chain, the message and the place in the chain. A name is not used again:
/// requests that were cancelled have a notification, too, which must not be taken for that of their next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    chain: u64,
    slot: u32,
    at: usize,
}

impl Name {
    const SLOT_BITS: u32 = 16;
    const AT_BITS: u32 = 8;

    fn to_bits(self) -> u64 {
        (self.chain << Self::SLOT_BITS | u64::from(self.slot)) << Self::AT_BITS | self.at as u64
    }

    fn from_bits(bits: u64) -> Self {
        Self {
            chain: bits >> (Self::SLOT_BITS + Self::AT_BITS),
            slot: (bits >> Self::AT_BITS) as u16 as u32,
            at: (bits & 0xff) as usize,
        }
    }
}

const _: () = assert!(BATCH <= 64 && MESSAGES <= 1 << Name::SLOT_BITS);

/// Notifications of a chain that are to come: a bit for each place.
#[derive(Clone, Copy, Debug, Default)]
struct Awaited {
    /// Of parts that were sent.
    sent: u64,
    /// Of parts that failed: nothing was copied or spared.
    failed: u64,
}

/// A request of the chain, and its answer.
#[derive(Debug)]
struct Link {
    part: Part,
    answer: Option<i32>,
}

/// A ring with at most one chain in it, and with the notifications of earlier ones to come.
pub(super) struct Ring {
    ring: IoUring,
    chain: Vec<Link>,
    number: u64,
    answered: usize,
    /// Notifications to come, by chain, and how many.
    chains: BTreeMap<u64, Awaited>,
    awaited: usize,
    /// The memory that is registered as buffer 0.
    arena: Option<Arena>,
    /// It is not entered any more: what stands in its queue would be sent twice.
    is_left: bool,
    /// Completions that were taken out and not yet looked at.
    taken: Vec<(u64, i32, u32)>,
}

impl Ring {
    /// Sets a ring up and asks whether it knows what is needed.
    pub(super) fn new(zero_copy: bool, arena: Option<&Arena>) -> Result<Self, Reason> {
        let built =
            IoUring::builder().setup_submit_all().setup_clamp().setup_cqsize(COMPLETIONS).build(BATCH as u32);
        let ring = built.map_err(|error| refusal("io_uring_setup", &error))?;
        let params = ring.params();
        if !params.is_feature_nodrop() || !params.is_feature_submit_stable() {
            return Err(Reason::Unsupported { what: "IORING_FEAT_SUBMIT_STABLE", errno: 0 });
        }
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(|error| refusal("io_uring_register", &error))?;
        if !probe.is_supported(opcode::SendMsg::CODE) {
            return Err(Reason::Unsupported { what: "IORING_OP_SENDMSG", errno: 0 });
        }
        if zero_copy && !probe.is_supported(opcode::SendMsgZc::CODE) {
            return Err(Reason::Unsupported { what: "IORING_OP_SENDMSG_ZC", errno: 0 });
        }
        let arena = arena.filter(|_| zero_copy).filter(|arena| {
            // SAFETY: the ring's clone of the arena keeps the memory mapped for as long as the ring is there.
            unsafe { ring.submitter().register_buffers(&[arena.whole()]) }.is_ok()
        });
        let arena = arena.cloned();
        Ok(Self {
            ring,
            chain: Vec::new(),
            number: 0,
            answered: 0,
            chains: BTreeMap::new(),
            awaited: 0,
            arena,
            is_left: false,
            taken: Vec::new(),
        })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns the descriptor and is borrowed for as long.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }

    /// True while a part of the message is in the chain.
    pub(super) fn is_sending(&self, slot: u32) -> bool {
        self.chain.iter().any(|link| link.part.slot == slot)
    }

    /// True while a chain is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.chain.is_empty()
    }

    /// Notifications to come.
    pub(super) fn awaited(&self) -> usize {
        self.awaited
    }

    /// Asks the system to end the request that it waits with; those after it end with it.
    pub(super) fn cancel(&mut self) {
        let waiting = self.chain.iter().position(|link| link.answer.is_none());
        let Some(at) = waiting.filter(|_| !self.is_left) else { return };
        let name = Name { chain: self.number, slot: self.chain[at].part.slot, at };
        let entry = opcode::AsyncCancel::new(name.to_bits()).build().user_data(CANCEL);
        // SAFETY: it refers to no memory.
        if unsafe { self.ring.submission().push(&entry) }.is_ok() {
            // Where it cannot be entered the request goes on, and its completion says so.
            let _ = self.ring.submit();
        }
    }

    /// Takes a notification off those that are awaited, and says whether its part was sent.
    fn take_notification(&mut self, name: Name) -> Option<bool> {
        let awaited = self.chains.get_mut(&name.chain)?;
        let bit = 1 << name.at;
        let was_sent = awaited.sent & bit != 0;
        if !was_sent && awaited.failed & bit == 0 {
            return None;
        }
        awaited.sent &= !bit;
        awaited.failed &= !bit;
        if awaited.sent | awaited.failed == 0 {
            self.chains.remove(&name.chain);
        }
        self.awaited -= 1;
        Some(was_sent)
    }

    /// Puts the plan into the ring as one chain.
    fn chain(&mut self, plan: &super::plan::Scratch, socket: types::Fd) {
        self.chain.clear();
        self.answered = 0;
        self.number += 1;
        let last = plan.parts.len().saturating_sub(1);
        for (at, part) in plan.parts.iter().enumerate() {
            let header = &raw const plan.headers[at].msg_hdr;
            let flags = libc::MSG_NOSIGNAL as u32;
            let entry = if part.zero_copy {
                let fixed = self.arena.as_ref().filter(|arena| plan.is_registered(part, arena)).map(|_| 0);
                opcode::SendMsgZc::new(socket, header)
                    .flags(flags)
                    .ioprio(REPORT_USAGE)
                    .buf_index(fixed)
                    .build()
            } else {
                opcode::SendMsg::new(socket, header).flags(flags).build()
            };
            let link = if at == last { squeue::Flags::empty() } else { squeue::Flags::IO_LINK };
            let name = Name { chain: self.number, slot: part.slot, at };
            let entry = entry.user_data(name.to_bits()).flags(link);
            // SAFETY: the system copies header and entries while it takes the request (IORING_FEAT_SUBMIT_STABLE), which
            // is within `push_ring`; payload, address and control message stay in the slab until the last completion.
            if unsafe { self.ring.submission().push(&entry) }.is_err() {
                // As many fit as a batch has; what does not is planned again.
                break;
            }
            self.chain.push(Link { part: *part, answer: None });
        }
    }
}

fn refusal(call: &'static str, error: &io::Error) -> Reason {
    match error.raw_os_error().unwrap_or(0) {
        errno @ (libc::EPERM | libc::EACCES) => Reason::Forbidden { call, errno },
        errno => Reason::Unsupported { what: call, errno },
    }
}

impl<P: Payload> Transmitter<P> {
    /// Submits the plan as a chain; none is under way. False when there is nothing to do before a completion comes.
    pub(super) fn push_ring(&mut self, now: Instant) -> bool {
        let Some(ring) = &mut self.ring else { return false };
        if ring.awaited + BATCH > ring.ring.params().cq_entries() as usize {
            self.blocked = Some(Blocked::Release);
            return false;
        }
        ring.chain(&self.scratch, types::Fd(self.socket.as_raw_fd()));
        // A notification may be there before the answer is looked at.
        ring.chain.iter().for_each(|link| self.slab.state_mut(link.part.slot).handed = now);
        let submitted = loop {
            match ring.ring.submit() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let base = self.shape.base();
        self.counters.rung_mut(base).calls += 1;
        let left = ring.ring.submission().len();
        if left > 0 {
            self.leave_ring(left, submitted.err());
        }
        self.reap_ring(now);
        // What is under way will wake the caller.
        self.ring.as_ref().is_none_or(|ring| ring.chain.is_empty())
    }

    /// The system does not take requests any more: what it did not take goes another way, in its order.
    fn leave_ring(&mut self, left: usize, error: Option<io::Error>) {
        let Some(ring) = &mut self.ring else { return };
        ring.chain.truncate(ring.chain.len() - left.min(ring.chain.len()));
        ring.is_left = true;
        let error = error.unwrap_or_else(|| io::Error::from_raw_os_error(libc::EAGAIN));
        let lower = Rung::RingZeroCopy.copying(self.kind.segments);
        self.descend(lower, refusal("io_uring_enter", &error));
    }

    /// Takes completions in.
    pub(super) fn reap_ring(&mut self, now: Instant) {
        let Some(ring) = &mut self.ring else { return };
        if ring.ring.submission().cq_overflow() {
            // Has the system fill the queue from where it kept what did not fit; where it is forbidden nothing comes.
            // SAFETY: nothing is submitted, and no argument is given.
            let _ = unsafe { ring.ring.submitter().enter::<()>(0, 0, GET_EVENTS, None) };
        }
        let mut taken = std::mem::take(&mut ring.taken);
        taken.extend(ring.ring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags())));
        for (user_data, result, flags) in taken.drain(..) {
            self.take_completion(user_data, result, flags, now);
        }
        if let Some(ring) = &mut self.ring {
            ring.taken = taken;
            if ring.answered > 0 && ring.answered == ring.chain.len() {
                self.settle_chain(now);
            }
        }
    }

    fn take_completion(&mut self, user_data: u64, result: i32, flags: u32, now: Instant) {
        let Some(ring) = self.ring.as_mut().filter(|_| user_data != CANCEL) else { return };
        let name = Name::from_bits(user_data);
        if cqueue::notif(flags) {
            return match ring.take_notification(name) {
                // A request that was cancelled before it began is notified of, although nothing said so.
                None => {}
                Some(was_sent) => {
                    let copied = was_sent.then_some(result as u32 & USAGE_COPIED != 0);
                    self.notified(name.slot, Rung::RingZeroCopy, copied, now);
                }
            };
        }
        if cqueue::more(flags) {
            ring.awaited += 1;
            let awaited = ring.chains.entry(name.chain).or_default();
            *(if result < 0 { &mut awaited.failed } else { &mut awaited.sent }) |= 1 << name.at;
            self.slab.state_mut(name.slot).awaited += 1;
        }
        let current = name.chain == ring.number;
        if let Some(link) = ring.chain.get_mut(name.at).filter(|link| current && link.answer.is_none()) {
            link.answer = Some(result);
            ring.answered += 1;
        }
    }

    /// All of the chain is answered: what was taken, in order, up to the first that was not.
    fn settle_chain(&mut self, now: Instant) {
        let Some(ring) = &mut self.ring else { return };
        let mut chain = std::mem::take(&mut ring.chain);
        ring.answered = 0;
        let mut is_refused = false;
        for link in chain.drain(..) {
            match link.answer {
                Some(count @ 0..) => self.accept(&link.part, count as usize, now),
                // What was linked behind, or was with a thread that ended: it is sent again unless nobody wants it.
                Some(answer) if answer == -libc::ECANCELED || is_refused => {}
                answer => {
                    is_refused = true;
                    self.refuse(&link.part, answer.map_or(libc::EIO, i32::wrapping_neg), now);
                }
            }
        }
        if let Some(ring) = &mut self.ring {
            ring.chain = chain;
        }
    }
}
