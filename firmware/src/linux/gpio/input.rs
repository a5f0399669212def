//! An input line: edges with the kernel's time stamps, debounced by the kernel (GPIO uAPI v2).
//!
//! Edges are armed when the line is taken; from then on the kernel keeps up to [`EDGES_KEPT`] of them until
//! [`InputLine::next`] asks. Nothing waits. Of too many edges the kernel drops the oldest, so the last one told is
//! always the level that the line has now.

use std::time::Duration;

use gpiocdev::Request;
use gpiocdev::line::{self, EdgeDetection, EdgeKind, Value};

use super::chips::find_free;
use super::error::GpioError;
use super::line::{CONSUMER, LineAddress, LineInfo};

/// Edges that the kernel keeps for us.
pub const EDGES_KEPT: u32 = 64;

/// The resistor that the chip itself puts on an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bias {
    /// As it is; a resistor outside decides.
    #[default]
    AsIs,
    /// None.
    Off,
    /// To the supply: for a switch to ground.
    PullUp,
    /// To ground: for a switch to the supply.
    PullDown,
}

/// How an input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputOptions {
    /// Low is active.
    pub active_low: bool,
    /// The chip's own resistor.
    pub bias: Bias,
    /// A level counts once it has stood for this long; 0: at once.
    pub debounce_us: u32,
}

/// The line became active or inactive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputEdge {
    /// What it became.
    pub active: bool,
    /// When, in microseconds of `CLOCK_MONOTONIC`; with debouncing, when the level had stood long enough.
    pub kernel_us: u64,
}

/// A line that this process listens to.
#[derive(Debug)]
pub struct InputLine {
    request: Request,
    info: LineInfo,
    active: bool,
    /// Number of the last edge, from 1 in the kernel's count.
    seen: u32,
    lost: u64,
}

impl InputLine {
    /// Takes the line, arms its edges, then reads its level.
    ///
    /// # Errors
    /// There is no such line, it is held, this user may not have it, or its chip has no interrupts.
    pub fn take(address: &LineAddress, options: InputOptions) -> Result<InputLine, GpioError> {
        let info = find_free(address)?;
        let mut builder = Request::builder();
        builder.on_chip(&info.chip).with_consumer(CONSUMER).with_line(info.number);
        builder.with_edge_detection(EdgeDetection::BothEdges).with_kernel_event_buffer_size(EDGES_KEPT);
        if options.active_low {
            builder.as_active_low();
        }
        match options.bias {
            Bias::AsIs => {}
            Bias::Off => drop(builder.with_bias(line::Bias::Disabled)),
            Bias::PullUp => drop(builder.with_bias(line::Bias::PullUp)),
            Bias::PullDown => drop(builder.with_bias(line::Bias::PullDown)),
        }
        if options.debounce_us > 0 {
            builder.with_debounce_period(Duration::from_micros(u64::from(options.debounce_us)));
        }
        let request = builder
            .request()
            .map_err(|e| GpioError::refused(&info.chip, "listen to the line (needs a chip with interrupts)", &e))?;
        let mut input = InputLine { request, info, active: false, seen: 0, lost: 0 };
        input.active = input.level()?;
        Ok(input)
    }

    /// What the line was when it was taken.
    pub fn info(&self) -> &LineInfo {
        &self.info
    }

    /// True if the line was active at the last call.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Edges that came faster than they were asked for.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The oldest edge that was not told yet; `None` if there is none. Does not wait.
    ///
    /// # Errors
    /// The chip is gone.
    #[expect(clippy::should_implement_trait, reason = "it fails")]
    pub fn next(&mut self) -> Result<Option<InputEdge>, GpioError> {
        let failed = |e: &dyn core::fmt::Display| GpioError::refused(&self.info.chip, "read an edge", e);
        if !self.request.has_edge_event().map_err(|e| failed(&e))? {
            return Ok(None);
        }
        let event = self.request.read_edge_event().map_err(|e| failed(&e))?;
        let missed = event.line_seqno.wrapping_sub(self.seen).saturating_sub(1);
        self.lost += u64::from(missed);
        self.seen = event.line_seqno;
        self.active = event.kind == EdgeKind::Rising;
        Ok(Some(InputEdge { active: self.active, kernel_us: event.timestamp_ns / 1000 }))
    }

    fn level(&self) -> Result<bool, GpioError> {
        let value = self.request.value(self.info.number);
        Ok(value.map_err(|e| GpioError::refused(&self.info.chip, "read the line", &e))? == Value::Active)
    }
}
