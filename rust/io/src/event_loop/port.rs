//! A device in a loop: what waits to be sent by it, and what is watched of it.
use super::poller::{Interest, Poller};
use super::{LoopConfig, LoopError};
use crate::device::{Device, DeviceCounters, DeviceError, Link, Received};
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_time::{Duration, Instant};
use std::collections::VecDeque;
use std::fmt;

/// Times that a descriptor may say that there is something where nothing is, one after another. Then it is not believed for
/// [`DISBELIEF`]: an interface whose error nobody can take away would otherwise keep the loop busy.
const FRUITLESS: u32 = 16;
/// How long a descriptor that was wrong is not asked.
const DISBELIEF: Duration = Duration::from_millis(5);
/// When a device that has no descriptor to be waited for is offered its packets again.
const AGAIN: Duration = Duration::from_millis(1);

/// Opens a device once more; [`PortOptions::reopen`].
pub type Reopen = Box<dyn FnMut() -> Result<Box<dyn Device>, DeviceError> + Send>;

/// What a loop is to know of a port besides its device.
#[derive(Default)]
pub struct PortOptions {
    /// What comes in can wait in the system (TUN and TAP queue it as far as their queue goes, streams hold up their writer,
    /// files do not care): its reading pauses while a port that it feeds takes no more. Without it, what has no room in that
    /// queue is dropped.
    pub can_wait: bool,
    /// How the device is opened again when it is gone; without it the port stays away.
    pub reopen: Option<Reopen>,
    /// Packets that may wait to be sent by this port, instead of [`LoopConfig::queue_packets`]; ports that feed it and can wait
    /// pause at an eighth of that.
    pub queue_packets: Option<usize>,
    /// Their bytes, instead of [`LoopConfig::queue_bytes`]; likewise.
    pub queue_bytes: Option<u64>,
    /// How long the device may take nothing, instead of [`LoopConfig::patience`].
    pub patience: Option<Duration>,
}

impl PortOptions {
    /// The limits of a port in a loop that has these.
    fn limits(&self, config: &LoopConfig) -> LoopConfig {
        let mut limits = *config;
        if let Some(packets) = self.queue_packets {
            (limits.queue_packets, limits.pause_packets) = (packets, (packets / 8).max(1));
        }
        if let Some(bytes) = self.queue_bytes {
            (limits.queue_bytes, limits.pause_bytes) = (bytes, (bytes / 8).max(1));
        }
        limits.patience = self.patience.unwrap_or(limits.patience);
        limits
    }
}

impl fmt::Debug for PortOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortOptions")
            .field("can_wait", &self.can_wait)
            .field("reopen", &self.reopen.is_some())
            .field("queue_packets", &self.queue_packets)
            .field("queue_bytes", &self.queue_bytes)
            .field("patience", &self.patience)
            .finish()
    }
}

/// What a loop did for a port, beside what its device counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LivePortCounters {
    /// Packets for it that the queue had no room for.
    pub queue_full: u64,
    /// Packets for it that waited when its patience was over: for so long the device took none.
    pub stalled: u64,
    /// Packets for it while its device was away, and those that waited when it went.
    pub away: u64,
    /// Packets that had not left when the loop ended or the port was taken away.
    pub unsent: u64,
    /// Times that it had more to receive when its share of a turn was used up.
    pub budget_exhausted: u64,
    /// Times that its reading paused because a port that it feeds took no more.
    pub paused: u64,
    /// Times that its device was opened again.
    pub reopened: u64,
    /// Packets that wait to be sent now.
    pub queued: usize,
    /// Their bytes.
    pub queued_bytes: u64,
}

/// Where a device is.
pub(super) enum Place {
    /// Here.
    Here(Box<dyn Device>),
    /// Gone; it may be tried again.
    Away { try_at: Option<Instant>, delay: Duration },
}

pub(super) struct LivePort {
    pub number: u32,
    pub place: Place,
    pub options: PortOptions,
    limits: LoopConfig,
    pub queue: VecDeque<Skb>,
    pub queue_bytes: u64,
    pub counters: LivePortCounters,
    /// What devices before the present one counted.
    pub before: DeviceCounters,
    pub link: Option<Link>,
    /// It stands in the list of those that have something.
    pub listed: bool,
    /// Its descriptor said that there is something.
    pub told: bool,
    /// Its reading pauses until the queue of this port has room.
    pub waits_for: Option<u32>,
    /// Nothing comes any more.
    pub ended: bool,
    /// It was told that its device may not be opened again.
    pub refused: bool,
    /// Since when its device took nothing of what waits.
    blocked_since: Option<Instant>,
    /// Its patience is over: nobody waits for it until it takes something.
    pub stuck: bool,
    watched: Option<i32>,
    interest: Interest,
    completions: Option<i32>,
    /// Its device's other descriptor is watched, since something waits.
    sender: bool,
    /// Times that its descriptor said so, one after another, and nothing was there to be received, nothing was taken.
    fruitless: [u32; 2],
    /// Its descriptor was wrong too often, or there is none: it is asked, and offered packets, again then.
    again: [Option<Instant>; 2],
}

