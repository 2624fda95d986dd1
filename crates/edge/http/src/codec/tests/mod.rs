//! The rules in both directions, by table, and that no way to split the bytes changes an outcome.

mod body;
mod chunked;
mod encode;
mod field_lines;
mod fields;
mod host;
mod limits;
mod properties;
mod request;
mod request_line;
mod response;

use super::{HeadError, HeadLimits, Parsed, RequestHead, ResponseHead};

const LIMITS: HeadLimits = HeadLimits {
    max_head: 4096,
    max_fields: 40,
    max_target: 1024,
    max_field: 2048,
};

/// What a head came to: its length and all it says, in words.
type Outcome = Result<Option<(usize, String)>, HeadError>;

trait Head {
    fn new() -> Self;
    fn parse_head(
        &mut self,
        input: &[u8],
        scanned: &mut usize,
        limits: &HeadLimits,
    ) -> Result<Parsed, HeadError>;
    fn summary(&self) -> String;
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn fields_summary(fields: &super::Fields) -> String {
    fields
        .iter()
        .map(|(field, name, value)| {
            let line = fields.line(field).map(text);
            format!(
                "{:?} {} {} {} {line:?}\n",
                field.id(),
                field.hop(),
                text(name),
                text(value)
            )
        })
        .collect()
}

impl Head for RequestHead {
    fn new() -> Self {
        Self::new()
    }

    fn parse_head(
        &mut self,
        input: &[u8],
        scanned: &mut usize,
        limits: &HeadLimits,
    ) -> Result<Parsed, HeadError> {
        self.parse(input, scanned, limits)
    }

    fn summary(&self) -> String {
        format!(
            "{:?} {} {} {:?} {:?} {} {:?} {} {} {:?} {:?} {:?} {} {} {:?} {}\n{}",
            self.method(),
            text(self.method_bytes()),
            text(self.target()),
            self.form(),
            self.scheme(),
            text(self.path()),
            self.query().map(text),
            text(self.authority()),
            text(self.host()),
            self.port(),
            self.version(),
            self.body(),
            self.keep_alive(),
            self.expects_continue(),
            self.upgrade().map(text),
            self.te_trailers(),
            fields_summary(self.fields()),
        )
    }
}

impl Head for ResponseHead {
    fn new() -> Self {
        Self::new()
    }

    fn parse_head(
        &mut self,
        input: &[u8],
        scanned: &mut usize,
        limits: &HeadLimits,
    ) -> Result<Parsed, HeadError> {
        self.parse(input, scanned, limits)
    }

    fn summary(&self) -> String {
        format!(
            "{} {} {:?} {:?} {:?} {} {:?}\n{}",
            self.status(),
            text(self.reason()),
            self.version(),
            self.body(super::Method::Get),
            self.content_length(),
            self.keep_alive(),
            self.upgrade().map(text),
            fields_summary(self.fields()),
        )
    }
}

fn step<H: Head>(head: &mut H, input: &[u8], scanned: &mut usize, limits: &HeadLimits) -> Outcome {
    Ok(match head.parse_head(input, scanned, limits)? {
        Parsed::Partial => None,
        Parsed::Complete(len) => Some((len, head.summary())),
    })
}

fn whole<H: Head>(input: &[u8], limits: &HeadLimits) -> Outcome {
    step(&mut H::new(), input, &mut 0, limits)
}

/// Feeds `input` up to each of `ends`, then whole.
fn in_pieces<H: Head>(
    head: &mut H,
    input: &[u8],
    ends: impl IntoIterator<Item = usize>,
    limits: &HeadLimits,
) -> Outcome {
    let mut scanned = 0;
    for end in ends {
        let outcome = step(head, &input[..end], &mut scanned, limits);
        if !matches!(outcome, Ok(None)) {
            return outcome;
        }
    }
    step(head, input, &mut scanned, limits)
}

/// Parses whole, split in two at every place, and byte by byte, into a head that was used before.
fn outcome<H: Head>(input: &[u8], limits: &HeadLimits) -> Outcome {
    let expected = whole::<H>(input, limits);
    let mut head = H::new();
    for split in 0..input.len() {
        assert_eq!(
            in_pieces(&mut head, input, [split], limits),
            expected,
            "{} split at {split}",
            text(input)
        );
    }
    assert_eq!(
        in_pieces(&mut head, input, 0..input.len(), limits),
        expected,
        "{} byte by byte",
        text(input)
    );
    expected
}

/// The error that a head must end in.
fn error<H: Head>(input: &[u8]) -> Option<HeadError> {
    outcome::<H>(input, &LIMITS).err()
}

/// The parsed head; it must take all of `input`.
fn parsed<H: Head>(input: &[u8]) -> H {
    let (len, summary) = outcome::<H>(input, &LIMITS)
        .unwrap_or_else(|error| panic!("{}: {error}", text(input)))
        .unwrap_or_else(|| panic!("{}: partial", text(input)));
    assert_eq!(len, input.len(), "{}", text(input));
    let mut head = H::new();
    assert_eq!(
        step(&mut head, input, &mut 0, &LIMITS),
        Ok(Some((len, summary)))
    );
    head
}
