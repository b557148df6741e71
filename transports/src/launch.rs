//! `Launch`: how a server's process is started.

use std::ffi::{OsStr, OsString};
use std::process::Command;

/// A program with its arguments and what it finds in its environment beside what this process has.
///
/// For transports whose client starts the server, `pipe:`, an endpoint is made of it by
/// [`Endpoint::launching`](crate::Endpoint::launching). For the others whoever starts the server can
/// use its [`command`](Self::command).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) stdio: bool,
}

impl Launch {
    /// The program at an absolute path, or with a bare name that is looked for in the directories of
    /// `PATH`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), stdio: false }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Talked to over its standard input and output: for programs that forward bytes, such as `ssh`.
    #[must_use]
    pub fn over_stdio(mut self) -> Self {
        self.stdio = true;
        self
    }

    /// What starts it, for transports whose server is started by others than its clients.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What the errors call it.
    pub(crate) fn shown(&self) -> std::path::Display<'_> {
        std::path::Path::new(&self.program).display()
    }

    /// The environment of its process.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (OsString, OsString)> {
        let is_replaced = |name: &OsStr| self.env.iter().any(|(other, _)| other == name);
        let inherited = std::env::vars_os().filter(move |(name, _)| !is_replaced(name));
        // Of two with one name the last is meant.
        let last = |(place, (name, _)): &(usize, &(OsString, OsString))| {
            !self.env[place + 1..].iter().any(|(other, _)| other == name)
        };
        inherited.chain(self.env.iter().enumerate().filter(last).map(|(_, pair)| pair.clone()))
    }
}
