//! What a device has for itself: two ports of one configuration cannot have it both.
use super::spec::DeviceSpec;
use std::fmt;
use std::path::{Path, PathBuf};

/// Something that one device has alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// What it is.
    what: &'static str,
    /// How it is called.
    name: String,
    /// The network namespace that the name is of, empty for that of the program.
    netns: String,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.name)?;
        if self.netns.is_empty() { Ok(()) } else { write!(f, " of {}", self.netns) }
    }
}

impl DeviceSpec {
    /// What it has alone, and what the devices in it have.
    pub fn claims(&self) -> Vec<Claim> {
        let named = |what: &'static str, key: &str| {
            let netns = self.text("netns").to_owned();
            self.given_text(key).map(|name| Claim { what, name: name.to_owned(), netns })
        };
        let path = |what: &'static str, key: &str| {
            let name = plain(self.given_text(key)?).display().to_string();
            Some(Claim { what, name, netns: String::new() })
        };
        let mut claims: Vec<Claim> = match self.kind().name {
            "tun" | "tap" => match self.number::<i64>("fd") {
                Some(fd) => {
                    vec![Claim { what: "descriptor", name: fd.to_string(), netns: String::new() }]
                }
                None => named("interface", "name").into_iter().collect(),
            },
            // Each of two would have all frames of it.
            "packet" => named("interface", "interface").into_iter().collect(),
            "unix" => path("socket", "local").into_iter().collect(),
            "unix-stream" if self.flag("listen").unwrap_or(false) => {
                path("socket", "path").into_iter().collect()
            }
            "udp" if !self.text("local").ends_with(":0") => named("address", "local").into_iter().collect(),
            "tee" => path("file", "path").into_iter().collect(),
            "capture" => path("file", "record").into_iter().collect(),
            _ => Vec::new(),
        };
        claims.extend(self.inner().map(Self::claims).unwrap_or_default());
        claims
    }
}

/// Whether a setting is the name of a file, which in a configuration stands beside that.
pub fn is_file(kind: &str, key: &str) -> bool {
    matches!((kind, key), ("tee", "path") | ("capture", "replay" | "record"))
}

/// A path from the root on, without steps that lead nowhere.
pub fn plain(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
