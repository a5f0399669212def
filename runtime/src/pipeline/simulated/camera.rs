//! The camera that acts a script.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{ASKED, DEAD_MAN_ASKED, PATIENCE, State, Step, World};
use lapwing_camera::frame::{Frame, picture};
use lapwing_camera::photos::PHOTOS;
use lapwing_camera::{Next, Pacing, Source, SourceError};

/// A camera that acts a script and then ends.
pub(super) struct Camera {
    pub world: Arc<World>,
    pub pacing: Pacing,
    pub script: std::vec::IntoIter<Step>,
    /// The step that has not ended yet, and since when.
    pub current: Option<(Step, Instant)>,
}

impl Camera {
    fn show(&self, photo: Option<&'static str>, frame: &mut Frame) -> Next {
        let seq = self.world.act(|state| {
            state.shown += 1;
            state.shown
        });
        match photo {
            Some(name) => {
                let (_, bytes) = PHOTOS.iter().find(|(known, _)| *known == name).unwrap();
                picture::decode(bytes, name, frame).unwrap();
            }
            None => {
                frame.reset(16, 16).unwrap();
                frame.rgb_mut().fill(128);
            }
        }
        frame.set_name(&format!("{} {seq}", photo.unwrap_or("blank")));
        frame.captured_us = self.world.lock().now_us;
        Next::Frame
    }

    fn settle_dead_man(&self) {
        let asked = self.world.lock().dead_man_asked;
        self.world.wait_or_stuck(|state| state.dead_man_asked >= asked + DEAD_MAN_ASKED);
    }

    fn broken(&self) -> Next {
        let error = SourceError::Mjpeg { path: "camera".into(), frame: 0, at: 0, why: "no end".into() };
        Next::Broken(error)
    }
}

impl Source for Camera {
    fn next(&mut self, frame: &mut Frame, deadline: Duration) -> Next {
        loop {
            let (step, since) = match self.current.take() {
                Some(unfinished) => unfinished,
                None => match self.script.next() {
                    Some(step) => (step, Instant::now()),
                    None => return Next::End,
                },
            };
            match step {
                Step::Show(name) => return self.show(Some(name), frame),
                Step::Late(name, ms) => {
                    let shown = self.show(Some(name), frame);
                    frame.captured_us = frame.captured_us.saturating_sub(ms * 1000);
                    return shown;
                }
                Step::Make(paint) => {
                    let next = self.show(None, frame);
                    paint(frame);
                    return next;
                }
                Step::Blank => return self.show(None, frame),
                Step::Broken => return self.broken(),
                Step::Lost => return Next::Lost(SourceError::NoSuchPath { path: "camera".into() }),
                Step::Panic => panic!("the camera's driver has a mistake"),
                Step::Nap(ms) => std::thread::sleep(Duration::from_millis(ms)),
                Step::PanicDetector => self.world.act(|state| state.detector_panics = true),
                Step::Pass(ms) => self.world.act(|state| state.now_us += ms * 1000),
                Step::Until(holds) => {
                    if !self.world.wait(deadline, &holds) {
                        if since.elapsed() > PATIENCE {
                            self.world.act(State::give_up);
                            return Next::End;
                        }
                        self.current = Some((Step::Until(holds), since));
                        return Next::Timeout;
                    }
                }
                Step::BrokenUntil(times, holds) => {
                    if times > 0 && !holds(&self.world.lock()) {
                        self.current = Some((Step::BrokenUntil(times - 1, holds), since));
                        self.world.act(|state| state.now_us += 10_000);
                        return self.broken();
                    }
                }
                Step::Hold => {
                    self.world.act(|state| state.hold = true);
                    self.world.wait_or_stuck(|state| state.held);
                }
                Step::Release => self.world.act(|state| state.hold = false),
                Step::Settle => {
                    let asked = self.world.lock().asked;
                    self.world.wait_or_stuck(|state| state.asked >= asked + ASKED);
                    self.settle_dead_man();
                }
                Step::SettleDeadMan => self.settle_dead_man(),
                Step::Do(mut act) => self.world.act(|state| act(state)),
                Step::Stop => self.world.stop.store(true, Ordering::SeqCst),
            }
        }
    }

    fn pacing(&self) -> Pacing {
        self.pacing
    }

    fn describe(&self) -> String {
        "a camera by a script".into()
    }

    fn len_hint(&self) -> Option<u64> {
        None
    }
}
