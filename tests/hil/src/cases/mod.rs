//! The cases: what is proved on the board, each with its wiring in its own file.

mod camera;
mod case;
mod crash_points;
mod disk;
mod log;
mod looped;
mod microcontroller;
mod pins;
mod watchdog;
mod whole_run;

use std::time::Instant;

use crate::report::Ended;
use crate::trouble::{Result, Trouble};

pub use case::{Bench, Case, SHORT, Tier};

/// Every case, in the order in which they run.
pub const ALL: &[Case] = &[
    Case {
        name: "microcontroller",
        tier: Tier::Smoke,
        about: "the no_std core on a Cortex-M4: the log on NOR flash through cuts, trigger, fail-safe",
        run: microcontroller::run,
    },
    Case {
        name: "power-cuts-ext4",
        tier: Tier::Smoke,
        about: "what was acknowledged outlives power cuts on ext4",
        run: log::power_cuts_ext4,
    },
    Case {
        name: "control-flush-ignored",
        tier: Tier::Smoke,
        about: "the control: on a disk that ignores flushes the same loop loses records",
        run: log::control_flush_ignored,
    },
    Case {
        name: "camera-pictures",
        tier: Tier::Smoke,
        about: "a photograph goes through the kernel's camera byte by byte, and the person on it is seen",
        run: camera::pictures,
    },
    Case {
        name: "control-wrong-stride",
        tier: Tier::Full,
        about: "the control: with a wrong stride the bytes are others and nobody is seen",
        run: camera::control_wrong_stride,
    },
    Case {
        name: "camera-formats",
        tier: Tier::Full,
        about: "the same in every format that lapwing reads and the camera has",
        run: camera::formats,
    },
    Case {
        name: "camera-controls",
        tier: Tier::Full,
        about: "the gain that is set is what the driver has then; what the camera has not or does not take is told",
        run: camera::controls,
    },
    Case {
        name: "camera-faults",
        tier: Tier::Full,
        about: "every fault that the camera can be told to make is told, and it is used again within 2 s",
        run: camera::faults,
    },
    Case {
        name: "pins-edge-to-pin",
        tier: Tier::Smoke,
        about: "a key arms, a detection raises the output as the wire sees it, the key ends it",
        run: pins::edge_to_pin,
    },
    Case {
        name: "pins-fail-safe",
        tier: Tier::Full,
        about: "the output is safe when frames stop, when the detector hangs, after signals, SIGKILL and a restart, a kernel panic",
        run: pins::fail_safe,
    },
    Case {
        name: "watchdog",
        tier: Tier::Full,
        about: "/dev/watchdog is fed by frames, resets the board when lapwing hangs, and is dismissed by a stop in order",
        run: watchdog::run,
    },
    Case {
        name: "control-no-fsync",
        tier: Tier::Full,
        about: "the control: without fsync the same loop loses records",
        run: log::control_no_fsync,
    },
    Case {
        name: "power-cuts-f2fs",
        tier: Tier::Full,
        about: "what was acknowledged outlives power cuts on f2fs",
        run: log::power_cuts_f2fs,
    },
    Case {
        name: "power-cuts-retention",
        tier: Tier::Full,
        about: "the same while the oldest segments are dropped",
        run: log::power_cuts_retention,
    },
    Case {
        name: "power-cuts-run",
        tier: Tier::Full,
        about: "what `lapwing run` told, events and pictures, outlives power cuts; nobody is seen in a picture",
        run: whole_run::power_cuts,
    },
    Case {
        name: "control-run-flush-ignored",
        tier: Tier::Full,
        about: "the control: on a disk that ignores flushes the same loop misses something",
        run: whole_run::control,
    },
    Case {
        name: "crash-points",
        tier: Tier::Full,
        about: "one recorded run, cut again at requests that are drawn; each disk that is left is mounted and read",
        run: crash_points::run,
    },
    Case {
        name: "disk-full",
        tier: Tier::Full,
        about: "without room the oldest records go, the newest are acknowledged as before; `lapwing run` too, pictures first",
        run: disk::full,
    },
    Case {
        name: "disk-eio",
        tier: Tier::Full,
        about: "while writes fail nothing is acknowledged; what was acknowledged is there afterwards",
        run: disk::eio,
    },
];

/// Runs a case.
///
/// # Errors
/// A tool is missing: nothing can be said.
pub fn run(case: &Case, bench: &Bench<'_>) -> Result<Ended> {
    let start = Instant::now();
    let result = match (case.run)(bench) {
        Ok(figures) => Ok(figures),
        Err(Trouble::Missing(what)) => return Err(Trouble::Missing(what)),
        Err(error) => Err(error.to_string()),
    };
    Ok(Ended { name: case.name, result, seconds: start.elapsed().as_secs_f64() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The plan for a real board knows every case, and says that it has not been run.
    #[test]
    fn the_rig_s_plan_and_the_cases_know_each_other() {
        let plan: toml::Table = toml::from_str(include_str!("../../rig.toml")).unwrap();
        assert_eq!(plan["rig"]["run"].as_bool(), Some(false));
        let parts: BTreeSet<&str> = list(&plan["part"]).filter_map(|part| part["name"].as_str()).collect();
        let mut planned: BTreeSet<&str> = BTreeSet::new();
        for case in list(&plan["case"]) {
            assert!(list(&case["parts"]).all(|part| parts.contains(part.as_str().unwrap())), "{case}");
            assert!(planned.insert(case["name"].as_str().unwrap()), "twice: {case}");
        }
        planned.extend(list(&plan["emulated-only"]["cases"]).filter_map(|name| name.as_str()));
        let cases: BTreeSet<&str> = ALL.iter().map(|case| case.name).collect();
        assert_eq!(planned, cases);
    }

    fn list(value: &toml::Value) -> impl Iterator<Item = &toml::Value> {
        value.as_array().unwrap().iter()
    }
}
