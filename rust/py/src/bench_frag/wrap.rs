//! Identifications that come round (RFC 4963), in virtual time: a sender at a rate, a network that loses fragments, a
//! [`Reassembler`] with and without its protections.
use super::{BenchError, Chance};
use netfast_buf::{ChecksumState, PacketPool, Skb};
use netfast_frag::{Outcome, Reassembled, Reassembler, ReassemblyConfig};
use netfast_low::sum::fold;
use netfast_time::{Duration, Instant};
use netfast_wire::LinkType;
use netfast_wire::checksum::{checksum, pseudo_checksum};

/// Bytes of each datagram, IP header included, as RFC 4963 reckons.
const DATAGRAM: usize = 1_500;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
/// The sender's number of the datagram stands in the first fragment, what is made of it at the end of the second.
const WORD: usize = 8;
/// Datagrams that wait are looked for in steps of virtual time.
const POLL: Duration = Duration::from_millis(1);

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub ipv6: bool,
    /// Bits of datagrams a second.
    pub rate: u64,
    /// Datagrams that take part.
    pub datagrams: u64,
    /// One of so many that the sender sends takes part; the others would arrive whole, and are left out.
    pub stride: u32,
    /// Part of all fragments that is lost.
    pub loss: f64,
    /// Fragments lost one after the other, on average; `1 / (1 - loss)` is what chance alone makes.
    pub burst: f64,
    pub wrap_safe: bool,
    pub max_disorder: u32,
    pub tombstone: Duration,
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Fragments lost by the network.
    pub lost: u64,
    /// Datagrams delivered as they were sent.
    pub delivered: u64,
    /// Joined of two datagrams, with a right checksum.
    pub corrupted: u64,
    /// Joined of two datagrams, and refused by their checksum.
    pub caught: u64,
    /// Datagrams given up by the receiver, or still waiting.
    pub incomplete: u64,
    /// How long the sender sent, in ns.
    pub virtual_ns: u64,
    /// Most bytes that fragments took while they waited.
    pub memory: u64,
}

impl Plan {
    fn check(&self) -> Result<(), BenchError> {
        let range = |field, takes| Err(BenchError::Range { field, takes });
        if !(1_000..=10_000_000_000_000).contains(&self.rate) {
            return range("rate", "1,000 to 10^13 bits a second");
        }
        if !(1..=1 << 40).contains(&self.datagrams) {
            return range("datagrams", "1 to 2^40");
        }
        if !(1..=1 << 20).contains(&self.stride) {
            return range("stride", "1 to 2^20");
        }
        if !(0.0..=0.5).contains(&self.loss) {
            return range("loss", "0 to 0.5");
        }
        if !(1.0..=1e6).contains(&self.burst) {
            return range("burst", "1 to 10^6 fragments");
        }
        Ok(())
    }

    /// Room for all that can wait: nothing but time and the protections ends a datagram.
    fn config(&self) -> ReassemblyConfig {
        ReassemblyConfig {
            link: LinkType::RAW,
            seed: self.seed,
            max_datagrams: 1 << 23,
            max_memory: 1 << 34,
            source_share: 1,
            max_events: 0,
            wrap_safe: self.wrap_safe,
            max_disorder: self.max_disorder,
            tombstone: self.tombstone,
            ..ReassemblyConfig::default()
        }
    }

