//! Why a head was refused: one variant a rule, each with its answer, a stable word for logs and metrics, and a
//! sentence for the person who reads them.

macro_rules! head_errors {
    ($($variant:ident $status:literal $reason:literal $detail:literal;)*) => {
        /// A rule of HTTP/1 that a head broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum HeadError {
            $(#[doc = $detail] $variant,)*
        }

        impl HeadError {
            /// Every variant, for tables of metrics and documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The status to answer a request with. From a server, every one of them means 502.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// A stable word for logs and metrics.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)* }
            }

            /// One sentence for a person.
            #[must_use]
            pub const fn detail(self) -> &'static str {
                match self { $(Self::$variant => $detail,)* }
            }
        }
    };
}

head_errors! {
    BareCr 400 "bare_cr" "A carriage return is not followed by a line feed.";
    BareLf 400 "bare_lf" "A line feed does not follow a carriage return.";
    ConnectWithBody 400 "connect_with_body" "A CONNECT request announces content, which would run into the tunnel.";
    ConnectionNominatesFraming 400 "connection_nominates_framing" "The Connection field names Host or Content-Length, which no hop may remove.";
    ContentLengthWithTransferEncoding 400 "content_length_with_transfer_encoding" "Content-Length and Transfer-Encoding are both present.";
    DuplicateContentLength 400 "duplicate_content_length" "There is more than one Content-Length.";
    DuplicateHost 400 "duplicate_host" "There is more than one Host.";
    DuplicateTransferEncoding 400 "duplicate_transfer_encoding" "There is more than one Transfer-Encoding.";
    EmptyFieldName 400 "empty_field_name" "A field line starts with a colon.";
    FieldTooLong 431 "field_too_long" "A field line is longer than the limit.";
    FieldWithoutColon 400 "field_without_colon" "A field line has no colon.";
    HeadTooLarge 431 "head_too_large" "The head is larger than the limit.";
    HostMismatch 400 "host_mismatch" "Host differs from the authority in the request target.";
    InvalidConnection 400 "invalid_connection" "Connection is not a list of tokens.";
    InvalidContentLength 400 "invalid_content_length" "Content-Length is not a plain decimal number below 2^64.";
    InvalidFieldName 400 "invalid_field_name" "A field name has a character that is not allowed in a token.";
    InvalidFieldValue 400 "invalid_field_value" "A field value has a control character.";
    InvalidHost 400 "invalid_host" "Host is not a host name or IP address with an optional port.";
    InvalidMethod 400 "invalid_method" "The method is not a token.";
    InvalidRequestLine 400 "invalid_request_line" "The request line is not `method SP target SP version`.";
    InvalidStatusLine 400 "invalid_status_line" "The status line is not `version SP status SP reason`.";
    InvalidTarget 400 "invalid_target" "The request target is malformed or has a character that must be percent-encoded.";
    InvalidTransferEncoding 400 "invalid_transfer_encoding" "Transfer-Encoding is not exactly one final `chunked`.";
    InvalidVersion 400 "invalid_version" "The protocol version is malformed.";
    LeadingEmptyLine 400 "leading_empty_line" "More than one empty line comes before the request line.";
    MethodTooLong 501 "method_too_long" "The method is longer than any that is known.";
    MissingHost 400 "missing_host" "An HTTP/1.1 request has no Host.";
    ObsFold 400 "obs_fold" "A field line starts with white space (obsolete line folding).";
    ProxyHeader 400 "proxy_header" "The connection begins with a PROXY header, which this listener does not expect from this peer: see `proxy_protocol`.";
    SpaceBeforeColon 400 "space_before_colon" "There is white space between a field name and its colon.";
    TargetFormForMethod 400 "target_form_for_method" "This form of request target is not allowed with this method.";
    TargetTooLong 414 "target_too_long" "The request target is longer than the limit.";
    TooManyConnectionOptions 400 "too_many_connection_options" "Connection names more options than anyone needs.";
    TooManyFields 431 "too_many_fields" "There are more field lines than the limit.";
    TransferEncodingInHttp10 400 "transfer_encoding_in_http10" "An HTTP/1.0 message has Transfer-Encoding.";
    UnknownExpectation 417 "unknown_expectation" "Expect is not `100-continue`.";
    UnknownTransferCoding 501 "unknown_transfer_coding" "Transfer-Encoding names a coding other than `chunked`.";
    UnsupportedVersion 505 "unsupported_version" "The protocol version is neither HTTP/1.0 nor HTTP/1.1.";
}

impl std::fmt::Display for HeadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for HeadError {}
