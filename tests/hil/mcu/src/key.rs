//! A key that bounces arms and disarms a rule, and what is too short for a press does neither.
//!
//! The pin's level is a script over milliseconds; the debouncer looks once a millisecond.

use core::cell::Cell;
use core::convert::Infallible;
use core::fmt::Arguments;

use embedded_hal::digital::{ErrorType, InputPin};
use lapwing_firmware::trigger::{DebouncedPin, Edge, Rule, RuleConfig, State};

const PERIOD_US: u32 = 20_000;
const END_MS: u64 = 600;
/// From this millisecond on the contact is closed or open.
const SCRIPT: [(u64, bool); 13] = [
    (50, true), // closes, with a bounce
    (53, false),
    (54, true),
    (61, false),
    (62, true),
    (200, false), // opens, with a bounce
    (204, true),
    (209, false),
    (300, true), // a spike: no press
    (310, false),
    (400, true),  // closes
    (500, false), // a gap shorter than the period: still closed
    (512, true),
];
/// The edges that count, and when.
const EXPECTED: [(u64, Edge); 3] = [(82, Edge::Rising), (229, Edge::Falling), (420, Edge::Rising)];

/// The contact at the time that the clock shows.
struct Contact<'a> {
    now_ms: &'a Cell<u64>,
}

impl ErrorType for Contact<'_> {
    type Error = Infallible;
}

impl InputPin for Contact<'_> {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        let now_ms = self.now_ms.get();
        Ok(SCRIPT.iter().rev().find(|(from, _)| *from <= now_ms).is_some_and(|(_, level)| *level))
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.is_high().map(|high| !high)
    }
}

/// Proves it; says `key edges N`.
pub fn prove(say: &mut dyn FnMut(Arguments<'_>)) -> bool {
    let now_ms = Cell::new(0);
    let (Ok(mut key), Ok(mut rule)) =
        (DebouncedPin::new(Contact { now_ms: &now_ms }, PERIOD_US), Rule::new(RuleConfig::default()))
    else {
        return false;
    };
    rule.disarm(0);
    let (mut edges, mut good) = (0, true);
    for ms in 0..END_MS {
        now_ms.set(ms);
        let Ok(edge) = key.poll(ms * 1000);
        let Some(edge) = edge else { continue };
        good &= EXPECTED.get(edges) == Some(&(ms, edge));
        edges += 1;
        match edge {
            Edge::Rising => rule.arm(ms * 1000),
            Edge::Falling => rule.disarm(ms * 1000),
        };
        good &= (rule.state() == State::Disarmed) == (edge == Edge::Falling);
    }
    say(format_args!("key edges {edges} of {}", SCRIPT.len()));
    good && edges == EXPECTED.len()
}
