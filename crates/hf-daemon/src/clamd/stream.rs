//! `INSTREAM`: chunks with their lengths, up to one of length 0.

use super::session::{Input, Line, Starved, after};
use crate::intake::IntakeError;
use crate::scan::Object;

impl Input {
    /// Takes in a stream. `Err` with a text that is to be replied, without one when the client is gone.
    pub(super) async fn stream(
        &mut self,
        line: &Line,
        name: Vec<u8>,
    ) -> Result<Object, Option<String>> {
        let shared = &line.shared;
        let bytes_max = match shared.config.stream_max_bytes {
            0 => u64::MAX,
            bytes_max => bytes_max,
        };
        let mut intake = shared.service.intake(bytes_max);
        loop {
            let len = self.length(line).await?;
            if len == 0 {
                let object = intake.finish(name);
                return object.map_err(|error| Some(broken(line, &error)));
            }
            let left = bytes_max.saturating_sub(intake.size());
            if u64::from(len) > left {
                let text = format!(
                    "WARNING: INSTREAM: Size limit reached, (requested: {len}, max: {left})"
                );
                shared.log.warning(&text);
                return Err(Some("INSTREAM size limit exceeded. ERROR".to_owned()));
            }
            let mut wanted = usize::try_from(len).unwrap_or(usize::MAX);
            while wanted > 0 {
                if self.rest().is_empty() {
                    self.fill(line).await?;
                }
                let rest = self.rest();
                let chunk = rest.get(..wanted).unwrap_or(rest);
                let taken = chunk.len();
                intake.write(chunk).await.map_err(|error| Some(broken(line, &error)))?;
                self.take(taken);
                wanted = wanted.saturating_sub(taken);
            }
        }
    }

    async fn length(&mut self, line: &Line) -> Result<u32, Option<String>> {
        loop {
            if let Some(bytes) = self.rest().first_chunk::<4>() {
                let len = u32::from_be_bytes(*bytes);
                self.take(4);
                return Ok(len);
            }
            self.fill(line).await?;
        }
    }

    async fn fill(&mut self, line: &Line) -> Result<(), Option<String>> {
        let by = after(line.shared.config.read_seconds);
        self.more(&line.link, by).await.map_err(|starved| match starved {
            Starved::Late => Some("COMMAND READ TIMED OUT".to_owned()),
            Starved::Ended => None,
        })
    }
}

fn broken(line: &Line, error: &IntakeError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    line.shared.log.error(&format!("INSTREAM: {error}{}", cause.unwrap_or_default()));
    "Error writing to temporary file ERROR".to_owned()
}