    /// When so many bits of what the sender sends are on the line.
    fn at(&self, bits: u64) -> Instant {
        let nanos = u128::from(bits) * 1_000_000_000 / u128::from(self.rate);
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Sends all, and counts.
    pub fn run(&self) -> Result<Tally, BenchError> {
        self.check()?;
        let mut sender = Sender::new(self.ipv6, self.seed);
        let mut network = Network::new(self.loss, self.burst, self.seed);
        let mut pool = PacketPool::default();
        let mut reassembler = Reassembler::new(self.config());
        let (mut tally, mut due) = (Tally::default(), Instant::ZERO);
        let bits = 8 * DATAGRAM as u64 * u64::from(self.stride);
        for number in 0..self.datagrams {
            sender.send(number, number.wrapping_mul(u64::from(self.stride)));
            for (part, frame) in sender.fragments.iter().enumerate() {
                if network.loses() {
                    tally.lost += 1;
                    continue;
                }
                let now = self.at(number * bits + part as u64 * 8 * sender.fragments[0].len() as u64);
                let packet = Skb::from_slice(frame, &mut pool).map_err(|_| BenchError::Lost)?;
                match reassembler.handle_packet(now, 0, packet, &mut pool) {
                    Outcome::Complete(whole) => {
                        tally.count(&whole, &mut sender.reference)?;
                        pool.recycle(whole.packet);
                    }
                    Outcome::Held => {}
                    Outcome::Dropped(dropped) => pool.recycle(dropped.packet),
                    _ => return Err(BenchError::Lost),
                }
            }
            let now = self.at(number * bits);
            if now >= due {
                tally.memory = tally.memory.max(reassembler.held_memory() as u64);
                while let Some(expired) = reassembler.poll_timeout(now, &mut pool) {
                    expired.first.into_iter().for_each(|packet| pool.recycle(packet));
                }
                due = now + POLL;
            }
        }
        let counters = reassembler.counters();
        if !counters.is_conserved() {
            return Err(BenchError::Lost);
        }
        tally.incomplete = counters.datagrams - counters.completed;
        tally.virtual_ns = self.at(self.datagrams * bits).as_nanos();
        Ok(tally)
    }
}

impl Tally {
    /// Compares what was delivered, byte for byte, with what the datagram was sent with whose first fragment it has.
    fn count(&mut self, whole: &Reassembled, reference: &mut Reference) -> Result<(), BenchError> {
        let same = reference.is_sent(&whole.packet)?;
        match (same, whole.packet.hot.checksum) {
            (true, ChecksumState::Good) => self.delivered += 1,
            (false, ChecksumState::Good) => self.corrupted += 1,
            (false, ChecksumState::Bad) => self.caught += 1,
            _ => return Err(BenchError::Checksum),
        }
        Ok(())
    }
}

/// A network that loses fragments, one by one or in bursts: the model of Gilbert, whose bad state loses all.
struct Network {
    chance: Chance,
    /// Of 2^32: how likely a bad state is left, and a good one.
    leave_bad: u64,
    leave_good: u64,
    bad: bool,
}

impl Network {
    fn new(loss: f64, burst: f64, seed: u64) -> Self {
        let of = |part: f64| (part * f64::from(u32::MAX)) as u64;
        let leave_bad = 1.0 / burst;
        let mut chance = Chance::new(seed ^ 0x6e65_7477_6f72_6b00);
        let bad = chance.below(1 << 32) < of(loss);
        Self { chance, leave_bad: of(leave_bad), leave_good: of(leave_bad * loss / (1.0 - loss)), bad }
    }

    #[inline]
    fn loses(&mut self) -> bool {
        let loses = self.bad;
        let leave = if self.bad { self.leave_bad } else { self.leave_good };
        self.bad ^= self.chance.below(1 << 32) < leave;
        loses
    }
}

/// The payload of the UDP datagrams: bytes by chance, the same in all but for the two words.
struct Reference {
    payload: Vec<u8>,
    delivered: Vec<u8>,
    header: usize,
    /// Makes the last words of each run others.
    salt: u64,
}

impl Reference {
    /// The word at the end of a datagram: as if by chance, and another one for each.
    fn last_word(&self, number: u64) -> [u8; WORD] {
        Chance::new(self.salt ^ number).next().to_be_bytes()
    }

