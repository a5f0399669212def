//! Where a picture lies in the network's input, and the way back for boxes.

use lapwing_engine::manifest::{Fit, InputSpec};

/// The placement of one picture in the input: scaled to `width` x `height` pixels at `left`, `top`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitting {
    /// Width of the scaled picture inside the input, in pixels; at least 1.
    pub width: u32,
    /// Height of the scaled picture inside the input, in pixels; at least 1.
    pub height: u32,
    /// Pixels of the input to the left of the picture.
    pub left: u32,
    /// Pixels of the input above the picture.
    pub top: u32,
    /// Input pixels per picture pixel, horizontally.
    pub scale_x: f32,
    /// Input pixels per picture pixel, vertically.
    pub scale_y: f32,
    /// The first pixel of the part of the picture that is seen, both even.
    pub origin: (u32, u32),
    /// The size of that part.
    pub part: (u32, u32),
    picture: (u32, u32),
}

impl Fitting {
    /// The placement of a picture of `width` x `height` pixels under `spec`.
    pub fn new(spec: &InputSpec, width: u32, height: u32) -> Fitting {
        let (w, h) = (width.max(1) as f32, height.max(1) as f32);
        let (sx, sy) = (spec.width as f32 / w, spec.height as f32 / h);
        match spec.fit {
            Fit::Stretch => {
                let (part, origin) = ((width, height), (0, 0));
                let (width, height, picture) = (spec.width, spec.height, part);
                Fitting { width, height, left: 0, top: 0, scale_x: sx, scale_y: sy, origin, part, picture }
            }
            Fit::Crop => {
                let scale = sx.max(sy);
                let side = |input: u32, picture: u32| ((input as f32 / scale).round() as u32).clamp(1, picture.max(1));
                let part = (side(spec.width, width), side(spec.height, height));
                // even, because formats with half the colours are cut between their pairs
                let before = |picture: u32, part: u32| (picture.saturating_sub(part) / 2) & !1;
                Fitting {
                    width: spec.width,
                    height: spec.height,
                    left: 0,
                    top: 0,
                    scale_x: spec.width as f32 / part.0 as f32,
                    scale_y: spec.height as f32 / part.1 as f32,
                    origin: (before(width, part.0), before(height, part.1)),
                    part,
                    picture: (width, height),
                }
            }
            Fit::Letterbox | Fit::LetterboxCentred => {
                let scale = sx.min(sy);
                let inside = [(w * scale).round() as u32, (h * scale).round() as u32];
                let [inner_width, inner_height] = [inside[0].clamp(1, spec.width), inside[1].clamp(1, spec.height)];
                let centred = u32::from(spec.fit == Fit::LetterboxCentred);
                Fitting {
                    width: inner_width,
                    height: inner_height,
                    // the smaller half stands before the picture
                    left: centred * ((spec.width - inner_width) / 2),
                    top: centred * ((spec.height - inner_height) / 2),
                    scale_x: scale,
                    scale_y: scale,
                    origin: (0, 0),
                    part: (width, height),
                    picture: (width, height),
                }
            }
        }
    }

    /// A box `[x0, y0, x1, y1]` in input pixels, brought to picture pixels and clipped to the picture.
    pub fn to_picture(&self, b: [f32; 4]) -> [f32; 4] {
        let [[x0, y0], [x1, y1]] = [self.point_to_picture([b[0], b[1]]), self.point_to_picture([b[2], b[3]])];
        self.clip([x0, y0, x1, y1])
    }

    /// A box `[x0, y0, x1, y1]` in picture pixels, clipped to the picture.
    pub fn clip(&self, bounds: [f32; 4]) -> [f32; 4] {
        clip(bounds, self.picture)
    }

    /// A point `[x, y]` in input pixels, brought to picture pixels; not clipped.
    pub fn point_to_picture(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [
            (x - self.left as f32) / self.scale_x + self.origin.0 as f32,
            (y - self.top as f32) / self.scale_y + self.origin.1 as f32,
        ]
    }
}

