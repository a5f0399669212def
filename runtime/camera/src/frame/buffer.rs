//! The frame itself: 8-bit RGB or a raw picture, and the memory that it keeps.

use super::raw::{self, Raw, RawLayout};
use super::size::{CHANNELS, FrameError, PIXELS_MAX, rgb_bytes};

/// The most bytes that a frame's name may have; longer names keep their end, which tells files of one folder apart.
pub const NAME_BYTES_MAX: usize = 4096;

/// One picture: 8-bit RGB, `(h, w, 3)`, tightly packed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Number of this frame in its source, from 0; a gap means dropped frames.
    pub seq: u64,
    /// When it was taken, in microseconds on the source's clock.
    pub captured_us: u64,
    /// How old it was when the source gave it, in microseconds; 0 for a replay.
    pub age_us: u64,
    width: u32,
    height: u32,
    rgb: Vec<u8>, // (h, w, 3)
    raw: Vec<u8>,
    raw_layout: Option<RawLayout>,
    name: String,
}

impl Frame {
    /// A frame without pixels and without memory; [`Frame::reset`] gives it a size.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A frame without pixels that can grow to `pixels` (at most [`PIXELS_MAX`]) without another allocation.
    #[must_use]
    pub fn with_capacity_px(pixels: u64) -> Self {
        let bytes = pixels.min(PIXELS_MAX) as usize * CHANNELS;
        Self { rgb: Vec::with_capacity(bytes), name: String::with_capacity(256), ..Self::default() }
    }

    /// Gives the frame a size. The buffer is used again where it is large enough; its pixels are unspecified
    /// (whatever the last frame left, or zero). `seq`, `captured_us` and the name stay.
    ///
    /// # Errors
    /// See [`FrameError`]; the frame then keeps its old size and pixels.
    pub fn reset(&mut self, width: u32, height: u32) -> Result<(), FrameError> {
        let bytes = rgb_bytes(width, height)?;
        if bytes > self.rgb.capacity() {
            self.rgb.try_reserve_exact(bytes - self.rgb.len()).map_err(|_| FrameError::OutOfMemory {
                width,
                height,
                bytes,
            })?;
        }
        self.rgb.resize(bytes, 0);
        self.raw.clear();
        self.raw_layout = None;
        self.width = width;
        self.height = height;
        Ok(())
    }

    /// Makes this a raw frame of `layout` and gives the bytes to be filled (unspecified: whatever the last frame left).
    /// The buffer is used again where it is large enough. `seq`, `captured_us` and the name stay.
    ///
    /// # Errors
    /// [`FrameError::OutOfMemory`]; the frame then stays as it was.
    pub fn reset_raw(&mut self, layout: &RawLayout) -> Result<&mut [u8], FrameError> {
        let (width, height, bytes) = (layout.width(), layout.height(), layout.bytes());
        if bytes > self.raw.capacity() {
            let no_memory = |_| FrameError::OutOfMemory { width, height, bytes };
            self.raw.try_reserve_exact(bytes - self.raw.len()).map_err(no_memory)?;
        }
        self.raw.resize(bytes, 0);
        self.rgb.clear();
        self.raw_layout = Some(*layout);
        (self.width, self.height) = (width, height);
        Ok(&mut self.raw)
    }

