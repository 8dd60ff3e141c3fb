//! What a device is to be, by names: as arguments of Python and as tables of TOML say it, and as it is opened again.
use super::kinds::{KINDS, Kind, MEMORY, Open, QUEUE_KEYS};
use crate::headers::similar;
use crate::node::Mistake;
use netfast_io::device::{Device, DeviceError, is_interface_name};
use netfast_io::event_loop::PortOptions;
use netfast_time::Duration;
use std::sync::Arc;

/// Opens a device again.
pub type Remake = Arc<dyn Fn() -> Result<Box<dyn Device>, DeviceError> + Send + Sync>;

/// Devices that hold devices may not hold each other deeper than this.
const MAX_DEPTH: usize = 8;

/// A value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A number with a fraction.
    Real(f64),
    /// Yes or no.
    Flag(bool),
    /// Several texts.
    Texts(Vec<String>),
    /// Another device.
    Device(Box<DeviceSpec>),
}

impl Value {
    fn words(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number(_) => "a whole number",
            Self::Real(_) => "a number with a fraction",
            Self::Flag(_) => "true or false",
            Self::Texts(_) => "a list",
            Self::Device(_) => "a device",
        }
    }
}

/// What a device is to be.
#[derive(Clone, Debug)]
pub struct DeviceSpec {
    kind: &'static Kind,
    settings: Vec<(&'static str, Value)>,
}

/// What is wrong, and which of the settings it is in, if in one.
pub type Refusal = Box<(Option<usize>, Mistake)>;

impl PartialEq for DeviceSpec {
    fn eq(&self, other: &Self) -> bool {
        self.kind.name == other.kind.name && self.settings == other.settings
    }
}

impl DeviceSpec {
    /// A device of a kind, with settings that belong to it.
    ///
    /// # Errors
    /// [`Refusal`]: the first thing that is wrong.
    pub fn new(kind: &str, given: Vec<(String, Value)>) -> Result<Self, Refusal> {
        let kind = Kind::named(kind).map_err(|mistake| Box::new((None, mistake)))?;
        let mut settings: Vec<(&'static str, Value)> = Vec::new();
        for (at, (key, value)) in given.into_iter().enumerate() {
            let mut keys = kind.keys.iter().chain(QUEUE_KEYS);
            let Some(known) = keys.clone().find(|known| **known == key) else {
                let nearest = similar(&key, keys.clone().copied());
                let nearest = nearest.and_then(|near| keys.find(|it| **it == near)).copied();
                let mistake = Mistake::UnknownKey { key, table: kind.name, nearest, known: kind.keys };
                return Err(Box::new((Some(at), mistake)));
            };
            let value = accepted(known, value).map_err(|mistake| Box::new((Some(at), mistake)))?;
            settings.push((known, value));
        }
        for key in kind.needs {
            if !settings.iter().any(|(known, _)| known == key) {
                let mistake = Mistake::Missing { table: kind.name, key, expected: expected(key).0 };
                return Err(Box::new((None, mistake)));
            }
        }
        let spec = Self { kind, settings };
        if spec.depth() > MAX_DEPTH {
            let mistake = Mistake::Value {
                key: "device",
                expected: format!("at most {MAX_DEPTH} devices within each other"),
                found: spec.depth().to_string(),
                nearest: None,
            };
            return Err(Box::new((None, mistake)));
        }
        if let Some(path) = spec.overwrites(&spec) {
            let key = if spec.kind.name == "capture" { "record" } else { "path" };
            return Err(Box::new((None, Mistake::Overwritten { key, path: path.to_owned() })));
        }
        Ok(spec)
    }

    /// An end of a link in memory.
    pub fn memory() -> Self {
        Self { kind: &MEMORY, settings: Vec::new() }
    }

    /// Whether a configuration can say it: the other end of a link in memory is a program's.
    pub fn is_text(&self) -> bool {
        self.inner().map_or(self.kind.name != MEMORY.name, Self::is_text)
    }

    fn depth(&self) -> usize {
        1 + self.inner().map_or(0, Self::depth)
    }

    /// The kind of device.
    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// What was given, in its order.
    pub fn settings(&self) -> &[(&'static str, Value)] {
        &self.settings
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.settings.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// A text, empty where none was given.
    pub fn text(&self, key: &str) -> &str {
        match self.value(key) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// A text that was given.
    pub fn given_text(&self, key: &str) -> Option<&str> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    /// Several texts.
    pub fn texts(&self, key: &str) -> &[String] {
        match self.value(key) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// A whole number within the range of its type; what is beyond is the largest, which devices refuse.
    pub fn number<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        match self.value(key) {
            Some(Value::Number(number)) => T::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A number.
    pub fn real(&self, key: &str) -> Option<f64> {
        match self.value(key) {
            Some(Value::Real(number)) => Some(*number),
            _ => None,
        }
    }

    /// Yes or no.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key) {
            Some(Value::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// The device that it holds.
    pub fn inner(&self) -> Option<&Self> {
        match self.value("device") {
            Some(Value::Device(inner)) => Some(inner),
            _ => None,
        }
    }

    /// Whether what comes in waits in the system while nobody reads it.
    pub fn can_wait(&self) -> bool {
        self.inner().map_or(self.kind.can_wait, Self::can_wait)
    }

    /// Whether it has one other end instead of neighbours, as far as that is known before it is opened.
    pub fn is_point_to_point(&self) -> bool {
        let udp = self.kind.name == "udp" && !self.flag("ethernet").unwrap_or(false);
        self.inner().map_or(self.kind.name == "tun" || udp, Self::is_point_to_point)
    }

    /// Whether it can be opened again when it is gone.
    pub fn can_reopen(&self) -> bool {
        self.kind.can_reopen
            && self.number::<i64>("fd").is_none()
            && self.inner().is_none_or(Self::can_reopen)
    }

    /// What a loop is to know of its port.
    pub fn options(&self) -> PortOptions {
        let inner = self.inner().map_or_else(PortOptions::default, Self::options);
        let patience = self.real("patience").map(|seconds| Duration::from_nanos((seconds * 1e9) as u64));
        PortOptions {
            can_wait: self.can_wait(),
            reopen: None,
            queue_packets: self.number("queue_packets").or(inner.queue_packets),
            queue_bytes: self.number("queue_bytes").or(inner.queue_bytes),
            patience: patience.or(inner.patience),
        }
    }

    /// Opens it, and says how that is done again when it is gone: by what was kept, where that needs fewer privileges.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn open_kept(&self) -> Result<(Box<dyn Device>, Option<Remake>), DeviceError> {
        if let (Open::Around(_), Some(inner)) = (&self.kind.open, self.inner()) {
            let (device, remake) = inner.open_kept()?;
            return Ok((self.around(device)?, self.remade_around(remake)));
        }
        let device = self.open()?;
        let again = self.clone();
        let remake = self.can_reopen().then(|| match device.keeper() {
            Some(keeper) => Remake::from(keeper),
            None => Arc::new(move || again.open()),
        });
        Ok((device, remake))
    }

    /// How it is put around a device again that is opened again.
    pub fn remade_around(&self, inner: Option<Remake>) -> Option<Remake> {
        let again = self.clone();
        let inner = inner.filter(|_| self.can_reopen())?;
        Some(Arc::new(move || again.around(inner()?)))
    }

    /// Opens it, with what it holds.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn open(&self) -> Result<Box<dyn Device>, DeviceError> {
        match self.kind.open {
            Open::Alone(open) => open(self),
            Open::Around(_) => match self.inner() {
                Some(inner) => self.around(inner.open()?),
                None => Err(DeviceError::Missing {
                    device: self.kind.name.to_owned(),
                    missing: "the device that it stands around".to_owned(),
                    remedy: "give device",
                }),
            },
        }
    }

    /// Puts it around a device that is open.
    ///
    /// # Errors
    /// [`DeviceError`]; the device that it was to stand around is gone then.
    pub fn around(&self, inner: Box<dyn Device>) -> Result<Box<dyn Device>, DeviceError> {
        match self.kind.open {
            Open::Around(wrap) => wrap(self, inner),
            Open::Alone(open) => open(self),
        }
    }
}

impl Kind {
    fn named(name: &str) -> Result<&'static Self, Mistake> {
        KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let known = || KINDS.iter().map(|kind| kind.name);
            let nearest = similar(name, known()).and_then(|near| known().find(|it| *it == near));
            let expected = format!("one of {}", known().collect::<Vec<_>>().join(", "));
            Mistake::Value { key: "kind", expected, found: name.to_owned(), nearest }
        })
    }
}

/// What a setting takes.
#[derive(Clone, Copy)]
enum Takes {
    Text,
    Interface,
    Texts,
    Number(i64, i64),
    Real(f64, f64),
    Flag,
    Device,
}

/// What belongs in a setting; settings of one name are the same for every kind.
fn expected(key: &str) -> (&'static str, Takes) {
    match key {
        "addresses" => ("addresses with their prefix lengths", Takes::Texts),
        "mtu" => ("a number of bytes, from 68 to 65535", Takes::Number(68, 65_535)),
        "fd" => ("a descriptor, from 0", Takes::Number(0, i32::MAX as i64)),
        "snaplen" => ("a number of bytes, 0 for all", Takes::Number(0, u32::MAX as i64)),
        "limit_bytes" => ("a number of bytes, from 1", Takes::Number(1, i64::MAX)),
        "reorder_gap" => ("a number of packets, from 1", Takes::Number(1, 1 << 24)),
        "loops" => ("a number of times, from 1", Takes::Number(1, u32::MAX as i64)),
        "seed" => ("a number from 0", Takes::Number(0, i64::MAX)),
        "limit" => ("a number of packets, from 1", Takes::Number(1, 1 << 24)),
        "queues" => ("a number of queues, from 1 to 256", Takes::Number(1, 256)),
        "queue_length" => ("a number of packets, from 1 to 65536", Takes::Number(1, 65_536)),
        "queue_packets" => ("a number of packets, from 1", Takes::Number(1, 1 << 24)),
        "queue_bytes" => ("a number of bytes, from 65536", Takes::Number(65_536, 1 << 40)),
        "slots" | "blocks" => ("a number from 1", Takes::Number(1, 1 << 24)),
        "slot_bytes" | "block_bytes" | "buffer" => ("bytes, from 2048", Takes::Number(2_048, 1 << 30)),
        "group" => ("a fan-out group, from 0 to 65535", Takes::Number(0, 65_535)),
        "offloads" | "persistent" | "up" | "carrier" | "promiscuous" | "bypass" | "connected"
        | "ethernet" | "ecn" | "lenient" | "listen" => ("true or false", Takes::Flag),
        "loss" | "duplicate" | "reorder" | "corrupt" => ("a part, from 0 to 1", Takes::Real(0.0, 1.0)),
        "patience" => ("seconds, from 0.001 to 3600", Takes::Real(0.001, 3_600.0)),
        "retire" => ("seconds, from 0.001 to 1", Takes::Real(0.001, 1.0)),
        "delay" | "jitter" => ("seconds, from 0 to 3600", Takes::Real(0.0, 3_600.0)),
        "speed" => ("how many times as fast, 0 for as fast as can be", Takes::Real(0.0, 1e9)),
        "device" => ("a device", Takes::Device),
        "name" | "interface" => (
            "an interface by its name, at most 15 bytes without slash, colon and space, not . or ..",
            Takes::Interface,
        ),
        "netns" => ("a network namespace, by name or path", Takes::Text),
        "mac" => ("a link address", Takes::Text),
        "local" | "remote" => ("the path of a socket, for udp an address with a port", Takes::Text),
        "path" => ("the path of a socket, for tee of a file", Takes::Text),
        "fan_out" => ("hash, round-robin, cpu, rollover, random or queue", Takes::Text),
        "receive" => ("slots or blocks", Takes::Text),
        "direction" => ("receive, transmit or both", Takes::Text),
        "replay" | "record" => ("the name of a capture file", Takes::Text),
        _ => ("text", Takes::Text),
    }
}

/// A value as its setting takes it.
fn accepted(key: &'static str, value: Value) -> Result<Value, Mistake> {
    let (words, takes) = expected(key);
    let refused = |found: String| Mistake::Value { key, expected: words.to_owned(), found, nearest: None };
    let mistyped = |found: &Value| Mistake::Type { key, expected: words, found: found.words() };
    match (takes, value) {
        (Takes::Text, value @ Value::Text(_))
        | (Takes::Texts, value @ Value::Texts(_))
        | (Takes::Flag, value @ Value::Flag(_))
        | (Takes::Device, value @ Value::Device(_)) => Ok(value),
        // An empty name is one that is left out.
        (Takes::Interface, Value::Text(name)) => match name.is_empty() || is_interface_name(&name) {
            true => Ok(Value::Text(name)),
            false => Err(refused(name)),
        },
        (Takes::Texts, Value::Text(text)) => Ok(Value::Texts(vec![text])),
        (Takes::Number(least, most), Value::Number(number)) => match (least..=most).contains(&number) {
            true => Ok(Value::Number(number)),
            false => Err(refused(number.to_string())),
        },
        (Takes::Real(least, most), value @ (Value::Number(_) | Value::Real(_))) => {
            let number = if let Value::Number(whole) = value { whole as f64 } else { real(&value) };
            match (least..=most).contains(&number) {
                true => Ok(Value::Real(number)),
                false => Err(refused(number.to_string())),
            }
        }
        (_, value) => Err(mistyped(&value)),
    }
}

fn real(value: &Value) -> f64 {
    if let Value::Real(number) = value { *number } else { f64::NAN }
}
