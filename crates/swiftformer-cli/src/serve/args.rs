//! The options of `swiftformer serve`.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use swiftformer::{checkpoint::ModelSource, image::Preset};

use crate::{
    args::DecodeArgs,
    model::{ModelDetails, PrecisionArg},
};

/// Headings of the help text.
const BATCHING: &str = "Batching";
const LIMITS: &str = "Limits";
const ACCESS: &str = "Access";

/// Answer over HTTP: classes, embeddings, tensors, and a page to try it
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  swiftformer serve --model xs
  swiftformer serve --model small=xs --model large=runs/l3 --listen 0.0.0.0:8080 --api-key-file keys.txt
  curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' 'http://127.0.0.1:8080/v1/classify?top=3'

SIGTERM and Ctrl-C answer what was accepted and end; SIGHUP loads the models again. Logs are JSON lines on stderr.
http://127.0.0.1:8080/docs describes every request.")]
pub struct ServeArgs {
    /// A model, as for other commands, or NAME=MODEL; may be given several times, and requests that name none get the first
    #[arg(short, long = "model", value_name = "MODEL", default_value = "demo")]
    pub models: Vec<NamedSource>,
    /// Address and port; port 0 takes a free one, which the first line of the log tells
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub details: ModelDetails,
    /// Prepare images as one of hf, timm, original, original-0.9 instead of as the models say
    #[arg(long, value_name = "PRESET")]
    pub preprocess: Option<Preset>,
    /// What weights and activations are multiplied in
    #[arg(long, value_enum, default_value_t, value_name = "TYPE", help_heading = "Speed")]
    pub precision: PrecisionArg,
    /// Threads to use; 0 means one for each core
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Speed")]
    pub threads: usize,
    #[command(flatten)]
    pub decode: DecodeArgs,
    #[command(flatten)]
    pub batching: BatchingArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub access: AccessArgs,
}

/// How requests share the engine.
#[derive(Args, Clone, Debug)]
pub struct BatchingArgs {
    /// Most images that run together
    #[arg(long, value_name = "N", default_value = "16", help_heading = BATCHING)]
    pub max_batch: NonZeroUsize,
    /// How long an image may wait for others to share its batch, in milliseconds. With 0 an idle engine begins at once, and
    /// what arrives meanwhile is the next batch
    #[arg(long, value_name = "X", default_value = "0", value_parser = milliseconds, help_heading = BATCHING)]
    pub max_wait_ms: Duration,
    /// How long the queue may be: what is accepted is answered within N times the time of one image. Up to three quarters of N
    /// images wait or run; what comes then is answered with 503 and Retry-After. One request may hold N images
    #[arg(long, value_name = "N", default_value = "64", help_heading = BATCHING)]
    pub queue: NonZeroUsize,
    /// Longest that a request may take before it is answered with 504, in seconds; the header X-Timeout-Ms asks for less
    #[arg(long, value_name = "X", default_value = "30", value_parser = seconds, help_heading = BATCHING)]
    pub timeout_s: Duration,
}

/// What one request and all of them may cost.
#[derive(Args, Clone, Debug)]
pub struct LimitArgs {
    /// Largest body of a request, in MiB
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u32).range(1..=4096), help_heading = LIMITS)]
    pub max_body_mb: u32,
    /// Most bodies in memory at a time, in MiB; never less than four of the largest
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u32).range(1..=65536), help_heading = LIMITS)]
    pub max_bodies_mb: u32,
    /// Most pixels of a picture
    #[arg(long, value_name = "N", default_value = "50000000", value_parser = clap::value_parser!(u64).range(1..=1 << 32), help_heading = LIMITS)]
    pub max_pixels: u64,
    /// Most connections at a time
    #[arg(long, value_name = "N", default_value = "1024", help_heading = LIMITS)]
    pub max_connections: NonZeroUsize,
    /// Longest that the headers of a request may take, in seconds
    #[arg(long, value_name = "X", default_value = "10", value_parser = seconds, help_heading = LIMITS)]
    pub header_timeout_s: Duration,
    /// Longest that the body of a request may take, and that a client may leave an answer unread, in seconds
    #[arg(long, value_name = "X", default_value = "30", value_parser = seconds, help_heading = LIMITS)]
    pub body_timeout_s: Duration,
    /// How long a connection may lie idle, in seconds; longer than what a load balancer keeps it for
    #[arg(long, value_name = "X", default_value = "75", value_parser = seconds, help_heading = LIMITS)]
    pub idle_timeout_s: Duration,
    /// How long to go on accepting after SIGTERM, not ready any more, until load balancers have noticed, in seconds
    #[arg(long, value_name = "X", default_value = "0", value_parser = seconds, help_heading = LIMITS)]
    pub drain_delay_s: Duration,
    /// Longest that ending takes after that, in seconds
    #[arg(long, value_name = "X", default_value = "30", value_parser = seconds, help_heading = LIMITS)]
    pub drain_timeout_s: Duration,
    /// Let tensors have any size of image that the network takes, not only the size that the model was made for
    #[arg(long, help_heading = LIMITS)]
    pub any_size: bool,
}

