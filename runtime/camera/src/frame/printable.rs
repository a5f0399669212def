//! Names as a terminal may be given them.
//!
//! A file may be called anything, and so may a camera, a class of a foreign model and an entry of an archive. A terminal
//! obeys the control characters in what it is given: they move the cursor, rewrite lines that are there already, and set
//! its title. [`Printable`] writes them as the escapes that Rust's strings know (`\u{1b}`), and everything else as it is.
//! Whoever prints a name, or puts one into a message, wraps it; what goes to a person passes [`text`] once more, which
//! leaves the line ends of messages.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Writes a name on one line, without anything that a terminal would obey.
#[derive(Debug, Clone, Copy)]
pub struct Printable<T>(pub T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { inner: f, obeyed: is_obeyed }, "{}", self.0)
    }
}

/// A message that may have several lines, without anything else that a terminal would obey.
#[must_use]
pub fn text(message: &str) -> Cow<'_, str> {
    let obeyed = |c: char| is_obeyed(c) && !matches!(c, '\n' | '\t');
    if !message.contains(obeyed) {
        return Cow::Borrowed(message);
    }
    let mut out = String::with_capacity(message.len() + 16);
    let _ = Escaping { inner: &mut out, obeyed }.write_str(message); // a string takes everything
    Cow::Owned(out)
}

/// Control characters (Unicode's category Cc: C0, DEL, C1), and those that are not seen but turn, join or break what is:
/// a name with them reads as another one.
#[must_use]
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Passes text on with some characters as escapes.
struct Escaping<'a, W: ?Sized, P> {
    inner: &'a mut W,
    obeyed: P,
}

impl<W: Write + ?Sized, P: Fn(char) -> bool> Write for Escaping<'_, W, P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut left = text;
        while let Some(at) = left.find(&self.obeyed) {
            let (before, rest) = left.split_at(at);
            self.inner.write_str(before)?;
            let mut chars = rest.chars();
            if let Some(c) = chars.next() {
                write!(self.inner, "{}", c.escape_default())?;
            }
            left = chars.as_str();
        }
        self.inner.write_str(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_obeys_is_spelt_out_and_the_rest_stays() {
        let name = "a\u{1b}]0;b\u{7}\r\n\u{9b}2J\u{7f}\u{202e}gpj.exe";
        let want = "a\\u{1b}]0;b\\u{7}\\r\\n\\u{9b}2J\\u{7f}\\u{202e}gpj.exe";
        assert_eq!(Printable(name).to_string(), want);
        assert_eq!(Printable("Käse 猫 e\u{301} 'x' \\ \"y\".jpg").to_string(), "Käse 猫 e\u{301} 'x' \\ \"y\".jpg");
        assert_eq!(text("f.toml:1: wrong\n\tcure"), "f.toml:1: wrong\n\tcure");
        assert_eq!(text("f\u{1b}.toml\n\rx"), "f\\u{1b}.toml\n\\rx");
    }

    proptest! {
        #[test]
        fn nothing_obeyed_is_left(name in any::<String>()) {
            prop_assert!(!Printable(&name).to_string().contains(is_obeyed));
            prop_assert!(!text(&name).contains(|c: char| is_obeyed(c) && c != '\n' && c != '\t'));
            if !name.contains(is_obeyed) {
                prop_assert_eq!(Printable(&name).to_string(), name);
            }
        }
    }
}
