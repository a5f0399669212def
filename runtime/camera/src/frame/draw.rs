//! Boxes and labels on a frame.
//!
//! Everything is clipped: any coordinate may be given, negative, huge or infinite; a box with a NaN in it is not
//! drawn. Sizes grow with the picture, so that a label on 8 megapixels can be read as one on VGA. A class has the same
//! colour in every run. Nothing here allocates or fails.
//!
//! Boxes are `[x0, y0, x1, y1]` in the frame's pixels, edges and not centres: `[0, 0, 1, 1]` is the first pixel.

use super::{CHANNELS, Frame, font};

/// A colour, red, green and blue.
pub type Rgb = [u8; 3];

/// The most characters of a text that are drawn.
pub const TEXT_CHARS_MAX: usize = 256;
/// The largest scale of the font.
pub const SCALE_MAX: u32 = 64;
/// No coordinate lies further out than this, in pixels; it keeps the arithmetic exact.
const COORDINATE_PX_MAX: f32 = (1u32 << 30) as f32;
/// A line is one pixel thick for each so many pixels of the picture's longer side.
const SIDE_PX_A_LINE_PX: u32 = 320;
/// Font scale: one for each so many pixels, begun, of the picture's longer side.
const SIDE_PX_A_SCALE: u32 = 480;
/// Luma from which black ink reads better than white.
const BRIGHT_LUMA_MIN: u32 = 120;

/// A colour for a class, the same in every run. Neighbouring classes differ in hue (steps of the golden ratio) and in
/// brightness, so that classes whose hues meet again differ in the latter.
#[must_use]
pub fn class_colour(class: usize) -> Rgb {
    let turn = (class as u32).wrapping_mul(0x9E37_79B9) >> 16; // 65536 = one turn
    let hue = (turn * 1536) >> 16; // six ramps of 256 steps
    let high: u32 = [240, 190, 150][class % 3];
    let low = high / 5;
    let step = low + ((hue & 255) * (high - low)) / 255;
    let back = low + high - step;
    let (r, g, b) = match hue >> 8 {
        0 => (high, step, low),
        1 => (back, high, low),
        2 => (low, high, step),
        3 => (low, back, high),
        4 => (step, low, high),
        _ => (high, low, back),
    };
    [r as u8, g as u8, b as u8]
}

/// Black or white, whichever can be read on `ground` (by BT.601 luma).
#[must_use]
pub fn ink_on(ground: Rgb) -> Rgb {
    let [r, g, b] = ground.map(u32::from);
    let luma = (299 * r + 587 * g + 114 * b) / 1000;
    if luma >= BRIGHT_LUMA_MIN { [0, 0, 0] } else { [255, 255, 255] }
}

/// How thick a line should be on this frame, in pixels: at least 1.
#[must_use]
pub fn line_px(frame: &Frame) -> u32 {
    (frame.width().max(frame.height()) / SIDE_PX_A_LINE_PX).max(1)
}

/// How large the font should be on this frame: at least 1.
#[must_use]
pub fn text_scale(frame: &Frame) -> u32 {
    frame.width().max(frame.height()).div_ceil(SIDE_PX_A_SCALE).clamp(1, SCALE_MAX)
}

/// Width and height of a text in pixels.
#[must_use]
pub fn text_size_px(text: &str, scale: u32) -> (u32, u32) {
    let scale = scale.clamp(1, SCALE_MAX);
    let chars = text.chars().take(TEXT_CHARS_MAX).count() as u32;
    (chars * font::ADVANCE_PX * scale, font::GLYPH_HEIGHT_PX * scale)
}

/// Whole pixels `[x0, y0, x1, y1]` with x0 <= x1 and y0 <= y1, or `None` if a coordinate is NaN.
fn whole_px(edges: [f32; 4]) -> Option<[i64; 4]> {
    if edges.iter().any(|edge| edge.is_nan()) {
        return None;
    }
    let [x0, y0, x1, y1] = edges.map(|edge| edge.clamp(-COORDINATE_PX_MAX, COORDINATE_PX_MAX).round() as i64);
    Some([x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)])
}

/// Whole pixels, clipped to the frame.
fn inside(frame: &Frame, px: [i64; 4]) -> [usize; 4] {
    let size = [frame.width(), frame.height()].map(i64::from);
    std::array::from_fn(|edge| px[edge].clamp(0, size[edge % 2]) as usize)
}

