//! The legend of a log: the names behind the numbers in its events.
//!
//! An event stores a rule and a class by number. The legend is a record of its own kind, written
//! when a run begins and again at the head of each segment, so that a log can be read without the
//! configuration that wrote it, also after its oldest segments are gone.
//!
//! Payload: one byte [`LEGEND_TAG`], then JSON `{"rules":["visitor"],"classes":{"14":"person"}}`.
//! An event's payload begins with its version, which is never [`LEGEND_TAG`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// First byte of a legend's payload.
pub const LEGEND_TAG: u8 = 0xF0;

/// Names of rules and classes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Legend {
    /// Rule names by index.
    pub rules: Vec<String>,
    /// Class names by index; only classes that a rule watches.
    pub classes: BTreeMap<u16, String>,
}

impl Legend {
    /// The payload, at most `bytes_max` long: classes that do not fit are left out, last first, then rules.
    pub fn encode(&self, bytes_max: usize) -> Vec<u8> {
        let mut legend = self.clone();
        loop {
            let mut payload = vec![LEGEND_TAG];
            let written = serde_json::to_writer(&mut payload, &legend);
            if written.is_ok() && payload.len() <= bytes_max {
                return payload;
            }
            if legend.classes.pop_last().is_none() && legend.rules.pop().is_none() {
                return vec![LEGEND_TAG];
            }
        }
    }

    /// Reads a payload; `None` if it is no legend.
    pub fn decode(payload: &[u8]) -> Option<Legend> {
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
        let legend = Legend {
            rules: vec!["gate".into(), "yard".into()],
            classes: (0..200).map(|i| (i, format!("class-name-{i}"))).collect(),
        };
        assert_eq!(Legend::decode(&legend.encode(1 << 20)), Some(legend.clone()));
        for room in [1, 2, 40, 300, 1008] {
            let payload = legend.encode(room);
            assert!(payload.len() <= room);
            if let Some(part) = Legend::decode(&payload) {
                assert!(part.classes.iter().all(|(i, name)| legend.classes[i] == *name));
            }
        }
        assert_eq!(Legend::decode(&[1, 2, 3]), None);
        assert_eq!(Legend::decode(&[]), None);
    }
}
