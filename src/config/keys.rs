//! The table of keys: how each is called, what it takes, and which setting it changes.

use std::fmt;
use std::time::Duration;

use ipcall_core::{RpcError, Settings, Signals, Spin};
use ipcall_transports::suggest;

use super::error::{ConfigError, Place};
use ipcall_transports::units;

/// One key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) effect: Effect,
}

/// What a key's value is good for.
pub(super) enum Effect {
    /// It is where the service is.
    Endpoint,
    /// It names a file with the secret.
    TokenFile,
    /// It changes a setting.
    Setting(fn(&mut Settings, &Value) -> Result<(), String>),
}

/// A value as it was found.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i128),
    Boolean(bool),
    List(Vec<Self>),
    /// Of a type that no key takes, and which.
    Other(&'static str),
}

static KEYS: [Key; 19] = [
    Key { name: "endpoint", effect: Effect::Endpoint },
    Key { name: "token-file", effect: Effect::TokenFile },
    setting("deadline", |settings, value| some_time(value).map(|it| settings.deadline = it)),
    setting("wait-for-server", |settings, value| {
        some_time(value).map(|it| settings.wait_for_server = it)
    }),
    setting("spin", |settings, value| spin(value).map(|it| settings.spin = it)),
    setting("signals", |settings, value| signals(value).map(|it| settings.signals = it)),
    setting("allow-uids", |settings, value| uids(value).map(|it| settings.allow_uids = it)),
    setting("max-message", |settings, value| size(value).map(|it| settings.limits.message = it)),
    setting("max-held", |settings, value| size(value).map(|it| settings.limits.held_bytes = it)),
    setting("max-queued", |settings, value| {
        size(value).map(|it| settings.limits.queued_bytes = it)
    }),
    setting("stream-window", |settings, value| {
        window(value).map(|it| settings.limits.stream.bytes = it)
    }),
    setting("stream-items", |settings, value| {
        count(value).map(|it| settings.limits.stream.items = it)
    }),
    setting("max-calls-in-flight", |settings, value| {
        count(value).map(|it| settings.limits.calls_in_flight = it)
    }),
    setting("max-connections", |settings, value| {
        count(value).map(|it| settings.limits.connections = it)
    }),
    setting("max-connections-per-uid", |settings, value| {
        count(value).map(|it| settings.limits.connections_per_uid = it)
    }),
    setting("handshake-timeout", |settings, value| {
        time(value).map(|it| settings.limits.handshake = it)
    }),
    setting("progress-timeout", |settings, value| {
        time(value).map(|it| settings.limits.progress = it)
    }),
    setting("decode-memory", |settings, value| {
        size(value).map(|it| settings.limits.decode.memory = it)
    }),
    setting("decode-depth", |settings, value| {
        depth(value).map(|it| settings.limits.decode.depth = it)
    }),
];

const fn setting(name: &'static str, set: fn(&mut Settings, &Value) -> Result<(), String>) -> Key {
    Key { name, effect: Effect::Setting(set) }
}

impl Key {
    /// The key called `name`, or what would be right.
    pub(super) fn find(name: &str) -> Result<&'static Self, String> {
        KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
            let hint = suggest::hint(name, KEYS.iter().map(|key| key.name));
            let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
            format!("unknown key{hint} (known: {})", known.join(", "))
        })
    }

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = &'static Self> {
        KEYS.iter()
    }

    pub(super) fn is_endpoint(&self) -> bool {
        matches!(self.effect, Effect::Endpoint)
    }

    pub(super) fn is_token_file(&self) -> bool {
        matches!(self.effect, Effect::TokenFile)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// A key with a value, and where they stand.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) key: &'static Key,
    /// With the tables that it is in.
    pub(super) full_key: String,
    pub(super) value: Value,
    /// The value as it is written, for errors.
    pub(super) shown: String,
    pub(super) place: Place,
}

impl Given {
    /// Checks what can be checked without looking at anything else.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self.key.effect {
            Effect::Setting(set) => set(&mut Settings::default(), &self.value),
            Effect::Endpoint => text(&self.value).map(drop),
            Effect::TokenFile => text(&self.value).and_then(|path| {
                let absolute = path.starts_with('/');
                if absolute { Ok(()) } else { Err("that is no absolute path".to_owned()) }
            }),
        }
        .map_err(|problem| self.wrong(problem))
    }

    /// The value as a text.
    pub(super) fn text(&self) -> Result<&str, ConfigError> {
        text(&self.value).map_err(|problem| self.wrong(problem))
    }

    pub(super) fn wrong(&self, problem: String) -> ConfigError {
        ConfigError::new(self.place.clone(), problem)
            .key_written(self.full_key.clone(), Some(self.shown.clone()))
    }

    /// The endpoint's URI stands there already, so that only the reason is added.
    pub(super) fn wrong_because(&self, error: RpcError) -> ConfigError {
        self.wrong(error.kind().to_string())
    }
}

