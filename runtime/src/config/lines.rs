//! `[[output]]` and `[[input]]`: the wires of the board, by name, chip and line.
//!
//! A rule names an output with `pin`, and inputs with `armed_by` and `fired_by`. Every name must lead somewhere: an
//! output that no rule drives or an input that no rule hears is a mistake, for its owner believes that it does something.

use lapwing_firmware::linux::gpio::{Bias, InputOptions, LineAddress, LineId};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;

use super::place::unplaced;

/// Most inputs in one configuration.
pub const INPUTS_MAX: usize = 16;
/// The pin that needs no wire.
pub const SIMULATED: &str = "simulated";

/// A table of the file for one wire: what every wire has, and `$own`. A macro, for serde's `flatten` would lose the
/// lines on which values stand and would let unknown keys pass.
macro_rules! wire_section {
    ($(#[$about:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// What rules call it.
            pub name: Spanned<String>,
            /// `/dev/gpiochip0`, `gpiochip0` or a label; none looks for a line's name on every chip.
            #[serde(default)]
            pub chip: Option<String>,
            /// The line.
            pub line: LineWord,
            /// Low is on.
            #[serde(default)]
            pub active_low: bool,
            $($own)*
        }

        impl $name {
            /// Where the line is.
            pub fn address(&self) -> LineAddress {
                LineAddress { chip: self.chip.clone(), line: self.line.0.clone() }
            }
        }
    };
}

wire_section! {
    /// `[[output]]`
    OutputSection {}
}

wire_section! {
    /// `[[input]]`
    InputSection {
        /// The chip's own resistor.
        #[serde(default)]
        pub bias: BiasWord,
        /// A level counts once it has stood for so long, in milliseconds.
        #[serde(default = "debounce_ms")]
        pub debounce_ms: Spanned<u32>,
    }
}

/// A line by its number on the chip, or by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineWord(pub LineId);

/// The resistor that the chip puts on an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BiasWord {
    /// As it is.
    #[default]
    AsIs,
    /// None.
    Off,
    /// To the supply.
    PullUp,
    /// To ground.
    PullDown,
}

impl<'de> Deserialize<'de> for LineWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LineWord, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = LineWord;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a line's number on its chip, or its name in quotes")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<LineWord, E> {
                let number =
                    u32::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))?;
                Ok(LineWord(LineId::Number(number)))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<LineWord, E> {
                if name.is_empty() {
                    return Err(E::invalid_value(de::Unexpected::Str(name), &self));
                }
                Ok(LineWord(LineId::Name(name.to_owned())))
            }
        }
        deserializer.deserialize_any(Word)
    }
}

impl InputSection {
    /// How it is read.
    pub fn options(&self) -> InputOptions {
        let bias = match self.bias {
            BiasWord::AsIs => Bias::AsIs,
            BiasWord::Off => Bias::Off,
            BiasWord::PullUp => Bias::PullUp,
            BiasWord::PullDown => Bias::PullDown,
        };
        InputOptions { active_low: self.active_low, bias, debounce_us: self.debounce_ms.get_ref().saturating_mul(1000) }
    }
}

fn debounce_ms() -> Spanned<u32> {
    unplaced(20)
}
