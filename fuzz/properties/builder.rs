//! Any bytes as any header: parsing and emission are each other's inverse, fields read and written stay inside; any
//! fields in any stack of new headers are emitted or refused.
//!
//! The first byte chooses the header or the link type; the third part treats the rest as instructions.
use netfast_wire::header::{Dissection, Header, Stack, Value, describe, examine, spec};
use netfast_wire::{Frame, HeaderKind, Limits, LinkType};

pub fn check(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let kind = HeaderKind::ALL[usize::from(choice) % HeaderKind::ALL.len()];
    parsed(kind, bytes);
    let link = LinkType::SUPPORTED[usize::from(choice) % LinkType::SUPPORTED.len()];
    taken_apart(link, bytes);
    built(bytes);
}

fn parsed(kind: HeaderKind, bytes: &[u8]) {
    for field in describe(kind, bytes) {
        assert!(field.bit_offset + field.bit_len <= bytes.len() * 8, "{kind}.{}", field.name);
    }
    let Ok(header) = Header::parse(kind, bytes) else { return };
    let mut output = vec![0; header.buffer_len()];
    assert_eq!(header.emit(&mut output), Ok(output.len()));
    assert_eq!(output, bytes[..output.len()]);
    for (index, field) in spec(kind).fields.iter().enumerate() {
        let value = header.get_at(index);
        if matches!(value, Value::Absent | Value::Options(_)) || field.alias {
            continue;
        }
        let mut same = header.clone();
        same.set_at(index, value.clone()).expect("the value that it has");
        assert_eq!(same.as_bytes(), header.as_bytes(), "{kind}.{} set to {value:?}", field.name);
    }
}

fn taken_apart(link: LinkType, bytes: &[u8]) {
    let frame = Frame::whole(bytes, link);
    let dissection = Dissection::new(&frame, &Limits::default());
    let findings = examine(&frame, &dissection);
    assert!(findings.is_sorted_by_key(|finding| finding.offset));
    let mut stack =
        Stack::from_visits(bytes, &dissection.headers, dissection.end).expect("headers within the bytes");
    let written = stack.to_vec().expect("nothing is left to derive");
    assert_eq!(written, bytes[..written.len()]);
    stack.rederive();
    if let Ok(written) = stack.to_vec() {
        assert_eq!(written.len(), stack.buffer_len());
    }
}

/// Instructions of three bytes: another header, or a field of the last one and a value for it.
fn built(instructions: &[u8]) {
    let mut stack = Stack::default();
    for instruction in instructions.chunks_exact(3).take(64) {
        let &[what, field, value] = instruction else { continue };
        match stack.headers.last_mut() {
            Some(header) if what >= 0x40 => {
                // A refusal must leave the header as it was.
                let before = header.clone();
                if header.set_at(usize::from(field) % header.spec().fields.len(), of(what, value)).is_err() {
                    assert_eq!(*header, before, "a refused value changed the header");
                }
            }
            _ => stack.headers.push(Header::new(HeaderKind::ALL[usize::from(what) % HeaderKind::ALL.len()])),
        }
    }
    stack.payload = instructions.get(..9).unwrap_or(&[]).to_vec();
    let mut output = vec![0; stack.buffer_len()];
    match stack.emit(&mut output) {
        Ok(length) => assert_eq!(length, output.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Some(short) = output.len().checked_sub(1) {
        assert!(stack.emit(&mut output[..short]).is_err());
    }
}

/// A value of any type.
fn of(what: u8, value: u8) -> Value {
    let wide = u64::from(value);
    match what & 15 {
        0 => Value::Auto,
        1 => Value::Absent,
        2 => Value::Flag(value & 1 != 0),
        3 => Value::Mac([value; 6]),
        4 => Value::Ipv4([value; 4].into()),
        5 => Value::Ipv6([value; 16].into()),
        6 => Value::Bytes(vec![value; usize::from(value)]),
        7 => Value::Addresses(vec![std::net::Ipv6Addr::from([value; 16]).into(); usize::from(value & 7)]),
        8 => Value::Addresses(vec![std::net::Ipv4Addr::from([value; 4]).into(); usize::from(value & 7)]),
        9 => Value::Uint(wide * 0x0101_0101_0101_0101),
        10 => Value::Uint(wide * 8),
        11 => Value::Uint(1 << (value & 63)),
        _ => Value::Uint(wide),
    }
}
