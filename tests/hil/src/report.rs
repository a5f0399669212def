//! What a run came to: a line a case for people, one JSON object for machines.

use serde_json::{Map, Value, json};

/// The figures of one case, by name.
pub type Figures = Vec<(&'static str, Value)>;

/// How a case ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The case.
    pub name: &'static str,
    /// Its figures, or why it failed.
    pub result: Result<Figures, String>,
    /// How long it took.
    pub seconds: f64,
}

impl Ended {
    /// For people.
    pub fn line(&self) -> String {
        let text = match &self.result {
            Ok(figures) => figures.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", "),
            Err(what) => what.clone(),
        };
        let word = if self.result.is_ok() { "good  " } else { "FAILED" };
        format!("{word} {:<24} {:>6.1} s  {text}", self.name, self.seconds)
    }
}

/// All cases, as one object.
pub fn in_json(ended: &[Ended], about: Value) -> Value {
    let cases: Vec<Value> = ended
        .iter()
        .map(|case| {
            let mut figures = Map::new();
            for (name, value) in case.result.iter().flatten() {
                figures.insert((*name).into(), value.clone());
            }
            json!({"case": case.name, "good": case.result.is_ok(), "seconds": case.seconds, "figures": figures,
                "error": case.result.as_ref().err()})
        })
        .collect();
    json!({"about": about, "cases": cases})
}
