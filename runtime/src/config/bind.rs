//! A configuration meets a model: class names become indices, rules become state machines.

use lapwing_firmware::linux::gpio::{InputOptions, LineAddress};
use lapwing_firmware::trigger::{Polarity, RuleConfig};
use toml::Spanned;

use super::lines::SIMULATED;
use super::place::is_placed;
use super::schema::{Active, RuleSection};
use super::{Config, ConfigError};
use crate::name_table::NameTable;
use crate::privacy::Hiding;
use crate::rules::{Watch, Zone};
use lapwing_engine::Manifest;
use lapwing_vision::detect::DetectOptions;
use lapwing_vision::eval::canonical_class;

/// A configuration that fits a model.
#[derive(Debug)]
pub struct Bound {
    /// How detections are chosen; the threshold is low enough for rules and hiding.
    pub options: DetectOptions,
    /// The threshold for people and rules; detections below it serve to hide.
    pub shown_score_min: f32,
    /// What is hidden.
    pub hiding: Hiding,
    /// The names behind the numbers in events.
    pub name_table: NameTable,
    /// The inputs, in the order of the file.
    pub inputs: Vec<BoundInput>,
    /// The rules, in the order of the file.
    pub rules: Vec<BoundRule>,
}

/// One input.
#[derive(Debug, Clone)]
pub struct BoundInput {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: LineAddress,
    /// How it is read.
    pub options: InputOptions,
}

/// One rule that fits a model.
#[derive(Debug)]
pub struct BoundRule {
    /// What it looks at.
    pub watch: Watch,
    /// When its output goes on and off.
    pub trigger: RuleConfig,
    /// Its output line; `None`: a simulated one.
    pub output: Option<LineAddress>,
    /// Which level of its line means on.
    pub polarity: Polarity,
    /// Index of the input that arms it.
    pub armed_by: Option<usize>,
    /// Index of the input that fires it.
    pub fired_by: Option<usize>,
}

impl Config {
    /// Checks class names against `manifest` and makes what the pipeline needs.
    pub fn bind(&self, manifest: &Manifest) -> Result<Bound, ConfigError> {
        let mut options = DetectOptions::of(manifest);
        if let Some(score_min) = &self.model.score_min {
            options.score_min = *score_min.get_ref();
        }
        if let Some(nms_iou) = &self.model.nms_iou {
            options.nms_iou = *nms_iou.get_ref();
        }
        let shown_score_min = options.score_min;
        let hidden = self.classes(&self.privacy.hide, manifest)?;
        let hide_score_min = self.hide_score_min(shown_score_min, &hidden)?;
        if !hidden.is_empty() {
            options.score_min = options.score_min.min(hide_score_min);
        }
        let bind = |rule| self.bind_rule(rule, manifest, shown_score_min);
        let rules = self.rules.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let hiding = Hiding::new(&hidden, hide_score_min);
        let name_table = self.name_table(manifest)?;
        let inputs = self.inputs.iter().map(|input| BoundInput {
            name: input.name.get_ref().clone(),
            address: input.address(),
            options: input.options(),
        });
        Ok(Bound { options, shown_score_min, hiding, name_table, inputs: inputs.collect(), rules })
    }

    /// The score from which `hidden` is hidden: nobody may be shown, or fire a rule, and not be hidden.
    fn hide_score_min(&self, shown_score_min: f32, hidden: &[u16]) -> Result<f32, ConfigError> {
        let asked = &self.privacy.hide_score_min;
        if hidden.is_empty() || *asked.get_ref() <= shown_score_min {
            return Ok(*asked.get_ref());
        }
        if !is_placed(asked) {
            return Ok(shown_score_min); // the default gives way to a model that shows more
        }
        let asked_min = asked.get_ref();
        let what = format!(
            "hide_score_min is {asked_min}, but detections show and fire rules from {shown_score_min}: between the two \
             people would be stored uncovered"
        );
        let cure = format!("give at most {shown_score_min}, or raise [model] score_min to {asked_min}");
        Err(self.error(asked, what, cure))
    }

    fn name_table(&self, manifest: &Manifest) -> Result<NameTable, ConfigError> {
        let mut name_table = NameTable::default();
        for rule in &self.rules {
            name_table.rules.push(rule.name.get_ref().clone());
            for class in self.classes(rule.classes.get_ref(), manifest)? {
                name_table.classes.insert(class, manifest.classes.names[usize::from(class)].clone());
            }
        }
        Ok(name_table)
    }

