//! Tests on real files, through every interface of the kernel that the code can use.

mod bodies;
mod conditions;
mod encodings;
mod escapes;
mod ranges;
mod serving;

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    Encoding, FilesAnswer, FilesBody, FilesPlan, FilesRequest, FilesSpec, Piece, root::Kernel,
};

/// A Saturday in 2033.
const NOW: u64 = 2_000_000_000;
const KERNELS: [Kernel; 3] = [Kernel::Cached, Kernel::Beneath, Kernel::Walk];

/// A folder with a `public` folder in it, which is served.
struct Site {
    folder: TempDir,
    spec: FilesSpec,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("public");
        fs::create_dir(&root).expect("create the root");
        let spec = FilesSpec {
            root,
            index: Some("index.html".to_owned()),
            precompressed: Vec::new(),
            dotfiles: false,
        };
        Self { folder, spec }
    }

    fn precompressed(mut self, codings: &[Encoding]) -> Self {
        self.spec.precompressed = codings.to_vec();
        self
    }

    /// The folder around the root.
    fn outside(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.spec.root.join(path)
    }

    /// Writes a file below the root.
    fn with(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("create folders");
        fs::write(path, content).expect("write a file");
    }

    fn link(&self, to: impl AsRef<Path>, path: &str) {
        std::os::unix::fs::symlink(to, self.at(path)).expect("make a link");
    }

    fn plan(&self) -> FilesPlan {
        FilesPlan::compile(self.spec.clone()).expect("a plan")
    }

    /// Resolves through every interface of the kernel, which must all say the same.
    fn get(&self, path: &str) -> Reply {
        self.ask(path, |request| request)
    }

    fn ask<'a>(
        &self,
        path: &'a str,
        change: impl Fn(FilesRequest<'a>) -> FilesRequest<'a>,
    ) -> Reply {
        let mut replies = KERNELS.map(|kernel| {
            let plan = FilesPlan::through(&self.spec, kernel).expect("a plan");
            reply(&plan, change(request(path)))
        });
        assert_eq!(replies[0], replies[1], "{path} without RESOLVE_CACHED");
        assert_eq!(replies[0], replies[2], "{path} without openat2");
        replies[0].clone_out()
    }
}

/// What a client would see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reply {
    status: u16,
    fields: Vec<(&'static str, String)>,
    length: Option<u64>,
    body: Vec<u8>,
}

impl Reply {
    fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(field, _)| *field == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} comes twice");
        value
    }

    fn etag(&self) -> String {
        self.field("ETag").expect("an entity tag").to_owned()
    }

    fn clone_out(&mut self) -> Self {
        std::mem::take(self)
    }
}

fn request(path: &str) -> FilesRequest<'_> {
    FilesRequest {
        path: path.as_bytes(),
        full_path: path.as_bytes(),
        now: NOW,
        seed: 0x0123_4567_89ab_cdef,
        ..FilesRequest::default()
    }
}

fn reply(plan: &FilesPlan, request: FilesRequest<'_>) -> Reply {
    let answer = block_on(plan.resolve(&request));
    let mut reply = Reply {
        status: answer.status,
        length: answer.content_length,
        ..Reply::default()
    };
    assert_eq!(answer.detail.is_empty(), answer.status < 400);
    answer.fields(|name, value| {
        let value = String::from_utf8(value.to_vec()).expect("a field in ASCII");
        assert!(!value.contains(['\r', '\n', '\0']), "{name}: {value:?}");
        reply.fields.push((name, value));
    });
    reply.body = answer.body.map(drain).unwrap_or_default();
    reply
}

/// Sends a body as a connection would, in uneven steps.
fn drain(mut body: FilesBody) -> Vec<u8> {
    let total = body.remaining();
    let mut sent = Vec::new();
    let mut step = 1;
    loop {
        step = step * 7 % 4099;
        let n = match body.piece() {
            Piece::End => break,
            Piece::Bytes(bytes) => {
                let n = bytes.len().min(step);
                sent.extend_from_slice(&bytes[..n]);
                n
            }
            Piece::File { offset, len } => {
                assert!(len <= FilesBody::CHUNK);
                let mut chunk = vec![0; len.min(step)];
                body.file()
                    .read_exact_at(&mut chunk, offset)
                    .expect("read the file");
                sent.extend_from_slice(&chunk);
                chunk.len()
            }
        };
        assert!(n > 0);
        body.advance(n);
        assert_eq!(body.remaining() + sent.len() as u64, total);
    }
    assert_eq!(body.remaining(), 0);
    sent
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn resolve(plan: &FilesPlan, path: &str) -> FilesAnswer {
    block_on(plan.resolve(&request(path)))
}
