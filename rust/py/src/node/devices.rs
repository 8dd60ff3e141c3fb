//! Devices of ports in TOML: `device = {kind = "tun", name = "nf0"}`.
use super::mistake::Mistake;
use super::read::{Document, Value as TomlValue};
use crate::device::{DeviceSpec, Value, is_file, plain};
use std::fmt::Write;
use std::path::Path;
use toml::de::DeValue;

/// Tables within each other that are read; what may be is refused by [`DeviceSpec::new`] before that.
const MAX_DEPTH: usize = 16;

impl<'t> Document<'t> {
    /// What a device is to be.
    pub fn device(&mut self, value: TomlValue<'t>) -> Option<DeviceSpec> {
        self.device_within(value, 0)
    }

    fn device_within(&mut self, value: TomlValue<'t>, depth: usize) -> Option<DeviceSpec> {
        const EXPECTED: &str = "a table such as {kind = \"tun\", name = \"nf0\"}";
        let place = self.place(value.span());
        let DeValue::Table(table) = value.into_inner() else {
            self.note(place, Mistake::Type { key: "device", expected: EXPECTED, found: "another value" });
            return None;
        };
        let (mut kind, mut given, mut places) = (None, Vec::new(), Vec::new());
        for (key, value) in table {
            let key = key.into_inner().into_owned();
            let place = self.place(value.span());
            if key == "kind" {
                kind = Some(self.text("kind", "the kind of the device", value)?.value);
                continue;
            }
            let value = self.setting(value, depth)?;
            given.push((key, value));
            places.push(place);
        }
        let Some(kind) = kind else {
            let expected = "what the device is, such as \"tun\"";
            self.note(place, Mistake::Missing { table: "device", key: "kind", expected });
            return None;
        };
        for (key, value) in &mut given {
            if let Value::Text(name) = value
                && is_file(&kind, key)
                && !name.is_empty()
            {
                *name = self.beside(name);
            }
        }
        match DeviceSpec::new(&kind, given) {
            Ok(spec) => Some(spec),
            Err(refusal) => {
                let (at, mistake) = *refusal;
                let at = at.and_then(|at| places.get(at)).copied().unwrap_or(place);
                self.note(at, mistake);
                None
            }
        }
    }

    /// A file whose name is relative is beside the configuration.
    fn beside(&self, name: &str) -> String {
        let folder = Path::new(&self.file).parent().unwrap_or(Path::new(""));
        plain(folder.join(name)).display().to_string()
    }

    fn setting(&mut self, value: TomlValue<'t>, depth: usize) -> Option<Value> {
        let place = self.place(value.span());
        let refused = |found| Mistake::Type { key: "device", expected: "a setting of a device", found };
        match value.get_ref() {
            DeValue::String(text) => Some(Value::Text(text.clone().into_owned())),
            DeValue::Boolean(flag) => Some(Value::Flag(*flag)),
            DeValue::Integer(number) => {
                let number = i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX);
                Some(Value::Number(i64::try_from(number).unwrap_or(i64::MAX)))
            }
            DeValue::Float(number) => Some(Value::Real(number.as_str().parse().unwrap_or(f64::NAN))),
            DeValue::Array(_) => {
                let values = self.list(value);
                let texts = values.into_iter().map(|value| Some(self.text("device", "text", value)?.value));
                texts.collect::<Option<_>>().map(Value::Texts)
            }
            DeValue::Table(_) if depth < MAX_DEPTH => {
                self.device_within(value, depth + 1).map(|spec| Value::Device(Box::new(spec)))
            }
            DeValue::Table(_) => {
                self.note(place, refused("too many devices within each other"));
                None
            }
            DeValue::Datetime(_) => {
                self.note(place, refused("a date or time"));
                None
            }
        }
    }
}

/// A device as [`Document::device`] reads it.
pub fn device_text(spec: &DeviceSpec, quoted: fn(&str) -> String) -> String {
    let mut text = format!("{{ kind = {}", quoted(spec.kind().name));
    for (key, value) in spec.settings() {
        let value = match value {
            Value::Text(value) => quoted(value),
            Value::Number(value) => value.to_string(),
            // A number with a fraction has one in TOML.
            Value::Real(value) => format!("{value:?}"),
            Value::Flag(value) => value.to_string(),
            Value::Texts(values) => {
                let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
                format!("[{}]", values.join(", "))
            }
            Value::Device(inner) => device_text(inner, quoted),
        };
        // A String takes all that is written.
        let _ = write!(text, ", {key} = {value}");
    }
    text + " }"
}
