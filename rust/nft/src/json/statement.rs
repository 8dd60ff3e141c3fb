//! Declarations and statements of libnftables JSON to text.
use serde_json::Value;

use super::Told;
use super::expression::{elements, key, map, quoted, single, value_of, word, word_of};

pub(super) fn table(body: &Value) -> Told {
    Ok(format!("add table {} {}", word_of(body, "family")?, word_of(body, "name")?))
}

/// `inet table name`, for what stands in a table.
fn path(body: &Value) -> Told {
    Ok(format!("{} {} {}", word_of(body, "family")?, word_of(body, "table")?, word_of(body, "name")?))
}

fn comment(body: &Value) -> Told {
    match body.get("comment").and_then(Value::as_str) {
        Some(comment) => Ok(format!(" comment {};", quoted(comment)?)),
        None => Ok(String::new()),
    }
}

pub(super) fn chain(body: &Value) -> Told {
    let comment = comment(body)?;
    if body.get("hook").is_none() {
        return Ok(format!("add chain {} {{{comment} }}", path(body)?));
    }
    if body.get("dev").is_some() {
        return Err("a chain of a device".to_owned());
    }
    let priority = body.get("prio").and_then(Value::as_i64).ok_or("a chain without priority")?;
    let policy = match body.get("policy") {
        Some(_) => format!(" policy {};", word_of(body, "policy")?),
        None => String::new(),
    };
    Ok(format!(
        "add chain {} {{ type {} hook {} priority {priority};{policy}{comment} }}",
        path(body)?,
        word_of(body, "type")?,
        word_of(body, "hook")?
    ))
}

pub(super) fn counter_object(body: &Value) -> Told {
    let number = |member: &str| body.get(member).and_then(Value::as_u64).unwrap_or(0);
    let (packets, bytes) = (number("packets"), number("bytes"));
    Ok(format!("add counter {} {{{} packets {packets} bytes {bytes}; }}", path(body)?, comment(body)?))
}

pub(super) fn limit_object(body: &Value) -> Told {
    Ok(format!("add limit {} {{ {};{} }}", path(body)?, rate(body)?, comment(body)?))
}

pub(super) fn quota_object(body: &Value) -> Told {
    let over = inverted(body);
    let (bytes, used) = (number(body, "bytes")?, number(body, "used").unwrap_or(0));
    let used = if used == 0 { String::new() } else { format!(" used {used} bytes") };
    Ok(format!("add quota {} {{ {over}{bytes} bytes{used};{} }}", path(body)?, comment(body)?))
}

pub(super) fn set(kind: &str, body: &Value) -> Told {
    for (name, _) in body.as_object().into_iter().flatten() {
        let known = [
            "family",
            "name",
            "table",
            "type",
            "handle",
            "flags",
            "elem",
            "map",
            "comment",
            "size",
            "policy",
            "timeout",
            "gc-interval",
        ];
        if !known.contains(&name.as_str()) && name != "auto-merge" {
            return Err(format!("sets with {name}"));
        }
    }
    let mut text = format!("add {kind} {} {{ type {}", path(body)?, types(body.get("type"))?);
    if kind == "map" {
        let data = types(body.get("map"))?;
        let ranges = data != "verdict" && body.get("elem").is_some_and(has_ranges);
        text.push_str(&format!(" : {}{data}", if ranges { "interval " } else { "" }));
    }
    text.push(';');
    if let Some(flags) = body.get("flags") {
        text.push_str(&format!(" flags {};", list(flags, ",")?));
    }
    if body.get("auto-merge").and_then(Value::as_bool) == Some(true) {
        text.push_str(" auto-merge;");
    }
    for name in ["timeout", "gc-interval"] {
        if let Some(time) = body.get(name).and_then(Value::as_u64) {
            text.push_str(&format!(" {name} {time}s;"));
        }
    }
    if let Some(size) = body.get("size").and_then(Value::as_u64) {
        text.push_str(&format!(" size {size};"));
    }
    text.push_str(&comment(body)?);
    if let Some(elem) = body.get("elem") {
        text.push_str(&format!(" elements = {};", elements(elem, kind == "map", 0)?));
    }
    text.push_str(" }");
    Ok(text)
}

