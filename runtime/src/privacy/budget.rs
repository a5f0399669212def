//! How much there is time for: fill, mosaic, black, or no picture at all, decided from measured times.
//!
//! Each level has a price a unit of work, learned from the frames that were done on it: a price that was too low is
//! raised at once, one that was too high sinks slowly. A frame that the current level would take too long for goes to
//! the next one below, and so do those after it; the level rises again when the one above would have kept
//! well within the budget for [`CALM_FRAMES`] frames in a row. While a level is not used its price sinks too, so that a
//! board that was busy for a while tries again.
//!
//! It asks no clock: the caller measures.

use super::redactor::Level;

/// Frames in a row that must have fitted before the level rises.
pub const CALM_FRAMES: u32 = 20;
/// The share of the budget that the level above may need when the level rises.
const CALM_SHARE: f64 = 0.8;
/// How much of a price that was too high goes with each frame that was cheaper.
const EASE: f64 = 0.2;
/// What remains of the price of a level that is not used, with each frame.
const FADE: f64 = 0.99;

/// Pixels below which painting them is not what takes the time.
const AREA_PX_MIN: u64 = 100_000;

/// What a frame asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// Regions to hide.
    pub regions: usize,
    /// Pixels in them.
    pub area_px: u64,
}

impl Job {
    /// Units of work at a level: regions to fill; else pixels to paint, in millions. Fewer than [`AREA_PX_MIN`] take no
    /// less time.
    fn units(&self, level: Level) -> f64 {
        match level {
            Level::Fill => self.regions as f64,
            Level::Mosaic | Level::Black => self.area_px.max(AREA_PX_MIN) as f64 / 1e6,
            Level::Drop => 0.0,
        }
    }
}

/// How many frames were done on each level, and how often the level changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames whose regions were filled.
    pub fill: u64,
    /// Frames whose regions became mosaics.
    pub mosaic: u64,
    /// Frames whose regions became black.
    pub black: u64,
    /// Frames that were not kept, because there was no time even for black.
    pub dropped: u64,
    /// Times the level sank.
    pub falls: u64,
    /// Times it rose.
    pub rises: u64,
}

/// Decides the level of each frame.
#[derive(Debug, Clone)]
pub struct Budget {
    /// For one frame, in microseconds; `None`: whatever it takes.
    limit_us: Option<u64>,
    /// The best level that is wanted.
    ceiling: Level,
    level: Level,
    /// Frames in a row in which the level above would have fitted.
    calm: u32,
    /// Microseconds a unit, by level; `None` before the first frame.
    prices: [Option<f64>; 4],
    tally: Tally,
}

impl Budget {
    /// Begins at `ceiling`; without a limit it stays there.
    pub fn new(ceiling: Level, limit_us: Option<u64>) -> Budget {
        Budget { limit_us, ceiling, level: ceiling, calm: 0, prices: [None; 4], tally: Tally::default() }
    }

    /// What was decided so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The level for a frame. A frame without regions costs nothing and decides nothing.
    pub fn plan(&mut self, job: &Job) -> Level {
        if job.regions == 0 {
            return self.ceiling;
        }
        if let Some(limit_us) = self.limit_us {
            self.decide(job, limit_us as f64);
        }
        match self.level {
            Level::Fill => self.tally.fill += 1,
            Level::Mosaic => self.tally.mosaic += 1,
            Level::Black => self.tally.black += 1,
            Level::Drop => self.tally.dropped += 1,
        }
        self.level
    }

    /// A frame took this long on the level that was planned for it.
    pub fn measured(&mut self, level: Level, job: &Job, took_us: u64) {
        let units = job.units(level);
        if units > 0.0 {
            let paid = took_us as f64 / units;
            let price = &mut self.prices[level as usize];
            *price = Some(price.map_or(paid, |known| if paid > known { paid } else { known + EASE * (paid - known) }));
        }
    }

    fn decide(&mut self, job: &Job, limit_us: f64) {
        while self.expected_us(self.level, job) > limit_us {
            let Some(lower) = below(self.level) else { break };
            (self.level, self.calm) = (lower, 0);
            self.tally.falls += 1;
        }
        let Some(higher) = above(self.level).filter(|l| *l <= self.ceiling) else { return };
        for level in [Level::Black, Level::Mosaic, Level::Fill].into_iter().filter(|l| *l > self.level) {
            if let Some(price) = &mut self.prices[level as usize] {
                *price *= FADE;
            }
        }
        let calm = self.expected_us(higher, job) <= CALM_SHARE * limit_us;
        self.calm = if calm { self.calm + 1 } else { 0 };
        if self.calm > CALM_FRAMES {
            (self.level, self.calm) = (higher, 0);
            self.tally.rises += 1;
        }
    }

    /// What a frame should take at a level; nothing where that was never tried.
    fn expected_us(&self, level: Level, job: &Job) -> f64 {
        self.prices[level as usize].map_or(0.0, |price| price * job.units(level))
    }
}

fn below(level: Level) -> Option<Level> {
    match level {
        Level::Fill => Some(Level::Mosaic),
        Level::Mosaic => Some(Level::Black),
        Level::Black => Some(Level::Drop),
        Level::Drop => None,
    }
}

