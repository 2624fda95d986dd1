//! What a provider says about itself (OpenID Connect Discovery 1.0, section 3; RFC 8414).

use serde_json::{Map, Value};
use weir_client::Url;

/// Where things are at a provider.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metadata {
    /// Where people log in.
    pub(super) authorization: Url,
    /// Where codes become tokens.
    pub(super) token: Url,
    /// The keys that it signs with.
    pub(super) keys: Url,
    /// Where people log out (OpenID Connect RP-Initiated Logout 1.0).
    pub(super) end_session: Option<Url>,
    /// Where tokens are given back (RFC 7009).
    pub(super) revocation: Option<Url>,
    /// Whether its answers name it (RFC 9207), and must.
    pub(super) names_itself: bool,
}

impl Metadata {
    /// Where the document of an issuer is: section 4.
    pub(super) fn address(issuer: &Url) -> Option<Url> {
        let base = issuer.as_str();
        let base = base.strip_suffix('/').unwrap_or(base);
        Url::parse(&format!("{base}/.well-known/openid-configuration")).ok()
    }

    /// Reads the document of this issuer.
    pub(super) fn read(document: &Map<String, Value>, issuer: &Url) -> Result<Self, &'static str> {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        // Section 4.3: MUST be identical. Else one provider could send people to another and use what they bring back.
        if text("issuer") != Some(issuer.as_str()) {
            return Err("the provider calls itself something else than `issuer` does");
        }
        let url = |name: &str| {
            let url = Url::parse(text(name)?).ok()?;
            // What begins behind TLS does not go on in front of it.
            (!issuer.is_https() || url.is_https()).then_some(url)
        };
        Ok(Self {
            authorization: url("authorization_endpoint")
                .ok_or("the provider has no good authorization_endpoint")?,
            token: url("token_endpoint").ok_or("the provider has no good token_endpoint")?,
            keys: url("jwks_uri").ok_or("the provider has no good jwks_uri")?,
            end_session: url("end_session_endpoint"),
            revocation: url("revocation_endpoint"),
            names_itself: document.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(document: Value, issuer: &str) -> Result<Metadata, &'static str> {
        let Value::Object(document) = document else {
            panic!("an object");
        };
        Metadata::read(&document, &Url::parse(issuer).expect("a URL"))
    }

    fn document(issuer: &str) -> Value {
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/auth?x=1"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
        })
    }

    #[test]
    fn a_document() {
        let issuer = "https://id.example.com/tenant";
        let metadata = read(document(issuer), issuer).expect("it is good");
        assert_eq!(
            metadata.token.as_str(),
            "https://id.example.com/tenant/token"
        );
        assert_eq!((metadata.end_session, metadata.names_itself), (None, false));
        let address = Metadata::address(&Url::parse(issuer).expect("a URL")).expect("a URL");
        assert_eq!(address.path(), "/tenant/.well-known/openid-configuration");
        let slash = Url::parse("https://id.example.com/").expect("a URL");
        let address = Metadata::address(&slash).expect("a URL");
        assert_eq!(address.path(), "/.well-known/openid-configuration");
    }

    #[test]
    fn a_document_of_somebody_else() {
        for (says, is) in [
            ("https://id.example.com/", "https://id.example.com"),
            ("https://other.example.com", "https://id.example.com"),
            ("http://id.example.com", "https://id.example.com"),
        ] {
            assert!(read(document(says), is).is_err(), "{says}");
        }
    }

    #[test]
    fn what_is_missing_or_in_plain_text() {
        let issuer = "https://id.example.com";
        for (name, value) in [
            ("token_endpoint", json!(null)),
            ("token_endpoint", json!("http://id.example.com/token")),
            ("authorization_endpoint", json!("javascript:alert(1)")),
            ("authorization_endpoint", json!("/auth")),
            ("jwks_uri", json!(["https://id.example.com/keys"])),
        ] {
            let mut document = document(issuer);
            document[name] = value;
            assert!(read(document.clone(), issuer).is_err(), "{document}");
        }
        let mut document = document(issuer);
        document["end_session_endpoint"] = json!("http://id.example.com/end");
        assert_eq!(
            read(document, issuer).expect("it is good").end_session,
            None
        );
    }
}
