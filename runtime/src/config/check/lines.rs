//! What can be wrong with wires: names, lines, and who uses them. Every name leads somewhere.

use lapwing_firmware::linux::gpio::{LineAddress, LineId};
use toml::Spanned;

use crate::config::error::{ConfigError, closest};
use crate::config::lines::{INPUTS_MAX, OutputSection, SIMULATED};
use crate::config::schema::Config;

/// Longest time that a level must stand to count, in milliseconds.
const DEBOUNCE_MS_MAX: u32 = 1000;

impl Config {
    /// Names, lines and who uses them.
    pub(super) fn check_lines(&self) -> Result<(), ConfigError> {
        if let Some(extra) = self.inputs.get(INPUTS_MAX) {
            return Err(self.error(&extra.name, format!("more than {INPUTS_MAX} inputs"), "drop some"));
        }
        let outputs = self.outputs.iter().map(|o| (&o.name, o.address()));
        let inputs = self.inputs.iter().map(|i| (&i.name, i.address()));
        let lines: Vec<(&Spanned<String>, LineAddress)> = outputs.chain(inputs).collect();
        for (at, (name, address)) in lines.iter().enumerate() {
            if name.get_ref() == SIMULATED {
                return Err(self.error(name, "\"simulated\" is the pin without a wire", "give it another name"));
            }
            let before = || lines[..at].iter();
            if before().any(|(other, _)| other.get_ref() == name.get_ref()) {
                return Err(self.error(name, format!("a second line named {:?}", name.get_ref()), "rename one"));
            }
            if let Some((other, _)) = before().find(|(_, there)| there == address) {
                let what = format!("{address} is {:?} already", other.get_ref());
                return Err(self.error(name, what, "a line serves one purpose: give another line"));
            }
            if let (None, LineId::Number(line)) = (&address.chip, &address.line) {
                let cure = "add chip = \"gpiochip0\"; `lapwing doctor` lists the chips";
                return Err(self.error(name, format!("line {line} of which chip?"), cure));
            }
        }
        for input in &self.inputs {
            let ms = input.debounce_ms.get_ref();
            if *ms > DEBOUNCE_MS_MAX {
                let cure = format!("give 0 to {DEBOUNCE_MS_MAX}; a switch needs about 20");
                return Err(self.error(&input.debounce_ms, format!("debounce_ms is {ms}"), cure));
            }
        }
        self.check_users()
    }

    fn check_users(&self) -> Result<(), ConfigError> {
        for (at, rule) in self.rules.iter().enumerate() {
            let pin = rule.pin.get_ref();
            if pin != SIMULATED {
                self.find_output(&rule.pin)?;
                if let Some(active) = &rule.active {
                    let cure = format!("set active_low on the [[output]] named {pin:?} and drop this");
                    return Err(self.error(active, "the level of a real line is said where the line is", cure));
                }
                if let Some(other) = self.rules[..at].iter().find(|other| other.pin.get_ref() == pin) {
                    let what = format!("rule {:?} drives {pin:?} already", other.name.get_ref());
                    let cure = "give each rule a line of its own, or name the classes of both in one rule";
                    return Err(self.error(&rule.pin, what, cure));
                }
            }
            for input in [&rule.armed_by, &rule.fired_by].into_iter().flatten() {
                self.find_input(input)?;
            }
        }
        let driven = |name: &String| self.rules.iter().any(|rule| rule.pin.get_ref() == name);
        if let Some(idle) = self.outputs.iter().find(|output| !driven(output.name.get_ref())) {
            let name = idle.name.get_ref();
            let cure = format!("set pin = {name:?} in a rule, or drop this output");
            return Err(self.error(&idle.name, format!("no rule drives {name:?}"), cure));
        }
        let heard = |name: &String| {
            self.rules.iter().flat_map(|rule| [&rule.armed_by, &rule.fired_by]).flatten().any(|by| by.get_ref() == name)
        };
        if let Some(idle) = self.inputs.iter().find(|input| !heard(input.name.get_ref())) {
            let name = idle.name.get_ref();
            let cure = format!("set armed_by or fired_by = {name:?} in a rule, or drop this input");
            return Err(self.error(&idle.name, format!("no rule hears {name:?}"), cure));
        }
        Ok(())
    }

