//! Which origins a policy lists.

use weir_config::{Cx, OneOrMany, Spanned};

use crate::config::{OriginConfig, PortConfig, origin_regex};

/// The longest origin that is looked at: a scheme, a name of 253 bytes, a port.
const LONGEST: usize = 320;

/// The origins of a policy.
#[derive(Debug)]
pub(super) enum Origins {
    Any,
    These {
        null: bool,
        exact: Vec<Box<[u8]>>,
        below: Vec<Below>,
        regexes: Vec<regex_automata::meta::Regex>,
    },
}

/// All origins below a domain.
#[derive(Debug)]
pub(super) struct Below {
    scheme: Box<[u8]>,
    /// With the dot before it.
    parent: Box<[u8]>,
    port: PortConfig,
}

impl Origins {
    /// Compiles a list. Every problem goes to `cx`; `None` if there was any.
    pub(super) fn compile(config: &OneOrMany<Spanned<OriginConfig>>, cx: &mut Cx) -> Option<Self> {
        let mut good = true;
        let (mut null, mut any) = (false, false);
        let (mut exact, mut below, mut regexes) = (Vec::new(), Vec::new(), Vec::new());
        for origin in config.iter() {
            match &origin.value {
                OriginConfig::Any => any = true,
                OriginConfig::Null => null = true,
                OriginConfig::Exact(origin) => exact.push(origin.as_bytes().into()),
                OriginConfig::Below {
                    scheme,
                    parent,
                    port,
                } => below.push(Below {
                    scheme: scheme.as_bytes().into(),
                    parent: format!(".{parent}").into_bytes().into(),
                    port: port.clone(),
                }),
                OriginConfig::Regex(text) => match origin_regex(text) {
                    Ok(regex) => regexes.push(regex),
                    Err(problem) => {
                        good = false;
                        cx.error(origin.span, problem);
                    }
                },
            }
        }
        good.then_some(if any {
            Self::Any
        } else {
            Self::These {
                null,
                exact,
                below,
                regexes,
            }
        })
    }

    /// Whether every origin is among them.
    pub(super) const fn are_all(&self) -> bool {
        matches!(self, Self::Any)
    }

    /// Whether this origin may read answers.
    pub(super) fn list(&self, origin: &[u8]) -> bool {
        let Self::These {
            null,
            exact,
            below,
            regexes,
        } = self
        else {
            return true;
        };
        if origin.len() > LONGEST {
            return false;
        }
        if origin == b"null" {
            return *null;
        }
        exact.iter().any(|known| **known == *origin)
            || below.iter().any(|below| below.matches(origin))
            || regexes.iter().any(|regex| regex.is_match(origin))
    }
}

impl Below {
    fn matches(&self, origin: &[u8]) -> bool {
        let Some(rest) = origin.strip_prefix(&*self.scheme) else {
            return false;
        };
        let host = match &self.port {
            PortConfig::Default => Some(rest),
            PortConfig::Is(port) => rest
                .strip_suffix(port.as_bytes())
                .and_then(|rest| rest.strip_suffix(b":")),
            PortConfig::Any => Some(match rest.iter().position(|byte| *byte == b':') {
                Some(colon) if rest[colon + 1..].iter().all(u8::is_ascii_digit) => &rest[..colon],
                _ => rest,
            }),
        };
        host.and_then(|host| host.strip_suffix(&*self.parent))
            .is_some_and(|labels| labels.split(|byte| *byte == b'.').all(is_label))
    }
}

/// Whether nothing but a label of a host name could be meant.
fn is_label(label: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !label.is_empty() && label.iter().all(fits)
}
