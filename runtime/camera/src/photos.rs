//! The bundled photographs: what `lapwing run` looks at when there is no camera.
//!
//! Public domain or CC0; `tests/photos/README.md` names each one's source.

use crate::Photo;

/// File name and JPEG bytes of each photograph.
pub const PHOTOS: &[Photo] = &[
    ("astronaut.jpg", include_bytes!("../../../tests/photos/astronaut.jpg")),
    ("cat.jpg", include_bytes!("../../../tests/photos/cat.jpg")),
    ("cameraman.jpg", include_bytes!("../../../tests/photos/cameraman.jpg")),
    ("rocket.jpg", include_bytes!("../../../tests/photos/rocket.jpg")),
    ("stairs.jpg", include_bytes!("../../../tests/photos/stairs.jpg")),
    ("raccoon.jpg", include_bytes!("../../../tests/photos/raccoon.jpg")),
    ("coffee.jpg", include_bytes!("../../../tests/photos/coffee.jpg")),
];
