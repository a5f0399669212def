//! The network's input tensor and the work of filling it from a picture.

use super::fused::Fused;
use super::{Fitting, InputError};
use lapwing_camera::frame::raw::{PixelFormat, Raw, RawLayout};
use lapwing_camera::frame::{Frame, yuv};
use lapwing_engine::manifest::{AxisOrder, Colour, InputSpec};

/// The input tensor with its scratch buffers.
///
/// Resizing is by the filter that the manifest states (by default a triangle that widens when it shrinks),
/// rounded to 8 bits; then `x = (pixel - mean) * scale` by plane through a table.
pub struct InputTensor<T> {
    spec: InputSpec,
    store: Store<T>,
    fused: Fused,
}

impl InputTensor<f32> {
    /// Buffers for inputs of `spec` in float32, in the manifest's layout.
    pub fn real(spec: &InputSpec) -> InputTensor<f32> {
        let table = |plane: usize| std::array::from_fn(|v| (v as f32 - spec.mean[plane]) * spec.scale[plane]);
        InputTensor::new(spec, spec.layout, [table(0), table(1), table(2)])
    }
}

impl<T: Copy + PartialEq + From<u8>> InputTensor<T> {
    /// Buffers for inputs of `spec` in which pixel value v of plane p becomes `tables[p][v]`.
    pub fn new(spec: &InputSpec, layout: AxisOrder, tables: [[T; 256]; 3]) -> InputTensor<T> {
        let pixels = spec.width as usize * spec.height as usize;
        InputTensor {
            spec: spec.clone(),
            store: Store {
                values: vec![tables[0][0]; pixels * 3],
                layout,
                width: spec.width as usize,
                height: spec.height as usize,
                colours: match spec.colour {
                    Colour::Rgb => [0, 1, 2],
                    Colour::Bgr => [2, 1, 0],
                },
                pads: std::array::from_fn(|plane| tables[plane][usize::from(spec.pad)]),
                is_plain: spec.colour == Colour::Rgb
                    && tables.iter().all(|table| (0..=u8::MAX).all(|v| table[usize::from(v)] == T::from(v))),
                tables,
            },
            fused: Fused::new(spec.resize),
        }
    }

    /// The tensor of the last picture, flat.
    pub fn values(&self) -> &[T] {
        &self.store.values
    }

    /// Fills the tensor from `frame` and says where the picture lies in it, whatever its format, in one pass.
    ///
    /// # Errors
    /// [`InputError`] if it has no pixels.
    pub fn fill(&mut self, frame: &Frame) -> Result<Fitting, InputError> {
        let (width, height) = (frame.width(), frame.height());
        let error = || InputError { width, height };
        let rgb = RawLayout::packed(PixelFormat::Rgb, (width, height), yuv::Colour::JPEG).map_err(|_| error())?;
        let whole = frame.raw().or_else(|| Raw::new(&rgb, frame.rgb())).ok_or_else(error)?;
        let fitting = Fitting::new(&self.spec, width, height);
        let part = whole.layout().part(fitting.origin, fitting.part).ok_or_else(error)?;
        let raw = whole.with_layout(&part).ok_or_else(error)?;
        self.fused.run(&raw, &fitting, &mut |y, row| self.store.row(&fitting, y, row));
        self.store.pad_around(&fitting);
        Ok(fitting)
    }
}

/// The tensor's values and how pixels become values.
struct Store<T> {
    /// Flat, in `layout`.
    values: Vec<T>,
    layout: AxisOrder,
    width: usize,
    height: usize,
    /// Which colour of an RGB pixel goes to each tensor plane.
    colours: [usize; 3],
    /// What each pixel value becomes, by tensor plane.
    tables: [[T; 256]; 3],
    /// What pads, by tensor plane.
    pads: [T; 3],
    /// The values are those of the pixels, in their order.
    is_plain: bool,
}

impl<T: Copy + PartialEq + From<u8>> Store<T> {
    /// Stores row `y` of the picture, `pixels` (w, 3) in RGB, and pads it to the left and right.
    fn row(&mut self, fitting: &Fitting, y: usize, pixels: &[u8]) {
        let pixels = pixels.as_chunks::<3>().0;
        let (y, left) = (y + fitting.top as usize, fitting.left as usize);
        let right = left + pixels.len();
        match self.layout {
            AxisOrder::Nchw => {
                for plane in 0..3 {
                    let (colour, table) = (self.colours[plane], &self.tables[plane]);
                    let line = &mut self.values[(plane * self.height + y) * self.width..][..self.width];
                    line[..left].fill(self.pads[plane]);
                    for (value, pixel) in line[left..right].iter_mut().zip(pixels) {
                        *value = table[usize::from(pixel[colour])];
                    }
                    line[right..].fill(self.pads[plane]);
                }
            }
            AxisOrder::Nhwc => {
                let line = self.values[y * self.width * 3..][..self.width * 3].as_chunks_mut::<3>().0;
                let [p, q, r] = self.colours;
                let [a, b, c] = &self.tables;
                let inside = &mut line[left..right];
                if self.is_plain {
                    let values = inside.as_flattened_mut().iter_mut();
                    values.zip(pixels.as_flattened()).for_each(|(value, level)| *value = T::from(*level));
                } else {
                    for (values, pixel) in inside.iter_mut().zip(pixels) {
                        *values = [a[usize::from(pixel[p])], b[usize::from(pixel[q])], c[usize::from(pixel[r])]];
                    }
                }
                line[..left].fill(self.pads);
                line[right..].fill(self.pads);
            }
        }
    }