/// A box `[x0, y0, x1, y1]`, clipped to what is so many pixels wide and high.
pub fn clip([x0, y0, x1, y1]: [f32; 4], (width, height): (u32, u32)) -> [f32; 4] {
    let (w, h) = (width as f32, height as f32);
    [x0.clamp(0.0, w), y0.clamp(0.0, h), x1.clamp(0.0, w), y1.clamp(0.0, h)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_engine::manifest::{AxisOrder, Colour, Resize};
    use proptest::prelude::*;

    fn spec(fit: Fit) -> InputSpec {
        InputSpec {
            width: 320,
            height: 320,
            colour: Colour::Rgb,
            layout: AxisOrder::Nchw,
            mean: [0.0; 3],
            scale: [1.0; 3],
            fit,
            pad: 114,
            resize: Resize::Area,
        }
    }

    proptest! {
        #[test]
        fn every_picture_fits_and_boxes_come_back(w in 1u32..9000, h in 1u32..9000, fx in 0.0f32..1.0, fy in 0.0f32..1.0) {
            for fit in [Fit::Letterbox, Fit::LetterboxCentred, Fit::Stretch] {
                let f = Fitting::new(&spec(fit), w, h);
                prop_assert!((1..=320).contains(&f.width) && (1..=320).contains(&f.height));
                let (x, y) = (fx * w as f32, fy * h as f32);
                prop_assert!(f.left + f.width <= 320 && f.top + f.height <= 320);
                let (left, top) = (f.left as f32, f.top as f32);
                let back = f.to_picture([x * f.scale_x + left, y * f.scale_y + top, 1e9, f32::INFINITY]);
                prop_assert!((back[0] - x).abs() <= 1e-3 * w as f32 && (back[1] - y).abs() <= 1e-3 * h as f32);
                prop_assert_eq!((back[2], back[3]), (w as f32, h as f32));
            }
        }
    }

    #[test]
    fn a_crop_is_the_middle_of_the_picture() {
        let f = Fitting::new(&spec(Fit::Crop), 640, 480);
        assert_eq!((f.width, f.height, f.origin, f.part), (320, 320, (80, 0), (480, 480)));
        assert_eq!(f.to_picture([0.0, 0.0, 320.0, 320.0]), [80.0, 0.0, 560.0, 480.0]);
        assert_eq!(f.to_picture([-1e9, -1e9, 1e9, 1e9]), [0.0, 0.0, 640.0, 480.0], "what is everywhere is");
        let f = Fitting::new(&InputSpec { width: 160, ..spec(Fit::Crop) }, 101, 640);
        assert_eq!((f.part, f.origin), ((101, 202), (0, 218)));
    }

    proptest! {
        #[test]
        fn a_crop_lies_in_the_picture(w in 1u32..9000, h in 1u32..9000, width in 1u32..500) {
            let f = Fitting::new(&InputSpec { width, ..spec(Fit::Crop) }, w, h);
            prop_assert!(f.origin.0 + f.part.0 <= w && f.origin.1 + f.part.1 <= h && f.part.0 > 0 && f.part.1 > 0);
            prop_assert!(f.origin.0.is_multiple_of(2) && f.origin.1.is_multiple_of(2));
            prop_assert!(f.part.0 == w || f.part.1 == h);
        }
    }

    #[test]
    fn a_letterbox_keeps_the_aspect() {
        let f = Fitting::new(&spec(Fit::Letterbox), 640, 480);
        assert_eq!((f.width, f.height), (320, 240));
        assert_eq!(f.scale_x, f.scale_y);
        let f = Fitting::new(&spec(Fit::LetterboxCentred), 640, 471);
        assert_eq!((f.width, f.height, f.left, f.top), (320, 236, 0, 42));
        assert_eq!(f.to_picture([0.0, 42.0, 320.0, 278.0]), [0.0, 0.0, 640.0, 471.0]);
    }
}
