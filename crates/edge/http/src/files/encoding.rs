//! Precompressed siblings, and which of them a client takes (RFC 9110, 12.5.3).

/// A content coding that siblings may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `br`, in files that end with `.br` (RFC 7932).
    Brotli,
    /// `gzip`, in files that end with `.gz` (RFC 1952).
    Gzip,
    /// `zstd`, in files that end with `.zst` (RFC 8878).
    Zstd,
}

impl Encoding {
    /// Every coding.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Gzip, Self::Zstd];

    /// The coding with this name in Content-Encoding and in the config: `br`, `gzip` or `zstd`.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| coding.token() == token)
    }

    /// Its name in Content-Encoding and in the config.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What a file's name has in addition.
    pub(super) const fn suffix(self) -> &'static [u8] {
        match self {
            Self::Brotli => b".br",
            Self::Gzip => b".gz",
            Self::Zstd => b".zst",
        }
    }

    /// What an entity tag has in addition.
    pub(super) const fn tag_suffix(self) -> &'static [u8] {
        match self {
            Self::Brotli => b"-br",
            Self::Gzip => b"-gz",
            Self::Zstd => b"-zst",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// The codings to try, the most wanted first. Behind them all stands the file as it is: even a client that refuses it
/// (`identity;q=0`) is better off with it than with nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    codings: [Option<Encoding>; 3],
}

impl Accepted {
    /// Those of `offered` that Accept-Encoding `accepts`: by weight, then in the order of `offered`.
    pub(super) fn new(accepts: Option<&[u8]>, offered: &[Encoding]) -> Self {
        let mut accepted = Self::default();
        let Some(accepts) = accepts else {
            // Any coding would be allowed, but clients that say nothing tend to understand nothing.
            return accepted;
        };
        if offered.is_empty() {
            return accepted;
        }
        let weights = Weights::parse(accepts);
        let mut ranked = [(0, Encoding::Gzip); 3];
        let mut count = 0;
        for &coding in offered {
            let weight = weights.of(coding);
            let known = ranked[..count].iter().any(|&(_, other)| other == coding);
            if weight == 0 || weight < weights.identity() || known {
                continue;
            }
            let place = ranked[..count]
                .iter()
                .position(|&(other, _)| other < weight)
                .unwrap_or(count);
            ranked.copy_within(place..count, place + 1);
            ranked[place] = (weight, coding);
            count += 1;
        }
        for (slot, &(_, coding)) in accepted.codings.iter_mut().zip(&ranked[..count]) {
            *slot = Some(coding);
        }
        accepted
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Encoding> {
        self.codings.into_iter().flatten()
    }
}

/// Weights in thousandths, for what the field names.
#[derive(Clone, Copy, Debug, Default)]
struct Weights {
    codings: [Option<u16>; 3],
    identity: Option<u16>,
    /// `*`: what is not named.
    rest: Option<u16>,
}

impl Weights {
    /// An element that is not valid is skipped.
    fn parse(field: &[u8]) -> Self {
        let mut weights = Self::default();
        for element in field.split(|&byte| byte == b',') {
            let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let Some(weight) = weight(parts) else {
                continue;
            };
            if name == b"*" {
                weights.rest = Some(weight);
            } else if name.eq_ignore_ascii_case(b"identity") {
                weights.identity = Some(weight);
            } else if let Some(coding) = coding(name) {
                weights.codings[coding.index()] = Some(weight);
            }
        }
        weights
    }

    fn of(&self, coding: Encoding) -> u16 {
        self.codings[coding.index()].or(self.rest).unwrap_or(0)
    }

    /// Unless it is named or `*` is, no coding is always acceptable and never preferred.
    fn identity(&self) -> u16 {
        self.identity.or(self.rest).unwrap_or(0)
    }
}

fn coding(name: &[u8]) -> Option<Encoding> {
    // RFC 9110, 8.4.1.3: `x-gzip` is to be taken for `gzip`.
    if name.eq_ignore_ascii_case(b"x-gzip") {
        return Some(Encoding::Gzip);
    }
    Encoding::ALL
        .into_iter()
        .find(|coding| name.eq_ignore_ascii_case(coding.token().as_bytes()))
}

/// The weight among the parameters of an element, 1 when there is none. `None`: not valid.
fn weight<'a>(mut parameters: impl Iterator<Item = &'a [u8]>) -> Option<u16> {
    let Some(value) = parameters.find_map(|parameter| match parameter {
        [b'q' | b'Q', b'=', value @ ..] => Some(value),
        _ => None,
    }) else {
        return Some(1000);
    };
    // qvalue (RFC 9110, 12.4.2): 0 or 1, and up to three digits, which are zeros behind a 1.
    let (whole, digits) = match value {
        [b'0'] => return Some(0),
        [b'1'] => return Some(1000),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] if digits.len() <= 3 => (*whole, digits),
        _ => return None,
    };
    let mut thousandths = 0;
    for place in 0..3 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths = thousandths * 10 + u16::from(digit - b'0');
    }
    match (whole, thousandths) {
        (b'0', thousandths) => Some(thousandths),
        (_, 0) => Some(1000),
        _ => None,
    }
}
