//! Heads give the same boxes from bytes as from the float32 values that the bytes stand for.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::candidates::{Candidate, Candidates};
use super::options::{DetectOptions, Labels};
use super::{FAMILIES, Optional, head};
use lapwing_engine::Manifest;
use lapwing_engine::ir::{Checked, Graph, Node, Op, Output, Part, Shape, Signature, Tensor, TensorId};
use lapwing_engine::kernels;
use lapwing_engine::manifest::Fit;
use lapwing_engine::plan::Plan;
use lapwing_engine::quant::Quant;

const CLASSES: usize = 3;

pub(super) fn manifest(family: &str) -> Manifest {
    let anchors = match family {
        "yolov5" | "yolov3" => "anchors = [[[9.0, 7.0], [3.0, 8.0]], [[20.0, 11.0], [6.0, 30.0]]]\n",
        "yolov4" => "anchors = [[[9.0, 7.0], [3.0, 8.0]], [[20.0, 11.0], [6.0, 30.0]]]\ncentre_scale = [1.2, 1.05]\n",
        _ => "",
    };
    let text = format!(
        "format = 1\nname = \"toy\"\nfile = \"toy.onnx\"\n[input]\nwidth = 48\nheight = 32\ncolour = \"rgb\"\n\
        layout = \"nchw\"\nmean = [0.0, 0.0, 0.0]\nscale = [1.0, 1.0, 1.0]\nfit = \"letterbox\"\n[head]\n\
        family = \"{family}\"\nstrides = [8, 16]\n{anchors}score_min = 0.25\nnms_iou = 0.5\n[classes]\nnames = [\"a\", \"b\", \"c\"]\n"
    );
    Manifest::parse(&text).unwrap()
}

/// Tensors of random bytes, two grids of 6x4 and 3x2 pixels.
struct Net {
    rng: TestRng,
    graph: Graph,
}

impl Net {
    fn new(seed: u64) -> Net {
        let mut bytes = [9u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Net { rng: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes), graph: Graph::default() }
    }

    /// An input and a table of its values whose result reaches from `low` to `high`.
    fn tensor(&mut self, width: usize, channels: usize, low: f32, high: f32) -> TensorId {
        let shape = Shape { height: width * 2 / 3, width, channels };
        let part = |rng: &mut TestRng| (rng.next_u32() % 1000) as f32 / 1000.0;
        let quant = Quant::covering(low * part(&mut self.rng), high * part(&mut self.rng));
        let id = TensorId(self.graph.tensors.len() as u32);
        let result = TensorId(id.0 + 1);
        self.graph.tensors.extend([Tensor { shape, quant }, Tensor { shape, quant }]);
        self.graph.inputs.push(id);
        let table = Box::new(std::array::from_fn(|_| (self.rng.next_u32() >> 9) as u8));
        let name = format!("t{}", id.0);
        self.graph.nodes.push(Node { name, op: Op::Table(table), inputs: vec![id], output: result });
        result
    }

    fn ltrb(seed: u64) -> Graph {
        Net::maps(seed, &[(CLASSES, -9.0, 5.0), (4, -8.0, 7.0)])
    }

    /// Outputs in the order of ONNX: for each stride so many channels, from `low` to `high`.
    fn maps(seed: u64, of_a_stride: Channels) -> Graph {
        let mut net = Net::new(seed);
        for width in [6, 3] {
            for &(channels, low, high) in of_a_stride {
                let tensor = net.tensor(width, channels, low, high);
                let area = width * width * 2 / 3;
                let parts = vec![Part { tensor, base: 0, strides: [width, 1, area] }];
                let shape = vec![1, channels, width * 2 / 3, width];
                net.graph.outputs.push(Output { name: "y".into(), shape, parts });
            }
        }
        net.graph
    }

    fn yolox(seed: u64, joined: bool) -> Graph {
        let mut net = Net::new(seed);
        let row = 5 + CLASSES;
        let mut parts = Vec::new();
        for (first, width) in [(0, 6), (24, 3)] {
            let split: &[(usize, usize)] = if joined { &[(0, row)] } else { &[(0, 4), (4, 1), (5, CLASSES)] };
            for &(channel, channels) in split {
                let tensor = net.tensor(width, channels, -1.5, 1.0);
                parts.push(Part { tensor, base: first * row + channel, strides: [width * row, row, 1] });
            }
        }
        net.graph.outputs.push(Output { name: "y".into(), shape: vec![1, 30, row], parts });
        net.graph
    }
}

