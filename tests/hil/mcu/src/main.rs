//! The microcontroller's program: runs the proofs of the library and ends with their verdict.
//!
//! On a microcontroller it speaks by semihosting; on any other machine it is an ordinary program that
//! does the same.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(clippy::print_stdout, reason = "the harness reads what is printed")]

#[cfg(target_os = "none")]
mod bare {
    //! The Cortex-M part: entry, words, panics.

    use cortex_m_semihosting::{debug, hprintln};

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let good = lapwing_hil_mcu::prove(&mut |line| hprintln!("{}", line));
        end(good)
    }

    #[panic_handler]
    fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
        hprintln!("{}", info);
        end(false)
    }

    fn end(good: bool) -> ! {
        loop {
            debug::exit(if good { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    let good = lapwing_hil_mcu::prove(&mut |line| println!("{line}"));
    if good { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
