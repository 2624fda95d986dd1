//! What a request says about its urgency, and how much of that is believed.

use weir_net::Micros;

use crate::{
    codec::RequestHead,
    config::{DeadlineConfig, PriorityConfig, PriorityLevel},
};

/// Who goes first when a service is overloaded.
#[derive(Debug)]
pub(crate) enum PriorityPlan {
    Fixed(PriorityLevel),
    /// What the field of this name says.
    Field(Box<str>),
}

impl PriorityPlan {
    pub(super) fn compile(config: Option<&PriorityConfig>) -> Self {
        match config {
            None => Self::Fixed(PriorityLevel::Normal),
            Some(PriorityConfig::Level(level)) => Self::Fixed(*level),
            Some(PriorityConfig::Header(field)) => Self::Field(field.header.as_str().into()),
        }
    }

    /// The priority of a request. A field that says nothing known, or says it twice, says `normal`.
    pub(crate) fn of(&self, request: &RequestHead) -> PriorityLevel {
        let name = match self {
            Self::Fixed(level) => return *level,
            Self::Field(name) => name,
        };
        let said = single(request, name.as_bytes());
        [PriorityLevel::High, PriorityLevel::Low]
            .into_iter()
            .find(|level| {
                said.is_some_and(|said| said.eq_ignore_ascii_case(level.as_str().as_bytes()))
            })
            .unwrap_or(PriorityLevel::Normal)
    }
}

/// The field in which deadlines travel: in from the client, and on to the endpoint.
#[derive(Debug)]
pub(crate) struct DeadlineField {
    pub(crate) name: Box<[u8]>,
}

impl DeadlineField {
    pub(super) fn compile(config: &DeadlineConfig) -> Self {
        Self {
            name: config.header.as_str().as_bytes().into(),
        }
    }

    /// How long the client still waits, if it says so and says it once.
    pub(crate) fn of(&self, request: &RequestHead) -> Option<Micros> {
        millis(single(request, &self.name)?).map(|millis| millis.saturating_mul(1000))
    }
}

/// The value of a field that stands in the head once.
fn single<'a>(request: &'a RequestHead, name: &[u8]) -> Option<&'a [u8]> {
    let mut all = request.fields().all_by_name(name);
    let value = all.next()?;
    all.next().is_none().then_some(value)
}

/// Digits and nothing else. So many that they overflow mean a very long time.
fn millis(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 32 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{HeadLimits, Parsed};

    fn request(fields: &str) -> RequestHead {
        let mut request = RequestHead::new();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let limits = HeadLimits {
            max_head: 4096,
            max_fields: 100,
            max_target: 1024,
            max_field: 1024,
        };
        let parsed = request.parse(head.as_bytes(), &mut 0, &limits);
        assert!(matches!(parsed, Ok(Parsed::Complete(_))), "{fields}");
        request
    }

    #[test]
    fn a_deadline_is_digits() {
        let field = DeadlineField {
            name: b"x-request-timeout-ms"[..].into(),
        };
        for (value, expected) in [
            ("0", Some(0)),
            ("1500", Some(1_500_000)),
            ("007", Some(7000)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1s", None),
            ("1.5", None),
            ("1, 2", None),
            ("0x10", None),
        ] {
            let request = request(&format!("X-Request-Timeout-MS: {value}\r\n"));
            assert_eq!(field.of(&request), expected, "{value:?}");
        }
        assert_eq!(field.of(&request("")), None);
        let twice = "x-request-timeout-ms: 1\r\nx-request-timeout-ms: 2\r\n";
        assert_eq!(field.of(&request(twice)), None);
    }

    #[test]
    fn a_priority_is_a_known_word() {
        use PriorityLevel::{High, Low, Normal};
        let plan = PriorityPlan::Field("x-priority".into());
        for (value, expected) in [
            ("high", High),
            ("HIGH", High),
            ("low", Low),
            ("normal", Normal),
            ("urgent", Normal),
            ("", Normal),
            ("high, low", Normal),
        ] {
            let request = request(&format!("X-Priority: {value}\r\n"));
            assert_eq!(plan.of(&request), expected, "{value:?}");
        }
        assert_eq!(plan.of(&request("")), Normal);
        let twice = "x-priority: high\r\nx-priority: low\r\n";
        assert_eq!(plan.of(&request(twice)), Normal);
        let fixed = PriorityPlan::Fixed(Low);
        assert_eq!(fixed.of(&request("x-priority: high\r\n")), Low);
    }
}
