//! Field names that Weir acts upon, recognised once while the line is parsed.

/// Which field a line is. Names that Weir does not act upon are all [`FieldId::Other`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant is the field of its name")]
pub enum FieldId {
    Other,
    Accept,
    AcceptEncoding,
    Age,
    Allow,
    Authorization,
    CacheControl,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentRange,
    ContentType,
    Cookie,
    Date,
    ETag,
    Expect,
    Expires,
    Forwarded,
    Host,
    Http2Settings,
    IfMatch,
    IfModifiedSince,
    IfNoneMatch,
    IfRange,
    IfUnmodifiedSince,
    KeepAlive,
    LastModified,
    Location,
    MaxForwards,
    Origin,
    ProxyAuthenticate,
    ProxyAuthenticationInfo,
    ProxyAuthorization,
    ProxyConnection,
    Range,
    Referer,
    RetryAfter,
    Server,
    SetCookie,
    Te,
    Traceparent,
    Tracestate,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Vary,
    Via,
    WwwAuthenticate,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    XRealIp,
    XRequestId,
}

/// Tries the names of one length, compared as words. A set bit 0x20 makes letters lower case and leaves digits and `-`
/// alone; of the other token characters it maps only `^` and `_`, onto bytes that occur in no name below, so the
/// comparison is exact.
macro_rules! pick {
    ($name:ident: $($lower:literal $id:ident),+) => {{
        let found = key($name);
        $(if found == const { key($lower) } {
            return Self::$id;
        })+
        Self::Other
    }};
}

/// Tells apart names of equal length, of 2 to 25 bytes, whatever their case.
const fn key(name: &[u8]) -> (u64, u64, u64, u64) {
    match name.len() {
        17.. => (
            word(name, 0),
            word(name, 8),
            word(name, 16),
            word(name, name.len() - 8),
        ),
        8.. => (word(name, 0), word(name, name.len() - 8), 0, 0),
        4.. => (half_word(name, 0), half_word(name, name.len() - 4), 0, 0),
        _ => (byte(name, 0), byte(name, 1), byte(name, 2), 0),
    }
}

const fn word(name: &[u8], at: usize) -> u64 {
    match name.split_at_checked(at) {
        Some((_, rest)) => match rest.first_chunk() {
            Some(word) => u64::from_le_bytes(*word) | 0x2020_2020_2020_2020,
            None => 0,
        },
        None => 0,
    }
}

const fn half_word(name: &[u8], at: usize) -> u64 {
    match name.split_at_checked(at) {
        Some((_, rest)) => match rest.first_chunk() {
            Some(word) => (u32::from_le_bytes(*word) | 0x2020_2020) as u64,
            None => 0,
        },
        None => 0,
    }
}

const fn byte(name: &[u8], at: usize) -> u64 {
    if at < name.len() {
        (name[at] | 0x20) as u64
    } else {
        0
    }
}

impl FieldId {
    /// Recognises `name`, in any case. `name` must be a token; of other bytes the answer is meaningless.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name.len() {
            2 => pick!(name: b"te" Te),
            3 => pick!(name: b"age" Age, b"via" Via),
            4 => pick!(name: b"host" Host, b"date" Date, b"etag" ETag, b"vary" Vary),
            5 => pick!(name: b"range" Range, b"allow" Allow),
            6 => {
                pick!(name: b"accept" Accept, b"cookie" Cookie, b"server" Server, b"origin" Origin, b"expect" Expect)
            }
            7 => {
                pick!(name: b"referer" Referer, b"upgrade" Upgrade, b"expires" Expires, b"trailer" Trailer)
            }
            8 => pick!(name: b"location" Location, b"if-match" IfMatch, b"if-range" IfRange),
            9 => pick!(name: b"forwarded" Forwarded, b"x-real-ip" XRealIp),
            10 => {
                pick!(name: b"user-agent" UserAgent, b"connection" Connection, b"keep-alive" KeepAlive,
                b"set-cookie" SetCookie, b"tracestate" Tracestate)
            }
            11 => pick!(name: b"traceparent" Traceparent, b"retry-after" RetryAfter),
            12 => {
                pick!(name: b"content-type" ContentType, b"x-request-id" XRequestId, b"max-forwards" MaxForwards)
            }
            13 => pick!(name: b"cache-control" CacheControl, b"authorization" Authorization,
                b"last-modified" LastModified, b"if-none-match" IfNoneMatch, b"content-range" ContentRange),
            14 => pick!(name: b"content-length" ContentLength, b"http2-settings" Http2Settings),
            15 => pick!(name: b"accept-encoding" AcceptEncoding, b"x-forwarded-for" XForwardedFor),
            16 => {
                pick!(name: b"content-encoding" ContentEncoding, b"x-forwarded-host" XForwardedHost,
                b"x-forwarded-port" XForwardedPort, b"proxy-connection" ProxyConnection,
                b"www-authenticate" WwwAuthenticate)
            }
            17 => {
                pick!(name: b"transfer-encoding" TransferEncoding, b"if-modified-since" IfModifiedSince,
                b"x-forwarded-proto" XForwardedProto)
            }
            18 => pick!(name: b"proxy-authenticate" ProxyAuthenticate),
            19 => {
                pick!(name: b"if-unmodified-since" IfUnmodifiedSince, b"proxy-authorization" ProxyAuthorization)
            }
            25 => pick!(name: b"proxy-authentication-info" ProxyAuthenticationInfo),
            _ => Self::Other,
        }
    }

    /// Whether the field is meant for the next hop only and is never forwarded, named by Connection or not
    /// (RFC 9110, 7.6.1). Proxy authentication is between a client and this hop (RFC 9110, 11.7); HTTP2-Settings
    /// belongs to an upgrade that Weir does not offer (RFC 9113, 3.1). Trailer is not among them: trailers are
    /// forwarded, and so is their announcement.
    #[must_use]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::Http2Settings
                | Self::KeepAlive
                | Self::ProxyAuthenticate
                | Self::ProxyAuthenticationInfo
                | Self::ProxyAuthorization
                | Self::ProxyConnection
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }
}
