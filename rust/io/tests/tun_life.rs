//! A TUN interface over its life: made, joined, changed, taken away; nothing is left behind.
#![cfg(target_os = "linux")]
mod common;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::Mutex;

use common::live::{Namespaces, drop_capabilities, programs, without_privileges};
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_io::device::fault::{FaultInjector, Faults};
use netfast_io::device::memory::{MemoryLink, MemoryOptions};
use netfast_io::device::namespace::inside;
use netfast_io::device::tun::{LINK_REFRESH, Tun, TunKind, TunOptions};
use netfast_io::device::{Device, DeviceError, DeviceReason, Received};
use netfast_time::Instant;

/// Descriptors are counted: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn options(spaces: &Namespaces) -> TunOptions {
    let addresses = vec![([10, 8, 0, 1].into(), 24), ([0xfd00, 8, 0, 0, 0, 0, 0, 1].into(), 64)];
    TunOptions {
        namespace: Some(spaces.name(0)),
        addresses,
        up: true,
        mtu: Some(1_400),
        ..TunOptions::tun("nf0")
    }
}

/// Where everything stands, `turns` refreshes later.
struct Loop {
    now: Instant,
    batch: PacketBatch,
    pool: PacketPool,
}

impl Loop {
    fn new() -> Self {
        Self { now: Instant::from_secs(1), batch: PacketBatch::new(), pool: PacketPool::default() }
    }

    fn turn(&mut self, tun: &mut Tun) -> Result<Received, DeviceError> {
        self.now += LINK_REFRESH;
        self.batch.clear();
        tun.receive(self.now, &mut self.batch, &mut self.pool)
    }

    /// The kernel tells the state of a link a moment later (its link watch).
    fn until_up(&mut self, tun: &mut Tun) {
        for _ in 0..50 {
            self.turn(tun).expect("it is there");
            if tun.link().up {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("it has a carrier, and is not up");
    }

    fn send(&mut self, tun: &mut Tun, frame: &[u8]) -> Result<(), DeviceError> {
        let packet = Skb::from_slice(frame, &mut self.pool).expect("short");
        tun.transmit(self.now, &mut VecDeque::from([packet]), &mut self.pool)
    }
}

/// An empty IPv4 packet for nobody.
fn frame() -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 10, 8, 0, 2, 10, 8, 0, 1]);
    frame
}

#[test]
fn it_is_made_as_asked_and_goes_away_with_its_last_queue() {
    let _alone = alone();
    let spaces = need!(Namespaces::new(1));
    let tun = TunOptions { queue_length: Some(900), ..options(&spaces) }.open().expect("it can be made");
    let told = spaces.expect(0, &["ip", "-d", "address", "show", "dev", "nf0"]);
    for part in [
        "mtu 1400",
        "qlen 900",
        "UP",
        "inet 10.8.0.1/24",
        "inet6 fd00:8::1/64",
        "tun type tun",
        "persist off",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("tentative"), "{told}");
    assert_eq!((tun.link().mtu, tun.name()), (1_400, "nf0"));
    let here = Command::new("ip").args(["link", "show", "dev", "nf0"]).output().expect("ip is installed");
    assert!(!here.status.success(), "it is not in this namespace");
    drop(tun);
    assert!(!spaces.run(0, &["ip", "link", "show", "dev", "nf0"]).status.success());
}

#[test]
fn a_tap_interface_has_the_address_that_it_is_given() {
    let _alone = alone();
    let spaces = need!(Namespaces::new(1));
    let mac = [2, 0, 0, 0, 0, 9];
    let tap = TunOptions { kind: TunKind::Tap, mac: Some(mac), carrier: false, ..options(&spaces) };
    let mut tap = tap.open().expect("it can be made");
    let told = spaces.expect(0, &["ip", "link", "show", "dev", "nf0"]);
    assert!(told.contains("02:00:00:00:00:09") && told.contains("NO-CARRIER"), "{told}");
    assert_eq!((tap.link().mac, tap.link().up, tap.link().point_to_point), (None, false, false));
    tap.set_carrier(true).expect("it can be set");
    Loop::new().until_up(&mut tap);
}