    /// A detection below `shown_score_min` fires no rule, whatever score the rule asks for.
    fn bind_rule(
        &self,
        rule: &RuleSection,
        manifest: &Manifest,
        shown_score_min: f32,
    ) -> Result<BoundRule, ConfigError> {
        let classes = self.classes(rule.classes.get_ref(), manifest)?;
        let zone = rule
            .zone
            .as_ref()
            .map(|z| {
                Zone::new(z.get_ref()).map_err(|e| {
                    self.error(z, e.to_string(), "give corners such as [[0.0, 0.5], [1.0, 0.5], [1.0, 1.0]]")
                })
            })
            .transpose()?;
        let trigger = RuleConfig {
            count_min: *rule.count_min.get_ref(),
            confirm_frames: *rule.confirm_frames.get_ref(),
            hold_ms: *rule.hold_ms.get_ref(),
            cooldown_ms: *rule.cooldown_ms.get_ref(),
            pulse_ms: *rule.pulse_ms.get_ref(),
            stall_ms: *rule.stall_ms.get_ref(),
        };
        trigger.validate().map_err(|e| self.error(&rule.name, e.to_string(), "correct this rule's times"))?;
        let input = |by: &Option<Spanned<String>>| by.as_ref().map(|name| self.find_input(name)).transpose();
        let (output, polarity) = match rule.pin.get_ref() {
            pin if pin == SIMULATED => {
                let is_low = rule.active.as_ref().is_some_and(|active| *active.get_ref() == Active::Low);
                (None, polarity(is_low))
            }
            _ => {
                let output = self.find_output(&rule.pin)?;
                (Some(output.address()), polarity(output.active_low))
            }
        };
        let score_min = rule.score_min.get_ref().max(shown_score_min);
        Ok(BoundRule {
            watch: Watch::new(rule.name.get_ref(), &classes, score_min, zone),
            trigger,
            output,
            polarity,
            armed_by: input(&rule.armed_by)?,
            fired_by: input(&rule.fired_by)?,
        })
    }

    fn classes(&self, names: &[Spanned<String>], manifest: &Manifest) -> Result<Vec<u16>, ConfigError> {
        names.iter().map(|name| self.class(name, manifest)).collect()
    }

    fn class(&self, name: &Spanned<String>, manifest: &Manifest) -> Result<u16, ConfigError> {
        let wanted = canonical_class(name.get_ref());
        let known = &manifest.classes.names;
        known.iter().position(|k| canonical_class(k) == wanted).and_then(|at| u16::try_from(at).ok()).ok_or_else(|| {
            let cure = match super::error::closest(name.get_ref(), known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("{} knows: {}", manifest.name, known.join(", ")),
            };
            let what = format!("class {:?} is not one of the model's", name.get_ref());
            match is_placed(name) {
                true => self.error(name, what, cure),
                false => ConfigError {
                    file: self.file.clone(),
                    line: 0,
                    column: 0,
                    text: String::new(),
                    what: format!("{what} (from a default; set `privacy.hide` or `classes`)"),
                    cure,
                },
            }
        })
    }
}

