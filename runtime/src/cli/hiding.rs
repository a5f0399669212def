//! What commands share that hide: classes by name, and a redactor with all that this build has.

use lapwing_runtime::config::{Bound, Config};
use lapwing_runtime::privacy::{Account, Hiding, Lazy, Level, Recheck, Redactor};
use lapwing_vision::detect::{DetectOptions, Detector};

use super::out::Failure;

/// How regions are hidden, as the command line says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum How {
    /// Painted from their surroundings; a mosaic or black where someone still shows
    Fill,
    /// 5x5 averages
    Mosaic,
    /// Black
    Black,
}

impl How {
    /// The level of redaction.
    pub fn level(self) -> Level {
        match self {
            How::Fill => Level::Fill,
            How::Mosaic => Level::Mosaic,
            How::Black => Level::Black,
        }
    }
}

/// A redactor that can do `level`, with a detector that shares the weights of `detector` for the second look.
pub fn redactor(
    detector: &Detector,
    hiding: Hiding,
    options: DetectOptions,
    level: Level,
) -> Result<Redactor, Failure> {
    let redactor = Redactor::new(hiding);
    if level < Level::Fill {
        return Ok(redactor);
    }
    let recheck = Recheck::new(detector.sharing_weights()?, options);
    Ok(redactor.with_fill(Box::new(Lazy::builtin()), Box::new(recheck)))
}

/// The redactor that a configuration asks for.
pub fn configured(config: &Config, bound: &Bound, detector: &Detector) -> Result<Redactor, Failure> {
    let mut options = bound.options;
    options.score_min = bound.hiding.score_min();
    redactor(detector, bound.hiding.clone(), options, config.privacy.fill.level())
}

/// What became of regions, in words: `3 hidden (2 filled, 1 mosaic)`.
pub fn in_words(account: &Account) -> String {
    let ways: Vec<String> = [(account.filled, "filled"), (account.mosaic, "mosaic"), (account.black, "black")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, way)| format!("{count} {way}"))
        .collect();
    match ways.len() {
        0 => "nothing hidden".to_owned(),
        _ => format!("{} hidden ({})", account.regions, ways.join(", ")),
    }
}