/// Candidates from float32 values and from bytes.
fn both(graph: Graph, family: &str, options: &DetectOptions, seed: u64) -> [Vec<Candidate>; 2] {
    let shapes = graph.output_shapes();
    let head = head(&manifest(family), &shapes).unwrap();
    let mut decoder = head.byte_decoder(&Signature::of(&graph)).unwrap();
    let mut noise = Net::new(!seed);
    let all = kernels::available();
    let kernels = all[noise.rng.next_u32() as usize % all.len()];
    let mut plan = Plan::new(&Checked::new(graph).unwrap(), kernels, 1).unwrap();
    for input in 0..plan.signature().inputs.len() {
        for y in 0..8 {
            let row: Vec<u8> = (0..6 * 8).map(|_| (noise.rng.next_u32() >> 7) as u8).collect();
            plan.write_row(input, y, &row);
        }
    }
    plan.run();
    let mut outputs = vec![Vec::new(); shapes.len()];
    outputs.iter_mut().enumerate().for_each(|(index, values)| plan.real_output(index, values));
    let [mut real, mut bytes] = [Candidates::default(), Candidates::default()];
    head.decode(&|i| outputs.get(i).map(Vec::as_slice), options, &mut real);
    decoder.decode(&plan, options, &mut bytes);
    [real.sorted().to_vec(), bytes.sorted().to_vec()]
}

/// Channels of a map, and what its values reach from and to.
type Channels = &'static [(usize, f32, f32)];

/// Families on maps, and channels of a stride with their ranges.
const ON_MAPS: [(&str, Channels); 10] = [
    ("ltrb", &[(CLASSES, -9.0, 5.0), (4, -8.0, 7.0)]),
    ("dfl", &[(CLASSES, -9.0, 5.0), (4, -1.0, 9.0)]),
    ("dfl", &[(CLASSES, -9.0, 5.0), (4 * 16, -8.0, 7.0)]),
    ("dfl", &[(CLASSES + 4 * 8, -6.0, 6.0)]),
    ("yolov5", &[(2 * (5 + CLASSES), -5.0, 5.0)]),
    ("yolov3", &[(2 * (5 + CLASSES), -5.0, 5.0)]),
    ("yolov4", &[(2 * (5 + CLASSES), -5.0, 5.0)]),
    ("rtmdet", &[(CLASSES, -9.0, 5.0), (4, -1.0, 9.0)]),
    ("rtmdet-exp", &[(CLASSES, -9.0, 5.0), (4, -8.0, 7.0)]),
    ("yolox-maps", &[(4, -2.0, 2.0), (1, -4.0, 4.0), (CLASSES, -3.0, 5.0)]),
];

proptest! {
    #[test]
    fn bytes_of_maps_give_what_real_numbers_give(seed: u64, family in 0..ON_MAPS.len(), score_min in 0.0f32..1.0, all: bool) {
        let labels = if all { Labels::All } else { Labels::Best };
        let options = DetectOptions { score_min, labels, ..DetectOptions::default() };
        let (family, maps) = ON_MAPS[family];
        let [real, bytes] = both(Net::maps(seed, maps), family, &options, seed);
        prop_assert_eq!(real, bytes);
    }

    #[test]
    fn bytes_give_what_real_numbers_give(seed: u64, score_min in 0.0f32..1.0, all: bool, exact: bool, joined: bool) {
        // a threshold that some byte stands for exactly
        let score_min = if exact { 0.5 } else { score_min };
        let labels = if all { Labels::All } else { Labels::Best };
        let options = DetectOptions { score_min, labels, ..DetectOptions::default() };
        let [real, bytes] = both(Net::ltrb(seed), "ltrb", &options, seed);
        prop_assert_eq!(real, bytes);
        let [real, bytes] = both(Net::yolox(seed, joined), "yolox", &options, seed);
        prop_assert_eq!(real, bytes);
    }
}

#[test]
fn the_property_is_not_about_nothing() {
    let options = DetectOptions { score_min: 0.2, labels: Labels::All, ..DetectOptions::default() };
    let found = |family: &str, graph: fn(u64) -> Graph| {
        (0..20).map(|seed| both(graph(seed), family, &options, seed)[0].len()).sum::<usize>()
    };
    for (family, maps) in ON_MAPS {
        let count: usize = (0..20).map(|seed| both(Net::maps(seed, maps), family, &options, seed)[0].len()).sum();
        assert!(count > 50, "{family} {maps:?}: {count}");
    }
    assert!(found("yolox", |seed| Net::yolox(seed, false)) > 50);
}

