//! What Weir answers itself: redirects and fixed answers.

use weir_config::{Cx, Decode, Json, Map, Node, Schemas, Spanned, Within, object};

use super::field::{FieldName, FieldValue};

object! {
    /// Where a client is sent. In short form, the place.
    pub struct RedirectConfig {
        /// The path or URL, which may hold parameters of the route's path: `/new/{rest}`, `https://{host}{path}`.
        pub to: Spanned<String>,
        /// The status.
        pub status: RedirectStatus = RedirectStatus(308),
    }
    short to;
}

/// The status of a redirect: 301, 302, 303, 307 or 308.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectStatus(u16);

impl RedirectStatus {
    const ALL: [u16; 5] = [301, 302, 303, 307, 308];

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Decode for RedirectStatus {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let status = u16::decode(node, cx)?;
        if Self::ALL.contains(&status) {
            return Some(Self(status));
        }
        cx.error(
            node.span,
            format!("{status} is not the status of a redirect"),
        )
        .expected("301, 302, 303, 307 or 308");
        None
    }

    fn to_json(&self) -> Json {
        self.0.into()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let numbers: Vec<Json> = Self::ALL.into_iter().map(Json::from).collect();
        let mut schema = weir_config::JsonMap::new();
        schema.insert("enum".to_owned(), numbers.into());
        schemas.or_variable(schema.into())
    }
}

object! {
    /// A fixed answer. In short form, its status.
    pub struct RespondConfig {
        /// The status.
        pub status: Within<200, 599> = Within::new(200),
        /// The body.
        pub body: String = String::new(),
        /// The type of the body.
        pub content_type: FieldValue = FieldValue("text/plain; charset=utf-8".into()),
        /// Further fields of the answer.
        pub headers: Map<FieldValue, FieldName> = Map::default(),
    }
    short status;
    check RespondConfig::check;
}

impl RespondConfig {
    fn check(&self, node: &Node, cx: &mut Cx) {
        let status = self.status.get();
        // RFC 9110, 15.3.5, 15.3.6 and 15.4.5.
        if matches!(status, 204 | 205 | 304) && !self.body.is_empty() {
            cx.error(
                node.span,
                format!("an answer with status {status} has no body"),
            )
            .key("body");
        }
    }
}
