//! Methods that ask somebody: introspection and logins, without the traffic around them.

mod introspection;
mod oidc;
mod provider;
mod support;
