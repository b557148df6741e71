//! `ConfigError`: where something is wrong, what is written there, and what would be right.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Something in a configuration is not right.
///
/// It shows as `wordcount.toml:3:12: service.wordcount.deadline = "5 parsecs": ...`, or, if a variable
/// said it, as `IPCALL_WORDCOUNT_DEADLINE = "5 parsecs": ...`.
#[derive(Clone, Debug)]
pub struct ConfigError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    place: Place,
    /// What is written there: the key, and the value if it is the value that is wrong.
    written: Option<Written>,
    problem: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

#[derive(Clone, Debug)]
struct Written {
    key: String,
    value: Option<String>,
}

/// Where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    File(Arc<str>),
    /// Both count from 1; columns count characters.
    Line {
        file: Arc<str>,
        line: usize,
        column: usize,
    },
    Variable(String),
}

impl ConfigError {
    pub(super) fn new(place: Place, problem: impl Into<String>) -> Self {
        Self(Box::new(Inner { place, written: None, problem: problem.into(), source: None }))
    }

    pub(super) fn key_written(mut self, key: impl Into<String>, value: Option<String>) -> Self {
        self.0.written = Some(Written { key: key.into(), value });
        self
    }

    pub(super) fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The file, if it is there that something is wrong.
    pub fn file(&self) -> Option<&str> {
        match &self.0.place {
            Place::File(file) | Place::Line { file, .. } => Some(file),
            Place::Nowhere | Place::Variable(_) => None,
        }
    }

    /// The line, counted from 1.
    pub fn line(&self) -> Option<usize> {
        match self.0.place {
            Place::Line { line, .. } => Some(line),
            _ => None,
        }
    }

    /// The column in characters, counted from 1.
    pub fn column(&self) -> Option<usize> {
        match self.0.place {
            Place::Line { column, .. } => Some(column),
            _ => None,
        }
    }

    /// The environment variable, if it is there that something is wrong.
    pub fn variable(&self) -> Option<&str> {
        match &self.0.place {
            Place::Variable(name) => Some(name),
            _ => None,
        }
    }

    /// The key, such as `service.wordcount.deadline`.
    pub fn key(&self) -> Option<&str> {
        self.0.written.as_ref().map(|written| written.key.as_str())
    }

    /// What is wrong, and what would be right.
    pub fn problem(&self) -> &str {
        &self.0.problem
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { place, written, problem, source } = &*self.0;
        match place {
            Place::Nowhere => {}
            Place::File(file) => write!(f, "{file}: ")?,
            Place::Line { file, line, column } => write!(f, "{file}:{line}:{column}: ")?,
            Place::Variable(name) => write!(f, "{name}")?,
        }
        let is_variable = matches!(place, Place::Variable(_));
        if let Some(Written { key, value }) = written {
            if !is_variable {
                f.write_str(key)?;
            }
            if let Some(value) = value {
                write!(f, " = {value}")?;
            }
        }
        if is_variable || written.is_some() {
            f.write_str(": ")?;
        }
        f.write_str(problem)?;
        match source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}
