//! What is timed of neighbours: solicitations, alone and beside established flows, and looking for one among many.
use super::network::LAN;
use super::{Load, LoadError};
use netfast_buf::BATCH_PACKETS;
use netfast_datapath::{Mac, PortConfig, PortId};
use netfast_neigh::{
    Arp, ArpOperation, DISCOVERY_LENGTH, Solicitation, group_mac, solicited_node, write_solicitation,
};
use netfast_time::Duration;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant as Clock;

const LINK_MAC: Mac = [2, 0, 0, 0, 0, 3];
const NETWORK_6: u128 = 0x2001_0db8_00fd << 80;
const OWN_4: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 1);
/// Bytes of a frame with a solicitation, and of one of ARP.
const SOLICITATION: usize = 14 + DISCOVERY_LENGTH;
const REQUEST: usize = 14 + netfast_neigh::ARP_LENGTH;
/// Solicitations a second that the part of the flows is told for.
const RATE: f64 = 1e6;

/// Costs of neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// A solicitation of a neighbour that is known, answered, ns; from bytes to the answer.
    pub solicitation: f64,
    /// Likewise an ARP request.
    pub arp: f64,
    /// A solicitation of one that was never heard of, in a full table, ns.
    pub stranger: f64,
    /// A packet of an established flow in batches between those, ns.
    pub established: f64,
    /// A packet of an established flow alone, ns.
    pub calm: f64,
    /// The part of their rate that flows keep beside a million solicitations a second on the same core.
    pub kept: f64,
    /// To find a link address, in random order, ns.
    pub lookup: f64,
}

impl Load {
    /// `known` neighbours at a port of their own, each of which asks; costs over `count` packets of each kind.
    ///
    /// # Errors
    /// [`LoadError`]: a solicitation was not answered, a packet of a flow was no hit.
    pub fn neighbours(&mut self, known: u32, count: usize) -> Result<Costs, LoadError> {
        let link = self.link()?;
        let count = count.min(self.requests.len() / self.length());
        let numbers = |from: u64| (0..count as u64).map(move |at| from + at % u64::from(known.max(1)));
        let solicitations: Vec<u8> = numbers(0).flat_map(solicitation).collect();
        let requests: Vec<u8> = numbers(0).flat_map(request).collect();
        // All of them are known before anything is timed.
        let first: Vec<u8> = (0..u64::from(known)).flat_map(solicitation).collect();
        self.answered(link, &first, SOLICITATION)?;
        self.answered(link, &requests, REQUEST)?;
        let arp = self.answered(link, &requests, REQUEST)?;
        let lookup = self.look_up(link, u64::from(known), count);
        let (mut calm, mut established, mut asked) = (0.0, 0.0, 0.0);
        self.all_hits(2 * count, |load, flows, _| {
            let flows = &flows[..count * load.length()];
            calm = load.between(link, flows, &[])?.0;
            (established, asked) = load.between(link, flows, &solicitations)?;
            Ok(())
        })?;
        let strangers: Vec<u8> = (0..count as u64).map(|at| (1 << 32) + at).flat_map(solicitation).collect();
        let stranger = self.answered(link, &strangers, SOLICITATION)?;
        let kept = (1.0 - RATE * asked / 1e9) * calm / established;
        Ok(Costs { solicitation: asked, arp, stranger, established, calm, kept, lookup })
    }

    /// The port of the neighbours.
    fn link(&mut self) -> Result<PortId, LoadError> {
        if let Some(port) = self.node.port_id("link") {
            return Ok(port);
        }
        let mut port = PortConfig::new("link", LINK_MAC);
        port.addresses = vec![(address(0), 64), (OWN_4.into(), 12)];
        port.resolve = true;
        let port = self.node.add_port(port)?;
        // The flows' programs are right still, which each finds out once.
        let (length, requests) = (self.length(), std::mem::take(&mut self.requests));
        let sent =
            requests.chunks(BATCH_PACKETS * length).try_for_each(|batch| self.send(LAN, batch, length));
        self.requests = requests;
        sent.map(|()| port)
    }

