//! Any messages of ARP and neighbour discovery, packets and times: what is taken is valid, no packet that waits is lost, and the
//! table stays within its limits.
//!
//! Each operation is a byte, and what it needs behind it.
use netfast_buf::{PacketPool, Skb};
use netfast_neigh::{
    Advertised, Arp, ArpOperation, Discovery, Due, NeighbourConfig, Neighbours, State, Update,
};
use netfast_time::{Duration, Instant};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ENTRIES: usize = 5;
const PENDING: usize = 3;

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// One of few, so that they meet.
    fn address(&mut self) -> IpAddr {
        match self.u8() {
            byte @ 0..128 => Ipv4Addr::new(192, 0, 2, byte % 8).into(),
            byte => Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(byte % 8)).into(),
        }
    }
}

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let config = NeighbourConfig {
        max_entries: ENTRIES,
        max_pending: PENDING,
        queue_packets: 2,
        queue_bytes: 200,
        keep: usize::from(bytes.u8() % 3),
        ..NeighbourConfig::default()
    };
    let mut table = Neighbours::new(config, u64::from(bytes.u8()));
    let (mut pool, mut now) = (PacketPool::default(), Instant::from_secs(1));
    let (mut held, mut back) = (0usize, 0usize);
    while !bytes.0.is_empty() {
        match bytes.u8() % 8 {
            0 => back += arp(bytes.take(30), now, &mut table),
            1 => {
                let (length, at) = (usize::from(bytes.u8() % 120), usize::from(bytes.u8()));
                let at = if at < 200 { 40 } else { at };
                back += discovery(bytes.take(length), at, now, &mut table);
            }
            2 => {
                let (address, length) = (bytes.address(), usize::from(bytes.u8()));
                let packet = Skb::from_slice(&vec![0; length], &mut pool).expect("short");
                held += 1;
                table.hold(now, 0, address, packet, length % 3 > 0, |_, _| back += 1);
            }
            3 => {
                now += Duration::from_millis(u64::from(bytes.u8()) * 100);
                let mut budget = usize::from(bytes.u8());
                while let Some(due) = table.poll(now, &mut budget) {
                    match due {
                        Due::Failed(expired) => back += expired.packets.len(),
                        Due::Solicit { port, address, .. } => {
                            assert!(table.entry(port, address).is_some_and(|entry| entry.probes > 0));
                        }
                        _ => {}
                    }
                }
            }
            4 => {
                let address = bytes.address();
                if let Some((_, slot)) = table.resolve(0, address) {
                    table.touch(now, slot);
                    table.keep_mac(slot);
                }
                table.confirm(now, 0, address);
            }
            5 => back += table.set(0, bytes.address(), [2; 6]).map_or(0, |(packets, _)| packets.len()),
            6 => drop(table.remove(0, bytes.address())),
            _ => {
                let (flags, address) = (bytes.u8(), bytes.address());
                let said = Advertised {
                    mac: (flags & 1 != 0).then_some([2, 0, 0, 0, 0, flags >> 5]),
                    solicited: flags & 2 != 0,
                    overrides: flags & 4 != 0,
                    is_router: Some(flags & 8 != 0),
                };
                back += done(table.handle_advertisement(now, 0, address, &said));
            }
        }
        examine(&table);
        assert_eq!(held, back + table.holding(), "a packet is lost, or came from nowhere");
    }
    held -= back;
    assert_eq!(table.remove_port(0).len(), held);
    assert_eq!((table.total(), table.holding(), table.next_timeout()), (0, 0, None));
}

fn done(update: Update) -> usize {
    update.packets.len()
}

fn arp(message: &[u8], now: Instant, table: &mut Neighbours) -> usize {
    let Ok(said) = Arp::parse(message) else { return 0 };
    assert!(said.sender_mac[0] & 1 == 0 && !said.sender.is_multicast());
    let mut written = [0; netfast_neigh::ARP_LENGTH];
    said.write(&mut written);
    assert_eq!(Arp::parse(&written), Ok(said));
    let advertised =
        Advertised { mac: Some(said.sender_mac), solicited: true, overrides: true, is_router: None };
    match said.operation {
        ArpOperation::Request => done(table.handle_solicitation(now, 0, said.sender.into(), said.sender_mac)),
        ArpOperation::Reply => done(table.handle_arp(now, 0, said.sender.into(), &advertised)),
    }
}

fn discovery(packet: &[u8], at: usize, now: Instant, table: &mut Neighbours) -> usize {
    // Without the checksum, so that the fuzzer gets beyond it.
    let _ = Discovery::parse(packet, at, false);
    match Discovery::parse(packet, at, true) {
        Ok(Some(Discovery::Solicitation(said))) => {
            assert!(!said.target.is_multicast() && (!said.source.is_unspecified() || said.mac.is_none()));
            let told = said.mac.map(|mac| table.handle_solicitation(now, 0, said.source.into(), mac));
            told.map_or(0, done)
        }
        Ok(Some(Discovery::Advertisement(said))) => {
            assert!(!said.source.is_unspecified());
            assert!(!said.solicited || !said.destination.is_multicast());
            let advertised = Advertised {
                mac: said.mac,
                solicited: said.solicited,
                overrides: said.overrides,
                is_router: Some(said.router),
            };
            done(table.handle_advertisement(now, 0, said.target.into(), &advertised))
        }
        _ => 0,
    }
}

fn examine(table: &Neighbours) {
    let entries: Vec<_> = table.iter().collect();
    assert_eq!(entries.len(), table.total());
    assert!(table.len() <= ENTRIES && table.total() - table.len() <= PENDING);
    for entry in &entries {
        assert_eq!(table.resolve(0, entry.address).map(|(mac, _)| mac), entry.mac);
        assert_eq!(entry.mac.is_some(), entry.state.is_known());
        assert!(entry.waiting == 0 || entry.state == State::Incomplete);
        assert!(!entry.address.is_unspecified() && !entry.address.is_multicast() || entry.mac.is_none());
    }
    let waiting: usize = entries.iter().map(|entry| entry.waiting).sum();
    let known = entries.iter().filter(|entry| entry.mac.is_some()).count();
    assert_eq!((waiting, known), (table.holding(), table.len()));
    // Every entry that is not set has a timer.
    assert!(entries.iter().all(|entry| entry.state == State::Permanent) || table.next_timeout().is_some());
}
