//! A zone: a polygon over the frame. An object is in it when the middle of its lower edge is, which
//! is where a thing that stands on the ground stands.

/// Most corners of a zone.
pub const ZONE_POINTS_MAX: usize = 32;

/// A simple polygon in fractions of the frame: x to the right, y down, both 0..=1.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    points: Vec<[f32; 2]>,
}

/// Why a list of points is no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// Too few or too many corners.
    #[error("a zone has 3 to {ZONE_POINTS_MAX} corners, this one has {0}")]
    Corners(usize),
    /// A corner outside the frame.
    #[error("corners are fractions of the frame, [x, y] with both in 0..=1; corner {0} is not")]
    Outside(usize),
    /// Nothing can be in it.
    #[error("its corners enclose no area, so nothing is ever in it")]
    NoArea,
}

/// A zone that covers less of every row than this fraction of the frame's width covers nothing.
const WIDTH_MIN: f32 = 1e-5;

impl Zone {
    /// A zone with these corners, in order around it.
    pub fn new(points: &[[f32; 2]]) -> Result<Zone, ZoneError> {
        if !(3..=ZONE_POINTS_MAX).contains(&points.len()) {
            return Err(ZoneError::Corners(points.len()));
        }
        match points.iter().position(|p| !p.iter().all(|v| (0.0..=1.0).contains(v))) {
            Some(index) => Err(ZoneError::Outside(index + 1)),
            None => {
                let zone = Zone { points: points.to_vec() };
                if zone.has_area() { Ok(zone) } else { Err(ZoneError::NoArea) }
            }
        }
    }

    /// Whether a row between two corners has a part inside: some row of each band without corners is asked. Three of a
    /// band, for edges may cross in one.
    fn has_area(&self) -> bool {
        let mut rows: Vec<f32> = self.points.iter().map(|point| point[1]).collect();
        rows.sort_by(f32::total_cmp);
        let bands = rows.windows(2).filter(|band| band[0] < band[1]);
        let mut between = bands.flat_map(|band| [0.21, 0.5, 0.83].map(|part| band[0] + (band[1] - band[0]) * part));
        between.any(|y| self.width_at(y) >= WIDTH_MIN)
    }

    /// How much of the row at `y` lies inside.
    fn width_at(&self, y: f32) -> f32 {
        let mut crossings: Vec<f32> = self.edges().filter_map(|edge| crossing(edge, y)).collect();
        crossings.sort_by(f32::total_cmp);
        crossings.chunks_exact(2).map(|span| span[1] - span[0]).sum()
    }

    /// The edges around it, each from one corner to the next.
    fn edges(&self) -> impl Iterator<Item = [[f32; 2]; 2]> {
        let before = self.points.iter().cycle().skip(self.points.len() - 1);
        before.zip(&self.points).map(|(&from, &to)| [from, to])
    }

    /// True if the middle of the lower edge of `bounds` (pixels of a `width` x `height` frame) lies inside.
    pub fn holds(&self, bounds: &[f32; 4], width: u32, height: u32) -> bool {
        let x = (bounds[0] + bounds[2]) / 2.0 / width.max(1) as f32;
        // a box that ends at the frame's edge stands on the last row, not below it
        let y = (bounds[3] / height.max(1) as f32).min(1.0 - 1e-4);
        self.contains(x, y)
    }

    /// Even-odd rule: a ray to the right crosses the outline an odd number of times.
    fn contains(&self, x: f32, y: f32) -> bool {
        self.edges().filter(|&edge| crossing(edge, y).is_some_and(|at| x < at)).count() % 2 == 1
    }
}

/// Where an edge crosses the row at `y`.
fn crossing([[ax, ay], [bx, by]]: [[f32; 2]; 2], y: f32) -> Option<f32> {
    ((ay > y) != (by > y)).then(|| (bx - ax) * (y - ay) / (by - ay) + ax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feet_decide() {
        let floor = Zone::new(&[[0.0, 0.5], [1.0, 0.5], [1.0, 1.0], [0.0, 1.0]]).unwrap();
        assert!(floor.holds(&[10.0, 0.0, 20.0, 80.0], 100, 100));
        assert!(floor.holds(&[10.0, 0.0, 20.0, 100.0], 100, 100));
        assert!(!floor.holds(&[10.0, 0.0, 20.0, 40.0], 100, 100));
    }

    #[test]
    fn a_concave_zone_has_its_dent() {
        let u = Zone::new(&[
            [0.0, 0.0],
            [0.3, 0.0],
            [0.3, 0.7],
            [0.7, 0.7],
            [0.7, 0.0],
            [1.0, 0.0],
            [1.0, 1.0],
            [0.0, 1.0],
        ])
        .unwrap();
        assert!(u.contains(0.1, 0.5) && u.contains(0.9, 0.5) && u.contains(0.5, 0.9));
        assert!(!u.contains(0.5, 0.5));
    }

    #[test]
    fn bad_zones_are_refused() {
        assert_eq!(Zone::new(&[[0.0, 0.0]]), Err(ZoneError::Corners(1)));
        assert_eq!(Zone::new(&[[0.0, 0.0], [1.0, 2.0], [0.0, 1.0]]), Err(ZoneError::Outside(2)));
        let (a, b, c) = ([0.1, 0.1], [0.5, 0.4], [0.9, 0.7]);
        for nothing in
            [&[a, a, a][..], &[a, b, c], &[a, c, b, a], &[a, [0.9, 0.1], [0.5, 0.1]], &[a, [0.1, 0.9], [0.1, 0.5]]]
        {
            assert_eq!(Zone::new(nothing), Err(ZoneError::NoArea), "{nothing:?}");
        }
        // there and back again
        assert_eq!(Zone::new(&[a, c, [0.2, 0.9], c]), Err(ZoneError::NoArea));
        // a bow tie, whose halves turn against each other, and a narrow strip
        Zone::new(&[[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]).unwrap();
        Zone::new(&[[0.0, 0.5], [1.0, 0.5], [1.0, 0.501], [0.0, 0.501]]).unwrap();
    }
}
