//! Loads an artifact and runs it once on a grey picture: `cargo run --release --example run -- model.lap`.
#![allow(clippy::print_stdout)]

use std::error::Error;

use lapwing_engine::{Artifact, Int8Engine};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("call it with the path of a .lap file")?;
    // reads the file, proves its checksum and checks the whole graph
    let artifact = Artifact::from_bytes(std::fs::read(path)?)?;
    // lays out memory and packs weights for this processor's best instruction set; one thread
    let mut engine = Int8Engine::load(&artifact, 1)?;

    // input: (height, width, 3) bytes; each plane has a table from pixel value to the network's number
    let (width, height) = (artifact.manifest.input.width as usize, artifact.manifest.input.height as usize);
    let grey = engine.tables().each_ref().map(|plane| plane[128]);
    engine.run(&grey.repeat(width * height));

    // outputs: float32, in the shapes of the original network
    engine.dequantize();
    for (index, shape) in engine.output_shapes().iter().enumerate() {
        let values = engine.output(index).unwrap_or_default();
        let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        println!("output {index}: shape {shape:?}, greatest value {most:.3}");
    }
    println!("{} ran on {}", artifact.manifest.name, engine.plan().kernels());
    Ok(())
}
