//! Raw pictures: every format against its definition, and layouts that lie.

use super::*;
use crate::frame::yuv::{Encoding, pixel};
use proptest::prelude::*;

const COLOURS: [Colour; 3] = [Colour::VIDEO, Colour::JPEG, Colour { encoding: Encoding::Bt709, range: Range::Limited }];

/// One pixel by the places that [`PixelFormat::components`] states: no code in common with [`to_rgb`].
fn by_components(raw: &Raw<'_>, x: usize, y: usize) -> [u8; 3] {
    let layout = raw.layout();
    let sample =
        |c: Component| raw.row(c.plane, y >> layout.format().shift_y(c.plane))[c.at + (x >> c.shift_x) * c.step];
    match layout.format().components() {
        Components::Grey(c) => pixel(sample(c), 128, 128, layout.colour()),
        Components::Yuv([y, u, v]) => pixel(sample(y), sample(u), sample(v), layout.colour()),
        Components::Rgb(rgb) => rgb.map(|c| match layout.colour().range {
            Range::Full => sample(c),
            Range::Limited => pixel(sample(c), 128, 128, layout.colour())[0],
        }),
    }
}

proptest! {
    #[test]
    fn every_format_is_read_where_its_samples_lie(
        format in 0usize..8, colour in 0usize..3, width in 1u32..20, height in 1u32..9, gap in 0usize..9, seed in any::<u64>(),
    ) {
        let format = PixelFormat::ALL[format];
        let strides = std::array::from_fn(|plane| format.row_bytes(plane, width) + gap * (plane + 1));
        let layout = RawLayout::new(format, (width, height), strides, COLOURS[colour]).unwrap();
        let mut state = seed;
        let bytes: Vec<u8> = (0..layout.bytes()).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        }).collect();
        let raw = Raw::new(&layout, &bytes).unwrap();
        let mut rgb = vec![0; rgb_bytes(width, height).unwrap()];
        to_rgb(&raw, &mut rgb);
        for y in 0..height as usize {
            for x in 0..width as usize {
                let at = (y * width as usize + x) * 3;
                prop_assert_eq!(&rgb[at..at + 3], &by_components(&raw, x, y)[..], "{:?} {} {}", format, x, y);
            }
        }
    }

    #[test]
    fn a_layout_is_refused_or_holds_every_row(
        format in 0usize..8, width in any::<u32>(), height in any::<u32>(), strides in any::<[usize; 3]>(),
    ) {
        let format = PixelFormat::ALL[format];
        if let Ok(layout) = RawLayout::new(format, (width, height), strides, Colour::VIDEO) {
            for plane in layout.planes() {
                prop_assert!(plane.at + plane.stride * plane.rows <= layout.bytes());
            }
        }
    }
}

#[test]
fn a_wrong_stride_is_refused() {
    let refused = |stride| RawLayout::new(PixelFormat::Yuyv, (640, 480), [stride, 0, 0], Colour::VIDEO).unwrap_err();
    assert!(matches!(refused(1279), FrameError::Stride { stride: 1279, row_bytes: 1280, .. }));
    assert!(matches!(refused(0), FrameError::Stride { .. }));
    assert!(matches!(refused(usize::MAX), FrameError::Stride { .. }));
    let layout = RawLayout::packed(PixelFormat::Nv12, (5, 3), Colour::VIDEO).unwrap();
    assert_eq!(layout.bytes(), 5 * 3 + 6 * 2);
    assert!(Raw::new(&layout, &[0; 26]).is_none());
    assert!(Raw::new(&layout, &[0; 27]).is_some());
}
