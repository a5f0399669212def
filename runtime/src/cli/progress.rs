//! A progress bar on a terminal, nothing elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `length` steps (a spinner where it is unknown), drawn on standard error if that is a
/// terminal and results do not scroll through it.
pub fn bar(length: Option<u64>, what: &'static str, results_scroll: bool) -> ProgressBar {
    let scrolls = results_scroll && std::io::stdout().is_terminal();
    if !std::io::stderr().is_terminal() || scrolls {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = if length.is_some() {
        "{prefix} {bar:30} {pos}/{len}  {per_sec}  {eta} left"
    } else {
        "{prefix} {spinner} {pos}  {per_sec}"
    };
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(what);
    bar
}