    /// Pads the rows above and below the picture.
    fn pad_around(&mut self, fitting: &Fitting) {
        let (top, bottom) = (fitting.top as usize, (fitting.top + fitting.height) as usize);
        match self.layout {
            AxisOrder::Nchw => {
                for (plane, values) in self.values.chunks_exact_mut(self.width * self.height).enumerate() {
                    values[..top * self.width].fill(self.pads[plane]);
                    values[bottom * self.width..].fill(self.pads[plane]);
                }
            }
            AxisOrder::Nhwc => {
                let (above, rest) = self.values.split_at_mut(top * self.width * 3);
                let below = &mut rest[(bottom - top) * self.width * 3..];
                for values in above.chunks_exact_mut(3).chain(below.chunks_exact_mut(3)) {
                    values.copy_from_slice(&self.pads);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_camera::frame::picture;
    use lapwing_engine::manifest::{Fit, Resize};

    fn spec(layout: AxisOrder, colour: Colour) -> InputSpec {
        InputSpec {
            width: 8,
            height: 4,
            colour,
            layout,
            mean: [1.0, 2.0, 3.0],
            scale: [0.5, 1.0, 2.0],
            fit: Fit::Letterbox,
            pad: 114,
            resize: Resize::Area,
        }
    }

    fn frame() -> Frame {
        let mut frame = Frame::new();
        frame.reset(4, 4).unwrap();
        for (i, byte) in frame.rgb_mut().iter_mut().enumerate() {
            *byte = (i * 5) as u8;
        }
        frame
    }

    #[test]
    fn planes_and_pixels_hold_the_same_values() {
        let frame = frame();
        for colour in [Colour::Rgb, Colour::Bgr] {
            let mut planes = InputTensor::real(&spec(AxisOrder::Nchw, colour));
            let mut pixels = InputTensor::real(&spec(AxisOrder::Nhwc, colour));
            planes.fill(&frame).unwrap();
            pixels.fill(&frame).unwrap();
            for plane in 0..3 {
                for at in 0..32 {
                    assert_eq!(planes.values()[plane * 32 + at], pixels.values()[at * 3 + plane]);
                }
            }
        }
    }

    #[test]
    fn a_centred_letterbox_is_the_other_one_moved() {
        let mut wide = Frame::new();
        wide.reset(8, 2).unwrap();
        for frame in [frame(), wide] {
            for layout in [AxisOrder::Nchw, AxisOrder::Nhwc] {
                let cornered = spec(layout, Colour::Rgb);
                let centred = InputSpec { fit: Fit::LetterboxCentred, ..cornered.clone() };
                let [mut a, mut b] = [InputTensor::real(&cornered), InputTensor::real(&centred)];
                a.fill(&frame).unwrap();
                let at = b.fill(&frame).unwrap();
                assert_ne!((at.left, at.top), (0, 0));
                let index = |plane: usize, y: usize, x: usize| match layout {
                    AxisOrder::Nchw => (plane * 4 + y) * 8 + x,
                    AxisOrder::Nhwc => (y * 8 + x) * 3 + plane,
                };
                for (plane, y, x) in
                    (0..3usize).flat_map(|p| (0..4usize).flat_map(move |y| (0..8usize).map(move |x| (p, y, x))))
                {
                    let from = y.checked_sub(at.top as usize).zip(x.checked_sub(at.left as usize));
                    let inside = from.filter(|&(y, x)| y < at.height as usize && x < at.width as usize);
                    let expected = match inside {
                        Some((y, x)) => a.values()[index(plane, y, x)],
                        None => (114.0 - cornered.mean[plane]) * cornered.scale[plane],
                    };
                    assert_eq!(b.values()[index(plane, y, x)], expected, "{layout:?} {plane} {y} {x}");
                }
            }
        }
    }

    #[test]
    fn values_are_normalised_and_the_rest_is_padding() {
        let mut tensor = InputTensor::real(&spec(AxisOrder::Nchw, Colour::Bgr));
        tensor.fill(&frame()).unwrap();
        // plane 0 of a BGR input is blue; pixel 1 of row 0 has blue = 5 * 5
        assert_eq!(tensor.values()[1], (25.0 - 1.0) * 0.5);
        assert_eq!(tensor.values()[4], (114.0 - 1.0) * 0.5);
    }

    /// Photographs that OpenCV brought to 320x320 (`INTER_LINEAR`, centred, 114) for the exporters' own predictor.
    #[test]
    fn a_fitted_photograph_is_what_opencv_makes_of_it() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models/yolo/fitted320");
        let spec = InputSpec {
            width: 320,
            height: 320,
            mean: [0.0; 3],
            scale: [1.0; 3],
            fit: Fit::LetterboxCentred,
            resize: Resize::Bilinear,
            ..spec(AxisOrder::Nhwc, Colour::Rgb)
        };
        for (name, bytes) in lapwing_camera::photos::PHOTOS {
            let path = folder.join(name).with_extension("png");
            let Ok(expected) = std::fs::read(&path) else {
                eprintln!("SKIPPED: {} is not there", path.display());
                return;
            };
            let [mut photo, mut fitted] = [Frame::new(), Frame::new()];
            picture::decode(bytes, name, &mut photo).unwrap();
            picture::decode(&expected, name, &mut fitted).unwrap();
            let mut tensor = InputTensor::new(&spec, AxisOrder::Nhwc, [std::array::from_fn(|v| v as u8); 3]);
            tensor.fill(&photo).unwrap();
            let off = tensor.values().iter().zip(fitted.rgb()).map(|(a, b): (&u8, &u8)| a.abs_diff(*b));
            let (most, sum) = off.fold((0, 0u64), |(most, sum), off| (most.max(off), sum + u64::from(off)));
            let mean = sum as f64 / (320.0 * 320.0 * 3.0);
            // decoders of JPEG differ by a level or two
            assert!(mean < 0.5 && most <= 12, "{name}: {most} {mean}");
        }
    }
}