/// Whether what a map gives are ranges; the JSON does not tell it in the map's type.
fn has_ranges(elements: &Value) -> bool {
    elements
        .as_array()
        .into_iter()
        .flatten()
        .any(|element| matches!(element.get(1).and_then(single), Some(("range" | "prefix", _))))
}

fn types(of: Option<&Value>) -> Told {
    match of {
        // Of the data of maps nft writes concatenations as one text.
        Some(Value::String(text)) => {
            let parts: Result<Vec<String>, String> = text.split(" . ").map(word).collect();
            Ok(parts?.join(" . "))
        }
        Some(types @ Value::Array(_)) => list(types, " . "),
        _ => Err("a type of unknown form".to_owned()),
    }
}

/// One word or a list of words.
fn list(words: &Value, between: &str) -> Told {
    match words {
        Value::String(text) => word(text),
        Value::Array(parts) => {
            let parts: Result<Vec<String>, String> =
                parts.iter().map(|part| word(part.as_str().unwrap_or_default())).collect();
            Ok(parts?.join(between))
        }
        _ => Err("a list of unknown form".to_owned()),
    }
}

pub(super) fn rule(body: &Value) -> Told {
    let place =
        format!("{} {} {}", word_of(body, "family")?, word_of(body, "table")?, word_of(body, "chain")?);
    let mut text = format!("add rule {place}");
    for expression in body.get("expr").and_then(Value::as_array).into_iter().flatten() {
        let Some((kind, body)) = single(expression) else {
            return Err("a statement of unknown form".to_owned());
        };
        text.push(' ');
        text.push_str(&statement(kind, body)?);
    }
    if let Some(comment) = body.get("comment").and_then(Value::as_str) {
        text.push_str(&format!(" comment {}", quoted(comment)?));
    }
    Ok(text)
}

fn statement(kind: &str, body: &Value) -> Told {
    match kind {
        "accept" | "drop" | "continue" | "return" | "notrack" => Ok(kind.to_owned()),
        "jump" | "goto" => Ok(format!("{kind} {}", word_of(body, "target")?)),
        "match" => matching(body),
        "vmap" => map(body, "vmap"),
        "counter" => counter(body),
        "limit" => limit(body),
        "quota" => quota(body),
        "log" => log(body),
        "mangle" => mangle(body),
        "reject" => reject(body),
        "set" => dynamic(body),
        "meter" => meter(body),
        "flow" => flow(body),
        "snat" | "dnat" | "masquerade" | "redirect" => nat(kind, body),
        _ => Err(format!("statements of kind {kind}")),
    }
}

fn matching(body: &Value) -> Told {
    let left = key(body.get("left").unwrap_or(&Value::Null))?;
    let right = body.get("right").unwrap_or(&Value::Null);
    let (operator, between) = match body.get("op").and_then(Value::as_str) {
        Some("in") => ("", ","),
        Some(operator @ ("==" | "!=" | "<" | ">" | "<=" | ">=" | "!")) => (operator, " | "),
        _ => return Err("an unknown operator".to_owned()),
    };
    Ok(format!("{left} {operator} {}", value_of(right, between, 0)?))
}

fn counter(body: &Value) -> Told {
    match body {
        Value::String(name) => Ok(format!("counter name {}", word(name)?)),
        Value::Null => Ok("counter".to_owned()),
        _ => Ok(format!("counter packets {} bytes {}", number(body, "packets")?, number(body, "bytes")?)),
    }
}

fn number(body: &Value, member: &str) -> Result<u64, String> {
    body.get(member).and_then(Value::as_u64).ok_or_else(|| format!("an object without {member}"))
}

