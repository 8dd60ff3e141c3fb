//! What a device has for itself: two ports of one configuration cannot have it both.
use super::spec::DeviceSpec;
use std::fmt;
use std::os::unix::fs::MetadataExt;
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

    /// A file that this device would empty, and that another one, or this one, reads.
    pub fn overwrites(&self, reader: &Self) -> Option<&str> {
        let written = match self.kind().name {
            "tee" => self.given_text("path"),
            "capture" => self.given_text("record"),
            _ => None,
        };
        let overwritten = written.filter(|path| reader.reads(Path::new(path)));
        overwritten.or_else(|| self.inner()?.overwrites(reader))
    }

    /// Whether it, or a device in it, reads this file.
    pub fn reads(&self, path: &Path) -> bool {
        let own = self.given_text("replay").is_some_and(|replay| is_same_file(Path::new(replay), path));
        own || self.inner().is_some_and(|inner| inner.reads(path))
    }
}

/// Whether two names are of one regular file; what is not there yet holds nothing that could be lost.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let data = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((data.dev(), data.ino()))
    };
    place(one).is_some_and(|found| place(other) == Some(found))
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
