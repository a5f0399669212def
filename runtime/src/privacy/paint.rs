//! Paints a region over from its surroundings.
//!
//! The window around the region is filled at 64x64 and brought back to the frame's size; tiles at finer scales that
//! start from this fill add seams and no detail, so there are none. A fill of grey surroundings is grey. Where that is coarser than the
//! frame, the fill lacks the fine grain of what lies around it; the grain of the nearest visible pixels, mirrored at the
//! region's edge and fading inwards, is added, so that the seam lies inside the region and is not a line. Nothing
//! outside of the region is changed, and no hidden pixel is read.

use super::fill::{Fill, FillError, PIXELS};
use super::hidden::Hidden;
use super::region::Region;
use super::window::{Window, place_around};
use lapwing_camera::frame::Frame;

/// A window of which more than this share is hole, in hundredths, says too little of what belongs there: the flow was
/// trained on holes of up to four fifths.
const HOLE_PERCENT_MAX: usize = 80;
/// How often the window is made larger in search of more surroundings.
const LARGER_MAX: u32 = 3;
/// Surroundings are grey if the channels of every cell differ by at most this.
const GREY_SPREAD_MAX: u8 = 3;
/// How deep the grain reaches, in cells of the window.
const GRAIN_CELLS: u32 = 3;
/// And at most so deep, in pixels.
const GRAIN_PX_MAX: u32 = 24;
/// More than this is no grain but the edge of a thing, which must not be mirrored into the region.
const GRAIN_MAX: i32 = 16;

/// How painting a region ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Painted {
    /// It is filled.
    Filled,
    /// Too little of its surroundings is visible; nothing was changed.
    NoSurroundings,
}

/// Paints regions; holds every buffer that it needs.
#[derive(Debug, Default)]
pub struct Painter {
    window: Window,
    filled: Vec<u8>, // (64, 64, 3)
}

impl Painter {
    /// Fills the hidden pixels of a region that lies in the frame, and shows them in the map.
    ///
    /// # Errors
    /// The generator's; nothing was changed.
    pub fn paint(
        &mut self,
        frame: &mut Frame,
        hidden: &mut Hidden,
        region: &Region,
        fill: &mut dyn Fill,
    ) -> Result<Painted, FillError> {
        let (width, height) = (frame.width(), frame.height());
        let mut holes = 0;
        let surrounded = (1..=LARGER_MAX).any(|larger| {
            let place = place_around(&region.rect, larger, width, height);
            holes = self.window.take(frame, hidden, place);
            holes * 100 <= HOLE_PERCENT_MAX * PIXELS
        });
        if !surrounded {
            return Ok(Painted::NoSurroundings);
        }
        if holes == 0 {
            return Ok(Painted::Filled); // other regions have painted all of it
        }
        self.filled.resize(PIXELS * 3, 0);
        fill.fill(&self.window.rgb, &self.window.hole, region.seed, &mut self.filled)?;
        let grey = self.window.known().all(|p| spread(p) <= GREY_SPREAD_MAX);
        for ((to, from), &hole) in
            self.window.rgb.chunks_exact_mut(3).zip(self.filled.chunks_exact(3)).zip(&self.window.hole)
        {
            if hole {
                to.copy_from_slice(from);
            }
            if hole && grey {
                to.fill(luma(from));
            }
        }
        self.store(frame, hidden, region);
        hidden.set(region, false);
        Ok(Painted::Filled)
    }

    fn store(&self, frame: &mut Frame, hidden: &Hidden, region: &Region) {
        let (rect, width) = (region.rect, frame.width() as usize);
        let reach = self.grain_px();
        for y in rect.y0..rect.y1 {
            for x in region.spans(y).flatten() {
                if !hidden.at(x.into(), y.into()) {
                    continue; // another region has painted it
                }
                let mut colour = self.window.colour_at(x, y);
                if let Some((depth, [from_x, from_y])) = mirrored(region, hidden, [x, y], reach) {
                    let weight = (reach - depth) as i32;
                    let (smooth, at) =
                        (self.window.colour_at(from_x, from_y), from_y as usize * width + from_x as usize);
                    for c in 0..3 {
                        let grain = (i32::from(frame.rgb()[at * 3 + c]) - smooth[c]).clamp(-GRAIN_MAX, GRAIN_MAX);
                        colour[c] += grain * weight / reach as i32;
                    }
                }
                let at = (y as usize * width + x as usize) * 3;
                frame.rgb_mut()[at..at + 3].copy_from_slice(&colour.map(|v| v.clamp(0, 255) as u8));
            }
        }
    }

