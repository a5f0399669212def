//! Calibration pictures as the network sees them: pixels of its input's size, eight bits each.
//!
//! Eight bits lose nothing (a picture has no more), so float32 values and quantized ones are made from
//! the same store. Its size is bounded; when more pictures come than may be kept, it thins out
//! evenly, so that what is kept spans everything that came.

use lapwing_engine::manifest::{AxisOrder, InputSpec};
use lapwing_engine::quant::Table;

/// Most bytes of pixels that are kept.
pub const SAMPLES_BYTES_MAX: usize = 256 << 20;
/// Most pictures on which results are compared.
pub const JUDGES_MAX: usize = 32;

/// One picture.
#[derive(Debug, Clone)]
struct Sample {
    name: String,
    /// (row, column, plane), planes in the order of the network's input.
    pixels: Vec<u8>,
}

/// Pictures for one network.
#[derive(Debug, Clone)]
pub struct Samples {
    spec: InputSpec,
    kept: Vec<Sample>,
    /// Every so many pictures that come, one is kept.
    every: usize,
    seen: usize,
    most: usize,
}

impl Samples {
    /// Room for `most` pictures, or for as many as [`SAMPLES_BYTES_MAX`] holds, whichever is less.
    pub fn new(spec: &InputSpec, most: usize) -> Samples {
        // twice the number is held while they come
        let bound = SAMPLES_BYTES_MAX / 2 / bytes(spec).max(1);
        Samples { spec: spec.clone(), kept: Vec::new(), every: 1, seen: 0, most: most.min(bound).max(1) }
    }

    /// Whether the next picture will be kept.
    pub fn wants_next(&self) -> bool {
        self.seen.is_multiple_of(self.every)
    }

    /// Passes over a picture.
    pub fn pass(&mut self) {
        self.seen += 1;
    }

    /// Takes a picture: `pixels` are (row, column, plane) of the input's size.
    pub fn add(&mut self, name: &str, pixels: &[u8]) {
        if self.wants_next() {
            self.kept.push(Sample { name: name.to_owned(), pixels: pixels.to_vec() });
        }
        self.seen += 1;
        if self.kept.len() >= 2 * self.most {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.every *= 2;
        }
    }

    /// No more will come: keeps as many as there is room for, spread evenly.
    pub fn finish(&mut self) {
        let (found, most) = (self.kept.len(), self.most);
        if found > most {
            let mut index = 0;
            self.kept.retain(|_| {
                let before = index * most / found;
                index += 1;
                index * most / found > before
            });
        }
    }

    /// Pictures that are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// True if none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The name of picture `index`.
    pub fn name(&self, index: usize) -> &str {
        self.kept.get(index).map_or("", |s| &s.name)
    }

    /// Picture `index` in float32, in the layout of the network's input.
    pub fn real(&self, index: usize, into: &mut Vec<f32>) {
        into.clear();
        let Some(sample) = self.kept.get(index) else { return };
        let of = |plane: usize, pixel: u8| (f32::from(pixel) - self.spec.mean[plane]) * self.spec.scale[plane];
        match self.spec.layout {
            AxisOrder::Nhwc => into.extend(sample.pixels.iter().enumerate().map(|(i, &p)| of(i % 3, p))),
            AxisOrder::Nchw => {
                for plane in 0..3 {
                    into.extend(sample.pixels.iter().skip(plane).step_by(3).map(|&p| of(plane, p)));
                }
            }
        }
    }

    /// Picture `index` through `tables`, one a plane: (row, column, plane).
    pub fn quantized(&self, index: usize, tables: &[Table; 3], into: &mut Vec<u8>) {
        into.clear();
        let Some(sample) = self.kept.get(index) else { return };
        into.extend(sample.pixels.iter().enumerate().map(|(i, &p)| tables[i % 3][usize::from(p)]));
    }

    /// The pictures on which results are measured, and those that means are taken from. Both are
    /// spread over all; they have none in common when there are two or more.
    pub fn split(&self) -> (Vec<usize>, Vec<usize>) {
        let (held_out, rest): (Vec<usize>, Vec<usize>) = (0..self.len()).partition(|i| i % 4 == 1);
        let rest = spread(&rest, JUDGES_MAX);
        if held_out.is_empty() { (rest.clone(), rest) } else { (spread(&held_out, JUDGES_MAX), rest) }
    }

    /// The input's description.
    pub fn spec(&self) -> &InputSpec {
        &self.spec
    }
}

fn bytes(spec: &InputSpec) -> usize {
    spec.width as usize * spec.height as usize * 3
}

/// At most `most` of `all`, evenly.
fn spread(all: &[usize], most: usize) -> Vec<usize> {
    let kept = all.len().min(most);
    (0..kept).map(|i| all[i * all.len() / kept]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_engine::Manifest;

    fn spec(layout: AxisOrder) -> InputSpec {
        let manifest = Manifest::parse(lapwing_models::DETECT_NANO.manifest).unwrap();
        InputSpec { width: 2, height: 1, layout, mean: [0.0, 10.0, 0.0], scale: [1.0, 2.0, 0.5], ..manifest.input }
    }

    #[test]
    fn what_is_kept_spans_all_that_came() {
        for came in [1usize, 7, 10, 11, 19, 20, 21, 1000] {
            let mut samples = Samples::new(&spec(AxisOrder::Nhwc), 10);
            for i in 0..came {
                samples.add(&i.to_string(), &[i as u8; 6]);
                assert!(samples.len() < 20);
            }
            samples.finish();
            assert!(samples.len() == came.min(10), "{came}: {}", samples.len());
            let last: usize = samples.name(samples.len() - 1).parse().unwrap();
            assert!(last >= came - came.div_ceil(5), "{came}: the last kept is {last}");
        }
    }

    #[test]
    fn a_large_input_keeps_fewer() {
        let spec = InputSpec { width: 2048, height: 2048, ..spec(AxisOrder::Nchw) };
        assert_eq!(Samples::new(&spec, 200).most, SAMPLES_BYTES_MAX / 2 / (2048 * 2048 * 3));
    }

    #[test]
    fn both_layouts_hold_the_same_numbers() {
        let mut real = Vec::new();
        for (layout, expected) in [
            (AxisOrder::Nhwc, [1.0, -16.0, 1.5, 4.0, -10.0, 3.0]),
            (AxisOrder::Nchw, [1.0, 4.0, -16.0, -10.0, 1.5, 3.0]),
        ] {
            let mut samples = Samples::new(&spec(layout), 1);
            samples.add("a", &[1, 2, 3, 4, 5, 6]);
            samples.real(0, &mut real);
            assert_eq!(real, expected);
        }
    }

    #[test]
    fn judges_are_not_those_that_means_are_taken_from() {
        let mut samples = Samples::new(&spec(AxisOrder::Nhwc), 300);
        for i in 0..300 {
            samples.add(&i.to_string(), &[0; 6]);
        }
        let (held_out, rest) = samples.split();
        assert_eq!((held_out.len(), rest.len()), (JUDGES_MAX, JUDGES_MAX));
        assert!(held_out.iter().all(|j| !rest.contains(j)));
    }
}
