//! A session in use: whether it holds, and its refresh before it does not (RFC 6749, section 6).
//!
//! With a refresh token, a session holds as long as the provider's access token, and is refreshed when a fifth of that is
//! left: by the request that notices, beside it, while it and all others pass. Only when nothing is left, requests wait for
//! the refresh; all with the same session for the same one. The new cookie goes out with the next answer to each of them.

use std::sync::Arc;

use super::fates::Fate;
use super::tokens::{self, Expected};
use super::{Shared, Trouble, address, ask, login};
use crate::asked::Asked;
use crate::method::{Accepted, Tried};
use crate::refusal::Why;
use crate::session::{Presence, Session};

/// How long a session whose provider does not answer is left alone, in seconds.
const PAUSE: u64 = 10;
/// A session is not refreshed more often than this, in seconds.
const SHORTEST: u64 = 10;

impl Session {
    /// Sets when it must be refreshed, now that the provider gave tokens for so many seconds.
    pub(super) fn hold(&mut self, seconds: u64, now: u64) {
        if self.refresh_token.is_none() {
            self.refresh_at = self.ends;
            self.holds_until = self.ends;
            return;
        }
        let seconds = seconds.max(SHORTEST);
        self.holds_until = now.saturating_add(seconds).min(self.ends);
        self.refresh_at = now.saturating_add(seconds - seconds / 5).min(self.ends);
    }
}

/// Whether the session in a cookie counts.
pub(super) fn check<R: Asked>(shared: &Arc<Shared>, cookie: &[u8], request: &R, now: u64) -> Tried {
    // Before anything is looked at: should a session end in between, caches forget at once.
    let epoch = shared.memory.ended.epoch();
    let Some(session) = shared.open(cookie) else {
        return again(
            shared,
            request,
            now,
            Why::Invalid,
            "the session cannot be read",
        );
    };
    if shared.has_ended(&session) {
        return again(shared, request, now, Why::Expired, "the session was ended");
    }
    let (session, newer) = match shared.fates.find(session.id) {
        Some(Fate::Renewed(renewed, cookie)) if renewed.turn > session.turn => {
            (renewed, Some(cookie))
        }
        Some(Fate::Renewed(..) | Fate::Later(_)) | None => (Arc::new(session), None),
    };
    if session.ends <= now {
        return again(shared, request, now, Why::Expired, "the session is over");
    }
    let presence = || shared.jar.presence(request);
    if now < session.refresh_at {
        let cookie = newer.map(|cookie| (cookie, presence()));
        return accept(shared, &session, cookie, epoch, session.refresh_at, now);
    }
    let held_off = matches!(shared.fates.find(session.id), Some(Fate::Later(at)) if at > now);
    if now < session.holds_until {
        if !held_off && let Some(control) = &shared.control {
            let _on = control.enter();
            let work = renew(Arc::clone(shared), Arc::clone(&session), now);
            drop(shared.renewals.start(session.id, work));
        }
        let cookie = newer.map(|cookie| (cookie, presence()));
        return accept(shared, &session, cookie, epoch, 0, now);
    }
    let presence = presence();
    let leads = address::is_navigation(request).then(|| login::begin(shared, request, now));
    let shared = Arc::clone(shared);
    ask(shared.provider.deadline(), async move {
        let work = renew(Arc::clone(&shared), Arc::clone(&session), now);
        let renewed = shared.renewals.join(session.id, work).await;
        if shared.has_ended(&session) {
            return leads.unwrap_or(Tried::refused(Why::Expired, "the session was ended"));
        }
        match (renewed, shared.fates.find(session.id)) {
            (_, Some(Fate::Renewed(renewed, cookie))) if renewed.turn > session.turn => {
                accept(&shared, &renewed, Some((cookie, presence)), 0, 0, now)
            }
            (Some(Err(Trouble::Unavailable(detail) | Trouble::Refused(detail))), _) => {
                Tried::unavailable(detail)
            }
            _ => Tried::unavailable("the session could not be refreshed"),
        }
    })
}

fn accept(
    shared: &Shared,
    session: &Session,
    cookie: Option<(Arc<str>, Presence)>,
    epoch: u64,
    cache_until: u64,
    now: u64,
) -> Tried {
    let identity = match shared.identity(session) {
        Ok(identity) => identity,
        Err(fault) => return Tried::Refused(fault),
    };
    let mut fields = Vec::new();
    let newer = cookie.is_some();
    if let Some((cookie, presence)) = cookie {
        let seconds = session.ends.saturating_sub(now);
        shared.jar.keep(&cookie, seconds, presence, &mut fields);
        // Whoever gets a cookie must not share the answer.
        fields.extend_from_slice(b"cache-control: no-store\r\n");
    }
    Tried::Accepted(Accepted {
        identity,
        // The old cookie must come here again, for the new one to go out.
        cache_until: if newer { 0 } else { cache_until },
        epoch,
        fields,
    })
}

/// What happens without a session that counts: people log in again, scripts are refused.
fn again<R: Asked>(
    shared: &Arc<Shared>,
    request: &R,
    now: u64,
    why: Why,
    detail: &'static str,
) -> Tried {
    if address::is_navigation(request) {
        return login::begin(shared, request, now);
    }
    Tried::refused(why, detail)
}

/// Refreshes a session, and remembers what came of it.
async fn renew(shared: Arc<Shared>, session: Arc<Session>, now: u64) -> Result<(), Trouble> {
    // It may have been refreshed while this was on its way here.
    if let Some(Fate::Renewed(renewed, _)) = shared.fates.find(session.id)
        && renewed.turn > session.turn
    {
        return Ok(());
    }
    let renewed = shared.refreshed(&session, now).await;
    match renewed {
        Ok((renewed, cookie)) => {
            let fate = Fate::Renewed(Arc::new(renewed), cookie.into());
            shared.fates.set(session.id, fate);
            Ok(())
        }
        Err(trouble) => {
            match trouble {
                Trouble::Refused(_) => {
                    shared.end(&session, now);
                }
                Trouble::Unavailable(_) => {
                    shared.fates.set(session.id, Fate::Later(now + PAUSE));
                }
            }
            Err(trouble)
        }
    }
}

impl Shared {
    async fn refreshed(
        self: &Arc<Self>,
        session: &Session,
        now: u64,
    ) -> Result<(Session, String), Trouble> {
        let token = session
            .refresh_token
            .as_deref()
            .ok_or(Trouble::Refused("the session cannot be refreshed"))?;
        let given = self.provider.refresh(token).await?;
        let mut renewed = session.clone();
        renewed.turn += 1;
        if let Some(token) = given.refresh_token {
            renewed.refresh_token = Some(token);
        }
        if let Some(scopes) = given.scopes {
            renewed.scopes = scopes;
        }
        if let Some(id_token) = given.id_token {
            let claims = self.provider.verified(&id_token).await?;
            let expected = Expected {
                issuer: self.provider.issuer.as_str(),
                client_id: &self.provider.client_id,
                nonce: None,
                subject: session
                    .claims
                    .get("sub")
                    .and_then(serde_json::Value::as_str),
            };
            self.provider.check(&claims, expected, now)?;
            renewed.claims = tokens::about_person(claims);
            renewed.id_token = Some(id_token);
        }
        renewed.hold(given.holds, now);
        let cookie = self
            .seal(&mut renewed)
            .ok_or(Trouble::Unavailable("the session has become too large"))?;
        Ok((renewed, cookie))
    }
}
