//! Frames of the smallest sizes, made from a seed.
use netfast_wire::checksum::pseudo_checksum;

/// The longest of these frames.
pub const LONGEST: usize = 74;
/// Where the IPv6 header begins, and where what it carries does.
const IP: usize = 14;
pub const UPPER: usize = 54;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// What flows speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// 64 bytes a frame: two of payload.
    Udp,
    /// 74 bytes a frame: no options and no payload.
    Tcp,
}

impl Transport {
    /// Bytes of a frame.
    pub fn frame_bytes(self) -> usize {
        match self {
            Self::Udp => 64,
            Self::Tcp => LONGEST,
        }
    }
}

/// What a frame is in the life of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first one, from the client.
    Open,
    /// Its answer.
    Answer,
    /// Any later one of the client.
    Request,
    /// Any later one of the server.
    Reply,
}

impl Part {
    /// Flags, sequence number and acknowledgment of its TCP segment.
    fn segment(self) -> (u8, u32, u32) {
        match self {
            Self::Open => (SYN, 0, 0),
            Self::Answer => (SYN | ACK, 0, 1),
            Self::Request | Self::Reply => (ACK, 1, 1),
        }
    }
}

/// Addresses and ports of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub source: u128,
    pub destination: u128,
    pub source_port: u16,
    pub destination_port: u16,
}

impl Ends {
    /// Those of a frame of this module, of either transport.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let address = |at: usize| Some(u128::from_be_bytes(*frame.get(at..)?.first_chunk()?));
        let port = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
        Some(Self {
            source: address(IP + 8)?,
            destination: address(IP + 24)?,
            source_port: port(UPPER)?,
            destination_port: port(UPPER + 2)?,
        })
    }

    /// Those of what goes the other way.
    pub fn turned(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }

    /// A frame to the link address `mac`, checksums filled in; the bytes behind [`Transport::frame_bytes`] are zero.
    pub fn frame(&self, transport: Transport, part: Part, mac: [u8; 6]) -> [u8; LONGEST] {
        let mut frame = [0; LONGEST];
        let length = transport.frame_bytes();
        frame[..6].copy_from_slice(&mac);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 9, 9]);
        frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        frame[IP + 4..IP + 6].copy_from_slice(&((length - UPPER) as u16).to_be_bytes());
        frame[IP + 7] = 64;
        frame[IP + 8..IP + 24].copy_from_slice(&self.source.to_be_bytes());
        frame[IP + 24..UPPER].copy_from_slice(&self.destination.to_be_bytes());
        frame[UPPER..UPPER + 2].copy_from_slice(&self.source_port.to_be_bytes());
        frame[UPPER + 2..UPPER + 4].copy_from_slice(&self.destination_port.to_be_bytes());
        let (protocol, sum_at) = match transport {
            Transport::Udp => {
                frame[UPPER + 4..UPPER + 6].copy_from_slice(&((length - UPPER) as u16).to_be_bytes());
                (UDP, UPPER + 6)
            }
            Transport::Tcp => {
                let (flags, sequence, acknowledgment) = part.segment();
                frame[UPPER + 4..UPPER + 8].copy_from_slice(&sequence.to_be_bytes());
                frame[UPPER + 8..UPPER + 12].copy_from_slice(&acknowledgment.to_be_bytes());
                frame[UPPER + 12..UPPER + 16].copy_from_slice(&[0x50, flags, 0xff, 0xff]);
                (TCP, UPPER + 16)
            }
        };
        frame[IP + 6] = protocol;
        let (source, destination) = (self.source.to_be_bytes(), self.destination.to_be_bytes());
        let sum = pseudo_checksum(source, destination, protocol, &frame[UPPER..length]);
        // Zero says that there is none (RFC 768).
        let sum = if sum == 0 && transport == Transport::Udp { 0xffff } else { sum };
        frame[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
        frame
    }
}

/// Numbers without a pattern, the same for the same seed: SplitMix64.
#[derive(Clone, Copy, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scatter(self.0)
    }

    /// The next number below `limit`, which is not zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }
}

/// Distinct numbers become distinct numbers without a pattern.
fn scatter(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Where clients and servers are: 2001:db8::/64 and 2001:db8:1::/64.
const CLIENTS: u128 = 0x2001_0db8 << 96;
const SERVERS: u128 = 0x2001_0db8_0001 << 80;

/// The ends of flow `number` as its client sends, to one of `destinations` servers. Each number is another flow.
pub fn flow(seed: u64, number: u64, destinations: u64) -> Ends {
    let client = scatter(number ^ seed);
    let server = scatter((number % destinations) ^ !seed);
    Ends {
        source: CLIENTS | u128::from(client),
        destination: SERVERS | u128::from(server),
        source_port: 1_024 + (client >> 40) as u16 % 64_000,
        destination_port: 443,
    }
}

/// The ends of packet `number` of a scan, which nobody has spoken between before: from anybody to anybody.
pub fn scan(seed: u64, number: u64, from_clients: bool) -> Ends {
    let mut chance = Chance::new(scatter(seed ^ 0x7363_616e) ^ number.wrapping_mul(0xd134_2543_de82_ef95));
    let (client, server, ports) = (chance.next(), chance.next(), chance.next());
    let ends = Ends {
        source: CLIENTS | u128::from(client),
        destination: SERVERS | u128::from(server),
        source_port: (ports as u16).max(1),
        destination_port: ((ports >> 16) as u16).max(1),
    };
    if from_clients { ends } else { ends.turned() }
}
