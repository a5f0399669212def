//! `head.extra`: what a box has beside class and score.

use serde::{Deserialize, Serialize};

/// What a network gives for each box beside class and score, and how it is written in its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Extra {
    /// A mask: the sum of the prototypes, which are one more output (1, coefficients, h, w), each times its coefficient,
    /// is positive where the object is (Bolya et al., "YOLACT", arXiv:1904.02689).
    Mask {
        /// Coefficients of a box, and prototypes.
        coefficients: usize,
    },
    /// Points of the object, such as its joints.
    KeyPoints {
        /// Points of a box.
        count: usize,
        /// Values of a point: 2 for x and y, 3 where a logit of its visibility follows.
        values: usize,
        /// How x and y become pixels.
        #[serde(default)]
        origin: PointOrigin,
    },
    /// The box is turned.
    Angle {
        /// How the value becomes an angle.
        #[serde(default)]
        unit: AngleUnit,
    },
}

/// How a raw x becomes input pixels in the cell of column c; y goes likewise by rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PointOrigin {
    /// `(2 x + c) * stride`: YOLOv8, YOLO11.
    #[default]
    Corner,
    /// `(x + c + 0.5) * stride`: YOLO26.
    Centre,
    /// `(x + c) * stride`: YuNet.
    Cell,
}

/// How a raw value becomes an angle from the picture's x axis to the box's own, positive towards its y axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AngleUnit {
    /// `(sigmoid(value) - 1/4) * pi`: YOLOv8, YOLO11.
    #[default]
    Logit,
    /// It is the angle: YOLO26.
    Radians,
}

impl std::fmt::Display for Extra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Extra::Mask { coefficients } => write!(f, "a mask of {coefficients} prototypes"),
            Extra::KeyPoints { count, .. } => write!(f, "{count} key points"),
            Extra::Angle { .. } => f.write_str("an angle"),
        }
    }
}

impl Extra {
    /// Values of a box in the outputs.
    pub fn channels(&self) -> usize {
        match *self {
            Extra::Mask { coefficients } => coefficients,
            Extra::KeyPoints { count, values, .. } => count * values,
            Extra::Angle { .. } => 1,
        }
    }

    /// True for masks, whose prototypes are one more output.
    pub fn has_prototypes(&self) -> bool {
        matches!(self, Extra::Mask { .. })
    }

    /// Whether its numbers are within their limits.
    ///
    /// # Errors
    /// The field and the cure.
    pub fn validate(&self) -> Result<(), String> {
        let most = EXTRA_MAX;
        match *self {
            Extra::Mask { coefficients } if !(1..=most).contains(&coefficients) => {
                Err(format!("`head.extra.coefficients = {coefficients}`: must lie in 1..={most}"))
            }
            Extra::KeyPoints { count, .. } if !(1..=most).contains(&count) => {
                Err(format!("`head.extra.count = {count}`: must lie in 1..={most}"))
            }
            Extra::KeyPoints { values, .. } if !(2..=3).contains(&values) => {
                Err(format!("`head.extra.values = {values}`: must be 2 (x, y) or 3 (x, y, visibility)"))
            }
            _ => Ok(()),
        }
    }
}

/// Most coefficients of a mask, and most key points of a box.
pub const EXTRA_MAX: usize = 256;
