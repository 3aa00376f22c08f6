//! The file that holds the application key, for programs that get their secrets as files.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str;

use zeroize::Zeroizing;

/// A longer file is refused.
const MAX_BYTES: usize = 64 * 1024;

/// Returns the key in a file: its text without the byte-order mark before it and the one line break
/// after it that editors and `echo` add. An error says what is wrong with the file.
pub(crate) fn read(path: &OsStr) -> Result<Zeroizing<String>, String> {
    let path = Path::new(path);
    // With room for all of it: a vector that grows leaves a copy behind, which is not zeroed.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| match is_path(path) {
            true => format!("cannot be read from {path:?}: {error}"),
            false => "cannot be read from a file of that name; the variable holds the name of a \
                      file, and not the key itself"
                .to_owned(),
        })?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("{path:?} holds more than 64 KiB, which is no key"));
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.is_empty() {
        return Err(format!("{path:?} is empty"));
    }
    match str::from_utf8(text) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(format!("{path:?} is not valid UTF-8")),
    }
}

/// Returns false for a name that leads nowhere, which may be the key itself.
fn is_path(path: &Path) -> bool {
    path.is_absolute() || path.exists() || path.parent().is_some_and(Path::is_dir)
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::{fs, process};

    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<String, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("skypostal-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::write(&path, bytes).unwrap();
        let shown = format!("{path:?}");
        let found = read(path.as_os_str());
        fs::remove_file(&path).unwrap();
        found.map(|key| key.to_string()).map_err(|problem| problem.replace(&shown, "FILE"))
    }

    #[test]
    fn a_line_break_and_a_byte_order_mark_are_no_part_of_the_key() {
        let same = ["key", "key\n", "key\r\n", "\u{FEFF}key\n"];
        for text in same {
            assert_eq!(read_bytes(text.as_bytes()), Ok("key".to_owned()), "{text:?}");
        }
        // The check of the key refuses this.
        assert_eq!(read_bytes(b" key\n\n"), Ok(" key\n".to_owned()));
    }

    #[test]
    fn a_file_that_holds_no_key_is_named() {
        for text in ["", "\n", "\r\n", "\u{FEFF}"] {
            let problem = Err("FILE is empty".to_owned());
            assert_eq!(read_bytes(text.as_bytes()), problem, "{text:?}");
        }
        assert_eq!(read_bytes(b"k\xFFy"), Err("FILE is not valid UTF-8".to_owned()));
        let long = read_bytes(&[b'k'; MAX_BYTES + 1]);
        assert_eq!(long, Err("FILE holds more than 64 KiB, which is no key".to_owned()));
        let missing = read(OsStr::new("/no/such/file")).unwrap_err();
        assert!(missing.starts_with("cannot be read from \"/no/such/file\": "), "{missing}");
    }
}