#[test]
fn a_change_of_mtu_name_and_state_is_seen() {
    let _alone = alone();
    let spaces = need!(Namespaces::new(2));
    let mut tun = options(&spaces).open().expect("it can be made");
    let mut turns = Loop::new();
    turns.turn(&mut tun).expect("it is there");
    spaces.expect(0, &["ip", "link", "set", "nf0", "mtu", "9000"]);
    assert_eq!(tun.link().mtu, 1_400, "as it was known");
    turns.turn(&mut tun).expect("it is there");
    assert_eq!(tun.link().mtu, 9_000);
    turns.send(&mut tun, &frame()).expect("it is up");
    assert_eq!(tun.counters().sent, 1);
    spaces.expect(0, &["ip", "link", "set", "nf0", "down"]);
    turns.send(&mut tun, &frame()).expect("no error");
    assert!(!tun.link().up, "the packet told it");
    assert_eq!(tun.counters().dropped_out[DeviceReason::LinkDown as usize], 1);
    spaces.expect(0, &["ip", "link", "set", "nf0", "name", "other"]);
    spaces.expect(0, &["ip", "link", "set", "other", "up"]);
    turns.until_up(&mut tun);
    assert_eq!(tun.name(), "other");
    spaces.expect(0, &["ip", "link", "set", "other", "netns", &spaces.name(1)]);
    spaces.expect(1, &["ip", "link", "set", "other", "mtu", "1280", "up"]);
    turns.until_up(&mut tun);
    assert_eq!(tun.link().mtu, 1_280);
}

#[test]
fn an_interface_that_is_deleted_is_gone_and_can_be_made_again() {
    let _alone = alone();
    let spaces = need!(Namespaces::new(1));
    let mut tun = options(&spaces).open().expect("it can be made");
    let mut turns = Loop::new();
    turns.turn(&mut tun).expect("it is there");
    spaces.expect(0, &["ip", "link", "delete", "nf0"]);
    let found = tun.receive(turns.now, &mut turns.batch, &mut turns.pool);
    assert!(matches!(found, Err(DeviceError::Gone { .. })), "{found:?}");
    assert!(matches!(turns.send(&mut tun, &frame()), Err(DeviceError::Gone { .. })));
    assert_eq!(tun.in_flight(), 1);
    assert!(matches!(turns.turn(&mut tun), Err(DeviceError::Gone { .. })));
    assert!(!tun.link().up);
    tun.close(&mut turns.pool).expect("nothing to be completed");
    assert_eq!((tun.in_flight(), tun.counters().dropped_out[DeviceReason::LinkDown as usize]), (0, 1));
    let mut again = options(&spaces).open().expect("it can be made again");
    turns.turn(&mut again).expect("it is there");
}

#[test]
fn queues_share_an_interface() {
    let _alone = alone();
    need!(programs(&["python3"]));
    let spaces = need!(Namespaces::new(1));
    let mut queues = options(&spaces).open_queues(3).expect("it can be made");
    assert_eq!(queues.len(), 3);
    assert!(queues.iter().all(|queue| queue.name() == "nf0" && queue.link().mtu == 1_400));
    let told = spaces.expect(0, &["ip", "-d", "link", "show", "dev", "nf0"]);
    assert!(told.contains("multi_queue"), "{told}");
    let mut turns = Loop::new();
    // Each flow is sent by one queue; 64 of them do not all meet on one.
    let send = "import socket\nfor port in range(64):\n    \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('10.8.0.2', 1000 + port))";
    spaces.expect(0, &["python3", "-c", send]);
    let mut got = [0; 3];
    for (queue, got) in queues.iter_mut().zip(&mut got) {
        turns.turn(queue).expect("it is there");
        *got = turns.batch.packets().iter().filter(|packet| packet.head()[14] == 0x45).count();
    }
    assert_eq!(got.iter().sum::<usize>(), 64, "{got:?}");
    assert!(got.iter().filter(|&&count| count > 0).count() > 1, "{got:?}");
    queues.truncate(1);
    turns.turn(&mut queues[0]).expect("one is enough");
}

