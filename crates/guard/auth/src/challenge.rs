//! `WWW-Authenticate`: what a client may do to be let in (RFC 9110, section 11.6.1; RFC 6750, section 3).

/// How one method asks for its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The scheme and the parameters that are always there: `Basic realm="weir", charset="UTF-8"`.
    pub(crate) text: Box<str>,
    /// Whether error codes of RFC 6750 may follow.
    pub(crate) bearer: bool,
}

impl Challenge {
    /// A challenge with a realm, which was checked when the config was read.
    pub(crate) fn new(scheme: &str, realm: &str) -> Self {
        let bearer = scheme.eq_ignore_ascii_case("bearer");
        let more = if scheme.eq_ignore_ascii_case("basic") {
            ", charset=\"UTF-8\"" // RFC 7617, section 2.1.
        } else {
            ""
        };
        Self {
            text: format!("{scheme} realm=\"{realm}\"{more}").into(),
            bearer,
        }
    }

    /// Writes the line. Requests without a credential are told no error code (RFC 6750, section 3.1).
    pub(crate) fn write(&self, error: Option<Error<'_>>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"www-authenticate: ");
        out.extend_from_slice(self.text.as_bytes());
        if let Some(error) = error.filter(|_| self.bearer) {
            out.extend_from_slice(b", error=\"");
            out.extend_from_slice(error.code.as_bytes());
            out.extend_from_slice(b"\", error_description=\"");
            out.extend_from_slice(error.description.as_bytes());
            out.push(b'"');
            if let Some(scope) = error.scope {
                out.extend_from_slice(b", scope=\"");
                out.extend_from_slice(scope.as_bytes());
                out.push(b'"');
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// What was wrong, in words of RFC 6750, section 3.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Error<'a> {
    /// `invalid_request`, `invalid_token` or `insufficient_scope`.
    pub(crate) code: &'static str,
    /// For developers; without `"` and `\`.
    pub(crate) description: &'static str,
    /// The scopes that are needed.
    pub(crate) scope: Option<&'a str>,
}
