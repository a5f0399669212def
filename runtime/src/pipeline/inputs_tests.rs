//! Rules that inputs arm and fire, and frames that come too late.

use lapwing_firmware::event::Event;
use lapwing_firmware::event::EventKind::{Armed, Disarmed, Failsafe, Fired, Released, Started, Stopped};

use super::simulated::Step::{Blank, Do, Late, Pass, Settle, Show, Until};
use super::simulated::{Stage, State, told};
use lapwing_camera::Pacing;

const PERSON: &str = "astronaut.jpg";

fn stage(keys: &str) -> Stage {
    let input = "[[input]]\nname = \"key\"\nchip = \"gpiochip0\"\nline = 5\n";
    let rule = "[[rule]]\nname = \"gate\"\nclasses = [\"person\"]\nhold_ms = 1000\nstall_ms = 2000\n";
    Stage::new(&format!("[pictures]\nkeep = \"none\"\n{input}{rule}{keys}\n"))
}

fn switch(active: bool) -> super::simulated::Step {
    Do(Box::new(move |state: &mut State| state.switch(0, active)))
}

#[test]
fn a_switch_arms_and_disarms_and_the_line_follows() {
    let stage = stage("armed_by = \"key\"");
    let script = vec![
        told(Disarmed, 1),
        Show(PERSON),
        Settle,
        switch(true),
        told(Armed, 1),
        Show(PERSON),
        told(Fired, 1),
        Do(Box::new(|state| assert_eq!(state.wires[0].level, Some(true)))),
        switch(false),
        Until(Box::new(|state| state.wires[0].level == Some(false))),
        told(Released, 1),
        Show(PERSON),
        Settle,
    ];
    let report = stage.act(Pacing::Live, script, || {});
    let state = stage.state();
    assert_eq!(state.kinds(), [Started, Disarmed, Armed, Fired, Released, Stopped]);
    assert_eq!(state.first(Fired).flags & Event::EXTERNAL, 0);
    assert!(report.is_clean());
}

#[test]
fn a_switch_that_is_on_at_the_start_leaves_the_rule_armed() {
    let stage = stage("armed_by = \"key\"").with(|state| {
        state.switches.resize_with(1, Default::default);
        state.switches[0].active = true;
    });
    stage.act(Pacing::Live, vec![Show(PERSON), told(Fired, 1)], || {});
    assert_eq!(stage.state().kinds(), [Started, Fired, Released, Stopped]);
}

#[test]
fn a_button_fires_and_its_latency_counts_from_its_edge() {
    let stage = stage("fired_by = \"key\"");
    let script = vec![
        Blank,
        Settle,
        Do(Box::new(|state| {
            state.switch(0, true);
            state.pass_ms(3);
        })),
        told(Fired, 1),
        Do(Box::new(|state| assert_eq!(state.wires[0].level, Some(true)))),
        switch(false),
        Pass(1001),
        Blank,
        told(Released, 1),
    ];
    stage.act(Pacing::Live, script, || {});
    let state = stage.state();
    assert_eq!(state.kinds(), [Started, Fired, Released, Disarmed, Stopped]);
    let fired = state.first(Fired);
    assert_eq!((fired.class, fired.count, fired.latency_us), (Event::NO_CLASS, 0, 3000));
    assert_ne!(fired.flags & Event::EXTERNAL, 0);
}

#[test]
fn an_input_that_is_gone_disarms() {
    let stage = stage("armed_by = \"key\"").with(|state| {
        state.switches.resize_with(1, Default::default);
        state.switches[0].active = true;
    });
    let script = vec![
        Show(PERSON),
        told(Fired, 1),
        Do(Box::new(|state| state.switches[0].gone = true)),
        told(Released, 1),
        Do(Box::new(|state| assert_eq!(state.wires[0].level, Some(false)))),
        Show(PERSON),
        Settle,
    ];
    stage.act(Pacing::Live, script, || {});
    let state = stage.state();
    assert_eq!(state.kinds(), [Started, Fired, Released, Stopped]);
    assert_eq!(state.troubles.len(), 1, "told once: {:?}", state.troubles);
}

#[test]
fn a_frame_as_old_as_stall_ms_is_none() {
    let stage = stage("fired_by = \"key\"");
    let script = vec![
        Pass(10_000),
        Show(PERSON),
        told(Fired, 1),
        Pass(900),
        Late(PERSON, 1999),
        Until(Box::new(|state| state.seen.len() == 2)),
        Pass(200),
        Settle,
        Do(Box::new(|state| assert_eq!(state.wires[0].level, Some(true), "the late one held it"))),
        Pass(700),
        Late(PERSON, 2000),
        Until(Box::new(|state| state.seen.len() == 3)),
        Pass(1099),
        Settle,
        Do(Box::new(|state| assert_eq!(state.wires[0].level, Some(true), "1999 ms after the last one that counts"))),
        Pass(1),
        told(Failsafe, 1),
        Late(PERSON, 5000),
        Settle,
    ];
    stage.act(Pacing::Live, script, || {});
    let state = stage.state();
    assert_eq!((state.count(Fired), state.count(Failsafe)), (1, 1));
}
