//! Which address and port a translated connection gets. RFC 4787 4, RFC 5382 7, RFC 5508 3 (what a NAT has to
//! keep); the choice itself is Linux's, so that both give the same address to the same pair of hosts.
use super::tuple::{Tuple, is_icmp, is_mapped};
use netfast_wire::dissect::protocol as p;
use std::net::Ipv4Addr;

/// Why there is no translation, or why it was not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NatError {
    /// No port was found that makes the reply's tuple unique.
    #[error("no free port for {tuple} in {}..={} after {attempts} attempts: widen the range or add addresses", .ports.first, .ports.last)]
    Exhausted {
        /// What was to be translated.
        tuple: Tuple,
        /// Where a port was looked for.
        ports: PortRange,
        /// How many were tried.
        attempts: u32,
    },
    /// The protocol has nothing but addresses, and the reply's tuple is taken.
    #[error("{tuple} has no port to tell it from another connection to the same address: add addresses")]
    AddressTaken {
        /// What was to be translated.
        tuple: Tuple,
    },
    /// Nothing answers this message.
    #[error("{tuple} has no answer: only messages that begin an exchange are translated by themselves")]
    NoReply {
        /// What was to be translated.
        tuple: Tuple,
    },
    /// The table of endpoint-independent mappings is full.
    #[error("all {limit} endpoint-independent mappings are in use: raise the limit or shorten the timeout")]
    MappingsFull {
        /// [`super::EimConfig::limit`].
        limit: u32,
    },
    /// No external endpoint is free for an endpoint-independent mapping.
    #[error(
        "no external port is free for port {port} of protocol {protocol}: widen the range or add addresses"
    )]
    MappingExhausted {
        /// Protocol.
        protocol: u8,
        /// Internal port.
        port: u16,
    },
    /// The header is not whole; nothing was changed.
    #[error("the translation needs {need} bytes from the IP header on, {have} are there")]
    Short {
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// The packet is of another IP version than the translation; nothing was changed.
    #[error("the packet has IP version {version}, the translation is for version {expected}")]
    Version {
        /// The packet's.
        version: u8,
        /// The translation's.
        expected: u8,
    },
    /// The two tuples of a connection cannot be translated into each other.
    #[error("{original} cannot become a connection of another protocol or IP version")]
    Mismatch {
        /// The original tuple.
        original: Tuple,
    },
}

/// Ports, or ICMP identifiers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// A range, whichever end is given first.
    pub const fn new(one: u16, other: u16) -> Self {
        if one <= other { Self { first: one, last: other } } else { Self { first: other, last: one } }
    }

    /// How many there are.
    pub const fn size(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    /// True when `port` is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Where a source port may be changed to. Ports below 512 tell that their owner may use them, so they
    /// stay there; so do those below 1024.
    pub const fn class_of(port: u16) -> Self {
        match port {
            0..=511 => Self::new(1, 511),
            512..=1023 => Self::new(600, 1023),
            1024.. => Self::new(1024, u16::MAX),
        }
    }

    const fn nth(self, n: u32) -> u16 {
        self.first.wrapping_add((n % self.size()) as u16)
    }
}

/// Where numbers for random ports come from.
pub trait RandomPorts {
    /// Any sixteen bits.
    fn next_port(&mut self) -> u16;
}

impl<F: FnMut() -> u16> RandomPorts for F {
    fn next_port(&mut self) -> u16 {
        self()
    }
}

/// What a connection's source or destination is translated to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatRange {
    /// The lowest and the highest address, IPv4 mapped; `None` leaves the address alone.
    pub addresses: Option<([u8; 16], [u8; 16])>,
    /// Ports; `None` keeps the port where that is possible, and leaves that of a destination alone.
    pub ports: Option<PortRange>,
    /// Each connection gets a random port (`random`; since Linux 5.0 the same as `fully-random`).
    pub random: bool,
    /// Each connection gets a random port (`fully-random`).
    pub fully_random: bool,
    /// A source gets the same address for all destinations (`persistent`).
    pub persistent: bool,
}

impl NatRange {
    /// One address, any port: what masquerade and redirect translate to, and, with the address that is there
    /// already, what keeps untranslated connections apart from translated ones.
    pub const fn to_address(address: [u8; 16]) -> Self {
        Self {
            addresses: Some((address, address)),
            ports: None,
            random: false,
            fully_random: false,
            persistent: false,
        }
    }

    /// With these ports.
    #[must_use]
    pub const fn with_ports(mut self, ports: PortRange) -> Self {
        self.ports = Some(ports);
        self
    }

    const fn is_random(&self) -> bool {
        self.random || self.fully_random
    }

    pub(super) fn has_address(&self, address: &[u8; 16]) -> bool {
        self.addresses.is_none_or(|(low, high)| low <= *address && *address <= high)
    }

