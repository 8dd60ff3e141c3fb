//! Each rung against the kernel of this machine, over loopback and socket pairs; what a kernel does not say when asked is
//! put into its mouth.
use super::*;
use rustix::net::sockopt;
use std::collections::HashMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};

type Sender = Transmitter<Vec<u8>>;

/// Turns that a test waits at most, of a millisecond each.
const TURNS: u64 = 5_000;

fn forced(rung: Rung) -> TransmitConfig {
    TransmitConfig { rung: Some(rung), zero_copy_from: 1, is_adaptive: false, ..TransmitConfig::default() }
}

/// A transmitter on that rung, or `None` where this machine has none; that is said.
fn sender(socket: impl Into<OwnedFd>, config: TransmitConfig) -> Option<Sender> {
    match Transmitter::new(socket.into(), config) {
        Ok(sender) => Some(sender),
        Err(TransmitError::Unavailable { rung, reason }) => {
            eprintln!("{rung} is not tried: {reason}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn udp_pair() -> (UdpSocket, UdpSocket) {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    // Counted with what the system adds to each datagram; without the right to more, as much as may be.
    sockopt::set_socket_recv_buffer_size_force(&receiver, 8 << 20)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(&receiver, 4 << 20))
        .expect("a larger buffer");
    receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a timeout");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.connect(receiver.local_addr().expect("it is bound")).expect("loopback");
    (socket, receiver)
}

/// Drives until all is released, and gives the completions in order.
fn finish(sender: &mut Sender) -> Vec<Completion<Vec<u8>>> {
    let mut completions = Vec::new();
    for turn in 0..TURNS {
        sender.drive(Instant::from_millis(turn)).expect("it goes on");
        completions.extend(std::iter::from_fn(|| sender.next_completion()));
        if sender.in_flight() == 0 {
            check(sender);
            return completions;
        }
        sender.wait(Duration::from_millis(1)).expect("it can be waited for");
    }
    panic!("{sender:?} did not end: {:?}", sender.counters());
}

/// Every message is in one place.
fn check(sender: &Sender) {
    let counters = sender.counters();
    let ended = counters.sent + counters.failed + counters.cancelled;
    assert_eq!(counters.taken, ended + sender.queued() as u64, "{counters:?}");
    assert_eq!(counters.taken, counters.released + sender.in_flight() as u64, "{counters:?}");
}

fn receive(receiver: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 65_536];
    let length = receiver.recv(&mut bytes).expect("a datagram");
    bytes.truncate(length);
    bytes
}

#[test]
fn every_rung_sends_datagrams_and_gives_their_memory_back() {
    for &rung in Rung::ALL {
        let (socket, receiver) = udp_pair();
        let Some(mut sender) = sender(socket, forced(rung)) else { continue };
        let payload: Vec<u8> = (0..4_321_u32).map(|at| at as u8).collect();
        sender.submit(Message::new(payload.clone()).segment(1_000)).expect("room");
        sender.submit(Message::new(Vec::new())).expect("room");
        sender.submit(Message::new(vec![1; 9])).expect("room");
        let mut given = Vec::new();
        for completion in finish(&mut sender) {
            match completion {
                Completion::Sent { outcome, .. } => assert!(outcome.is_ok(), "{rung}: {outcome:?}"),
                Completion::Released { payload, .. } => given.push(payload),
                Completion::Done { payload, outcome, .. } => {
                    assert_eq!(outcome, Ok(payload.len()), "{rung}");
                    given.push(payload);
                }
            }
        }
        given.sort();
        assert_eq!(given, [Vec::new(), payload.clone(), vec![1; 9]], "{rung}");
        let received: Vec<Vec<u8>> = (0..7).map(|_| receive(&receiver)).collect();
        let lengths: Vec<usize> = received.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1_000, 1_000, 1_000, 1_000, 321, 0, 9], "{rung}");
        assert_eq!(received[..5].concat(), payload, "{rung}");
        let counters = sender.counters();
        let datagrams: u64 = Rung::ALL.iter().map(|&rung| counters.rung(rung).datagrams).sum();
        assert_eq!((datagrams, counters.sent), (7, 3), "{rung}: {counters:?}");
        if rung.is_zero_copy() {
            let notified = counters.rung(rung).notified();
            assert_eq!(
                (notified, counters.rung(rung).zero_copied),
                (2, 0),
                "{rung}: loopback copies: {counters:?}"
            );
        }
    }
}

