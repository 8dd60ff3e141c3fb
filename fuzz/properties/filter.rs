//! Any text as a filter for any link type: it compiles or is refused with a place in it; what compiles decides any
//! packet, and as its BPF program does.
//!
//! The first byte is the link type; the text ends at the first zero byte, a packet follows.
use netfast_bpf::{Filter, Instruction};

const LINKS: [u16; 14] = [0, 1, 9, 12, 50, 51, 101, 105, 108, 113, 127, 228, 229, 276];

pub fn check(data: &[u8]) {
    let Some((&link, rest)) = data.split_first() else { return };
    let link = LINKS.get(usize::from(link) % (LINKS.len() + 1)).copied().unwrap_or(147);
    let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    let (text, packet) = rest.split_at(end);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let packet = packet.get(1..).unwrap_or(&[]);
    match Filter::compile(text, link) {
        Ok(filter) => {
            let program = filter.to_bpf();
            in_range(&program);
            for wire_len in [packet.len() as u32, u32::MAX] {
                let kept = filter.matches(packet, wire_len);
                assert_eq!(kept, filter.clone().matches(packet, wire_len));
            }
            for cut in 0..packet.len().min(64) {
                let _ = filter.matches(&packet[..cut], packet.len() as u32);
            }
        }
        Err(error) => {
            assert!(error.column().is_none_or(|column| (1..=text.len() + 1).contains(&column)), "{error}");
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Every jump stays within the program, which ends with a return.
fn in_range(program: &[Instruction]) {
    let last = program.last().expect("a program has an instruction");
    assert_eq!(last.code & 7, 6, "the last instruction is no return");
    for (at, &Instruction { code, jt, jf, k }) in program.iter().enumerate() {
        if code & 7 == 5 {
            let targets = if code & 0xf0 == 0 {
                [(at as i64 + 1) + i64::from(k as i32); 2]
            } else {
                [jt, jf].map(|jump| at as i64 + 1 + i64::from(jump))
            };
            let inside = targets.iter().all(|target| (0..program.len() as i64).contains(target));
            assert!(inside, "instruction {at} jumps to {targets:?} of {}", program.len());
        }
        if matches!(code & 7, 2 | 3) {
            assert!(k < 16, "instruction {at} stores to M[{k}]");
        }
    }
}
