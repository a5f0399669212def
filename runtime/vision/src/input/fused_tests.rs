//! The fused pass against exact arithmetic, and against the plain way.

use proptest::prelude::*;

use super::*;
use crate::input::InputTensor;
use lapwing_camera::frame::raw::RawLayout;
use lapwing_camera::frame::yuv::{Colour, Encoding, Range};
use lapwing_camera::frame::{Frame, picture};
use lapwing_engine::kernels::lanes::Portable;
use lapwing_engine::manifest::{AxisOrder, Colour as Channels, Fit, InputSpec};

fn spec(side: u32, fit: Fit) -> InputSpec {
    let (colour, layout) = (Channels::Rgb, AxisOrder::Nhwc);
    InputSpec {
        width: side,
        height: side,
        colour,
        layout,
        mean: [0.0; 3],
        scale: [1.0; 3],
        fit,
        pad: 114,
        resize: Resize::Area,
    }
}

/// A tensor of levels.
fn levels(spec: &InputSpec) -> InputTensor<u8> {
    InputTensor::new(spec, AxisOrder::Nhwc, [std::array::from_fn(|v| v as u8); 3])
}

fn frame_of(layout: &RawLayout, bytes: &[u8]) -> Frame {
    let mut frame = Frame::new();
    frame.reset_raw(layout).unwrap().copy_from_slice(bytes);
    frame
}

/// Red, green and blue of a pixel in float32, not cut off.
fn exact_pixel(raw: &Raw<'_>, x: usize, y: usize) -> [f64; 3] {
    let layout = raw.layout();
    let colour = layout.colour();
    let sample = |c: Component| {
        let row = raw.row(c.plane, y >> layout.format().shift_y(c.plane));
        f64::from(row[c.at + (x >> c.shift_x) * c.step])
    };
    let (kr, kb) = match colour.encoding {
        Encoding::Bt601 => (0.299, 0.114),
        Encoding::Bt709 => (0.2126, 0.0722),
        Encoding::Bt2020 => (0.2627, 0.0593),
    };
    let limited = colour.range == Range::Limited;
    let stretch = |v: f64| if limited { (v - 16.0) * 255.0 / 219.0 } else { v };
    let [l, u, v] = match layout.format().components() {
        Components::Rgb(rgb) => return rgb.map(|c| stretch(sample(c))),
        Components::Grey(c) => [sample(c), 128.0, 128.0],
        Components::Yuv(parts) => parts.map(sample),
    };
    let chroma = if limited { 255.0 / 224.0 } else { 1.0 };
    let (l, u, v, kg) = (stretch(l), (u - 128.0) * chroma, (v - 128.0) * chroma, 1.0 - kr - kb);
    let (red, blue) = (2.0 * (1.0 - kr) * v, 2.0 * (1.0 - kb) * u);
    [l + red, l - (kr * red + kb * blue) / kg, l + blue]
}

/// A weight of the triangle filter, not divided by the sum.
fn weight(filter: Resize, input: f64, output: f64, i: usize, o: usize) -> f64 {
    let scale = input / output;
    let centre = (o as f64 + 0.5) * scale;
    let (centre, reach) = match filter {
        Resize::Area => (centre, scale.max(1.0)),
        Resize::Bilinear => (centre.clamp(0.5, input - 0.5), 1.0),
    };
    (1.0 - (i as f64 + 0.5 - centre).abs() / reach).max(0.0)
}

/// One pixel of the resized picture, straight from the definition in two dimensions.
fn exact(filter: Resize, raw: &Raw<'_>, fitting: &Fitting, x: usize, y: usize) -> [f64; 3] {
    let (width, height) = (raw.layout().width() as usize, raw.layout().height() as usize);
    let (mut sum, mut weights) = ([0.0; 3], 0.0);
    for j in 0..height {
        let down = weight(filter, height as f64, f64::from(fitting.height), j, y);
        for i in (0..width).filter(|_| down > 0.0) {
            let weight = down * weight(filter, width as f64, f64::from(fitting.width), i, x);
            if weight > 0.0 {
                weights += weight;
                let pixel = exact_pixel(raw, i, j);
                (0..3).for_each(|c| sum[c] += weight * pixel[c]);
            }
        }
    }
    sum.map(|s| (s / weights).clamp(0.0, 255.0))
}

