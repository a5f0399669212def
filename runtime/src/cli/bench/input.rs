//! The part of `lapwing bench` that compares the two ways from a camera's picture to the network's input.

use std::time::{Duration, Instant};

use lapwing_camera::frame::raw::{RawLayout, to_rgb};
use lapwing_camera::frame::yuv::Colour;
use lapwing_camera::frame::{Frame, PixelFormat};
use lapwing_engine::manifest::{AxisOrder, InputSpec};
use lapwing_vision::input::InputTensor;
use serde_json::{Value, json};

use crate::cli::out::Failure;

/// What cameras give most often.
const KINDS: [(PixelFormat, u32, u32); 4] = [
    (PixelFormat::Yuyv, 640, 480),
    (PixelFormat::Nv12, 640, 480),
    (PixelFormat::Nv12, 1280, 720),
    (PixelFormat::Rgb, 640, 480),
];

/// For each kind of picture: medians in ms of one pass (`fused_ms`) and of converting, then resizing, then looking up
/// (`plain_ms`), and how many of the values differ by more than one level.
pub fn measure(spec: &InputSpec, runs: u32) -> Result<Vec<Value>, Failure> {
    let levels = [std::array::from_fn(|v| v as u8); 3];
    let mut fused = InputTensor::new(spec, AxisOrder::Nhwc, levels);
    let mut plain = InputTensor::new(spec, AxisOrder::Nhwc, levels);
    KINDS
        .iter()
        .map(|&(format, width, height)| {
            let frame = picture(format, width, height)?;
            let mut developed = Frame::new();
            let (mut fused_times, mut plain_times) = (Vec::new(), Vec::new());
            // in turns, so that whatever else the machine does meets both
            for _ in 0..runs.max(3) {
                fused_times.push(time(|| fused.fill(&frame).map(|_| ()))?);
                plain_times.push(time(|| plainly(&frame, &mut developed, &mut plain))?);
            }
            let pairs = fused.values().iter().zip(plain.values());
            let off = pairs.filter(|(a, b)| a.abs_diff(**b) > 1).count();
            let (fused_ms, plain_ms) = (median_ms(fused_times), median_ms(plain_times));
            Ok(json!({
                "format": format.name(), "width": width, "height": height,
                "fused_ms": fused_ms, "plain_ms": plain_ms, "values_off": off,
            }))
        })
        .collect()
}

/// All of the picture to RGB, then resized, then looked up.
fn plainly(frame: &Frame, developed: &mut Frame, tensor: &mut InputTensor<u8>) -> Result<(), String> {
    let raw = frame.raw().ok_or("the picture is not raw")?;
    developed.reset(frame.width(), frame.height()).map_err(|e| e.to_string())?;
    to_rgb(&raw, developed.rgb_mut());
    tensor.fill(developed).map(|_| ()).map_err(|e| e.to_string())
}

/// A smooth picture with some detail.
fn picture(format: PixelFormat, width: u32, height: u32) -> Result<Frame, Failure> {
    let layout = RawLayout::packed(format, (width, height), Colour::VIDEO).map_err(Failure::job)?;
    let mut frame = Frame::new();
    let bytes = frame.reset_raw(&layout).map_err(Failure::job)?;
    for plane in layout.planes() {
        for (y, row) in bytes[plane.at..].chunks_mut(plane.stride).take(plane.rows).enumerate() {
            for (x, byte) in row.iter_mut().enumerate() {
                *byte = (64 + (x / 16 + y / 8) % 128) as u8;
            }
        }
    }
    Ok(frame)
}

fn time<E: std::fmt::Display>(mut run: impl FnMut() -> Result<(), E>) -> Result<Duration, Failure> {
    let start = Instant::now();
    run().map_err(|e| Failure::Job(e.to_string()))?;
    Ok(start.elapsed())
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    (times[times.len() / 2].as_secs_f64() * 1e7).round() / 1e4
}
