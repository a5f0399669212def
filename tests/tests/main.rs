//! All end-to-end tests in one program: it is linked once.

mod accuracy;
mod allocation;
mod commands;
mod exports;
mod instructions;
mod kill;
mod log;
mod models;
mod not_finite;
mod privacy;
mod quantize;
mod recognition;
mod run;
mod service;
mod tidy;
mod unattended;
