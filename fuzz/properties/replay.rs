//! The committed corpus, for `cargo test`.
use std::path::Path;

/// Runs `check` over every file of `fuzz/corpus/<target>`; the name of one that fails is on the screen.
pub fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 20, "{} files in {}", paths.len(), folder.display());
    for path in paths {
        let data = std::fs::read(&path).expect("a file of the corpus can be read");
        if std::panic::catch_unwind(|| check(&data)).is_err() {
            panic!("{} fails", path.display());
        }
    }
}
