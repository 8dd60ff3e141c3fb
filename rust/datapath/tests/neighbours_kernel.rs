//! A node between two kernels: two network namespaces, each with a TAP interface whose other end is a port that resolves its
//! neighbours. Nobody says a link address anywhere.
#![cfg(target_os = "linux")]
#[path = "../../io/tests/common/live.rs"]
#[macro_use]
mod live;

use live::Namespaces;
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_datapath::{DropReason, Event, Node, NodeConfig, Outputs, PortConfig};
use netfast_io::device::tun::TunOptions;
use netfast_io::event_loop::{Above, EventLoop, LoopConfig, PortOptions, Ready};
use netfast_neigh::{Entry, State};
use netfast_time::{Duration, Instant};
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const OWN: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]];
const MOVED: [u8; 6] = [2, 0, 0, 0, 9, 9];

fn host(index: usize, v6: bool) -> IpAddr {
    match v6 {
        true => [0xfd00, 9, index as u16, 0, 0, 0, 0, 2].into(),
        false => [10, 9, index as u8, 2].into(),
    }
}

fn own(index: usize, v6: bool) -> IpAddr {
    match v6 {
        true => [0xfd00, 9, index as u16, 0, 0, 0, 0, 1].into(),
        false => [10, 9, index as u8, 1].into(),
    }
}

fn length(address: IpAddr) -> u8 {
    if address.is_ipv6() { 64 } else { 24 }
}

struct Router {
    node: Node,
    outputs: Outputs,
}

impl Router {
    /// States last a short time, so that all of them are seen.
    fn new() -> Self {
        let mut config = NodeConfig::default();
        let neighbours = &mut config.neighbours;
        neighbours.reachable = Duration::from_millis(1_000);
        neighbours.delay = Duration::from_millis(300);
        neighbours.retransmit = Duration::from_millis(200);
        neighbours.pending_timeout = Duration::from_millis(600);
        let mut node = Node::new(config).unwrap();
        for (index, mac) in OWN.into_iter().enumerate() {
            let mut port = PortConfig::new(format!("p{index}"), mac);
            port.addresses = [false, true].map(|v6| (own(index, v6), length(own(index, v6)))).to_vec();
            port.resolve = true;
            node.add_port(port).unwrap();
        }
        Self { node, outputs: Outputs::new() }
    }

    fn take(&mut self, out: &mut Vec<(u32, Skb)>) {
        for port in 0..2 {
            out.extend(self.outputs.take_port(port).into_iter().map(|packet| (port, packet)));
        }
        self.outputs.take_local();
    }
}

/// The node under a lock, so that the test can look at it.
struct Shared<'a>(&'a Mutex<Router>, PacketPool);

impl Above for Shared<'_> {
    fn pool(&mut self) -> &mut PacketPool {
        &mut self.1
    }

    fn push(&mut self, now: Instant, port: u32, batch: &mut PacketBatch, out: &mut Vec<(u32, Skb)>) {
        let mut router = self.0.lock().unwrap();
        let Router { node, outputs } = &mut *router;
        node.push(now, port, batch, outputs);
        router.take(out);
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<(u32, Skb)>) {
        let mut router = self.0.lock().unwrap();
        let Router { node, outputs } = &mut *router;
        node.poll(now, outputs);
        router.take(out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.0.lock().unwrap().node.next_timeout()
    }
}

fn run(spaces: &Namespaces, router: &Mutex<Router>, stop: &AtomicBool) {
    let mut events = EventLoop::new(LoopConfig::default()).unwrap();
    for index in 0..2 {
        let options = TunOptions {
            namespace: Some(spaces.name(index)),
            addresses: [false, true].map(|v6| (host(index, v6), length(host(index, v6)))).to_vec(),
            up: true,
            ..TunOptions::tap("nf0")
        };
        let device = Box::new(options.open().expect("it can be made"));
        let options = PortOptions { can_wait: true, ..PortOptions::default() };
        events.add(index as u32, device, options).unwrap();
        for v6 in [false, true] {
            let (via, family) = (own(index, v6).to_string(), if v6 { "-6" } else { "-4" });
            spaces.expect(index, &["ip", family, "route", "add", "default", "via", &via]);
        }
    }
    let mut above = Shared(router, PacketPool::default());
    let (mut ready, mut batch, mut out) = (Ready::new(), PacketBatch::new(), Vec::new());
    let poller = events.poller();
    while !stop.load(Ordering::Relaxed) {
        let most = Some(Duration::from_millis(20));
        poller.wait(most, &mut ready).unwrap();
        events.turn(&ready, &mut above, &mut batch, &mut out).unwrap();
    }
    events.close(above.pool()).unwrap();
}

