//! Who is asking: API keys, tokens, sessions, passwords.
//!
//! A route names methods, any one of which suffices; [`Auth::authenticator`] makes an [`Authenticator`] of them, and
//! [`Authenticator::check`] decides about a request. Three rules hold for all methods:
//!
//! * **Of the credentials that are there, one must be good**, and any one suffices. A request without any is anonymous, and passes where
//!   `anonymous` is one of the methods. A request with a bad one is refused even there: somebody meant to be known, and an endpoint that sees
//!   them as a stranger would show them the wrong thing instead of telling them that their token has expired.
//! * **Nothing of the request decides how it is checked.** The config says which algorithms, keys and issuers count; what
//!   a token says about itself can only make it refused.
//! * **Only Weir says who somebody is.** The fields that carry an identity to endpoints ([`Authenticator::identity_fields`])
//!   are taken out of every request before Weir writes its own.
//!
//! A good credential lets a request pass, whatever stands beside it. So that endpoints do not take somebody's word for what was
//! never found good, they see no credential but that one ([`Authenticator::hidden_for`]): what stands where any other method
//! of the route looks for one is taken out.
//!
//! Checks run on the workers and are cheap: a credential that was verified before is found again in the [`Cache`] of the
//! worker by all of its bytes. What needs to wait, for a slow password hash or somebody's answer over the network, becomes a
//! [`Question`]: it runs elsewhere, bounded in number and in time, and the request goes on with
//! [`Authenticator::resume`]. What is read from files and fetched over the network (API keys, key sets) belongs to
//! [`Auth`], which survives reloads.

mod api_key;
mod ask;
mod asked;
mod auth;
mod authenticator;
mod basic;
mod cache;
mod cache_control;
mod challenge;
mod check;
mod claims;
mod config;
mod encoding;
mod explain;
mod file;
mod flight;
mod identity;
mod introspection;
mod jwt;
mod method;
mod oidc;
mod refusal;
mod session;
#[cfg(test)]
mod testing;
mod told;

pub use crate::{
    api_key::{ApiKeyConfig, KeyEntry, KeyError, KeyHash, KeysConfig, NewKey, Timestamp},
    asked::{Asked, has_scheme},
    auth::{Auth, Event, NamedMethod},
    authenticator::Authenticator,
    basic::{BasicConfig, PasswordError, UserConfig, hash_password},
    cache::Cache,
    check::{Answered, Check, Hidden, Pass, Place, Question},
    claims::{ClaimPath, Claims},
    config::{AuthItem, ClaimValue, HeaderName, IdentityField, MethodConfig, RequireConfig, Scope},
    explain::{Opinion, Outcome, Said},
    identity::{Identity, MethodKind},
    introspection::{ClientAuth, IntrospectionConfig},
    jwt::{Algorithm, JwksConfig, JwtConfig},
    oidc::{AfterLogout, LocalPath, Logins, OidcConfig},
    refusal::{Refusal, Why},
};
