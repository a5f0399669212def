//! Pictures of where a detector fails: `lapwing eval --report`.

use std::path::Path;

use lapwing_camera::frame::printable::Printable;
use lapwing_camera::frame::{Frame, draw};
use lapwing_vision::eval::Confusion;
use lapwing_vision::eval::coco::Truth;

use super::eval_scores::Scored;
use super::out::Failure;
use super::output_file::write_png;

const INK: [u8; 3] = [40; 3];
const GREY: [u8; 3] = [225; 3];
const BLUE: [u8; 3] = [0, 114, 178];
const ORANGE: [u8; 3] = [213, 94, 0];
const WHITE: [u8; 3] = [255; 3];

/// Pictures of the sheet, how many beside each other, and the space for each in pixels.
const WORST: usize = 12;
const BESIDE: usize = 4;
const TILE_PX: u32 = 352;

/// The pictures with most mistakes, and what was taken for what.
pub struct Worst {
    confusion: Confusion,
    names: Vec<String>,
    /// At most [`WORST`], with most mistakes first; drawn already.
    pictures: Vec<(u32, Frame)>,
}

impl Worst {
    /// For annotations of these categories.
    pub fn new(names: &[String]) -> Worst {
        Worst { confusion: Confusion::new(names.len()), names: names.to_vec(), pictures: Vec::with_capacity(WORST + 1) }
    }

    /// Adds a picture, its truths and what was found at the operating point.
    pub fn picture(&mut self, frame: &Frame, truths: &[Truth], found: &[(usize, f32, [f32; 4])]) -> Result<(), String> {
        let mistakes = self.confusion.add(truths, found);
        let count = mistakes.missed + mistakes.wrong;
        let place = self.pictures.partition_point(|(other, _)| *other >= count);
        if count == 0 || place == WORST {
            return Ok(());
        }
        let mut drawn = Frame::new();
        drawn.copy_from(frame).and_then(|()| drawn.develop()).map_err(|error| error.to_string())?;
        let thick = draw::line_px(&drawn);
        for truth in truths.iter().filter(|truth| !truth.ignore) {
            draw::outline(&mut drawn, truth.bounds, WHITE, thick);
        }
        for &(category, score, bounds) in found.iter().rev() {
            let name = self.names.get(category).map_or("?", String::as_str);
            draw::detection(&mut drawn, bounds, category, &format!("{name} {:.0}%", score * 100.0));
        }
        let mut tile = Frame::new();
        shrink(&drawn, &mut tile)?;
        let words = format!("{} missed, {} wrong", mistakes.missed, mistakes.wrong);
        let (width, height) = draw::text_size_px(&words, 1);
        let top = tile.height() as f32 - height as f32 - 4.0;
        draw::fill(&mut tile, [0.0, top, width as f32 + 4.0, top + height as f32 + 4.0], WHITE);
        draw::text(&mut tile, 2.0, top + 2.0, &words, INK, 1);
        self.pictures.insert(place, (count, tile));
        self.pictures.truncate(WORST);
        Ok(())
    }
}

/// Every n-th pixel, so that the longer side is at most [`TILE_PX`].
fn shrink(from: &Frame, to: &mut Frame) -> Result<(), String> {
    let step = from.width().max(from.height()).div_ceil(TILE_PX).max(1);
    let size = [from.width(), from.height()].map(|side| (side / step).max(1));
    to.reset(size[0], size[1]).map_err(|error| error.to_string())?;
    let width = to.width();
    for (index, pixel) in to.rgb_mut().chunks_exact_mut(3).enumerate() {
        let (x, y) = (index as u32 % width, index as u32 / width);
        pixel.copy_from_slice(&from.pixel(x * step, y * step).unwrap_or_default());
    }
    Ok(())
}

/// Makes `folder`, before anything is measured in vain.
///
/// # Errors
/// That it is no folder, or what the disk says.
pub fn prepare(folder: &Path) -> Result<(), Failure> {
    let shown = Printable(folder.display());
    let made = std::fs::create_dir_all(folder);
    made.map_err(|e| Failure::call(format!("--report {shown}: {e}; give a folder that can be made or written to")))
}