/// Does `work` while the router runs.
fn while_routed(spaces: &Namespaces, work: impl FnOnce(&Mutex<Router>)) {
    let (router, stop) = (Mutex::new(Router::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let runner = scope.spawn(|| run(spaces, &router, &stop));
        // Addresses of IPv6 are looked at for a moment before they may be used.
        std::thread::sleep(std::time::Duration::from_millis(300));
        for index in 0..2 {
            spaces.expect(index, &["sysctl", "-qw", "net.ipv6.conf.nf0.dad_transmits=0"]);
        }
        wait_until("addresses may be used", || {
            (0..2).all(|index| {
                !spaces.expect(index, &["ip", "-6", "addr", "show", "dev", "nf0"]).contains("tentative")
            })
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&router)));
        stop.store(true, Ordering::Relaxed);
        runner.join().expect("no panic");
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    let router = router.into_inner().unwrap();
    assert!(router.node.counters().conserved(), "{:#?}", router.node.counters());
    assert_eq!(router.node.counters().discovery.invalid().count(), 0, "the kernel's messages are valid");
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..200 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("not within ten seconds: {what}");
}

fn ping(spaces: &Namespaces, from: usize, to: IpAddr, count: &str) -> String {
    let told = spaces.run(from, &["ping", "-c", count, "-i", "0.05", "-W", "5", &to.to_string()]);
    String::from_utf8_lossy(&told.stdout).into_owned()
}

fn answers(spaces: &Namespaces, from: usize, to: IpAddr) -> bool {
    ping(spaces, from, to, "1").contains("1 received")
}

fn entry(router: &Mutex<Router>, index: usize, v6: bool) -> Option<Entry> {
    router.lock().unwrap().node.neighbours().entry(index as u32, host(index, v6))
}

fn state(router: &Mutex<Router>, index: usize, v6: bool) -> Option<State> {
    entry(router, index, v6).map(|entry| entry.state)
}

#[test]
fn kernels_talk_to_and_through_a_node_that_nobody_told_their_link_addresses() {
    let spaces = need!(Namespaces::new(2));
    while_routed(&spaces, |router| {
        for v6 in [false, true] {
            for (from, to) in [(0, own(0, v6)), (0, host(1, v6)), (1, own(0, v6)), (1, host(0, v6))] {
                let told = ping(&spaces, from, to, "5");
                assert!(told.contains("5 received"), "{told}");
            }
            // The kernel took the node's answers for what they are.
            let shown = spaces.expect(0, &["ip", "neigh", "show", &own(0, v6).to_string(), "dev", "nf0"]);
            assert!(shown.contains("02:00:00:00:01:01"), "{shown}");
            assert!(!v6 || shown.contains("router"), "{shown}");
        }
        // Link-local addresses of the kernel, and a group of its own making.
        let shown = spaces.expect(0, &["ping", "-6", "-c", "2", "-i", "0.1", "-W", "1", "ff02::1%nf0"]);
        assert!(shown.contains(&own(0, true).to_string()), "{shown}");
        let probes =
            |router: &Mutex<Router>| router.lock().unwrap().node.counters().discovery.solicitations_out;
        // Under traffic a neighbour goes stale and is confirmed, again and again, without a loss.
        let before = probes(router);
        for v6 in [false, true] {
            let told = ping(&spaces, 0, host(1, v6), "80");
            assert!(told.contains("80 received"), "{told}");
        }
        assert!(probes(router) >= before + 4, "{before}, {}", probes(router));
        wait_until("it is stale while nobody uses it", || state(router, 1, true) == Some(State::Stale));
        let before = probes(router);
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        assert_eq!(state(router, 1, false), Some(State::Stale));
        assert!(probes(router) <= before + 2, "what the kernel itself asks may be answered by questions");
    });
}

#[test]
fn a_neighbour_moves_vanishes_and_returns_under_traffic() {
    let spaces = need!(Namespaces::new(2));
    while_routed(&spaces, |router| {
        for v6 in [false, true] {
            assert!(ping(&spaces, 0, host(1, v6), "3").contains("3 received"));
        }
        // It has another link address and says nothing: it does not answer at the old one, and is asked for anew.
        spaces.expect(1, &["ip", "link", "set", "dev", "nf0", "address", "02:00:00:00:09:09"]);
        for v6 in [false, true] {
            wait_until("it is found at its new link address", || answers(&spaces, 0, host(1, v6)));
            assert_eq!(entry(router, 1, v6).unwrap().mac, Some(MOVED));
        }
        // It moves back and tells so, both families each in its way: at once.
        for (family, setting) in [("ipv4", "arp_notify"), ("ipv6", "ndisc_notify")] {
            spaces.expect(1, &["sysctl", "-qw", &format!("net.{family}.conf.nf0.{setting}=1")]);
        }
        router.lock().unwrap().node.take_events();
        spaces.expect(1, &["ip", "link", "set", "dev", "nf0", "address", "02:00:00:00:09:0a"]);
        wait_until("it told", || {
            [false, true].into_iter().all(|v6| entry(router, 1, v6).unwrap().mac == Some([2, 0, 0, 0, 9, 10]))
        });
        for v6 in [false, true] {
            assert!(answers(&spaces, 0, host(1, v6)));
        }
        let events = router.lock().unwrap().node.take_events().0;
        let moved = |v6: bool| {
            events.iter().any(|(_, event)| {
                matches!(event, Event::NeighbourChanged { address, from: Some(MOVED), .. } if *address == host(1, v6))
            })
        };
        assert!(moved(false) && moved(true), "{events:?}");
        // It vanishes: who sends to it is told that it cannot be reached.
        for v6 in [false, true] {
            let own = format!("{}/{}", host(1, v6), length(host(1, v6)));
            spaces.expect(1, &["ip", "addr", "del", &own, "dev", "nf0"]);
            wait_until("its sender is told", || {
                let told = ping(&spaces, 0, host(1, v6), "2");
                told.contains("Destination Host Unreachable") || told.contains("Address unreachable")
            });
            let mut add = vec!["ip", "addr", "add", &own, "dev", "nf0"];
            add.extend(v6.then_some("nodad"));
            spaces.expect(1, &add);
            let (via, family) = (self::own(1, v6).to_string(), if v6 { "-6" } else { "-4" });
            spaces.run(1, &["ip", family, "route", "replace", "default", "via", &via]);
            wait_until("it is back", || answers(&spaces, 0, host(1, v6)));
        }
        let router = router.lock().unwrap();
        assert!(router.node.dropped(DropReason::NeighbourTimeout) > 0);
        assert!(router.node.neighbours().counters().failed >= 4);
    });
}
