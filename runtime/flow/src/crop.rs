//! A part of a frame at a flow's size.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use lapwing_camera::frame::Frame;

/// The rectangle `[left, top, width, height]` of a frame, in its pixels, as (side, side, 3); each pixel the mean of
/// those that it covers.
///
/// # Errors
/// The resizer's words: the rectangle does not lie in the frame.
pub fn cut(frame: &Frame, [left, top, width, height]: [f64; 4], side: usize) -> Result<Vec<u8>, String> {
    let source =
        TypedImageRef::<U8x3>::from_buffer(frame.width(), frame.height(), frame.rgb()).map_err(|e| e.to_string())?;
    let mut pixels = vec![0; side * side * 3];
    let mut target =
        TypedImage::<U8x3>::from_buffer(side as u32, side as u32, &mut pixels).map_err(|e| e.to_string())?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Box));
    let options = options.crop(left, top, width.max(1.0), height.max(1.0));
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|e| e.to_string())?;
    Ok(pixels)
}
