//! V4L2's four-character codes, and which of them lapwing reads.

use std::fmt;

use crate::frame::PixelFormat;
use crate::frame::yuv::{Colour, Encoding, Range};

/// Four characters that name a format.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// From V4L2's number.
    #[must_use]
    pub fn from_number(number: u32) -> FourCc {
        FourCc(number.to_le_bytes())
    }

    /// V4L2's number.
    #[must_use]
    pub fn number(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take_while(|&&b| b != 0).try_for_each(|&b| {
            let shown = if b.is_ascii_graphic() { char::from(b) } else { ' ' };
            write!(f, "{shown}")
        })
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What lapwing can do with a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Samples as they are; the flag: every plane in memory of its own.
    Raw(PixelFormat, bool),
    /// One JPEG a frame.
    Jpeg,
}

/// Formats in the order in which they are preferred where all are fast enough.
pub const USABLE: [(FourCc, Use); 13] = [
    (FourCc(*b"NV12"), Use::Raw(PixelFormat::Nv12, false)),
    (FourCc(*b"YUYV"), Use::Raw(PixelFormat::Yuyv, false)),
    (FourCc(*b"UYVY"), Use::Raw(PixelFormat::Uyvy, false)),
    (FourCc(*b"YU12"), Use::Raw(PixelFormat::Yu12, false)),
    (FourCc(*b"NV21"), Use::Raw(PixelFormat::Nv21, false)),
    (FourCc(*b"NM12"), Use::Raw(PixelFormat::Nv12, true)),
    (FourCc(*b"YM12"), Use::Raw(PixelFormat::Yu12, true)),
    (FourCc(*b"NM21"), Use::Raw(PixelFormat::Nv21, true)),
    (FourCc(*b"RGB3"), Use::Raw(PixelFormat::Rgb, false)),
    (FourCc(*b"BGR3"), Use::Raw(PixelFormat::Bgr, false)),
    (FourCc(*b"MJPG"), Use::Jpeg),
    (FourCc(*b"JPEG"), Use::Jpeg),
    (FourCc(*b"GREY"), Use::Raw(PixelFormat::Grey, false)),
];

/// What lapwing does with `fourcc`; `None`: nothing.
#[must_use]
pub fn use_of(fourcc: FourCc) -> Option<Use> {
    USABLE.iter().find(|(code, _)| *code == fourcc).map(|(_, kind)| *kind)
}

/// Whether `fourcc` is a mosaic of single colours as sensors give it: `BA81`, `RGGB`, `RG10`, `pgAA`, `BYR2` and so on.
#[must_use]
pub fn is_bayer(fourcc: FourCc) -> bool {
    match &fourcc.0 {
        b"BA81" | b"GBRG" | b"GRBG" | b"RGGB" | b"BYR2" => true,
        // sensor order, then bits a sample: RG10, BG12, GB14, BA10 (GRBG), GR12, RG16
        [a, b, b'1', b'0' | b'2' | b'4' | b'6'] => {
            matches!([*a, *b], [b'R', b'G'] | [b'B', b'G'] | [b'G', b'B'] | [b'G', b'R'] | [b'B', b'A'])
        }
        // packed (p), A-law (a) and DPCM (b): pRAA, pgCC, aRA8, bBA8
        [b'p', b'R' | b'B' | b'G' | b'g', a, b] => a == b && matches!(a, b'A' | b'C' | b'E'),
        [b'a' | b'b', b'R' | b'B' | b'G' | b'g', b'A', b'8'] => true,
        _ => false,
    }
}

/// What the driver's numbers say about colour, with V4L2's rules for what they leave open
/// (`V4L2_MAP_YCBCR_ENC_DEFAULT`, `V4L2_MAP_QUANTIZATION_DEFAULT` in `linux/videodev2.h`).
#[must_use]
pub fn colour(format: PixelFormat, colorspace: u32, ycbcr_enc: u32, quantization: u32) -> Colour {
    const SMPTE240M: u32 = 2;
    const REC709: u32 = 3;
    const JPEG: u32 = 7;
    const BT2020: u32 = 10;
    const DCI_P3: u32 = 12;
    let encoding = match (ycbcr_enc, colorspace) {
        // SMPTE 240M's weights (0.212, 0.087) are nearest to BT.709's
        (2 | 4 | 8, _) | (0, REC709 | DCI_P3 | SMPTE240M) => Encoding::Bt709,
        (6 | 7, _) | (0, BT2020) => Encoding::Bt2020,
        _ => Encoding::Bt601,
    };
    let is_rgb = matches!(format, PixelFormat::Rgb | PixelFormat::Bgr);
    let range = match quantization {
        1 => Range::Full,
        2 => Range::Limited,
        _ if is_rgb || colorspace == JPEG => Range::Full,
        _ => Range::Limited,
    };
    Colour { encoding, range }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let yuyv = FourCc(*b"YUYV");
        assert_eq!((yuyv.number(), yuyv.to_string()), (0x5659_5559, "YUYV".to_owned()));
        assert_eq!(FourCc::from_number(0x3231_564e).to_string(), "NV12");
        assert_eq!(FourCc(*b"Y10\0").to_string(), "Y10");
        for format in PixelFormat::ALL {
            let code = FourCc(format.name().as_bytes().try_into().unwrap());
            assert_eq!(use_of(code), Some(Use::Raw(format, false)));
        }
        assert_eq!(use_of(FourCc(*b"H264")), None);
    }

    #[test]
    fn what_a_raspberry_pi_s_sensor_node_gives_is_bayer() {
        for code in [b"pgAA", b"pBAA", b"pRAA", b"pGAA", b"BG10", b"GB10", b"BA10", b"RG10", b"RGGB", b"BA81", b"RG12"]
        {
            assert!(is_bayer(FourCc(*code)), "{}", FourCc(*code));
        }
        for code in [b"YUYV", b"NV12", b"MJPG", b"RGB3", b"BGR3", b"GREY", b"Y10 ", b"pBIT"] {
            assert!(!is_bayer(FourCc(*code)), "{}", FourCc(*code));
        }
    }

    #[test]
    fn what_the_driver_leaves_open_follows_from_the_colour_space() {
        let of = |format, numbers: [u32; 3]| colour(format, numbers[0], numbers[1], numbers[2]);
        let (yuyv, rgb) = (PixelFormat::Yuyv, PixelFormat::Rgb);
        let is = |encoding, range| Colour { encoding, range };
        assert_eq!(of(yuyv, [0, 0, 0]), is(Encoding::Bt601, Range::Limited));
        assert_eq!(of(yuyv, [8, 0, 0]), is(Encoding::Bt601, Range::Limited)); // sRGB: webcams
        assert_eq!(of(yuyv, [3, 0, 0]), is(Encoding::Bt709, Range::Limited)); // HDMI
        assert_eq!(of(yuyv, [3, 1, 1]), is(Encoding::Bt601, Range::Full));
        assert_eq!(of(yuyv, [7, 0, 0]), is(Encoding::Bt601, Range::Full));
        assert_eq!(of(yuyv, [10, 0, 0]), is(Encoding::Bt2020, Range::Limited));
        assert_eq!(of(rgb, [8, 0, 0]).range, Range::Full);
        assert_eq!(of(rgb, [8, 0, 2]).range, Range::Limited);
    }
}