fn polarity(active_low: bool) -> Polarity {
    if active_low { Polarity::ActiveLow } else { Polarity::ActiveHigh }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BUILTIN;

    fn manifest() -> Manifest {
        Manifest::parse(lapwing_models::DETECT_NANO.manifest).unwrap()
    }

    #[test]
    fn the_builtin_configuration_fits_the_builtin_model() {
        let bound = Config::builtin().unwrap().bind(&manifest()).unwrap();
        assert_eq!(bound.rules.len(), 1);
        assert_eq!(bound.options.score_min, 0.12);
    }

    #[test]
    fn an_empty_file_means_the_defaults_of_the_builtin_one_without_rules() {
        let (empty, full) = (Config::parse("", "e").unwrap(), Config::builtin().unwrap());
        assert_eq!((empty.source, empty.data), (full.source, full.data));
        assert_eq!(empty.log.total_kib.get_ref(), full.log.total_kib.get_ref());
        assert_eq!(empty.log.segment_kib.get_ref(), full.log.segment_kib.get_ref());
        assert_eq!(empty.pictures.count_max.get_ref(), full.pictures.count_max.get_ref());
        assert_eq!(empty.privacy.hide_score_min.get_ref(), full.privacy.hide_score_min.get_ref());
        assert_eq!(empty.privacy.fill, full.privacy.fill);
        assert_eq!(empty.privacy.budget_ms.get_ref(), full.privacy.budget_ms.get_ref());
        assert_eq!(empty.privacy.persist_ms.get_ref(), full.privacy.persist_ms.get_ref());
    }

    /// Each mistake: what is replaced, by what, the line it must be found on, a word of the cure.
    #[test]
    fn every_mistake_is_found_on_its_line() {
        let cases = [
            ("source = \"auto\"", "sauce = \"auto\"", "source"),
            ("keep = \"events\"", "keep = \"evnts\"", "events"),
            ("hold_ms = 800", "hold_ms = -1", ""),
            ("hold_ms = 800", "hold_mss = 800", "hold_ms"),
            ("score_min = 0.4", "score_min = 40", "0.0 to 1.0"),
            ("count_min = 1 ", "count_min = 0 ", "1 to 1000"),
            ("\"cat\", \"dog\"", "\"cat\", \"dgo\"", "dog"),
            ("hide = [\"person\"]", "hide = [\"persons\"]", "person"),
            ("fill = \"auto\"", "fill = \"mosiac\"", "mosaic"),
            ("budget_ms = 400", "budget_ms = 0", "400"),
            ("persist_ms = 800", "persist_ms = 61000", "60000"),
            ("total_kib = 16384", "total_kib = 300", "512"),
            ("total_kib = 16384", "total_kib = 2000000", "1048576"),
            ("segment_kib = 256", "segment_kib = 1", "16 to"),
            ("jpeg_quality = 88", "jpeg_quality = 0", "1 to 100"),
            ("pin = \"simulated\"", "pin = \"gpiochip0:17\"", "simulated"),
            ("stall_ms = 2000", "stall_ms = 0", "2000"),
            ("# zone = [[0.0, 0.5]", "zone = [[0.0, 5.5]", "corners"),
            ("# zone = [[0.0, 0.5]", "zone = [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]] # ", "corners"),
            ("data = \"lapwing-data\"", "data = \"~/lapwing\"", "/srv/NAME"),
            ("source = \"auto\"", "source = \"~/clip.y4m\"", "/srv/NAME"),
            ("path = \"detect-nano\"", "path = \"~guest/net.onnx\"", "/srv/NAME"),
            ("# [watchdog]\n# device = ", "[watchdog]\ndevice = \"~/watchdog\" # ", "/srv/NAME"),
            ("[log]", "[log", ""),
        ];
        for (from, to, cure) in cases {
            assert!(BUILTIN.contains(from), "{from}");
            let text = BUILTIN.replacen(from, to, 1);
            let line = text.lines().position(|l| l.contains(to.lines().last().unwrap())).unwrap() + 1;
            let error = Config::parse(&text, "f.toml").and_then(|c| c.bind(&manifest()).map(|_| ())).unwrap_err();
            assert_eq!(error.line, line, "{to}: {error}");
            assert!(error.cure.contains(cure), "{to}: {error}");
        }
    }

    /// Whether something is hidden decides how low the detector looks, and not what fires.
    #[test]
    fn the_model_s_score_binds_rules_whether_or_not_something_is_hidden() {
        for hide in ["[]", "[\"person\"]"] {
            let rule = "[[rule]]\nname = \"a\"\nclasses = [\"person\"]\nscore_min = 0.2\n";
            let text = format!("[model]\nscore_min = 0.5\n[privacy]\nhide = {hide}\n{rule}");
            let bound = Config::parse(&text, "f.toml").unwrap().bind(&manifest()).unwrap();
            let person = manifest().classes.names.iter().position(|n| n == "person").unwrap() as u16;
            let seen = |score| {
                let detection = lapwing_vision::detect::Detection::new(person, score, [0.0, 0.0, 9.0, 9.0]);
                bound.rules[0].watch.look(&[detection], 10, 10).count
            };
            assert_eq!((seen(0.3), seen(0.5)), (0, 1), "hide = {hide}");
        }
    }

    #[test]
    fn a_hide_score_above_one_that_shows_or_fires_is_refused() {
        let bind = |text: &str| Config::parse(text, "f.toml").unwrap().bind(&manifest());
        let rule = "[[rule]]\nname = \"v\"\nclasses = [\"person\"]\n";
        let error = bind(&format!("[privacy]\nhide_score_min = 0.95\n{rule}")).unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.cure.contains("give at most"), "{error}");
        assert!(bind("[privacy]\nhide_score_min = 0.95\nhide = []\n").is_ok(), "nothing is hidden");
        let raised = bind("[model]\nscore_min = 0.96\n[privacy]\nhide_score_min = 0.95\n").unwrap();
        assert_eq!((raised.hiding.score_min(), raised.options.score_min), (0.95, 0.95));
        // a default does not refuse a model that shows more
        let low = bind("[model]\nscore_min = 0.05\n").unwrap();
        assert_eq!((low.hiding.score_min(), low.options.score_min), (0.05, 0.05));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_file() {
        let error = Config::parse("\u{feff}sauce = 1\n", "f.toml").unwrap_err();
        assert_eq!((error.line, error.column), (1, 1));
        assert_eq!(Config::parse("\u{feff}source = \"photos\"\n", "f.toml").unwrap().source, "photos");
        let manifest = format!("\u{feff}{}", lapwing_models::DETECT_NANO.manifest);
        assert!(Manifest::parse(&manifest).is_ok());
        let flow = format!("\u{feff}{}", lapwing_models::FLOW_PATCH.manifest);
        assert!(lapwing_flow::FlowManifest::parse(&flow).is_ok());
    }

    #[test]
    fn two_rules_of_one_name_are_refused() {
        let rule = "[[rule]]\nname = \"a\"\nclasses = [\"dog\"]\n";
        let error = Config::parse(&format!("{rule}{rule}"), "f.toml").unwrap_err();
        assert_eq!(error.line, 5);
    }
}
