//! The bundled photographs: what `lapwing run` looks at when there is no camera.
//!
//! Public domain or CC0; `tests/photos/README.md` names each one's source.

use crate::Photo;

/// File name and JPEG bytes of each photograph. After those that fire comes one with nobody in it, so that rules release.
/// Before the cameraman comes one of another size, another scene: he alone is hidden, and has surroundings to be filled
/// from.
pub const PHOTOS: &[Photo] = &[
    ("astronaut.jpg", include_bytes!("../../../tests/photos/astronaut.jpg")),
    ("rocket.jpg", include_bytes!("../../../tests/photos/rocket.jpg")),
    ("cat.jpg", include_bytes!("../../../tests/photos/cat.jpg")),
    ("coffee.jpg", include_bytes!("../../../tests/photos/coffee.jpg")),
    ("cameraman.jpg", include_bytes!("../../../tests/photos/cameraman.jpg")),
    ("raccoon.jpg", include_bytes!("../../../tests/photos/raccoon.jpg")),
    ("stairs.jpg", include_bytes!("../../../tests/photos/stairs.jpg")),
];
