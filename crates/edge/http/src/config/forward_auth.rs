//! A service that is asked whether a request may pass.

use weir_config::{ByteSize, Cx, Duration, Name, Node, OneOrMany, Spanned, choice, object};

use super::transform::ChangedField;
use crate::codec::FieldId;

object! {
    /// A service that is asked whether a request may pass. An answer of 2xx lets it pass; 401, 403 and redirects go to the
    /// client as they are; anything else, or no answer in time, is answered with 503. In short form, the service.
    pub struct ForwardAuthConfig {
        /// The service.
        pub service: Spanned<Name>,
        /// The path and query that it is asked for. What the client asked for is in `X-Forwarded-Method`,
        /// `X-Forwarded-Proto`, `X-Forwarded-Host` and `X-Forwarded-Uri`, and its address in `X-Forwarded-For`.
        pub path: Spanned<String> = Spanned::from("/".to_owned()),
        /// The method that it is asked with. The body of the client's request is never sent.
        pub method: AskMethod = AskMethod::Get,
        /// How long it may take.
        pub timeout: Duration = Duration::from_secs(1),
        /// Fields of the client's request that it gets; by default all but those about the body. If this is said, it gets no
        /// API keys in the query either.
        pub pass: Option<OneOrMany<Spanned<ChangedField>>>,
        /// Fields of its answer that the request gets on its way to the endpoint, such as `x-user`. Nobody else may send
        /// them: those of clients are taken out, on all routes. Only `authorization` is the client's own as long as the
        /// service does not send another.
        pub headers: Option<OneOrMany<Spanned<ChangedField>>>,
        /// How large the body of an answer to the client may be; a larger one is left out.
        pub max_body: Spanned<ByteSize> = ByteSize::kib(64).into(),
    }
    short service;
    check ForwardAuthConfig::check;
}

choice! {
    /// The method that a service is asked with.
    pub enum AskMethod {
        /// GET
        Get = "GET",
        /// HEAD, so that there is no body.
        Head = "HEAD",
        /// POST, with an empty body.
        Post = "POST",
    }
}

impl ForwardAuthConfig {
    const LARGEST_BODY: ByteSize = ByteSize::mib(1);

    fn check(&self, _: &Node, cx: &mut Cx) {
        let path = &self.path;
        if !path.starts_with('/') || path.starts_with("//") || path.contains('#') {
            cx.error(path.span, "this is not a path")
                .expected("a path, and a query if need be, such as `/check?for=weir`");
        } else if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            cx.error(path.span, "this path holds characters that cannot be sent")
                .help("percent-encode them: a space is `%20`");
        }
        if self.max_body.value > Self::LARGEST_BODY {
            cx.error(
                self.max_body.span,
                format!("`{}` is out of bounds", self.max_body),
            )
            .expected(format!("at most {}", Self::LARGEST_BODY))
            .help("it is kept in memory until it is whole");
        }
        for field in self.pass.iter().flat_map(|fields| fields.iter()) {
            if is_weirs(field.as_str()) {
                let message = format!("Weir writes `{}` itself", field.as_str());
                cx.error(field.span, message).help("leave it out");
            }
        }
        for field in self.headers.iter().flat_map(|fields| fields.iter()) {
            // What else Weir or HTTP acts upon would change what the request is.
            let id = FieldId::of(field.as_str().as_bytes());
            if !matches!(id, FieldId::Other | FieldId::Authorization) {
                let message = format!("`{}` has a meaning of its own", field.as_str());
                cx.error(field.span, message)
                    .expected("fields such as `x-user` that tell the endpoint who is asking");
            }
        }
    }
}

/// Fields of a request that Weir never takes from the client as they are.
fn is_weirs(name: &str) -> bool {
    let id = FieldId::of(name.as_bytes());
    id.is_hop_by_hop()
        || matches!(
            id,
            FieldId::ContentLength
                | FieldId::Expect
                | FieldId::Forwarded
                | FieldId::Host
                | FieldId::MaxForwards
                | FieldId::Trailer
                | FieldId::XForwardedFor
                | FieldId::XForwardedHost
                | FieldId::XForwardedPort
                | FieldId::XForwardedProto
                | FieldId::XRealIp
                | FieldId::XRequestId
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<ForwardAuthConfig, String> {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode::<ForwardAuthConfig>();
        cx.finish(config)
            .map(|loaded| loaded.value)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_service_is_enough() {
        let short = decode("authz").expect("good");
        assert_eq!(short.path.value, "/");
        assert_eq!(short.method, AskMethod::Get);
        assert!(short.pass.is_none() && short.headers.is_none());
        let long = "{ service: authz, path: '/check?a=b', method: HEAD, timeout: 250ms, pass: [authorization, cookie], headers: x-user }";
        let long = decode(long).expect("good");
        assert_eq!(long.pass.map(|pass| pass.len()), Some(2));
    }

    #[test]
    fn what_could_not_be_asked_is_refused() {
        for (text, part) in [
            ("{ service: a, path: check }", "not a path"),
            ("{ service: a, path: '//check' }", "not a path"),
            ("{ service: a, path: '/a#b' }", "not a path"),
            ("{ service: a, path: '/a b' }", "percent-encode"),
            ("{ service: a, path: \"/a\\r\\nX: y\" }", "percent-encode"),
            ("{ service: a, pass: [host] }", "writes `host` itself"),
            ("{ service: a, pass: content-length }", "itself"),
            ("{ service: a, headers: content-length }", "of its own"),
            ("{ service: a, headers: cookie }", "of its own"),
            ("{ service: a, headers: [x-forwarded-for] }", "of its own"),
            ("{ service: a, max_body: 2MiB }", "at most 1MiB"),
            ("{ path: /check }", "`service` is missing"),
        ] {
            let problems = decode(text).expect_err(text);
            assert!(problems.contains(part), "{text}: {problems}");
        }
    }
}
