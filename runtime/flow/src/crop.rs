//! A part of a frame at a flow's size.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use lapwing_camera::frame::Frame;

/// The rectangle `[left, top, width, height]` of a frame, in its pixels, as (side, side, 3); each pixel the mean of
/// those that it covers.
///
/// # Errors
/// The resizer's words: the rectangle does not lie in the frame.
pub fn cut(frame: &Frame, [left, top, width, height]: [f64; 4], side: usize) -> Result<Vec<u8>, String> {
    let source =
        ImageRef::new(frame.width(), frame.height(), frame.rgb(), PixelType::U8x3).map_err(|e| e.to_string())?;
    let mut target = Image::new(side as u32, side as u32, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Box));
    let options = options.crop(left, top, width.max(1.0), height.max(1.0));
    Resizer::new().resize(&source, &mut target, &options).map_err(|e| e.to_string())?;
    Ok(target.into_vec())
}