/// Fills whole pixels, clipped to the frame.
fn fill_px(frame: &mut Frame, px: [i64; 4], colour: Rgb) {
    let [x0, y0, x1, y1] = inside(frame, px);
    if x0 >= x1 || y0 >= y1 {
        return;
    }
    let row_bytes = frame.width() as usize * CHANNELS;
    for row in frame.rgb_mut().chunks_exact_mut(row_bytes).take(y1).skip(y0) {
        for pixel in row[x0 * CHANNELS..x1 * CHANNELS].chunks_exact_mut(CHANNELS) {
            pixel.copy_from_slice(&colour);
        }
    }
}

/// Fills a box.
pub fn fill(frame: &mut Frame, edges: [f32; 4], colour: Rgb) {
    if let Some(px) = whole_px(edges) {
        fill_px(frame, px, colour);
    }
}

/// Draws a box's outline, `thickness_px` (at least 1) inwards from its edges; a box without room for it is filled.
pub fn outline(frame: &mut Frame, edges: [f32; 4], colour: Rgb, thickness_px: u32) {
    let Some([x0, y0, x1, y1]) = whole_px(edges) else {
        return;
    };
    // A box narrower than a pixel still shows.
    let (x1, y1) = (x1.max(x0 + 1), y1.max(y0 + 1));
    let t = i64::from(thickness_px.max(1));
    fill_px(frame, [x0, y0, x1, y1.min(y0 + t)], colour);
    fill_px(frame, [x0, y0.max(y1 - t), x1, y1], colour);
    fill_px(frame, [x0, y0, x1.min(x0 + t), y1], colour);
    fill_px(frame, [x0.max(x1 - t), y0, x1, y1], colour);
}

/// Draws a straight line from `a` to `b`, [x, y], `thickness_px` thick (at least 1). A line with a NaN is not drawn.
pub fn stroke(frame: &mut Frame, a: [f32; 2], b: [f32; 2], colour: Rgb, thickness_px: u32) {
    let half = thickness_px.max(1) as f32 / 2.0;
    let Some([a, b]) = clipped(a, b, [frame.width() as f32, frame.height() as f32], half) else { return };
    // in small steps, of which the frame's size bounds the number
    let steps = (b[0] - a[0]).abs().max((b[1] - a[1]).abs()).ceil().max(1.0);
    for k in 0..=steps as usize {
        let share = k as f32 / steps;
        let (x, y) = (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]));
        fill(frame, [x - half, y - half, x + half, y + half], colour);
    }
}

/// The part of a line that lies in a frame of `size`, or nearer than `margin` to it (Liang and Barsky, "A new concept and
/// method for line clipping", 1984); `None` if there is none.
fn clipped(a: [f32; 2], b: [f32; 2], size: [f32; 2], margin: f32) -> Option<[[f32; 2]; 2]> {
    if a.iter().chain(&b).any(|at| at.is_nan()) {
        return None;
    }
    let [a, b] = [a, b].map(|at| at.map(|v| f64::from(v.clamp(-COORDINATE_PX_MAX, COORDINATE_PX_MAX))));
    let (mut from, mut to) = (0.0f64, 1.0f64);
    for axis in 0..2 {
        let way = b[axis] - a[axis];
        let (low, high) = (f64::from(-margin) - a[axis], f64::from(size[axis] + margin) - a[axis]);
        if way == 0.0 {
            if low > 0.0 || high < 0.0 {
                return None;
            }
            continue;
        }
        let (enters, leaves) = if way > 0.0 { (low / way, high / way) } else { (high / way, low / way) };
        (from, to) = (from.max(enters), to.min(leaves));
    }
    let at = |share: f64| [0, 1].map(|axis| (a[axis] + share * (b[axis] - a[axis])) as f32);
    (from <= to).then(|| [at(from), at(to)])
}

/// Draws the closed line through points.
pub fn polygon(frame: &mut Frame, points: &[[f32; 2]], colour: Rgb, thickness_px: u32) {
    let next = points.iter().cycle().skip(1);
    points.iter().zip(next).for_each(|(a, b)| stroke(frame, *a, *b, colour, thickness_px));
}

