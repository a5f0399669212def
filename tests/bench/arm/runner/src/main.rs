//! `lapwing-bench-arm MODEL.lap`: runs the network once to warm up and once between two marks.
//!
//! A mark is a seek on `/dev/null` to a place that nothing else seeks to; the counting plugin
//! (`../plugin.c`) sees it among the system calls. So a guest in any language can mark, without unsafe code.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use lapwing_runtime::engine::artifact::golden_input;
use lapwing_runtime::engine::{Artifact, Int8Engine};

/// Seeking to this place begins the measured region, to the next one ends it.
const MARK: u64 = 0x5001_0000_0000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: lapwing-bench-arm MODEL.lap")?;
    let artifact = Artifact::from_bytes(std::fs::read(path)?)?;
    let mut engine = Int8Engine::load(&artifact, 1)?;
    let input = golden_input(artifact.graph.tensor(artifact.graph.inputs[0]).shape.elements());
    let mut mark = File::open("/dev/null")?;
    engine.run(&input);
    mark.seek(SeekFrom::Start(MARK))?;
    engine.run(&input);
    mark.seek(SeekFrom::Start(MARK + 1))?;
    eprintln!("kernels={} mmac={:.3}", engine.plan().program().kernels(), artifact.graph.macs() as f64 / 1e6);
    Ok(())
}
