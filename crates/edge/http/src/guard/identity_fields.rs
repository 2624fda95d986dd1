//! Fields that say who is asking, and those who would look for them in requests from outside.
//!
//! Only Weir writes these fields. They are taken out of every request as soon as it is read, before a route is chosen or a policy looks
//! at it: what anybody can write must not decide about anything. A config that relies on them would work differently from what its
//! author believes, so it is told.

use weir_auth::{MethodConfig, NamedMethod};
use weir_config::{Cx, Span};

use crate::codec::Names;

/// What a config looks for in fields of requests.
#[derive(Debug, Default)]
pub(super) struct Sought(Vec<(Box<str>, Span, Purpose)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To find a credential there.
    Credential,
    /// To count, or to choose a route by it.
    Condition,
}

impl Sought {
    /// The fields in which these methods find credentials.
    pub(super) fn credentials(&mut self, methods: &[NamedMethod]) {
        for method in methods {
            let header = match &method.config {
                MethodConfig::ApiKey(keys) => keys.header.as_ref(),
                MethodConfig::Jwt(tokens) => tokens.header.as_ref(),
                _ => None,
            };
            if let Some(name) = header {
                let sought = (name.as_str().into(), method.span, Purpose::Credential);
                self.0.push(sought);
            }
        }
    }

    /// A field that a limit counts by, or a route asks for.
    pub(super) fn condition(&mut self, name: &str, span: Span) {
        self.0.push((name.into(), span, Purpose::Condition));
    }

    /// Tells of those that no request from outside has, as they are `names` of identities.
    pub(super) fn check(&self, names: &Names, cx: &mut Cx) {
        for (name, span, purpose) in &self.0 {
            if !names.has(name.as_bytes()) {
                continue;
            }
            match purpose {
                Purpose::Credential => cx
                    .error(
                        *span,
                        format!("no credential can come in `{name}`: Weir tells endpoints in it who is asking"),
                    )
                    .help("use another name here, or in the `headers` of the policy that writes it"),
                Purpose::Condition => cx
                    .warning(
                        *span,
                        format!("no request has `{name}` yet: Weir writes it for endpoints, and takes away what clients write"),
                    )
                    .help("limits count by who is asking with `key: user`, or with `key: claim NAME`"),
            };
        }
    }
}