fn above(level: Level) -> Option<Level> {
    match level {
        Level::Fill => None,
        Level::Mosaic => Some(Level::Fill),
        Level::Black => Some(Level::Mosaic),
        Level::Drop => Some(Level::Black),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JOB: Job = Job { regions: 2, area_px: 1_000_000 };

    /// Plays frames on a board of these prices (fill a region, mosaic and black a megapixel); the levels.
    fn play(budget: &mut Budget, frames: usize, job: Job, fill_us: u64, mosaic_us: u64, black_us: u64) -> Vec<Level> {
        let mut levels = Vec::new();
        for _ in 0..frames {
            let level = budget.plan(&job);
            let took_us = match level {
                Level::Fill => fill_us * job.regions as u64,
                Level::Mosaic => mosaic_us * job.area_px / 1_000_000,
                Level::Black => black_us * job.area_px / 1_000_000,
                Level::Drop => 0,
            };
            budget.measured(level, &job, took_us);
            levels.push(level);
        }
        levels
    }

    #[test]
    fn a_fast_board_fills_and_a_slow_one_goes_as_low_as_it_must() {
        for (fill, mosaic, black, settles) in [
            (90, 10, 5, Level::Fill),
            (150, 10, 5, Level::Mosaic),
            (150, 300, 5, Level::Black),
            (150, 300, 250, Level::Drop),
        ] {
            let mut budget = Budget::new(Level::Fill, Some(200));
            let levels = play(&mut budget, 15, JOB, fill, mosaic, black);
            assert_eq!(levels[0], Level::Fill, "what was never tried is tried");
            assert_eq!(levels[14], settles);
            let tally = budget.tally();
            assert_eq!(tally.fill + tally.mosaic + tally.black + tally.dropped, 15);
            assert_eq!(tally.rises, 0);
        }
    }

    #[test]
    fn it_never_rises_above_its_ceiling_and_without_a_limit_it_stays_there() {
        let mut budget = Budget::new(Level::Mosaic, Some(200));
        assert!(play(&mut budget, 200, JOB, 1, 1, 1).iter().all(|l| *l == Level::Mosaic));
        let mut budget = Budget::new(Level::Fill, None);
        assert!(play(&mut budget, 50, JOB, 1_000_000, 1, 1).iter().all(|l| *l == Level::Fill));
    }

    #[test]
    fn after_a_busy_time_it_rises_again_but_not_at_once() {
        let mut budget = Budget::new(Level::Fill, Some(200));
        play(&mut budget, 5, JOB, 1000, 10, 5);
        let levels = play(&mut budget, 400, JOB, 50, 10, 5);
        let back = levels.iter().position(|l| *l == Level::Fill).unwrap();
        assert!(back > CALM_FRAMES as usize, "{back}");
        assert!(levels[back..].iter().all(|l| *l == Level::Fill));
        assert_eq!((budget.tally().falls, budget.tally().rises), (1, 1));
    }

    #[test]
    fn near_the_limit_it_does_not_flutter() {
        let mut budget = Budget::new(Level::Fill, Some(200));
        let mut levels = Vec::new();
        for frame in 0..300 {
            let regions = 2 + frame % 2; // two fit, three do not
            levels.extend(play(&mut budget, 1, Job { regions, area_px: 500_000 }, 90, 10, 5));
        }
        let changes = levels.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes <= 300 / CALM_FRAMES as usize, "{changes}");
        assert!(levels.iter().filter(|l| **l == Level::Mosaic).count() > 200);
    }

    #[test]
    fn frames_without_regions_decide_nothing() {
        let mut budget = Budget::new(Level::Fill, Some(200));
        play(&mut budget, 3, JOB, 1000, 10, 5);
        let before = budget.tally();
        assert!(play(&mut budget, 500, Job { regions: 0, area_px: 0 }, 1000, 10, 5).iter().all(|l| *l == Level::Fill));
        assert_eq!(budget.tally(), before);
        assert_eq!(budget.plan(&JOB), Level::Mosaic);
    }

    proptest! {
        /// On a board of steady prices no frame takes longer than the budget, but for those that try a level out.
        #[test]
        fn a_steady_board_keeps_its_budget(
            prices in prop::array::uniform3(100u64..200_000),
            jobs in prop::collection::vec((1usize..6, 100_000u64..3_000_000), 1..200), limit_us in 100u64..300_000,
        ) {
            let mut budget = Budget::new(Level::Fill, Some(limit_us));
            let mut over = 0;
            for (regions, area_px) in jobs.iter().copied() {
                let job = Job { regions, area_px };
                let level = budget.plan(&job);
                let took = match level {
                    Level::Drop => 0.0,
                    Level::Fill => prices[0] as f64 * regions as f64,
                    level => prices[3 - level as usize] as f64 * area_px as f64 / 1e6,
                };
                budget.measured(level, &job, took as u64);
                over += u64::from(took > 1.15 * limit_us as f64);
            }
            prop_assert!(over <= 3 + budget.tally().rises, "{} of {} over", over, jobs.len());
        }
    }
}
