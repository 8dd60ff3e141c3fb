//! A packet as text, HTML and data.
use std::fmt::Write as _;

use netfast_wire::header::{self as wire, Described, Dissection, Finding, names};
use netfast_wire::{Frame, HeaderKind, Layers, Present, Verdict};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::headers::to_python;

/// Column of the values in the text tree.
const NAME_WIDTH: usize = 24;
/// Bytes of a field that the text tree shows.
const SHOWN_BYTES: usize = 8;

/// A part of the tree: a header, or the payload behind the last.
struct Part<'a> {
    kind: HeaderKind,
    offset: usize,
    bytes: &'a [u8],
    fields: Vec<Described>,
    wrong: Vec<Finding>,
    title: &'static str,
    /// Part of the packet that an ICMP error quotes.
    quoted: bool,
}

fn parts<'a>(frame: &Frame<'a>, found: &Dissection) -> Vec<Part<'a>> {
    let mut extents = found.headers.clone();
    let payload = found.payload_offset();
    if payload < found.end {
        extents.push((HeaderKind::Payload, payload, found.end - payload));
    }
    if found.end < frame.bytes.len() {
        extents.push((HeaderKind::Payload, found.end, frame.bytes.len() - found.end));
    }
    let mut findings = wire::examine(frame, found);
    let mut list: Vec<Part<'a>> = extents
        .iter()
        .enumerate()
        .map(|(index, (kind, offset, len))| {
            let bytes = frame.bytes.get(*offset..offset.saturating_add(*len)).unwrap_or(&[]);
            let next = extents.get(index + 1).map_or(usize::MAX, |(_, next, _)| *next);
            let count = findings.partition_point(|finding| finding.offset < next);
            let wrong = findings.drain(..count).collect();
            Part { wrong, ..Part::new(*kind, *offset, bytes, title(*kind, *offset, found)) }
        })
        .collect();
    if list.is_empty() && !findings.is_empty() {
        list.push(Part { wrong: findings, ..Part::new(HeaderKind::Payload, 0, &[], "Payload") });
    }
    let quote = wire::quote(frame, found);
    if let Some((quote, at)) = quote.and_then(|quote| {
        let at = list.iter().position(|part| part.title == "Payload" && part.offset == quote.offset)?;
        Some((quote, at))
    }) {
        let wrong = std::mem::take(&mut list[at].wrong);
        let mut parts = quoted(frame, found, &quote);
        parts.last_mut().into_iter().for_each(|part| part.wrong.extend(wrong.iter().cloned()));
        list.splice(at..=at, parts);
    }
    list
}

impl<'a> Part<'a> {
    fn new(kind: HeaderKind, offset: usize, bytes: &'a [u8], title: &'static str) -> Self {
        let fields = wire::describe(kind, bytes).collect();
        Self { kind, offset, bytes, fields, wrong: Vec::new(), title, quoted: false }
    }
}

/// The headers of the packet that an ICMP error quotes, what is behind them of it, and what is behind the quote.
fn quoted<'a>(frame: &Frame<'a>, found: &Dissection, quote: &wire::Quote) -> Vec<Part<'a>> {
    let part = |kind: HeaderKind, offset: usize, end: usize, quoted: bool| {
        let bytes = frame.bytes.get(offset..end).unwrap_or(&[]);
        let title = if kind == HeaderKind::Payload { "Payload" } else { kind.name() };
        Part { quoted, ..Part::new(kind, offset, bytes, title) }
    };
    let end = quote.offset + quote.len;
    let mut behind = quote.offset;
    let mut parts: Vec<Part<'a>> = Vec::with_capacity(quote.dissection.headers.len() + 2);
    for (kind, offset, len) in &quote.dissection.headers {
        behind = (quote.offset + offset + len).min(end);
        parts.push(part(*kind, quote.offset + offset, behind, true));
    }
    if behind < end {
        parts.push(part(HeaderKind::Payload, behind, end, true));
    }
    if end < found.end {
        parts.push(part(HeaderKind::Payload, end, found.end, false));
    }
    parts
}