const COLOURS: [Colour; 3] = [Colour::VIDEO, Colour::JPEG, Colour { encoding: Encoding::Bt709, range: Range::Limited }];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn within_the_bound_of_exact_arithmetic(
        format in 0usize..8, colour in 0usize..3, width in 1u32..90, height in 1u32..70, side in 4u32..40,
        gap in 0usize..5, fit in 0usize..4, bilinear: bool, seed in any::<u64>(),
    ) {
        let format = PixelFormat::ALL[format];
        let strides = std::array::from_fn(|plane| format.row_bytes(plane, width) + gap);
        let layout = RawLayout::new(format, (width, height), strides, COLOURS[colour]).unwrap();
        let mut state = seed;
        let bytes: Vec<u8> = (0..layout.bytes()).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        }).collect();
        let resize = if bilinear { Resize::Bilinear } else { Resize::Area };
        let spec = InputSpec { resize, ..spec(side, [Fit::Stretch, Fit::Letterbox, Fit::LetterboxCentred, Fit::Crop][fit]) };
        let mut tensor = levels(&spec);
        let fitting = tensor.fill(&frame_of(&layout, &bytes)).unwrap();
        let part = layout.part(fitting.origin, fitting.part).unwrap();
        let raw = Raw::new(&part, &bytes).unwrap();
        for y in 0..side as usize {
            for x in 0..side as usize {
                let got = &tensor.values()[(y * side as usize + x) * 3..][..3];
                let inside = x.checked_sub(fitting.left as usize).zip(y.checked_sub(fitting.top as usize));
                let inside = inside.filter(|&(x, y)| x < fitting.width as usize && y < fitting.height as usize);
                let Some((inner_x, inner_y)) = inside else {
                    prop_assert_eq!(got, [114; 3]);
                    continue;
                };
                for (got, want) in got.iter().zip(exact(resize, &raw, &fitting, inner_x, inner_y)) {
                    prop_assert!((f64::from(*got) - want).abs() <= LEVELS_OFF_MAX, "{format:?} {x} {y}: {got} {want}");
                }
            }
        }
    }
}

/// `frame` in `format`, by the formula, with chroma of the top left pixel.
fn encode(frame: &Frame, format: PixelFormat) -> (RawLayout, Vec<u8>) {
    let layout = RawLayout::packed(format, (frame.width(), frame.height()), Colour::JPEG).unwrap();
    let mut bytes = vec![0; layout.bytes()];
    for y in (0..frame.height()).rev() {
        for x in (0..frame.width()).rev() {
            let [r, g, b] = frame.pixel(x, y).unwrap().map(f64::from);
            let luma = 0.299 * r + 0.587 * g + 0.114 * b;
            let yuv = [luma, (b - luma) / 1.772 + 128.0, (r - luma) / 1.402 + 128.0];
            let (parts, values) = match format.components() {
                Components::Grey(c) => (vec![c], vec![luma]),
                Components::Yuv(parts) => (parts.to_vec(), yuv.to_vec()),
                Components::Rgb(parts) => (parts.to_vec(), vec![r, g, b]),
            };
            for (c, value) in parts.into_iter().zip(values) {
                let plane = layout.planes()[c.plane];
                let row = (y >> format.shift_y(c.plane)) as usize;
                let at = plane.at + row * plane.stride + c.at + (x as usize >> c.shift_x) * c.step;
                bytes[at] = value.round().clamp(0.0, 255.0) as u8;
            }
        }
    }
    (layout, bytes)
}

