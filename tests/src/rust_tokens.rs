//! The words of a Rust source file: names and marks, without comments, text and numbers.

/// A word and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// A name, `::`, or one mark.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

impl Token {
    /// True for a name or a keyword.
    pub fn is_name(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// The words of `text`. Text in quotes becomes nothing.
pub fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'/' if byte(at + 1) == b'/' => at += text[at..].find('\n').unwrap_or(bytes.len() - at),
            b'/' if byte(at + 1) == b'*' => at = comment_end(bytes, at),
            b'"' => at = text_end(bytes, at + 1),
            b'r' if raw_text(bytes, at + 1).is_some() => at = raw_text(bytes, at + 1).unwrap_or(at + 1),
            b'b' if byte(at + 1) == b'r' && raw_text(bytes, at + 2).is_some() => {
                at = raw_text(bytes, at + 2).unwrap_or(at + 1);
            }
            b'b' if byte(at + 1) == b'"' => at = text_end(bytes, at + 2),
            b'\'' => at = quote_end(text, at),
            b':' if byte(at + 1) == b':' => {
                at += 2;
                found.push(Token { text: "::".into(), line });
            }
            first if first.is_ascii_digit() => {
                while byte(at).is_ascii_alphanumeric() || byte(at) == b'_' {
                    at += 1;
                }
            }
            first if first.is_ascii_alphabetic() || first == b'_' => {
                while byte(at).is_ascii_alphanumeric() || byte(at) == b'_' {
                    at += 1;
                }
                found.push(Token { text: text[start..at].into(), line });
            }
            first => {
                at += 1;
                if first.is_ascii() && !first.is_ascii_whitespace() {
                    found.push(Token { text: char::from(first).into(), line });
                }
            }
        }
        line += bytes[start..at.min(bytes.len())].iter().filter(|b| **b == b'\n').count();
    }
    found
}

fn comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0usize, start);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

fn text_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Behind a raw text whose `r` stands before `start`; none if there is none.
fn raw_text(bytes: &[u8], start: usize) -> Option<usize> {
    let marks = bytes.get(start..)?.iter().take_while(|b| **b == b'#').count();
    if *bytes.get(start + marks)? != b'"' {
        return None;
    }
    let end = [b"\"".as_slice(), &b"#".repeat(marks)].concat();
    let inside = bytes.get(start + marks + 1..)?;
    let length = inside.windows(end.len()).position(|window| window == end)?;
    Some(start + marks + 1 + length + end.len())
}

/// Behind a character, or behind the mark of a lifetime.
fn quote_end(text: &str, start: usize) -> usize {
    let mut behind = text[start + 1..].char_indices();
    match behind.next() {
        Some((_, '\\')) => text[start + 3..].find('\'').map_or(text.len(), |length| start + 3 + length + 1),
        Some((_, _)) => match behind.next() {
            Some((length, '\'')) => start + 1 + length + 1,
            _ => start + 1,
        },
        None => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comments_and_characters_are_no_words() {
        let text = "use a::B; // c\n/* d /* e */ f */ let x = \"g \\\" h\"; r#\"i \" j\"# b'k' 'l' &'m n '\\'' o 1u8";
        let found: Vec<String> = tokens(text).into_iter().filter(Token::is_name).map(|token| token.text).collect();
        assert_eq!(found, ["use", "a", "B", "let", "x", "b", "m", "n", "o"]);
        assert_eq!(tokens("a\n\nb").iter().map(|token| token.line).collect::<Vec<_>>(), [1, 3]);
    }
}
