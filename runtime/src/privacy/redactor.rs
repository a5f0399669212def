//! The redactor: what stands between a frame and every sink.
//!
//! Whatever is asked, every region is covered by a mosaic first, and only then something better is tried, so that an
//! error on the way leaves the mosaic. A filled frame is looked at again: a region in which the detector still finds
//! something hidden is filled once more, together with all of what was found; if that is seen through too it becomes a
//! mosaic, and a mosaic that is seen through becomes black. What is found only now, outside of every region, is covered.

use super::Redacted;
use super::fill::Fill;
use super::hidden::Hidden;
use super::hiding::{Hiding, grown};
use super::mosaic::{self, Averages};
use super::paint::{Painted, Painter};
use super::recheck::{FOUND_MAX, Look, hidden_boxes, is_in};
use super::region::{REGIONS_MAX, Rect, Region, Regions, union_px};
use lapwing_camera::frame::Frame;

/// Most looks at one frame: one at the fills, one at the second tries, one at the mosaics that took their place.
const LOOKS_MAX: usize = 3;
/// What makes the random numbers of a second try others.
const SECOND_SEED: u64 = 1 << 63;

/// What is done with a region, from the least to the most that is left of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The picture is not kept at all.
    Drop,
    /// The region becomes black.
    Black,
    /// The region becomes a mosaic of 5x5 averages.
    Mosaic,
    /// The region is painted from its surroundings, and looked at again.
    Fill,
}

/// What became of the regions of one frame, and of many when added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Regions that were hidden, in whatever way.
    pub regions: u64,
    /// Regions that are filled.
    pub filled: u64,
    /// Regions that are a mosaic.
    pub mosaic: u64,
    /// Regions that are black.
    pub black: u64,
    /// Regions that were filled a second time, because the second look found something hidden in the first fill.
    pub second_tries: u64,
    /// Fills that were given up for the same reason; they are a mosaic or black now.
    pub fell_back: u64,
    /// Regions with too little around them to be filled from.
    pub no_surroundings: u64,
    /// Fills that the generator failed on.
    pub fill_errors: u64,
    /// Hidden things that the second look found, in regions or not; the look at the mosaics is not counted.
    pub found: u64,
    /// Regions that only the second look found.
    pub found_late: u64,
    /// Second looks that failed; every fill of their frames fell back.
    pub look_errors: u64,
    /// Pixels of all regions, those that two share once.
    pub covered_px: u64,
}

impl Account {
    /// Adds another account.
    pub fn add(&mut self, other: &Account) {
        self.regions += other.regions;
        self.filled += other.filled;
        self.mosaic += other.mosaic;
        self.black += other.black;
        self.second_tries += other.second_tries;
        self.fell_back += other.fell_back;
        self.no_surroundings += other.no_surroundings;
        self.fill_errors += other.fill_errors;
        self.found += other.found;
        self.found_late += other.found_late;
        self.look_errors += other.look_errors;
        self.covered_px += other.covered_px;
    }
}

/// One region while it is worked on.
struct Work {
    region: Region,
    level: Level,
    averages: Averages,
}

/// Hides regions of frames; holds every buffer that it needs.
pub struct Redactor {
    hiding: Hiding,
    fill: Option<(Box<dyn Fill>, Box<dyn Look>)>,
    painter: Painter,
    hidden: Hidden,
    works: Vec<Work>,
    /// The last error of a generator or a look, for people.
    trouble: Option<String>,
}

impl Redactor {
    /// A redactor that knows mosaic and black.
    pub fn new(hiding: Hiding) -> Redactor {
        Redactor {
            hiding,
            fill: None,
            painter: Painter::default(),
            hidden: Hidden::default(),
            works: Vec::with_capacity(REGIONS_MAX + LOOKS_MAX * FOUND_MAX),
            trouble: None,
        }
    }

    /// Also fills, and looks again.
    #[must_use]
    pub fn with_fill(mut self, fill: Box<dyn Fill>, look: Box<dyn Look>) -> Redactor {
        self.fill = Some((fill, look));
        self
    }

    /// What is hidden.
    pub fn hiding(&self) -> &Hiding {
        &self.hiding
    }

    /// The best that this redactor can do.
    pub fn best(&self) -> Level {
        if self.fill.is_some() { Level::Fill } else { Level::Mosaic }
    }

    /// Makes ready what `level` needs, so that the first frame that is hidden does not wait longer than others.
    pub fn prepare(&mut self, level: Level) {
        if level == Level::Fill
            && let Some((fill, _)) = &mut self.fill
            && let Err(error) = fill.prepare()
        {
            self.trouble = Some(error.to_string());
        }
    }

    /// What a generator or a second look failed of since this was asked last.
    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// Hides what of `regions` lies in the frame, as well as `level` says and this redactor can ([`Level::Drop`] is the
    /// caller's; here it is black). Of a raw frame that cannot be developed nothing is left.
    pub fn redact(&mut self, mut frame: Frame, regions: &Regions, level: Level) -> (Redacted<Frame>, Account) {
        let mut account = Account::default();
        self.works.clear();
        if let Err(error) = frame.develop() {
            self.trouble = Some(error.to_string());
            return (Redacted::proven(Frame::new()), account); // nothing of it can be shown
        }
        let (width, height) = (frame.width(), frame.height());
        for region in regions.as_slice() {
            if let Some(region) = region.within(width, height) {
                self.cover(&mut frame, region);
            }
        }
        if level <= Level::Black {
            for work in &mut self.works {
                work.set(&mut frame, Level::Black);
            }
        } else if level == Level::Fill && !self.works.is_empty() {
            self.fill_all(&mut frame, &mut account);
            self.look_again(&mut frame, &mut account);
        }
        account.regions = self.works.len() as u64;
        account.covered_px = self.covered_px(width, height);
        let count = |level| self.works.iter().filter(|w| w.level == level).count() as u64;
        (account.filled, account.mosaic, account.black) =
            (count(Level::Fill), count(Level::Mosaic), count(Level::Black));
        (Redacted::proven(frame), account)
    }