#[test]
fn messages_longer_than_a_segmented_datagram_go_in_several() {
    for &rung in &[Rung::Segment, Rung::ZeroCopy, Rung::Ring, Rung::RingZeroCopy] {
        let (socket, receiver) = udp_pair();
        let Some(mut sender) = sender(socket, forced(rung)) else { continue };
        // 100 bytes: more than 128 datagrams; 60,000: one in a part.
        for (segment, total) in [(100_u16, 20_050_usize), (60_000, 130_000), (1_400, 140_000)] {
            let payload: Vec<u8> = (0..total).map(|at| (at % 251) as u8).collect();
            sender.submit(Message::new(payload.clone()).segment(segment)).expect("room");
            finish(&mut sender);
            let mut got = Vec::new();
            while got.len() < total {
                let datagram = receive(&receiver);
                assert_eq!(datagram.len(), usize::from(segment).min(total - got.len()), "{rung}");
                got.extend(datagram);
            }
            assert_eq!(got, payload, "{rung}");
        }
    }
}

#[test]
fn unconnected_sockets_and_many_destinations_keep_the_order_of_each() {
    for &rung in Rung::ALL {
        let receivers = [udp_pair().1, udp_pair().1];
        let to: Vec<SocketAddr> = receivers.iter().map(|to| to.local_addr().expect("bound")).collect();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let config = TransmitConfig { zero_copy_from: 100, ..forced(rung) };
        let Some(mut sender) = sender(socket, config) else { continue };
        for number in 0..200_u8 {
            // Short and long ones, so that both kinds stand in one batch.
            let payload = vec![number; if number % 3 == 0 { 500 } else { 20 }];
            sender.submit(Message::new(payload).to(to[usize::from(number % 2)])).expect("room");
        }
        finish(&mut sender);
        for (which, receiver) in receivers.iter().enumerate() {
            let numbers: Vec<u8> = (0..100).map(|_| receive(receiver)[0]).collect();
            assert!(numbers.is_sorted() && numbers[0] == which as u8, "{rung}: {numbers:?}");
        }
        let counters = sender.counters();
        if rung.is_zero_copy() {
            assert_eq!(counters.rung(rung).datagrams, 67, "{rung}: long ones only");
            assert_eq!(counters.rung(rung.copying(true)).datagrams, 133, "{rung}: short ones");
        }
    }
}

#[test]
fn datagrams_without_a_place_to_go_fail_alone() {
    for &rung in Rung::ALL {
        let receiver = udp_pair().1;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let Some(mut sender) = sender(socket, forced(rung)) else { continue };
        let to = receiver.local_addr().expect("bound");
        sender.submit(Message::new(vec![1]).to(to)).expect("room");
        let lost = sender.submit(Message::new(vec![2; 300])).expect("room");
        sender.submit(Message::new(vec![3]).to(to)).expect("room");
        let mut failures = Vec::new();
        for completion in finish(&mut sender) {
            if let Completion::Sent { ticket, outcome: Err(failure) }
            | Completion::Done { ticket, outcome: Err(failure), .. } = completion
            {
                failures.push((ticket, failure));
            }
        }
        assert_eq!(failures, [(lost, Failure { errno: libc::EDESTADDRREQ, sent: 0 })], "{rung}");
        assert_eq!((receive(&receiver), receive(&receiver)), (vec![1], vec![3]), "{rung}");
    }
}

