//! The promises of redaction: what is hidden is gone, has no influence, and stays gone whatever fails.

use proptest::prelude::*;

use super::*;
use lapwing_camera::frame::Frame;
use lapwing_flow::Filler;
use lapwing_vision::detect::Detection;

const PERSON: u16 = 0;

/// A frame in which no two neighbours are alike.
pub(super) fn noisy(width: u32, height: u32) -> Frame {
    let mut frame = Frame::new();
    frame.reset(width, height).unwrap();
    for (i, byte) in frame.rgb_mut().iter_mut().enumerate() {
        *byte = (i.wrapping_mul(2_654_435_761) >> 13) as u8;
    }
    frame
}

/// Fills a hole with the average of what is known, and some noise of the seed.
pub(super) struct Smooth;

impl Fill for Smooth {
    fn fill(&mut self, window: &[u8], hole: &[bool], seed: u64, out: &mut [u8]) -> Result<(), FillError> {
        let known = || window.chunks_exact(3).zip(hole).filter(|(_, hole)| !**hole).map(|(pixel, _)| pixel);
        assert!(window.chunks_exact(3).zip(hole).all(|(pixel, hole)| !hole || pixel == [0; 3]));
        let count = known().count();
        assert!(count > 0 && count < hole.len(), "something is known and something is hole");
        let average = [0, 1, 2].map(|c| known().map(|p| usize::from(p[c])).sum::<usize>() / count);
        for (i, pixel) in out.chunks_exact_mut(3).enumerate() {
            let noise = ((i as u64).wrapping_mul(seed) % seed.clamp(1, 16)) as u8;
            pixel.copy_from_slice(&average.map(|v| (v as u8).saturating_add(noise)));
        }
        Ok(())
    }
}

struct Broken;

impl Fill for Broken {
    fn fill(&mut self, _: &[u8], _: &[bool], _: u64, out: &mut [u8]) -> Result<(), FillError> {
        out.fill(9);
        Err(FillError("out of paint".into()))
    }
}

/// Finds what it was told to, look by look; then nothing.
struct Told(Vec<Result<Vec<Detection>, String>>, Vec<Detection>);

impl Look for Told {
    fn look(&mut self, _: &Frame) -> Result<&[Detection], String> {
        self.1 = if self.0.is_empty() { Vec::new() } else { self.0.remove(0)? };
        Ok(&self.1)
    }
}

fn person(bounds: [f32; 4]) -> Detection {
    Detection::new(PERSON, 0.5, bounds)
}

fn redactor(looks: Vec<Result<Vec<Detection>, String>>) -> Redactor {
    Redactor::new(Hiding::new(&[PERSON], 0.2)).with_fill(Box::new(Smooth), Box::new(Told(looks, Vec::new())))
}

fn rect(x0: u32, y0: u32, x1: u32, y1: u32) -> Rect {
    Rect { x0, y0, x1, y1 }
}

fn regions(rects: &[Rect]) -> Regions {
    let mut regions = Regions::default();
    for (seed, &rect) in rects.iter().enumerate() {
        regions.add(Region::whole(rect, seed as u64 + 1));
    }
    regions
}

/// The colours in a rectangle.
fn colours(frame: &Frame, rect: Rect) -> std::collections::HashSet<[u8; 3]> {
    (rect.y0..rect.y1)
        .flat_map(|y| (rect.x0..rect.x1).map(move |x| (x, y)))
        .filter_map(|(x, y)| frame.pixel(x, y))
        .collect()
}

const LEFT: Rect = Rect { x0: 20, y0: 20, x1: 60, y1: 80 };
const RIGHT: Rect = Rect { x0: 120, y0: 30, x1: 160, y1: 90 };

#[test]
fn each_level_does_what_it_says() {
    let both = regions(&[LEFT, RIGHT]);
    let (mosaic, account) = redactor(vec![]).redact(noisy(200, 120), &both, Level::Mosaic);
    assert_eq!((account.regions, account.mosaic), (2, 2));
    assert!((2..=25).contains(&colours(mosaic.get(), LEFT).len()));
    for level in [Level::Black, Level::Drop] {
        let (black, account) = redactor(vec![]).redact(noisy(200, 120), &both, level);
        assert_eq!((account.regions, account.black), (2, 2));
        assert_eq!(colours(black.get(), RIGHT).len(), 1);
    }
    let (filled, account) = redactor(vec![]).redact(noisy(200, 120), &both, Level::Fill);
    assert_eq!((account.regions, account.filled, account.found), (2, 2, 0));
    assert!(colours(filled.get(), LEFT).len() > 100);
    let (mosaic, account) = Redactor::new(Hiding::new(&[PERSON], 0.2)).redact(noisy(200, 120), &both, Level::Fill);
    assert_eq!((account.filled, account.mosaic), (0, 2), "one that cannot fill makes mosaics");
    assert!(colours(mosaic.get(), LEFT).len() <= 25);
}

