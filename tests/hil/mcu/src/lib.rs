//! What the no_std core has to prove on a microcontroller, without an allocator:
//!
//! | module | proves |
//! |---|---|
//! | [`key`] | an input that bounces arms and disarms |
//! | [`lives`] | the log on NOR flash keeps what it acknowledged through power cuts at every operation |
//! | [`sentinel`] | the trigger fires, releases and fails safe, and the log tells it |
//!
//! A line a proof goes to the caller: `name key value …`.
#![no_std]
#![forbid(unsafe_code)]

pub mod key;
pub mod lives;
pub mod sentinel;

use core::fmt::Arguments;

/// Runs all proofs; `say` hears a line from each. True if all hold.
pub fn prove(say: &mut dyn FnMut(Arguments<'_>)) -> bool {
    let lives = lives::prove(say);
    let sentinel = sentinel::prove(say);
    let key = key::prove(say);
    lives && sentinel && key
}

#[cfg(test)]
mod tests {
    extern crate std;

    #[test]
    fn everything_holds_on_this_machine_too() {
        assert!(super::prove(&mut |line| std::eprintln!("{line}")));
    }
}
