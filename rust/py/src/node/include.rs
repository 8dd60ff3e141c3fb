//! Files that rules include, as nft(8) looks for them.
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, glob_with};
use netfast_nft::{Includes, MAX_INCLUDES, MAX_TEXT, Text};

/// Where files are looked for that neither begin with `/` or `.` nor stand beside the file that includes them.
const SYSTEM: &str = "/etc";

/// What was included, by the name and the file that includes it, so that it can be told again.
pub type Included = HashMap<(String, String), Result<Vec<Text>, String>>;

/// Reads files.
#[derive(Default)]
pub struct Files {
    pub read: Included,
}

/// Tells again what was read.
pub struct Again<'i>(pub &'i Included);

impl Includes for Files {
    fn read(&mut self, name: &str, from: &str, left: usize) -> Result<Vec<Text>, String> {
        let found = find(name, from).and_then(|files| texts(&files, left));
        self.read.insert((name.to_owned(), from.to_owned()), found.clone());
        found
    }
}

impl Includes for Again<'_> {
    fn read(&mut self, name: &str, from: &str, _: usize) -> Result<Vec<Text>, String> {
        let known = self.0.get(&(name.to_owned(), from.to_owned()));
        known.cloned().unwrap_or_else(|| Err("load the rules anew".to_owned()))
    }
}

/// The files that a name stands for; of wildcards none is none, in the order of their names.
fn find(name: &str, from: &str) -> Result<Vec<PathBuf>, String> {
    let beside = Path::new(from).parent().unwrap_or(Path::new("")).join(name);
    let mut places = vec![beside];
    if !name.starts_with(['/', '.']) {
        places.push(Path::new(SYSTEM).join(name));
    }
    let wild = name.contains(['*', '?', '[']);
    for place in &places {
        // What is no file is refused when it is read.
        if !wild && place.exists() {
            return Ok(vec![place.clone()]);
        }
        let found = if wild { matching(place)? } else { Vec::new() };
        if !found.is_empty() {
            return Ok(found);
        }
    }
    if wild {
        return Ok(Vec::new());
    }
    let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
    Err(format!("there is no file {}: give its path from the file that includes it", places.join(" or ")))
}

fn matching(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let options = MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..MatchOptions::default()
    };
    let mut pattern = pattern.to_string_lossy().into_owned();
    // Two are one for nft (glob(3)), and folders within folders for the crate.
    while pattern.contains("**") {
        pattern = pattern.replace("**", "*");
    }
    let paths = glob_with(&pattern, options).map_err(|error| format!("{error}: correct the pattern"))?;
    let files = paths.filter_map(Result::ok).filter(|path| path.is_file());
    Ok(files.take(MAX_INCLUDES + 1).collect())
}

/// The texts of files, of so many bytes at most.
fn texts(files: &[PathBuf], mut left: usize) -> Result<Vec<Text>, String> {
    let mut texts = Vec::new();
    for path in files {
        let name = path.display().to_string();
        let text = text(path, left).map_err(|what| format!("{name}: {what}"))?;
        left -= text.len();
        texts.push(Text { name: name.as_str().into(), text: text.into() });
    }
    Ok(texts)
}

fn text(path: &Path, left: usize) -> Result<String, String> {
    let told = |error: std::io::Error| error.to_string();
    let file = open(path).map_err(told)?;
    if !file.metadata().map_err(told)?.is_file() {
        return Err("it is no regular file: put the text into one".to_owned());
    }
    let mut bytes = Vec::new();
    // What a file says of its length may be wrong.
    file.take(left as u64 + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() > left {
        return Err(format!("with it the rules are longer than {MAX_TEXT} bytes: split them"));
    }
    String::from_utf8(bytes).map_err(|_| "it is no text in UTF-8".to_owned())
}

/// Opens a file without waiting: pipes wait for someone who writes, and some files of the kernel for what they tell next.
fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}