fn expected(what: &str, found: &Value) -> String {
    let found = match found {
        Value::Text(_) => "a string",
        Value::Integer(_) => "an integer",
        Value::Boolean(_) => "a boolean",
        Value::List(_) => "an array",
        Value::Other(what) => what,
    };
    format!("{what} is expected here, not {found}")
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(expected("a string", other)),
    }
}

fn time(value: &Value) -> Result<Duration, String> {
    let Value::Text(text) = value else {
        return Err(expected("a string with a unit, such as \"5s\" or \"100ms\",", value));
    };
    let time = units::duration(text)?;
    if time.is_zero() {
        return Err("it must be longer than nothing".to_owned());
    }
    Ok(time)
}

fn some_time(value: &Value) -> Result<Option<Duration>, String> {
    match value {
        Value::Text(text) if text == "none" => Ok(None),
        Value::Text(text) if units::duration(text).is_ok_and(|time| time.is_zero()) => {
            Err("it must be longer than nothing; write \"none\" to have none".to_owned())
        }
        other => time(other).map(Some),
    }
}

fn spin(value: &Value) -> Result<Spin, String> {
    match value {
        Value::Text(text) if text == "forever" => Ok(Spin::Forever),
        Value::Text(text) if text == "0" => Ok(Spin::UpTo(Duration::ZERO)),
        Value::Integer(0) => Ok(Spin::UpTo(Duration::ZERO)),
        Value::Text(text) => units::duration(text).map(Spin::UpTo).map_err(|problem| {
            format!("{problem}; it is a time such as \"20us\", or \"0\", or \"forever\"")
        }),
        other => Err(expected("a time such as \"20us\", or \"0\", or \"forever\",", other)),
    }
}

fn size(value: &Value) -> Result<usize, String> {
    let bytes = match value {
        Value::Text(text) => units::size(text)?,
        Value::Integer(bytes) => usize::try_from(*bytes)
            .map_err(|_| "it must be a number of bytes, such as \"64MiB\" or 4096".to_owned())?,
        other => return Err(expected("a size such as \"64MiB\" or 4096", other)),
    };
    if bytes == 0 {
        return Err("it must be at least 1 byte".to_owned());
    }
    Ok(bytes)
}

fn integer(value: &Value) -> Result<i128, String> {
    match value {
        Value::Integer(integer) => Ok(*integer),
        Value::Text(text) => {
            text.parse().map_err(|_| "it must be an integer, such as 1024".to_owned())
        }
        other => Err(expected("an integer", other)),
    }
}

fn in_range(value: &Value, range: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
    let number = integer(value)?;
    u32::try_from(number)
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("it must be between {} and {}", range.start(), range.end()))
}

fn count(value: &Value) -> Result<u32, String> {
    in_range(value, 1..=u32::MAX)
}

/// A window below which hardly an item fits, or above which it bounds nothing, is a mistake.
fn window(value: &Value) -> Result<u32, String> {
    let bytes = size(value)?;
    let window = u32::try_from(bytes).ok().filter(|bytes| (1 << 10..=1 << 30).contains(bytes));
    window.ok_or_else(|| "it must be between 1KiB and 1GiB".to_owned())
}

/// Decoding takes stack for each level, so that it cannot be left to the configuration alone.
fn depth(value: &Value) -> Result<u32, String> {
    in_range(value, 1..=1024)
}

/// `true`, `false`, a number, or `"SIGRTMIN+6"`, as the number of `SIGRTMIN` is another with another C library.
fn signals(value: &Value) -> Result<Signals, String> {
    let right = "true, false, or a signal such as \"SIGRTMIN+6\"";
    let signals = match value {
        Value::Boolean(true) => return Ok(Signals::URGENT),
        Value::Boolean(false) => return Ok(Signals::OFF),
        Value::Integer(number) => i32::try_from(*number).ok().map(Signals::numbered),
        Value::Text(text) => match text.as_str() {
            // From the environment.
            "true" => return Ok(Signals::URGENT),
            "false" => return Ok(Signals::OFF),
            _ => match text.strip_prefix("SIGRTMIN+") {
                Some(offset) => offset.parse().ok().map(|offset: u8| Signals::realtime(offset)),
                None => text.parse().ok().map(Signals::numbered),
            },
        },
        other => return Err(expected(&format!("{right},"), other)),
    };
    let signals = signals.ok_or_else(|| format!("it must be {right}"))?;
    signals.map_err(|error| format!("{error}; it must be {right}"))
}

fn uids(value: &Value) -> Result<Vec<u32>, String> {
    let uid = |value: &Value| in_range(value, 0..=u32::MAX - 1);
    match value {
        Value::List(values) => values.iter().map(uid).collect(),
        // From the environment.
        Value::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| uid(&Value::Text(part.to_owned())))
            .collect(),
        other => Err(expected("an array of user ids, such as [1000, 1001],", other)),
    }
}
