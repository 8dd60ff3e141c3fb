//! Names that are not there, and those that may have been meant.
use netfast_wire::HeaderKind;
use netfast_wire::header as wire;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;

/// Field names that other tools use, with ours; of several the first that a header has is meant.
const ELSEWHERE: &[(&str, &[&str])] = &[
    ("sport", &["src_port"]),
    ("dport", &["dst_port"]),
    ("source", &["src", "src_port"]),
    ("destination", &["dst", "dst_port"]),
    ("hlim", &["hop_limit"]),
    ("ttl", &["hop_limit"]),
    ("nh", &["next_header"]),
    ("tc", &["traffic_class"]),
    ("fl", &["flow_label"]),
    ("plen", &["payload_length", "protocol_size"]),
    ("chksum", &["checksum", "header_checksum"]),
    ("checksum", &["header_checksum"]),
    ("cksum", &["checksum", "header_checksum"]),
    ("proto", &["protocol"]),
    ("len", &["total_length", "length", "hdr_ext_len"]),
    ("length", &["total_length", "payload_length", "header_len"]),
    ("dataofs", &["data_offset"]),
    ("urgptr", &["urgent_pointer"]),
    ("id", &["identification", "identifier", "dei"]),
    ("seq", &["sequence"]),
    ("ack_seq", &["ack"]),
    ("flags", &["dont_fragment and more_fragments", "managed, other, home_agent and proxy"]),
    ("frag", &["fragment_offset"]),
    ("offset", &["fragment_offset", "data_offset"]),
    ("m", &["more_fragments"]),
    ("vlan", &["vid"]),
    ("prio", &["priority"]),
    ("type", &["ethertype", "operation"]),
    ("load", &["data"]),
    ("tag", &["verification_tag"]),
    ("tgt", &["target"]),
    ("gw", &["gateway"]),
    ("ptr", &["pointer"]),
    ("op", &["operation"]),
    ("hwsrc", &["sender_mac"]),
    ("hwdst", &["target_mac"]),
    ("psrc", &["sender_ip"]),
    ("pdst", &["target_ip"]),
    ("s", &["bottom_of_stack"]),
    ("cos", &["traffic_class"]),
    ("sessionid", &["session_id"]),
    ("gaddr", &["group"]),
    ("mladdr", &["group"]),
    ("chlim", &["cur_hop_limit"]),
    ("routerlifetime", &["router_lifetime"]),
    ("segleft", &["segments_left"]),
];

/// Longer names are no typing mistakes of ours.
const LONGEST: usize = 40;

/// The field that is meant by a name that the header has not.
fn meant(kind: HeaderKind, name: &str) -> Option<&'static str> {
    let fields = wire::spec(kind).fields;
    // Several fields are named with "and" between them; the first of them says whether the header has them.
    let has = |ours: &str| {
        let first = ours.split([',', ' ']).next().unwrap_or(ours);
        fields.iter().any(|field| field.name == first)
    };
    let elsewhere = ELSEWHERE.iter().filter(|(theirs, _)| *theirs == name);
    let known = elsewhere.flat_map(|(_, ours)| ours.iter().copied()).find(|ours| has(ours));
    known.or_else(|| similar(name, fields.iter().map(|field| field.name)))
}

/// The name that differs by a typing mistake or two, if there is one.
pub(crate) fn similar<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let most = (name.len() / 3).clamp(1, 3);
    let near = names.map(|known| (distance(name, known), known)).filter(|(edits, _)| *edits <= most);
    near.min_by_key(|(edits, _)| *edits).map(|(_, known)| known)
}

/// Characters to insert, take away or exchange (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, ours) in left.to_lowercase().chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], line + 1);
        for (column, theirs) in right.iter().enumerate() {
            let exchanged = corner + usize::from(ours != *theirs);
            corner = row[column + 1];
            row[column + 1] = exchanged.min(corner + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

fn all(kind: HeaderKind) -> String {
    let names: Vec<_> = wire::spec(kind).fields.iter().map(|field| field.name).collect();
    names.join(", ")
}

/// The error of a keyword that is no field.
pub(super) fn unknown(kind: HeaderKind, name: &str) -> PyErr {
    let hint = meant(kind, name).map_or_else(String::new, |ours| format!("; did you mean {ours}?"));
    PyTypeError::new_err(format!("{kind} has no field {name:?}{hint} (it has {})", all(kind)))
}

/// The error of an attribute that is no field.
pub(super) fn no_attribute(kind: HeaderKind, name: &str) -> PyErr {
    let hint = match name.starts_with('_') {
        true => None,
        false => meant(kind, name),
    };
    let hint = hint.map_or_else(String::new, |ours| format!("; did you mean {ours}?"));
    PyAttributeError::new_err(format!("{kind} has no field {name:?}{hint}"))
}

/// The error of an attribute that a packet of these headers has not.
pub(crate) fn no_packet_attribute<'a>(
    name: &str,
    headers: impl Iterator<Item = HeaderKind>,
    attributes: impl Iterator<Item = &'a str> + Clone,
) -> PyErr {
    let plain = format!("Packet has no attribute {name:?}");
    if name.starts_with('_') {
        return PyAttributeError::new_err(plain);
    }
    let elsewhere = ELSEWHERE.iter().find(|(theirs, _)| *theirs == name);
    let ours = elsewhere.and_then(|(_, ours)| attributes.clone().find(|known| ours.contains(known)));
    let hint = match ours.or_else(|| similar(name, attributes)) {
        Some(ours) => format!("; did you mean {ours}?"),
        None => {
            let field = |kind: HeaderKind| match wire::spec(kind).field(name) {
                Some(index) => Some((kind, wire::spec(kind).fields[index].name)),
                None => meant(kind, name).map(|ours| (kind, ours)),
            };
            let found = headers.filter_map(field).next();
            found.map_or_else(String::new, |(kind, ours)| format!("; did you mean packet[{kind}].{ours}?"))
        }
    };
    PyAttributeError::new_err(plain + &hint)
}
