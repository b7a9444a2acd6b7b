//! Arguments of the form `--name value`.

use anyhow::{Result, bail};

/// What was given and not asked for yet.
#[derive(Debug)]
pub(crate) struct Arguments(Vec<String>);

impl Arguments {
    /// Takes what stands behind the command.
    pub(crate) fn new(given: impl Iterator<Item = String>) -> Self {
        Self(given.collect())
    }

    /// Returns the value of an option, when it was given.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>> {
        let Some(at) = self.0.iter().position(|given| given == name) else { return Ok(None) };
        if at + 1 >= self.0.len() {
            bail!("{name} needs a value");
        }
        let value = self.0.remove(at + 1);
        self.0.remove(at);
        Ok(Some(value))
    }

    /// Returns the value of an option that must be given.
    pub(crate) fn required(&mut self, name: &str) -> Result<String> {
        match self.value(name)? {
            Some(value) => Ok(value),
            None => bail!("{name} is missing"),
        }
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(self) -> Result<()> {
        match self.0.first() {
            Some(left) => bail!("unknown argument {left}"),
            None => Ok(()),
        }
    }
}
