//! Pictures as a camera gives them: a photograph, letterboxed, in a format of V4L2.
//!
//! Colours are BT.709, limited range, as 720 lines have them.

use std::path::Path;

use image::imageops::FilterType;

use crate::trouble::{Result, Trouble};

/// Formats that the looped camera and lapwing both know.
pub const FORMATS: [&str; 8] = ["YUYV", "UYVY", "NV12", "NV21", "YU12", "RGB3", "BGR3", "GREY"];
/// Size of the looped camera in pixels.
pub const SIZE: (usize, usize) = (1280, 720);

/// A picture in red, green, blue.
pub struct Picture {
    rgb: Vec<u8>, // (h, w, 3)
}

impl Picture {
    /// The photograph at `path`, whole, centred on grey.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn letterboxed(path: &Path) -> Result<Picture> {
        let photo = image::open(path).map_err(|e| Trouble::Rig(format!("{}: {e}", path.display())))?;
        let (width, height) = SIZE;
        let photo = photo.resize(width as u32, height as u32, FilterType::Triangle).to_rgb8();
        let mut rgb = vec![128; width * height * 3];
        let (left, top) = ((width - photo.width() as usize) / 2, (height - photo.height() as usize) / 2);
        for (row, line) in photo.as_raw().chunks(photo.width() as usize * 3).enumerate() {
            let at = ((top + row) * width + left) * 3;
            rgb[at..at + line.len()].copy_from_slice(line);
        }
        Ok(Picture { rgb })
    }

    /// The same picture as one sees it who takes a row for `pixels` longer than it is.
    pub fn sheared(&self, pixels: usize) -> Picture {
        let (width, height) = SIZE;
        let mut rgb = vec![128; width * height * 3];
        for row in 0..height {
            let from = row * (width + pixels) * 3;
            if let Some(line) = self.rgb.get(from..from + width * 3) {
                rgb[row * width * 3..(row + 1) * width * 3].copy_from_slice(line);
            }
        }
        Picture { rgb }
    }

    /// In a format of [`FORMATS`], without padding.
    ///
    /// # Errors
    /// Another format.
    pub fn encode(&self, format: &str) -> Result<Vec<u8>> {
        let (width, height) = SIZE;
        let yuv: Vec<[u8; 3]> = self.rgb.chunks(3).map(|p| yuv([p[0], p[1], p[2]])).collect();
        let luma = || yuv.iter().map(|p| p[0]);
        // chroma of a pair, of a square of four
        let pair = |p: &[[u8; 3]], c: usize| ((u32::from(p[0][c]) + u32::from(p[1][c])) / 2) as u8;
        let square = |row: usize, column: usize, c: usize| {
            let at = row * width + column;
            ((u32::from(yuv[at][c]) + u32::from(yuv[at + width + 1][c])) / 2) as u8
        };
        let squares = || (0..height).step_by(2).flat_map(|row| (0..width).step_by(2).map(move |column| (row, column)));
        Ok(match format {
            "YUYV" => yuv.chunks(2).flat_map(|p| [p[0][0], pair(p, 1), p[1][0], pair(p, 2)]).collect(),
            "UYVY" => yuv.chunks(2).flat_map(|p| [pair(p, 1), p[0][0], pair(p, 2), p[1][0]]).collect(),
            "NV12" => luma().chain(squares().flat_map(|(r, c)| [square(r, c, 1), square(r, c, 2)])).collect(),
            "NV21" => luma().chain(squares().flat_map(|(r, c)| [square(r, c, 2), square(r, c, 1)])).collect(),
            "YU12" => luma()
                .chain(squares().map(|(r, c)| square(r, c, 1)))
                .chain(squares().map(|(r, c)| square(r, c, 2)))
                .collect(),
            "RGB3" => self.rgb.clone(),
            "BGR3" => self.rgb.chunks(3).flat_map(|p| [p[2], p[1], p[0]]).collect(),
            "GREY" => luma().collect(),
            other => return Err(Trouble::Rig(format!("{other}: not one of {FORMATS:?}"))),
        })
    }
}

/// BT.709, limited range (ITU-R BT.709-6, 3 and 4).
fn yuv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(f32::from);
    let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    let (u, v) = ((b - y) / 1.8556, (r - y) / 1.5748);
    [16.0 + y * 219.0 / 255.0, 128.0 + u * 224.0 / 255.0, 128.0 + v * 224.0 / 255.0].map(|c| c.round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_are_right() {
        let picture = Picture { rgb: vec![200; SIZE.0 * SIZE.1 * 3] };
        let pixels = SIZE.0 * SIZE.1;
        for (format, halves) in FORMATS.iter().zip([4, 4, 3, 3, 3, 6, 6, 2]) {
            assert_eq!(picture.encode(format).unwrap().len() * 2, pixels * halves, "{format}");
        }
        assert!(picture.encode("MJPG").is_err());
    }

    #[test]
    fn colours_are_those_of_the_standard() {
        assert_eq!(yuv([0, 0, 0]), [16, 128, 128]);
        assert_eq!(yuv([255, 255, 255]), [235, 128, 128]);
        assert_eq!(yuv([255, 0, 0]), [63, 102, 240]);
        assert_eq!(yuv([0, 0, 255]), [32, 240, 118]);
    }
}
