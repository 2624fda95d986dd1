//! What policies change about the head of a request on its way to an endpoint.

use std::borrow::Cow;

use weir_auth::{Hidden, Identity};

use super::{
    headers::HeadPlan,
    query::write_address,
    value::{Facts, Who},
};
use crate::{
    codec::{Field, FieldId, Fields, encode},
    cookie,
};

/// The changes for one request.
pub(crate) struct RequestEdit<'a> {
    /// Who is asking, if that is known.
    pub(crate) identity: Option<&'a Identity>,
    /// What a service said about who is asking: field lines.
    pub(crate) lines: &'a [u8],
    /// Credentials that the endpoint does not see.
    pub(crate) hidden: &'a [Hidden],
    /// Parameters in which keys of any route come. A browser that had one in the address of a page repeats it in `Referer`,
    /// wherever it goes from there.
    pub(crate) parameters: &'a [Hidden],
    /// What else policies change.
    pub(crate) head: Option<(&'a HeadPlan, Facts<'a, Identity>)>,
}

impl RequestEdit<'_> {
    /// Whether a field of the client is not passed on.
    #[inline]
    pub(crate) fn drops(&self, fields: &Fields, field: &Field) -> bool {
        let (id, name) = (field.id(), fields.name(field));
        self.hides(fields, field)
            || id == FieldId::Authorization && tells(self.lines, name)
            || self.drops_of_head(id, name)
    }

    /// Whether a field of the client reaches no endpoint, whatever its name there.
    fn hides(&self, fields: &Fields, field: &Field) -> bool {
        let (id, name) = (field.id(), fields.name(field));
        let hides = |hidden: &Hidden| match hidden {
            Hidden::Field(field) => name.eq_ignore_ascii_case(field.as_bytes()),
            Hidden::Authorization(scheme) => {
                id == FieldId::Authorization
                    && weir_auth::has_scheme(fields.value(field), scheme.as_bytes())
            }
            Hidden::Cookie(_) | Hidden::Cookies(_) | Hidden::Parameter(_) => false,
        };
        self.hidden.iter().any(hides)
    }

    /// What an endpoint sees of the value of a field, whatever its name there; `None` if that is nothing.
    fn shown<'f>(&self, fields: &'f Fields, field: &Field) -> Option<Cow<'f, [u8]>> {
        let value = fields.value(field);
        match field.id() {
            _ if self.hides(fields, field) => None,
            FieldId::Cookie if self.hides_cookies() => {
                let mut left = Vec::with_capacity(value.len());
                cookie::push_without(&mut left, value, |name| self.hides_cookie(name));
                (!left.is_empty()).then_some(Cow::Owned(left))
            }
            FieldId::Referer if !self.parameters.is_empty() => {
                let mut left = Vec::with_capacity(value.len());
                write_address(&mut left, value, self.parameters);
                Some(Cow::Owned(left))
            }
            _ => Some(Cow::Borrowed(value)),
        }
    }

    /// Whether no cookie is passed on.
    pub(crate) fn drops_cookies(&self) -> bool {
        self.drops_of_head(FieldId::Cookie, b"cookie")
    }

    fn drops_of_head(&self, id: FieldId, name: &[u8]) -> bool {
        let head = self.head.as_ref();
        head.is_some_and(|(head, _)| head.drops_of_request(id, name))
    }

    /// Whether `Referer` is not passed on as it is.
    #[inline]
    pub(crate) fn changes_referer(&self) -> bool {
        !self.parameters.is_empty()
    }

    /// Writes what is passed on of `Referer`.
    pub(crate) fn write_referer(&self, out: &mut Vec<u8>, fields: &Fields) {
        if self.drops_of_head(FieldId::Referer, b"referer") {
            return;
        }
        for (field, name, _) in fields.iter() {
            if field.id() == FieldId::Referer
                && !field.hop()
                && let Some(value) = self.shown(fields, field)
            {
                encode::field(out, name, &value);
            }
        }
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
            let fields = facts.request.fields();
            head.write_request(out, facts, |field| self.shown(fields, field));
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