const READ: usize = 0;
const WRITE: usize = 1;

impl LivePort {
    pub fn new(number: u32, device: Box<dyn Device>, options: PortOptions, config: &LoopConfig) -> Self {
        Self {
            number,
            place: Place::Here(device),
            limits: options.limits(config),
            options,
            queue: VecDeque::new(),
            queue_bytes: 0,
            counters: LivePortCounters::default(),
            before: DeviceCounters::default(),
            link: None,
            listed: false,
            told: false,
            waits_for: None,
            ended: false,
            refused: false,
            blocked_since: None,
            stuck: false,
            watched: None,
            interest: Interest::default(),
            completions: None,
            sender: false,
            fruitless: [0; 2],
            again: [None; 2],
        }
    }

    pub fn device(&self) -> Option<&dyn Device> {
        match &self.place {
            Place::Here(device) => Some(&**device),
            Place::Away { .. } => None,
        }
    }

    pub fn device_mut(&mut self) -> Option<&mut Box<dyn Device>> {
        match &mut self.place {
            Place::Here(device) => Some(device),
            Place::Away { .. } => None,
        }
    }

    /// Packets that are yet to be sent: in the queue, and in the device.
    pub fn unsent(&self) -> usize {
        self.queue.len()
            + self.device().filter(|device| device.is_blocked()).map_or(0, |device| device.in_flight())
    }

    /// The queue has no room for packets of ports that can wait.
    pub fn is_congested(&self) -> bool {
        !self.stuck
            && (self.queue.len() >= self.limits.pause_packets || self.queue_bytes >= self.limits.pause_bytes)
    }

    /// The queue has shrunk enough for them to go on.
    pub fn is_relaxed(&self) -> bool {
        self.stuck
            || (self.queue.len() <= self.limits.pause_packets / 2
                && self.queue_bytes <= self.limits.pause_bytes / 2)
    }

    /// Puts a packet behind those that wait.
    pub fn enqueue(&mut self, packet: Skb, pool: &mut PacketPool) {
        let bytes = u64::from(packet.len());
        if matches!(self.place, Place::Away { .. }) {
            self.counters.away += 1;
            pool.recycle(packet);
        } else if self.queue.len() >= self.limits.queue_packets
            || self.queue_bytes + bytes > self.limits.queue_bytes
        {
            self.counters.queue_full += 1;
            pool.recycle(packet);
        } else {
            self.queue_bytes += bytes;
            self.queue.push_back(packet);
        }
    }

    /// Lets go what waits, and says how many.
    pub fn empty_queue(&mut self, pool: &mut PacketPool) -> u64 {
        let count = self.queue.len() as u64;
        self.queue.drain(..).for_each(|packet| pool.recycle(packet));
        self.queue_bytes = 0;
        (self.blocked_since, self.stuck) = (None, false);
        count
    }

    /// Takes what has arrived. `None` while the device is away.
    pub fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Option<Result<Received, DeviceError>> {
        let before = batch.len();
        let found = self.device_mut()?.receive(now, batch, pool);
        self.follow();
        let told = std::mem::take(&mut self.told);
        match found {
            Ok(Received::Empty) if batch.len() == before && told => {
                self.doubt(READ, now);
            }
            Ok(_) if batch.len() > before => self.fruitless[READ] = 0,
            _ => {}
        }
        Some(found)
    }

    /// Offers the device what waits.
    pub fn transmit(&mut self, now: Instant, pool: &mut PacketPool) -> Result<(), DeviceError> {
        let Place::Here(device) = &mut self.place else { return Ok(()) };
        let (before, within) = (self.queue.len(), device.in_flight());
        let sent = device.transmit(now, &mut self.queue, pool);
        if self.queue.len() < before || device.in_flight() < within {
            self.fruitless[WRITE] = 0;
        }
        self.follow();
        if self.queue.is_empty() {
            self.queue_bytes = 0;
            // Where nothing waited, nothing was taken.
            if before > 0 {
                (self.blocked_since, self.stuck) = (None, false);
            }
            return sent;
        }
        self.queue_bytes = self.queue.iter().map(|packet| u64::from(packet.len())).sum();
        if self.queue.len() < before {
            (self.blocked_since, self.stuck) = (Some(now), false);
        } else if now.since(*self.blocked_since.get_or_insert(now)) >= self.limits.patience {
            self.counters.stalled += self.queue.len() as u64;
            self.queue.drain(..).for_each(|packet| pool.recycle(packet));
            self.queue_bytes = 0;
            (self.blocked_since, self.stuck) = (Some(now), true);
        }
        sent
    }

    /// The device may have another descriptor than the one that is watched, and the next one the number of that, once it is
    /// closed: so this is to be called before the device is called again.
    fn follow(&mut self) {
        let descriptor = self.device().and_then(Device::descriptor);
        let number = descriptor.map(|descriptor| std::os::fd::AsRawFd::as_raw_fd(&descriptor));
        self.watched = self.watched.filter(|watched| number == Some(*watched));
    }

