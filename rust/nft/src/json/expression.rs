//! Keys and values of libnftables JSON to text.
use std::net::IpAddr;

use serde_json::Value;

use super::Told;

/// How deeply values may be nested.
const MAX_DEPTH: usize = 16;

/// A word that needs no quotes and cannot be anything but a word.
pub(super) fn word(text: &str) -> Told {
    let plain =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    if plain { Ok(text.to_owned()) } else { Err(format!("the name {text:?}")) }
}

/// The member of an object that is a word.
pub(super) fn word_of(body: &Value, member: &str) -> Told {
    body.get(member)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("an object without {member}"))
        .and_then(word)
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> Told {
    if text.contains(['"', '\n', '\r']) {
        return Err(format!("the text {text:?}"));
    }
    Ok(format!("\"{text}\""))
}

/// The only member of an object.
pub(super) fn single(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object()?;
    let mut members = object.iter();
    match (members.next(), members.next()) {
        (Some((name, body)), None) => Some((name, body)),
        _ => None,
    }
}

/// The left side of a match: what is looked at.
pub(super) fn key(value: &Value) -> Told {
    let Some((kind, body)) = single(value) else { return Err("an expression of unknown form".to_owned()) };
    match kind {
        "payload" if body.get("protocol").is_some() => {
            Ok(format!("{} {}", word_of(body, "protocol")?, word_of(body, "field")?))
        }
        "payload" => Err("raw bytes of the packet".to_owned()),
        "meta" => Ok(format!("meta {}", word_of(body, "key")?)),
        "ct" => connection(body),
        "tcp option" => match body.get("field") {
            None => Ok(format!("tcp option {}", word_of(body, "name")?)),
            Some(_) => Ok(format!("tcp option {} {}", word_of(body, "name")?, word_of(body, "field")?)),
        },
        "fib" => route(body),
        "exthdr" => match body.get("field") {
            None => Ok(format!("exthdr {}", word_of(body, "name")?)),
            Some(_) => Ok(format!("{} {}", word_of(body, "name")?, word_of(body, "field")?)),
        },
        "concat" => joined(body, " . ", key),
        "&" => match body.as_array().map(Vec::as_slice) {
            Some([left, mask]) => Ok(format!("{} & ({})", key(left)?, value_of(mask, " | ", 0)?)),
            _ => Err("a mask of unknown form".to_owned()),
        },
        _ => Err(format!("expressions of kind {kind}")),
    }
}

fn connection(body: &Value) -> Told {
    let of = body.get("key").and_then(Value::as_str).unwrap_or_default();
    let of: Result<Vec<String>, String> = of.split(' ').map(word).collect();
    let of = of?.join(" ");
    match body.get("dir") {
        Some(_) => Ok(format!("ct {} {of}", word_of(body, "dir")?)),
        None => Ok(format!("ct {of}")),
    }
}

fn route(body: &Value) -> Told {
    let flags = match body.get("flags") {
        Some(Value::String(flag)) => word(flag)?,
        Some(flags) => joined(flags, " . ", |flag| word(flag.as_str().unwrap_or_default()))?,
        None => return Err("fib without flags".to_owned()),
    };
    Ok(format!("fib {flags} {}", word_of(body, "result")?))
}

fn joined(list: &Value, between: &str, each: impl Fn(&Value) -> Told) -> Told {
    let Some(list) = list.as_array() else { return Err("a list of unknown form".to_owned()) };
    let parts: Result<Vec<String>, String> = list.iter().map(each).collect();
    Ok(parts?.join(between))
}