#[test]
fn outputs_in_another_order_are_dequantized_first() {
    let mut graph = Net::ltrb(1);
    let head = super::head(&manifest("ltrb"), &graph.output_shapes()).unwrap();
    assert!(head.byte_decoder(&Signature::of(&graph)).is_some());
    graph.outputs[0].parts[0].strides = [1, 4, 24];
    assert!(head.byte_decoder(&Signature::of(&graph)).is_none());
    let mut graph = Net::yolox(1, false);
    let head = super::head(&manifest("yolox"), &graph.output_shapes()).unwrap();
    graph.outputs[0].parts[1].strides[1] = 1;
    assert!(head.byte_decoder(&Signature::of(&graph)).is_none());
}

#[test]
fn an_unknown_family_is_named_with_those_that_are_known() {
    let error = head(&manifest("yolo11"), &[]).unwrap_err();
    assert!(error.contains("yolo11") && error.contains("fastestdet"), "{error}");
}

/// The rows of files that decode themselves; each box is the same one.
#[test]
fn rows_become_boxes() {
    let options = DetectOptions { score_min: 0.3, ..DetectOptions::default() };
    let families: [(&str, &[usize], &[f32]); 4] = [
        // a row a column; the last two are passed over
        (
            "yolov8",
            &[1, 9, 2],
            &[12.0, 1.0, 10.0, 1.0, 8.0, 1.0, 4.0, 1.0, 0.1, 0.1, 0.75, 0.2, 0.3, 0.1, 9.0, 9.0, 9.0, 9.0],
        ),
        (
            "yolov5-rows",
            &[1, 2, 8],
            &[12.0, 10.0, 8.0, 4.0, 0.75, 0.2, 1.0, 0.3, 1.0, 1.0, 1.0, 1.0, 0.2, 1.0, 1.0, 1.0],
        ),
        ("end2end", &[1, 2, 6], &[8.0, 8.0, 16.0, 12.0, 0.75, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        (
            "rtdetr",
            &[1, 2, 6],
            &[12.0 / 48.0, 10.0 / 32.0, 8.0 / 48.0, 4.0 / 32.0, 0.75, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        ),
    ];
    for (family, shape, values) in families {
        let mut manifest = manifest(family);
        if family.starts_with("yolov") {
            // as many cells as there are rows
            (manifest.input.width, manifest.input.height, manifest.head.strides) = (16, 8, vec![8]);
        }
        let head = head(&manifest, &[shape.to_vec()]).unwrap();
        let mut found = Candidates::default();
        head.decode(&|_| Some(values), &options, &mut found);
        let expected = Candidate { class: 1, score: 0.75, bounds: [8.0, 8.0, 16.0, 12.0], ..Candidate::default() };
        assert_eq!(found.sorted(), [expected], "{family}");
        let error = super::head(&manifest, &[vec![1, 5, 5]]).unwrap_err();
        assert!(error.contains(family) && error.contains("head.family"), "{error}");
    }
}

/// What a family does not read is refused: whoever states it counts on it.
#[test]
fn what_a_family_does_not_read_is_refused() {
    let shapes = [(2 * (5 + CLASSES), 6), (2 * (5 + CLASSES), 3)].map(|(c, width)| vec![1, c, width * 2 / 3, width]);
    let mut manifest = manifest("yolov4");
    assert!(super::head(&manifest, &shapes).is_ok());
    manifest.head.family = "yolov3".to_owned();
    assert!(super::head(&manifest, &shapes).unwrap_err().contains("head.centre_scale"));
    manifest.head.centre_scale.clear();
    assert!(super::head(&manifest, &shapes).is_ok());
    manifest.head.family = "yolov4".to_owned();
    assert!(super::head(&manifest, &shapes).unwrap_err().contains("scale_x_y"));
    for family in FAMILIES.iter().filter(|family| !family.reads.contains(&Optional::Anchors)) {
        manifest.head.family = family.name.to_owned();
        assert!(
            super::head(&manifest, &shapes).unwrap_err().contains("does not read `head.anchors`"),
            "{}",
            family.name
        );
    }
}

/// Whoever stands beside the middle would be found by nobody.
#[test]
fn a_crop_is_for_classifiers() {
    let mut manifest = manifest("end2end");
    manifest.input.fit = Fit::Crop;
    let error = super::head(&manifest, &[vec![1, 2, 6]]).unwrap_err();
    assert!(error.contains("crop") && error.contains("letterbox"), "{error}");
    manifest.head.family = "classes".to_owned();
    let classes = manifest.classes.names.len();
    assert!(super::head(&manifest, &[vec![1, classes]]).is_ok());
}