    /// Pixels of all regions, those that two share once.
    fn covered_px(&mut self, width: u32, height: u32) -> u64 {
        if self.works.iter().all(|work| work.region.outline.is_full()) {
            return union_px(self.works.iter().map(|work| work.region.rect));
        }
        self.hidden.reset(width, height);
        self.works.iter().for_each(|work| self.hidden.set(&work.region, true));
        self.hidden.count()
    }

    /// Covers a region by a mosaic.
    fn cover(&mut self, frame: &mut Frame, region: Region) {
        let averages = mosaic::cover(frame, &region);
        self.works.push(Work { region, level: Level::Mosaic, averages });
    }

    /// Fills every region that can be filled, the small ones first: they have the most around them.
    fn fill_all(&mut self, frame: &mut Frame, account: &mut Account) {
        let Some((fill, _)) = &mut self.fill else { return };
        self.hidden.reset(frame.width(), frame.height());
        for work in &self.works {
            self.hidden.set(&work.region, true);
        }
        self.works.sort_unstable_by_key(|w| (w.region.rect.area(), w.region.rect.x0, w.region.rect.y0));
        for work in &mut self.works {
            match self.painter.paint(frame, &mut self.hidden, &work.region, fill.as_mut()) {
                Ok(Painted::Filled) => work.level = Level::Fill,
                Ok(Painted::NoSurroundings) => account.no_surroundings += 1,
                Err(error) => {
                    account.fill_errors += 1;
                    self.trouble = Some(error.to_string());
                }
            }
        }
    }

    /// Takes back what the detector sees through; see the [module](self).
    fn look_again(&mut self, frame: &mut Frame, account: &mut Account) {
        for look_at in 0..LOOKS_MAX {
            let Some((_, look)) = &mut self.fill else { return };
            let found = match look.look(frame) {
                Ok(detections) => hidden_boxes(&self.hiding, frame, detections),
                Err(error) => return self.take_back(frame, account, &error),
            };
            if found.is_empty() {
                return;
            }
            let first = look_at == 0;
            account.found += if first { found.len() as u64 } else { 0 };
            for at in 0..self.works.len() {
                let Region { rect, .. } = self.works[at].region;
                let seen = || found.iter().filter(|f| is_in(f, &rect));
                let work = &mut self.works[at];
                match work.level {
                    _ if seen().next().is_none() => {}
                    Level::Fill if first => {
                        let wider = seen().fold(rect, |rect, f| rect.around(&margined(f, frame)));
                        self.fill_again(frame, account, at, wider);
                    }
                    Level::Fill => {
                        account.fell_back += 1;
                        work.widen(frame);
                        work.set(frame, Level::Mosaic);
                    }
                    _ => {
                        work.widen(frame);
                        work.set(frame, Level::Black);
                    }
                }
            }
            for found in &found {
                // a part that sticks out of what is hidden shows
                let found_whole = Region::whole(*found, 0);
                if !self.works.iter().any(|w| w.region.holds(&found_whole)) {
                    account.found_late += 1;
                    self.cover(frame, Region::whole(margined(found, frame), 0));
                }
            }
        }
    }

    /// The second look failed: nothing stays filled.
    fn take_back(&mut self, frame: &mut Frame, account: &mut Account, error: &str) {
        account.look_errors += 1;
        self.trouble = Some(format!("the second look failed, so nothing stays filled: {error}"));
        for work in self.works.iter_mut().filter(|w| w.level == Level::Fill) {
            account.fell_back += 1;
            work.set(frame, Level::Mosaic);
        }
    }

    /// Fills a region a second time, with all of what was found in it, and other random numbers.
    fn fill_again(&mut self, frame: &mut Frame, account: &mut Account, at: usize, wider: Rect) {
        let (Some((fill, _)), Some(work)) = (&mut self.fill, self.works.get_mut(at)) else { return };
        work.set(frame, Level::Mosaic);
        work.region = Region::whole(wider, work.region.seed ^ SECOND_SEED);
        work.averages = mosaic::cover(frame, &work.region);
        self.hidden.set(&work.region, true);
        match self.painter.paint(frame, &mut self.hidden, &work.region, fill.as_mut()) {
            Ok(Painted::Filled) => {
                work.level = Level::Fill;
                account.second_tries += 1;
            }
            Ok(Painted::NoSurroundings) => account.fell_back += 1,
            Err(error) => {
                account.fell_back += 1;
                account.fill_errors += 1;
                self.trouble = Some(error.to_string());
            }
        }
    }
}

/// What was found, with the margin of everything that is hidden.
fn margined(found: &Rect, frame: &Frame) -> Rect {
    let edges = [found.x0, found.y0, found.x1, found.y1].map(|v| v as f32);
    Rect::touched(grown(edges), frame.width(), frame.height()).unwrap_or(*found)
}

impl Work {
    /// Paints the region as `level` says: mosaic or black.
    fn set(&mut self, frame: &mut Frame, level: Level) {
        match level {
            Level::Mosaic => mosaic::paint(frame, &self.region, &self.averages),
            _ => mosaic::blacken(frame, &self.region),
        }
        self.level = level;
    }

    /// What is seen through an outline is hidden with all of its rectangle: the mask was wrong.
    fn widen(&mut self, frame: &mut Frame) {
        if !self.region.outline.is_full() {
            self.region = Region::whole(self.region.rect, self.region.seed);
            self.averages = mosaic::cover(frame, &self.region);
        }
    }
}
