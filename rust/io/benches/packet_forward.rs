//! Forwarding between two packet sockets, beside the bare loop in C (`packet_forward.c`), in turns: nanoseconds of processor
//! time a packet of the thread that forwards, medians of all rounds; and UDP links with and without offloads. Needs root,
//! `ip` and a C compiler.
#[cfg(target_os = "linux")]
#[path = "../tests/common/live.rs"]
mod live;

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use super::live::{Namespaces, wait};
    use netfast_buf::{GsoType, PacketBatch, PacketPool, Skb};
    use netfast_io::device::packet_socket::{PacketReceive, PacketSocket, PacketSocketConfig};
    use netfast_io::device::udp::{UdpConfig, UdpLink};
    use netfast_io::device::{Device, Received};
    use netfast_time::Instant;
    use rustix::time::{ClockId, clock_gettime};
    use std::collections::VecDeque;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::Duration;

    /// Frames of a round, which a ring and a queue hold.
    const COUNT: usize = 2_048;
    const ROUNDS: usize = 8;
    const TURNS: usize = 5;

    pub fn main() {
        match (spaces(), compiled()) {
            (Ok(spaces), Ok(program)) => {
                for length in [60, 1_514] {
                    compare(&spaces, &program, length);
                }
                super_packets(&spaces);
                udp_links();
                let _ = std::fs::remove_file(program);
            }
            (Err(reason), _) | (_, Err(reason)) => eprintln!("skipped: {reason}"),
        }
    }

    /// `eth0` of the first namespace leads to `nf0` of the second, `nf1` there to `eth0` of the third.
    fn spaces() -> Result<Namespaces, String> {
        let spaces = Namespaces::new(3)?;
        for (index, port) in [(0, "nf0"), (2, "nf1")] {
            let host = spaces.name(index);
            spaces.expect(1, &["ip", "link", "add", port, "type", "veth", "peer", "eth0", "netns", &host]);
            for (space, interface) in [(1, port), (index, "eth0")] {
                let name = format!("net.ipv6.conf.{interface}.disable_ipv6=1");
                spaces.expect(space, &["sysctl", "-qw", &name]);
                spaces.expect(space, &["ip", "link", "set", interface, "up"]);
            }
        }
        // The system takes up to a second to see that there is a carrier.
        std::thread::sleep(Duration::from_millis(1_500));
        Ok(spaces)
    }

    fn compiled() -> Result<PathBuf, String> {
        let program = std::env::temp_dir().join(format!("netfast-packet-forward-{}", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/packet_forward.c");
        let done = Command::new("cc").args(["-O2", "-Wall", "-o"]).arg(&program).arg(source).status();
        match done {
            Ok(status) if status.success() => Ok(program),
            Ok(status) => Err(format!("cc: {status}")),
            Err(error) => Err(format!("cc: {error}")),
        }
    }

    const WAYS: [(&str, PacketReceive, bool); 4] = [
        ("netfast slots", PacketReceive::SLOTS, false),
        ("netfast slots, no qdisc", PacketReceive::SLOTS, true),
        ("netfast blocks", PacketReceive::BLOCKS, false),
        ("netfast blocks, no qdisc", PacketReceive::BLOCKS, true),
    ];
    const FEW: PacketReceive = PacketReceive::Slots { slot: 2_048, slots: 32 };
    const C: [&str; 4] = ["ring", "rings", "messages", "single"];

    fn compare(spaces: &Namespaces, program: &Path, length: usize) {
        let mut times: Vec<(String, Vec<f64>)> = Vec::new();
        let mut note = |name: String, more: Vec<f64>| match times.iter_mut().find(|(of, _)| *of == name) {
            Some((_, all)) => all.extend(more),
            None => times.push((name, more)),
        };
        for _ in 0..TURNS {
            for mode in C {
                note(format!("C {mode}"), run(spaces, program, mode, length));
            }
            for (name, receive, bypass) in WAYS {
                note(name.to_owned(), forward(spaces, receive, bypass, || frame(length), COUNT));
            }
        }
        let best = times.iter_mut().map(|(_, all)| median(all)).next().unwrap_or(f64::NAN);
        println!("{length} bytes, ns of processor time a packet (C ring = 1)");
        for (name, mut all) in times {
            let middle = median(&mut all);
            println!(
                "  {name:27} {middle:8.1}  {:5.2}  {:8.1} to {:.1}",
                middle / best,
                all[0],
                all[all.len() - 1]
            );
        }
    }

    fn median(all: &mut [f64]) -> f64 {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    }

    fn run(spaces: &Namespaces, program: &Path, mode: &str, length: usize) -> Vec<f64> {
        let program = program.to_string_lossy();
        let (there, count) = (format!("/run/netns/{}", spaces.name(0)), COUNT.to_string());
        let (length, rounds) = (length.to_string(), ROUNDS.to_string());
        let told =
            spaces.expect(1, &[&program, mode, "nf0", "nf1", &there, "eth0", &count, &length, &rounds]);
        told.lines().map(|line| line.parse().expect("a number")).collect()
    }

    fn frame(length: usize) -> Skb {
        let mut bytes = vec![0; length];
        bytes[..14].copy_from_slice(&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
        Skb::from_block(bytes.into(), 0, length).expect("within the block")
    }

    fn open(
        spaces: &Namespaces,
        space: usize,
        interface: &str,
        receive: PacketReceive,
        bypass: bool,
    ) -> PacketSocket {
        let config = PacketSocketConfig {
            namespace: Some(spaces.name(space)),
            receive,
            qdisc_bypass: bypass,
            promiscuous: false,
            ..PacketSocketConfig::new(interface)
        };
        PacketSocket::open(config).expect("it can be opened")
    }

    fn forward(
        spaces: &Namespaces,
        receive: PacketReceive,
        bypass: bool,
        frame: impl Fn() -> Skb,
        count: usize,
    ) -> Vec<f64> {
        let mut source = open(spaces, 0, "eth0", FEW, false);
        let mut input = open(spaces, 1, "nf0", receive, bypass);
        let mut output = open(spaces, 1, "nf1", FEW, bypass);
        let (mut pool, mut batch, mut queue) = (PacketPool::default(), PacketBatch::new(), VecDeque::new());
        let now = Instant::ZERO;
        let round = |_| {
            queue.extend((0..count).map(|_| frame()));
            source.transmit(now, &mut queue, &mut pool).expect("it can be sent");
            let (mut spent, before) = (Duration::ZERO, output.counters().sent);
            for _ in 0..50 {
                wait(&[&input]);
                let start = cpu_time();
                while {
                    let received = input.receive(now, &mut batch, &mut pool).expect("it is there");
                    queue.extend(batch.drain());
                    output.transmit(now, &mut queue, &mut pool).expect("it is there");
                    received == Received::More
                } {}
                spent += cpu_time() - start;
                if output.counters().sent - before >= count as u64 {
                    break;
                }
            }
            let sent = output.counters().sent - before;
            assert!(
                sent >= count as u64,
                "{sent} of {count}: {:?} {:?}",
                input.counters(),
                source.counters()
            );
            spent.as_nanos() as f64 / sent as f64
        };
        (0..ROUNDS).map(round).collect()
    }

    fn cpu_time() -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }

    /// A TCP packet that stands for 44, with a checksum that is left to the device.
    fn super_packet() -> Skb {
        let payload = 44 * 1_448;
        let mut bytes = vec![0; 66 + payload];
        bytes[..24].copy_from_slice(&[
            2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6,
        ]);
        bytes[16..18].copy_from_slice(&((52 + payload) as u16).to_be_bytes());
        bytes[26..34].copy_from_slice(&[10, 9, 0, 1, 10, 9, 0, 9]);
        bytes[34..48].copy_from_slice(&[0x1b, 0x58, 0x1b, 0x59, 0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0x10]);
        let length = bytes.len();
        let mut packet = Skb::from_block(bytes.into(), 0, length).expect("within the block");
        (packet.hot.gso_type, packet.hot.gso_size) = (GsoType::Tcp4, 1_448);
        packet
    }

    fn super_packets(spaces: &Namespaces) {
        println!("super-packets of 63778 bytes, ns of processor time each");
        let mut times = WAYS.map(|(name, ..)| (name, Vec::new()));
        for _ in 0..TURNS {
            for ((_, times), (_, receive, bypass)) in times.iter_mut().zip(WAYS) {
                times.extend(forward(spaces, receive, bypass, super_packet, 64));
            }
        }
        for (name, mut all) in times {
            println!("  {name:27} {:8.1}", median(&mut all));
        }
    }

    /// IP packets of 1,400 bytes from one UDP link to another over the loopback interface.
    fn udp_links() {
        println!("UDP links, ns of processor time a packet of 1400 bytes, sent and received");
        let mut times = [("one by one", Vec::new()), ("together", Vec::new())];
        for _ in 0..TURNS {
            times[0].1.extend(udp_link(false));
            times[1].1.extend(udp_link(true));
        }
        for (name, mut all) in times {
            println!("  {name:27} {:8.1}", median(&mut all));
        }
    }

    fn udp_link(offloads: bool) -> Vec<f64> {
        let any = "127.0.0.1:0".parse().expect("an address");
        let free =
            std::net::UdpSocket::bind(any).and_then(|socket| socket.local_addr()).expect("one is free");
        let open = |local, remote| {
            let config = UdpConfig { offloads, ..UdpConfig::new(local, remote) };
            UdpLink::open(config).expect("it can be opened")
        };
        let mut one = open(any, free);
        let mut two = open(free, one.local().expect("it is bound"));
        let (mut pool, mut batch, mut queue) = (PacketPool::default(), PacketBatch::new(), VecDeque::new());
        let round = |_| {
            queue.extend((0..128).map(|_| {
                let mut bytes = vec![0; 1_414];
                bytes[12..15].copy_from_slice(&[8, 0, 0x45]);
                Skb::from_block(bytes.into(), 0, 1_414).expect("within the block")
            }));
            let (start, mut received) = (cpu_time(), 0);
            one.transmit(Instant::ZERO, &mut queue, &mut pool).expect("it can be sent");
            while two.receive(Instant::ZERO, &mut batch, &mut pool).expect("it is there") == Received::More {
                received += batch.len();
                pool.recycle_batch(&mut batch);
            }
            received += batch.len();
            pool.recycle_batch(&mut batch);
            assert_eq!(received, 128, "{:?} {:?}", one.counters(), two.counters());
            (cpu_time() - start).as_nanos() as f64 / 128.0
        };
        (0..4 * ROUNDS).map(round).collect()
    }
}
