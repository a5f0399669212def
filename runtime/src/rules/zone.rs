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
}

impl Zone {
    /// A zone with these corners, in order around it.
    pub fn new(points: &[[f32; 2]]) -> Result<Zone, ZoneError> {
        if !(3..=ZONE_POINTS_MAX).contains(&points.len()) {
            return Err(ZoneError::Corners(points.len()));
        }
        match points.iter().position(|p| !p.iter().all(|v| (0.0..=1.0).contains(v))) {
            Some(index) => Err(ZoneError::Outside(index + 1)),
            None => Ok(Zone { points: points.to_vec() }),
        }
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
        let mut inside = false;
        let mut previous = self.points[self.points.len() - 1];
        for &point in &self.points {
            let [[ax, ay], [bx, by]] = [previous, point];
            if (ay > y) != (by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax {
                inside = !inside;
            }
            previous = point;
        }
        inside
    }
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
    }
}
