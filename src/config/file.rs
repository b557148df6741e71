//! The file: TOML, taken apart into tables of keys that are known, with the place of each.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use ipcall_transports::suggest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment;
use super::error::{ConfigError, Place};
use super::keys::{Given, Key, Value};

/// A file whose keys and values have been found right.
#[derive(Clone, Debug)]
pub(super) struct File {
    name: Arc<str>,
    services: BTreeMap<String, Table>,
    defaults: Table,
}

/// The keys of one table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) place: Place,
    entries: Vec<Given>,
}

impl Table {
    pub(super) fn entries(&self) -> &[Given] {
        &self.entries
    }
}

impl File {
    pub(super) fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let source = Source { name: name.into(), text };
        let root = DeTable::parse(text).map_err(|error| {
            let place = source.place(error.span().unwrap_or_default());
            ConfigError::new(place, error.message().replace('\n', ", "))
        })?;
        source.read_root(root.get_ref())
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    pub(super) fn service(&self, name: &str) -> Option<&Table> {
        self.services.get(name)
    }

    pub(super) fn defaults(&self) -> &Table {
        &self.defaults
    }
}

/// A text, and what it is called in errors.
struct Source<'a> {
    name: Arc<str>,
    text: &'a str,
}

impl Source<'_> {
    fn read_root(&self, root: &DeTable<'_>) -> Result<File, ConfigError> {
        let nothing = Table { place: Place::File(Arc::clone(&self.name)), entries: Vec::new() };
        let mut file =
            File { name: Arc::clone(&self.name), services: BTreeMap::new(), defaults: nothing };
        for (key, value) in root {
            match &**key.get_ref() {
                "service" => file.services = self.read_services(key, value)?,
                "defaults" => file.defaults = self.read_table("defaults", key, value)?,
                other => {
                    let hint = suggest::hint(other, ["service", "defaults"]);
                    return Err(self.wrong_key(
                        key,
                        other,
                        format!("unknown table{hint} (known: [service.NAME] and [defaults])"),
                    ));
                }
            }
        }
        Ok(file)
    }

    fn read_services(
        &self,
        key: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<BTreeMap<String, Table>, ConfigError> {
        let DeValue::Table(tables) = value.get_ref() else {
            let problem = "it must be a table for each service: write [service.NAME]";
            return Err(self.wrong_key(key, "service", problem));
        };
        let mut services = BTreeMap::new();
        for (key, value) in tables {
            let name = &**key.get_ref();
            let full_name = format!("service.{name}");
            if let Err(problem) = check_name(name, services.keys()) {
                return Err(self.wrong_key(key, &full_name, problem));
            }
            services.insert(name.to_owned(), self.read_table(&full_name, key, value)?);
        }
        Ok(services)
    }

    fn read_table(
        &self,
        name: &str,
        key: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Table, ConfigError> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong_key(key, name, format!("it must be a table: write [{name}]")));
        };
        let mut entries = Vec::new();
        for (key, value) in table {
            let full_key = format!("{name}.{}", key.get_ref());
            let known = Key::find(key.get_ref())
                .map_err(|problem| self.wrong_key(key, &full_key, problem))?;
            let given = Given {
                key: known,
                full_key,
                value: convert(value.get_ref()),
                shown: self.text.get(value.span()).unwrap_or_default().to_owned(),
                place: self.place(value.span()),
            };
            given.check()?;
            entries.push(given);
        }
        Ok(Table { place: self.place(key.span()), entries })
    }

    fn wrong_key(
        &self,
        key: &Spanned<impl AsRef<str>>,
        full_key: &str,
        problem: impl Into<String>,
    ) -> ConfigError {
        ConfigError::new(self.place(key.span()), problem).key_written(full_key, None)
    }

    fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::Line {
            file: Arc::clone(&self.name),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// A service's name becomes part of a variable's, so that not everything can be one.
fn check_name<'a>(name: &str, others: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        return Err("a service's name consists of letters, digits, `-` and `_`".to_owned());
    }
    let variable = environment::variable(name, "");
    match others.into_iter().find(|other| environment::variable(other, "") == variable) {
        Some(other) => Err(format!(
            "the name is too much like `{other}`: both would be {variable}... in the environment"
        )),
        None => Ok(()),
    }
}

fn convert(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Value::Other("so large an integer"), Value::Integer),
        DeValue::Array(values) => {
            Value::List(values.iter().map(|value| convert(value.get_ref())).collect())
        }
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a table"),
    }
}
