//! The network's input tensor and the work of filling it from a picture.

use fast_image_resize as fir;
use fir::images::{Image, ImageRef};

use super::{Fitting, InputError};
use crate::engine::manifest::{Colour, InputSpec, Layout};
use crate::frame::Frame;
use crate::frame::raw::to_rgb;

/// The input tensor with its scratch buffers.
///
/// Resizing is area-aware bilinear interpolation (a triangle filter that widens when it shrinks),
/// rounded to 8 bits; then `x = (pixel - mean) * scale` by plane through a table.
pub struct InputTensor<T> {
    spec: InputSpec,
    layout: Layout,
    /// Flat, in `layout`.
    values: Vec<T>,
    resizer: fir::Resizer,
    options: fir::ResizeOptions,
    /// (h, w, 3), at most the input's size.
    scaled: Vec<u8>,
    /// (h, w, 3): a raw frame in RGB.
    developed: Vec<u8>,
    /// What each pixel value becomes, by tensor plane.
    tables: [[T; 256]; 3],
}

impl InputTensor<f32> {
    /// Buffers for inputs of `spec` in real numbers, in the manifest's layout.
    pub fn real(spec: &InputSpec) -> InputTensor<f32> {
        let table = |plane: usize| std::array::from_fn(|v| (v as f32 - spec.mean[plane]) * spec.scale[plane]);
        InputTensor::new(spec, spec.layout, [table(0), table(1), table(2)])
    }
}

impl<T: Copy> InputTensor<T> {
    /// Buffers for inputs of `spec` in which pixel value v of plane p becomes `tables[p][v]`.
    pub fn new(spec: &InputSpec, layout: Layout, tables: [[T; 256]; 3]) -> InputTensor<T> {
        let pixels = spec.width as usize * spec.height as usize;
        InputTensor {
            spec: spec.clone(),
            layout,
            values: vec![tables[0][0]; pixels * 3],
            resizer: fir::Resizer::new(),
            options: fir::ResizeOptions::new()
                .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear))
                .use_alpha(false),
            scaled: Vec::with_capacity(pixels * 3),
            developed: Vec::new(),
            tables,
        }
    }

    /// The tensor of the last picture, flat.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Fills the tensor from `frame` and says where the picture lies in it.
    pub fn fill(&mut self, frame: &Frame) -> Result<Fitting, InputError> {
        let fitting = Fitting::new(&self.spec, frame.width(), frame.height());
        let mut developed = std::mem::take(&mut self.developed);
        let rgb = match frame.raw() {
            Some(raw) => {
                developed.resize(frame.width() as usize * frame.height() as usize * 3, 0);
                to_rgb(&raw, &mut developed);
                &developed[..]
            }
            None => frame.rgb(),
        };
        let filled = self.fill_rgb(frame, rgb, fitting);
        self.developed = developed;
        filled
    }

    fn fill_rgb(&mut self, frame: &Frame, rgb: &[u8], fitting: Fitting) -> Result<Fitting, InputError> {
        if (fitting.width, fitting.height) == (frame.width(), frame.height()) {
            self.scaled.clear();
            self.scaled.extend_from_slice(rgb);
        } else {
            self.resize(frame, rgb, fitting).map_err(|cause| InputError {
                width: frame.width(),
                height: frame.height(),
                cause,
            })?;
        }
        match self.layout {
            Layout::Nchw => self.store_planes(fitting),
            Layout::Nhwc => self.store_pixels(fitting),
        }
        Ok(fitting)
    }

    fn resize(&mut self, frame: &Frame, rgb: &[u8], to: Fitting) -> Result<(), String> {
        let source =
            ImageRef::new(frame.width(), frame.height(), rgb, fir::PixelType::U8x3).map_err(|e| e.to_string())?;
        self.scaled.resize(to.width as usize * to.height as usize * 3, 0);
        let mut target = Image::from_slice_u8(to.width, to.height, &mut self.scaled, fir::PixelType::U8x3)
            .map_err(|e| e.to_string())?;
        self.resizer.resize(&source, &mut target, &self.options).map_err(|e| e.to_string())
    }

    /// Which colour of an RGB pixel goes to tensor plane `plane`.
    fn colour_of(&self, plane: usize) -> usize {
        match self.spec.colour {
            Colour::Rgb => plane,
            Colour::Bgr => 2 - plane,
        }
    }

    fn store_planes(&mut self, fitting: Fitting) {
        let (width, row_pixels) = (self.spec.width as usize, fitting.width as usize);
        let plane_pixels = width * self.spec.height as usize;
        for plane in 0..3 {
            let (colour, table) = (self.colour_of(plane), &self.tables[plane]);
            let pad = table[usize::from(self.spec.pad)];
            let values = &mut self.values[plane * plane_pixels..][..plane_pixels]; // (h, w)
            let mut rows = self.scaled.chunks_exact(row_pixels * 3);
            for line in values.chunks_exact_mut(width) {
                match rows.next() {
                    Some(row) => {
                        for (value, pixel) in line.iter_mut().zip(row.chunks_exact(3)) {
                            *value = table[usize::from(pixel[colour])];
                        }
                        line[row_pixels..].fill(pad);
                    }
                    None => line.fill(pad),
                }
            }
        }
    }

    fn store_pixels(&mut self, fitting: Fitting) {
        let (width, row_pixels) = (self.spec.width as usize, fitting.width as usize);
        let colours = [self.colour_of(0), self.colour_of(1), self.colour_of(2)];
        let pads: [T; 3] = std::array::from_fn(|p| self.tables[p][usize::from(self.spec.pad)]);
        let mut rows = self.scaled.chunks_exact(row_pixels * 3);
        for line in self.values.chunks_exact_mut(width * 3) {
            let row = rows.next().unwrap_or(&[]);
            let mut pixels = row.chunks_exact(3);
            for values in line.chunks_exact_mut(3) {
                let pixel = pixels.next();
                for plane in 0..3 {
                    values[plane] = pixel.map_or(pads[plane], |p| self.tables[plane][usize::from(p[colours[plane]])]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::manifest::Fit;

    fn spec(layout: Layout, colour: Colour) -> InputSpec {
        InputSpec {
            width: 8,
            height: 4,
            colour,
            layout,
            mean: [1.0, 2.0, 3.0],
            scale: [0.5, 1.0, 2.0],
            fit: Fit::Letterbox,
            pad: 114,
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
            let mut planes = InputTensor::real(&spec(Layout::Nchw, colour));
            let mut pixels = InputTensor::real(&spec(Layout::Nhwc, colour));
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
    fn values_are_normalised_and_the_rest_is_padding() {
        let mut tensor = InputTensor::real(&spec(Layout::Nchw, Colour::Bgr));
        tensor.fill(&frame()).unwrap();
        // plane 0 of a BGR input is blue; pixel 1 of row 0 has blue = 5 * 5
        assert_eq!(tensor.values()[1], (25.0 - 1.0) * 0.5);
        assert_eq!(tensor.values()[4], (114.0 - 1.0) * 0.5);
    }
}