    fn has_port(&self, tuple: &Tuple, port: u16) -> bool {
        match self.ports {
            Some(ports) if has_key_to_change(tuple) => ports.contains(port),
            _ => true,
        }
    }
}

/// What stands where other messages have an identifier is the question in node information queries (RFC 4620 4).
fn has_key_to_change(tuple: &Tuple) -> bool {
    match tuple.protocol {
        p::ICMPV6 => !matches!(tuple.icmp().0, 139 | 140),
        protocol => is_icmp(protocol) || has_port_to_change(protocol),
    }
}

const fn has_port_to_change(protocol: u8) -> bool {
    matches!(protocol, p::TCP | p::UDP | p::UDPLITE | p::SCTP | p::DCCP)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Destination,
}

/// Gives a connection's first packet another source.
///
/// `tuple` is the packet as it is now, behind a translation of its destination; the result is what goes out,
/// its [`Tuple::reply`] what comes back. `previous` is the address and port that an earlier connection with
/// this source address, port and protocol was given, if one is there: it is kept where it is in the range and
/// makes no clash. `taken` tells whether a connection's tuple, in either direction, is the one asked for.
///
/// # Errors
/// [`NatError::Exhausted`], [`NatError::AddressTaken`], [`NatError::NoReply`].
pub fn select_source(
    tuple: &Tuple,
    range: &NatRange,
    previous: Option<([u8; 16], u16)>,
    taken: impl Fn(&Tuple) -> bool,
    random: &mut impl RandomPorts,
) -> Result<Tuple, NatError> {
    let clashes = |candidate: &Tuple| candidate.reply().is_none_or(|reply| taken(&reply));
    if !range.is_random() {
        if range.has_address(&tuple.source) && range.has_port(tuple, tuple.source_port) {
            if !clashes(tuple) {
                return Ok(*tuple);
            }
        } else if let Some((source, source_port)) = previous {
            let candidate = Tuple { source, source_port, ..*tuple };
            let fits = range.has_address(&source) && range.has_port(tuple, source_port);
            if fits && !clashes(&candidate) {
                return Ok(candidate);
            }
        }
    }
    select(tuple, range, End::Source, clashes, random)
}

/// Gives a connection's first packet another destination. `tuple` is the packet as it came; `taken` as in
/// [`select_source`].
///
/// A clash that no port of the range avoids is accepted, as in Linux: a destination is where the rule says.
/// The source translation that follows, at least one to the same address, has to resolve it.
///
/// # Errors
/// [`NatError::NoReply`].
pub fn select_destination(
    tuple: &Tuple,
    range: &NatRange,
    taken: impl Fn(&Tuple) -> bool,
    random: &mut impl RandomPorts,
) -> Result<Tuple, NatError> {
    let clashes = |candidate: &Tuple| candidate.reply().is_none_or(|reply| taken(&reply));
    select(tuple, range, End::Destination, clashes, random)
}

fn select(
    tuple: &Tuple,
    range: &NatRange,
    end: End,
    clashes: impl Fn(&Tuple) -> bool,
    random: &mut impl RandomPorts,
) -> Result<Tuple, NatError> {
    if tuple.reply().is_none() {
        return Err(NatError::NoReply { tuple: *tuple });
    }
    let mut chosen = *tuple;
    if let Some((low, high)) = range.addresses {
        let address = choose_address(tuple.source, tuple.destination, [low, high], range.persistent);
        match end {
            End::Source => chosen.source = address,
            End::Destination => chosen.destination = address,
        }
    }
    if !range.is_random() {
        let free = match range.ports {
            Some(ports) => {
                let in_range = range.has_port(&chosen, *key(&mut { chosen }, end));
                in_range && (end == End::Destination && ports.size() == 1 || !clashes(&chosen))
            }
            None => !clashes(&chosen),
        };
        if free {
            return Ok(chosen);
        }
    }
    if !has_key_to_change(&chosen) {
        let apart = end == End::Destination || !clashes(&chosen);
        return if apart { Ok(chosen) } else { Err(NatError::AddressTaken { tuple: *tuple }) };
    }
    let Some(ports) = port_class(&chosen, range, end) else { return Ok(chosen) };
    let start = (end == End::Destination && !range.is_random()).then_some(0);
    let with = |port| {
        let mut candidate = chosen;
        *key(&mut candidate, end) = port;
        candidate
    };
    match find_port(ports, start, |port| !clashes(&with(port)), random) {
        Ok(port) => Ok(with(port)),
        Err((_, last)) if end == End::Destination => Ok(with(last)),
        Err((attempts, _)) => Err(NatError::Exhausted { tuple: *tuple, ports, attempts }),
    }
}

/// What of a tuple is changed to make it unique: an ICMP identifier is the same in both directions.
fn key(tuple: &mut Tuple, end: End) -> &mut u16 {
    if end == End::Source || tuple.is_icmp() { &mut tuple.source_port } else { &mut tuple.destination_port }
}

