//! Objects keep their number from frame to frame.
//!
//! [`Tracker`] joins the detections of a frame to the [`Track`]s of the frames before: a detection belongs to the track
//! of its class whose expected box it overlaps most, the surest detection choosing first. It is SORT (Bewley et al.,
//! "Simple online and realtime tracking", ICIP 2016, arXiv:1602.00763) without its Kalman filter: motion is that of an
//! alpha-beta filter (Kalata, "The tracking index", IEEE T-AES 20(2), 1984), and boxes are joined by overlap alone, as
//! in the IOU tracker (Bochinski et al., AVSS 2017).
//!
//! A track that is missed goes on for a while ([`Patience`]), so that an object which the detector loses for some
//! frames is neither forgotten nor numbered anew. What a track claims is bounded by what was seen of it: one that was
//! seen briefly is moved on for less long, and moves less. All of it goes by time and not by
//! frames, so that many frames a second are not treated otherwise than few. Everything is bounded by [`TRACKS_MAX`] and
//! nothing is allocated.

mod tracker;

use crate::detect::Outline;

pub use tracker::Tracker;

/// Most objects that are followed at once; beyond it the one missed longest gives way.
pub const TRACKS_MAX: usize = 128;

/// No object is taken to go on as it went for longer than this, in microseconds.
pub const AHEAD_US_MAX: u64 = 1_000_000;
/// And for no longer than this many times as long as it was seen.
const AHEAD_TIMES_SEEN: u64 = 2;

/// How long a track outlives its object's last detection: whichever of the two is longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Time, in microseconds.
    pub time_us: u64,
    /// Frames, whatever time they take: a slow board sees few frames in any time.
    pub frames: u32,
}

/// One object through time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Track {
    /// From 1, never given twice by one tracker.
    pub id: u64,
    /// Index into the manifest's class names.
    pub class: u16,
    /// Score of the last detection, in 0..=1.
    pub score: f32,
    /// The last detection's box, `[x0, y0, x1, y1]` in the picture's pixels.
    pub bounds: [f32; 4],
    /// The parts of that box that the object touched.
    pub outline: Outline,
    /// Velocity of the box's centre, in pixels a second.
    pub velocity: [f32; 2],
    /// When it was first detected, in microseconds.
    pub first_us: u64,
    /// When it was last detected, in microseconds.
    pub seen_us: u64,
    /// Frames since then.
    pub missed: u32,
    /// Frames in which it was detected.
    pub hits: u32,
}

impl Track {
    /// For how long it was seen, in microseconds.
    pub fn span_us(&self) -> u64 {
        self.seen_us.saturating_sub(self.first_us)
    }

    /// How long it was missed at `now_us`, in microseconds.
    pub fn missed_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.seen_us)
    }

    /// Where the object should be at `now_us` if it goes on as it went: the box, moved.
    pub fn expected(&self, now_us: u64) -> [f32; 4] {
        let ahead_us_max = self.span_us().saturating_mul(AHEAD_TIMES_SEEN).min(AHEAD_US_MAX);
        let seconds = self.missed_us(now_us).min(ahead_us_max) as f32 / 1e6;
        let (dx, dy) = (self.velocity[0] * seconds, self.velocity[1] * seconds);
        let b = self.bounds;
        [b[0] + dx, b[1] + dy, b[2] + dx, b[3] + dy]
    }

    /// The box around everywhere that the object can reasonably be at `now_us`: where it was seen last, where it
    /// should be, and between.
    pub fn reach(&self, now_us: u64) -> [f32; 4] {
        let (was, is) = (self.bounds, self.expected(now_us));
        [was[0].min(is[0]), was[1].min(is[1]), was[2].max(is[2]), was[3].max(is[3])]
    }
}
