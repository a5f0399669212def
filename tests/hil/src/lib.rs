//! The emulated board: what is emulated is the silicon; the kernel, its V4L2, its GPIO character
//! device and its block layer are Debian's own. See `README.md` beside this crate.
//!
//! | module | is |
//! |---|---|
//! | [`debian`] [`modules`] [`cross`] [`cpio`] [`image`] | what the board boots, made without root |
//! | [`qemu`] | the running board: its serial line, jobs, power |
//! | [`patience`] | how long a board is waited for on a busy host |
//! | [`disk`] | the disk: a volatile cache, errors on command, cuts that replay |
//! | [`cuts`] | power cuts in a loop, with the log written and checked |
//! | [`cases`] | what is proved |
//! | [`pictures`] | what the board's camera is shown |
//! | [`pins`] | the board's pins, seen and driven from outside |
//! | [`report`] | what a run came to |
//! | [`tools`] [`trouble`] | programs of the host; reasons to end early |
//!
//! Emulation proves behaviour, not speed.

pub mod cases;
pub mod cpio;
pub mod cross;
pub mod cuts;
pub mod debian;
pub mod disk;
pub mod image;
pub mod modules;
pub mod patience;
pub mod pictures;
pub mod pins;
pub mod qemu;
pub mod report;
pub mod tools;
pub mod trouble;