/// On photographs both ways come to the same, but for colours that subsampled chroma puts outside RGB's cube: fewer than
/// one value in two hundred is off by more than two levels.
#[test]
fn a_photograph_is_the_same_on_both_ways() {
    let mut photo = Frame::new();
    let (name, bytes) = lapwing_camera::photos::PHOTOS[0];
    picture::decode(bytes, name, &mut photo).unwrap();
    for format in PixelFormat::ALL {
        let (layout, bytes) = encode(&photo, format);
        let frame = frame_of(&layout, &bytes);
        for side in [320, 200] {
            let resize = if side == 200 { Resize::Bilinear } else { Resize::Area };
            let spec = InputSpec { resize, ..spec(side, Fit::Letterbox) };
            let (mut fused, mut plain) = (levels(&spec), levels(&spec));
            let mut developed = frame_of(&layout, &bytes);
            developed.develop().unwrap();
            assert_eq!(fused.fill(&frame).unwrap(), plain.fill(&developed).unwrap());
            let off: Vec<u8> = fused.values().iter().zip(plain.values()).map(|(a, b)| a.abs_diff(*b)).collect();
            let mean = off.iter().map(|o| f64::from(*o)).sum::<f64>() / off.len() as f64;
            let far = off.iter().filter(|o| **o > 2).count();
            assert!(mean < 0.5, "{format:?} {side}: {mean}");
            assert!(far * 200 < off.len(), "{format:?} {side}: {far} of {} are off by more than 2", off.len());
        }
    }
}

#[test]
fn an_even_area_stays_even_at_any_size() {
    for (width, height, side) in [(1920, 1080, 320), (640, 480, 320), (50, 31, 97), (333, 7, 64)] {
        let layout = RawLayout::packed(PixelFormat::Nv12, (width, height), Colour::VIDEO).unwrap();
        let mut tensor = levels(&spec(side, Fit::Stretch));
        tensor.fill(&frame_of(&layout, &vec![128; layout.bytes()])).unwrap();
        assert!(tensor.values().iter().all(|v| *v == tensor.values()[0]));
        assert_eq!(tensor.values()[0], 130); // (128 - 16) * 255 / 219
    }
}

/// What plain loops give, to the last bit.
#[test]
fn every_instruction_set_gives_the_same_rows() {
    for (format, colour) in PixelFormat::ALL.into_iter().flat_map(|format| COLOURS.map(|colour| (format, colour))) {
        for (width, height, side) in [(64, 48, 32), (99, 61, 40), (33, 200, 16), (20, 10, 50)] {
            let layout = RawLayout::packed(format, (width, height), colour).unwrap();
            let bytes: Vec<u8> = (0..layout.bytes()).map(|i| (i * i / 7 + i * 31) as u8).collect();
            let raw = Raw::new(&layout, &bytes).unwrap();
            let fitting = Fitting::new(&spec(side, Fit::Letterbox), width, height);
            let (mut best, mut plain) = (Vec::new(), Vec::new());
            let collect = |into: &mut Vec<Vec<u8>>, row: &[u8]| into.push(row.to_vec());
            Fused::new(Resize::Area).run(&raw, &fitting, &mut |_, row| collect(&mut best, row));
            Fused::new(Resize::Area).pass(&raw, &fitting, &mut |_, row| collect(&mut plain, row)).run(Portable);
            assert_eq!(best.len(), fitting.height as usize);
            assert_eq!(best, plain, "{format:?} {colour:?} {width}x{height} to {side}");
        }
    }
}

/// The plan is made anew when the picture changes and not otherwise.
#[test]
fn pictures_of_different_kinds_may_alternate() {
    let spec = spec(32, Fit::Letterbox);
    let kinds = [(PixelFormat::Yuyv, 64, 48), (PixelFormat::Nv12, 64, 48), (PixelFormat::Grey, 20, 60)];
    let frames: Vec<Frame> = kinds
        .iter()
        .map(|&(format, width, height)| {
            let layout = RawLayout::packed(format, (width, height), Colour::VIDEO).unwrap();
            frame_of(&layout, &(0..layout.bytes()).map(|i| (i * 31 % 251) as u8).collect::<Vec<_>>())
        })
        .collect();
    let alone: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| {
            let mut tensor = levels(&spec);
            tensor.fill(frame).unwrap();
            tensor.values().to_vec()
        })
        .collect();
    let mut tensor = levels(&spec);
    for turn in 0..9 {
        tensor.fill(&frames[turn % 3]).unwrap();
        assert_eq!(tensor.values(), alone[turn % 3], "turn {turn}");
    }
}
