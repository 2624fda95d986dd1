//! From a file and a request to the answer. No input or output happens here.

use super::{
    answer::{ContentFields, FilesAnswer, Shape},
    body::{Boundary, FilesBody},
    lookup::Representation,
    path,
    precondition::{self, Verdict},
    range::{self, ByteRange, Selection},
    request::{FilesMethod, FilesRequest},
};

/// The answer when there is a file. `vary`: another Accept-Encoding may have had another answer.
pub(super) fn answer(
    representation: Representation,
    request: &FilesRequest<'_>,
    vary: bool,
) -> FilesAnswer {
    let Representation {
        file,
        metadata,
        media_type,
        encoding,
    } = representation;
    let length = metadata.length;
    let etag = metadata.entity_tag(encoding);
    let last_modified = metadata.last_modified(request.now);
    match precondition::evaluate(request, &etag, &last_modified) {
        Verdict::Proceed => {}
        Verdict::NotModified => return FilesAnswer::not_modified(etag, vary),
        Verdict::Failed => return FilesAnswer::precondition_failed(),
    }

    let selection = match (request.method, request.range) {
        // RFC 9110, 14.2: Range MUST be ignored for every method but GET.
        (FilesMethod::Get, Some(value))
            if precondition::range_applies(
                request.if_range,
                &etag,
                &last_modified,
                request.now,
            ) =>
        {
            range::select(value, length)
        }
        _ => Selection::Whole,
    };
    let fields = |shape| ContentFields {
        media_type,
        shape,
        etag,
        last_modified,
        encoding,
        vary,
    };
    match selection {
        Selection::Unsatisfiable => FilesAnswer::unsatisfiable(length),
        Selection::One(range) => FilesAnswer::content(
            fields(Shape::Part { range, length }),
            range.len,
            Some(FilesBody::plain(file, range)),
        ),
        // Content-Encoding speaks of the whole content, delimiters included, so coded bytes cannot go into parts.
        Selection::Many(ranges) if encoding.is_none() => {
            let boundary = Boundary::new(request.seed);
            let body = FilesBody::multipart(file, length, &ranges, media_type, boundary);
            FilesAnswer::content(
                fields(Shape::Multipart(boundary)),
                body.remaining(),
                Some(body),
            )
        }
        Selection::Whole | Selection::Many(_) => {
            let body = (request.method == FilesMethod::Get && length > 0).then(|| {
                let range = ByteRange {
                    offset: 0,
                    len: length,
                };
                FilesBody::plain(file, range)
            });
            FilesAnswer::content(fields(Shape::Whole), length, body)
        }
    }
}

/// The answer when there is a directory and the path lacks the slash: relative links in its index need it.
pub(super) fn add_slash(request: &FilesRequest<'_>) -> FilesAnswer {
    FilesAnswer::moved(path::with_slash(request.full_path, request.query))
}
