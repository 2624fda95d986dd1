//! What policies change about the head of a request on its way to an endpoint.

use weir_auth::{Hidden, Identity};

use super::{
    headers::HeadPlan,
    value::{Facts, Who},
};
use crate::codec::{Field, FieldId, Fields, Names};

/// The changes for one request.
pub(crate) struct RequestEdit<'a> {
    /// Fields that say who is asking. Only Weir says that, so nobody else's pass, on whatever route.
    pub(crate) identity_names: &'a Names,
    /// Who is asking, if that is known.
    pub(crate) identity: Option<&'a Identity>,
    /// What a service said about who is asking: field lines.
    pub(crate) lines: &'a [u8],
    /// Credentials that the endpoint does not see.
    pub(crate) hidden: &'a [Hidden],
    /// What else policies change.
    pub(crate) head: Option<(&'a HeadPlan, Facts<'a, Identity>)>,
}

impl RequestEdit<'_> {
    /// Whether a field of the client is not passed on.
    #[inline]
    pub(crate) fn drops(&self, fields: &Fields, field: &Field) -> bool {
        let (id, name) = (field.id(), fields.name(field));
        let hides = |hidden: &Hidden| match hidden {
            Hidden::Field(field) => name.eq_ignore_ascii_case(field.as_bytes()),
            Hidden::Authorization(scheme) => {
                id == FieldId::Authorization && has_scheme(fields.value(field), scheme.as_bytes())
            }
            Hidden::Cookie(_) | Hidden::Cookies(_) | Hidden::Parameter(_) => false,
        };
        self.identity_names.has(name)
            || self.hidden.iter().any(hides)
            || id == FieldId::Authorization && tells(self.lines, name)
            || self
                .head
                .as_ref()
                .is_some_and(|(head, _)| head.drops_of_request(id, name))
    }

    /// Whether no cookie is passed on.
    pub(crate) fn drops_cookies(&self) -> bool {
        self.head
            .as_ref()
            .is_some_and(|(head, _)| head.drops_of_request(FieldId::Cookie, b"cookie"))
    }

    /// Whether some cookies are not passed on.
    #[inline]
    pub(crate) fn hides_cookies(&self) -> bool {
        self.hidden
            .iter()
            .any(|hidden| matches!(hidden, Hidden::Cookie(_) | Hidden::Cookies(_)))
    }

    /// Whether the cookie of this name is not passed on.
    pub(crate) fn hides_cookie(&self, name: &[u8]) -> bool {
        self.hidden.iter().any(|hidden| match hidden {
            Hidden::Cookie(cookie) => cookie.as_bytes() == name,
            Hidden::Cookies(start) => name.starts_with(start.as_bytes()),
            Hidden::Field(_) | Hidden::Authorization(_) | Hidden::Parameter(_) => false,
        })
    }

    /// Writes the host that the endpoint sees instead, if it is another.
    pub(crate) fn write_host(&self, out: &mut Vec<u8>) -> bool {
        let Some((head, facts)) = &self.head else {
            return false;
        };
        let start = out.len();
        out.extend_from_slice(b"Host: ");
        if head.host(facts, out) {
            out.extend_from_slice(b"\r\n");
            return true;
        }
        out.truncate(start);
        false
    }

    /// Writes what is added.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if let Some((head, facts)) = &self.head {
            head.write_request(out, facts);
        }
        if let Some(identity) = self.identity {
            out.extend_from_slice(&identity.fields);
        }
        out.extend_from_slice(self.lines);
    }
}

/// Whether one of these lines has this name.
fn tells(lines: &[u8], name: &[u8]) -> bool {
    lines.split(|byte| *byte == b'\n').any(|line| {
        let (start, rest) = line.split_at(name.len().min(line.len()));
        start.eq_ignore_ascii_case(name) && rest.first() == Some(&b':')
    })
}

/// Whether the value of an Authorization field has this scheme (RFC 9110, 11.1: in any case).
fn has_scheme(value: &[u8], scheme: &[u8]) -> bool {
    let (start, rest) = value.split_at(scheme.len().min(value.len()));
    start.eq_ignore_ascii_case(scheme) && matches!(rest.first(), None | Some(b' ' | b'\t'))
}