/// Tints the pixels of a box for whose centres `is_tinted` holds: a third is the colour, the rest what was there.
pub fn tint(frame: &mut Frame, edges: [f32; 4], colour: Rgb, is_tinted: impl Fn(f32, f32) -> bool) {
    let Some(px) = whole_px(edges) else { return };
    let ([x0, y0, x1, y1], width) = (inside(frame, px), frame.width() as usize);
    for y in y0..y1 {
        for x in (x0..x1).filter(|&x| is_tinted(x as f32 + 0.5, y as f32 + 0.5)) {
            let at = (y * width + x) * CHANNELS;
            for (value, colour) in frame.rgb_mut()[at..at + CHANNELS].iter_mut().zip(colour) {
                *value = ((2 * u32::from(*value) + u32::from(colour)) / 3) as u8;
            }
        }
    }
}

/// Writes a text with its upper left corner at `(x, y)`, one line, the first [`TEXT_CHARS_MAX`] characters.
pub fn text(frame: &mut Frame, x: f32, y: f32, text: &str, colour: Rgb, scale: u32) {
    if let Some([x, y, ..]) = whole_px([x, y, f32::INFINITY, f32::INFINITY]) {
        text_px(frame, x, y, text, colour, scale);
    }
}

fn text_px(frame: &mut Frame, x: i64, y: i64, text: &str, colour: Rgb, scale: u32) {
    let scale = i64::from(scale.clamp(1, SCALE_MAX));
    for (n, character) in text.chars().take(TEXT_CHARS_MAX).enumerate() {
        let left = x + n as i64 * i64::from(font::ADVANCE_PX) * scale;
        if left >= i64::from(frame.width()) {
            return;
        }
        for (row, bits) in font::glyph(character).into_iter().enumerate() {
            let top = y + row as i64 * scale;
            for column in 0..i64::from(font::GLYPH_WIDTH_PX) {
                if bits & (0x80 >> column) != 0 {
                    let at = left + column * scale;
                    fill_px(frame, [at, top, at + scale, top + scale], colour);
                }
            }
        }
    }
}

/// Draws a detection: the box in its class's colour and the text on a filled ground above it, or inside it where the
/// frame has no room above; the ground is moved left or down as needed to stay on the frame.
pub fn detection(frame: &mut Frame, edges: [f32; 4], class: usize, label: &str) {
    outline(frame, edges, class_colour(class), line_px(frame));
    self::label(frame, edges, class, label);
}

