//! Boxes by how hard they are to find: their size, and whether the picture's edge cuts them.

/// Areas, in the picture's pixels, at which COCO divides small from medium and medium from large boxes (Lin et al.,
/// "Microsoft COCO: Common Objects in Context", arXiv:1405.0312).
const MEDIUM_PX: f32 = 32.0 * 32.0;
const LARGE_PX: f32 = 96.0 * 96.0;
/// A side this near to the picture's edge is cut by it, in pixels.
const EDGE_PX: f32 = 1.5;

/// Which boxes are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Every box.
    All,
    /// Under 32² pixels.
    Small,
    /// From 32² to under 96² pixels.
    Medium,
    /// From 96² pixels.
    Large,
    /// A side lies at the picture's edge.
    Cut,
}

impl Group {
    /// All but [`Group::All`].
    pub const PARTS: [Group; 4] = [Group::Small, Group::Medium, Group::Large, Group::Cut];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Group::All => "all",
            Group::Small => "small",
            Group::Medium => "medium",
            Group::Large => "large",
            Group::Cut => "cut",
        }
    }

    /// Whether a box `[x0, y0, x1, y1]` of a picture of (width, height) pixels belongs to it.
    pub fn holds(self, b: &[f32; 4], (width, height): (u32, u32)) -> bool {
        let area = (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
        match self {
            Group::All => true,
            Group::Small => area < MEDIUM_PX,
            Group::Medium => (MEDIUM_PX..LARGE_PX).contains(&area),
            Group::Large => area >= LARGE_PX,
            Group::Cut => {
                let [right, bottom] = [width as f32 - EDGE_PX, height as f32 - EDGE_PX];
                b[0] <= EDGE_PX || b[1] <= EDGE_PX || b[2] >= right || b[3] >= bottom
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_box_has_one_size_and_may_be_cut() {
        let boxes = [[10.0, 10.0, 20.0, 20.0], [10.0, 10.0, 42.0, 42.0], [1.0, 50.0, 200.0, 299.0]];
        let groups = |b: &[f32; 4]| Group::PARTS.into_iter().filter(|g| g.holds(b, (400, 300))).collect::<Vec<_>>();
        assert_eq!(
            boxes.each_ref().map(groups),
            [vec![Group::Small], vec![Group::Medium], vec![Group::Large, Group::Cut]]
        );
        assert!(boxes.iter().all(|b| Group::All.holds(b, (400, 300))));
    }
}
