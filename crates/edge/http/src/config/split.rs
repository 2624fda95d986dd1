//! Requests shared out among services, and copies of them.

use weir_config::{
    ByteSize, Cx, Decode, Duration, Json, Map, Name, Node, Percent, Schemas, Spanned, Text, Within,
    object,
};

/// Services and their shares of a route's requests.
///
/// Numbers are weights, which mean what they are relative to each other. Percentages say it all, so they must add up.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitConfig(Map<SplitShare>);

impl SplitConfig {
    /// The services, each with its share as a number relative to the others.
    pub fn shares(&self) -> impl Iterator<Item = (&Spanned<Name>, u32)> {
        self.0.iter().map(|(name, share)| (name, share.relative()))
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        let shares = || self.0.iter().map(|(_, share)| *share);
        if self.0.is_empty() {
            cx.error(node.span, "this splits among no service")
                .expected("services with their weights, such as `{ stable: 95, canary: 5 }`");
            return;
        }
        let percents = shares().filter(|share| matches!(share, SplitShare::Percent(_)));
        match percents.count() {
            0 => {}
            some if some < self.0.len() => {
                cx.error(
                    node.span,
                    "weights and percentages cannot stand beside each other",
                );
                return;
            }
            _ => {
                let sum: u32 = shares().map(SplitShare::relative).sum();
                if sum != 100_000 {
                    let sum = f64::from(sum) / 1000.0;
                    cx.error(node.span, format!("these shares are {sum}% together"))
                        .expected("100%");
                    return;
                }
            }
        }
        if shares().all(|share| share.relative() == 0) {
            cx.error(node.span, "no service has a share")
                .expected("at least one weight above 0");
        }
    }
}

impl Decode for SplitConfig {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let split = Self(Map::decode(node, cx)?);
        split.check(node, cx);
        Some(split)
    }

    fn to_json(&self) -> Json {
        self.0.to_json()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        Map::<SplitShare>::schema(schemas)
    }
}

/// A service's share of a route's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SplitShare {
    /// Relative to the other weights.
    Weight(u16),
    /// Of all requests.
    Percent(Percent),
}

impl SplitShare {
    const MOST: u16 = 1000;

    /// The weight, or thousandths of a percent.
    fn relative(self) -> u32 {
        match self {
            Self::Weight(weight) => weight.into(),
            Self::Percent(percent) => thousandths(percent),
        }
    }
}

impl Text for SplitShare {
    const EXPECTED: &'static str = "a weight from 0 to 1000, or a percentage such as `5%`";
    const NUMBERS: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.ends_with('%') {
            return Percent::from_text(text).map(Self::Percent);
        }
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(weight) if digits && weight <= Self::MOST => Ok(Self::Weight(weight)),
            _ => Err(String::new()),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Weight(weight) => weight.to_string(),
            Self::Percent(percent) => percent.to_string(),
        }
    }

    fn pattern() -> Option<&'static str> {
        Some("^([0-9]{1,4}|[0-9]{1,3}([.][0-9]{1,3})?%)$")
    }
}

weir_config::text!(SplitShare);

/// A percentage in thousandths of a percent, exactly.
pub(crate) fn thousandths(percent: Percent) -> u32 {
    (percent.ratio() * 100_000.0).round() as u32
}

object! {
    /// Copies of requests for another service, whose answers nobody waits for. In short form, the service.
    pub struct MirrorConfig {
        /// The service that gets the copies.
        pub service: Spanned<Name>,
        /// How many of the requests are copied.
        pub share: Percent = Percent::new(100),
        /// Requests with a larger body are not copied.
        pub max_body: Spanned<ByteSize> = ByteSize::kib(64).into(),
        /// How long a copy may take, from its connection to the end of the answer.
        pub timeout: Duration = Duration::from_secs(5),
        /// How many copies each worker may have under way; requests beyond that are not copied.
        pub pending: Within<1, 65_535> = Within::new(64),
    }
    short service;
    check MirrorConfig::check;
}

impl MirrorConfig {
    const LARGEST_BODY: ByteSize = ByteSize::mib(16);

    /// Warns if the copies go where the requests go.
    pub(super) fn check_against<'a>(
        &self,
        mut services: impl Iterator<Item = &'a Spanned<Name>>,
        cx: &mut Cx,
    ) {
        if let Some(same) = services.find(|name| name.value == self.service.value) {
            cx.warning(
                self.service.span,
                format!("`{same}` gets the copies beside the requests: everything twice"),
            )
            .also(same.span, "here it gets the requests")
            .help("name another service, or leave `mirror` out");
        }
    }

    fn check(&self, _: &Node, cx: &mut Cx) {
        if self.max_body.value > Self::LARGEST_BODY {
            cx.error(
                self.max_body.span,
                format!("`{}` is out of bounds", self.max_body),
            )
            .expected(format!("at most {}", Self::LARGEST_BODY))
            .help("bodies are kept in memory until they are whole");
        }
    }
}
