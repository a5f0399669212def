//! A path in the configuration is written out: nothing here expands `~`, which a shell would.

use serde::de::{Deserialize, Deserializer, Error};

/// A path, or words that may be one.
///
/// # Errors
/// It begins with `~`.
pub fn written_out<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<T, D::Error> {
    let words = String::deserialize(deserializer)?;
    match words.starts_with('~') {
        // after the comma the cure begins
        true => Err(D::Error::custom(
            "`~` is not expanded here, expected the path written out, such as /srv/NAME/lapwing; ./~ is a file of that \
             name",
        )),
        false => Ok(T::from(words)),
    }
}

/// As [`written_out`], for a key that may be left out.
///
/// # Errors
/// It begins with `~`.
pub fn maybe_written_out<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<Option<T>, D::Error> {
    written_out(deserializer).map(Some)
}
