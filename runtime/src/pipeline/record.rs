//! The recorder's thread: events become durable, then pictures are redacted and stored.
//!
//! It promises that an event is told to the observer only once it is durable, that a picture is
//! stored only as [`Redacted`](crate::privacy::Redacted), and that frames go back whence they came.
//!
//! # Group commit
//! All events that wait are committed together, and before every picture it is asked again whether some do. Hence an
//! event is durable after, at the most, the picture and the commit under way and its own commit; while the medium is
//! slow the groups grow and the commits do not. A power cut takes what was not told: at the most the
//! [`MESSAGES_MAX`](super::message::MESSAGES_MAX) messages of the queue and the [`GROUP_MAX`] of the group.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lapwing_firmware::event::{EVENT_BYTES, Event};
use lapwing_firmware::limits::{GROUP_BYTES_MAX, RECORD_BYTES_MAX, RECORD_HEADER_BYTES};
use lapwing_firmware::linux::{DirError, DirMedia};
use lapwing_firmware::log::{Durable, Limits, Log, LogError, MediaError, Recovery, Seq};
use lapwing_firmware::panic_record::PanicRecord;

use super::message::{About, Message, SeenFrame};
use super::recycle::Recycle;
use super::report::{Observer, RecordReport, Seen};
use crate::config::{Config, FillMode, Keep};
use crate::name_table::NameTable;
use crate::panic_record;
use crate::privacy::budget::Job;
use crate::privacy::{Account, Budget, Cover, Level, MISSED_FRAMES_MIN, Redactor};
use crate::queue::{Pop, Queue};
use crate::sinks::{PictureError, PictureSink, Recorded, annotate, annotate_stale};
use lapwing_camera::Pacing;
use lapwing_camera::clock::Clock;
use lapwing_camera::frame::Frame;
use lapwing_vision::track::Patience;

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;

/// Messages whose events are made durable together.
const GROUP_MAX: usize = 64;
/// Events that fit into a group of the log.
const WAITING_MAX: usize = GROUP_BYTES_MAX / (RECORD_HEADER_BYTES + EVENT_BYTES) + 1;
/// Longest wait for a message before looking again.
const WAIT: Duration = Duration::from_millis(200);

/// The record could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The log.
    #[error("log {path:?}: {what}")]
    Log {
        /// The log's folder.
        path: PathBuf,
        /// What failed and what to do.
        what: String,
    },
    /// The pictures' folder.
    #[error(transparent)]
    Pictures(#[from] PictureError),
}

/// When the recorder's thread ends, by a panic too, nobody waits for it.
struct Ending<'a> {
    messages: &'a Queue<Message>,
    back: Recycle<'a>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.messages.close();
        while let Pop::Item(message) = self.messages.pop(Duration::ZERO) {
            if let About::Frame(mut seen) = message.about {
                self.back.frame(std::mem::take(&mut seen.frame));
                self.back.recorded(seen);
            }
        }
    }
}

/// The log and the pictures of one run.
pub struct Recorder {
    folder: PathBuf,
    log: Log<DirMedia>,
    recovery: Recovery,
    /// Those of earlier runs are there, and yield to the log, where this run keeps none too.
    pictures: PictureSink,
    keep: Keep,
    redactor: Redactor,
    /// What the configuration says of filling, and of the time for it.
    fill: FillMode,
    budget_us: u64,
    persist_us: u64,
    name_table: NameTable,
    /// As it is written into each segment.
    name_table_bytes: Vec<u8>,
    /// The segment that the name_table stands in.
    name_table_in: Option<u32>,
    /// Appended events that wait for their commit.
    waiting: Vec<(u64, Event)>,
    report: RecordReport,
}

impl Recorder {
    /// Opens `data/log` (recovering what a power cut left) and `data/pictures`; `redactor` hides what is to be hidden.
    pub fn open(
        config: &Config,
        redactor: Redactor,
        name_table: NameTable,
        data: &Path,
    ) -> Result<Recorder, RecorderError> {
        let folder = data.join("log");
        let failed = |e: &dyn std::fmt::Display| RecorderError::Log { path: folder.clone(), what: e.to_string() };
        let kib = |v: u32| v.saturating_mul(1024);
        let limits = Limits {
            segment_bytes: kib(*config.log.segment_kib.get_ref()),
            total_bytes: u64::from(*config.log.total_kib.get_ref()) * 1024,
        };
        let (quality, count_max) =
            (*config.pictures.jpeg_quality.get_ref(), *config.pictures.count_max.get_ref() as usize);
        let mut pictures =
            PictureSink::open(&data.join("pictures"), quality, count_max, config.pictures.keep != Keep::None)?;
        // on a full disk not even the folder of a log can be made
        let media = match DirMedia::open(&folder) {
            Err(error) if error.is_full() && pictures.give_way(limits.segment_bytes.into()) => DirMedia::open(&folder),
            opened => opened,
        };
        let media = media.map_err(|e| failed(&e))?;
        let (mut log, mut recovery) = Log::open(media, limits).map_err(|e| failed(&e))?;
        // the log may be lost and its pictures not: theirs are not overwritten
        log.set_run_min(pictures.last_run().saturating_add(1));
        recovery.run = log.run();
        Ok(Recorder {
            folder,
            log,
            recovery,
            pictures,
            keep: config.pictures.keep,
            redactor,
            fill: config.privacy.fill,
            budget_us: u64::from(*config.privacy.budget_ms.get_ref()) * 1000,
            persist_us: u64::from(*config.privacy.persist_ms.get_ref()) * 1000,
            name_table_bytes: name_table.encode(RECORD_BYTES_MAX),
            name_table,
            name_table_in: None,
            waiting: Vec::with_capacity(WAITING_MAX),
            report: RecordReport::default(),
        })
    }