/// Writes the label of a box as [`detection`] does, without the box.
pub fn label(frame: &mut Frame, edges: [f32; 4], class: usize, label: &str) {
    let Some([x0, y0, ..]) = whole_px(edges).filter(|_| !label.is_empty()) else {
        return;
    };
    let (colour, scale) = (class_colour(class), text_scale(frame));
    let (text_w, text_h) = text_size_px(label, scale);
    let margin = i64::from(scale);
    let (w, h) = (i64::from(text_w) + margin, i64::from(text_h) + 2 * margin);
    let above = y0 - h;
    let top = if above >= 0 { above } else { y0 };
    let top = top.clamp(0, (i64::from(frame.height()) - h).max(0));
    let left = x0.clamp(0, (i64::from(frame.width()) - w).max(0));
    fill_px(frame, [left, top, left + w, top + h], colour);
    text_px(frame, left + margin, top + margin, label, ink_on(colour), scale);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn black(width: u32, height: u32) -> Frame {
        let mut frame = Frame::new();
        frame.reset(width, height).unwrap();
        frame
    }

    fn lit(frame: &Frame) -> usize {
        frame.rgb().chunks_exact(3).filter(|p| **p != [0, 0, 0]).count()
    }

    #[test]
    fn an_outline_is_hollow_and_clipped() {
        let mut frame = black(10, 10);
        outline(&mut frame, [2.0, 2.0, 8.0, 7.0], [255; 3], 1);
        assert_eq!(lit(&frame), 6 * 5 - 4 * 3);
        assert_eq!(frame.pixel(2, 2), Some([255; 3]));
        assert_eq!(frame.pixel(7, 6), Some([255; 3]));
        assert_eq!(frame.pixel(3, 3), Some([0; 3]));
        let mut frame = black(10, 10);
        outline(&mut frame, [-5.0, -5.0, 5.0, 5.0], [255; 3], 2);
        assert_eq!(lit(&frame), 25 - 9);
    }

    #[test]
    fn a_line_is_cut_by_the_frame_and_keeps_its_way() {
        let mut frame = black(20, 10);
        stroke(&mut frame, [-1e9, 5.0], [1e9, 5.0], [255; 3], 1);
        assert!(
            lit(&frame) >= 20
                && (0..20).all(|x| frame.pixel(x, 5) == Some([255; 3]) || frame.pixel(x, 4) == Some([255; 3]))
        );
        let mut frame = black(20, 20);
        stroke(&mut frame, [-100.0, -100.0], [100.0, 100.0], [255; 3], 2);
        assert!((1..19).all(|at| frame.pixel(at, at) == Some([255; 3])));
        assert_eq!(frame.pixel(2, 15), Some([0; 3]));
        stroke(&mut frame, [f32::NAN, 0.0], [5.0, 5.0], [9; 3], 2);
        assert!((0..20).all(|at| frame.pixel(at, at) != Some([9; 3])));
        let mut frame = black(20, 20);
        stroke(&mut frame, [-9.0, 5.0], [-3.0, 9.0], [255; 3], 2);
        assert_eq!(lit(&frame), 0, "it passes by");
    }

    #[test]
    fn a_swapped_box_is_a_box_and_an_empty_one_still_shows() {
        let mut frame = black(10, 10);
        fill(&mut frame, [8.0, 7.0, 2.0, 2.0], [1; 3]);
        assert_eq!(lit(&frame), 30);
        let mut frame = black(10, 10);
        outline(&mut frame, [4.0, 4.0, 4.0, 4.0], [1; 3], 3);
        assert_eq!(lit(&frame), 1);
    }

    #[test]
    fn a_letter_has_the_fonts_pixels_times_the_scale() {
        let bits: u32 = font::glyph('R').iter().map(|row| row.count_ones()).sum();
        for scale in 1..4 {
            let mut frame = black(60, 60);
            text(&mut frame, 3.0, 4.0, "R", [255; 3], scale);
            assert_eq!(lit(&frame) as u32, bits * scale * scale);
        }
        assert_eq!(text_size_px("ab", 2), (24, 16));
    }

    #[test]
    fn colours_are_stable_distinct_and_readable() {
        assert_eq!(class_colour(0), [240, 48, 48]);
        let colours: std::collections::HashSet<_> = (0..80).map(class_colour).collect();
        assert_eq!(colours.len(), 80);
        assert_eq!(ink_on([255, 255, 0]), [0; 3]);
        assert_eq!(ink_on([0, 0, 255]), [255; 3]);
    }

    #[test]
    fn a_label_stays_on_the_frame() {
        let mut frame = black(100, 60);
        detection(&mut frame, [95.0, 0.0, 120.0, 30.0], 1, "person 0.9");
        // "person 0.9" is 60 px wide: the ground must reach from 39 to the edge, at the top.
        assert_eq!(frame.pixel(39, 0), Some(class_colour(1)));
        assert_eq!(frame.pixel(38, 0), Some([0; 3]));
    }

    proptest! {
        #[test]
        fn any_coordinates_are_survived(
            edges in proptest::array::uniform4(any::<f32>()),
            class in any::<usize>(), label in ".{0,40}", thickness in any::<u32>(), scale in any::<u32>(),
            width in 1u32..40, height in 1u32..40,
        ) {
            let mut frame = black(width, height);
            detection(&mut frame, edges, class, &label);
            outline(&mut frame, edges, [1; 3], thickness);
            fill(&mut frame, edges, [2; 3]);
            text(&mut frame, edges[0], edges[1], &label, [3; 3], scale);
            stroke(&mut frame, [edges[0], edges[1]], [edges[2], edges[3]], [4; 3], thickness % 50);
            polygon(&mut frame, &[[edges[0], edges[1]], [edges[2], edges[3]], [edges[1], edges[2]]], [5; 3], 2);
            tint(&mut frame, edges, [6; 3], |x, y| x > y);
            detection(&mut Frame::new(), edges, class, &label);
        }
    }
}
