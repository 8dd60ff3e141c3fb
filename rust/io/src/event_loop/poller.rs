//! Waiting: descriptors, one deadline and a wake-up in one epoll(7) object.
use super::LoopError;
use netfast_time::{Duration, Instant};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, clock_gettime, timerfd_create,
    timerfd_settime,
};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

/// Descriptors of which one call of [`Poller::wait`] tells; more wait for the next.
const EVENTS: usize = 64;
const WAKE: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
const COMPLETIONS: u64 = 1 << 32;

/// The time of a loop: that of the wall when it was made, which then goes on with the monotonic clock, so that it never goes
/// back and captures of what went by have times that people know.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    ahead: u64,
}

impl Clock {
    /// As of now.
    pub fn new() -> Self {
        Self { ahead: read(ClockId::Realtime).saturating_sub(read(ClockId::Monotonic)) }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(read(ClockId::Monotonic).saturating_add(self.ahead))
    }

    /// A time on the monotonic clock; that is never 0, which would disarm a timer.
    fn monotonic(&self, time: Instant) -> Timespec {
        let nanos = time.as_nanos().saturating_sub(self.ahead).max(1);
        let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: nanos as _ }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

/// What a descriptor can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The port may have something, or its device has failed.
    Readable(u32),
    /// The port takes packets again.
    Writable(u32),
    /// The device has memory to give back.
    Completed,
}

/// What [`Poller::wait`] found.
#[derive(Debug, Default)]
pub struct Ready {
    pub(super) told: Vec<Told>,
    /// The deadline has come.
    pub timer: bool,
    /// Somebody called [`Poller::wake`].
    pub woken: bool,
}

impl Ready {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// True when nothing happened.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty() && !self.timer && !self.woken
    }
}

/// What a loop waits with. It may be waited at in one thread while ports are changed in another.
///
/// `fork`: the child shares the kernel's object with its parent and must not use it.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    wake: OwnedFd,
    timer: OwnedFd,
    /// A wake-up is under way.
    awake: AtomicBool,
    clock: Clock,
}

impl Poller {
    /// Three descriptors, all close-on-exec.
    ///
    /// # Errors
    /// [`LoopError::System`] where the system has no more descriptors.
    pub fn new() -> Result<Self, LoopError> {
        let told = |call| move |errno: Errno| LoopError::System { call, source: errno.into() };
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(told("epoll_create1"))?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(told("eventfd"))?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(told("timerfd_create"))?;
        for (descriptor, data) in [(&wake, WAKE), (&timer, TIMER)] {
            epoll::add(&epoll, descriptor, EventData::new_u64(data), EventFlags::IN)
                .map_err(told("epoll_ctl"))?;
        }
        Ok(Self { epoll, wake, timer, awake: AtomicBool::new(false), clock: Clock::new() })
    }

    /// The clock of the loop.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What is readable when there is something to do: for a loop that waits for other things besides.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Ends the wait that is, or the next one. May be called in any thread.
    pub fn wake(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            // It cannot be full: only this counts it up, once between two reads.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    /// Waits until something happens, at the longest `most`. A signal ends it, too: then nothing is ready.
    ///
    /// # Errors
    /// [`LoopError::System`]; none is known that a loop can come to.
    pub fn wait(&self, most: Option<Duration>, ready: &mut Ready) -> Result<(), LoopError> {
        (ready.timer, ready.woken) = (false, false);
        ready.told.clear();
        let mut events = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        let most = most.map(|most| Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: (most.as_nanos() % 1_000_000_000) as _,
        });
        let events = match epoll::wait(&self.epoll, &mut events[..], most.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(LoopError::System { call: "epoll_wait", source: errno.into() }),
        };
        let Ready { told, timer, woken } = ready;
        for event in events {
            // The record is packed: its fields are copied before they are used.
            let (data, flags) = (event.data, event.flags);
            match data.u64() {
                WAKE => {
                    *woken = true;
                    // Emptied first: who wakes between the two finds a wake-up under way, which is this one. The other way
                    // round this would be read, too, and nobody could wake any more.
                    self.empty(&self.wake);
                    self.awake.swap(false, Ordering::AcqRel);
                }
                TIMER => {
                    *timer = true;
                    self.empty(&self.timer);
                }
                data if data & COMPLETIONS != 0 => told.push(Told::Completed),
                data => {
                    if flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) {
                        told.push(Told::Readable(data as u32));
                    }
                    if flags.contains(EventFlags::OUT) {
                        told.push(Told::Writable(data as u32));
                    }
                }
            }
        }
        Ok(())
    }

    fn empty(&self, counter: &OwnedFd) {
        // Whether another read was quicker does not matter.
        let _ = rustix::io::read(counter, &mut [0; 8]);
    }

    /// Sets the deadline.
    pub(super) fn arm(&self, deadline: Instant) -> Result<(), LoopError> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let time = Itimerspec { it_interval: zero, it_value: self.clock.monotonic(deadline) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &time)
            .map(drop)
            .map_err(|errno| LoopError::System { call: "timerfd_settime", source: errno.into() })
    }

    /// Begins to watch a port's descriptor. False for one that cannot be waited for, such as that of a regular file.
    pub(super) fn add(
        &self,
        port: u32,
        descriptor: BorrowedFd<'_>,
        interest: Interest,
    ) -> Result<bool, LoopError> {
        let data = EventData::new_u64(u64::from(port) | if interest.completions { COMPLETIONS } else { 0 });
        match epoll::add(&self.epoll, descriptor, data, interest.flags()) {
            Ok(()) => Ok(true),
            Err(Errno::PERM) => Ok(false),
            // A device has come back to a descriptor that it has kept: a listener, after a connection.
            Err(Errno::EXIST) => {
                self.modify(port, descriptor, interest);
                Ok(true)
            }
            Err(errno) => Err(LoopError::System { call: "epoll_ctl", source: errno.into() }),
        }
    }

    /// Changes what of a descriptor is watched. One that was closed is not watched anyway.
    pub(super) fn modify(&self, port: u32, descriptor: BorrowedFd<'_>, interest: Interest) {
        let _ = epoll::modify(&self.epoll, descriptor, EventData::new_u64(u64::from(port)), interest.flags());
    }

    pub(super) fn remove(&self, descriptor: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.epoll, descriptor);
    }
}

/// What of a descriptor is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Interest {
    pub read: bool,
    pub write: bool,
    /// It is that of a device's completions.
    pub completions: bool,
}

impl Interest {
    fn flags(self) -> EventFlags {
        let read = if self.read { EventFlags::IN } else { EventFlags::empty() };
        let write = if self.write { EventFlags::OUT } else { EventFlags::empty() };
        // Errors are told although nobody asks; one-shot and edges would make each port keep more state.
        read | write
    }
}