/// Writes `target` without the parameters of its query that are hidden.
pub(crate) fn write_target(out: &mut Vec<u8>, target: &[u8], hidden: &[Hidden]) {
    copy_target(out, target, hidden, |_| {});
}

/// Writes `target` with the values of hidden parameters blotted out: for logs.
pub(crate) fn write_blotted(out: &mut Vec<u8>, target: &[u8], hidden: &[Hidden]) {
    copy_target(out, target, hidden, |out| out.extend_from_slice(b"***"));
}

/// Whether parameters of the query are hidden.
pub(crate) fn hides_parameters(hidden: &[Hidden]) -> bool {
    hidden
        .iter()
        .any(|hidden| matches!(hidden, Hidden::Parameter(_)))
}

/// Whether `text` is `name`, as it is or percent-encoded.
fn is_encoded(text: &[u8], name: &[u8]) -> bool {
    let mut rest = text;
    for &wanted in name {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return false;
                };
                (u8::try_from(high * 16 + low).unwrap_or(0), after)
            }
            [byte, after @ ..] => (*byte, after),
            [] => return false,
        };
        if byte != wanted {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// Copies a target. Of a hidden parameter, its name and what `instead` writes remain, or nothing if that writes nothing.
fn copy_target(
    out: &mut Vec<u8>,
    target: &[u8],
    hidden: &[Hidden],
    instead: impl Fn(&mut Vec<u8>),
) {
    let Some(mark) = target.iter().position(|byte| *byte == b'?') else {
        out.extend_from_slice(target);
        return;
    };
    out.extend_from_slice(&target[..mark]);
    let mut separator = b'?';
    for pair in target[mark + 1..].split(|byte| *byte == b'&') {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        let is_hidden = hidden.iter().any(
            |hidden| matches!(hidden, Hidden::Parameter(parameter) if is_encoded(name, parameter.as_bytes())),
        );
        let start = out.len();
        out.push(separator);
        if is_hidden {
            let before = out.len();
            instead(out);
            if out.len() == before {
                out.truncate(start);
                continue;
            }
            let value = out.split_off(before);
            out.extend_from_slice(name);
            out.push(b'=');
            out.extend_from_slice(&value);
        } else {
            out.extend_from_slice(pair);
        }
        separator = b'&';
    }
}

impl Who for Identity {
    fn user(&self) -> &[u8] {
        self.subject.as_bytes()
    }

    fn key(&self) -> &[u8] {
        self.key_id.as_deref().unwrap_or_default().as_bytes()
    }

    fn plan(&self) -> &[u8] {
        self.plan.as_deref().unwrap_or_default().as_bytes()
    }

    fn claim(&self, name: &str, out: &mut Vec<u8>) {
        if let Some(text) = self.claims.text_at(name) {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_parameters_leave_the_target() {
        let hidden = [
            Hidden::Parameter("key".into()),
            Hidden::Field("x-key".into()),
        ];
        for (target, without, blotted) in [
            ("/a", "/a", "/a"),
            ("/a?", "/a?", "/a?"),
            ("/a?key=1", "/a", "/a?key=***"),
            ("/a?key=1&b=2", "/a?b=2", "/a?key=***&b=2"),
            (
                "/a?b=2&key=1&key=3&c",
                "/a?b=2&c",
                "/a?b=2&key=***&key=***&c",
            ),
            (
                "/a?keys=1&xkey=2&key",
                "/a?keys=1&xkey=2",
                "/a?keys=1&xkey=2&key=***",
            ),
            ("/a?b=key=1?key=2", "/a?b=key=1?key=2", "/a?b=key=1?key=2"),
            (
                "/a?%6bey=1&k%65%79=2&%zzey=3&b=4",
                "/a?%zzey=3&b=4",
                "/a?%6bey=***&k%65%79=***&%zzey=3&b=4",
            ),
        ] {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            write_target(&mut one, target.as_bytes(), &hidden);
            write_blotted(&mut other, target.as_bytes(), &hidden);
            assert_eq!(String::from_utf8_lossy(&one), without);
            assert_eq!(String::from_utf8_lossy(&other), blotted);
        }
    }
}
