//! Endpoint-independent mappings: a host's port keeps its external port for all destinations. RFC 4787 4 and
//! 5 (UDP), RFC 5382 4 (TCP), RFC 5508 3.1 (ICMP identifiers).
use super::nat::{NatError, NatRange, PortRange, RandomPorts, choose_address, find_port};
use super::tuple::is_icmp;
use netfast_low::hash::Seed;
use netfast_time::{Duration, Instant};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};

/// An address and a port of a protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Address, IPv4 mapped.
    pub address: [u8; 16],
    /// Port or ICMP identifier.
    pub port: u16,
    /// Protocol.
    pub protocol: u8,
}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let address = u128::from_be_bytes(self.address);
        state.write_u64((address >> 64) as u64);
        state.write_u64(address as u64);
        state.write_u64(u64::from(self.protocol) << 16 | u64::from(self.port));
    }
}

/// Who may send to a mapping from outside (RFC 4787 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EimFiltering {
    /// Only who was sent to: the connection table decides.
    #[default]
    AddressAndPortDependent,
    /// Anyone, while the mapping is there.
    EndpointIndependent,
}

/// Limits and choices of an [`EimTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EimConfig {
    /// Most mappings; at the limit a new one is refused: mappings in use cannot be taken from their hosts.
    pub limit: u32,
    /// How long a mapping stays behind its last connection (RFC 4787, REQ-5: two minutes or more in all).
    pub timeout: Duration,
    /// Who may send to a mapping.
    pub filtering: EimFiltering,
    /// An even port becomes an even one, an odd port an odd one (RFC 4787, REQ-4).
    pub keep_parity: bool,
}

impl Default for EimConfig {
    fn default() -> Self {
        Self {
            limit: 65_536,
            timeout: Duration::from_secs(120),
            filtering: EimFiltering::default(),
            keep_parity: false,
        }
    }
}

/// What happened in an [`EimTable`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EimCounts {
    /// Mappings made.
    pub created: u64,
    /// Mappings that went with time.
    pub expired: u64,
    /// Refused at the limit.
    pub refused: u64,
    /// Refused because no external port was free.
    pub exhausted: u64,
}

/// So many expired mappings each new connection clears away at most: more than can come anew.
const CLEARED_AT_ONCE: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Mapping {
    external: Endpoint,
    connections: u32,
    /// With no connection: when it goes.
    expires: Instant,
    /// It stands in the queue, once.
    queued: bool,
}

impl Mapping {
    fn is_live(&self, now: Instant) -> bool {
        self.connections > 0 || now < self.expires
    }
}

/// Endpoint-independent mappings, found from both sides.
#[derive(Clone, Debug)]
pub struct EimTable {
    config: EimConfig,
    mappings: HashMap<Endpoint, Mapping, Seeded>,
    internal: HashMap<Endpoint, Endpoint, Seeded>,
    /// Mappings without a connection, by the time they were left; never longer than the table.
    idle: VecDeque<(Instant, Endpoint)>,
    counts: EimCounts,
}

impl EimTable {
    /// An empty table. `seed` keeps hosts from aiming at one bucket.
    pub fn new(config: EimConfig, seed: Seed) -> Self {
        Self {
            config,
            mappings: HashMap::with_hasher(Seeded(seed)),
            internal: HashMap::with_hasher(Seeded(seed)),
            idle: VecDeque::new(),
            counts: EimCounts::default(),
        }
    }

