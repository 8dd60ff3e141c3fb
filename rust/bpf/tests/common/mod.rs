//! What the tests share: a BPF machine to compare with, packets of every kind, and tcpdump.
#![allow(dead_code, reason = "each test uses its own part")]
use std::io::Write;
use std::process::{Command, Stdio};

use netfast_bpf::{ByteOrder, Filter, Instruction};

pub mod grammar;
pub mod packets;

/// Every link type that filters are compiled for and that tcpdump reads.
pub const LINKS: &[u16] = &[0, 1, 9, 12, 50, 51, 101, 104, 105, 108, 113, 127, 228, 229, 276];

/// A small generator of random numbers (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// True `percent` times out of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// Curated expressions, one a line; the blank line is the empty expression.
pub fn expressions() -> Vec<&'static str> {
    include_str!("../expressions.txt").lines().collect()
}

/// A program as `tcpdump -ddd` prints it, without the line that counts.
pub fn listing(program: &[Instruction]) -> String {
    program.iter().map(|i| format!("{} {} {} {}\n", i.code, i.jt, i.jf, i.k)).collect()
}

/// A capture file without packets.
pub fn empty_capture(link: u16, order: ByteOrder) -> Vec<u8> {
    let little = order == ByteOrder::Little;
    let word = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
    let half = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
    let mut out = word(0xa1b2_c3d4).to_vec();
    out.extend(half(2));
    out.extend(half(4));
    for v in [0, 0, 262_144, u32::from(link)] {
        out.extend(word(v));
    }
    out
}

/// A capture of packets, each with its length on the wire.
pub fn capture(link: u16, packets: &[(Vec<u8>, u32)]) -> Vec<u8> {
    let mut out = empty_capture(link, ByteOrder::Little);
    for (i, (packet, wire)) in packets.iter().enumerate() {
        for v in [i as u32, 0, packet.len() as u32, *wire] {
            out.extend(v.to_le_bytes());
        }
        out.extend(packet);
    }
    out
}

/// Runs tcpdump on a capture given on its standard input. `None` when it is not installed; an `Err` is what it
/// complained about.
pub fn tcpdump(input: &[u8], arguments: &[&str]) -> Option<Result<Vec<u8>, String>> {
    let mut child = Command::new("tcpdump")
        .args(["-r", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    // A bad expression ends it before it has read all.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("tcpdump ends");
    Some(if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

/// The program that tcpdump compiles, or its complaint.
pub fn tcpdump_program(link: u16, order: ByteOrder, expression: &str) -> Option<Result<String, String>> {
    let out = tcpdump(&empty_capture(link, order), &["-ddd", "--", expression])?;
    Some(out.map(|text| {
        let text = String::from_utf8(text).expect("digits");
        text.split_once('\n').map_or(String::new(), |(_, program)| program.to_owned())
    }))
}

/// Says why a test did nothing, when tcpdump is missing.
pub fn tcpdump_is_missing() -> bool {
    let missing = Command::new("tcpdump").arg("--version").output().is_err();
    if missing {
        eprintln!("skipped: tcpdump is not installed, only the recorded programs were compared");
    }
    missing
}

/// tcpdump of the release that the recorded programs are from. Others may differ in what they compile.
pub fn tcpdump_is_another_release() -> bool {
    let Ok(output) = Command::new("tcpdump").arg("--version").output() else { return true };
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let other = !text.contains("libpcap version 1.10.3");
    if other {
        eprintln!("skipped: programs are compared one by one with libpcap 1.10.3 only, here is {text}");
    }
    other
}

/// What the filter compiles, or its complaint.
pub fn our_program(link: u16, order: ByteOrder, expression: &str) -> Result<String, String> {
    match Filter::compile_with(expression, link, order) {
        Ok(filter) => Ok(listing(&filter.to_bpf())),
        Err(error) => Err(error.to_string()),
    }
}

/// A BPF machine, written from the paper: the oracle for the evaluator. `None` when it does not end.
pub fn interpret(program: &[Instruction], packet: &[u8], wire_len: u32) -> Option<bool> {
    let (mut a, mut x, mut memory, mut pc) = (0u32, 0u32, [0u32; 16], 0usize);
    let load = |at: u64, size: u64| -> Option<u32> {
        let bytes = packet.get(usize::try_from(at).ok()?..usize::try_from(at + size).ok()?)?;
        Some(bytes.iter().fold(0, |v, b| v << 8 | u32::from(*b)))
    };
    for _ in 0..1_000_000 {
        let Instruction { code, jt, jf, k } = program[pc];
        pc += 1;
        let size = match code & 0x18 {
            0x00 => 4,
            0x08 => 2,
            _ => 1,
        };
        match code & 7 {
            0 => {
                let value = match code & 0xe0 {
                    0x00 => Some(k),
                    0x20 => load(k.into(), size),
                    0x40 => load(u64::from(x) + u64::from(k), size),
                    0x60 => Some(memory[k as usize]),
                    _ => Some(wire_len),
                };
                let Some(value) = value else { return Some(false) };
                a = value;
            }
            1 => {
                x = match code & 0xe0 {
                    0x00 => k,
                    0x60 => memory[k as usize],
                    _ => match load(k.into(), 1) {
                        Some(byte) => (byte & 15) * 4,
                        None => return Some(false),
                    },
                }
            }
            2 => memory[k as usize] = a,
            3 => memory[k as usize] = x,
            4 => {
                let operand = if code & 8 != 0 { x } else { k };
                a = match code & 0xf0 {
                    0x00 => a.wrapping_add(operand),
                    0x10 => a.wrapping_sub(operand),
                    0x20 => a.wrapping_mul(operand),
                    0x30 | 0x90 if operand == 0 => return Some(false),
                    0x30 => a / operand,
                    0x40 => a | operand,
                    0x50 => a & operand,
                    0x60 => u64::from(a).checked_shl(operand).map_or(0, |v| v as u32),
                    0x70 => u64::from(a).checked_shr(operand).map_or(0, |v| v as u32),
                    0x80 => a.wrapping_neg(),
                    0x90 => a % operand,
                    _ => a ^ operand,
                }
            }
            5 if code & 0xf0 == 0 => pc = pc.wrapping_add_signed(k as i32 as isize),
            5 => {
                let operand = if code & 8 != 0 { x } else { k };
                let holds = match code & 0xf0 {
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    _ => a & operand != 0,
                };
                pc += usize::from(if holds { jt } else { jf });
            }
            6 => return Some(k != 0),
            _ if code & 0x80 != 0 => a = x,
            _ => x = a,
        }
    }
    None
}