/// Text of a part's place among the headers: a payload that stands behind the packet's end is a trailer.
fn title(kind: HeaderKind, offset: usize, found: &Dissection) -> &'static str {
    match kind {
        HeaderKind::Payload if offset >= found.end && offset > 0 => "Trailer",
        HeaderKind::Payload if offset >= found.payload_offset() => "Payload",
        kind => kind.name(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn field_bytes<'a>(part: &Part<'a>, field: &Described) -> &'a [u8] {
    let end = (field.bit_offset + field.bit_len).div_ceil(8);
    part.bytes.get(field.bit_offset / 8..end).unwrap_or(&[])
}

pub(super) fn show(frame: &Frame<'_>, found: &Dissection) -> String {
    let mut text = String::new();
    for part in parts(frame, found) {
        let quoted = if part.quoted { "Quoted " } else { "" };
        let _ = writeln!(text, "{quoted}{} ({} bytes at {})", part.title, part.bytes.len(), part.offset);
        for field in &part.fields {
            let bytes = field_bytes(&part, field);
            let shown = hex(bytes.get(..SHOWN_BYTES).unwrap_or(bytes));
            let more = if bytes.len() > SHOWN_BYTES { "…" } else { "" };
            let (byte, bit) = (part.offset + field.bit_offset / 8, field.bit_offset % 8);
            let place = if bit == 0 { byte.to_string() } else { format!("{byte}.{bit}") };
            let _ = writeln!(
                text,
                "  {:>6}  {:<18} {:<NAME_WIDTH$} {}",
                place,
                format!("{shown}{more}"),
                field.name,
                field.text
            );
        }
        for finding in &part.wrong {
            let _ = writeln!(text, "  {:>6}  ! {}", finding.offset, finding.what);
        }
    }
    text
}

pub(super) fn tree<'py>(
    py: Python<'py>,
    frame: &Frame<'_>,
    found: &Dissection,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for part in parts(frame, found) {
        let entry = PyDict::new(py);
        entry.set_item("header", part.title)?;
        entry.set_item("offset", part.offset)?;
        entry.set_item("length", part.bytes.len())?;
        let fields = PyList::empty(py);
        let spec = wire::spec(part.kind);
        for field in &part.fields {
            let row = PyDict::new(py);
            row.set_item("name", field.name)?;
            if let Some(index) = spec.field(field.name) {
                row.set_item("value", to_python(py, &spec.fields[index], field.value.clone())?)?;
            }
            row.set_item("text", &field.text)?;
            row.set_item("offset", part.offset * 8 + field.bit_offset)?;
            row.set_item("bits", field.bit_len)?;
            row.set_item("bytes", hex(field_bytes(&part, field)))?;
            fields.append(row)?;
        }
        entry.set_item("fields", fields)?;
        let wrong: Vec<_> =
            part.wrong.iter().map(|finding| (finding.offset, finding.what.as_str())).collect();
        entry.set_item("wrong", wrong)?;
        if part.quoted {
            entry.set_item("quoted", true)?;
        }
        list.append(entry)?;
    }
    Ok(list)
}