    /// How many mappings there are, those that expired and were not cleared away yet included.
    pub fn len(&self) -> usize {
        self.mappings.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    /// What happened so far.
    pub fn counts(&self) -> EimCounts {
        self.counts
    }

    /// What a host's port is mapped to.
    pub fn external(&self, internal: &Endpoint, now: Instant) -> Option<Endpoint> {
        self.mappings.get(internal).filter(|mapping| mapping.is_live(now)).map(|mapping| mapping.external)
    }

    /// Whose port an external one is: where a packet to it from inside goes (hairpin, RFC 4787 REQ-9).
    pub fn internal(&self, external: &Endpoint, now: Instant) -> Option<Endpoint> {
        let internal = self.internal.get(external)?;
        self.external(internal, now).map(|_| *internal)
    }

    /// Where a packet from outside goes that belongs to no connection; `None` unless the filtering is
    /// [`EimFiltering::EndpointIndependent`].
    pub fn admits(&self, external: &Endpoint, now: Instant) -> Option<Endpoint> {
        match self.config.filtering {
            EimFiltering::EndpointIndependent => self.internal(external, now),
            EimFiltering::AddressAndPortDependent => None,
        }
    }

    /// The external endpoint for a connection that begins; it counts as one of the mapping's until
    /// [`EimTable::release`]. A new mapping takes its address from the range by the host's (RFC 4787, REQ-2:
    /// paired) and keeps the port where that is free. `taken` tells whether something else than a mapping
    /// uses an external endpoint.
    ///
    /// # Errors
    /// [`NatError::MappingsFull`], [`NatError::MappingExhausted`]; nothing was changed but the counters.
    pub fn acquire(
        &mut self,
        internal: &Endpoint,
        range: &NatRange,
        taken: impl Fn(&Endpoint) -> bool,
        random: &mut impl RandomPorts,
        now: Instant,
    ) -> Result<Endpoint, NatError> {
        self.expire(now, CLEARED_AT_ONCE);
        if let Some(mapping) = self.mappings.get_mut(internal).filter(|mapping| mapping.is_live(now)) {
            mapping.connections = mapping.connections.saturating_add(1);
            return Ok(mapping.external);
        }
        let again = self.mappings.get(internal).copied();
        if again.is_none() && self.mappings.len() >= self.config.limit as usize {
            self.counts.refused += 1;
            return Err(NatError::MappingsFull { limit: self.config.limit });
        }
        let Some(external) = self.choose(internal, range, taken, random) else {
            self.counts.exhausted += 1;
            return Err(NatError::MappingExhausted { protocol: internal.protocol, port: internal.port });
        };
        if let Some(expired) = again {
            self.internal.remove(&expired.external);
            self.counts.expired += 1;
        }
        // What stands in the queue already does not stand there twice.
        let queued = again.is_some_and(|expired| expired.queued);
        self.mappings.insert(*internal, Mapping { external, connections: 1, expires: now, queued });
        self.internal.insert(external, *internal);
        self.counts.created += 1;
        Ok(external)
    }

    /// A connection of the mapping is over; behind the last one it stays for [`EimConfig::timeout`].
    pub fn release(&mut self, internal: &Endpoint, now: Instant) {
        let Some(mapping) = self.mappings.get_mut(internal) else { return };
        mapping.connections = mapping.connections.saturating_sub(1);
        if mapping.connections > 0 {
            return;
        }
        mapping.expires = now + self.config.timeout;
        if !mapping.queued {
            mapping.queued = true;
            self.idle.push_back((mapping.expires, *internal));
        }
    }

    /// Clears expired mappings away, looking at `budget` of those without a connection at most. Returns how
    /// many went.
    pub fn expire(&mut self, now: Instant, budget: usize) -> usize {
        let before = self.mappings.len();
        for _ in 0..budget {
            let Some(&(due, internal)) = self.idle.front() else { break };
            if now < due {
                break;
            }
            self.idle.pop_front();
            let Some(mapping) = self.mappings.get_mut(&internal) else { continue };
            mapping.queued = false;
            if !mapping.is_live(now) {
                self.internal.remove(&mapping.external);
                self.mappings.remove(&internal);
                self.counts.expired += 1;
            } else if mapping.connections == 0 {
                // It was used again meanwhile, and left again.
                mapping.queued = true;
                self.idle.push_back((mapping.expires, internal));
            }
        }
        before - self.mappings.len()
    }

    fn choose(
        &self,
        internal: &Endpoint,
        range: &NatRange,
        taken: impl Fn(&Endpoint) -> bool,
        random: &mut impl RandomPorts,
    ) -> Option<Endpoint> {
        let address = match range.addresses {
            Some(ends) => choose_address(internal.address, [0; 16], ends.into(), true),
            None => internal.address,
        };
        let icmp = is_icmp(internal.protocol);
        let class = if icmp { PortRange::new(0, u16::MAX) } else { PortRange::class_of(internal.port) };
        let ports = range.ports.unwrap_or(class);
        let even = self.config.keep_parity && !icmp;
        let free = |port: u16| {
            let external = Endpoint { address, port, ..*internal };
            !(even && (port ^ internal.port) & 1 == 1)
                && self.internal.get(&external).is_none_or(|owner| owner == internal)
                && !taken(&external)
        };
        let is_random = range.random || range.fully_random;
        let port = if !is_random && ports.contains(internal.port) && free(internal.port) {
            internal.port
        } else {
            find_port(ports, None, free, random).ok()?
        };
        Some(Endpoint { address, port, ..*internal })
    }
}

#[derive(Clone, Copy, Debug)]
struct Seeded(Seed);

impl BuildHasher for Seeded {
    type Hasher = SeededHasher;

    fn build_hasher(&self) -> SeededHasher {
        SeededHasher { seed: self.0, words: [0; 5], next: 0 }
    }
}

/// Takes the words that [`Endpoint`] writes.
struct SeededHasher {
    seed: Seed,
    words: [u64; 5],
    next: usize,
}

impl Hasher for SeededHasher {
    fn finish(&self) -> u64 {
        self.seed.hash5(&self.words)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let at = self.next % self.words.len();
        self.words[at] = self.words[at].rotate_left(8) ^ word;
        self.next += 1;
    }
}
