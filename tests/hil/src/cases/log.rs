//! The log on a disk that loses power. Wiring and manner: [`crate::cuts`].

use serde_json::json;

use super::Bench;
use crate::cuts::{FileSystem, Outcome, Series, run};
use crate::report::Figures;
use crate::trouble::{Result, must};

/// Cuts in the smoke.
const SMOKE_CUTS: u32 = 2;
/// Cuts that a control may take until it has lost something.
const CONTROL_CUTS: u32 = 12;
/// Space of the retention loop in KiB, and by how much the records may fall short of it: segments of four blocks, the
/// first of which is the header and the second the twin of the third, hold a third of their size at commits of this
/// length; two segments are dropped before they are needed.
const RETENTION_KIB: (u64, u64) = (256, 208);

fn tell(line: &str) {
    eprintln!("hil: {line}");
}

fn figures(outcome: &Outcome, seed: u64) -> Figures {
    vec![
        ("cuts", json!(outcome.cuts)),
        ("acknowledged", json!(outcome.acknowledged)),
        ("lost", json!(outcome.lost)),
        ("seed", json!(seed)),
        ("operations", json!(outcome.units.operations)),
        ("blocks_open", json!(outcome.units.open)),
        ("blocks_lost", json!(outcome.units.lost)),
        ("blocks_stale", json!(outcome.units.stale)),
        ("writes_torn", json!(outcome.units.torn)),
        ("bytes_trimmed", json!(outcome.trimmed_bytes)),
    ]
}

fn honest(bench: &Bench<'_>, series: &Series) -> Result<Figures> {
    let outcome = run(bench.image, series, tell)?;
    must(outcome.losses.is_empty() && outcome.lost == 0, || outcome.losses.join("; "))?;
    must(outcome.acknowledged > 100 * u64::from(outcome.cuts), || {
        format!("only {} records were acknowledged in {} cuts: it says nothing", outcome.acknowledged, outcome.cuts)
    })?;
    Ok(figures(&outcome, series.seed))
}

fn control(bench: &Bench<'_>, series: &Series) -> Result<Figures> {
    let outcome = run(bench.image, series, tell)?;
    must(!outcome.losses.is_empty(), || {
        format!("nothing was lost in {} cuts: the loop would not notice a missing sync", outcome.cuts)
    })?;
    let mut figures = figures(&outcome, series.seed);
    figures.push(("found", json!(outcome.losses)));
    Ok(figures)
}

fn series(bench: &Bench<'_>, name: &'static str, file_system: FileSystem, cuts: u32) -> Series {
    let cuts = if bench.full { cuts.max(1) } else { SMOKE_CUTS };
    Series { name, file_system, writer: "", disk_lies: false, retention_kib: None, cuts, seed: bench.seed }
}

/// The long loop.
pub fn power_cuts_ext4(bench: &Bench<'_>) -> Result<Figures> {
    honest(bench, &series(bench, "power-cuts-ext4", FileSystem::Ext4, bench.cuts))
}

/// A quarter of it on the file system for flash.
pub fn power_cuts_f2fs(bench: &Bench<'_>) -> Result<Figures> {
    honest(bench, &series(bench, "power-cuts-f2fs", FileSystem::F2fs, bench.cuts / 4))
}

/// A quarter of it on a log so small that segments are dropped all the time.
pub fn power_cuts_retention(bench: &Bench<'_>) -> Result<Figures> {
    let series = series(bench, "power-cuts-retention", FileSystem::Ext4, bench.cuts / 4);
    honest(bench, &Series { writer: "segment 16 total 256", retention_kib: Some(RETENTION_KIB), ..series })
}

/// The disk says that it flushed and did not.
pub fn control_flush_ignored(bench: &Bench<'_>) -> Result<Figures> {
    let series = series(bench, "control-flush-ignored", FileSystem::Ext4, CONTROL_CUTS);
    control(bench, &Series { disk_lies: true, cuts: CONTROL_CUTS, ..series })
}

/// The log believes that it synced and did not.
pub fn control_no_fsync(bench: &Bench<'_>) -> Result<Figures> {
    let series = series(bench, "control-no-fsync", FileSystem::Ext4, CONTROL_CUTS);
    control(bench, &Series { writer: "lie segment 1024", cuts: CONTROL_CUTS, ..series })
}