#[test]
fn packets_that_nobody_read_in_time_are_counted() {
    let _alone = alone();
    need!(programs(&["python3"]));
    let spaces = need!(Namespaces::new(1));
    let mut tun = options(&spaces).open().expect("it can be made");
    let mut turns = Loop::new();
    let send = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                for _ in range(2000): s.sendto(b'x', ('10.8.0.2', 1000))";
    spaces.expect(0, &["python3", "-c", send]);
    let mut got = 0;
    for _ in 0..20 {
        turns.turn(&mut tun).expect("it is there");
        got += turns.batch.packets().iter().filter(|packet| packet.head()[14] == 0x45).count() as u64;
    }
    let dropped = tun.counters().dropped_in[DeviceReason::Overrun as usize];
    assert!(got >= 400 && dropped >= 1_000, "{got} {dropped}");
    assert!(
        (2_000..2_010).contains(&(got + dropped)),
        "{got} {dropped}: and few that the kernel sent itself"
    );
}

#[test]
fn a_persistent_interface_stays_and_is_joined() {
    let _alone = alone();
    let spaces = need!(Namespaces::new(1));
    let keep = TunOptions { persistent: Some(true), ..options(&spaces) };
    drop(keep.open().expect("it can be made"));
    assert!(spaces.expect(0, &["ip", "-d", "link", "show", "dev", "nf0"]).contains("persist on"));
    let plain = TunOptions { namespace: Some(spaces.name(0)), ..TunOptions::tun("nf0") };
    let joined = plain.open().expect("it can be joined");
    assert_eq!(joined.link().mtu, 1_400, "as it was left");
    let busy = plain.open();
    let told = busy.expect_err("it is held").to_string();
    assert!(told.contains("no other program holds"), "{told}");
    drop(joined);
    let other = TunOptions { kind: TunKind::Tap, ..plain.clone() }.open();
    assert!(matches!(other, Err(DeviceError::Setting { setting: "name", .. })), "{other:?}");
    drop(TunOptions { persistent: Some(false), ..plain }.open().expect("it can be joined"));
    assert!(!spaces.run(0, &["ip", "link", "show", "dev", "nf0"]).status.success());
}

#[test]
fn a_descriptor_is_taken_over_with_its_interface() {
    let _alone = alone();
    let spaces = need!(Namespaces::new(1));
    let made = options(&spaces).open().expect("it can be made");
    let fd: OwnedFd = made.descriptor().expect("it is open").try_clone_to_owned().expect("a descriptor");
    drop(made);
    let flags = rustix::fs::fcntl_getfl(&fd).expect("a descriptor");
    rustix::fs::fcntl_setfl(&fd, flags - rustix::fs::OFlags::NONBLOCK).expect("a descriptor");
    let mut tun = Tun::from_fd(fd).expect("it is one of TUN");
    assert_eq!((tun.name(), tun.kind(), tun.link().mtu), ("nf0", TunKind::Tun, 1_400));
    let mut turns = Loop::new();
    turns.turn(&mut tun).expect("it does not block");
    spaces.run(0, &["ping", "-c", "1", "-W", "1", "10.8.0.2"]);
    turns.turn(&mut tun).expect("it is there");
    assert!(turns.batch.packets().iter().any(|packet| packet.head()[23] == 1), "an echo request");
    let other: OwnedFd = std::fs::File::open("/dev/null").expect("it is there").into();
    let refused = Tun::from_fd(other);
    assert!(matches!(refused, Err(DeviceError::Setting { setting: "descriptor", .. })), "{refused:?}");
}

