//! A bounded queue and a thread for each sink: telling never waits, and no sink can hold up another or the run.
//!
//! What a sink's queue has no room for is dropped for this sink and counted. A sink that hangs keeps its own queue and at
//! most [`PICTURES_MAX`] pictures; at the end of the run it is waited for a moment and then left.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use lapwing_firmware::log::Durable;

use super::sink::{Looked, Names, Recorded, Sink, SinkError, Stream, Wants};
use crate::privacy::Redacted;
use crate::queue::{Pop, Queue};
use lapwing_camera::LIVE_BYTES_MAX;
use lapwing_camera::frame::Frame;

/// Things that wait for a sink.
pub const ITEMS_MAX: usize = 256;
/// Frames without pixels among them.
pub const FRAMES_MAX: usize = 32;
/// Pictures that a sink has, waiting or in its hands.
pub const PICTURES_MAX: usize = 3;
/// Longest wait for something to tell.
const WAIT: Duration = Duration::from_secs(1);
/// How often a sink is asked whether it has ended.
const ASK: Duration = Duration::from_millis(2);

/// What waits for a sink.
enum Item {
    Begin(Arc<Names>),
    Event(Durable<Recorded>),
    Frame(Box<Looked>),
    Picture(Arc<Redacted<Frame>>),
    Trouble(Box<str>),
    Words(Box<str>),
}

/// One sink, from outside.
struct Outlet {
    name: &'static str,
    wants: Wants,
    queue: Queue<Item>,
    /// Boxes for frames.
    boxes: Queue<Box<Looked>>,
    /// Pictures that it has.
    pictures: AtomicUsize,
    dropped: AtomicU64,
    failed: AtomicU64,
    /// The first failure.
    why: Mutex<Option<String>>,
}

/// What became of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkReport {
    /// Its name.
    pub name: &'static str,
    /// Things that it had no room for.
    pub dropped: u64,
    /// Things that it could not pass on.
    pub failed: u64,
    /// Why not, the first time.
    pub why: Option<String>,
    /// It did not come to its end.
    pub stuck: bool,
}

impl std::fmt::Display for SinkReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.name)?;
        if self.dropped > 0 {
            write!(f, "{} lines were dropped, it did not take them in time; ", self.dropped)?;
        }
        if let Some(why) = &self.why {
            write!(f, "{} lines could not be written ({why}); ", self.failed)?;
        }
        f.write_str("the run itself is not touched by that")
    }
}

impl SinkReport {
    /// True if it passed on everything.
    pub fn is_clean(&self) -> bool {
        self.dropped == 0 && self.failed == 0 && !self.stuck
    }
}

/// All sinks of a run.
pub struct Sinks {
    outlets: Vec<Arc<Outlet>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Frames that are given for pictures.
    spares: Arc<Queue<Frame>>,
}

impl Sinks {
    /// A thread for each of `sinks`.
    ///
    /// # Errors
    /// The system has no thread for one.
    pub fn start(sinks: Vec<Box<dyn Sink>>) -> io::Result<Sinks> {
        let takers = sinks.iter().filter(|sink| sink.wants().pictures).count();
        let spares = Arc::new(Queue::new(takers * PICTURES_MAX));
        for _ in 0..takers * PICTURES_MAX {
            let _ = spares.push_newest(Frame::new()); // has room
        }
        let mut all = Sinks { outlets: Vec::new(), threads: Mutex::default(), spares };
        for sink in sinks {
            let outlet = Arc::new(Outlet::of(sink.as_ref()));
            let (inner, spares) = (Arc::clone(&outlet), Arc::clone(&all.spares));
            let thread = Builder::new().name(format!("sink {}", outlet.name));
            let thread = thread.spawn(move || inner.work(sink, &spares))?; // those before end with their queues
            all.outlets.push(outlet);
            all.threads.get_mut().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(all)
    }

    /// The run begins.
    pub fn begin(&self, names: Names) {
        let names = Arc::new(names);
        self.outlets.iter().for_each(|outlet| outlet.put(Item::Begin(Arc::clone(&names))));
    }

    /// An event is durable.
    pub fn event(&self, recorded: &Durable<Recorded>) {
        self.wanting(|wants| wants.events).for_each(|outlet| outlet.put(Item::Event(*recorded)));
    }

    /// A frame was looked at; `fill` says what is to be told of it.
    pub fn frame(&self, fill: impl Fn(&mut Looked)) {
        for outlet in self.wanting(|wants| wants.frames) {
            match outlet.boxes.pop(Duration::ZERO) {
                Pop::Item(mut looked) => {
                    fill(&mut looked);
                    outlet.put(Item::Frame(looked));
                }
                Pop::Timeout | Pop::Closed => outlet.drop_one(),
            }
        }
    }

    /// A picture was redacted; a frame to be used again is given for it. Larger pictures than a live source may have are
    /// kept by nobody: see [`LIVE_BYTES_MAX`].
    pub fn picture(&self, picture: Redacted<Frame>) -> Frame {
        if self.wanting(|wants| wants.pictures).next().is_none() {
            return picture.recycle();
        }
        let fits = picture.get().bytes() <= LIVE_BYTES_MAX;
        let (true, Pop::Item(spare)) = (fits, self.spares.pop(Duration::ZERO)) else {
            self.wanting(|wants| wants.pictures).for_each(|outlet| outlet.drop_one());
            return picture.recycle();
        };
        let shared = Arc::new(picture);
        for outlet in self.wanting(|wants| wants.pictures) {
            if outlet.pictures.fetch_add(1, Ordering::SeqCst) < PICTURES_MAX {
                outlet.put(Item::Picture(Arc::clone(&shared)));
            } else {
                outlet.pictures.fetch_sub(1, Ordering::SeqCst);
                outlet.drop_one();
            }
        }
        match Arc::into_inner(shared) {
            Some(back) => {
                let _ = self.spares.push_newest(spare); // nobody took it, or all are done with it
                back.recycle()
            }
            None => spare,
        }
    }

    /// Something failed.
    pub fn trouble(&self, what: &str) {
        self.wanting(|wants| wants.troubles).for_each(|outlet| outlet.put(Item::Trouble(what.into())));
    }

    /// A line of the program's own.
    pub fn words(&self, stream: Stream, line: &str) {
        self.wanting(|wants| wants.words == Some(stream)).for_each(|outlet| outlet.put(Item::Words(line.into())));
    }

    /// Ends the sinks one after the other: waits at most `patience` until each has told all that it was given, and says what
    /// became of it. `told` hears of each before the next one is ended, so that this one can still tell it. What comes later
    /// is dropped.
    pub fn finish(&self, patience: Duration, mut told: impl FnMut(&SinkReport)) -> Vec<SinkReport> {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let reports = self.outlets.iter().zip(threads).map(|(outlet, thread)| {
            outlet.queue.close();
            let deadline = Instant::now() + patience;
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(ASK);
            }
            let report = outlet.report(!thread.is_finished());
            told(&report);
            report
        });
        reports.collect()
    }

