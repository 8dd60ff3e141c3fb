//! Inputs: filters on several link types and byte orders, several captures of which some are damaged, interrupts.
use netfast_bpf::FilterError;
use netfast_capture::{Error, Input, InputOptions};
use netfast_io::capture::{Interrupt, Reader, ReaderOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const ETHERNET: u16 = 1;
const NULL: u16 = 0;
const USB: u16 = 189;

/// Numbers in one byte order.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

const LE: Order = Order { big: false };
const BE: Order = Order { big: true };

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let total = self.u32(padded as u32 + 12);
        let padding = vec![0; padded - body.len()];
        [&self.u32(kind)[..], &total, body, &padding, &total].concat()
    }

    fn section(self) -> Vec<u8> {
        let body = [&self.u32(0x1a2b_3c4d)[..], &self.u16(1), &self.u16(0), &[0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    fn interface(self, link: u16) -> Vec<u8> {
        self.block(1, &[&self.u16(link)[..], &[0; 6]].concat())
    }

    fn packet(self, interface: u32, data: &[u8]) -> Vec<u8> {
        let len = self.u32(data.len() as u32);
        let head = [self.u32(interface), [0; 4], self.u32(1), len, len].concat();
        self.block(6, &[&head[..], data].concat())
    }

    fn pcap(self, link: u16, packets: &[(u32, &[u8])]) -> Vec<u8> {
        let mut file =
            [self.u32(0xa1b2_c3d4), [self.u16(2), self.u16(4)].concat().try_into().unwrap()].concat();
        file.extend([[0; 4], [0; 4], self.u32(65535), self.u32(u32::from(link))].concat());
        for (seconds, data) in packets {
            let len = self.u32(data.len() as u32);
            file.extend([self.u32(*seconds), [0; 4], len, len].concat());
            file.extend(*data);
        }
        file
    }
}

/// An IPv4 packet with UDP.
fn ipv4() -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    packet.extend([0, 1, 0, 2, 0, 8, 0, 0]);
    packet
}

fn ethernet() -> Vec<u8> {
    [&[0; 12][..], &[8, 0], &ipv4()].concat()
}

fn loopback(order: Order) -> Vec<u8> {
    [&order.u32(2)[..], &ipv4()].concat()
}

fn open(files: &[Vec<u8>], filter: &str) -> Result<Input, Error> {
    let reader = |file: &Vec<u8>| Reader::from_block(file.clone().into(), ReaderOptions::default()).unwrap();
    let names = (0..files.len()).map(|i| format!("file {i}")).collect();
    Input::new(files.iter().map(reader).collect(), names, false, Some(filter))
}

/// Frame numbers that the filter keeps, and the error that ends them.
fn frames(input: &mut Input) -> (Vec<u64>, Option<Error>) {
    let mut frames = Vec::new();
    loop {
        match input.next(16) {
            Ok(true) => frames.extend(input.packets().map(|(frame, ..)| frame)),
            Ok(false) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

#[test]
fn packets_of_other_link_types_are_left_out_and_counted() {
    let known = [
        LE.section(),
        LE.interface(ETHERNET),
        LE.interface(USB),
        LE.packet(0, &ethernet()),
        LE.packet(1, &[0; 64]),
        LE.packet(1, &[0; 64]),
        LE.packet(0, &ethernet()),
    ];
    let later = [
        LE.section(),
        LE.interface(ETHERNET),
        LE.packet(0, &ethernet()),
        LE.interface(USB),
        LE.packet(1, &[0; 64]),
        LE.packet(1, &[0; 64]),
        LE.packet(0, &ethernet()),
    ];
    for file in [known.concat(), later.concat()] {
        let mut input = open(&[file], "udp").expect("Ethernet can be asked");
        let unfiltered = input.unfiltered();
        let (frames, error) = frames(&mut input);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(frames, [1, 4]);
        assert_eq!(unfiltered.counts().into_iter().collect::<Vec<_>>(), [(USB, 2)]);
    }
}

#[test]
fn a_filter_that_can_never_match_a_link_type_is_no_oddity_beside_others() {
    let file = [
        LE.section(),
        LE.interface(ETHERNET),
        LE.interface(101),
        LE.packet(0, &ethernet()),
        LE.packet(1, &ipv4()),
    ];
    let mut input = open(&[file.concat()], "ether proto 0x800 or arp").expect("both can be asked");
    assert_eq!(frames(&mut input).0, [1, 2]);
    let mut input = open(&[file.concat()], "arp").expect("Ethernet can be asked");
    assert!(frames(&mut input).0.is_empty());
    assert!(input.unfiltered().counts().is_empty());
}

#[test]
fn what_no_known_link_type_can_be_asked_is_an_error_at_once() {
    let usb = [LE.section(), LE.interface(USB)].concat();
    let error = open(std::slice::from_ref(&usb), "udp").err();
    assert!(
        matches!(error, Some(Error::Filter(FilterError::UnsupportedLinkType { link: USB }))),
        "{error:?}"
    );
    let nothing_known = LE.section();
    assert!(open(std::slice::from_ref(&nothing_known), "udp").is_ok());
    let both = [LE.section(), LE.interface(USB), LE.interface(ETHERNET)].concat();
    for file in [usb, nothing_known, both] {
        let error = open(&[file], "udp prt 1").err();
        assert!(matches!(error, Some(Error::Filter(FilterError::Syntax { .. }))), "{error:?}");
    }
}

#[test]
fn bsd_loopback_has_the_byte_order_of_its_file() {
    for order in [LE, BE] {
        let file = order.pcap(NULL, &[(1, &loopback(order))]);
        assert_eq!(frames(&mut open(&[file], "udp").unwrap()).0, [1], "pcap, big-endian: {}", order.big);
    }
    // Each section of a pcapng file has its own.
    let sections = [LE, BE]
        .map(|order| [order.section(), order.interface(NULL), order.packet(0, &loopback(order))].concat());
    let file = sections.concat();
    assert_eq!(frames(&mut open(std::slice::from_ref(&file), "udp").unwrap()).0, [1, 2]);
    // And so has each of several files.
    let files = [BE.pcap(NULL, &[(0, &loopback(BE))]), file, LE.pcap(NULL, &[(9, &loopback(LE))])];
    assert_eq!(frames(&mut open(&files, "udp").unwrap()).0, [1, 2, 3, 4]);
}

#[test]
fn of_several_captures_the_whole_ones_are_read_to_their_ends() {
    let whole = LE.pcap(ETHERNET, &[(1, &ethernet()), (3, &ethernet()), (9, &ethernet())]);
    let mut cut = LE.pcap(ETHERNET, &[(2, &ethernet()), (4, &ethernet())]);
    cut.pop();
    let (kept, error) = frames(&mut open(&[whole.clone(), cut.clone()], "udp").unwrap());
    assert_eq!(kept, [1, 2, 3, 4]);
    let error = error.expect("one is cut");
    assert!(matches!(&error, Error::Capture { path, .. } if path == "file 1"), "{error}");
    assert_eq!((error.frame(), error.offset()), (Some(2), Some(24 + 16 + 42)));
    let (kept, error) = frames(&mut open(&[cut.clone(), whole, cut], "udp").unwrap());
    assert_eq!(kept.len(), 5);
    let error = error.expect("two are cut");
    assert!(matches!(&error, Error::Several { errors } if errors.len() == 2));
    assert!(error.to_string().contains("file 0: frame 2") && error.to_string().contains("; file 2: frame 2"));
    assert_eq!(error.frame(), Some(2));
}

#[test]
fn a_search_without_a_match_can_be_interrupted() {
    let packet = ethernet();
    let packets: Vec<(u32, &[u8])> = (0..1_000_000).map(|i| (i, &packet[..])).collect();
    let path = std::env::temp_dir().join(format!("netfast-capture-{}-no-match", std::process::id()));
    std::fs::write(&path, LE.pcap(ETHERNET, &packets)).expect("the temporary directory can be written");
    let asked = Arc::new(AtomicU32::new(0));
    let counter = asked.clone();
    let interrupt = Interrupt::new(move || counter.fetch_add(1, Ordering::Relaxed) == 1);
    let reader = ReaderOptions { interrupt: Some(interrupt), ..ReaderOptions::default() };
    let options = InputOptions { reader, filter: Some("tcp".into()), ..InputOptions::default() };
    let mut input = Input::open(&[&path], &options).expect("a capture");
    let gauge = input.gauge();
    let outcome = input.next(256);
    std::fs::remove_file(&path).expect("it was made here");
    assert!(matches!(outcome, Err(Error::Interrupted)), "{outcome:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert!((200_000..300_000).contains(&gauge.read().0), "{gauge:?}");
}
