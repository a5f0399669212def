//! The name_table of a log: the names behind the numbers in its events.
//!
//! An event stores a rule and a class by number. The name_table is a record of its own kind, written
//! when a run begins and again at the head of each segment, so that a log can be read without the
//! configuration that wrote it, also after its oldest segments are gone.
//!
//! Payload: one byte [`LEGEND_TAG`], then JSON `{"rules":["visitor"],"classes":{"14":"person"}}`.
//! An event's payload begins with its version, which is never [`LEGEND_TAG`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// First byte of a name_table's payload.
pub const LEGEND_TAG: u8 = 0xF0;

/// Names of rules and classes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameTable {
    /// Rule names by index.
    pub rules: Vec<String>,
    /// Class names by index; only classes that a rule watches.
    pub classes: BTreeMap<u16, String>,
}

impl NameTable {
    /// The payload, at most `bytes_max` long: classes that do not fit are left out, last first, then rules.
    pub fn encode(&self, bytes_max: usize) -> Vec<u8> {
        let mut name_table = self.clone();
        loop {
            let mut payload = vec![LEGEND_TAG];
            let written = serde_json::to_writer(&mut payload, &name_table);
            if written.is_ok() && payload.len() <= bytes_max {
                return payload;
            }
            if name_table.classes.pop_last().is_none() && name_table.rules.pop().is_none() {
                return vec![LEGEND_TAG];
            }
        }
    }

    /// Reads a payload; `None` if it is no name_table.
    pub fn decode(payload: &[u8]) -> Option<NameTable> {
        match payload.split_first() {
            Some((&LEGEND_TAG, json)) => serde_json::from_slice(json).ok(),
            _ => None,
        }
    }

    /// Name of a rule, or its number.
    pub fn rule(&self, index: u16) -> String {
        self.rules.get(usize::from(index)).cloned().unwrap_or_else(|| format!("rule {index}"))
    }

    /// Name of a class, or its number.
    pub fn class(&self, index: u16) -> String {
        self.classes.get(&index).cloned().unwrap_or_else(|| format!("class {index}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_never_outgrows_its_room() {
        let name_table = NameTable {
            rules: vec!["gate".into(), "yard".into()],
            classes: (0..200).map(|i| (i, format!("class-name-{i}"))).collect(),
        };
        assert_eq!(NameTable::decode(&name_table.encode(1 << 20)), Some(name_table.clone()));
        for room in [1, 2, 40, 300, 1008] {
            let payload = name_table.encode(room);
            assert!(payload.len() <= room);
            if let Some(part) = NameTable::decode(&payload) {
                assert!(part.classes.iter().all(|(i, name)| name_table.classes[i] == *name));
            }
        }
        assert_eq!(NameTable::decode(&[1, 2, 3]), None);
        assert_eq!(NameTable::decode(&[]), None);
    }
}