    /// Where the log is damaged, as far as opening it has read; what to do stands in it.
    pub fn damage(&self) -> Option<String> {
        let regions = self.recovery.corrupt_regions;
        (regions > 0).then(|| {
            format!(
                "log {}: damaged at {regions} places, records may be missing; `lapwing log verify --data {}` says where: \
                 the medium rots, save what is there with `lapwing log export` and replace it",
                self.folder.display(),
                self.folder.parent().unwrap_or(Path::new(".")).display()
            )
        })
    }

    /// What opening the log found.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// What finds the regions to hide, frame by frame: the detector's thread shows it every frame.
    pub(super) fn cover(&self) -> Cover {
        let patience = Patience { time_us: self.persist_us, frames: MISSED_FRAMES_MIN };
        Cover::new(self.redactor.hiding().clone(), patience)
    }

    /// How much there is time for. A replay waits for its pictures, so that they do not depend on the machine.
    fn budget(&self, pacing: Pacing) -> Budget {
        let limited = pacing == Pacing::Live && self.fill == FillMode::Auto;
        Budget::new(self.fill.level().min(self.redactor.best()), limited.then_some(self.budget_us))
    }

    /// Works until `messages` is closed and empty.
    pub(super) fn run(
        mut self,
        messages: &Queue<Message>,
        back: Recycle<'_>,
        observer: &mut dyn Observer,
        classes: &[String],
        clock: &dyn Clock,
        pacing: Pacing,
    ) -> RecordReport {
        let mut budget = self.budget(pacing);
        let _ending = Ending { messages, back };
        self.report.detections_by_class = vec![0; classes.len()];
        let mut group: VecDeque<Message> = VecDeque::with_capacity(GROUP_MAX);
        loop {
            // events first: those that came while a picture was being stored do not wait for the next one
            let known = group.len();
            if group.is_empty() {
                match messages.pop(WAIT) {
                    Pop::Item(first) => group.push_back(first),
                    Pop::Timeout => continue,
                    Pop::Closed => break,
                }
            }
            while group.len() < GROUP_MAX {
                let Pop::Item(next) = messages.pop(Duration::ZERO) else { break };
                group.push_back(next);
            }
            self.make_durable(group.range(known..), observer);
            match group.pop_front().map(|message| message.about) {
                Some(About::Frame(mut seen)) => {
                    let frame = self.frame(std::mem::take(&mut *seen), observer, classes, (&mut budget, clock));
                    back.frame(frame);
                    back.recorded(seen);
                }
                Some(About::Trouble(what)) => observer.trouble(&what),
                Some(About::Nothing) | None => {}
            }
        }
        self.report.levels = budget.tally();
        self.report
    }

    /// Makes the panic record of the process before this one a record of the log.
    ///
    /// # Errors
    /// The log's; the words are then not in it.
    pub fn panic_record(&mut self, words: &PanicRecord) -> Result<(), RecorderError> {
        let mut rescue = rescue(&mut self.pictures);
        let appended = self.log.append(&panic_record::encode(words)).and_then(|_| self.log.commit_with(&mut rescue));
        match appended {
            Ok(_) => Ok(()),
            Err(error) => Err(RecorderError::Log { path: self.folder.clone(), what: error.to_string() }),
        }
    }