    /// ns a frame, each of which has to be answered.
    fn answered(&mut self, port: PortId, bytes: &[u8], length: usize) -> Result<f64, LoadError> {
        let before = self.node.counters().discovery.advertisements_out;
        let begun = Clock::now();
        for batch in bytes.chunks(BATCH_PACKETS * length) {
            self.send(port, batch, length)?;
            // A million a second is what the node answers.
            self.now += Duration::from_micros(256);
        }
        let (nanos, expected) = (begun.elapsed().as_nanos() as f64, (bytes.len() / length) as u64);
        let found = self.node.counters().discovery.advertisements_out - before;
        match found == expected {
            true => Ok(nanos / expected as f64),
            false => Err(LoadError::Astray { what: "answered", expected, found }),
        }
    }

    /// ns a packet of flows and of solicitations, batch by batch.
    fn between(&mut self, link: PortId, flows: &[u8], asks: &[u8]) -> Result<(f64, f64), LoadError> {
        let (length, mut nanos) = (self.length(), [0u128; 2]);
        let mut asks = asks.chunks(BATCH_PACKETS * SOLICITATION);
        for batch in flows.chunks(BATCH_PACKETS * length) {
            let begun = Clock::now();
            self.send(LAN, batch, length)?;
            nanos[0] += begun.elapsed().as_nanos();
            if let Some(batch) = asks.next() {
                let begun = Clock::now();
                self.send(link, batch, SOLICITATION)?;
                nanos[1] += begun.elapsed().as_nanos();
                self.now += Duration::from_micros(256);
            }
        }
        let packets = (flows.len() / length) as f64;
        Ok((nanos[0] as f64 / packets, nanos[1] as f64 / packets))
    }

    fn look_up(&self, port: PortId, known: u64, count: usize) -> f64 {
        let neighbours = self.node.neighbours();
        let begun = Clock::now();
        let mut found = 0u64;
        let mut number = 1u64;
        for _ in 0..count {
            number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let place = (number >> 33) % known.max(1);
            found += u64::from(neighbours.resolve(port, address(place + 1)).is_some());
        }
        std::hint::black_box(found);
        begun.elapsed().as_nanos() as f64 / count as f64
    }
}

/// That of a neighbour, counted from 1; 0 is the node's.
fn address(number: u64) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(NETWORK_6 | (u128::from(number) + 1)))
}

fn mac(number: u64) -> Mac {
    let [_, _, _, a, b, c, d, e] = number.to_be_bytes();
    [6, a, b, c, d, e]
}

/// The frame in which a neighbour asks for the node.
fn solicitation(number: u64) -> [u8; SOLICITATION] {
    let (IpAddr::V6(source), IpAddr::V6(target)) = (address(number + 1), address(0)) else {
        return [0; SOLICITATION];
    };
    let destination = solicited_node(target);
    let said = Solicitation { source, destination, target, mac: Some(mac(number)) };
    let mut frame = [0; SOLICITATION];
    let mut into = [0; DISCOVERY_LENGTH];
    let packet = write_solicitation(&said, &mut into);
    frame[..6].copy_from_slice(&group_mac(destination));
    frame[6..12].copy_from_slice(&mac(number));
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame[14..].copy_from_slice(packet);
    frame
}

fn request(number: u64) -> [u8; REQUEST] {
    let sender = Ipv4Addr::from(u32::from(OWN_4) + 1 + (number & 0x7_ffff) as u32);
    let operation = ArpOperation::Request;
    let said = Arp { operation, sender_mac: mac(number), sender, target_mac: [0; 6], target: OWN_4 };
    let mut frame = [0xff; REQUEST];
    frame[6..12].copy_from_slice(&mac(number));
    frame[12..14].copy_from_slice(&[8, 6]);
    if let Some(body) = frame[14..].first_chunk_mut() {
        said.write(body);
    }
    frame
}
