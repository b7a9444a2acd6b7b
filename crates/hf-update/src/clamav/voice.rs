//! What is said while databases are fetched: the same lines as freshclam's, for whoever prints or keeps them.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only on demand.
    Verbose,
    /// What was done.
    Info,
    /// Something to look at.
    Warning,
    /// Something failed.
    Error,
}

/// Hears lines.
pub trait Voice {
    /// Says a line, without a line end.
    fn say(&mut self, level: Level, text: &str);
}

impl dyn Voice + '_ {
    /// Says what was done.
    pub fn info(&mut self, text: &str) {
        self.say(Level::Info, text);
    }

    /// Says something to look at.
    pub fn warning(&mut self, text: &str) {
        self.say(Level::Warning, text);
    }

    /// Says that something failed.
    pub fn error(&mut self, text: &str) {
        self.say(Level::Error, text);
    }

    /// Says something on demand.
    pub fn verbose(&mut self, text: &str) {
        self.say(Level::Verbose, text);
    }
}