    /// Appends the events of a group and commits them; only then they are told.
    fn make_durable<'m>(&mut self, group: impl Iterator<Item = &'m Message>, observer: &mut dyn Observer) {
        for event in group.flat_map(|m| &m.events) {
            let event = Event { run: self.recovery.run, ..*event };
            let mut appended = self.append(&event);
            if matches!(appended, Err(LogError::GroupFull)) {
                self.commit(observer);
                appended = self.append(&event);
            }
            match appended {
                Ok(seq) => self.waiting.push((seq.0, event)),
                Err(error) => {
                    self.report.events_lost += 1;
                    observer.trouble(&format!("log: an event could not be appended: {error}"));
                }
            }
        }
        self.commit(observer);
    }

    /// Makes durable what was appended, then tells it. What failed is appended and committed once more: the log may have
    /// found another one in its place, with numbers of its own.
    fn commit(&mut self, observer: &mut dyn Observer) {
        let mut done = self.log.commit_with(&mut rescue(&mut self.pictures));
        if let Err(error) = &done
            && !self.waiting.is_empty()
        {
            observer.trouble(&format!("log: {error}"));
            self.name_table_in = None;
            done = self.commit_again();
        }
        if let Some(error) = self.log.take_trouble() {
            self.report.log_errors += 1;
            self.name_table_in = None;
            observer.trouble(&format!("log: {error}"));
        }
        match done {
            Ok(durable) => {
                self.report.events_durable += self.waiting.len() as u64;
                for &(seq, event) in &self.waiting {
                    if let Some(recorded) = durable.and_then(|upto| upto.covers(Seq(seq), Recorded { seq, event })) {
                        observer.recorded(&recorded, &self.name_table);
                    }
                }
            }
            Err(error) => {
                self.name_table_in = None;
                self.report.events_lost += self.waiting.len() as u64;
                observer.trouble(&format!("log: {} events are not durable: {error}", self.waiting.len()));
            }
        }
        self.waiting.clear();
    }

    /// Appends what waits once more and commits it.
    fn commit_again(&mut self) -> Result<Option<Durable<Seq>>, LogError<DirError>> {
        for at in 0..self.waiting.len() {
            let Some((_, event)) = self.waiting.get(at).copied() else { break };
            let mut appended = self.append(&event);
            if matches!(appended, Err(LogError::GroupFull)) {
                self.log.commit_with(&mut rescue(&mut self.pictures))?;
                appended = self.append(&event);
            }
            let seq = appended?;
            if let Some(waiting) = self.waiting.get_mut(at) {
                waiting.0 = seq.0;
            }
        }
        self.log.commit_with(&mut rescue(&mut self.pictures))
    }

    /// Appends an event, after the name_table where a new segment has begun. On a full disk pictures make room for it.
    fn append(&mut self, event: &Event) -> Result<Seq, LogError<DirError>> {
        let segment = self.log.make_room(&mut rescue(&mut self.pictures))?;
        if self.name_table_in != Some(segment) {
            self.log.append(&self.name_table_bytes)?;
            self.name_table_in = Some(segment);
        }
        self.log.append(&event.encode())
    }

    /// Counts, redacts, draws, stores, tells; gives the frame back.
    fn frame(
        &mut self,
        seen: SeenFrame,
        observer: &mut dyn Observer,
        classes: &[String],
        (budget, clock): (&mut Budget, &dyn Clock),
    ) -> Frame {
        let SeenFrame { mut frame, detections, shown, regions, times, fired, stale_us } = seen;
        for detection in &detections[..shown] {
            if let Some(count) = self.report.detections_by_class.get_mut(usize::from(detection.class)) {
                *count += 1;
            }
        }
        let wanted = self.keep == Keep::All || (self.keep == Keep::Events && fired);
        let mut told = Seen {
            seq: frame.seq,
            name: "",
            width: frame.width(),
            height: frame.height(),
            detections: &detections[..shown],
            times,
            stale_us,
            classes,
            picture: None,
            hidden: Account::default(),
        };
        if !wanted {
            observer.seen(&Seen { name: frame.name(), ..told });
            return frame;
        }
        let job = Job { regions: regions.as_slice().len(), area_px: regions.area() };
        let level = budget.plan(&job);
        if level == Level::Drop {
            observer.seen(&Seen { name: frame.name(), ..told });
            return frame;
        }
        if job.regions > 0 {
            self.redactor.prepare(level);
        }
        if let Err(error) = frame.develop() {
            self.report.pictures_failed += 1;
            observer.trouble(&error.to_string());
            observer.seen(&Seen { name: frame.name(), ..told });
            return frame;
        }
        let start = clock.mono();
        let (mut redacted, account) = self.redactor.redact(frame, &regions, level);
        budget.measured(level, &job, clock.mono().since_us(start));
        self.report.redaction.add(&account);
        if let Some(trouble) = self.redactor.take_trouble() {
            observer.trouble(&format!("{}: {trouble}", redacted.get().name()));
        }
        redacted.annotate(|frame| {
            annotate(frame, &detections[..shown], |c| classes.get(usize::from(c)).map_or("?", String::as_str));
            if let Some(age_us) = stale_us {
                annotate_stale(frame, age_us);
            }
        });
        match self.pictures.store(self.recovery.run, &redacted) {
            Ok(path) => {
                self.report.pictures += 1;
                told.hidden = account;
                observer.seen(&Seen { name: redacted.get().name(), picture: Some(&path), ..told });
            }
            Err(error) => {
                self.report.pictures_failed += 1;
                observer.trouble(&error.to_string());
                observer.seen(&Seen { name: redacted.get().name(), ..told });
            }
        }
        observer.picture(redacted)
    }
}

/// On a full disk the oldest pictures go before history does.
fn rescue(pictures: &mut PictureSink) -> impl FnMut(u32) -> bool {
    |bytes| pictures.give_way(u64::from(bytes))
}
