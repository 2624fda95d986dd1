//! What the user says about logs.

use weir_config::{
    Cx, Decode, FilePath, Json, Node, Schemas, Within, decode_word, object, words_schema,
};

use crate::{Format, Level, Target};

object! {
    /// What is logged, and where to.
    pub struct LogConfig {
        /// Where each request is logged, as a line of JSON.
        pub access: AccessTarget = AccessTarget(Target::Stdout),
        /// How events, such as a failed health check, are written to standard error.
        pub format: Format = Format::Json,
        /// How much an event must matter to be logged.
        pub level: Level = Level::Info,
        /// How many batches of about 32 KiB may wait to be written; lines beyond that are dropped and counted.
        pub queue: Within<1, 65_536> = Within::new(256),
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            access: AccessTarget(Target::Stdout),
            format: Format::Json,
            level: Level::Info,
            queue: Within::new(256),
        }
    }
}

object! {
    /// How much the metrics may tell apart.
    pub struct MetricsConfig {
        /// How many endpoints have series of their own; the others share one.
        pub endpoints: Within<0, 100_000> = Within::new(1000),
    }
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            endpoints: Within::new(1000),
        }
    }
}

/// Where the access log goes: `stdout`, `stderr`, `off`, or a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTarget(pub Target);

impl Decode for AccessTarget {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let path = FilePath::decode(node, cx)?;
        Some(Self(match path.written() {
            "stdout" => Target::Stdout,
            "stderr" => Target::Stderr,
            "off" => Target::Off,
            // Absolute, so that it reads back as the same file.
            _ => Target::File(
                std::path::absolute(path.path()).unwrap_or_else(|_| path.path().to_owned()),
            ),
        }))
    }

    fn to_json(&self) -> Json {
        match &self.0 {
            Target::Stdout => "stdout".into(),
            Target::Stderr => "stderr".into(),
            Target::Off => "off".into(),
            Target::File(path) => path.to_string_lossy().into(),
        }
    }

    fn schema(schemas: &mut Schemas) -> Json {
        weir_config::described(
            FilePath::schema(schemas),
            "`stdout`, `stderr`, `off`, or the path of a file",
        )
    }
}

impl Decode for Level {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        decode_word(node, &Self::ALL.map(|level| (level.as_str(), level)), cx)
    }

    fn to_json(&self) -> Json {
        self.as_str().into()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let words = [
            ("error", "Something failed and needs a person."),
            ("warn", "Something is wrong that Weir copes with."),
            ("info", "Something changed."),
            ("debug", "Detail for finding a problem."),
        ];
        words_schema("How much an event matters.", &words, schemas)
    }
}

impl Decode for Format {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        decode_word(node, &Self::ALL.map(|format| (format.as_str(), format)), cx)
    }

    fn to_json(&self) -> Json {
        self.as_str().into()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let words = [
            ("json", "One JSON object per line."),
            ("text", "A line for people: time, level, message, fields."),
        ];
        words_schema("How events are written.", &words, schemas)
    }
}
