//! The place of a value in the file: a mistake is reported there. A default has none.

use toml::Spanned;

/// A default has no place in a file.
pub(super) fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// Whether the file itself holds the value.
pub(super) fn is_placed<T>(value: &Spanned<T>) -> bool {
    value.span() != (0..0)
}
