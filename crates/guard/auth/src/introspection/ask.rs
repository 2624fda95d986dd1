//! The question (RFC 7662, section 2.1).

use std::time::Duration;

use weir_client::{Client, Request, Response, StatusCode, Url, form};

use super::config::{ClientAuth, IntrospectionConfig};
use crate::auth::{Event, Events};
use crate::encoding::basic_credentials;

/// The server that knows about tokens, and as whom it is asked.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    events: Events,
    url: Url,
    credentials: Credentials,
    timeout: Duration,
    max_answer: usize,
}

enum Credentials {
    /// The value of Authorization.
    Field(String),
    /// What comes after the token in the form.
    Form(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Server {
    pub(super) fn new(config: &IntrospectionConfig, client: Client, events: Events) -> Self {
        let id = config.client_id.as_deref().unwrap_or("");
        let secret = config.client_secret.as_ref().map_or("", |s| s.expose());
        let credentials = match (&config.bearer, config.client_auth) {
            (Some(token), _) => Credentials::Field(format!("Bearer {}", token.expose())),
            (None, ClientAuth::Basic) => Credentials::Field(basic_credentials(id, secret)),
            (None, ClientAuth::Post) => {
                Credentials::Form(form([("client_id", id), ("client_secret", secret)]))
            }
        };
        Self {
            client,
            events,
            url: config.url.value.clone(),
            credentials,
            timeout: config.timeout.get(),
            max_answer: config.max_answer.as_usize(),
        }
    }

    /// The body of the answer, or why there is none.
    pub(super) async fn ask(&self, token: &str) -> Result<Response, &'static str> {
        let mut body = form([("token", token), ("token_type_hint", "access_token")]);
        if let Credentials::Form(more) = &self.credentials {
            body.push('&');
            body.push_str(more);
        }
        // Nothing comes of asking twice.
        let mut request = Request::post_form(self.url.clone(), body).repeatable();
        if let Credentials::Field(value) = &self.credentials {
            request = request.authorization(value);
        }
        let response = self
            .client
            .send(request, self.timeout, self.max_answer)
            .await
            .map_err(|error| {
                self.tell(error.to_string());
                "the server that knows the token does not answer"
            })?;
        if response.status == StatusCode::OK {
            return Ok(response);
        }
        self.tell(format!("it answers {}", response.status));
        Err(match response.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "the server that knows the token does not answer us"
            }
            _ => "the server that knows the token has failed",
        })
    }

    /// Says why there is no answer.
    pub(super) fn tell(&self, error: String) {
        self.events.tell(Event::IntrospectionFailed {
            url: self.url.to_string(),
            error,
        });
    }
}
