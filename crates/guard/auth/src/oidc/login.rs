//! The beginning: somebody without a session is led to the provider (OpenID Connect Core 1.0, section 3.1.2.1).

use std::sync::Arc;

use weir_client::form;

use super::metadata::Metadata;
use super::transaction::{LASTS, RANDOM, SIDE, Transaction};
use super::{Shared, address, answer, ask, lead, random};
use crate::asked::Asked;
use crate::method::Tried;
use crate::refusal::Why;
use crate::session::{NONCE, cookies, set};

/// What the cookies of logins are sealed for.
pub(super) const LOGIN: &str = "login";
/// How many logins one browser can have under way; of more, the oldest is forgotten.
const MOST: usize = 5;

/// A login that is about to begin, as far as the request decides about it.
struct Beginning {
    /// 302, or 303 where the request must not be sent again with its body.
    status: u16,
    secure: bool,
    transaction: Transaction,
    nonce: [u8; NONCE],
    /// Lines that make the browser forget other logins.
    fields: Vec<u8>,
}

/// Leads a request to the provider.
pub(super) fn begin<R: Asked>(shared: &Arc<Shared>, request: &R, now: u64) -> Tried {
    let Some(base) = shared.base(request) else {
        let detail = "the request does not say which host it is for";
        return answer(400, Why::Malformed, Vec::new(), detail);
    };
    let (Some(bytes), Some(nonce)) = (random::<RANDOM>(), random()) else {
        return answer(503, Why::Unavailable, Vec::new(), "there is no randomness");
    };
    let redirect_uri = format!("{base}{}", shared.callback);
    let back = address::back(request);
    let secure = shared.jar.is_secure(request);
    let beginning = Beginning {
        status: if matches!(request.method(), b"GET" | b"HEAD") {
            302
        } else {
            303
        },
        secure,
        transaction: Transaction::begin(&shared.tag, back, redirect_uri, &bytes, now),
        nonce,
        fields: forget_others(shared, request, secure, now),
    };
    let (metadata, due) = shared.provider.known();
    match metadata {
        Some(metadata) => {
            if due {
                shared.look_up();
            }
            beginning.lead(shared, &metadata)
        }
        None => {
            let shared = Arc::clone(shared);
            let deadline = shared.provider.deadline();
            ask(deadline, async move {
                match shared.provider.metadata().await {
                    Ok(metadata) => beginning.lead(&shared, &metadata),
                    Err(trouble) => trouble.told(Vec::new()),
                }
            })
        }
    }
}

impl Beginning {
    fn lead(self, shared: &Shared, metadata: &Metadata) -> Tried {
        let Self {
            status,
            secure,
            transaction,
            nonce,
            mut fields,
        } = self;
        let sealed = shared.sealer.seal(LOGIN, &transaction.encode(), nonce);
        let side = Transaction::side_name(&transaction.state);
        let (Some(sealed), Some(side)) = (sealed, side) else {
            return answer(
                503,
                Why::Unavailable,
                Vec::new(),
                "the login cannot be sealed",
            );
        };
        set(
            &shared.jar.side_name(side, secure),
            &sealed,
            LASTS,
            secure,
            &mut fields,
        );
        let challenge = transaction.challenge();
        let scopes = shared.scopes.join(" ");
        let own = [
            ("response_type", "code"),
            ("client_id", shared.provider.client_id.as_str()),
            ("redirect_uri", &transaction.redirect_uri),
            ("scope", &scopes),
            ("state", &transaction.state),
            ("nonce", &transaction.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let further = shared
            .parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let query = form(own.into_iter().chain(further));
        lead(status, &metadata.authorization.with_query(&query), fields)
    }
}

/// Lines that make the browser forget logins that came to nothing, and the oldest of those that may still.
fn forget_others<R: Asked>(shared: &Shared, request: &R, secure: bool, now: u64) -> Vec<u8> {
    let prefix = shared.jar.side_name("", secure);
    let mut fields = Vec::new();
    let mut alive = Vec::new();
    for (name, value) in cookies(request) {
        let Some(side) = name
            .strip_prefix(prefix.as_bytes())
            .filter(|side| side.len() == SIDE)
        else {
            continue;
        };
        let Ok(side) = std::str::from_utf8(side) else {
            continue;
        };
        let ends = shared
            .sealer
            .open(LOGIN, value)
            .and_then(|plain| Transaction::decode(&plain))
            .map_or(0, |transaction| transaction.ends);
        alive.push((ends, side));
    }
    alive.sort_unstable();
    let dead = alive.iter().filter(|(ends, _)| *ends <= now).count();
    let surplus = alive.len().saturating_sub(MOST - 1);
    for (_, side) in alive.iter().take(dead.max(surplus)) {
        set(
            &shared.jar.side_name(side, secure),
            "",
            0,
            secure,
            &mut fields,
        );
    }
    fields
}
