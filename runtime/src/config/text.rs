//! The text of a configuration file: read within a bound, and UTF-8 or refused with the place.

use std::io::ErrorKind;
use std::path::Path;

use lapwing_engine::user_file;

/// Most bytes of a configuration file.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// What a file that some editors write begins with; it is no part of the text.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Why there is no text: what is wrong, what to do, and the line where it has one.
#[derive(Debug, PartialEq, Eq)]
pub struct NoText {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub cure: String,
    /// From 1; 0: the whole file.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What can be read of the line.
    pub text: String,
}

impl NoText {
    fn whole(what: impl ToString, cure: &str) -> NoText {
        NoText { what: what.to_string(), cure: cure.to_owned(), line: 0, column: 0, text: String::new() }
    }
}

/// Reads a file; never a pipe or a device, which could wait for ever.
///
/// # Errors
/// See [`NoText`].
pub fn read(path: &Path) -> Result<String, NoText> {
    let bytes = user_file::read(path, CONFIG_BYTES_MAX).map_err(|e| match e.kind() {
        ErrorKind::FileTooLarge => NoText::whole("it has more than 1 MiB", "give a configuration file"),
        _ => NoText::whole(e, "check the path and its permissions"),
    })?;
    decode(bytes)
}

/// The text of a file's bytes, without a byte order mark.
///
/// # Errors
/// Where it is not UTF-8.
fn decode(bytes: Vec<u8>) -> Result<String, NoText> {
    let error = match String::from_utf8(bytes) {
        Ok(text) => {
            return Ok(match text.strip_prefix(BYTE_ORDER_MARK) {
                Some(marked) => marked.to_owned(),
                None => text,
            });
        }
        Err(error) => error,
    };
    let (good, bytes) = (error.utf8_error().valid_up_to(), error.as_bytes());
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(NoText::whole("it is UTF-16 and not UTF-8", "save it as UTF-8: iconv -f UTF-16 -t UTF-8 IN > OUT"));
    }
    let before = String::from_utf8_lossy(&bytes[..good]);
    let line = before.rsplit('\n').next().unwrap_or("");
    let rest = bytes[good..].split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    Err(NoText {
        what: format!("this is not UTF-8 (a byte 0x{:02X})", bytes.get(good).copied().unwrap_or(0)),
        cure: "save the file as UTF-8; if it is Latin-1: iconv -f LATIN1 -t UTF-8 IN > OUT".to_owned(),
        line: before.matches('\n').count() + 1,
        column: line.chars().count() + 1,
        text: format!("{line}{}", String::from_utf8_lossy(rest)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf_8_is_found_on_its_line() {
        let error = decode(b"source = \"photos\"\n# caf\xe9 au lait\n".to_vec()).unwrap_err();
        assert_eq!((error.line, error.column), (2, 6));
        assert!(error.what.contains("not UTF-8") && error.cure.contains("iconv -f LATIN1"), "{error:?}");
        assert_eq!(error.text, "# caf\u{fffd} au lait");
        let utf16: Vec<u8> = "\u{feff}data".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(decode(utf16).unwrap_err().what.contains("UTF-16"));
        assert_eq!(decode("\u{feff}é".into()).unwrap(), "é");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap_err().what.contains("no regular file"));
        assert!(read(Path::new("/dev/zero")).unwrap_err().what.contains("no regular file"));
        assert!(read(&folder.path().join("none.toml")).unwrap_err().cure.contains("check the path"));
        let large = folder.path().join("large.toml");
        std::fs::write(&large, vec![b'#'; CONFIG_BYTES_MAX as usize + 1]).unwrap();
        assert!(read(&large).unwrap_err().what.contains("more than 1 MiB"));
    }
}