#[test]
fn a_fill_that_shows_someone_is_tried_again_then_a_mosaic_and_then_black() {
    let someone = || Ok(vec![person([25.0, 20.0, 65.0, 70.0])]);
    let both = regions(&[LEFT, RIGHT]);
    let wider = rect(20, 14, 71, 80);
    let seen = |times: usize| {
        let looks = (0..times).map(|_| someone()).collect();
        let (frame, account) = redactor(looks).redact(noisy(200, 120), &both, Level::Fill);
        assert_eq!((account.regions, account.second_tries, account.found), (2, 1, 1));
        assert!(colours(frame.get(), RIGHT).len() > 100, "the other region stays filled");
        assert!(untouched(&frame, wider) < 60, "all of what was found is hidden");
        (account, colours(frame.get(), wider).len())
    };
    let (account, colours) = seen(1);
    assert_eq!((account.filled, account.fell_back), (2, 0));
    assert!(colours > 100);
    let (account, colours) = seen(2);
    assert_eq!((account.filled, account.fell_back, account.mosaic), (1, 1, 1));
    assert!((2..=25).contains(&colours), "{colours}");
    let (account, colours) = seen(3);
    assert_eq!((account.filled, account.fell_back, account.black), (1, 1, 1));
    assert_eq!(colours, 1);
}

/// Pixels of a rectangle that are still those of [`noisy`].
fn untouched(frame: &Redacted<Frame>, rect: Rect) -> usize {
    let (frame, before) = (frame.get(), noisy(frame.get().width(), frame.get().height()));
    let pixels = (rect.y0..rect.y1).flat_map(|y| (rect.x0..rect.x1).map(move |x| (x, y)));
    pixels.filter(|&(x, y)| frame.pixel(x, y) == before.pixel(x, y)).count()
}

#[test]
fn only_what_is_hidden_counts_in_the_second_look() {
    let dog = Detection { class: 3, ..person([25.0, 20.0, 55.0, 70.0]) };
    let unsure = Detection { score: 0.1, ..person([25.0, 20.0, 55.0, 70.0]) };
    let (_, account) = redactor(vec![Ok(vec![dog, unsure])]).redact(noisy(200, 120), &regions(&[LEFT]), Level::Fill);
    assert_eq!((account.filled, account.found), (1, 0));
}

#[test]
fn who_is_found_only_by_the_second_look_is_covered_too() {
    // one far from every region, one of whom a region holds only the hand
    for (bounds, late) in [([130.0, 40.0, 150.0, 80.0], 1), ([40.0, 10.0, 180.0, 110.0], 0)] {
        let (frame, account) =
            redactor(vec![Ok(vec![person(bounds)])]).redact(noisy(200, 120), &regions(&[LEFT]), Level::Fill);
        assert_eq!((account.found, account.found_late), (1, late));
        let inside = Rect::touched(bounds, 200, 120).unwrap();
        assert!(untouched(&frame, inside) < 100, "{}", untouched(&frame, inside));
    }
}

#[test]
fn whatever_fails_the_mosaic_stays() {
    let one = regions(&[LEFT]);
    let mosaic = redactor(vec![]).redact(noisy(200, 120), &one, Level::Mosaic).0;
    let mut blind = redactor(vec![Err("dazzled".into())]);
    let (frame, account) = blind.redact(noisy(200, 120), &one, Level::Fill);
    assert_eq!((account.look_errors, account.fell_back, account.mosaic), (1, 1, 1));
    assert!(blind.take_trouble().unwrap().contains("dazzled") && blind.take_trouble().is_none());
    assert_eq!(frame.get(), mosaic.get());
    let look = Told(Vec::new(), Vec::new());
    let mut broken = Redactor::new(Hiding::new(&[PERSON], 0.2)).with_fill(Box::new(Broken), Box::new(look));
    let (frame, account) = broken.redact(noisy(200, 120), &one, Level::Fill);
    assert_eq!((account.fill_errors, account.filled, account.mosaic), (1, 0, 1));
    assert!(broken.take_trouble().unwrap().contains("out of paint"));
    assert_eq!(frame.get(), mosaic.get());
    let all = regions(&[rect(0, 0, 200, 120)]);
    let (frame, account) = redactor(vec![]).redact(noisy(200, 120), &all, Level::Fill);
    assert_eq!((account.no_surroundings, account.mosaic), (1, 1));
    assert!(colours(frame.get(), rect(0, 0, 200, 120)).len() <= 25);
}

/// The shipped flow, asked for so many steps.
struct Steps(Filler, usize);

impl Fill for Steps {
    fn fill(&mut self, window: &[u8], hole: &[bool], seed: u64, out: &mut [u8]) -> Result<(), FillError> {
        self.0.fill(window, hole, self.1, seed, out).map_err(|e| FillError(e.to_string()))
    }
}