/// Writes the pictures into `folder`.
///
/// # Errors
/// The picture, and what the disk says.
pub fn write(folder: &Path, scored: &Scored, worst: &Worst) -> Result<(), Failure> {
    let mut frame = Frame::new();
    curves(scored, &mut frame)?;
    write_png(&frame, &folder.join("curves.png"))?;
    confusion(scored, &worst.confusion, &mut frame)?;
    write_png(&frame, &folder.join("confusion.png"))?;
    sheet(worst, &mut frame)?;
    write_png(&frame, &folder.join("worst.png"))
}

fn blank(frame: &mut Frame, width: u32, height: u32) -> Result<(), Failure> {
    frame.reset(width, height).map_err(Failure::job)?;
    draw::fill(frame, [0.0, 0.0, width as f32, height as f32], WHITE);
    Ok(())
}

/// A square field from 0 to 100 percent on both axes.
struct Field {
    left: f32,
    top: f32,
    side: f32,
}

impl Field {
    fn draw(&self, frame: &mut Frame, title: &str, across: &str, up: &str) {
        let (right, bottom) = (self.left + self.side, self.top + self.side);
        draw::text(frame, self.left, self.top - 36.0, title, INK, 1);
        draw::text(frame, self.left, self.top - 20.0, up, INK, 1);
        draw::text(frame, self.left, bottom + 24.0, across, INK, 1);
        for step in 0..=5 {
            let (x, y) = self.place(f64::from(step) / 5.0, f64::from(step) / 5.0);
            draw::fill(frame, [x, self.top, x + 1.0, bottom], GREY);
            draw::fill(frame, [self.left, y, right, y + 1.0], GREY);
            let word = format!("{}", step * 20);
            draw::text(frame, x - 4.0, bottom + 6.0, &word, INK, 1);
            draw::text(frame, self.left - 28.0, y - 4.0, &word, INK, 1);
        }
    }

    /// Where a point of shares lies.
    fn place(&self, across: f64, up: f64) -> (f32, f32) {
        let side = f64::from(self.side);
        (self.left + (across * side) as f32, self.top + self.side - (up * side) as f32)
    }

    fn line(&self, frame: &mut Frame, points: &[(f64, f64)], colour: [u8; 3]) {
        for pair in points.windows(2) {
            let [a, b] = [0, 1].map(|end| self.place(pair[end].0, pair[end].1).into());
            draw::stroke(frame, a, b, colour, 2);
        }
    }
}

/// Precision by recall, of each class in grey and of their mean; and how many detections of a score are right.
fn curves(scored: &Scored, frame: &mut Frame) -> Result<(), Failure> {
    const STEPS: usize = 100;
    blank(frame, 960, 520)?;
    let field = Field { left: 60.0, top: 60.0, side: 380.0 };
    field.draw(frame, "Precision by recall at IoU 0.5: each class, and the mean", "recall, %", "precision, %");
    let (mut sum, mut classes) = ([0.0; STEPS + 1], 0.0);
    for category in (0..scored.categories.len()).filter(|category| scored.categories[*category].1) {
        let mut points = scored.evaluation.curve(category);
        if points.is_empty() {
            continue;
        }
        // the best precision at a recall or beyond
        for at in (1..points.len()).rev() {
            points[at - 1].1 = points[at - 1].1.max(points[at].1);
        }
        let at = |recall: f64| points.iter().find(|point| point.0 >= recall).map_or(0.0, |point| point.1);
        let line: Vec<(f64, f64)> = (0..=STEPS).map(|s| s as f64 / STEPS as f64).map(|r| (r, at(r))).collect();
        sum.iter_mut().zip(&line).for_each(|(sum, point)| *sum += point.1);
        classes += 1.0;
        field.line(frame, &line, [190; 3]);
    }
    let mean: Vec<(f64, f64)> =
        sum.iter().enumerate().map(|(s, sum)| (s as f64 / STEPS as f64, sum / f64::max(classes, 1.0))).collect();
    field.line(frame, &mean, BLUE);
    let field = Field { left: 540.0, top: 60.0, side: 380.0 };
    field.draw(frame, "Calibration: of detections with a score, so many are right", "score, %", "right, %");
    field.line(frame, &[(0.0, 0.0), (1.0, 1.0)], [190; 3]);
    let bins = scored.evaluation.calibration(|category| scored.categories[category].1);
    let points: Vec<(f64, f64)> =
        bins.iter().filter(|bin| bin.detections > 0).map(|bin| (bin.score, bin.right)).collect();
    field.line(frame, &points, ORANGE);
    for &(score, right) in &points {
        let (x, y) = field.place(score, right);
        draw::fill(frame, [x - 3.0, y - 3.0, x + 5.0, y + 5.0], ORANGE);
    }
    Ok(())
}

