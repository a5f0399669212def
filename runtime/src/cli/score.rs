//! `lapwing score`: how unusual pictures of a watched scene are.

use std::path::PathBuf;
use std::time::Instant;

use lapwing_camera::frame::Frame;
use lapwing_camera::frame::printable::Printable;
use lapwing_flow::anomaly::{Bits, CELLS, ORDINARY_MIN, Scene, bits};
use lapwing_flow::crop::cut;
use lapwing_flow::likelihood::Settings;
use lapwing_flow::manifest::STEPS_MAX;
use lapwing_flow::{FlowModel, VelocityNetwork};
use serde_json::json;

use super::frames::each_picture;
use super::out::{Failure, Out, line};

/// Arguments of `lapwing score`.
#[derive(clap::Args)]
#[command(
    after_help = "The score is the bits per dimension of the picture under the flow (instantaneous change of variables, \
    Hutchinson's estimator). Alone it says mostly how busy a picture is. With --reference it is taken cell by cell, \
    8x8 of them, and told in standard deviations of ordinary pictures of the same place: above 3 something is \
    different, most of all in the cell that is named (left,top,width,height).\n\n\
    Examples:\n  lapwing score --reference quiet/ now.jpg\n  \
    lapwing score --region 100,40,320,320 --reference quiet/ night.tar --json"
)]
pub struct Args {
    /// Pictures, folders, .tar archives or clips
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Ordinary pictures of the scene, at least 8
    #[arg(long, value_name = "PATH")]
    reference: Option<PathBuf>,
    /// The part to look at, in pixels: left,top,width,height; default: all
    #[arg(long, value_name = "X,Y,W,H", value_parser = rectangle)]
    region: Option<[u32; 4]>,
    /// A flow: flow-patch, flow-patch-float, a .lap or a folder
    #[arg(long, value_name = "M", default_value = "flow-patch")]
    model: String,
    /// Steps of the walk to noise; each runs the network six times
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=STEPS_MAX as i64))]
    steps: u16,
    /// Estimates that are averaged
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    probes: u16,
    /// Half the length of the central differences
    #[arg(long, value_name = "R", hide = true)]
    reach: Option<f64>,
    /// Threads of a flow in eight bits
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// One JSON object a picture, on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let model = FlowModel::open(&args.model)?;
    let mut scorer = Scorer {
        network: model.network(usize::from(args.threads))?,
        settings: Settings { steps: usize::from(args.steps), ..Settings::default() },
        probes: usize::from(args.probes),
        region: args.region,
    };
    if let Some(reach) = args.reach {
        scorer.settings.reach = reach;
    }
    let scene = match &args.reference {
        None => None,
        Some(path) => {
            let mut found = Vec::new();
            each_picture(std::slice::from_ref(path), &mut |frame| {
                found.push(scorer.bits(frame)?);
                Ok(true)
            })?;
            let few = || {
                let (path, count) = (Printable(path.display()), found.len());
                Failure::Call(format!("--reference {path}: {count} pictures can be used; give at least {ORDINARY_MIN}"))
            };
            Some(Scene::of(&found).ok_or_else(few)?)
        }
    };
    let mut trouble = Ok(());
    let failures = each_picture(&args.paths, &mut |frame| {
        let start = Instant::now();
        let bits = scorer.bits(frame)?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let deviations = scene.as_ref().map(|scene| scene.deviations(&bits));
        let place = scene.as_ref().map(|scene| scorer.place(frame, scene.strangest(&bits)));
        let (name, whole) = (frame.name(), bits.whole); // for JSON
        let shown = Printable(name);
        trouble = match (args.json, deviations, place) {
            (true, ..) => out.json(&json!({
                "image": name, "bits_per_dimension": whole, "deviations": deviations, "where": place, "ms": ms,
            })),
            (false, Some(deviations), Some([x, y, w, h])) => {
                line!(out, "{shown}: {whole:.3} bits per dimension, {deviations:+.1} deviations, at {x},{y},{w},{h}")
            }
            _ => line!(out, "{shown}: {whole:.3} bits per dimension"),
        };
        Ok(trouble.is_ok())
    })?;
    trouble?;
    match failures {
        0 => Ok(()),
        failures => Err(Failure::Job(format!("{failures} pictures could not be scored, see above"))),
    }
}

/// Left, top, width and height.
fn rectangle(words: &str) -> Result<[u32; 4], String> {
    let numbers: Result<Vec<u32>, _> = words.split(',').map(|word| word.trim().parse()).collect();
    let four = numbers.ok().and_then(|numbers| <[u32; 4]>::try_from(numbers).ok());
    four.ok_or_else(|| "give left,top,width,height in pixels, as in 100,40,320,320".into())
}

struct Scorer {
    network: Box<dyn VelocityNetwork>,
    settings: Settings,
    probes: usize,
    region: Option<[u32; 4]>,
}

impl Scorer {
    fn region(&self, frame: &Frame) -> [u32; 4] {
        self.region.unwrap_or([0, 0, frame.width(), frame.height()])
    }

    /// The pixels of a cell: left, top, width, height.
    fn place(&self, frame: &Frame, (row, column): (usize, usize)) -> [u32; 4] {
        let [x, y, w, h] = self.region(frame);
        let cut = |length: u32, at: usize| (u64::from(length) * at as u64 / CELLS as u64) as u32;
        let (left, top) = (cut(w, column), cut(h, row));
        [x + left, y + top, cut(w, column + 1) - left, cut(h, row + 1) - top]
    }

    fn bits(&mut self, frame: &Frame) -> Result<Bits, String> {
        let [x, y, w, h] = self.region(frame);
        let inside = |at: u32, length: u32, of: u32| length > 0 && at.checked_add(length).is_some_and(|end| end <= of);
        if !inside(x, w, frame.width()) || !inside(y, h, frame.height()) {
            return Err(format!("--region {x},{y},{w},{h} does not lie in its {}x{}", frame.width(), frame.height()));
        }
        let picture = cut(frame, [x, y, w, h].map(f64::from), self.network.manifest().velocity.side)?;
        bits(self.network.as_mut(), &picture, &self.settings, self.probes).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_four_numbers() {
        assert_eq!(rectangle("100,40,320,0"), Ok([100, 40, 320, 0]));
        for wrong in ["", "1,2,3", "1,2,3,4,5", "1,2,3,-4", "1;2;3;4", "a,b,c,d"] {
            assert!(rectangle(wrong).unwrap_err().contains("100,40"), "{wrong}");
        }
    }
}
