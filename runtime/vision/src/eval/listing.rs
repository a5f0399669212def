//! Which picture of a list a picture is: by its path, as far as both know it.
//!
//! A list says `cam1/0001.jpg`, the picture is called `/data/twocams/cam1/0001.jpg`, or `set.tar/0001.jpg`. They are the
//! same where one path ends with the other, component by component; what shares most of its end is taken. Where two
//! are as good as each other, nothing is guessed.

use std::collections::HashMap;

/// Pictures by path.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The paths as they are listed, without what does not lead anywhere.
    paths: Vec<String>,
    by_path: HashMap<String, usize>,
    /// The pictures of each base name.
    by_name: HashMap<String, Vec<usize>>,
}

/// Two listed pictures that a picture may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it may be {0:?} or {1:?} of the list; give --images the folder above them, so that the paths tell them apart")]
pub struct Ambiguous(pub String, pub String);

/// The components that lead somewhere. Windows' separators are taken for what they are.
fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split(['/', '\\']).filter(|component| !matches!(*component, "" | "."))
}

/// How many components at their ends are the same, and whether that is all of one.
fn shared(a: &str, b: &str) -> (usize, bool) {
    let same = components(a).rev().zip(components(b).rev()).take_while(|(a, b)| a == b).count();
    (same, same == components(a).count().min(components(b).count()))
}

impl Listing {
    /// Adds a picture, unless it is listed already; returns its index.
    pub fn add(&mut self, path: &str) -> usize {
        let plain: Vec<&str> = components(path).collect();
        let name = plain.last().copied().unwrap_or("").to_owned();
        let plain = plain.join("/");
        if let Some(&at) = self.by_path.get(&plain) {
            return at;
        }
        let at = self.paths.len();
        self.by_path.insert(plain.clone(), at);
        self.by_name.entry(name).or_default().push(at);
        self.paths.push(plain);
        at
    }

    /// Pictures in the list.
    #[must_use]
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The path of a listed picture.
    #[must_use]
    pub fn path(&self, at: usize) -> &str {
        self.paths.get(at).map_or("", String::as_str)
    }

    /// The index of the picture that is called `name`; `None` if it is not listed. Where no path ends with the other, one
    /// base name alone decides, if the list has it once: lists are made in one place and pictures moved to another.
    ///
    /// # Errors
    /// Two that it may be.
    pub fn find(&self, name: &str) -> Result<Option<usize>, Ambiguous> {
        let plain: Vec<&str> = components(name).collect();
        if let Some(&at) = self.by_path.get(&plain.join("/")) {
            return Ok(Some(at));
        }
        let base = plain.last().copied().unwrap_or("");
        let Some(candidates) = self.by_name.get(base) else { return Ok(None) };
        let rank = |at: usize| {
            let (same, is_all) = shared(&self.paths[at], name);
            (is_all, same)
        };
        let Some(best) = candidates.iter().copied().max_by_key(|&at| rank(at)) else { return Ok(None) };
        match candidates.iter().find(|&&at| at != best && rank(at) == rank(best)) {
            Some(&other) => Err(Ambiguous(self.paths[best].clone(), self.paths[other].clone())),
            // of several with this base name one must be meant by its folder
            None if !rank(best).0 && candidates.len() > 1 => Ok(None),
            None => Ok(Some(best)),
        }
    }
}

/// Which listed pictures were met, so that none is taken for two.
#[derive(Debug)]
pub struct Roll<'a> {
    listing: &'a Listing,
    /// The name of the picture that each one was.
    met: Vec<Option<String>>,
}

impl<'a> Roll<'a> {
    /// None was met yet.
    #[must_use]
    pub fn new(listing: &'a Listing) -> Roll<'a> {
        Roll { listing, met: vec![None; listing.len()] }
    }

    /// As [`Listing::find`], for a picture that is new.
    ///
    /// # Errors
    /// Two that it may be, or the picture that was taken for the same.
    pub fn meet(&mut self, name: &str) -> Result<Option<usize>, String> {
        let Some(at) = self.listing.find(name).map_err(|error| error.to_string())? else { return Ok(None) };
        if let Some(before) = &self.met[at] {
            return Err(format!(
                "{:?} of the list is {before:?} already; let the list tell them apart",
                self.listing.path(at)
            ));
        }
        self.met[at] = Some(name.to_owned());
        Ok(Some(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(paths: &[&str]) -> Listing {
        let mut listing = Listing::default();
        for path in paths {
            listing.add(path);
        }
        listing
    }

    #[test]
    fn pictures_are_told_apart_by_their_folders() {
        let two = listing(&["cam1/0001.jpg", "./cam2//0001.jpg", "cam2\\0002.jpg", "cam1/0001.jpg"]);
        assert_eq!((two.len(), two.path(1)), (3, "cam2/0001.jpg"));
        for (name, found) in [
            ("/data/twocams/cam1/0001.jpg", Some(0)),
            ("twocams/cam2/0001.jpg", Some(1)),
            ("cam2/0001.jpg", Some(1)),
            ("set.tar/cam2/0002.jpg", Some(2)),
            ("elsewhere/0002.jpg", Some(2)), // the only one of this name
            ("cam3/0003.jpg", None),
        ] {
            assert_eq!(two.find(name), Ok(found), "{name}");
        }
        for name in ["elsewhere/0001.jpg", "xcam1/0001.jpg"] {
            assert!(two.find(name).is_err(), "{name}: one of two, and nobody knows which"); // components, not letters
        }
        let ambiguous = two.find("0001.jpg").unwrap_err();
        assert!(ambiguous.to_string().contains("cam1/0001.jpg") && ambiguous.to_string().contains("cam2/0001.jpg"));
        // the longest end wins
        let nested = listing(&["0001.jpg", "cam1/0001.jpg"]);
        assert_eq!(nested.find("0001.jpg"), Ok(Some(0)));
        assert_eq!((nested.find("x/cam1/0001.jpg"), nested.find("x/cam2/0001.jpg")), (Ok(Some(1)), Ok(Some(0))));
    }

    #[test]
    fn no_listed_picture_is_taken_for_two() {
        let one = listing(&["0001.jpg"]);
        let mut roll = Roll::new(&one);
        assert_eq!(roll.meet("cam1/0001.jpg"), Ok(Some(0)));
        assert!(roll.meet("cam2/0001.jpg").unwrap_err().contains("cam1/0001.jpg"));
        assert_eq!(roll.meet("other.jpg"), Ok(None));
    }
}
