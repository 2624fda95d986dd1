//! Fields that tell browsers to be careful.

use weir_config::{
    Cx, Decode, Duration, Json, Node, OrOff, Schemas, Text, True, Value, choice, object,
};

use super::field::FieldValue;

/// Fields of answers that tell browsers to be careful: `true` for the usual ones, or which.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityHeadersConfig(SecurityHeaders);

impl SecurityHeadersConfig {
    /// Which fields.
    pub const fn fields(&self) -> &SecurityHeaders {
        &self.0
    }
}

impl Decode for SecurityHeadersConfig {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        if matches!(node.value, Value::Scalar(_)) {
            True::decode(node, cx)?;
            return SecurityHeaders::absent().map(Self);
        }
        SecurityHeaders::decode(node, cx).map(Self)
    }

    fn to_json(&self) -> Json {
        self.0.to_json()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let forms = [True::schema(schemas), SecurityHeaders::schema(schemas)];
        let mut schema = weir_config::JsonMap::new();
        schema.insert("anyOf".to_owned(), forms.into_iter().collect());
        Json::Object(schema)
    }
}

object! {
    /// Fields of answers that tell browsers to be careful. One that the endpoint sends itself is left as it is.
    pub struct SecurityHeaders {
        /// `Strict-Transport-Security` (RFC 6797), in answers to requests that came by https.
        pub hsts: OrOff<HstsConfig> = OrOff::On(HstsConfig::standard()),
        /// `X-Content-Type-Options: nosniff`.
        pub no_sniff: bool = true,
        /// `X-Frame-Options`: who may show pages in a frame.
        pub frames: OrOff<Frames> = OrOff::On(Frames::Deny),
        /// `Referrer-Policy`: what pages tell others about where their visitors come from.
        pub referrer: OrOff<ReferrerPolicy> = OrOff::On(ReferrerPolicy::StrictOriginWhenCrossOrigin),
        /// `Content-Security-Policy`.
        pub content_security_policy: Option<FieldValue>,
        /// `Content-Security-Policy-Report-Only`.
        pub content_security_policy_report_only: Option<FieldValue>,
        /// `Permissions-Policy`.
        pub permissions_policy: Option<FieldValue>,
        /// `Cross-Origin-Opener-Policy`.
        pub cross_origin_opener: Option<Opener>,
        /// `Cross-Origin-Embedder-Policy`.
        pub cross_origin_embedder: Option<Embedder>,
        /// `Cross-Origin-Resource-Policy`.
        pub cross_origin_resource: Option<Resource>,
        /// Whether these replace what the endpoint sends under the same names.
        pub replace: bool = false,
        /// Whether fields that tell which software answers (`Server`, `X-Powered-By` and the like) are taken out.
        pub hide_software: bool = false,
    }
}

object! {
    /// For how long browsers may use https only. In short form, the time.
    pub struct HstsConfig {
        /// The time.
        pub max_age: Duration = HstsConfig::YEAR,
        /// Whether it holds for all hosts below this one, too.
        pub include_subdomains: bool = false,
        /// Whether browsers may have it built in (hstspreload.org), which cannot be taken back for months.
        pub preload: bool = false,
    }
    short max_age;
    check HstsConfig::check;
}

impl HstsConfig {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    const fn standard() -> Self {
        Self {
            max_age: Self::YEAR,
            include_subdomains: false,
            preload: false,
        }
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.preload && !(self.include_subdomains && self.max_age.get() >= Self::YEAR.get()) {
            cx.error(node.span, "browsers do not build this in")
                .key("preload")
                .help(format!(
                    "`preload` wants `include_subdomains: true` and a `max_age` of at least {}",
                    Self::YEAR.to_text()
                ));
        }
    }
}

choice! {
    /// Who may show pages in a frame.
    pub enum Frames {
        /// Nobody.
        Deny = "deny",
        /// Pages of the same origin.
        SameOrigin = "sameorigin",
    }
}

choice! {
    /// What pages tell others about where their visitors come from (Referrer Policy, section 3).
    pub enum ReferrerPolicy {
        /// Nothing.
        NoReferrer = "no-referrer",
        /// All, but nothing to http from https.
        NoReferrerWhenDowngrade = "no-referrer-when-downgrade",
        /// The page to the same origin, else nothing.
        SameOrigin = "same-origin",
        /// The origin.
        Origin = "origin",
        /// The origin, but nothing to http from https.
        StrictOrigin = "strict-origin",
        /// The page to the same origin, else the origin.
        OriginWhenCrossOrigin = "origin-when-cross-origin",
        /// The page to the same origin, else the origin, but nothing to http from https.
        StrictOriginWhenCrossOrigin = "strict-origin-when-cross-origin",
        /// All.
        UnsafeUrl = "unsafe-url",
    }
}

choice! {
    /// With which pages a page shares its windows.
    pub enum Opener {
        /// All.
        UnsafeNone = "unsafe-none",
        /// Those of the same origin and those that it opens.
        SameOriginAllowPopups = "same-origin-allow-popups",
        /// Those of the same origin.
        SameOrigin = "same-origin",
        /// None at all.
        NoopenerAllowPopups = "noopener-allow-popups",
    }
}

choice! {
    /// What a page may embed.
    pub enum Embedder {
        /// Anything.
        UnsafeNone = "unsafe-none",
        /// What says that it may be.
        RequireCorp = "require-corp",
        /// Anything, without credentials.
        Credentialless = "credentialless",
    }
}

choice! {
    /// Whose pages may embed it.
    pub enum Resource {
        /// Those of the same origin.
        SameOrigin = "same-origin",
        /// Those of the same site.
        SameSite = "same-site",
        /// All.
        CrossOrigin = "cross-origin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<SecurityHeaders, String> {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode::<SecurityHeadersConfig>();
        cx.finish(config)
            .map(|loaded| loaded.value.0)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn true_stands_for_the_defaults() {
        assert_eq!(decode("true"), decode("{}"));
        let standard = decode("true").expect("good");
        assert_eq!(standard.frames, OrOff::On(Frames::Deny));
        assert!(standard.no_sniff && !standard.replace && !standard.hide_software);
        assert!(decode("false").is_err_and(|text| text.contains("leave the key out")));
    }

    #[test]
    fn preloading_has_conditions() {
        for (text, good) in [
            ("hsts: { preload: true }", false),
            ("hsts: { preload: true, include_subdomains: true }", true),
            (
                "hsts: { preload: true, include_subdomains: true, max_age: 1d }",
                false,
            ),
            ("hsts: 30d", true),
            ("hsts: off", true),
        ] {
            assert_eq!(decode(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn values_hold_no_line_ends() {
        let broken = decode("content_security_policy: \"default-src 'self'\\r\\nX: y\"");
        assert!(broken.is_err_and(|text| text.contains("without control characters")));
    }
}