/// Sends over a stream whose other end reads slowly, and says what arrived.
fn through_stream<S: Read>(mut sender: Sender, mut reader: S, messages: usize) -> (Vec<u8>, Sender) {
    let mut got = Vec::new();
    let mut bytes = [0; 3_000];
    for number in 0..messages {
        sender.submit(Message::new(vec![number as u8; 30_000])).expect("room");
    }
    for turn in 0..TURNS * 100 {
        sender.drive(Instant::from_millis(turn)).expect("it goes on");
        while sender.next_completion().is_some() {}
        match reader.read(&mut bytes) {
            Ok(count) => got.extend(&bytes[..count]),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        if sender.in_flight() == 0 && got.len() == messages * 30_000 {
            break;
        }
    }
    check(&sender);
    (got, sender)
}

fn in_order(messages: usize) -> Vec<u8> {
    (0..messages).flat_map(|number| vec![number as u8; 30_000]).collect()
}

#[test]
fn short_sends_of_a_stream_are_continued_in_order() {
    for &rung in Rung::ALL {
        let (socket, reader) = UnixStream::pair().expect("a pair");
        sockopt::set_socket_send_buffer_size(&socket, 4_096).expect("a small buffer");
        reader.set_nonblocking(true).expect("a flag");
        let Some(sender) = sender(socket, forced(rung)) else { continue };
        let (got, sender) = through_stream(sender, reader, 20);
        assert!(got == in_order(20), "{rung}: {} bytes", got.len());
        let counters = sender.counters();
        assert!(counters.short > 0 && counters.sent == 20, "{rung}: {counters:?}");
    }
}

#[test]
fn tcp_keeps_order_with_and_without_copies() {
    for &rung in Rung::ALL {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let socket = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
        let (reader, _) = listener.accept().expect("a connection");
        sockopt::set_socket_send_buffer_size(&socket, 8_192).expect("a small buffer");
        reader.set_nonblocking(true).expect("a flag");
        let Some(sender) = sender(socket, forced(rung)) else { continue };
        let (got, sender) = through_stream(sender, reader, 30);
        assert!(got == in_order(30), "{rung}: {} bytes", got.len());
        assert_eq!(sender.counters().sent, 30, "{rung}: {:?}", sender.counters());
    }
}

#[test]
fn a_broken_stream_fails_all_that_waits_and_takes_nothing_more() {
    for &rung in Rung::ALL {
        let (socket, reader) = UnixStream::pair().expect("a pair");
        let Some(mut sender) = sender(socket, forced(rung)) else { continue };
        drop(reader);
        sender.submit(Message::new(vec![1; 10])).expect("room");
        sender.submit(Message::new(vec![2; 10])).expect("room");
        finish(&mut sender);
        assert_eq!((sender.counters().failed, sender.counters().sent), (2, 0), "{rung}");
        let refused = sender.submit(Message::new(vec![3])).expect_err("it is broken");
        assert!(matches!(refused.error, TransmitError::Broken { errno: libc::EPIPE }), "{}", refused.error);
        assert_eq!(refused.message.payload, [3], "it comes back");
    }
}

#[test]
fn limits_give_the_message_back_and_are_counted() {
    let (socket, _receiver) = udp_pair();
    let config = TransmitConfig { messages: 2, bytes: 100, ..forced(Rung::Sendmmsg) };
    let mut sender = sender(socket, config).expect("it is everywhere");
    sender.submit(Message::new(vec![0; 90])).expect("room");
    let refused = sender.submit(Message::new(vec![0; 20])).expect_err("too many bytes");
    assert_eq!(refused.error.to_string(), "bytes = 100 is reached: wait for completions");
    sender.submit(Message::new(vec![0; 5])).expect("room");
    let refused = sender.submit(Message::new(vec![0])).expect_err("too many messages");
    assert!(matches!(refused.error, TransmitError::Full { setting: "messages", limit: 2 }));
    let refused = sender.submit(Message::new(vec![0; 65_508])).expect_err("no datagram");
    assert!(matches!(refused.error, TransmitError::TooLong { length: 65_508, limit: 65_507 }));
    assert_eq!(sender.counters().full, 2);
    finish(&mut sender);
    // Completions that nobody takes are a limit, too.
    let mut taken = 0;
    while taken < 100 && sender.submit(Message::new(vec![0])).is_ok() {
        sender.drive(Instant::ZERO).expect("it goes on");
        taken += 1;
    }
    assert!((4..=8).contains(&taken), "{taken}");
}

#[test]
fn settings_that_cannot_be_are_named() {
    for (config, text) in [
        (TransmitConfig { messages: 0, ..TransmitConfig::default() }, "messages = 0: give 1 to 65,536"),
        (TransmitConfig { bytes: 0, ..TransmitConfig::default() }, "bytes = 0: give 1 or more"),
    ] {
        let error = Sender::new(udp_pair().0.into(), config).expect_err("it cannot be");
        assert_eq!(error.to_string(), text);
    }
    let (socket, _other) = UnixDatagram::pair().expect("a pair");
    let error = Sender::new(socket.into(), forced(Rung::ZeroCopy)).expect_err("Unix copies");
    assert!(error.to_string().starts_with("rung msg_zerocopy cannot be used here"), "{error}");
}

#[test]
fn the_best_rung_is_taken_and_the_others_are_explained() {
    let (socket, _other) = UnixDatagram::pair().expect("a pair");
    let sender = sender(socket, TransmitConfig::default()).expect("something works");
    let skipped: Vec<Rung> = sender.changes().iter().map(|change| change.from).collect();
    assert!(
        skipped.contains(&Rung::RingZeroCopy),
        "no datagram of a Unix socket goes without a copy: {skipped:?}"
    );
    assert!(sender.changes().iter().all(|change| change.to == sender.rung()));
    let known = rungs(udp_pair().0.as_fd()).expect("a socket");
    assert_eq!(known.len(), Rung::ALL.len());
    assert_eq!(known[0], (Rung::Sendmsg, None));
    for rung in Rung::ALL {
        assert_eq!(Rung::named(rung.name()), Some(*rung));
    }
}

#[test]
fn zero_copy_that_copies_is_left_and_tried_again() {
    for &rung in &[Rung::ZeroCopy, Rung::RingZeroCopy] {
        let (socket, receiver) = udp_pair();
        let config = TransmitConfig { is_adaptive: true, ..forced(rung) };
        let Some(mut sender) = sender(socket, config) else { continue };
        let mut tries = Vec::new();
        for number in 0..4_300 {
            sender.submit(Message::new(vec![0; 64])).expect("room");
            let before = sender.counters().rung(rung).parts;
            finish(&mut sender);
            receive(&receiver);
            if sender.counters().rung(rung).parts > before {
                tries.push(number);
            }
        }
        assert_eq!(sender.rung(), rung.copying(true), "loopback copies");
        assert_eq!(sender.changes().len(), 1, "{:?}", sender.changes());
        assert_eq!(tries[..16], (0..16).collect::<Vec<_>>(), "{rung}");
        assert_eq!(tries[16..], [16 + 4_095], "{rung}: one is tried again");
        // A notification that says otherwise switches it on.
        sender.judge(false);
        assert_eq!((sender.rung(), sender.changes()[1].reason), (rung, Reason::NotCopied));
    }
}

#[test]
fn what_waits_can_be_cancelled_and_what_was_sent_cannot() {
    for &rung in Rung::ALL {
        let (socket, receiver) = udp_pair();
        let Some(mut sender) = sender(socket, forced(rung)) else { continue };
        let first = sender.submit(Message::new(vec![1])).expect("room");
        let second = sender.submit(Message::new(vec![2])).expect("room");
        assert_eq!(sender.cancel(first), Cancelled::Now);
        finish(&mut sender);
        assert_eq!(receive(&receiver), [2]);
        assert_eq!((sender.cancel(second), sender.cancel(first)), (Cancelled::TooLate, Cancelled::TooLate));
        assert_eq!((sender.counters().cancelled, sender.counters().sent), (1, 1));
    }
}

#[test]
fn what_the_ring_waits_with_is_cancelled_by_it() {
    let (socket, mut reader) = UnixStream::pair().expect("a pair");
    let Some(mut sender) = sender(socket, forced(Rung::Ring)) else { return };
    // The first ones fill the socket; the last one waits behind them in the system.
    let tickets: Vec<Ticket> =
        (0..60).map(|_| sender.submit(Message::new(vec![7; 16_384])).expect("room")).collect();
    sender.drive(Instant::ZERO).expect("it goes on");
    let waiting = tickets.iter().copied().find(|&ticket| {
        sender
            .slab
            .find(ticket)
            .is_some_and(|slot| sender.ring.as_ref().is_some_and(|ring| ring.is_sending(slot)))
    });
    let waiting = waiting.expect("one waits for room");
    let begun = sender.slab.state(waiting.slot()).sent;
    let answer = sender.cancel(waiting);
    assert_eq!(answer, if begun > 0 { Cancelled::TooLate } else { Cancelled::Asked });
    let mut outcome = HashMap::new();
    let mut bytes = vec![0; 1 << 20];
    reader.set_nonblocking(true).expect("a flag");
    for turn in 0..TURNS {
        sender.drive(Instant::from_millis(turn)).expect("it goes on");
        while let Some(completion) = sender.next_completion() {
            if let Completion::Done { ticket, outcome: told, .. } = completion {
                outcome.insert(ticket, told);
            }
        }
        let _ = reader.read(&mut bytes);
        if sender.in_flight() == 0 {
            break;
        }
    }
    check(&sender);
    assert_eq!(outcome.len(), tickets.len());
    let cancelled = outcome.values().filter(|told| told.is_err()).count();
    assert_eq!(cancelled, usize::from(answer == Cancelled::Asked), "the others are sent");
}

#[test]
fn closing_cancels_what_waits_and_leaves_nothing_behind() {
    for &rung in Rung::ALL {
        let (socket, _reader) = UnixStream::pair().expect("a pair");
        let Some(mut sender) = sender(socket, forced(rung)) else { continue };
        for _ in 0..60 {
            sender.submit(Message::new(vec![7; 16_384])).expect("room");
        }
        sender.drive(Instant::ZERO).expect("it goes on");
        assert!(sender.queued() > 0, "{rung}: a full socket");
        let leaks = sender.leaks();
        let closed = sender.close();
        let counters = closed.counters;
        assert_eq!(
            (counters.released, counters.leaked, leaks.messages()),
            (60, 0, 0),
            "{rung}: {counters:?}"
        );
        assert_eq!(counters.taken, counters.sent + counters.cancelled, "{rung}: {counters:?}");
        assert!(counters.cancelled > 0, "{rung}");
        assert_eq!(closed.completions.len(), 60, "{rung}");
    }
}

/// Says when it is dropped.
#[derive(Debug)]
struct Watched(Vec<u8>, std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Payload for Watched {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.0[..])
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn memory_that_the_system_still_reads_is_never_freed() {
    let dropped = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let (socket, _receiver) = udp_pair();
    let config = TransmitConfig { close_wait: Duration::from_millis(20), ..forced(Rung::Sendmmsg) };
    let mut sender = Transmitter::new(socket.into(), config).expect("it is everywhere");
    for _ in 0..3 {
        sender.submit(Message::new(Watched(vec![0; 1_000], dropped.clone()))).expect("room");
    }
    sender.drive(Instant::ZERO).expect("it goes on");
    sender.submit(Message::new(Watched(vec![0; 500], dropped.clone()))).expect("room");
    // As when the notification of the last one does not come.
    let slot = sender.queue.pop_front().expect("it waits");
    sender.slab.state_mut(slot).awaited = 1;
    sender.end(slot, Instant::ZERO, None);
    let leaks = sender.leaks();
    drop(sender);
    assert_eq!(dropped.load(std::sync::atomic::Ordering::Relaxed), 3, "those that were released");
    assert_eq!((leaks.messages(), leaks.bytes()), (1, 500));
}

/// What a kernel answers seldom: the parts are as planned, the answer is ours.
fn answered(rung: Rung, message: Message<Vec<u8>>, errno: i32) -> Option<(Sender, UdpSocket)> {
    let (socket, receiver) = udp_pair();
    let mut sender = sender(socket, forced(rung))?;
    sender.submit(message).expect("room");
    assert!(sender.plan());
    let part = sender.scratch.parts[0];
    assert!(sender.refuse(&part, errno, Instant::ZERO), "it is tried again at once");
    Some((sender, receiver))
}

#[test]
fn segmentation_that_is_refused_is_done_here() {
    let message = || Message::new(vec![5; 3_000]).segment(1_000);
    let (mut sender, receiver) = answered(Rung::Segment, message(), libc::EINVAL).expect("Linux");
    finish(&mut sender);
    assert_eq!([(); 3].map(|()| receive(&receiver).len()), [1_000; 3]);
    assert_eq!((sender.counters().unsegmented, sender.rung()), (1, Rung::Segment), "one message says little");
    sender.submit(message()).expect("room");
    finish(&mut sender);
    assert_eq!(sender.counters().rung(Rung::Segment).parts, 3 + 1);

    // Without checksums in the device there is none at all.
    let (mut sender, receiver) = answered(Rung::Segment, message(), libc::EIO).expect("Linux");
    finish(&mut sender);
    assert_eq!([(); 3].map(|()| receive(&receiver).len()), [1_000; 3]);
    assert_eq!(sender.rung(), Rung::Sendmmsg);
    assert_eq!(sender.changes()[0].reason, Reason::NotSegmented { errno: libc::EIO });

    // Older kernels take 64 at a time.
    let many = Message::new(vec![5; 100 * 100]).segment(100);
    let (mut sender, receiver) = answered(Rung::Segment, many, libc::EINVAL).expect("Linux");
    finish(&mut sender);
    (0..100).for_each(|_| assert_eq!(receive(&receiver).len(), 100));
    assert_eq!(sender.counters().rung(Rung::Segment).parts, 2);
    assert_eq!(sender.counters().unsegmented, 0);
}

#[test]
fn zero_copy_that_is_refused_is_a_copy() {
    for &rung in &[Rung::ZeroCopy, Rung::RingZeroCopy] {
        for errno in [libc::ENOBUFS, libc::ENOMEM, libc::EMSGSIZE, libc::EOPNOTSUPP] {
            let Some((mut sender, receiver)) = answered(rung, Message::new(vec![5; 3_000]), errno) else {
                break;
            };
            finish(&mut sender);
            assert_eq!(receive(&receiver).len(), 3_000, "{rung}");
            let counters = sender.counters();
            assert_eq!(
                (counters.zero_copy_refused, counters.rung(rung).parts),
                (1, 0),
                "{rung}: {counters:?}"
            );
            let left = errno == libc::EOPNOTSUPP;
            assert_eq!(
                sender.rung(),
                if left { rung.copying(true) } else { rung },
                "one message says little"
            );
        }
    }
}

#[test]
fn out_of_memory_waits_for_what_is_in_flight() {
    let (socket, receiver) = udp_pair();
    let mut sender = sender(socket, forced(Rung::ZeroCopy)).expect("Linux");
    sender.submit(Message::new(vec![1; 100])).expect("room");
    sender.drive(Instant::ZERO).expect("it goes on");
    sender.submit(Message::new(vec![2; 100])).expect("room");
    assert!(sender.plan() && sender.outstanding.awaited() == 1);
    let part = sender.scratch.parts[0];
    assert!(!sender.refuse(&part, libc::ENOBUFS, Instant::ZERO), "it waits for the first one's notification");
    assert_eq!(sender.blocked, Some(Blocked::Release));
    finish(&mut sender);
    assert_eq!((receive(&receiver)[0], receive(&receiver)[0]), (1, 2));
    assert_eq!((sender.counters().out_of_memory, sender.counters().zero_copy_refused), (1, 0));
}

#[test]
fn registered_memory_goes_out_and_comes_back() {
    let arena = Arena::new(4, 4_096).expect("some memory");
    let (socket, receiver) = udp_pair();
    let config = TransmitConfig { arena: Some(arena.clone()), ..forced(Rung::RingZeroCopy) };
    let Ok(mut sender) = Transmitter::new(socket.into(), config) else { return };
    for number in 0..20_u8 {
        let mut buffer = arena.take(3_000).expect("they come back");
        buffer.fill(number);
        sender.submit(Message::new(buffer).segment(1_000)).expect("room");
        for turn in 0..TURNS {
            sender.drive(Instant::from_millis(turn)).expect("it goes on");
            while sender.next_completion().is_some() {}
            if sender.in_flight() == 0 {
                break;
            }
            sender.wait(Duration::from_millis(1)).expect("it can be waited for");
        }
        assert_eq!([(); 3].map(|()| receive(&receiver)), [(); 3].map(|()| vec![number; 1_000]));
    }
    assert_eq!((arena.free(), sender.counters().sent), (4, 20));
}

#[test]
fn pieces_of_a_message_are_one_datagram() {
    for &rung in Rung::ALL {
        let (socket, receiver) = udp_pair();
        let Ok(mut sender) = Transmitter::<Box<[Vec<u8>]>>::new(socket.into(), forced(rung)) else {
            continue;
        };
        let pieces = [vec![1; 3], Vec::new(), vec![2; 2_000], vec![3; 7]];
        sender.submit(Message::new(Box::from(pieces.clone())).segment(900)).expect("room");
        for turn in 0..TURNS {
            sender.drive(Instant::from_millis(turn)).expect("it goes on");
            if sender.in_flight() == 0 {
                break;
            }
            sender.wait(Duration::from_millis(1)).expect("it can be waited for");
        }
        let got = [receive(&receiver), receive(&receiver), receive(&receiver)];
        assert_eq!((got[0].len(), got[2].len(), got.concat()), (900, 210, pieces.concat()), "{rung}");
    }
}

#[test]
fn packets_go_out_piece_by_piece_and_come_back_to_their_pool() {
    use netfast_buf::{Block, PacketPool, Skb};
    let mut pool = PacketPool::default();
    for &rung in Rung::ALL {
        let (socket, receiver) = udp_pair();
        let Ok(mut sender) = Transmitter::<Skb>::new(socket.into(), forced(rung)) else { continue };
        let mut packet = Skb::from_slice(b"header", &mut pool).expect("short");
        let mut rest = Skb::from_block(Block::from(vec![7; 900]), 100, 800).expect("in the block");
        packet.append(&mut rest, &mut pool).expect("short");
        assert_eq!(packet.segments().len(), 2, "a scatterlist");
        let expected = packet.to_vec();
        sender.submit(Message::new(packet)).expect("room");
        let waiting = pool.waiting();
        for turn in 0..TURNS {
            sender.drive(Instant::from_millis(turn)).expect("it goes on");
            match sender.next_completion() {
                Some(Completion::Released { payload, .. } | Completion::Done { payload, .. }) => {
                    pool.recycle(payload);
                    break;
                }
                _ => sender.wait(Duration::from_millis(1)).expect("it can be waited for"),
            }
        }
        assert_eq!((receive(&receiver), pool.waiting()), (expected, waiting + 1), "{rung}");
    }
}

/// Gives fewer bytes each time that it is asked.
#[derive(Debug)]
struct Shrinking(Vec<u8>, std::sync::atomic::AtomicUsize);

impl Payload for Shrinking {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let length = self.1.load(std::sync::atomic::Ordering::Relaxed);
        self.1.store(length.saturating_sub(500), std::sync::atomic::Ordering::Relaxed);
        std::iter::once(&self.0[..length])
    }
}

#[test]
fn a_payload_that_breaks_its_word_ends_early() {
    for &rung in Rung::ALL {
        let (socket, _receiver) = udp_pair();
        let Ok(mut sender) = Transmitter::new(socket.into(), forced(rung)) else { continue };
        let payload = Shrinking(vec![0; 2_000], 2_000.into());
        sender.submit(Message::new(payload).segment(100)).expect("room");
        for turn in 0..TURNS {
            sender.drive(Instant::from_millis(turn)).expect("it goes on");
            if sender.in_flight() == 0 {
                break;
            }
            sender.wait(Duration::from_millis(1)).expect("it can be waited for");
        }
        assert_eq!((sender.in_flight(), sender.counters().sent), (0, 1), "{rung}");
    }
}