    fn is_sent(&mut self, packet: &Skb) -> Result<bool, BenchError> {
        let read = packet.read((self.header + UDP_HEADER) as u32, &mut self.delivered);
        let number = self.delivered.first_chunk().copied().map(u64::from_be_bytes);
        let (Ok(()), Some(number)) = (read, number) else { return Err(BenchError::Lost) };
        let (end, last) = (self.payload.len() - WORD, self.last_word(number));
        self.payload[..WORD].copy_from_slice(&number.to_be_bytes());
        self.payload[end..].copy_from_slice(&last);
        Ok(packet.len() as usize == DATAGRAM && self.payload == self.delivered)
    }
}

/// Sends UDP datagrams of 1,500 bytes in two fragments for a link of 1,280 bytes, with identifications one after the other.
struct Sender {
    ipv6: bool,
    first_id: u32,
    fragments: [Vec<u8>; 2],
    /// Bytes before the data of a fragment.
    header: usize,
    /// The sum of all that the UDP checksum covers, but for the two words.
    sum: u64,
    reference: Reference,
}

impl Sender {
    fn new(ipv6: bool, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let (ip_header, cut) = if ipv6 { (40, 1_232) } else { (20, 1_256) };
        let mut datagram: Vec<u8> = (0..DATAGRAM - ip_header).map(|_| chance.next() as u8).collect();
        datagram[4..6].copy_from_slice(&((DATAGRAM - ip_header) as u16).to_be_bytes());
        datagram[6..8].fill(0);
        let addresses = if ipv6 {
            [1, 2].map(|host| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host).octets())
        } else {
            [1, 2].map(|host| std::net::Ipv4Addr::new(192, 0, 2, host).to_ipv6_mapped().octets())
        };
        let mut payload = datagram.split_off(UDP_HEADER);
        let end = payload.len() - WORD;
        payload[..WORD].fill(0);
        payload[end..].fill(0);
        datagram.extend_from_slice(&payload);
        let sum = u64::from(!pseudo_checksum(addresses[0], addresses[1], UDP, &datagram));
        let header = if ipv6 { ipv6_header(&addresses) } else { ipv4_header(&addresses) };
        let fragments = [0, cut].map(|offset| {
            let data = if offset == 0 { &datagram[..cut] } else { &datagram[cut..] };
            let mut frame = [&header[..], data].concat();
            let (length_at, length) = if ipv6 { (4, frame.len() - 40) } else { (2, frame.len()) };
            frame[length_at..length_at + 2].copy_from_slice(&(length as u16).to_be_bytes());
            // Where it belongs, and whether more come.
            let more = u16::from(offset == 0);
            let (place_at, place) =
                if ipv6 { (42, offset as u16 | more) } else { (6, (offset / 8) as u16 | more << 13) };
            frame[place_at..place_at + 2].copy_from_slice(&place.to_be_bytes());
            frame
        });
        let reference =
            Reference { delivered: payload.clone(), payload, header: ip_header, salt: chance.next() };
        Self { ipv6, first_id: chance.next() as u32, fragments, header: header.len(), sum, reference }
    }

    /// Makes the fragments of the datagram whose number in all is `number`, and `sent` in what the sender sends.
    fn send(&mut self, number: u64, sent: u64) {
        let words = [number.to_be_bytes(), self.reference.last_word(number)];
        let sum = words
            .as_flattened()
            .chunks_exact(2)
            .fold(self.sum, |sum, pair| sum + u64::from(u16::from_be_bytes([pair[0], pair[1]])));
        // RFC 768: zero is sent as all ones.
        let sum = match !fold(sum) {
            0 => 0xffff,
            sum => sum,
        };
        let id = self.first_id.wrapping_add(sent as u32);
        let [first, second] = &mut self.fragments;
        let udp = self.header;
        first[udp + 6..udp + 8].copy_from_slice(&sum.to_be_bytes());
        first[udp + UDP_HEADER..][..WORD].copy_from_slice(&words[0]);
        let end = second.len() - WORD;
        second[end..].copy_from_slice(&words[1]);
        for frame in [first, second] {
            if self.ipv6 {
                frame[44..48].copy_from_slice(&id.to_be_bytes());
            } else {
                frame[4..6].copy_from_slice(&(id as u16).to_be_bytes());
                frame[10..12].fill(0);
                let sum = checksum(&frame[..20]).to_be_bytes();
                frame[10..12].copy_from_slice(&sum);
            }
        }
    }
}

fn ipv4_header([src, dst]: &[[u8; 16]; 2]) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, UDP, 0, 0];
    header.extend_from_slice(&src[12..]);
    header.extend_from_slice(&dst[12..]);
    header
}

/// With the fragment header (RFC 8200 4.5).
fn ipv6_header([src, dst]: &[[u8; 16]; 2]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0, 0, 0, 44, 64];
    header.extend_from_slice(src);
    header.extend_from_slice(dst);
    header.extend_from_slice(&[UDP, 0, 0, 0, 0, 0, 0, 0]);
    header
}
