//! The return: the provider sends somebody back with a code, which becomes a session (OpenID Connect Core 1.0, section 3.1.3).

use std::sync::Arc;

use super::login::LOGIN;
use super::tokens::{self, Expected, same};
use super::transaction::{LASTS, Transaction};
use super::{Shared, Trouble, address, answer, ask, lead, random};
use crate::asked::Asked;
use crate::method::Tried;
use crate::refusal::Why;
use crate::session::{Presence, Session, set, values};

/// Longer codes are refused.
const LONGEST_CODE: usize = 4 << 10;

/// Answers a return; `None` if it belongs to another policy's login.
pub(super) fn answer_return<R: Asked>(
    shared: &Arc<Shared>,
    request: &R,
    now: u64,
) -> Option<Tried> {
    let query = request.query().unwrap_or(b"");
    let names = ["state", "code", "iss", "error"];
    let Some([state, code, issuer, error]) = address::parameters(query, names) else {
        return Some(malformed("the provider's answer cannot be read"));
    };
    // Other policies have other tags. What has none, or an unknown one, is nobody's.
    let state = state.filter(|state| state.starts_with(&shared.tag))?;
    if request.method() != b"GET" {
        return Some(malformed("a return is a GET"));
    }
    let secure = shared.jar.is_secure(request);
    let name = Transaction::side_name(&state).map(|side| shared.jar.side_name(side, secure));
    let transaction = name.as_ref().and_then(|name| {
        let sealed = values(request, name);
        let opened = sealed.filter_map(|sealed| shared.sealer.open(LOGIN, sealed));
        opened
            .filter_map(|plain| Transaction::decode(&plain))
            .find(|transaction| same(transaction.state.as_bytes(), state.as_bytes()))
    });
    let (Some(name), Some(transaction)) = (name, transaction) else {
        return Some(malformed("this login was not begun in this browser"));
    };
    let mut fields = Vec::new();
    set(&name, "", 0, secure, &mut fields);
    // Where they wanted to go, a new login begins if it must.
    let start_over = |fields| lead(303, &transaction.back, fields);
    if transaction.ends <= now {
        return Some(start_over(fields));
    }
    let (metadata, _) = shared.provider.known();
    let named = metadata.is_some_and(|metadata| metadata.names_itself);
    // RFC 9207, 2.4: MUST be compared, so that one provider's code is not taken to another.
    let fits = match &issuer {
        Some(issuer) => issuer == shared.provider.issuer.as_str(),
        None => !named,
    };
    if !fits {
        let detail = "the answer comes from another provider";
        return Some(answer(400, Why::Invalid, fields, detail));
    }
    if let Some(error) = error {
        return Some(refused(&error, fields));
    }
    let Some(code) = code.filter(|code| !code.is_empty() && code.len() <= LONGEST_CODE) else {
        return Some(answer(
            400,
            Why::Malformed,
            fields,
            "the provider gave no code",
        ));
    };
    // A code counts once. Who comes a second time has pressed "back", or is somebody else.
    let began = transaction.ends.saturating_sub(LASTS);
    let (number, redeemed) = (number(&state), &shared.memory.redeemed);
    if redeemed.has(number, began) {
        return Some(start_over(fields));
    }
    // Before the code is used up: who is told to wait can come back with it.
    let client = request.client();
    if let Err(seconds) = shared.attempt(client, now) {
        let wait = format!("retry-after: {seconds}\r\n").into_bytes();
        let detail = "too many logins from this address have come to nothing";
        return Some(answer(429, Why::Attempts, wait, detail));
    }
    if !redeemed.add(number, began, transaction.ends, now) {
        return Some(start_over(fields));
    }
    let shared = Arc::clone(shared);
    let presence = shared.jar.presence(request);
    let deadline = shared.provider.deadline();
    Some(ask(deadline, async move {
        match shared.log_in(&code, &transaction, now).await {
            Ok(mut session) => {
                shared.forgive(client);
                shared.welcome(&mut session, &transaction, presence, fields)
            }
            Err(trouble) => trouble.told(fields),
        }
    }))
}

impl Shared {
    /// Makes a session of a code.
    async fn log_in(
        self: &Arc<Self>,
        code: &str,
        transaction: &Transaction,
        now: u64,
    ) -> Result<Session, Trouble> {
        let provider = &self.provider;
        let given = provider
            .redeem(code, &transaction.redirect_uri, &transaction.verifier)
            .await?;
        let Some(id_token) = given.id_token else {
            let detail = "the provider gives no ID token";
            provider.tell_of(detail);
            return Err(Trouble::Unavailable(detail));
        };
        let claims = provider.verified(&id_token).await?;
        let expected = Expected {
            issuer: provider.issuer.as_str(),
            client_id: &provider.client_id,
            nonce: Some(&transaction.nonce),
            subject: None,
        };
        provider.check(&claims, expected, now)?;
        let id = random().ok_or(Trouble::Unavailable("there is no randomness"))?;
        let ends = now + self.lasts;
        let mut session = Session {
            id: u128::from_be_bytes(id),
            turn: 0,
            claims: tokens::about_person(claims),
            scopes: given.scopes.unwrap_or_else(|| self.scopes.clone()),
            refresh_token: given.refresh_token,
            id_token: Some(id_token),
            refresh_at: ends,
            holds_until: ends,
            began: now,
            ends,
        };
        session.hold(given.holds, now);
        Ok(session)
    }

    /// Gives somebody their session, and leads them where they wanted to go.
    fn welcome(
        &self,
        session: &mut Session,
        transaction: &Transaction,
        presence: Presence,
        mut fields: Vec<u8>,
    ) -> Tried {
        if let Err(fault) = self.identity(session) {
            return answer(403, fault.why, fields, fault.detail);
        }
        let Some(sealed) = self.seal(session) else {
            let detail = "the provider says too much about this person for a cookie";
            return answer(503, Why::Unavailable, fields, detail);
        };
        self.jar.keep(&sealed, self.lasts, presence, &mut fields);
        lead(303, &transaction.back, fields)
    }
}

fn malformed(detail: &'static str) -> Tried {
    answer(400, Why::Malformed, Vec::new(), detail)
}

/// What the provider says instead of giving a code (RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section 3.1.2.6).
fn refused(error: &str, fields: Vec<u8>) -> Tried {
    match error {
        "access_denied" => answer(
            403,
            Why::Invalid,
            fields,
            "the login was refused or given up",
        ),
        "temporarily_unavailable" | "server_error" => {
            answer(503, Why::Unavailable, fields, "the provider has failed")
        }
        "login_required"
        | "interaction_required"
        | "consent_required"
        | "account_selection_required" => answer(
            403,
            Why::Invalid,
            fields,
            "the provider wants to see the person",
        ),
        _ => answer(
            503,
            Why::Unavailable,
            fields,
            "the provider does not accept how it was asked",
        ),
    }
}

/// A number for a state.
fn number(state: &str) -> u128 {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, state.as_bytes());
    hash.as_ref()
        .first_chunk()
        .map_or(0, |first| u128::from_be_bytes(*first))
}
