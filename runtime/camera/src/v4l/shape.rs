//! What was granted, checked and turned into a way of reading buffers.
//!
//! Having a [`Shape`] means that lapwing can read the format, and that every row of every plane lies inside the bytes
//! that [`Shape::check`] asks a buffer for.

use super::driver::{Filling, Granted, MEMORY_PLANES_MAX};
use super::fourcc::{self, FourCc, Use};
use crate::frame::raw::{PLANES_MAX, RawLayout};
use crate::frame::{Frame, FrameError, PixelFormat, rgb_bytes};

/// Fewer bytes are no JPEG.
const JPEG_BYTES_MIN: usize = 64;

/// Why what was granted cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Not one of [`fourcc::USABLE`].
    #[error("it gives pictures as {0}, which lapwing does not read")]
    Format(FourCc),
    /// A format in planes of its own came in another number of planes.
    #[error("it gives {0} in {1} planes of memory")]
    Planes(FourCc, usize),
    /// A size or a stride that cannot be.
    #[error("it gives {0} of an impossible size: {1}")]
    Size(FourCc, FrameError),
}

/// Why a filled buffer holds no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Fewer bytes than a picture has.
    #[error("it has {have} of {need} bytes in plane {plane}")]
    Short {
        /// The memory plane.
        plane: usize,
        /// What came.
        have: usize,
        /// What a picture needs.
        need: usize,
    },
    /// No memory for it.
    #[error(transparent)]
    Memory(#[from] FrameError),
}

/// How the buffers of a stream are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Samples as they are.
    Raw {
        /// The picture.
        layout: RawLayout,
        /// Every plane lies in a memory plane of its own.
        apart: bool,
    },
    /// One JPEG a buffer.
    Jpeg,
}

impl Shape {
    /// Believes the driver as far as its numbers fit together.
    ///
    /// # Errors
    /// See [`ShapeError`].
    pub fn new(granted: &Granted) -> Result<Shape, ShapeError> {
        let impossible = |error| ShapeError::Size(granted.fourcc, error);
        let (format, apart) = match fourcc::use_of(granted.fourcc) {
            None => return Err(ShapeError::Format(granted.fourcc)),
            Some(Use::Jpeg) => {
                rgb_bytes(granted.width, granted.height).map_err(impossible)?;
                return Ok(Shape::Jpeg);
            }
            Some(Use::Raw(format, apart)) => (format, apart),
        };
        let wanted = if apart { format.planes() } else { 1 };
        if granted.memory_planes != wanted {
            return Err(ShapeError::Planes(granted.fourcc, granted.memory_planes));
        }
        let colour = fourcc::colour(format, granted.colorspace, granted.ycbcr_enc, granted.quantization);
        let strides = strides(format, granted, apart);
        let layout = RawLayout::new(format, (granted.width, granted.height), strides, colour).map_err(impossible)?;
        Ok(Shape::Raw { layout, apart })
    }

    /// Finds the picture's bytes in a filled buffer whose memory planes are `memory`.
    ///
    /// # Errors
    /// See [`Damage`].
    pub fn check<'m>(
        &self,
        filling: &Filling,
        memory: impl Fn(usize) -> &'m [u8],
    ) -> Result<[&'m [u8]; PLANES_MAX], Damage> {
        let mut found: [&[u8]; PLANES_MAX] = [&[]; PLANES_MAX];
        match self {
            Shape::Jpeg => found[0] = used(filling, 0, memory(0), JPEG_BYTES_MIN)?,
            Shape::Raw { layout, apart: false } => {
                found[0] = used(filling, 0, memory(0), last_byte(layout, layout.planes().len() - 1))?;
            }
            Shape::Raw { layout, apart: true } => {
                for (index, plane) in layout.planes().iter().enumerate() {
                    found[index] = used(filling, index, memory(index), last_byte(layout, index) - plane.at)?;
                }
            }
        }
        Ok(found)
    }

    /// Copies what [`Shape::check`] found into `frame`, once through and in order: a camera's memory is often slow to
    /// read. A JPEG stays where it is: `Some` says where.
    ///
    /// # Errors
    /// See [`Damage`]. The frame is not touched unless the buffer has what it needs.
    pub fn copy<'m>(
        &self,
        filling: &Filling,
        memory: impl Fn(usize) -> &'m [u8],
        frame: &mut Frame,
    ) -> Result<Option<&'m [u8]>, Damage> {
        let sources = self.check(filling, memory)?;
        match self {
            Shape::Jpeg => return Ok(Some(sources[0])),
            Shape::Raw { layout, apart: false } => copy_most(frame.reset_raw(layout)?, sources[0]),
            Shape::Raw { layout, apart: true } => {
                let bytes = frame.reset_raw(layout)?;
                for (plane, source) in layout.planes().iter().zip(sources) {
                    copy_most(&mut bytes[plane.at..plane.at + plane.stride * plane.rows], source);
                }
            }
        }
        Ok(None)
    }
}

/// Strides by plane of the format. In one memory plane the driver states the first; the others follow from it.
fn strides(format: PixelFormat, granted: &Granted, apart: bool) -> [usize; PLANES_MAX] {
    std::array::from_fn(|plane| {
        let stated = granted.strides[if apart { plane } else { 0 }] as usize;
        match stated {
            0 => format.row_bytes(plane, granted.width), // some drivers leave it out where rows are packed
            stated if !apart && plane > 0 && format == PixelFormat::Yu12 => stated.div_ceil(2),
            stated => stated,
        }
    })
}

/// One past the last byte of `plane` that carries a sample.
fn last_byte(layout: &RawLayout, plane: usize) -> usize {
    let place = layout.planes()[plane];
    place.at + place.stride * (place.rows - 1) + layout.format().row_bytes(plane, layout.width())
}

/// The data of memory plane `plane`, at least `need` bytes.
fn used<'m>(filling: &Filling, plane: usize, memory: &'m [u8], need: usize) -> Result<&'m [u8], Damage> {
    let (from, to) = filling.used[plane.min(MEMORY_PLANES_MAX - 1)];
    let data = memory.get(from as usize..(to as usize).min(memory.len())).unwrap_or(&[]);
    if data.len() < need { Err(Damage::Short { plane, have: data.len(), need }) } else { Ok(data) }
}

/// The padding after the last row may be missing in the source.
fn copy_most(to: &mut [u8], from: &[u8]) {
    let most = to.len().min(from.len());
    to[..most].copy_from_slice(&from[..most]);
}
