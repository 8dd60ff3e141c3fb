//! A neighbour: its state, what is known of it.
use crate::pending::Queue;
use netfast_low::hash::Seed;
use netfast_time::{Instant, TimerHandle};
use std::fmt;
use std::net::IpAddr;

/// A link (Ethernet) address.
pub type Mac = [u8; 6];

/// How sure it is that a neighbour can be reached (RFC 4861 7.3.2; ARP's are the same, as in Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// It was asked for and has not answered yet.
    Incomplete,
    /// It was confirmed a short time ago.
    Reachable,
    /// It was not, and nothing is sent to it.
    Stale,
    /// Something is sent to it; somebody may confirm it yet.
    Delay,
    /// It is asked whether it is still there.
    Probe,
    /// It did not answer.
    Failed,
    /// It was set and stays.
    Permanent,
}

impl State {
    /// The name, as `ip neighbour` has it, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Delay => "delay",
            Self::Probe => "probe",
            Self::Failed => "failed",
            Self::Permanent => "permanent",
        }
    }

    /// True when there is a link address that packets may be sent to.
    pub const fn is_known(self) -> bool {
        !matches!(self, Self::Incomplete | Self::Failed)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One entry, as [`Neighbours::iter`](crate::Neighbours::iter) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The port that the neighbour is at.
    pub port: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its link address, where it is known.
    pub mac: Option<Mac>,
    /// How sure that is.
    pub state: State,
    /// It said that it is a router (RFC 4861 4.4).
    pub is_router: bool,
    /// Since when it is in this state.
    pub since: Instant,
    /// When it was confirmed last; `Instant::ZERO` for never.
    pub confirmed: Instant,
    /// Solicitations that it has not answered.
    pub probes: u8,
    /// Packets that wait for it.
    pub waiting: usize,
    /// Its place, which another one takes when it is removed.
    pub slot: u32,
    /// Somebody keeps its link address: [`Neighbours::keep_mac`](crate::Neighbours::keep_mac).
    pub is_kept: bool,
}

/// A neighbour at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) port: u32,
    pub(crate) address: IpAddr,
}

impl Key {
    pub(crate) fn hash(&self, seed: Seed) -> u64 {
        let (wide, version) = match self.address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 4),
            IpAddr::V6(address) => (address.to_bits(), 6),
        };
        seed.hash5(&[(wide >> 64) as u64, wide as u64, u64::from(self.port), version, 0])
    }
}

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// A place of the table: in the first line of memory what most messages are about.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Slot {
    pub key: Key,
    pub mac: Mac,
    pub state: State,
    pub is_router: bool,
    pub is_kept: bool,
    pub probes: u8,
    pub since: Instant,
    pub confirmed: Instant,
    /// When the link address changed last.
    pub updated: Instant,
    pub timer: Option<TimerHandle>,
    pub queue: Option<Box<Queue>>,
    /// The next older and the next younger one of those in the same list ([`crate::list::List`]).
    pub older: u32,
    pub younger: u32,
}

impl Slot {
    pub fn new(key: Key, state: State, now: Instant) -> Self {
        Self {
            key,
            mac: [0; 6],
            state,
            is_router: false,
            is_kept: false,
            probes: 0,
            since: now,
            confirmed: Instant::ZERO,
            updated: Instant::ZERO,
            timer: None,
            queue: None,
            older: NONE,
            younger: NONE,
        }
    }

    pub fn entry(&self, slot: u32) -> Entry {
        Entry {
            port: self.key.port,
            address: self.key.address,
            mac: self.state.is_known().then_some(self.mac),
            state: self.state,
            is_router: self.is_router,
            since: self.since,
            confirmed: self.confirmed,
            probes: self.probes,
            waiting: self.queue.as_ref().map_or(0, |queue| queue.packets.len()),
            slot,
            is_kept: self.is_kept,
        }
    }
}
