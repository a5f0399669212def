//! The bundled photographs: what `lapwing run` looks at when there is no camera.
//!
//! Public domain or CC0; `tests/photos/README.md` names each one's source.

use crate::Photo;

/// File name and JPEG bytes of each photograph. One with nobody in it follows each that fires, so that rules release.
pub const PHOTOS: &[Photo] = &[
    ("astronaut.jpg", include_bytes!("../../../tests/photos/astronaut.jpg")),
    ("rocket.jpg", include_bytes!("../../../tests/photos/rocket.jpg")),
    ("cat.jpg", include_bytes!("../../../tests/photos/cat.jpg")),
    ("stairs.jpg", include_bytes!("../../../tests/photos/stairs.jpg")),
    ("cameraman.jpg", include_bytes!("../../../tests/photos/cameraman.jpg")),
    ("raccoon.jpg", include_bytes!("../../../tests/photos/raccoon.jpg")),
    ("coffee.jpg", include_bytes!("../../../tests/photos/coffee.jpg")),
];