/// The right side of a match: a value, a range, a set. `between` stands between the members of lists.
pub(super) fn value_of(value: &Value, between: &str, depth: usize) -> Told {
    if depth > MAX_DEPTH {
        return Err("values that are nested too deeply".to_owned());
    }
    match value {
        Value::Bool(true) => return Ok("exists".to_owned()),
        Value::Bool(false) => return Ok("missing".to_owned()),
        Value::Number(number) => {
            return number
                .as_u64()
                .map(|number| number.to_string())
                .ok_or_else(|| format!("the number {number}"));
        }
        Value::String(text) => return symbol(text),
        Value::Array(_) => return joined(value, between, |part| value_of(part, between, depth + 1)),
        _ => {}
    }
    let Some((kind, body)) = single(value) else { return Err("a value of unknown form".to_owned()) };
    match kind {
        "prefix" => {
            let length = body.get("len").and_then(Value::as_u64).ok_or("a prefix without length")?;
            let address = body.get("addr").ok_or("a prefix without address")?;
            Ok(format!("{}/{length}", value_of(address, between, depth + 1)?))
        }
        "range" => joined(body, "-", |end| value_of(end, between, depth + 1)),
        "concat" => joined(body, " . ", |part| value_of(part, between, depth + 1)),
        "|" => joined(body, " | ", |part| value_of(part, between, depth + 1)),
        "set" => elements(body, false, depth + 1),
        _ => Err(format!("values of kind {kind}")),
    }
}

/// A text that stands for a value: an address, a reference to a set, or a name.
fn symbol(text: &str) -> Told {
    if let Some(name) = text.strip_prefix('@') {
        return Ok(format!("@{}", word(name)?));
    }
    let ether = text.len() == 17 && text.bytes().filter(|&byte| byte == b':').count() == 5;
    let ether = ether && text.bytes().all(|byte| byte == b':' || byte.is_ascii_hexdigit());
    if ether || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    quoted(text)
}

/// Elements of a set or map in braces.
pub(super) fn elements(list: &Value, map: bool, depth: usize) -> Told {
    if list.as_array().is_some_and(Vec::is_empty) {
        return Err("an empty set".to_owned());
    }
    // nft writes a set of one without its list.
    let one = Value::Array(vec![list.clone()]);
    let list = if list.is_array() { list } else { &one };
    let text = joined(list, ", ", |element| match element.as_array().map(Vec::as_slice) {
        Some([key, data]) if map => {
            Ok(format!("{} : {}", element_key(key, depth)?, self::data(data, depth)?))
        }
        _ if map => Err("an element of a map of unknown form".to_owned()),
        _ => element_key(element, depth),
    })?;
    Ok(format!("{{ {text} }}"))
}

fn element_key(element: &Value, depth: usize) -> Told {
    let Some(("elem", body)) = single(element) else { return value_of(element, " | ", depth) };
    for (name, value) in body.as_object().into_iter().flatten() {
        let known = matches!(name.as_str(), "val" | "comment" | "timeout" | "expires");
        if !known || (name == "comment" && !value.is_string()) {
            return Err(format!("elements with {name}"));
        }
    }
    let mut key = value_of(body.get("val").unwrap_or(&Value::Null), " | ", depth)?;
    // What is left; of less than a second nothing.
    if let Some(time) = body.get("expires").or(body.get("timeout")).and_then(Value::as_u64) {
        key.push_str(&format!(" timeout {}s", time.max(1)));
    }
    if let Some(comment) = body.get("comment").and_then(Value::as_str) {
        key.push_str(&format!(" comment {}", quoted(comment)?));
    }
    Ok(key)
}

/// What an element of a map stands for.
fn data(data: &Value, depth: usize) -> Told {
    match single(data) {
        Some((verdict @ ("accept" | "drop" | "continue" | "return"), _)) => Ok(verdict.to_owned()),
        Some((verdict @ ("jump" | "goto"), body)) => Ok(format!("{verdict} {}", word_of(body, "target")?)),
        _ => value_of(data, " | ", depth),
    }
}

/// `key map { … }`.
pub(super) fn map(body: &Value, word: &str) -> Told {
    let data = body.get("data").ok_or("a map without data")?;
    let data = match single(data) {
        Some(("set", list)) => elements(list, true, 0)?,
        _ => value_of(data, " | ", 0)?,
    };
    Ok(format!("{} {word} {data}", key(body.get("key").unwrap_or(&Value::Null))?))
}
