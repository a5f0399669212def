//! An activation as the kernels look it up.

use super::super::ir::Conv;
use super::super::quant::Table;
use super::short_table::ShortTable;

/// A table of bytes in memory, and the same as three short ones where it is short and the kernels gain by that.
#[derive(Debug, Clone)]
pub struct PackedTable {
    entries: Table,
    short: Option<ShortTable>,
}

impl PackedTable {
    /// Room for the activation of `conv`, if it has one: taking its numbers, and others later, allocates nothing.
    pub fn room(conv: &Conv) -> Option<Box<PackedTable>> {
        conv.table.as_ref().map(|_| Box::new(PackedTable { entries: [0; 256], short: None }))
    }

    /// Takes the numbers of a table by the byte in memory, as a short one as well if `short` and if it is one.
    pub fn set(&mut self, entries: Table, short: bool) {
        self.short = if short { ShortTable::of(&entries) } else { None };
        self.entries = entries;
    }

    /// By the byte in memory.
    pub fn entries(&self) -> &Table {
        &self.entries
    }

    /// The same, if it is short.
    #[allow(dead_code, reason = "not every instruction set reads it")]
    pub fn short(&self) -> Option<&ShortTable> {
        self.short.as_ref()
    }
}
