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
