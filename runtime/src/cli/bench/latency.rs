//! From a frame in memory to the edge of a simulated pin: detection, rule and line, without camera and log.

use std::time::Instant;

use lapwing_camera::frame::Frame;
use lapwing_firmware::trigger::{Polarity, RuleConfig};
use lapwing_runtime::config::BoundRule;
use lapwing_runtime::latency::Histogram;
use lapwing_runtime::pins::Line;
use lapwing_runtime::pipeline::RuleRunner;
use lapwing_runtime::rules::Watch;
use lapwing_vision::detect::{DetectOptions, Detector};

use super::Failure;

/// Shows `frame` to `detector` and a rule that fires at anything, `runs` times.
pub(super) fn frame_to_pin(detector: &mut Detector, frame: &Frame, runs: u32) -> Result<Histogram, Failure> {
    let options = DetectOptions::of(detector.manifest());
    let classes: Vec<u16> =
        (0..detector.manifest().classes.names.len()).filter_map(|c| u16::try_from(c).ok()).collect();
    let rule = BoundRule {
        watch: Watch::new("bench", &classes, 0.0, None),
        // released by an empty frame before each, so that every frame moves the pin
        trigger: RuleConfig { hold_ms: 0, ..RuleConfig::default() },
        output: None,
        polarity: Polarity::ActiveHigh,
        armed_by: None,
        fired_by: None,
    };
    let mut runner =
        RuleRunner::new(0, &rule, Line::open(None, rule.polarity).map_err(Failure::job)?).map_err(Failure::job)?;
    let mut found = Histogram::default();
    for run in 0..u64::from(runs) {
        let now_us = (run + 1) * 40_000;
        runner.observe(now_us - 20_000, 0, &[], (frame.width(), frame.height()));
        let start = Instant::now();
        detector.detect(frame, &options).map_err(Failure::job)?;
        let fired = runner.observe(now_us, 0, detector.detections(), (frame.width(), frame.height()));
        if fired.is_some() {
            found.record(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
    Ok(found)
}