    /// How deep the grain reaches into a region, in pixels; 0 where the window is as fine as the frame.
    fn grain_px(&self) -> u32 {
        let place = self.window.place;
        let longer = place.width().max(place.height());
        if longer <= super::fill::SIDE as u32 { 0 } else { (longer * GRAIN_CELLS / 64).clamp(1, GRAIN_PX_MAX) }
    }
}

/// How far a pixel is from grey.
fn spread(pixel: &[u8]) -> u8 {
    let (low, high) = pixel.iter().fold((u8::MAX, 0), |(low, high), &v| (low.min(v), high.max(v)));
    high.saturating_sub(low)
}

/// The luma of a pixel, by BT.601.
fn luma(pixel: &[u8]) -> u8 {
    let weighed: u32 = pixel.iter().zip([299, 587, 114]).map(|(&v, weight)| u32::from(v) * weight).sum();
    (weighed / 1000) as u8 // weights sum to 1000
}

/// The visible pixel that a pixel of a region is mirrored to at the nearest edge that has one, and the depth in pixels;
/// `None` if no edge is nearer than `reach`.
fn mirrored(region: &Region, hidden: &Hidden, [x, y]: [u32; 2], reach: u32) -> Option<(u32, [u32; 2])> {
    let rect = region.rect;
    // pixels of the region before its edge, on one way
    let depth = |across: i64, down: i64, whole: u32| match region.outline.is_full() {
        true => whole,
        false => {
            let inside = |step: &u32| {
                let step = i64::from(*step);
                let [x, y] =
                    [i64::from(x) + across * step, i64::from(y) + down * step].map(|at| u32::try_from(at).ok());
                x.zip(y).is_some_and(|(x, y)| region.has(x, y))
            };
            (1..=reach).take_while(inside).count() as u32
        }
    };
    [(-1, 0, x - rect.x0), (1, 0, rect.x1 - 1 - x), (0, -1, y - rect.y0), (0, 1, rect.y1 - 1 - y)]
        .into_iter()
        .filter_map(|(across, down, whole)| {
            let depth = depth(across, down, whole);
            let steps = 2 * i64::from(depth) + 1;
            let at = [i64::from(x) + across * steps, i64::from(y) + down * steps];
            (depth < reach && !hidden.at(at[0], at[1])).then_some((depth, at))
        })
        .min_by_key(|(depth, _)| *depth)
        .map(|(depth, at)| (depth, at.map(|v| v as u32))) // not hidden, so in the frame
}

#[cfg(test)]
mod tests {
    use super::super::region::Rect;
    use super::super::tests::{Smooth, noisy};
    use super::*;
    use lapwing_vision::detect::Outline;

    fn paint(frame: &mut Frame, rects: &[Rect]) -> Vec<Painted> {
        let (mut painter, mut hidden) = (Painter::default(), Hidden::default());
        hidden.reset(frame.width(), frame.height());
        let regions = rects.iter().map(|&rect| Region::whole(rect, 1));
        regions.clone().for_each(|region| hidden.set(&region, true));
        regions.map(|r| painter.paint(frame, &mut hidden, &r, &mut Smooth).unwrap()).collect()
    }

    #[test]
    fn a_hole_in_a_plain_wall_is_wall() {
        for (width, height, rect) in [
            (64, 64, Rect { x0: 20, y0: 20, x1: 40, y1: 44 }),
            (300, 200, Rect { x0: 0, y0: 50, x1: 90, y1: 200 }),
            (900, 700, Rect { x0: 250, y0: 10, x1: 640, y1: 700 }),
            (40, 30, Rect { x0: 5, y0: 5, x1: 20, y1: 20 }),
        ] {
            let mut frame = noisy(width, height);
            frame.rgb_mut().fill(90);
            for y in rect.y0..rect.y1 {
                for x in rect.x0..rect.x1 {
                    frame.rgb_mut()[((y * width + x) * 3) as usize] = 255;
                }
            }
            assert_eq!(paint(&mut frame, &[rect]), [Painted::Filled]);
            assert!(frame.rgb().iter().all(|&v| v == 90), "{width}x{height}");
        }
    }