/// Who may ask.
#[derive(Args, Clone, Debug)]
pub struct AccessArgs {
    /// File of keys, one a line; requests carry one as `Authorization: Bearer KEY` or `X-Api-Key: KEY`. Needed on addresses
    /// other than loopback
    #[arg(long, value_name = "F", help_heading = ACCESS)]
    pub api_key_file: Option<PathBuf>,
    /// Ask nobody for a key, on any address
    #[arg(long, conflicts_with = "api_key_file", help_heading = ACCESS)]
    pub no_auth: bool,
    /// Origin whose pages may ask, such as https://example.com; * for all; may be given several times
    #[arg(long, value_name = "ORIGIN", help_heading = ACCESS)]
    pub cors: Vec<String>,
    /// Certificate chain in PEM, for HTTPS
    #[arg(long, value_name = "F", requires = "tls_key", help_heading = ACCESS)]
    pub tls_cert: Option<PathBuf>,
    /// Its private key in PEM
    #[arg(long, value_name = "F", requires = "tls_cert", help_heading = ACCESS)]
    pub tls_key: Option<PathBuf>,
}

/// A model and the name that requests give it.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedSource {
    /// In paths and answers.
    pub name: String,
    /// Where it is.
    pub source: ModelSource,
}

impl FromStr for NamedSource {
    type Err = String;

    /// `NAME=MODEL`, or a model, whose name is then the last part of what was written.
    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split_once('=').filter(|(name, _)| is_name(name));
        let source = |text: &str| text.parse::<ModelSource>().map_err(|error| error.to_string());
        if let Some((name, text)) = named {
            return Ok(Self { name: name.to_owned(), source: source(text)? });
        }
        let last = text.trim_end_matches('/').rsplit(['/', '\\', ':']).next().unwrap_or_default();
        let last = last.split('@').next().unwrap_or_default();
        if !is_name(last) {
            return Err(format!(
                "`{text}` gives no name for requests; write NAME=MODEL, the name of letters, digits, - _ ."
            ));
        }
        Ok(Self { name: last.to_owned(), source: source(text)? })
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= 100 && !text.starts_with('.') && text.bytes().all(allowed)
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    duration(text, 1e-3)
}

fn seconds(text: &str) -> Result<Duration, String> {
    duration(text, 1.0)
}

fn duration(text: &str, unit: f64) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    match number * unit {
        seconds @ 0.0..=86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("must lie between 0 and a day".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{NamedSource, milliseconds, seconds};

    #[test]
    fn a_model_is_named_by_its_last_part_or_by_hand() {
        let name = |text: &str| text.parse::<NamedSource>().map(|model| model.name);
        for (text, expected) in [
            ("demo", "demo"),
            ("xs", "xs"),
            ("timm/swiftformer_xs.dist_in1k@main", "swiftformer_xs.dist_in1k"),
            ("/models/cats/", "cats"),
            ("random:l1", "l1"),
            ("cats=/models/run=3", "cats"),
        ] {
            assert_eq!(name(text).as_deref(), Ok(expected), "{text}");
        }
        assert!(name("../..").is_err() && name("/models/two words").is_err());
    }

    #[test]
    fn times_are_decimal_numbers_up_to_a_day() {
        assert_eq!(
            (milliseconds("2.5"), seconds("0.5")),
            (Ok(Duration::from_micros(2500)), Ok(Duration::from_millis(500)))
        );
        for bad in ["-1", "NaN", "inf", "1e9", "", "soon"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
