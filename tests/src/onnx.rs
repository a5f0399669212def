//! Tiny ONNX networks, written byte by byte: protocol buffers need a tag, a length and the bytes.

/// Appends a number of seven bits a byte.
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(field: u64, value: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(value, out);
}

fn bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// A constant of float32.
pub struct Constant<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its extents.
    pub shape: &'a [u64],
    /// Its values, row by row.
    pub values: &'a [f32],
}

/// A node without attributes: operator, inputs, output.
pub type Node<'a> = (&'a str, &'a [&'a str], &'a str);

fn value_info(name: &str, shape: &[u64]) -> Vec<u8> {
    let (mut dims, mut tensor, mut kind, mut info) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for &extent in shape {
        let mut dim = Vec::new();
        number(1, extent, &mut dim);
        bytes(1, &dim, &mut dims);
    }
    number(1, 1, &mut tensor); // float32
    bytes(2, &dims, &mut tensor);
    bytes(1, &tensor, &mut kind);
    bytes(1, name.as_bytes(), &mut info);
    bytes(2, &kind, &mut info);
    info
}

/// A network with one input and these outputs, all with their extents.
pub fn network(
    input: (&str, &[u64]),
    constants: &[Constant<'_>],
    nodes: &[Node<'_>],
    outputs: &[(&str, &[u64])],
) -> Vec<u8> {
    let mut graph = Vec::new();
    for (operator, inputs, output) in nodes {
        let mut node = Vec::new();
        inputs.iter().for_each(|name| bytes(1, name.as_bytes(), &mut node));
        bytes(2, output.as_bytes(), &mut node);
        bytes(3, output.as_bytes(), &mut node); // its name
        bytes(4, operator.as_bytes(), &mut node);
        bytes(1, &node, &mut graph);
    }
    bytes(2, b"net", &mut graph);
    for constant in constants {
        let mut tensor = Vec::new();
        constant.shape.iter().for_each(|&extent| number(1, extent, &mut tensor));
        number(2, 1, &mut tensor); // float32
        bytes(8, constant.name.as_bytes(), &mut tensor);
        let raw: Vec<u8> = constant.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        bytes(9, &raw, &mut tensor);
        bytes(5, &tensor, &mut graph);
    }
    bytes(11, &value_info(input.0, input.1), &mut graph);
    outputs.iter().for_each(|(name, shape)| bytes(12, &value_info(name, shape), &mut graph));
    let (mut opset, mut model) = (Vec::new(), Vec::new());
    number(2, 17, &mut opset);
    number(1, 8, &mut model); // version of the format
    bytes(7, &graph, &mut model);
    bytes(8, &opset, &mut model);
    model
}