    #[test]
    fn grey_stays_grey() {
        let mut frame = noisy(200, 200);
        for pixel in frame.rgb_mut().chunks_exact_mut(3) {
            pixel.fill(pixel[0]);
        }
        let (mut painter, mut hidden) = (Painter::default(), Hidden::default());
        hidden.reset(200, 200);
        let region = Region::whole(Rect { x0: 50, y0: 50, x1: 120, y1: 150 }, 200);
        hidden.set(&region, true);
        painter.paint(&mut frame, &mut hidden, &region, &mut Reddish).unwrap();
        assert!(frame.rgb().chunks_exact(3).all(|p| spread(p) == 0));
    }

    #[test]
    fn of_an_outline_its_pixels_are_painted_and_no_others() {
        let mut frame = noisy(300, 200);
        let before = frame.rgb().to_vec();
        let rect = Rect { x0: 100, y0: 40, x1: 200, y1: 160 };
        let outline = Outline::of(|x, y| x.abs_diff(16) + y.abs_diff(16) < 14);
        let region = Region { rect, outline, seed: 1 };
        let (mut painter, mut hidden) = (Painter::default(), Hidden::default());
        hidden.reset(300, 200);
        hidden.set(&region, true);
        assert_eq!(painter.paint(&mut frame, &mut hidden, &region, &mut Smooth).unwrap(), Painted::Filled);
        assert_eq!(hidden.count(), 0);
        let mut changed = 0;
        for (i, (a, b)) in before.chunks(3).zip(frame.rgb().chunks(3)).enumerate() {
            let is_in = region.has(i as u32 % 300, i as u32 / 300);
            assert!(a == b || is_in);
            changed += usize::from(a != b);
        }
        assert!(changed > 4000, "{changed}");
    }

    struct Reddish;

    impl Fill for Reddish {
        fn fill(&mut self, _: &[u8], _: &[bool], _: u64, out: &mut [u8]) -> Result<(), FillError> {
            out.chunks_exact_mut(3).for_each(|p| p.copy_from_slice(&[200, 90, 80]));
            Ok(())
        }
    }

    #[test]
    fn nothing_outside_is_touched() {
        let mut frame = noisy(300, 200);
        let before = frame.rgb().to_vec();
        let rect = Rect { x0: 100, y0: 40, x1: 200, y1: 160 };
        paint(&mut frame, &[rect]);
        for (i, (a, b)) in before.chunks(3).zip(frame.rgb().chunks(3)).enumerate() {
            let (x, y) = (i as u32 % 300, i as u32 / 300);
            assert!(a == b || rect.holds(&Rect { x0: x, y0: y, x1: x + 1, y1: y + 1 }), "{x} {y}");
        }
    }

    #[test]
    fn without_surroundings_nothing_is_changed() {
        let mut frame = noisy(100, 100);
        let before = frame.rgb().to_vec();
        let whole = Rect { x0: 0, y0: 0, x1: 100, y1: 100 };
        assert_eq!(paint(&mut frame, &[whole]), [Painted::NoSurroundings]);
        assert_eq!(paint(&mut frame, &[Rect { x0: 4, ..whole }]), [Painted::NoSurroundings]);
        assert_eq!(frame.rgb(), before);
    }

    #[test]
    fn the_grain_of_a_textured_wall_goes_on_inside() {
        let mut frame = noisy(600, 600);
        let rect = Rect { x0: 150, y0: 150, x1: 450, y1: 450 };
        paint(&mut frame, &[rect]);
        let rough = |y: u32| -> u32 {
            (150..449)
                .map(|x| u32::from(frame.pixel(x, y).unwrap()[1].abs_diff(frame.pixel(x + 1, y).unwrap()[1])))
                .sum()
        };
        assert!(rough(151) > 4 * rough(300), "at the edge {}, in the middle {}", rough(151), rough(300));
    }
}