    /// [`LivePort::deadline`], but not at once while it is not read: what is due to be received then waits all the same.
    pub fn next_look(&self, now: Instant, draining: bool) -> Option<Instant> {
        let reads = !draining && !self.ended && self.waits_for.is_none();
        let deadline = self.deadline()?;
        Some(if reads { deadline } else { deadline.max(now + AGAIN) })
    }

    /// When it has to be looked at though no descriptor says so.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.place {
            Place::Here(device) => {
                let patience = self.blocked_since.filter(|_| !self.queue.is_empty());
                let patience = patience.map(|since| since + self.limits.patience);
                [device.next_timeout(), self.again[READ], self.again[WRITE], patience]
                    .into_iter()
                    .flatten()
                    .min()
            }
            Place::Away { try_at, .. } => *try_at,
        }
    }

    /// It is looked at because its deadline has come.
    pub fn asked_again(&mut self) {
        self.again = [None; 2];
    }

    /// Watches what the present state asks for, with as few calls of the system as that takes.
    pub fn watch(&mut self, now: Instant, draining: bool, poller: &Poller) -> Result<(), LoopError> {
        let Place::Here(device) = &self.place else { return Ok(()) };
        let blocked = !self.queue.is_empty() || device.is_blocked();
        let wanted = Interest {
            read: !self.ended && !draining && self.waits_for.is_none(),
            write: blocked && self.again[WRITE].is_none() && device.sender().is_none(),
            completions: false,
        };
        // Errors are told though nobody asks: then not to watch it at all is the only way not to be told.
        let ignored = wanted == Interest::default() || self.again[READ].is_some();
        let descriptor = device.descriptor();
        let number = descriptor.map(|descriptor| std::os::fd::AsRawFd::as_raw_fd(&descriptor));
        match (descriptor, self.watched) {
            (Some(descriptor), Some(before)) if number == Some(before) && ignored => {
                poller.remove(descriptor);
                self.watched = None;
            }
            (Some(_), Some(before)) if number == Some(before) && wanted == self.interest => {}
            (Some(descriptor), Some(before)) if number == Some(before) => {
                poller.modify(self.number, descriptor, wanted);
                self.interest = wanted;
            }
            (Some(descriptor), _) if !ignored => {
                let can = poller.add(self.number, descriptor, wanted)?;
                (self.watched, self.interest) = (number.filter(|_| can), wanted);
            }
            // One that was closed is forgotten by the system.
            _ => self.watched = None,
        }
        if blocked && self.watched.is_none() && device.next_timeout().is_none() {
            self.again[WRITE].get_or_insert(now + AGAIN);
        }
        self.watch_sender(blocked && self.again[WRITE].is_none(), poller)?;
        self.watch_completions(poller)
    }

    fn watch_sender(&mut self, wanted: bool, poller: &Poller) -> Result<(), LoopError> {
        let Place::Here(device) = &self.place else { return Ok(()) };
        let Some(descriptor) = device.sender().filter(|_| wanted != self.sender) else { return Ok(()) };
        if wanted {
            poller.add(self.number, descriptor, Interest { write: true, ..Interest::default() })?;
        } else {
            poller.remove(descriptor);
        }
        self.sender = wanted;
        Ok(())
    }

    fn watch_completions(&mut self, poller: &Poller) -> Result<(), LoopError> {
        let Place::Here(device) = &self.place else { return Ok(()) };
        let Some(descriptor) = device.completions() else { return Ok(()) };
        let number = std::os::fd::AsRawFd::as_raw_fd(&descriptor);
        if self.completions != Some(number) {
            let interest = Interest { read: true, write: false, completions: true };
            poller.add(self.number, descriptor, interest)?;
            self.completions = Some(number);
        }
        Ok(())
    }

    /// A writable descriptor whose device took nothing.
    pub fn note_refusal(&mut self, now: Instant) {
        self.doubt(WRITE, now);
    }

    /// A descriptor that was wrong is not to be believed at once again.
    fn doubt(&mut self, way: usize, now: Instant) {
        self.fruitless[way] += 1;
        if self.fruitless[way] >= FRUITLESS {
            self.again[way] = Some(now + if way == READ { DISBELIEF } else { AGAIN });
        }
    }

    /// Takes the device out of the poller and out of the port.
    pub fn take_device(&mut self, poller: &Poller) -> Option<Box<dyn Device>> {
        let away = Place::Away { try_at: None, delay: Duration::ZERO };
        let Place::Here(device) = std::mem::replace(&mut self.place, away) else { return None };
        for descriptor in [device.descriptor(), device.sender(), device.completions()].into_iter().flatten() {
            poller.remove(descriptor);
        }
        (self.watched, self.sender, self.completions) = (None, false, None);
        (self.again, self.fruitless, self.link) = ([None; 2], [0; 2], None);
        Some(device)
    }
}