fn inverted(body: &Value) -> &'static str {
    if body.get("inv").and_then(Value::as_bool) == Some(true) { "over " } else { "" }
}

fn limit(body: &Value) -> Told {
    match body {
        Value::String(name) => Ok(format!("limit name {}", word(name)?)),
        _ => Ok(format!("limit {}", rate(body)?)),
    }
}

fn rate(body: &Value) -> Told {
    let over = inverted(body);
    let (rate, per) = (number(body, "rate")?, word_of(body, "per")?);
    let unit = match body.get("rate_unit").and_then(Value::as_str) {
        None | Some("packets") => String::new(),
        Some(unit) => format!(" {}", word(unit)?),
    };
    let mut text = format!("rate {over}{rate}{unit}/{per}");
    if let Some(burst) = body.get("burst").and_then(Value::as_u64)
        && (burst != 0 || unit.is_empty())
    {
        let unit = match body.get("burst_unit").and_then(Value::as_str) {
            Some(unit) => word(unit)?,
            None if unit.is_empty() => "packets".to_owned(),
            None => "bytes".to_owned(),
        };
        text.push_str(&format!(" burst {burst} {unit}"));
    }
    Ok(text)
}

fn quota(body: &Value) -> Told {
    if let Value::String(name) = body {
        return Ok(format!("quota name {}", word(name)?));
    }
    let mut text = format!("quota {}{} {}", inverted(body), number(body, "val")?, word_of(body, "val_unit")?);
    if body.get("used").and_then(Value::as_u64).is_some_and(|used| used != 0) {
        text.push_str(&format!(" used {} {}", number(body, "used")?, word_of(body, "used_unit")?));
    }
    Ok(text)
}

fn log(body: &Value) -> Told {
    let mut text = "log".to_owned();
    for (name, value) in body.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("prefix", Value::String(prefix)) => text.push_str(&format!(" prefix {}", quoted(prefix)?)),
            ("level", Value::String(level)) => text.push_str(&format!(" level {}", word(level)?)),
            (name @ ("group" | "snaplen" | "queue-threshold"), Value::Number(number)) => {
                text.push_str(&format!(" {name} {number}"));
            }
            ("flags", Value::String(flag)) => text.push_str(&log_flag(flag)?),
            ("flags", Value::Array(flags)) => {
                for flag in flags {
                    text.push_str(&log_flag(flag.as_str().unwrap_or_default())?);
                }
            }
            _ => return Err(format!("log with {name}")),
        }
    }
    Ok(text)
}

fn log_flag(flag: &str) -> Told {
    let words: Result<Vec<String>, String> = flag.split(' ').map(word).collect();
    Ok(format!(" flags {}", words?.join(" ")))
}

/// A statement that changes a set.
fn dynamic(body: &Value) -> Told {
    let set = body.get("set").and_then(Value::as_str).and_then(|set| set.strip_prefix('@'));
    let set = word(set.unwrap_or_default())?;
    let each = body.get("stmt").and_then(Value::as_array);
    let each = each_of(each.into_iter().flatten())?;
    let element = element(body.get("elem").unwrap_or(&Value::Null))?;
    Ok(format!("{} @{set} {{ {element}{each} }}", word_of(body, "op")?))
}

fn meter(body: &Value) -> Told {
    let element = element(body.get("key").unwrap_or(&Value::Null))?;
    let each = each_of(body.get("stmt").into_iter())?;
    let size = match body.get("size").and_then(Value::as_u64) {
        Some(size) => format!(" size {size}"),
        None => String::new(),
    };
    Ok(format!("meter {}{size} {{ {element}{each} }}", word_of(body, "name")?))
}

/// What an element has of its own.
fn each_of<'v>(statements: impl Iterator<Item = &'v Value>) -> Told {
    let mut text = String::new();
    for each in statements {
        let Some((kind, body)) = single(each) else { return Err("an element of unknown form".to_owned()) };
        text.push(' ');
        text.push_str(&statement(kind, body)?);
    }
    Ok(text)
}

