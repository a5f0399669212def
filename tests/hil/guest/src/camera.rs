//! What a camera's case needs on the board: formats, controls, a writer for the looped input, a reader
//! that compares.
//!
//! | call | does |
//! |---|---|
//! | `camera format DEVICE in\|out W H FOURCC [STRIDE]` | sets it and says what was granted |
//! | `camera set DEVICE NAME VALUE` | sets a control by its name; a button is pressed |
//! | `camera get DEVICE NAME` | says `control` and its value |
//! | `camera show DEVICE FILE` | gives the file's bytes as the picture, over and over |
//! | `camera compare DEVICE FILE COUNT` | reads pictures and counts bytes that differ from the file's |
//!
//! Pictures are read with `read`, a picture a call.

use std::fs::{self, File};
use std::io::Read;

use v4l::control::{Control, Description, Type, Value};
use v4l::format::{Format, FourCC};
use v4l::prelude::Device;
use v4l::video::{Capture, Output};

/// Pictures after which the writer says that it is under way.
const UNDER_WAY: u32 = 3;

/// Runs the command.
pub fn run(words: &[String]) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["format", device, way, width, height, fourcc, stride @ ..] => {
            let number = |word: &str| word.parse::<u32>().map_err(|e| format!("{word}: {e}"));
            let stride = stride.first().map_or(Ok(0), |word| number(word))?;
            let code: [u8; 4] = fourcc.as_bytes().try_into().map_err(|_| format!("{fourcc}: four letters"))?;
            let mut wish = Format::new(number(width)?, number(height)?, FourCC::new(&code));
            wish.stride = stride;
            set_format(device, *way == "out", &wish)
        }
        ["set", device, name @ .., value] => set(device, &name.join(" "), value),
        ["get", device, name @ ..] => get(device, &name.join(" ")),
        ["show", device, file] => show(device, file),
        ["compare", device, file, count] => compare(device, file, count.parse().map_err(|e| format!("{count}: {e}"))?),
        _ => Err("camera format|set|get|show|compare: see its source".into()),
    }
}

fn open(device: &str) -> Result<Device, String> {
    Device::with_path(device).map_err(|e| format!("{device}: {e}"))
}

fn set_format(device: &str, out: bool, wish: &Format) -> Result<(), String> {
    let device_ = open(device)?;
    let granted = if out { Output::set_format(&device_, wish) } else { Capture::set_format(&device_, wish) };
    let granted = granted.map_err(|e| format!("{device}: {e}"))?;
    println!(
        "format {} {}x{} stride {} size {}",
        granted.fourcc, granted.width, granted.height, granted.stride, granted.size
    );
    Ok(())
}

fn control(device: &str, name: &str) -> Result<(Device, Description), String> {
    let opened = open(device)?;
    let controls = opened.query_controls().map_err(|e| format!("{device}: {e}"))?;
    let found = controls.into_iter().find(|c| c.name == name);
    Ok((opened, found.ok_or_else(|| format!("{device}: no control {name:?}"))?))
}

fn get(device: &str, name: &str) -> Result<(), String> {
    let (opened, control) = control(device, name)?;
    let value = opened.control(control.id).map_err(|e| format!("{device} {name:?}: {e}"))?.value;
    match value {
        Value::Boolean(on) => println!("control {}", i64::from(on)),
        Value::Integer(number) => println!("control {number}"),
        other => return Err(format!("{device} {name:?}: {other:?} is no number")),
    }
    Ok(())
}

fn set(device: &str, name: &str, value: &str) -> Result<(), String> {
    let (device_, control) = control(device, name)?;
    let number: i64 = value.parse().map_err(|e| format!("{value}: {e}"))?;
    let value = match control.typ {
        Type::Boolean => Value::Boolean(number != 0),
        Type::Button => Value::None,
        _ => Value::Integer(number),
    };
    device_.set_control(Control { id: control.id, value }).map_err(|e| format!("{device} {name:?}: {e}"))
}

fn show(device: &str, file: &str) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{device}: {e}");
    let picture = fs::read(file).map_err(|e| format!("{file}: {e}"))?;
    let output = super::output::Output::start(&open(device)?, &picture).map_err(failed)?;
    for turn in 1u32.. {
        output.again().map_err(failed)?;
        if turn == UNDER_WAY {
            println!("showing");
        }
    }
    Ok(())
}

fn compare(device: &str, file: &str, count: u32) -> Result<(), String> {
    let picture = fs::read(file).map_err(|e| format!("{file}: {e}"))?;
    let mut input = File::open(device).map_err(|e| format!("{device}: {e}"))?;
    let mut seen = vec![0; picture.len() * 2];
    for _ in 0..count {
        let bytes = input.read(&mut seen).map_err(|e| format!("{device}: {e}"))?;
        let differ = seen.iter().zip(&picture).take(bytes).filter(|(a, b)| a != b).count();
        println!("picture bytes {bytes} of {} differ {differ}", picture.len());
    }
    Ok(())
}
