//! Names of interfaces.

/// Bytes of a name at most (`IFNAMSIZ`, less the zero behind it).
const LONGEST: usize = 15;

/// Whether Linux lets an interface be called so (`dev_valid_name`). Its `isspace` is of Latin-1: 0xa0 is white space there,
/// which in UTF-8 is part of `à`, say.
pub fn is_interface_name(name: &str) -> bool {
    let refused =
        |byte: u8| matches!(byte, b'/' | b':' | 0 | b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0xa0);
    (1..=LONGEST).contains(&name.len()) && !matches!(name, "." | "..") && !name.bytes().any(refused)
}

#[cfg(test)]
mod tests {
    use super::is_interface_name;

    #[test]
    fn names_are_those_of_linux() {
        for name in ["eth0", ".x", "...", "a.", "a%b", "é", "fifteen-letters"] {
            assert!(is_interface_name(name), "{name:?}");
        }
        for name in ["", ".", "..", "sixteen-letters!", "a/b", "a:b", "a\0", "à"] {
            assert!(!is_interface_name(name), "{name:?}");
        }
        for space in ['\t', '\n', '\x0b', '\x0c', '\r', ' '] {
            assert!(!is_interface_name(&format!("a{space}b")), "{space:?}");
        }
    }
}
