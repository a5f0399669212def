//! A plot of the table and a grid of pictures, drawn on a frame.

use super::table::{Row, STEPS};
use lapwing_camera::frame::{Frame, FrameError, draw};

const WHITE: [u8; 3] = [255; 3];
const INK: [u8; 3] = [40; 3];
const GREY: [u8; 3] = [225; 3];
/// Left, top, right and bottom of the plot's field, and the size of the picture, in pixels.
const FIELD: [f32; 4] = [70.0, 40.0, 620.0, 420.0];
const SIZE: [u32; 2] = [800, 480];
/// Between two tiles of a grid, in pixels.
const GAP: usize = 2;
/// Colours of the lines, told apart by people who see red and green alike (Okabe and Ito, 2008).
const COLOURS: [[u8; 3]; 9] = [
    [0, 0, 0],
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [213, 94, 0],
    [0, 114, 178],
    [204, 121, 167],
    [150, 150, 150],
    [140, 90, 40],
];

/// `features`, or `cells` where nothing measured, against evaluations; both logarithmic, a line a walk.
///
/// # Errors
/// If there is no memory for the picture.
pub fn plot(rows: &[Row], title: &str, into: &mut Frame) -> Result<(), FrameError> {
    into.reset(SIZE[0], SIZE[1])?;
    into.rgb_mut().fill(255);
    draw::fill(into, [0.0, 0.0, SIZE[0] as f32, SIZE[1] as f32], WHITE);
    draw::text(into, FIELD[0], 12.0, title, INK, 1);
    let value = |r: &Row| r.features.unwrap_or(r.cells).max(1e-3);
    let all = || rows.iter().map(|r| (r.evaluations.max(1) as f64, value(r)));
    let ends = |pick: fn((f64, f64)) -> f64| {
        let (low, high) = all().map(pick).fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
        (low.log2().floor(), high.log2().ceil().max(low.log2().floor() + 1.0))
    };
    let (across, along) = (ends(|p| p.0), ends(|p| p.1));
    let place = |x: f64, y: f64| {
        let share = |v: f64, (low, high): (f64, f64)| ((v.log2() - low) / (high - low)) as f32;
        let (sx, sy) = (share(x, across), share(y, along));
        (FIELD[0] + sx * (FIELD[2] - FIELD[0]), FIELD[3] - sy * (FIELD[3] - FIELD[1]))
    };
    for power in across.0 as i32..=across.1 as i32 {
        let (x, _) = place(f64::from(power).exp2(), along.0.exp2());
        draw::fill(into, [x, FIELD[1], x + 1.0, FIELD[3]], GREY);
        draw::text(into, x - 8.0, FIELD[3] + 8.0, &format!("{}", f64::from(power).exp2()), INK, 1);
    }
    for power in along.0 as i32..=along.1 as i32 {
        let (_, y) = place(across.0.exp2(), f64::from(power).exp2());
        draw::fill(into, [FIELD[0], y, FIELD[2], y + 1.0], GREY);
        draw::text(into, 8.0, y - 4.0, &format!("{}", f64::from(power).exp2()), INK, 1);
    }
    draw::text(into, FIELD[0], FIELD[3] + 28.0, "evaluations of the network", INK, 1);
    for (index, lines) in rows.chunk_by(|a, b| a.walk == b.walk).enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points: Vec<(f32, f32)> = lines.iter().map(|r| place(r.evaluations.max(1) as f64, value(r))).collect();
        points.windows(2).for_each(|pair| draw::stroke(into, pair[0].into(), pair[1].into(), colour, 2));
        points.iter().for_each(|&(x, y)| draw::fill(into, [x - 3.0, y - 3.0, x + 3.0, y + 3.0], colour));
        let y = FIELD[1] + 22.0 * index as f32;
        draw::fill(into, [FIELD[2] + 20.0, y, FIELD[2] + 40.0, y + 4.0], colour);
        if let Some(first) = lines.first() {
            draw::text(into, FIELD[2] + 48.0, y - 2.0, &first.walk.name(), INK, 1);
        }
    }
    Ok(())
}

/// A row of pictures a walk, one column a number of steps, with names.
///
/// # Errors
/// If there is no memory for the picture.
pub fn pictures(rows: &[Row], side: usize, into: &mut Frame) -> Result<(), FrameError> {
    const LEFT: usize = 80;
    const TOP: usize = 20;
    let zoom = (64 / side.max(1)).max(1);
    let step = side * zoom + GAP;
    let lines = rows.chunk_by(|a, b| a.walk == b.walk).count();
    into.reset((LEFT + step * STEPS.len()) as u32, (TOP + step * lines) as u32)?;
    into.rgb_mut().fill(255);
    for (column, steps) in STEPS.iter().enumerate() {
        draw::text(into, (LEFT + column * step) as f32, 6.0, &steps.to_string(), INK, 1);
    }
    for (line, of_walk) in rows.chunk_by(|a, b| a.walk == b.walk).enumerate() {
        let top = TOP + line * step;
        if let Some(first) = of_walk.first() {
            draw::text(into, 4.0, (top + step / 2) as f32 - 4.0, &first.walk.name(), INK, 1);
        }
        for (column, row) in of_walk.iter().enumerate() {
            tile(into, LEFT + column * step, top, &row.picture, side, zoom);
        }
    }
    Ok(())
}

/// Pictures in a grid that is about as wide as high.
///
/// # Errors
/// If there is no memory for the picture.
pub fn grid(pictures: &[Vec<u8>], side: usize, into: &mut Frame) -> Result<(), FrameError> {
    let columns = (1..).find(|n| n * n >= pictures.len()).unwrap_or(1).max(1);
    let lines = pictures.len().div_ceil(columns).max(1);
    let extent = |n: usize| (n * (side + GAP) - GAP) as u32;
    into.reset(extent(columns), extent(lines))?;
    into.rgb_mut().fill(255);
    for (index, picture) in pictures.iter().enumerate() {
        tile(into, index % columns * (side + GAP), index / columns * (side + GAP), picture, side, 1);
    }
    Ok(())
}

/// Puts a picture at (left, top), each pixel `zoom` by `zoom`.
fn tile(frame: &mut Frame, left: usize, top: usize, picture: &[u8], side: usize, zoom: usize) {
    let width = frame.width() as usize;
    let rgb = frame.rgb_mut();
    for y in 0..side * zoom {
        for x in 0..side * zoom {
            let from = (y / zoom * side + x / zoom) * 3;
            let to = ((top + y) * width + left + x) * 3;
            if let (Some(to), Some(from)) = (rgb.get_mut(to..to + 3), picture.get(from..from + 3)) {
                to.copy_from_slice(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_holds_every_picture_once() {
        let made: Vec<Vec<u8>> = (1..=5u8).map(|k| vec![k; 8 * 8 * 3]).collect();
        let mut frame = Frame::new();
        grid(&made, 8, &mut frame).unwrap();
        assert_eq!((frame.width(), frame.height()), (28, 18));
        for k in 1..=5u8 {
            assert_eq!(frame.rgb().iter().filter(|&&v| v == k).count(), 8 * 8 * 3, "picture {k}");
        }
    }
}
