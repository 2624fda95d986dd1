//! Claims as values of fields, for endpoints.
//!
//! An endpoint must read what the issuer wrote, or nothing: `"a\r\nb"` must not become `ab`, the group `a,b` not the groups `a`
//! and `b`, and a number not another one. So the members of a list, of which a comma stands between two, have what would end
//! them or be cut off percent-encoded, and the `%` itself; and what cannot be told as it is, is not told at all. That is an
//! event, so that whoever runs the endpoint need not guess why it sees nothing.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::auth::{Event, Events};
use crate::claims;

/// Longer values are not told: many endpoints take no longer ones.
pub(crate) const LONGEST: usize = 8 << 10;
/// How long the event log hears no more of a field.
const PAUSE: Duration = Duration::from_secs(60);

/// A claim as the value of a field; `None` if there is nothing in it.
///
/// # Errors
/// Why it cannot be told.
pub(crate) fn told(value: &Value) -> Result<Option<Cow<'_, str>>, &'static str> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::Object(_) => return Err("it is an object: name a member of it, such as `a.b`"),
        Value::Array(values) => Cow::Owned(list(values)?),
        value => claims::text(value).ok_or(INEXACT)?,
    };
    if text.is_empty() {
        return Ok(None);
    }
    check(&text).map(|()| Some(text))
}

const INEXACT: &str = "it is a number with more digits than can be told exactly";

/// Whether a value reaches the endpoint as it is (RFC 9110, section 5.5): recipients cut blanks at both ends.
///
/// # Errors
/// Why it does not.
pub(crate) fn check(value: &str) -> Result<(), &'static str> {
    if value.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("it holds control characters");
    }
    if value.starts_with(' ') || value.ends_with(' ') {
        return Err("it begins or ends with a blank");
    }
    if value.len() > LONGEST {
        return Err("it is longer than 8 KiB");
    }
    Ok(())
}

fn list(values: &[Value]) -> Result<String, &'static str> {
    let mut text = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        match value {
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err("a member of the list is no text");
            }
            value => push_member(&mut text, &claims::text(value).ok_or(INEXACT)?),
        }
        // No need to write down the rest of what is too long already.
        if text.len() > LONGEST {
            break;
        }
    }
    Ok(text)
}

/// Writes a member of a list so that no other list reads the same. A quote could hold members together (RFC 9110, section
/// 5.6.4).
fn push_member(text: &mut String, member: &str) {
    let last = member.len().saturating_sub(1);
    for (at, char) in member.char_indices() {
        let means_more = matches!(char, '%' | ',' | '"') || char.is_ascii_control();
        if means_more || (char == ' ' && (at == 0 || at == last)) {
            // A String takes everything.
            let _ = write!(text, "%{:02X}", u32::from(char));
        } else {
            text.push(char);
        }
    }
}

/// Tells the event log which fields are missing and why, now and then.
#[derive(Debug)]
pub(crate) struct Untold {
    events: Events,
    /// When each of the fields may be told of again.
    next: Mutex<Vec<(Box<str>, Instant)>>,
}

impl Untold {
    pub(crate) const fn new(events: Events) -> Self {
        Self {
            events,
            next: Mutex::new(Vec::new()),
        }
    }

    /// A field that holds a claim is missing from a request. There are as many fields as the config names.
    pub(crate) fn tell(&self, policy: &str, field: &str, claim: &str, why: &'static str) {
        let now = Instant::now();
        {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            match next.iter_mut().find(|(name, _)| **name == *field) {
                Some((_, next)) if *next > now => return,
                Some((_, next)) => *next = now + PAUSE,
                None => next.push((field.into(), now + PAUSE)),
            }
        }
        self.events.tell(Event::ClaimUntold {
            policy: policy.to_owned(),
            field: field.to_owned(),
            claim: claim.to_owned(),
            why,
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_told_is_what_was_said() {
        for (value, text) in [
            (json!(null), None),
            (json!(""), None),
            (json!([]), None),
            (json!("Doe, John 100%"), Some("Doe, John 100%")),
            (json!(7), Some("7")),
            (json!(-7.5), Some("-7.5")),
            (json!(u64::MAX), Some("18446744073709551615")),
            (json!(true), Some("true")),
            (json!(["a", 1, false]), Some("a,1,false")),
            (json!(["Domain Admins", "é"]), Some("Domain Admins,é")),
            (json!(["a,b", "a", "b"]), Some("a%2Cb,a,b")),
            (json!(["a%2Cb", "100%"]), Some("a%252Cb,100%25")),
            (
                json!([" a ", "b\r\nc", "\"d"]),
                Some("%20a%20,b%0D%0Ac,%22d"),
            ),
        ] {
            let seen = told(&value).unwrap_or_else(|why| panic!("{value}: {why}"));
            assert_eq!(seen.as_deref(), text, "{value}");
        }
        let long = "x".repeat(LONGEST);
        assert_eq!(told(&json!(long)), Ok(Some(long.as_str().into())));
    }

    #[test]
    fn what_cannot_be_told_has_a_reason() {
        let many: Vec<String> = (0..1000).map(|at| format!("group-{at}")).collect();
        for (value, why) in [
            (json!("a\r\nx-admin: yes"), "control"),
            (json!("a\u{0}"), "control"),
            (json!("a\tb"), "control"),
            (json!(" a"), "blank"),
            (json!("a "), "blank"),
            (json!({ "a": 1 }), "object"),
            (json!([["a"], "b"]), "no text"),
            (json!([null]), "no text"),
            (json!("x".repeat(LONGEST + 1)), "longer"),
            (json!(many), "longer"),
            (json!(1e22), "digits"),
            (json!(["a", -1e19]), "digits"),
        ] {
            let seen = told(&value).expect_err("it cannot be told");
            assert!(seen.contains(why), "{value}: {seen}");
        }
    }

    proptest! {
        #[test]
        fn no_two_lists_read_the_same(
            one in proptest::collection::vec("[ab,%\" \r2C]{1,4}", 1..4),
            other in proptest::collection::vec("[ab,%\" \r2C]{1,4}", 1..4),
        ) {
            let text = |list: &[String]| told(&json!(list)).expect("told").map(Cow::into_owned);
            prop_assert_eq!(text(&one) == text(&other), one == other);
            let decoded: Option<Vec<String>> = text(&one)
                .unwrap_or_default()
                .split(',')
                .map(weir_client::percent_decoded)
                .collect();
            prop_assert_eq!(decoded, Some(one));
        }
    }
}
