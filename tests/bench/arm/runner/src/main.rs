//! `lapwing-bench-arm MODEL.lap`: runs the network once to warm up and once between two marks; of a
//! flow, one step of its velocity.
//!
//! A mark is a seek on `/dev/null` to a place that nothing else seeks to; the counting plugin
//! (`../plugin.c`) sees it among the system calls. So a guest in any language can mark, without unsafe code.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use lapwing_engine::artifact::golden_input;
use lapwing_engine::{Artifact, Int8Engine, kernels};
use lapwing_flow::int8::{FlowArtifact, Int8Flow, artifact::MAGIC};
use lapwing_flow::network::{Asked, VelocityNetwork, context_values, unknown};

/// Seeking to this place begins the measured region, to the next one ends it.
const MARK: u64 = 0x5001_0000_0000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: lapwing-bench-arm MODEL.lap")?;
    let file = std::fs::read(path)?;
    if file.starts_with(MAGIC) {
        return flow(FlowArtifact::from_bytes(file)?);
    }
    let artifact = Artifact::from_bytes(file)?;
    let mut engine = Int8Engine::load(&artifact, 1)?;
    let input = golden_input(artifact.graph.tensor(artifact.graph.inputs[0]).shape.elements());
    let mut mark = File::open("/dev/null")?;
    engine.run(&input);
    mark.seek(SeekFrom::Start(MARK))?;
    engine.run(&input);
    mark.seek(SeekFrom::Start(MARK + 1))?;
    eprintln!("kernels={} mmac={:.3}", engine.plan().kernels(), artifact.graph.macs() as f64 / 1e6);
    Ok(())
}

fn flow(artifact: FlowArtifact) -> Result<(), Box<dyn std::error::Error>> {
    let manifest = artifact.manifest.clone();
    let mut flow = Int8Flow::load(&artifact, "flow", 1)?;
    let (x, mut v) = (vec![0.25; manifest.values()], vec![0.0; manifest.values()]);
    let mut context = vec![0.0; context_values(&manifest)];
    unknown(&mut context);
    let asked = Asked { t: 0.5, label: manifest.condition.null_label, jump: true };
    let mut mark = File::open("/dev/null")?;
    flow.velocity(&x, &context, asked, &mut v)?;
    mark.seek(SeekFrom::Start(MARK))?;
    flow.velocity(&x, &context, asked, &mut v)?;
    mark.seek(SeekFrom::Start(MARK + 1))?;
    eprintln!("kernels={} mmac={:.3}", kernels::best().name(), artifact.macs() as f64 / 1e6);
    Ok(())
}