/// A square for each pair of categories, the darker the more often the one in the row was called the one in the column.
fn confusion(scored: &Scored, confusion: &Confusion, frame: &mut Frame) -> Result<(), Failure> {
    const CELL: f32 = 28.0;
    const LEFT: f32 = 130.0;
    const TOP: f32 = 60.0;
    let known: Vec<usize> = (0..scored.categories.len()).filter(|index| scored.categories[*index].1).collect();
    let nothing = scored.categories.len();
    let all: Vec<usize> = known.iter().copied().chain([nothing]).collect();
    let name = |index: usize| scored.categories.get(index).map_or("nothing", |(name, _)| name.as_str());
    let side = CELL * all.len() as f32;
    blank(frame, (LEFT + side + 20.0) as u32, (TOP + side + 20.0) as u32)?;
    draw::text(frame, 8.0, 8.0, "What is there (rows) and what was said (columns), percent of the row", INK, 1);
    for (column, &said) in all.iter().enumerate() {
        let short: String = name(said).chars().take(4).collect();
        draw::text(frame, LEFT + CELL * column as f32, TOP - 16.0, &short, INK, 1);
    }
    for (row, &there) in all.iter().enumerate() {
        let y = TOP + CELL * row as f32;
        draw::text(frame, 8.0, y + 10.0, name(there), INK, 1);
        let total: u32 = all.iter().map(|&said| confusion.of(there, said)).sum();
        for (column, &said) in all.iter().enumerate() {
            let share = f64::from(confusion.of(there, said)) / f64::from(total.max(1));
            let x = LEFT + CELL * column as f32;
            let level = (255.0 - 215.0 * share) as u8;
            let colour = if there == said { [level, level, 255] } else { [255, level, level] };
            draw::fill(frame, [x, y, x + CELL - 1.0, y + CELL - 1.0], colour);
            let percent = (share * 100.0).round();
            if percent >= 1.0 {
                draw::text(frame, x + 4.0, y + 10.0, &format!("{percent}"), draw::ink_on(colour), 1);
            }
        }
    }
    Ok(())
}

/// The worst pictures beside and below each other.
fn sheet(worst: &Worst, frame: &mut Frame) -> Result<(), Failure> {
    let rows = worst.pictures.len().div_ceil(BESIDE).max(1) as u32;
    blank(frame, TILE_PX * BESIDE as u32, TILE_PX * rows)?;
    if worst.pictures.is_empty() {
        draw::text(frame, 8.0, 8.0, "no mistakes at the model's own threshold", INK, 1);
    }
    let row_bytes = TILE_PX as usize * BESIDE * 3;
    for (index, (_, tile)) in worst.pictures.iter().enumerate() {
        let (left, top) = (index % BESIDE * TILE_PX as usize, index / BESIDE * TILE_PX as usize);
        for (y, row) in tile.rgb().chunks_exact(tile.width() as usize * 3).enumerate() {
            let at = (top + y) * row_bytes + left * 3;
            frame.rgb_mut()[at..at + row.len()].copy_from_slice(row);
        }
    }
    Ok(())
}
