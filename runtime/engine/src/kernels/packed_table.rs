//! The activation of a convolution as the kernels look it up.

use super::super::ir::Conv;
use super::super::quant::Table;
use super::short_table::ShortTable;

/// If there is one: a table of bytes in memory, and the same as three short ones where it is short and the kernels gain by
/// that.
#[derive(Debug, Clone, Default)]
pub struct PackedTable(Option<Box<Forms>>);

#[derive(Debug, Clone)]
struct Forms {
    entries: Table,
    short: Option<ShortTable>,
}

impl PackedTable {
    /// Room for the activation of `conv`: taking its numbers, and others later, allocates nothing.
    pub fn room(conv: &Conv) -> PackedTable {
        PackedTable(conv.table.as_ref().map(|_| Box::new(Forms { entries: [0; 256], short: None })))
    }

    /// Takes the numbers of a table by the byte in memory, if there is room; as a short one as well if `short` and if it is
    /// one.
    pub fn set(&mut self, entries: Table, short: bool) {
        if let Some(forms) = &mut self.0 {
            forms.short = if short { ShortTable::of(&entries) } else { None };
            forms.entries = entries;
        }
    }

    /// By the byte in memory.
    pub fn entries(&self) -> Option<&Table> {
        self.0.as_deref().map(|forms| &forms.entries)
    }

    /// The same, if it is short.
    #[allow(dead_code, reason = "not every instruction set reads it")]
    pub fn short(&self) -> Option<&ShortTable> {
        self.0.as_deref()?.short.as_ref()
    }
}