    /// The output that a rule names.
    pub(in crate::config) fn find_output(&self, name: &Spanned<String>) -> Result<&OutputSection, ConfigError> {
        self.outputs.iter().find(|output| output.name.get_ref() == name.get_ref()).ok_or_else(|| {
            let known = self.outputs.iter().map(|output| output.name.get_ref().as_str()).chain([SIMULATED]);
            let cure = match closest(name.get_ref(), known) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "add an [[output]] of that name with its chip and line, or set pin = \"simulated\"".to_owned(),
            };
            self.error(name, format!("there is no [[output]] named {:?}", name.get_ref()), cure)
        })
    }

    /// The index of the input that a rule names.
    pub(in crate::config) fn find_input(&self, name: &Spanned<String>) -> Result<usize, ConfigError> {
        self.inputs.iter().position(|input| input.name.get_ref() == name.get_ref()).ok_or_else(|| {
            let known = self.inputs.iter().map(|input| input.name.get_ref().as_str());
            let cure = match closest(name.get_ref(), known) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "add an [[input]] of that name with its chip and line".to_owned(),
            };
            self.error(name, format!("there is no [[input]] named {:?}", name.get_ref()), cure)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_engine::Manifest;
    use lapwing_firmware::linux::gpio::{Bias, InputOptions};

    const WIRED: &str = r#"
[[output]]
name = "siren"
chip = "gpiochip0"
line = 17
active_low = true

[[input]]
name = "key"
line = "GPIO27"
bias = "pull-up"
debounce_ms = 5

[[rule]]
name = "gate"
classes = ["person"]
pin = "siren"
armed_by = "key"
fired_by = "key"
"#;

    #[test]
    fn a_wired_rule_is_bound_to_its_lines() {
        let manifest = Manifest::parse(lapwing_models::DETECT_NANO.manifest).unwrap();
        let bound = Config::parse(WIRED, "f.toml").unwrap().bind(&manifest).unwrap();
        let output = bound.rules[0].output.as_ref().unwrap();
        assert_eq!(output.to_string(), "line 17 of gpiochip0");
        assert_eq!(bound.rules[0].polarity, lapwing_firmware::trigger::Polarity::ActiveLow);
        assert_eq!((bound.rules[0].armed_by, bound.rules[0].fired_by), (Some(0), Some(0)));
        let options = InputOptions { active_low: false, bias: Bias::PullUp, debounce_us: 5000 };
        assert_eq!((bound.inputs[0].name.as_str(), bound.inputs[0].options), ("key", options));
        assert_eq!(bound.inputs[0].address, LineAddress { chip: None, line: LineId::Name("GPIO27".into()) });
    }

    /// Each mistake: what is replaced, by what, words on the line it must be found on, a word of the cure.
    #[test]
    fn every_mistake_is_found_on_its_line() {
        let cases = [
            ("pin = \"siren\"", "pin = \"sirn\"", "sirn", "siren"),
            ("pin = \"siren\"", "pin = \"gpiochip0:17\"", "0:17", "[[output]]"),
            ("pin = \"siren\"", "pin = \"simulated\"", "\"siren\"", "drop this output"),
            ("pin = \"siren\"", "pin = \"siren\"\nactive = \"low\"", "active = ", "active_low"),
            ("armed_by = \"key\"\nfired_by = \"key\"", "", "\"key\"", "armed_by"),
            ("armed_by = \"key\"", "armed_by = \"kex\"", "kex", "key"),
            ("line = 17", "line = -1", "line = -1", ""),
            ("line = 17", "line = \"\"", "line = \"\"", ""),
            ("line = 17", "lines = 17", "lines", "line"),
            ("chip = \"gpiochip0\"\n", "", "\"siren\"", "chip = "),
            ("bias = \"pull-up\"", "bias = \"pullup\"", "pullup", "pull-up"),
            ("debounce_ms = 5", "debounce_ms = 5000", "5000", "about 20"),
            ("name = \"key\"\nline = \"GPIO27\"", "name = \"siren\"\nline = \"GPIO27\"", "\"siren\"", "rename"),
            ("line = \"GPIO27\"", "chip = \"gpiochip0\"\nline = 17", "\"key\"", "another line"),
            ("name = \"siren\"", "name = \"simulated\"", "\"simulated\"", "another name"),
        ];
        for (from, to, place, cure) in cases {
            assert!(WIRED.contains(from), "{from}");
            let error = Config::parse(&WIRED.replacen(from, to, 1), "f.toml").unwrap_err();
            assert!(error.text.contains(place), "{to}: {error}");
            assert!(error.cure.contains(cure), "{to}: {error}");
        }
        let second = "[[rule]]\nname = \"yard\"\nclasses = [\"cat\"]\npin = \"siren\"\n";
        let error = Config::parse(&format!("{WIRED}{second}"), "f.toml").unwrap_err();
        assert!(error.what.contains("gate") && error.cure.contains("of its own"), "{error}");
    }
}
