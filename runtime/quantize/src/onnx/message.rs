//! tract's errors as messages of one line.

use tract_onnx::prelude::TractError;

/// A chain of causes on one line, bounded, without backtraces.
pub fn words(error: &TractError) -> String {
    const LENGTH_MAX: usize = 600;
    let mut line = error.chain().map(|c| c.to_string()).collect::<Vec<_>>().join(": ").replace('\n', " ");
    if let Some((cut, _)) = line.char_indices().nth(LENGTH_MAX) {
        line.truncate(cut);
        line.push('…');
    }
    line
}