/// Text in HTML: markup and control characters as what they are.
pub(super) fn escaped(text: &str) -> String {
    let visible = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    let text: String = text.chars().map(visible).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub(super) fn html(frame: &Frame<'_>, found: &Dissection, summary: &str) -> String {
    let mut text = format!("<div class=\"netfast-packet\"><b>{}</b>", escaped(summary));
    for part in parts(frame, found) {
        let mark = if part.wrong.is_empty() { "" } else { " ⚠" };
        let _ = write!(
            text,
            "<details><summary>{}{} ({} bytes at {}){mark}</summary><table>",
            if part.quoted { "Quoted " } else { "" },
            part.title,
            part.bytes.len(),
            part.offset
        );
        for field in &part.fields {
            let _ = write!(
                text,
                "<tr title=\"{}\"><td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
                escaped(field.doc),
                field.name,
                escaped(&field.text),
                hex(field_bytes(&part, field).get(..SHOWN_BYTES).unwrap_or(field_bytes(&part, field)))
            );
        }
        for finding in &part.wrong {
            let _ = write!(text, "<tr><td colspan=\"3\">⚠ {}</td></tr>", escaped(&finding.what));
        }
        text.push_str("</table></details>");
    }
    text.push_str("</div>");
    text
}

/// `IPv6 2001:db8::1 > 2001:db8::2 UDP 1234 > 53, 20 bytes`.
pub(super) fn summary(layers: &Layers, found: &Dissection) -> String {
    let mut text = String::new();
    let names: Vec<&str> = found.headers.iter().map(|(kind, ..)| kind.name()).collect();
    let _ = match names.is_empty() {
        true => write!(text, "without a header"),
        false => write!(text, "{}", names.join("/")),
    };
    if let (Some(src), Some(dst), true) = (layers.src_ip(), layers.dst_ip(), layers.present.has(Present::IP))
    {
        let _ = match (layers.present.has(Present::PORTS), src.is_ipv6()) {
            (true, true) => write!(text, " [{src}]:{} > [{dst}]:{}", layers.src_port, layers.dst_port),
            (true, false) => write!(text, " {src}:{} > {dst}:{}", layers.src_port, layers.dst_port),
            (false, _) => write!(text, " {src} > {dst}"),
        };
    }
    if layers.present.has(Present::TCP_FLAGS) {
        let _ = write!(text, " [{}]", names::tcp_flag_list(layers.tcp_flags.into()));
    }
    if let Some((start, end)) = carried(layers, found) {
        let _ = write!(text, ", {} bytes", end - start);
    }
    if layers.verdict != Verdict::Ok {
        let _ = write!(text, ", {}", layers.verdict);
    }
    text.trim_start().to_string()
}

/// The packet in sentences.
pub(super) fn explain(frame: &Frame<'_>, layers: &Layers, found: &Dissection) -> String {
    let captured = frame.bytes.len();
    let whole = if (frame.wire_len as usize) > captured {
        format!("the first {captured} of {} bytes", frame.wire_len)
    } else {
        format!("{captured} bytes")
    };
    let mut lines = vec![format!("{} frame, {whole}.", frame.link)];
    for (packet, (layers, first)) in found.packets.iter().enumerate() {
        let last = found.packets.get(packet + 1).map_or(found.headers.len(), |(_, next)| *next);
        let headers: Vec<&str> =
            found.headers.get(*first..last).unwrap_or(&[]).iter().map(|(kind, ..)| kind.name()).collect();
        if headers.is_empty() {
            continue;
        }
        let depth = if packet == 0 { "" } else { "Inside it: " };
        lines.push(format!("{depth}{}.", headers.join(", then ")));
        lines.extend(sentences(layers, found));
        for (kind, offset, len) in found.headers.get(*first..last).unwrap_or(&[]) {
            let bytes = frame.bytes.get(*offset..offset.saturating_add(*len)).unwrap_or(&[]);
            lines.extend(fact(*kind, bytes));
        }
    }
    if let Some(quote) = wire::quote(frame, found) {
        let names: Vec<&str> = quote.dissection.headers.iter().map(|(kind, ..)| kind.name()).collect();
        lines.push(format!("It quotes {} bytes of a packet: {}.", quote.len, names.join(", then ")));
        if let Some((layers, _)) = quote.dissection.packets.first() {
            lines.extend(sentences(layers, &quote.dissection));
        }
    }
    if layers.verdict == Verdict::NonFirstFragment {
        lines.push("A fragment that is not the first: it has no transport header.".into());
    }
    let findings = wire::examine(frame, found);
    if findings.is_empty() {
        lines.push("Nothing is wrong with it.".into());
    }
    for Finding { kind, offset, what } in findings {
        let place = kind.map_or_else(String::new, |kind| format!("{kind}, "));
        lines.push(format!("Wrong ({place}byte {offset}): {what}."));
    }
    lines.join("\n")
}

/// What matters of a header that the values of a packet do not tell.
fn fact(kind: HeaderKind, bytes: &[u8]) -> Option<String> {
    let fields: Vec<Described> = wire::describe(kind, bytes).collect();
    let text = |name: &str| fields.iter().find(|field| field.name == name).map(|field| field.text.as_str());
    let number = |name: &str| fields.iter().find(|field| field.name == name)?.value.uint();
    match kind {
        HeaderKind::Arp => {
            let (sender, target) = (text("sender_ip")?, text("target_ip")?);
            let mac = text("sender_mac")?;
            Some(match number("operation")? {
                1 if sender == target => format!("{sender} announces itself at {mac}."),
                1 => format!("{sender}, at {mac}, asks who has {target}."),
                2 => format!("{sender} is at {mac}, which {target} is told."),
                _ => format!("Operation {}, from {sender} at {mac}.", text("operation")?),
            })
        }
        HeaderKind::HopByHop | HeaderKind::DestinationOptions | HeaderKind::Ipv4 | HeaderKind::Tcp => {
            let options = text("options")?;
            let padding =
                |option: &&str| !["pad1", "padn", "nop", "end"].iter().any(|pad| option.starts_with(pad));
            let options: Vec<&str> = options.split(", ").filter(padding).collect();
            (!options.is_empty()).then(|| format!("{kind} options: {}.", options.join(", ")))
        }
        HeaderKind::Routing => {
            let left = number("segments_left")?;
            let segments = if left == 1 { "segment" } else { "segments" };
            let through = text("addresses").filter(|list| !list.is_empty());
            let through = through.map_or_else(String::new, |list| format!(" of {list}"));
            Some(format!("Routing type {}, {left} {segments} left{through}.", text("type")?))
        }
        HeaderKind::Icmpv6 => match text("target") {
            Some(target) => Some(format!("It is about {target}.")),
            None => text("group").map(|group| format!("It is about group {group}.")),
        },
        _ => None,
    }
}

/// What the transport header carries by the lengths in the packet: bytes behind that header as the headers have it, so
/// that messages which are all header carry none. `None` where there is no such length.
pub(super) fn carried(layers: &Layers, found: &Dissection) -> Option<(usize, usize)> {
    if !layers.present.has(Present::PAYLOAD) {
        return None;
    }
    let (end, at) = (layers.end as usize, layers.l4_offset as usize);
    let start = end.saturating_sub(layers.payload_len as usize);
    let header = found.headers.iter().find(|(_, offset, _)| *offset == at);
    let behind = header.map_or(start, |(_, offset, len)| offset + len);
    Some((behind.max(start).min(end), end))
}

fn sentences(layers: &Layers, found: &Dissection) -> Vec<String> {
    let mut lines = Vec::new();
    if layers.present.has(Present::VLAN) {
        lines.push(format!("VLAN {}.", layers.vlan));
    }
    if let (Some(src), Some(dst), true) = (layers.src_ip(), layers.dst_ip(), layers.present.has(Present::IP))
    {
        let hops = layers.hop_limit;
        let plural = if hops == 1 { "hop" } else { "hops" };
        lines.push(format!("From {src} to {dst}, {hops} {plural} left, {} bytes of IP.", layers.ip_len()));
    }
    if layers.is_fragment() {
        let more = if layers.present.has(Present::MORE_FRAGMENTS) { "more follow" } else { "the last one" };
        lines.push(format!(
            "Fragment {:#x} at byte {} of its datagram, {more}.",
            layers.fragment_id, layers.fragment_offset
        ));
    }
    if layers.present.has(Present::PROTOCOL) {
        let number = layers.protocol;
        let name = names::protocol(number.into(), &[]).unwrap_or("an unnamed protocol");
        let ports = match layers.present.has(Present::PORTS) {
            true => format!(" from port {} to port {}", layers.src_port, layers.dst_port),
            false => String::new(),
        };
        let flags = match layers.present.has(Present::TCP_FLAGS) {
            true => format!(" with {}", names::tcp_flag_list(layers.tcp_flags.into())),
            false => String::new(),
        };
        let payload = carried(layers, found)
            .map_or_else(String::new, |(start, end)| format!(", {} bytes of payload", end - start));
        lines.push(format!("Protocol {number} ({name}){ports}{flags}{payload}."));
    }
    if layers.present.has(Present::ICMP) {
        let header = [layers.icmp_type];
        let v6 = layers.ip_version == 6;
        let (message, code) = if v6 {
            (
                names::icmp6_type(header[0].into(), &header),
                names::icmp6_code(layers.icmp_code.into(), &header),
            )
        } else {
            (
                names::icmp4_type(header[0].into(), &header),
                names::icmp4_code(layers.icmp_code.into(), &header),
            )
        };
        let message = message.map_or_else(|| format!("message {}", header[0]), str::to_string);
        let code = code.map_or_else(String::new, |code| format!(": {code}"));
        lines.push(format!("It says {message}{code}."));
    }
    lines
}
