//! What can be wrong with a configuration by itself: limits, and names that lead nowhere.

mod camera;
mod lines;

use lapwing_firmware::limits::SEGMENTS_MAX;
use toml::Spanned;

use super::error::ConfigError;
use super::schema::{Config, RuleSection};
use crate::rules::RULES_MAX;

/// Longest time of redaction that may be configured, in milliseconds.
const TIME_MS_MAX: u32 = 60_000;

impl Config {
    /// What can be checked without a model.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (value, key) in [(&self.model.score_min, "model.score_min"), (&self.model.nms_iou, "model.nms_iou")] {
            if let Some(value) = value {
                self.check_fraction(value, key)?;
            }
        }
        self.check_fraction(&self.privacy.hide_score_min, "privacy.hide_score_min")?;
        let (budget, persist) = (&self.privacy.budget_ms, &self.privacy.persist_ms);
        if !(1..=TIME_MS_MAX).contains(budget.get_ref()) {
            let what = format!("budget_ms is {}", budget.get_ref());
            return Err(self.error(budget, what, "give 1 to 60000; 400 is good, or fill = \"fill\" for no limit"));
        }
        if *persist.get_ref() > TIME_MS_MAX {
            let what = format!("persist_ms is {}", persist.get_ref());
            return Err(self.error(persist, what, "give 0 to 60000; 800 is good"));
        }
        let quality = &self.pictures.jpeg_quality;
        if !(1..=100).contains(quality.get_ref()) {
            return Err(self.error(
                quality,
                format!("jpeg_quality is {}", quality.get_ref()),
                "give 1 to 100; 88 is good",
            ));
        }
        if *self.pictures.count_max.get_ref() == 0 {
            return Err(self.error(&self.pictures.count_max, "count_max is 0", "give at least 1, or keep = \"none\""));
        }
        self.check_log()?;
        self.check_camera_section()?;
        if let Some(extra) = self.rules.get(RULES_MAX) {
            return Err(self.error(&extra.name, format!("more than {RULES_MAX} rules"), "merge some"));
        }
        self.rules.iter().enumerate().try_for_each(|(index, rule)| self.check_rule(index, rule))?;
        self.check_lines()
    }

    fn check_log(&self) -> Result<(), ConfigError> {
        let (segment, total) = (&self.log.segment_kib, &self.log.total_kib);
        if !(16..=65_536).contains(segment.get_ref()) {
            return Err(self.error(segment, format!("segment_kib is {}", segment.get_ref()), "give 16 to 65536"));
        }
        let fewest = segment.get_ref().saturating_mul(2);
        let most = segment.get_ref().saturating_mul(SEGMENTS_MAX).min(1 << 21);
        if !(fewest..=most).contains(total.get_ref()) {
            return Err(self.error(
                total,
                format!("total_kib is {}", total.get_ref()),
                format!("give {fewest} to {most}: two to {SEGMENTS_MAX} segments of segment_kib"),
            ));
        }
        Ok(())
    }

    fn check_rule(&self, index: usize, rule: &RuleSection) -> Result<(), ConfigError> {
        if self.rules[..index].iter().any(|r| r.name.get_ref() == rule.name.get_ref()) {
            return Err(self.error(
                &rule.name,
                format!("a second rule named {:?}", rule.name.get_ref()),
                "give it another name",
            ));
        }
        if rule.classes.get_ref().is_empty() {
            return Err(self.error(
                &rule.classes,
                "a rule that watches no class never fires",
                "name at least one class",
            ));
        }
        self.check_fraction(&rule.score_min, "score_min")?;
        for (value, key) in [(&rule.count_min, "count_min"), (&rule.confirm_frames, "confirm_frames")] {
            if !(1..=1000).contains(value.get_ref()) {
                return Err(self.error(value, format!("{key} is {}", value.get_ref()), "give 1 to 1000"));
            }
        }
        if *rule.stall_ms.get_ref() == 0 {
            return Err(self.error(
                &rule.stall_ms,
                "stall_ms is 0",
                "give the longest time without a frame that is safe, such as 2000",
            ));
        }
        let pulse = *rule.pulse_ms.get_ref();
        if pulse != 0 && !(1..=3_600_000).contains(&pulse) {
            return Err(self.error(&rule.pulse_ms, format!("pulse_ms is {pulse}"), "give at most 3600000 (an hour)"));
        }
        Ok(())
    }

    fn check_fraction(&self, value: &Spanned<f32>, key: &str) -> Result<(), ConfigError> {
        if (0.0..=1.0).contains(value.get_ref()) {
            return Ok(());
        }
        Err(self.error(value, format!("{key} is {}", value.get_ref()), "give a fraction, 0.0 to 1.0"))
    }
}
