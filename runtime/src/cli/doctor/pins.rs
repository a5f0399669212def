//! The GPIO chips of this board, their lines, and who holds them.

use lapwing_camera::frame::printable::Printable;
use lapwing_firmware::linux::gpio::{GpioError, LineInfo, chip_info, chip_paths, line_info};

use super::finding::Finding;

const WHAT: &str = "pins";
/// Lines of a chip that are told one by one.
const TOLD_MAX: usize = 64;

/// One finding a chip.
pub(super) fn pins() -> Vec<Finding> {
    let found: Vec<Finding> = chip_paths().iter().map(|path| chip(path)).collect();
    if found.is_empty() {
        return vec![Finding::note(WHAT, "no GPIO chip", "rules drive simulated pins; the log shows every edge")];
    }
    found
}

fn chip(path: &std::path::Path) -> Finding {
    let lines = chip_info(path).and_then(|chip| {
        let lines: Result<Vec<LineInfo>, GpioError> = (0..chip.lines).map(|number| line_info(path, number)).collect();
        lines.map(|lines| (chip.label, lines))
    });
    match lines {
        Ok((label, lines)) => {
            Finding::good(WHAT, format!("{} [{label}]: {}", Printable(path.display()), in_words(&lines)))
        }
        Err(error @ GpioError::Denied { .. }) => {
            Finding::note(WHAT, format!("{}: this user may not open it", Printable(path.display())), error.to_string())
        }
        Err(error) => Finding::note(WHAT, path.display().to_string(), error.to_string()),
    }
}

/// `0-3, 4 GPIO4, 5 held by "spi0 CS0"`: lines without a name and a holder as ranges.
fn in_words(lines: &[LineInfo]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut plain: Option<(u32, u32)> = None;
    let range = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    for line in lines {
        if line.name.is_empty() && !line.used {
            plain = Some(plain.map_or((line.number, line.number), |(first, _)| (first, line.number)));
            continue;
        }
        parts.extend(plain.take().map(range));
        let mut part = line.number.to_string();
        if !line.name.is_empty() {
            part += &format!(" {}", line.name);
        }
        if line.used {
            let holder = if line.consumer.is_empty() { "somebody".to_owned() } else { format!("{:?}", line.consumer) };
            part += &format!(" held by {holder}");
        }
        parts.push(part);
    }
    parts.extend(plain.map(range));
    let more = parts.len().saturating_sub(TOLD_MAX);
    parts.truncate(TOLD_MAX);
    let mut text = parts.join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_with_their_names_and_holders() {
        let line = |number: u32, name: &str, holder: Option<&str>| LineInfo {
            chip: "/dev/gpiochip0".into(),
            number,
            name: name.into(),
            used: holder.is_some(),
            consumer: holder.unwrap_or("").into(),
            output: false,
        };
        let lines = [
            line(0, "", None),
            line(1, "", None),
            line(2, "GPIO2", None),
            line(3, "", Some("lapwing")),
            line(4, "LED", Some("")),
            line(5, "", None),
        ];
        assert_eq!(in_words(&lines), "0-1, 2 GPIO2, 3 held by \"lapwing\", 4 LED held by somebody, 5");
        let many: Vec<LineInfo> = (0..70).map(|n| line(n, "X", None)).collect();
        assert!(in_words(&many).ends_with("63 X and 6 more"));
    }
}
