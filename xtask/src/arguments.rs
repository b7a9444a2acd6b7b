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

    /// Returns every value of an option that may be repeated.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<String>> {
        let mut values = Vec::new();
        while let Some(value) = self.value(name)? {
            values.push(value);
        }
        Ok(values)
    }

    /// Returns a size in MiB.
    pub(crate) fn mib(&mut self, name: &str, default: u64) -> Result<u64> {
        let given = self.value(name)?.map(|text| text.parse::<u64>()).transpose()?;
        Ok(given.unwrap_or(default) << 20)
    }

    /// Returns the words in front of all options.
    pub(crate) fn words(&mut self) -> Vec<String> {
        let end = self.0.iter().position(|given| given.starts_with("--")).unwrap_or(self.0.len());
        self.0.drain(..end).collect()
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(self) -> Result<()> {
        match self.0.first() {
            Some(left) => bail!("unknown argument {left}"),
            None => Ok(()),
        }
    }
}