    /// The raw picture, if the frame is still raw.
    #[must_use]
    pub fn raw(&self) -> Option<Raw<'_>> {
        Raw::new(self.raw_layout.as_ref()?, &self.raw)
    }

    /// Turns a raw frame into RGB; any other stays as it is.
    ///
    /// # Errors
    /// [`FrameError::OutOfMemory`]; the frame then stays raw.
    pub fn develop(&mut self) -> Result<(), FrameError> {
        let Some(layout) = self.raw_layout else { return Ok(()) };
        let raw = std::mem::take(&mut self.raw);
        let fits = self.reset(layout.width(), layout.height());
        match (fits, Raw::new(&layout, &raw)) {
            (Ok(()), Some(picture)) => raw::to_rgb(&picture, &mut self.rgb),
            (Err(error), _) => {
                self.raw = raw;
                return Err(error);
            }
            (Ok(()), None) => {} // the layout came with these bytes
        }
        self.raw = raw;
        self.raw.clear();
        Ok(())
    }

    /// Width in pixels; 0 before the first [`Frame::reset`].
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels; 0 before the first [`Frame::reset`].
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The pixels, `(h, w, 3)`; none while the frame is raw.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The pixels, `(h, w, 3)`, to write.
    pub fn rgb_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }

    /// The pixels that the buffer can hold without another allocation.
    #[must_use]
    pub fn capacity_px(&self) -> u64 {
        (self.rgb.capacity() / CHANNELS) as u64
    }

    /// The bytes of its picture, raw or RGB.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rgb.len() + self.raw.len()
    }

    /// The memory that it keeps for pictures, in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.rgb.capacity() + self.raw.capacity()
    }

    /// The colour at `(x, y)`, or `None` outside.
    #[must_use]
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let at = (y as usize * self.width as usize + x as usize) * CHANNELS;
        self.rgb.get(at..at + CHANNELS)?.try_into().ok()
    }

    /// The file or camera that it came from.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names the frame; the name's buffer is used again. Past [`NAME_BYTES_MAX`] the beginning is cut.
    pub fn set_name(&mut self, name: &str) {
        self.name.clear();
        let mut from = name.len().saturating_sub(NAME_BYTES_MAX);
        while !name.is_char_boundary(from) {
            from += 1;
        }
        self.name.push_str(&name[from..]);
    }

    /// Makes this frame equal to `other`; both buffers are used again.
    ///
    /// # Errors
    /// [`FrameError::OutOfMemory`] if this frame is smaller and cannot grow; it is then unchanged.
    pub fn copy_from(&mut self, other: &Frame) -> Result<(), FrameError> {
        if let Some(layout) = &other.raw_layout {
            self.reset_raw(layout)?.copy_from_slice(&other.raw);
        } else if other.rgb.is_empty() {
            self.rgb.clear();
            self.raw.clear();
            self.raw_layout = None;
            (self.width, self.height) = (0, 0);
        } else {
            self.reset(other.width, other.height)?;
            self.rgb.copy_from_slice(&other.rgb);
        }
        self.seq = other.seq;
        self.captured_us = other.captured_us;
        self.age_us = other.age_us;
        self.set_name(&other.name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::raw::PixelFormat;
    use crate::frame::yuv;

    #[test]
    fn a_size_is_checked_before_memory_is_touched() {
        let mut frame = Frame::new();
        assert_eq!(frame.reset(0, 5), Err(FrameError::NoPixels { width: 0, height: 5 }));
        let big = frame.reset(u32::MAX, u32::MAX).unwrap_err();
        assert!(big.to_string().contains("scale the picture down"), "{big}");
        assert_eq!(frame.capacity_px(), 0);
        assert!(rgb_bytes(8192, 8192).is_ok());
        assert!(rgb_bytes(8193, 8192).is_err());
    }

    #[test]
    fn the_buffer_is_used_again() {
        let mut frame = Frame::with_capacity_px(100);
        frame.reset(10, 10).unwrap();
        let at = frame.rgb().as_ptr();
        for side in [3, 10, 1, 7] {
            frame.reset(side, side).unwrap();
            assert_eq!(frame.rgb().len(), (side * side * 3) as usize);
            assert_eq!(frame.rgb().as_ptr(), at);
        }
    }

    #[test]
    fn a_copy_is_equal_and_does_not_allocate_twice() {
        let mut a = Frame::new();
        a.reset(4, 3).unwrap();
        a.rgb_mut().copy_from_slice(&(0..36).collect::<Vec<u8>>());
        (a.seq, a.captured_us) = (7, 99);
        a.set_name("camera/é");
        let mut b = Frame::with_capacity_px(1000);
        let at = b.rgb().as_ptr();
        b.copy_from(&a).unwrap();
        assert_eq!(a, b);
        assert_eq!(b.rgb().as_ptr(), at);
        assert_eq!(b.pixel(1, 2), Some([27, 28, 29]));
        assert_eq!(b.pixel(4, 0), None);
        b.copy_from(&Frame::new()).unwrap();
        assert_eq!((b.width(), b.rgb().len()), (0, 0));
    }

    #[test]
    fn a_raw_frame_is_developed_once_and_keeps_its_buffers() {
        let layout = RawLayout::packed(PixelFormat::Grey, (3, 2), yuv::Colour::JPEG).unwrap();
        let mut frame = Frame::new();
        frame.reset_raw(&layout).unwrap().copy_from_slice(&[1, 2, 3, 4, 5, 6]);
        frame.seq = 4;
        assert_eq!((frame.width(), frame.height(), frame.rgb().len()), (3, 2, 0));
        let mut copy = Frame::new();
        copy.copy_from(&frame).unwrap();
        assert_eq!(copy, frame);
        frame.develop().unwrap();
        frame.develop().unwrap();
        assert!(frame.raw().is_none());
        assert_eq!((frame.seq, frame.pixel(2, 1)), (4, Some([6; 3])));
        let (rgb_at, raw_capacity) = (frame.rgb().as_ptr(), frame.raw.capacity());
        frame.reset_raw(&layout).unwrap().fill(9);
        frame.develop().unwrap();
        assert_eq!((frame.rgb().as_ptr(), frame.raw.capacity()), (rgb_at, raw_capacity));
        assert_eq!(frame.rgb(), [9; 18]);
    }

    #[test]
    fn a_long_name_keeps_its_end_and_its_characters() {
        let mut frame = Frame::new();
        frame.set_name(&format!("{}end", "é".repeat(NAME_BYTES_MAX)));
        assert!(frame.name().len() <= NAME_BYTES_MAX);
        assert!(frame.name().ends_with("éend"));
    }
}
