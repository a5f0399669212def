//! `lapwing generate --table`: how far each sampler gets in how many steps.

use std::path::Path;
use std::time::{Duration, Instant};

use lapwing_camera::frame::Frame;
use lapwing_camera::frame::printable::Printable;
use lapwing_flow::generate::{PICTURES_MAX, Request};
use lapwing_flow::network::whole_context;
use lapwing_flow::table::{Row, Tabled};
use lapwing_flow::{Asked, FlowModel, VelocityNetwork, plot};
use serde_json::json;

use super::frames::{all_used, each_frame};
use super::out::{Failure, Out, complain, line};
use super::output_file::write_png;
use super::progress;

/// Pictures a point unless told otherwise: with fewer a distance says little.
pub const COUNT: u16 = 100;
/// Runs of the network by which the time is told beforehand.
const TRIALS: u32 = 5;

/// What is asked for.
pub struct Wanted<'a> {
    /// Where the plot and the pictures go.
    pub folder: &'a Path,
    /// Pictures to measure the distance to.
    pub reference: Option<&'a str>,
    /// Walks at the same time.
    pub threads: u8,
    /// Rows as JSON.
    pub json: bool,
}

/// Makes the table of `base`'s labels.
pub fn run(wanted: &Wanted<'_>, model: &FlowModel, base: &Request, out: &mut Out) -> Result<(), Failure> {
    let folder = wanted.folder;
    if base.labels.len() < 2 {
        return Err(Failure::call("--count 1: of one picture there is no distance to a set; give a hundred or more"));
    }
    std::fs::create_dir_all(folder)
        .map_err(|e| Failure::Call(format!("--table {}: {e}", Printable(folder.display()))))?;
    let side = model.manifest().velocity.side;
    let reference = wanted.reference.map_or_else(|| Ok(Vec::new()), |words| pictures(words, side))?;
    let tabled = Tabled { base, reference, threads: usize::from(wanted.threads) };
    let each = time_of(model.network(1)?.as_mut())?;
    let minutes = each.as_secs_f64() * tabled.evaluations() as f64 / f64::from(wanted.threads) / 60.0;
    let (count, runs) = (base.labels.len(), tabled.evaluations());
    complain!("{count} pictures a point, some {runs} runs of the network: about {minutes:.1} minutes");
    let bar = progress::bar(Some(0), "walking", true);
    let mut told = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let rows = measured(model, &tabled, &mut told)?;
    bar.finish_and_clear();
    tell(wanted, &rows, out)?;
    let mut frame = Frame::new();
    let to = wanted.reference.and_then(|words| Path::new(words).file_name()?.to_str());
    let to = to.unwrap_or("the flow's own ends");
    let title = format!("{}, {count} pictures a point, distance to {to}", model.manifest().name);
    plot::plot(&rows, &title, &mut frame).map_err(Failure::job)?;
    write_png(&frame, &folder.join("plot.png"))?;
    plot::pictures(&rows, side, &mut frame).map_err(Failure::job)?;
    write_png(&frame, &folder.join("pictures.png"))
}

#[cfg(feature = "onnx")]
fn measured(model: &FlowModel, tabled: &Tabled<'_>, told: &mut dyn FnMut(usize, usize)) -> Result<Vec<Row>, Failure> {
    let make = || model.network(1);
    let Some(mut found) = lapwing_flow::real::RealMeasure::of(model)? else {
        complain!("no classifier belongs to this flow: distances in cells only");
        return Ok(tabled.rows(&make, None, told)?);
    };
    complain!("measured by {}", found.about);
    Ok(tabled.rows(&make, Some(&mut |picture: &[u8]| found.measure(picture)), told)?)
}

#[cfg(not(feature = "onnx"))]
fn measured(model: &FlowModel, tabled: &Tabled<'_>, told: &mut dyn FnMut(usize, usize)) -> Result<Vec<Row>, Failure> {
    complain!("built without ONNX (feature `onnx`), which the classifier needs: distances in cells only");
    Ok(tabled.rows(&|| model.network(1), None, told)?)
}

fn tell(wanted: &Wanted<'_>, rows: &[Row], out: &mut Out) -> Result<(), Failure> {
    if !wanted.json {
        let names = ["sampler", "steps", "evaluations", "end", "cells", "features", "agreement"];
        let [a, b, c, d, e, f, g] = names;
        line!(out, "{a:<8} {b:>5} {c:>11} {d:>8} {e:>8} {f:>9} {g:>9}")?;
    }
    for row in rows {
        let walk = row.walk.name();
        if wanted.json {
            out.json(&json!({
                "sampler": walk, "steps": row.steps, "evaluations": row.evaluations, "end": row.end,
                "cells": row.cells, "features": row.features, "agreement": row.agreement,
            }))?;
            continue;
        }
        let or_none = |value: Option<f64>, digits: usize, unit: &str| {
            value.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}{unit}"))
        };
        let (end, features) = (or_none(row.end, 2, ""), or_none(row.features, 3, ""));
        let agreement = or_none(row.agreement.map(|a| a * 100.0), 1, " %");
        let (steps, evaluations, cells) = (row.steps, row.evaluations, row.cells);
        line!(out, "{walk:<8} {steps:>5} {evaluations:>11} {end:>8} {cells:>8.2} {features:>9} {agreement:>9}")?;
    }
    Ok(())
}

/// How long one run of the network takes.
fn time_of(network: &mut dyn VelocityNetwork) -> Result<Duration, Failure> {
    let manifest = network.manifest();
    let values = manifest.values();
    let asked = Asked { t: 0.5, label: manifest.condition.null_label, jump: false };
    let context = whole_context(manifest);
    let (x, mut v) = (vec![0.0; values], vec![0.0; values]);
    network.velocity(&x, &context, asked, &mut v)?; // makes its plan
    let start = Instant::now();
    for _ in 0..TRIALS {
        network.velocity(&x, &context, asked, &mut v)?;
    }
    Ok(start.elapsed() / TRIALS)
}

/// Pictures of the flow's own size.
fn pictures(words: &str, side: usize) -> Result<Vec<Vec<u8>>, Failure> {
    let (mut found, mut wrong) = (Vec::new(), None);
    let failures = each_frame(&[words.into()], &mut |frame| {
        let (width, height) = (frame.width(), frame.height());
        if (width, height) == (side as u32, side as u32) {
            found.push(frame.rgb().to_vec());
        } else {
            let name = frame.name();
            wrong = Some(format!("{name} is {width}x{height}, the flow makes {side}x{side}: scale it first"));
        }
        Ok(wrong.is_none() && found.len() < PICTURES_MAX)
    })?;
    if let Some(wrong) = wrong {
        return Err(Failure::Call(format!("--reference: {wrong}")));
    }
    all_used(failures)?;
    if found.len() < 2 {
        return Err(Failure::Call(format!("--reference {words}: it has too few pictures; give some hundred")));
    }
    Ok(found)
}
