//! Signals of a run: those that ask it to stop, those that must not end it, and Ctrl-Z.
//!
//! | signal | is |
//! |---|---|
//! | SIGTERM, SIGINT (Ctrl-C) | a stop in order; a second one ends the process at once, as soon as the outputs are safe |
//! | SIGQUIT (Ctrl-\), SIGHUP (the terminal is gone; often two of them), SIGXCPU | a stop in order |
//! | SIGTSTP (Ctrl-Z) | outputs take their safe level, then the process is suspended |
//! | SIGXFSZ (a file reached the limit of its size), SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO | without effect; a write past the limit fails as on a full disk |
//! | SIGPIPE | without effect; Rust ignores it |
//!
//! What was ignored when the process began (`nohup`) stays so.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lapwing_runtime::pipeline::DeadMan;
use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use signal_hook::flag;

const STOPS: [i32; 5] = [SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGXCPU];
const HARMLESS: [i32; 7] = [SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO];

/// From now on no signal that is sent by accident ends the process.
///
/// # Errors
/// The system's words.
pub fn bear_the_harmless() -> io::Result<()> {
    let unused = Arc::new(AtomicBool::new(false));
    HARMLESS.iter().try_for_each(|&signal| flag::register(signal, Arc::clone(&unused)).map(drop))
}

/// A flag that every signal sets which asks for a stop; from now on Ctrl-Z makes the lines of `rules` safe first.
///
/// # Errors
/// The system's words.
pub fn stop_flag(rules: &DeadMan) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let ignored = ignored();
    for signal in STOPS.into_iter().filter(|signal| *signal == SIGTERM || !is_in(ignored, *signal)) {
        if matches!(signal, SIGTERM | SIGINT) {
            flag::register_conditional_shutdown(signal, 1, rules.stood_down_flag())?;
        }
        flag::register(signal, Arc::clone(&stop))?;
    }
    if !is_in(ignored, SIGTSTP) {
        flag::register(SIGTSTP, rules.suspend_flag())?;
    }
    Ok(stop)
}

fn is_in(mask: u64, signal: i32) -> bool {
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

/// The signals that were ignored when the process began, as a mask: bit 0 is signal 1.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_counts_signals_from_one() {
        assert!(is_in(0b1, SIGHUP) && !is_in(0b1, SIGINT) && is_in(0b110, SIGQUIT));
        assert!(!is_in(u64::MAX, 0) && !is_in(u64::MAX, -5) && !is_in(u64::MAX, 200));
        assert_eq!(ignored() & 1 << (signal_hook::consts::SIGKILL - 1), 0, "nobody can ignore it");
    }
}
