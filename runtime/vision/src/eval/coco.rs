//! Annotations in COCO's JSON: `images`, `categories`, `annotations`.
//!
//! Two keys say that a box counts neither for nor against: `iscrowd` of COCO and `difficult` of
//! VOC conversions (0, 1, or null where it was never judged).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

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
    /// Boxes by file name (the last component).
    pub truths: HashMap<String, Vec<Truth>>,
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
}

impl Annotations {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Annotations, AnnotationError> {
        let bytes = std::fs::read(path).map_err(|cause| AnnotationError::Read { path: path.into(), cause })?;
        Annotations::parse(&bytes, path)
    }

    /// Reads `bytes`, the content of the file `path`.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Annotations, AnnotationError> {
        let file: File =
            serde_json::from_slice(bytes).map_err(|cause| AnnotationError::Parse { path: path.into(), cause })?;
        Annotations::from_file(file, path)
    }

    fn from_file(file: File, path: &Path) -> Result<Annotations, AnnotationError> {
        let mut categories = file.categories;
        categories.sort_by_key(|c| c.id);
        let category_of: HashMap<u64, usize> = categories.iter().enumerate().map(|(i, c)| (c.id, i)).collect();
        let name_of: HashMap<u64, &str> = file.images.iter().map(|i| (i.id, base_name(&i.file_name))).collect();
        let mut truths: HashMap<String, Vec<Truth>> =
            file.images.iter().map(|i| (base_name(&i.file_name).to_owned(), Vec::new())).collect();
        for a in &file.annotations {
            let dangling = |what, missing| AnnotationError::Dangling { path: path.into(), id: a.id, what, missing };
            let name = *name_of.get(&a.image_id).ok_or_else(|| dangling("image", a.image_id))?;
            let category = *category_of.get(&a.category_id).ok_or_else(|| dangling("category", a.category_id))?;
            let [x, y, w, h] = a.bbox;
            let ignore = a.iscrowd.unwrap_or(0) != 0 || a.difficult.unwrap_or(0) != 0;
            truths.entry(name.to_owned()).or_default().push(Truth { category, bounds: [x, y, x + w, y + h], ignore });
        }
        Ok(Annotations { categories: categories.into_iter().map(|c| c.name).collect(), truths })
    }

    /// The boxes of a picture by its file name; `None` if the file does not list the picture.
    pub fn of(&self, name: &str) -> Option<&[Truth]> {
        self.truths.get(base_name(name)).map(Vec::as_slice)
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Annotations, AnnotationError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Annotations::read(file.path())
    }

    #[test]
    fn boxes_and_flags_are_read() {
        let a = read(
            r#"{"images":[{"id":7,"file_name":"a/b.jpg"},{"id":8,"file_name":"c.jpg"}],
                "categories":[{"id":9,"name":"dog"},{"id":2,"name":"cat"}],
                "annotations":[{"image_id":7,"category_id":9,"bbox":[1,2,3,4],"difficult":null},
                               {"image_id":7,"category_id":2,"bbox":[0,0,1,1],"iscrowd":1}]}"#,
        )
        .unwrap();
        assert_eq!(a.categories, ["cat", "dog"]);
        let b = a.of("x/b.jpg").unwrap();
        assert_eq!(b[0], Truth { category: 1, bounds: [1.0, 2.0, 4.0, 6.0], ignore: false });
        assert!(b[1].ignore);
        assert_eq!(a.of("c.jpg"), Some(&[][..]));
        assert_eq!(a.of("unknown.jpg"), None);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(read("[]").unwrap_err().to_string().contains("COCO"));
        let e = read(
            r#"{"images":[],"categories":[],"annotations":[{"id":5,"image_id":1,"category_id":1,"bbox":[0,0,1,1]}]}"#,
        );
        assert!(e.unwrap_err().to_string().contains("annotation 5 names image 1"));
    }
}
