//! The float engine: stock tract runs the network in f32.
//!
//! It is the reference for every faster engine: the same manifest, the same input, the same
//! outputs. One plan is made at load and its state is reused for every picture.

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

use crate::onnx::{self, OnnxGraph, words};
use lapwing_engine::EngineError;
use lapwing_engine::manifest::{AxisOrder, InputSpec};

/// A network as an ONNX file, and what the manifest says of its input.
#[derive(Debug, Clone, Copy)]
pub struct OnnxFile<'a> {
    /// The file's bytes.
    pub bytes: &'a [u8],
    /// From picture to input tensor.
    pub input: &'a InputSpec,
    /// Tensors at which the network ends; none: at the file's own outputs.
    pub outputs: &'a [String],
    /// Where it came from, for messages.
    pub origin: &'a str,
}

/// A network that is ready to run in f32.
pub struct FloatEngine {
    state: TypedSimpleState,
    input_shape: [usize; 4],
    output_names: Vec<String>,
    output_shapes: Vec<Vec<usize>>,
    origin: String,
}

/// The raw outputs of one run, in the order of the network.
pub struct Outputs(TVec<TValue>);

impl Outputs {
    /// Whatever numbers a network gives (labels are whole, some exports end in float64) are read as float32.
    fn of(values: TVec<TValue>) -> Outputs {
        let float = |value: TValue| match value.datum_type() {
            DatumType::F32 => value,
            // what is no number at all (strings) stays as it is, and is not read
            _ => value.cast_to::<f32>().map_or_else(|_| value.clone(), |cast| cast.into_owned().into_tvalue()),
        };
        Outputs(values.into_iter().map(float).collect())
    }

    /// Output `index` as a flat slice in row-major order; `None` if there is no such output.
    pub fn get(&self, index: usize) -> Option<&[f32]> {
        self.0.get(index).and_then(|value| value.as_plain_ram()?.as_slice::<f32>().ok())
    }

    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if the network has no output.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FloatEngine {
    /// Parses, types, optimises and plans the network. Takes some hundred milliseconds.
    ///
    /// # Errors
    /// tract's words, with the step that failed.
    pub fn load(file: OnnxFile<'_>) -> Result<FloatEngine, EngineError> {
        let origin = file.origin.to_owned();
        let failed = |stage: &'static str| {
            let origin = origin.clone();
            move |what: String| EngineError::Load { origin, stage, what }
        };
        let input_shape = input_shape(file.input);
        let typed = typed(file)?;
        let output_names = output_names(&typed).map_err(|e| failed("finding its outputs")(words(&e)))?;
        let plan = onnx::runnable(typed).map_err(failed("optimising it"))?;
        let output_shapes = onnx::output_shapes(plan.model()).map_err(failed("working out its outputs"))?;
        let state = plan.spawn().map_err(|e| failed("planning it")(words(&e)))?;
        Ok(FloatEngine { state, input_shape, output_names, output_shapes, origin })
    }

    /// Another engine of the same network, which is planned once for both.
    ///
    /// # Errors
    /// tract's words.
    pub fn sharing_weights(&self) -> Result<FloatEngine, EngineError> {
        let FloatEngine { state, input_shape, output_names, output_shapes, origin, .. } = self;
        let failed = |e| EngineError::Load { origin: origin.clone(), stage: "planning it", what: words(&e) };
        Ok(FloatEngine {
            state: state.plan().spawn().map_err(failed)?,
            input_shape: *input_shape,
            output_names: output_names.clone(),
            output_shapes: output_shapes.clone(),
            origin: origin.clone(),
        })
    }

    /// Shape of the input tensor: (1, 3, h, w) or (1, h, w, 3).
    pub fn input_shape(&self) -> [usize; 4] {
        self.input_shape
    }

    /// Shapes of the outputs, in the order of the network.
    pub fn output_shapes(&self) -> &[Vec<usize>] {
        &self.output_shapes
    }

    /// Names of the outputs, in the order of the network.
    pub fn output_names(&self) -> &[String] {
        &self.output_names
    }

    /// Runs the network on `input`, a flat tensor of [`FloatEngine::input_shape`].
    pub fn run(&mut self, input: &[f32]) -> Result<Outputs, EngineError> {
        Tensor::from_shape(&self.input_shape, input)
            .map_err(|e| words(&e))
            .and_then(|tensor| onnx::run(&mut self.state, tvec!(tensor.into_tvalue())))
            .map(Outputs::of)
            .map_err(|what| EngineError::Run { origin: self.origin.clone(), what })
    }
}

/// The network as tract understands it, its shapes fixed by the manifest.
///
/// # Errors
/// tract's words, with the step that failed.
pub fn typed(file: OnnxFile<'_>) -> Result<TypedModel, EngineError> {
    typed_graph(graph(file)?, file)
}

/// The file's graph, up to where the network ends.
pub(crate) fn graph(file: OnnxFile<'_>) -> Result<OnnxGraph, EngineError> {
    OnnxGraph::read(file.bytes).and_then(|graph| graph.ended_at(file.outputs)).map_err(|what| EngineError::Load {
        origin: file.origin.to_owned(),
        stage: "reading it as ONNX",
        what,
    })
}

/// As [`typed`], of a graph that was made of the file's.
pub(crate) fn typed_graph(graph: OnnxGraph, file: OnnxFile<'_>) -> Result<TypedModel, EngineError> {
    let origin = file.origin.to_owned();
    let failed = |stage: &'static str| {
        let origin = origin.clone();
        move |what: String| EngineError::Load { origin, stage, what }
    };
    let input_shape = input_shape(file.input);
    let mut parsed = graph.parsed().map_err(failed("reading it as ONNX"))?;
    check_input(&parsed.model, input_shape).map_err(|what| EngineError::Shape { origin: origin.clone(), what })?;
    let known = parsed.model.set_input_fact(0, f32::fact(input_shape).into()).map_err(|e| words(&e));
    known.and_then(|()| parsed.typed()).map_err(failed("working out its shapes"))
}

/// Shape of the input tensor: (1, 3, h, w) or (1, h, w, 3).
pub fn input_shape(spec: &InputSpec) -> [usize; 4] {
    let (h, w) = (spec.height as usize, spec.width as usize);
    match spec.layout {
        AxisOrder::Nchw => [1, 3, h, w],
        AxisOrder::Nhwc => [1, h, w, 3],
    }
}

/// A static input of the file must agree with the manifest; a dynamic one takes the manifest's.
fn check_input(parsed: &InferenceModel, expected: [usize; 4]) -> Result<(), String> {
    let outlets = parsed.input_outlets().map_err(|e| words(&e))?;
    if outlets.len() != 1 {
        return Err(format!("it has {} inputs; a detector has one", outlets.len()));
    }
    let fact = parsed.outlet_fact(outlets[0]).map_err(|e| words(&e))?;
    if let Some(found) =
        fact.shape.concretize().and_then(|dims| dims.iter().map(|d| d.to_usize().ok()).collect::<Option<Vec<_>>>())
        && found != expected
    {
        return Err(format!(
            "input {:?} has shape {found:?}, the manifest says {expected:?}; correct `input.width`, `input.height` or `input.layout`",
            parsed.node(outlets[0].node).name
        ));
    }
    Ok(())
}

fn output_names(model: &TypedModel) -> TractResult<Vec<String>> {
    let name = |o: &OutletId| model.outlet_label(*o).map_or_else(|| model.node(o.node).name.clone(), str::to_owned);
    Ok(model.output_outlets()?.iter().map(name).collect())
}
