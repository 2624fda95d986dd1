//! Slips about who is asking.

use weir_config::{Advice, Trouble};

use super::{METHODS, method, told};

pub(super) fn advice(trouble: &Trouble<'_>) -> Option<Advice> {
    auth(trouble)
        .or_else(|| credentials(trouble))
        .or_else(|| tokens(trouble))
}

fn auth(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.is_at("routes.auth") && trouble.is_scalar() {
        return match trouble.as_bool()? {
            true => told(format!(
                "say how: `auth: {{ {} }}`, or the name of a policy",
                method("jwt")
            )),
            false => told(OPEN),
        };
    }
    if trouble.is_at(".require") && !trouble.is_mapping() {
        return told("say of what: `require: { scopes: [...] }`, or `claims: { role: admin }`");
    }
    None
}

/// How a route lets everybody in.
const OPEN: &str = "a route without `auth` asks nobody; what the defaults ask for is taken away by `policies: none`, and with `auth: [NAME, anonymous]` those who say nothing may pass";

fn credentials(trouble: &Trouble<'_>) -> Option<Advice> {
    const KEYS: &str = "name the file of hashes: `api_key: { keys: file:keys.yaml }`; `weir key new --file keys.yaml` adds a key to it";
    if trouble.is_at(".api_key") && trouble.is_scalar() {
        return told(KEYS);
    }
    if trouble.is_at(".api_key.keys.hash") && trouble.is_scalar() {
        return Some(
            Advice::new("`weir key hash` prints the hash of a key, which is all that Weir keeps")
                .secret("expected `sha256:` and 64 hexadecimal digits"),
        );
    }
    if trouble.is_at(".api_key.keys") && trouble.message.starts_with("expected") {
        let entry =
            "`weir key new` makes a key with its entry: `{ id: ann, hash: \"sha256:...\" }`";
        if trouble.message.starts_with("expected a mapping") && trouble.is_scalar() {
            return Some(Advice::new(entry).secret("expected an entry, with `id` and `hash`"));
        }
        if trouble.is_mapping() {
            return Some(Advice::new(entry).secret("expected a list of entries, found a mapping"));
        }
        let text = trouble.text()?;
        if text.contains('.') && !text.contains(' ') && !text.starts_with("file:") {
            return told(format!("write `file:{text}`"));
        }
        return told(KEYS);
    }
    if trouble.is_at(".basic") && trouble.is_scalar()
        || trouble.is_at(".basic.users") && !trouble.is_mapping()
    {
        return told(
            "users stand in the config: `basic: { users: { ann: HASH } }`; `weir key password` makes a hash",
        );
    }
    if trouble.is_at(".basic.users.*") && trouble.message.contains("hash") {
        return told(
            "passwords are not kept, only their hashes: `weir key password` asks for one and prints `$argon2id$v=19$...`",
        );
    }
    None
}

fn tokens(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.is_at(".jwt") {
        if trouble.message.contains("nothing to verify") {
            let of = match trouble.text_of("issuer") {
                Some(issuer) if issuer.starts_with("http") => {
                    format!(
                        ", which {}/.well-known/openid-configuration names as `jwks_uri`",
                        issuer.trim_end_matches('/')
                    )
                }
                _ => String::new(),
            };
            return told(format!(
                "add the URL of the issuer's keys{of}: `jwks: https://...`; or a file, `jwks: file:jwks.json`"
            ));
        }
        if trouble.is_scalar() {
            return match trouble.text().filter(|text| text.contains("://")) {
                Some(_) => told("say what it is: `jwt: { jwks: URL, issuer: URL, audience: api }`"),
                None => told(format!("write `{}`", method("jwt"))),
            };
        }
    }
    if trouble.is_at(".jwt.jwks") {
        let text = trouble.text()?;
        if !text.contains("://") && text.contains('.') {
            return told(format!("a file is written `file:{text}`"));
        }
    }
    if trouble.is_at(".jwt.algorithms") {
        if trouble.text() == Some("none") {
            return told(
                "tokens without a signature prove nothing: leave the key out for all that are safe",
            );
        }
        if trouble.message.contains("not a secret") {
            return told(
                "keys from `jwks` are public, and whoever knows them could sign by HS256: write RS256 or ES256, or leave `algorithms` out; tokens signed with a shared secret need `secret` in place of `jwks`",
            );
        }
    }
    if trouble.is_at(".jwt.scopes") && !trouble.is_scalar() {
        return told(
            "this names the claim that holds them; what a request needs is `require: { scopes: [...] }`, beside `jwt` or in the route",
        );
    }
    for kind in ["oidc", "introspection"] {
        if trouble.is_at(&format!(".{kind}")) && trouble.is_scalar() {
            return told(format!("write `{}`", method(kind)));
        }
    }
    if trouble.is_at(".oidc.session_secrets") && trouble.message.contains("missing") {
        return told(
            "what sessions are sealed with: `session_secrets: [file:session.key]`; `openssl rand -hex 32` makes one",
        );
    }
    None
}

/// What to say of a word under `auth` that names no policy.
pub(in crate::config) fn auth_word(word: &str) -> Option<String> {
    if METHODS.contains(&word) {
        return Some(format!(
            "`{word}` is a kind of method, not a name: write `auth: {{ {} }}`, or put that under `policies` and name it here",
            method(word)
        ));
    }
    Some(match word {
        "none" | "off" | "false" | "no" | "open" | "public" => OPEN.to_owned(),
        "optional" => "write the name of a policy and the word for those who say nothing: `auth: [NAME, anonymous]`".to_owned(),
        "required" | "true" | "on" | "yes" => {
            format!("say how: `auth: {{ {} }}`, or the name of a policy", method("jwt"))
        }
        "bearer" | "token" | "oauth" | "oauth2" | "openid" | "key" | "apikey" | "password" => format!(
            "a kind of method is one of {}: such as `auth: {{ {} }}`",
            METHODS.map(|kind| format!("`{kind}`")).join(", "),
            method(match word {
                "key" | "apikey" => "api_key",
                "password" => "basic",
                "oauth" | "oauth2" | "openid" => "oidc",
                _ => "jwt",
            })
        ),
        _ => return None,
    })
}
