//! The end: here, and at the provider (OpenID Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use weir_client::form;

use super::fates::Fate;
use super::metadata::Metadata;
use super::{Shared, answer, ask, lead};
use crate::asked::Asked;
use crate::method::Tried;
use crate::refusal::Why;
use crate::session::Session;

/// Ends the session of a request, if it has one.
pub(super) fn answer_logout<R: Asked>(shared: &Arc<Shared>, request: &R, now: u64) -> Tried {
    // Another site may link to this page, but not log people out of it.
    let cross_site = |value: &[u8]| value.trim_ascii() == b"cross-site";
    if request.fields(b"sec-fetch-site").any(cross_site) {
        let detail = "another site wants to end the session; open this address yourself";
        return answer(403, Why::Invalid, Vec::new(), detail);
    }
    if !matches!(request.method(), b"GET" | b"POST") {
        return answer(
            405,
            Why::Malformed,
            b"allow: GET, POST\r\n".to_vec(),
            "log out by GET or POST",
        );
    }
    let mut fields = Vec::new();
    shared.jar.forget(shared.jar.presence(request), &mut fields);
    // What is on the page behind is not for the next person at this browser.
    fields.extend_from_slice(b"clear-site-data: \"cache\"\r\n");
    let session = shared
        .jar
        .find(request, |cookie| shared.open(cookie).is_some())
        .and_then(|cookie| shared.open(&cookie));
    let session = session.filter(|session| session.ends > now).map(|session| {
        match shared.fates.find(session.id) {
            Some(Fate::Renewed(renewed, _)) if renewed.turn > session.turn => renewed,
            _ => Arc::new(session),
        }
    });
    // Once: whoever has kept the cookie must not make the provider hear of it again and again.
    if let Some(session) = &session
        && shared.end(session, now)
    {
        shared.give_back(session);
    }
    let after =
        (shared.after_logout.as_ref()).and_then(|after| after.address(shared.base(request)));
    let shared = Arc::clone(shared);
    match shared.provider.known() {
        (Some(metadata), _) => shared.farewell(Some(&metadata), session.as_deref(), after, fields),
        (None, _) => {
            let deadline = shared.provider.deadline();
            ask(deadline, async move {
                let metadata = shared.provider.metadata().await.ok();
                shared.farewell(metadata.as_deref(), session.as_deref(), after, fields)
            })
        }
    }
}

impl Shared {
    /// Leads to where the provider ends its own session, or else away from here.
    fn farewell(
        &self,
        metadata: Option<&Metadata>,
        session: Option<&Session>,
        after: Option<String>,
        fields: Vec<u8>,
    ) -> Tried {
        let Some(end) = metadata.and_then(|metadata| metadata.end_session.as_ref()) else {
            // On this host, even if the request does not say which one that is.
            let after = self.after_logout.as_ref();
            let after = after.and_then(|after| after.address(Some(String::new())));
            return lead(303, after.as_deref().unwrap_or("/"), fields);
        };
        let mut parameters = vec![("client_id", self.provider.client_id.as_str())];
        if let Some(id_token) = session.and_then(|session| session.id_token.as_deref()) {
            parameters.push(("id_token_hint", id_token));
        }
        if let Some(after) = &after {
            parameters.push(("post_logout_redirect_uri", after));
        }
        lead(303, &end.with_query(&form(parameters)), fields)
    }

    /// Gives the refresh token back, beside the traffic.
    fn give_back(&self, session: &Session) {
        if let (Some(control), Some(token)) = (&self.control, session.refresh_token.clone()) {
            let provider = Arc::clone(&self.provider);
            control.spawn(async move { provider.revoke(&token).await });
        }
    }
}