/// The element that a statement puts into a set.
fn element(value: &Value) -> Told {
    let Some(("elem", body)) = single(value) else { return key(value) };
    let element = key(body.get("val").unwrap_or(&Value::Null))?;
    match body.get("timeout").and_then(Value::as_u64) {
        Some(time) => Ok(format!("{element} timeout {time}s")),
        None => Ok(element),
    }
}

fn flow(body: &Value) -> Told {
    let table = body.get("flowtable").and_then(Value::as_str).unwrap_or_default();
    Ok(format!("flow {} @{}", word_of(body, "op")?, word(table.trim_start_matches('@'))?))
}

fn mangle(body: &Value) -> Told {
    let value = body.get("value").unwrap_or(&Value::Null);
    if let Some(("rt", route)) = single(value) {
        let target = key(body.get("key").unwrap_or(&Value::Null))?;
        return Ok(format!("{target} set rt {}", word_of(route, "key")?));
    }
    let target = key(body.get("key").unwrap_or(&Value::Null))?;
    let value = mark(value, 0)?;
    Ok(format!("{target} set {value}"))
}

/// What a mark is set to: a number, a mark, a calculation or a map.
fn mark(value: &Value, depth: usize) -> Told {
    match single(value) {
        Some((operator @ ("&" | "|" | "^"), body)) if depth < 2 => match body.as_array().map(Vec::as_slice) {
            Some([left, right]) => {
                Ok(format!("{} {operator} {}", mark(left, depth + 1)?, value_of(right, " | ", 0)?))
            }
            _ => Err("a calculation of unknown form".to_owned()),
        },
        Some(("map", body)) => map(body, "map"),
        Some(("meta" | "ct", _)) => key(value),
        Some((kind, _)) => Err(format!("marks from {kind}")),
        None => value_of(value, " | ", 0),
    }
}

fn reject(body: &Value) -> Told {
    let Some(kind) = body.get("type").and_then(Value::as_str) else { return Ok("reject".to_owned()) };
    if kind == "tcp reset" {
        return Ok("reject with tcp reset".to_owned());
    }
    let code = match body.get("expr") {
        Some(Value::String(code)) => word(code)?,
        Some(Value::Number(code)) => code.to_string(),
        _ => return Err("a rejection of unknown form".to_owned()),
    };
    Ok(format!("reject with {} {code}", word(kind)?))
}

fn nat(kind: &str, body: &Value) -> Told {
    for (name, _) in body.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "family" | "addr" | "port" | "flags") {
            return Err(format!("{kind} with {name}"));
        }
    }
    let mut text = kind.to_owned();
    if body.get("family").is_some() {
        text.push_str(&format!(" {}", word_of(body, "family")?));
    }
    let port = body.get("port");
    if let Some(address) = body.get("addr") {
        text.push_str(&format!(" to {}", address_of(address, port.is_some())?));
    }
    if let Some(port) = port {
        let port = match single(port) {
            Some(("map", body)) => map(body, "map")?,
            _ => value_of(port, " | ", 0)?,
        };
        text.push_str(if body.get("addr").is_some() { ":" } else { " to :" });
        text.push_str(&port);
    }
    if let Some(flags) = body.get("flags") {
        text.push_str(&format!(" {}", list(flags, ",")?));
    }
    Ok(text)
}

/// An address to translate to; IPv6 addresses before a port need brackets.
fn address_of(address: &Value, before_port: bool) -> Told {
    match (single(address), address) {
        (Some(("map", body)), _) => map(body, "map"),
        (Some(("range", ends)), _) => {
            let ends: Result<Vec<String>, String> =
                ends.as_array().into_iter().flatten().map(|end| address_of(end, before_port)).collect();
            Ok(ends?.join("-"))
        }
        (_, Value::String(text)) if before_port && text.contains(':') => {
            Ok(format!("[{}]", value_of(address, " | ", 0)?))
        }
        _ => value_of(address, " | ", 0),
    }
}
