//! What is asked of a files route.

/// The methods that a files route tells apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilesMethod {
    /// GET.
    #[default]
    Get,
    /// HEAD: the fields of GET without the content (RFC 9110, 9.3.2).
    Head,
    /// Anything else; it is answered with 405.
    Other,
}

/// One request for a file, borrowed from the request's head.
///
/// Field values come without the white space around them. If-Match, If-None-Match and Accept-Encoding are lists: several
/// lines must be joined with commas. Of the others only one line is valid; when there are several, pass `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FilesRequest<'a> {
    /// GET, HEAD or neither.
    pub method: FilesMethod,
    /// The path below the root, normalised and still percent-encoded. One leading slash is ignored.
    pub path: &'a [u8],
    /// The whole path of the request, for redirects. A path that ends with a slash asks for a directory.
    pub full_path: &'a [u8],
    /// The query without `?`; a redirect keeps it.
    pub query: Option<&'a [u8]>,
    /// If-Match (RFC 9110, 13.1.1).
    pub if_match: Option<&'a [u8]>,
    /// If-None-Match (RFC 9110, 13.1.2).
    pub if_none_match: Option<&'a [u8]>,
    /// If-Modified-Since (RFC 9110, 13.1.3).
    pub if_modified_since: Option<&'a [u8]>,
    /// If-Unmodified-Since (RFC 9110, 13.1.4).
    pub if_unmodified_since: Option<&'a [u8]>,
    /// If-Range (RFC 9110, 13.1.5).
    pub if_range: Option<&'a [u8]>,
    /// Range (RFC 9110, 14.2).
    pub range: Option<&'a [u8]>,
    /// Accept-Encoding (RFC 9110, 12.5.3).
    pub accept_encoding: Option<&'a [u8]>,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// An unpredictable number, for the boundary between the parts of a multipart answer. Whoever could guess it and
    /// write files could forge parts.
    pub seed: u64,
}