#[test]
fn who_may_not_is_told_what_would_help() {
    let _alone = alone();
    let spaces = need!(Namespaces::new(1));
    let missing = TunOptions { namespace: Some("nflive-none".to_owned()), ..TunOptions::tun("nf0") };
    assert!(matches!(missing.open(), Err(DeviceError::Missing { .. })));
    for bad in ["a/b", "sixteen bytes is", ".", "longer-than-fifteen"] {
        let refused = TunOptions::tun(bad).open();
        assert!(matches!(refused, Err(DeviceError::Setting { setting: "name", .. })), "{bad}");
    }
    let here = options(&spaces);
    for bad in [
        TunOptions { mtu: Some(67), ..here.clone() },
        TunOptions { queue_length: Some(0), ..here.clone() },
        TunOptions { mac: Some([0; 6]), ..here.clone() },
        TunOptions { addresses: vec![([10, 0, 0, 1].into(), 33)], ..here.clone() },
    ] {
        assert!(matches!(bad.open(), Err(DeviceError::Setting { .. })), "{bad:?}");
    }
    assert!(matches!(here.open_queues(0), Err(DeviceError::Setting { setting: "queues", .. })));
    let (made, entered) = without_privileges(|| {
        let made = TunOptions::tun("nflivex").open().expect_err("it needs CAP_NET_ADMIN");
        (made, here.open().expect_err("it needs CAP_SYS_ADMIN"))
    });
    assert!(matches!(made, DeviceError::NotPermitted { call: "ioctl TUNSETIFF", .. }), "{made}");
    assert!(matches!(entered, DeviceError::NotPermitted { call: "setns", .. }), "{entered}");
}

#[test]
fn an_interface_that_was_made_for_a_user_is_joined_without_privileges() {
    let _alone = alone();
    let spaces = need!(Namespaces::new(1));
    let make = ["ip", "tuntap", "add", "nf0", "mode", "tun", "user", "root", "vnet_hdr"];
    spaces.expect(0, &make);
    spaces.expect(0, &["ip", "address", "add", "10.8.0.1/24", "dev", "nf0"]);
    spaces.expect(0, &["ip", "link", "set", "nf0", "up"]);
    let mut tun = inside("nf0", Some(&spaces.name(0)), || {
        drop_capabilities();
        TunOptions::tun("nf0").open()
    })
    .expect("it is this user's");
    let mut turns = Loop::new();
    turns.until_up(&mut tun);
    turns.send(&mut tun, &frame()).expect("it is up");
    assert_eq!(tun.counters().sent, 1);
    let refused = inside("nf0", Some(&spaces.name(0)), || {
        drop_capabilities();
        TunOptions { mtu: Some(1_300), ..TunOptions::tun("nf1") }.open()
    });
    assert!(matches!(refused, Err(DeviceError::NotPermitted { .. })), "{refused:?}");
}

/// Descriptors that this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("it is there").count()
}

#[test]
fn opening_and_closing_leaves_nothing_behind() {
    let _alone = alone();
    let spaces = need!(Namespaces::new(1));
    let mut pool = PacketPool::default();
    let round = |pool: &mut PacketPool| {
        let near = MemoryLink::pair(MemoryOptions::default()).expect("descriptors").0;
        let mut memory = FaultInjector::new(near, Faults::NONE, Faults::NONE, 1).expect("no faults");
        let tun = options(&spaces).open().expect("it can be made");
        let mut tun = FaultInjector::new(tun, Faults::NONE, Faults::NONE, 1).expect("no faults");
        let mut batch = PacketBatch::new();
        tun.receive(Instant::from_secs(1), &mut batch, pool).expect("it is there");
        let mut queue: VecDeque<_> = batch.drain().collect();
        queue.push_back(Skb::from_slice(&frame(), pool).expect("short"));
        tun.transmit(Instant::from_secs(1), &mut queue, pool).expect("it is there");
        tun.close(pool).expect("nothing to be completed");
        memory.close(pool).expect("nothing to be completed");
        let other = options(&spaces).open_queues(2).expect("it can be made");
        drop(other);
    };
    round(&mut pool);
    let (before, waiting) = (descriptors(), pool.waiting());
    for _ in 0..40 {
        round(&mut pool);
    }
    assert_eq!(descriptors(), before);
    assert!(pool.waiting() <= waiting + 4, "{} blocks, {waiting} before", pool.waiting());
    let links = spaces.expect(0, &["ip", "-o", "link"]);
    assert_eq!(links.lines().count(), 1, "{links}");
}