/// Where a port is looked for; `None` when it may not be changed.
fn port_class(tuple: &Tuple, range: &NatRange, end: End) -> Option<PortRange> {
    match range.ports {
        Some(ports) => Some(PortRange::new(ports.first, ports.last)),
        None if tuple.is_icmp() => Some(PortRange::new(0, u16::MAX)),
        None if end == End::Destination => None,
        None => Some(PortRange::class_of(tuple.source_port)),
    }
}

/// Tries 128 ports from an offset on, then half as many from another, down to 8: a range that is nearly full
/// costs no more than that. The error is how many were tried, and the last of them.
pub(super) fn find_port(
    ports: PortRange,
    start: Option<u32>,
    mut free: impl FnMut(u16) -> bool,
    random: &mut impl RandomPorts,
) -> Result<u16, (u32, u16)> {
    const MAX_ATTEMPTS: u32 = 128;
    const MIN_ATTEMPTS: u32 = 16;
    let mut offset = start.unwrap_or_else(|| u32::from(random.next_port()));
    let mut attempts = ports.size().min(MAX_ATTEMPTS);
    let mut tried = 0;
    loop {
        let mut port = ports.first;
        for _ in 0..attempts {
            port = ports.nth(offset);
            if free(port) {
                return Ok(port);
            }
            offset += 1;
        }
        tried += attempts;
        if attempts >= ports.size() || attempts < MIN_ATTEMPTS {
            return Err((tried, port));
        }
        attempts /= 2;
        offset = u32::from(random.next_port());
    }
}

/// The address for a pair of hosts: the same each time, spread over the range.
pub(super) fn choose_address(
    source: [u8; 16],
    destination: [u8; 16],
    [low, high]: [[u8; 16]; 2],
    persistent: bool,
) -> [u8; 16] {
    if low == high {
        return low;
    }
    let is_v4 = is_mapped(&low) && is_mapped(&high);
    // IPv4 addresses stand alone, in the first word.
    let place = |address: &[u8; 16]| {
        if is_v4 { [last_word(address), [0; 4], [0; 4], [0; 4]] } else { words(address) }
    };
    let (source, destination) = (place(&source), place(&destination));
    let (low, high) = (place(&low), place(&high));
    let used = if is_v4 { 1 } else { 4 };
    let initial = if persistent { 0 } else { u32::from_le_bytes(destination[used - 1]) };
    let mut hash = lookup3(source.map(u32::from_le_bytes), initial);
    let mut chosen = [[0; 4]; 4];
    let mut below = false;
    for i in 0..used {
        // Below the highest prefix everything that follows is in the range.
        let (first, size) = if below {
            (0, u32::MAX)
        } else {
            let (first, last) = (u32::from_be_bytes(low[i]), u32::from_be_bytes(high[i]));
            (first, last.wrapping_sub(first).wrapping_add(1))
        };
        let scaled = ((u64::from(hash) * u64::from(size)) >> 32) as u32;
        chosen[i] = first.wrapping_add(scaled).to_be_bytes();
        below |= chosen[i] != high[i];
        if !persistent {
            hash ^= u32::from_le_bytes(destination[i]);
        }
    }
    if is_v4 { mapped(chosen[0]) } else { chosen.as_flattened().try_into().unwrap_or_default() }
}

fn last_word(address: &[u8; 16]) -> [u8; 4] {
    [address[12], address[13], address[14], address[15]]
}

fn words(address: &[u8; 16]) -> [[u8; 4]; 4] {
    let word = |at: usize| [address[at], address[at + 1], address[at + 2], address[at + 3]];
    [word(0), word(4), word(8), word(12)]
}

fn mapped(address: [u8; 4]) -> [u8; 16] {
    Ipv4Addr::from(address).to_ipv6_mapped().octets()
}

/// Bob Jenkins' lookup3 (2006, public domain), `hashword` over four words.
fn lookup3(key: [u32; 4], initial: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(16).wrapping_add(initial);
    let mut a = start.wrapping_add(key[0]);
    let mut b = start.wrapping_add(key[1]);
    let mut c = start.wrapping_add(key[2]);
    // Six steps that can be undone; after each the words change places.
    for shift in [4, 6, 8, 16, 19, 4] {
        a = a.wrapping_sub(c) ^ c.rotate_left(shift);
        c = c.wrapping_add(b);
        (a, b, c) = (b, c, a);
    }
    a = a.wrapping_add(key[3]);
    for shifts in [[14, 11, 25], [16, 4, 14]] {
        c = (c ^ b).wrapping_sub(b.rotate_left(shifts[0]));
        a = (a ^ c).wrapping_sub(c.rotate_left(shifts[1]));
        b = (b ^ a).wrapping_sub(a.rotate_left(shifts[2]));
    }
    (c ^ b).wrapping_sub(b.rotate_left(24))
}