#[test]
fn what_the_flow_refuses_leaves_the_frame_redacted() {
    let flow = |steps| {
        let fill = Box::new(Steps(Filler::builtin().unwrap(), steps));
        Redactor::new(Hiding::new(&[PERSON], 0.2)).with_fill(fill, Box::new(Told(Vec::new(), Vec::new())))
    };
    let one = regions(&[LEFT]);
    let mosaic = redactor(vec![]).redact(noisy(200, 120), &one, Level::Mosaic).0;
    for steps in [0, 1000] {
        let mut refusing = flow(steps);
        let (frame, account) = refusing.redact(noisy(200, 120), &one, Level::Fill);
        assert_eq!((account.fill_errors, account.mosaic), (1, 1));
        assert_eq!(frame.get(), mosaic.get());
        let trouble = refusing.take_trouble().unwrap();
        assert!(trouble.contains(&format!("{steps} steps: give 1 to")), "{trouble}");
    }
    // a mask that covers all
    let whole = rect(0, 0, 200, 120);
    let (frame, account) = flow(2).redact(noisy(200, 120), &regions(&[whole]), Level::Fill);
    assert_eq!((account.no_surroundings, account.mosaic), (1, 1));
    assert!(colours(frame.get(), whole).len() <= 25);
}

#[test]
fn a_region_larger_than_the_frame_hides_what_there_is() {
    let (whole, corner) = (rect(0, 0, 200, 120), rect(150, 90, 200, 120));
    for level in [Level::Mosaic, Level::Fill, Level::Black] {
        let (frame, account) = redactor(vec![]).redact(noisy(200, 120), &regions(&[rect(0, 0, 4000, 3000)]), level);
        assert_eq!(account.regions, 1);
        assert!(colours(frame.get(), whole).len() <= 25, "{level:?}");
        let (frame, account) = redactor(vec![]).redact(noisy(200, 120), &regions(&[rect(150, 90, 999, 998)]), level);
        assert_eq!(account.regions, 1);
        assert!(untouched(&frame, corner) < 30, "{level:?}");
        assert_eq!(untouched(&frame, rect(0, 0, 150, 120)), 150 * 120, "{level:?}");
    }
    let (frame, account) = redactor(vec![]).redact(noisy(200, 120), &regions(&[rect(200, 0, 300, 50)]), Level::Black);
    assert_eq!((account.regions, untouched(&frame, whole)), (0, 200 * 120));
}

/// Two regions hide all of a third one, which is larger than each of them: it is painted when its turn comes, and nothing is
/// left for the generator ([`Smooth`] refuses to fill where there is no hole).
#[test]
fn what_others_have_painted_is_not_filled_again() {
    let all = regions(&[rect(10, 20, 60, 50), rect(10, 50, 60, 80), rect(12, 22, 58, 78)]);
    assert_eq!(all.as_slice().len(), 3);
    let (_, account) = redactor(vec![]).redact(noisy(200, 120), &all, Level::Fill);
    assert_eq!((account.regions, account.filled), (3, 3));
}

proptest! {
    /// Whatever lies under the regions, the filled frame is the same, byte for byte; and outside nothing is changed.
    #[test]
    fn hidden_pixels_have_no_influence(
        width in 30u32..260, height in 30u32..200, seed in any::<u64>(),
        places in prop::collection::vec((0.0f32..0.9, 0.0f32..0.9, 0.05f32..0.5, 0.05f32..0.6), 1..5),
    ) {
        let mut all = Regions::default();
        for (i, (x, y, w, h)) in places.into_iter().enumerate() {
            let (fw, fh) = (width as f32, height as f32);
            all.add_box([x * fw, y * fh, (x + w) * fw, (y + h) * fh], width, height, i as u64 + seed % 9);
        }
        let under = |i: usize| {
            let (x, y) = (i as u32 / 3 % width, i as u32 / 3 / width);
            all.as_slice().iter().any(|r| r.rect.holds(&rect(x, y, x + 1, y + 1)))
        };
        let (plain, mut marked) = (noisy(width, height), noisy(width, height));
        let mut random = seed;
        for (i, byte) in marked.rgb_mut().iter_mut().enumerate() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if under(i) {
                *byte = (random >> 56) as u8;
            }
        }
        let before = plain.rgb().to_vec();
        let (a, account) = redactor(vec![]).redact(plain, &all, Level::Fill);
        let (b, _) = redactor(vec![]).redact(marked, &all, Level::Fill);
        if account.filled == account.regions {
            prop_assert_eq!(a.get(), b.get());
        }
        for (i, (a, was)) in a.get().rgb().iter().zip(&before).enumerate() {
            prop_assert!(a == was || under(i));
        }
        prop_assert_eq!(account.filled + account.mosaic + account.black, account.regions);
    }
}
