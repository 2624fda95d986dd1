//! Quantities as people write them: `250ms`, `64KiB`, `100/min`, `10%`.

mod duration;
mod percent;
mod rate;
mod size;
mod within;

pub use duration::Duration;
pub use percent::Percent;
pub use rate::Rate;
pub use size::ByteSize;
pub use within::Within;

/// The digits at the beginning of a text, and the rest.
fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// What other programs call units of time.
fn unit_of(word: &str) -> Option<&'static str> {
    Some(match word {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    })
}