    fn wanting(&self, wants: impl Fn(&Wants) -> bool) -> impl Iterator<Item = &Outlet> {
        self.outlets.iter().map(AsRef::as_ref).filter(move |outlet: &&Outlet| wants(&outlet.wants))
    }
}

/// Nobody is waited for.
impl Drop for Sinks {
    fn drop(&mut self) {
        self.outlets.iter().for_each(|outlet| outlet.queue.close());
    }
}

impl Outlet {
    fn of(sink: &dyn Sink) -> Outlet {
        let wants = sink.wants();
        let boxes = Queue::new(FRAMES_MAX);
        if wants.frames {
            for _ in 0..FRAMES_MAX {
                let _ = boxes.push_newest(Box::default()); // has room
            }
        }
        Outlet {
            name: sink.name(),
            wants,
            queue: Queue::new(ITEMS_MAX),
            boxes,
            pictures: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            why: Mutex::default(),
        }
    }

    /// Queues an item, or drops and counts it.
    fn put(&self, item: Item) {
        let Err(refused) = self.queue.push(item, Duration::ZERO) else { return };
        self.drop_one();
        match refused.into_inner() {
            Item::Frame(looked) => drop(self.boxes.push_newest(looked)), // the queue holds every box there is
            Item::Picture(_) => drop(self.pictures.fetch_sub(1, Ordering::SeqCst)),
            _ => {}
        }
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// The sink's thread: until the queue is closed and empty.
    fn work(&self, mut sink: Box<dyn Sink>, spares: &Queue<Frame>) {
        loop {
            let item = match self.queue.pop(WAIT) {
                Pop::Item(item) => item,
                Pop::Timeout => continue,
                Pop::Closed => return,
            };
            let told = match item {
                Item::Begin(names) => {
                    sink.begin(&names);
                    Ok(())
                }
                Item::Event(recorded) => sink.event(&recorded),
                Item::Frame(looked) => {
                    let told = sink.frame(&looked);
                    let _ = self.boxes.push_newest(looked); // the queue holds every box there is
                    told
                }
                Item::Picture(picture) => {
                    let told = sink.picture(&picture);
                    if let Some(picture) = Arc::into_inner(picture) {
                        let _ = spares.push_newest(picture.recycle()); // one was given for it
                    }
                    self.pictures.fetch_sub(1, Ordering::SeqCst);
                    told
                }
                Item::Trouble(what) => sink.trouble(&what),
                Item::Words(line) => sink.words(&line),
            };
            if let Err(SinkError(why)) = told {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
            }
        }
    }

    fn report(&self, stuck: bool) -> SinkReport {
        let waiting = if stuck { self.queue.len() as u64 } else { 0 };
        SinkReport {
            name: self.name,
            dropped: self.dropped.load(Ordering::Relaxed) + waiting,
            failed: self.failed.load(Ordering::Relaxed),
            why: self.why.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            stuck,
        }
    }
}
