//! Annotations in COCO's JSON: `images`, `categories`, `annotations`.
//!
//! Two keys say that a box counts neither for nor against: `iscrowd` of COCO and `difficult` of
//! VOC conversions (0, 1, or null where it was never judged). A file that could be read in two ways is refused: ids that
//! are given twice, two categories that mean one class, no box at all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::canonical_class;
use super::listing::Listing;
use super::shape::Shape;

/// An annotated box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// Index into [`Annotations::categories`].
    pub category: usize,
    /// `[x0, y0, x1, y1]` in the picture's pixels.
    pub bounds: [f32; 4],
    /// Counts neither for nor against.
    pub ignore: bool,
}

/// The annotations of a set of pictures.
#[derive(Debug, Default)]
pub struct Annotations {
    /// Category names, by ascending id.
    pub categories: Vec<String>,
    /// The pictures that the file lists.
    pub listing: Listing,
    /// The boxes of each.
    truths: Vec<Vec<Truth>>,
    /// The shapes of these, where the file has them.
    shapes: Vec<Vec<Option<Shape>>>,
    /// Values of `segmentation` that are none.
    unread_shapes: usize,
}

/// The annotations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationError {
    /// The file cannot be read.
    #[error("annotations {path:?}: cannot be read: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// The file is not COCO JSON.
    #[error("annotations {path:?}: not COCO JSON (images, categories, annotations): {cause}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and cause.
        cause: serde_json::Error,
    },
    /// An annotation points nowhere.
    #[error("annotations {path:?}: annotation {id} names {what} {missing}, which the file does not list")]
    Dangling {
        /// The file.
        path: PathBuf,
        /// The annotation's id.
        id: u64,
        /// `image` or `category`.
        what: &'static str,
        /// The id that is missing.
        missing: u64,
    },
    /// An id stands for two things.
    #[error("annotations {path:?}: two {what} have the id {id}; number one of them anew")]
    Twice {
        /// The file.
        path: PathBuf,
        /// `images` or `categories`.
        what: &'static str,
        /// The id.
        id: u64,
    },
    /// Two categories are one class.
    #[error(
        "annotations {path:?}: two categories are called {name:?} ({other:?}), {ids:?}; give the boxes of both one id"
    )]
    SameName {
        /// The file.
        path: PathBuf,
        /// The first one's name.
        name: String,
        /// The second one's, which means the same.
        other: String,
        /// Their ids.
        ids: [u64; 2],
    },
    /// Nothing is annotated.
    #[error(
        "annotations {path:?}: it has no annotated boxes, so there is nothing to measure by; give the file that has them"
    )]
    NoBoxes {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
struct File {
    images: Vec<Image>,
    categories: Vec<Category>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    id: u64,
    image_id: u64,
    category_id: u64,
    /// x, y, width, height
    bbox: [f32; 4],
    #[serde(default)]
    iscrowd: Option<u8>,
    #[serde(default)]
    difficult: Option<u8>,
    #[serde(default)]
    segmentation: Option<Segmentation>,
}

/// Polygons x, y, x, y …, or runs of pixels.
#[derive(Deserialize)]
#[serde(untagged)]
enum Segmentation {
    Polygons(Vec<Vec<f32>>),
    /// One polygon, not in a list.
    Polygon(Vec<f32>),
    Runs {
        counts: Counts,
        /// Height, width
        size: [u32; 2],
    },
    /// Something else; the box alone is used.
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Counts {
    List(Vec<u32>),
    Text(String),
}

impl Segmentation {
    fn shape(self) -> Option<Shape> {
        match self {
            Segmentation::Polygon(ring) => Shape::any(vec![ring.as_chunks::<2>().0.to_vec()]),
            Segmentation::Polygons(rings) => {
                Shape::any(rings.iter().map(|ring| ring.as_chunks::<2>().0.to_vec()).collect())
            }
            Segmentation::Runs { counts: Counts::List(counts), size } => Shape::runs(&counts, size[0], size[1]),
            Segmentation::Runs { counts: Counts::Text(text), size } => Shape::compressed_runs(&text, size[0], size[1]),
            Segmentation::Other(_) => None,
        }
    }
}

impl Annotations {
    /// Reads a file.
    ///
    /// # Errors
    /// See [`AnnotationError`].
    pub fn read(path: &Path) -> Result<Annotations, AnnotationError> {
        let bytes = std::fs::read(path).map_err(|cause| AnnotationError::Read { path: path.into(), cause })?;
        Annotations::parse(&bytes, path)
    }

    /// Reads `bytes`, the content of the file `path`, with or without a byte order mark.
    ///
    /// # Errors
    /// See [`AnnotationError`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Annotations, AnnotationError> {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let file: File =
            serde_json::from_slice(bytes).map_err(|cause| AnnotationError::Parse { path: path.into(), cause })?;
        Annotations::from_file(file, path)
    }

    fn from_file(file: File, path: &Path) -> Result<Annotations, AnnotationError> {
        let twice = |what, id| AnnotationError::Twice { path: path.into(), what, id };
        let categories = sorted(file.categories, path)?;
        let category_of: HashMap<u64, usize> = categories.iter().enumerate().map(|(i, c)| (c.id, i)).collect();
        let mut listing = Listing::default();
        let mut image_of = HashMap::new();
        for image in &file.images {
            match image_of.entry(image.id) {
                Entry::Occupied(_) => return Err(twice("images", image.id)),
                Entry::Vacant(place) => place.insert(listing.add(&image.file_name)),
            };
        }
        if file.annotations.is_empty() {
            return Err(AnnotationError::NoBoxes { path: path.into() });
        }
        let mut truths = vec![Vec::new(); listing.len()];
        let mut shapes = vec![Vec::new(); listing.len()];
        let mut unread_shapes = 0;
        for a in file.annotations {
            let dangling = |what, missing| AnnotationError::Dangling { path: path.into(), id: a.id, what, missing };
            let image = *image_of.get(&a.image_id).ok_or_else(|| dangling("image", a.image_id))?;
            let category = *category_of.get(&a.category_id).ok_or_else(|| dangling("category", a.category_id))?;
            let [x, y, w, h] = a.bbox;
            let ignore = a.iscrowd.unwrap_or(0) != 0 || a.difficult.unwrap_or(0) != 0;
            truths[image].push(Truth { category, bounds: [x, y, x + w, y + h], ignore });
            let is_given = a.segmentation.is_some();
            let shape = a.segmentation.and_then(Segmentation::shape);
            unread_shapes += usize::from(is_given && shape.is_none());
            shapes[image].push(shape);
        }
        Ok(Annotations {
            categories: categories.into_iter().map(|c| c.name).collect(),
            listing,
            truths,
            shapes,
            unread_shapes,
        })
    }

    /// The boxes of a listed picture.
    #[must_use]
    pub fn truths(&self, picture: usize) -> &[Truth] {
        self.truths.get(picture).map_or(&[], Vec::as_slice)
    }

    /// The shape of each of [`Annotations::truths`], where the file has one (`segmentation`).
    #[must_use]
    pub fn shapes(&self, picture: usize) -> &[Option<Shape>] {
        self.shapes.get(picture).map_or(&[], Vec::as_slice)
    }

    /// Annotations whose `segmentation` is neither polygons nor runs that fill a picture.
    #[must_use]
    pub fn unread_shapes(&self) -> usize {
        self.unread_shapes
    }

    /// Whether any annotation has a shape.
    #[must_use]
    pub fn has_shapes(&self) -> bool {
        self.shapes.iter().flatten().any(Option::is_some)
    }
}

/// The categories by ascending id, each with an id and a class of its own.
fn sorted(mut categories: Vec<Category>, path: &Path) -> Result<Vec<Category>, AnnotationError> {
    categories.sort_by_key(|c| c.id);
    let mut by_class: HashMap<String, &Category> = HashMap::new();
    for category in categories.iter().filter(|c| !canonical_class(&c.name).is_empty()) {
        if let Some(first) = by_class.insert(canonical_class(&category.name), category) {
            let path = path.into();
            let ids = [first.id, category.id];
            return Err(match ids[0] == ids[1] {
                true => AnnotationError::Twice { path, what: "categories", id: category.id },
                false => {
                    AnnotationError::SameName { path, name: first.name.clone(), other: category.name.clone(), ids }
                }
            });
        }
    }
    if let Some(pair) = categories.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(AnnotationError::Twice { path: path.into(), what: "categories", id: pair[0].id });
    }
    Ok(categories)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Annotations, AnnotationError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Annotations::read(file.path())
    }

    const GOOD: &str = r#"{"images":[{"id":7,"file_name":"a/b.jpg"},{"id":8,"file_name":"c.jpg"}],
        "categories":[{"id":9,"name":"dog"},{"id":2,"name":"cat"}],
        "annotations":[{"image_id":7,"category_id":9,"bbox":[1,2,3,4],"difficult":null},
                       {"image_id":7,"category_id":2,"bbox":[0,0,1,1],"iscrowd":1}]}"#;

    #[test]
    fn boxes_and_flags_are_read() {
        for mark in ["", "\u{feff}"] {
            let a = read(&format!("{mark}{GOOD}")).unwrap();
            assert_eq!(a.categories, ["cat", "dog"]);
            let b = a.truths(a.listing.find("x/a/b.jpg").unwrap().unwrap());
            assert_eq!(b[0], Truth { category: 1, bounds: [1.0, 2.0, 4.0, 6.0], ignore: false });
            assert!(b[1].ignore);
            assert_eq!(a.truths(a.listing.find("c.jpg").unwrap().unwrap()), []);
            assert_eq!(a.listing.find("unknown.jpg"), Ok(None));
        }
    }

    #[test]
    fn shapes_are_read_in_their_three_forms() {
        for (segmentation, has_shape) in [
            ("[[0,0,9,0,9,9,0,9]]", true),
            (r#"{"counts":[1,3,2,3,1],"size":[5,2]}"#, true),
            (r#"{"counts":"1320O","size":[5,2]}"#, true),
            ("[0,0,9,0,9,9,0,9]", true),
            ("[[0,0,9,0]]", false),
            ("[]", false),
            ("null", false),
            ("\"what\"", false),
        ] {
            let a = read(&GOOD.replacen("\"difficult\":null", &format!("\"segmentation\":{segmentation}"), 1)).unwrap();
            let picture = a.listing.find("x/a/b.jpg").unwrap().unwrap();
            assert_eq!((a.shapes(picture)[0].is_some(), a.has_shapes()), (has_shape, has_shape), "{segmentation}");
            assert_eq!(a.shapes(picture).len(), a.truths(picture).len());
        }
    }

    /// Each mistake: what is replaced, by what, and words of the message.
    #[test]
    fn mistakes_are_named() {
        for (from, to, words) in [
            (GOOD, "[]", "COCO"),
            (
                "\"image_id\":7,\"category_id\":9",
                "\"id\":5,\"image_id\":1,\"category_id\":9",
                "annotation 5 names image 1",
            ),
            ("\"category_id\":9", "\"category_id\":3", "names category 3"),
            ("\"id\":8", "\"id\":7", "two images have the id 7"),
            ("\"id\":9", "\"id\":2", "two categories have the id 2"),
            ("\"name\":\"dog\"", "\"name\":\"Cat\"", "two categories are called \"cat\" (\"Cat\"), [2, 9]"),
            ("\"dog\"},{\"id\":2,\"name\":\"cat\"", "\"sofa\"},{\"id\":2,\"name\":\"couch\"", "\"couch\" (\"sofa\")"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = read(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let boxes = GOOD.find("[{\"image_id\"").unwrap();
        let error = read(&format!("{}[]}}", &GOOD[..boxes])).unwrap_err().to_string();
        assert!(error.contains("no annotated boxes"), "{error}");
    }
}
