//! One connection of a mail server: commands in, the message gathered, the scan, answers out.
//!
//! Promises: while a scan takes its time the server is told so, that it does not give up; a message that
//! cannot be judged follows `on-error`, and never passes because of an error unless that says so.
//! Sources: Sendmail's and Postfix's documentation of milters.

use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use hf_core::Verdict;
use tokio::time::{Instant, sleep_until};

use super::conversation::{Conversation, Envelope, Turn};
use super::packet::{self, Command, Reply};
use super::policy::{Action, Outcome};
use super::{LogMessages, Shared};
use crate::intake::{Intake, IntakeError};
use crate::listen::{Stream, seconds};
use crate::scan::{Client, ScanChoice};
use crate::wire::{Wire, WireError};

/// Speaks with a mail server until the end.
pub(super) async fn converse(shared: Arc<Shared>, stream: Box<dyn Stream>, client: Client) {
    let wire = Wire::new(stream, seconds(shared.config.write_seconds));
    let conversation = Conversation::new(shared.config.max_file_bytes);
    let mut connection = Connection { shared, wire, client, conversation, intake: None };
    let why = match connection.run().await {
        Ok(()) | Err(Ended::Wire(WireError::Closed)) => return,
        Err(error) => error.to_string(),
    };
    let client = connection.client.name();
    connection.shared.service.log().warning(&format!("milter: {client}: connection ended: {why}"));
}

struct Connection {
    shared: Arc<Shared>,
    wire: Wire<Box<dyn Stream>>,
    client: Client,
    conversation: Conversation,
    /// The message that is being gathered; an error is kept until it is to be judged.
    intake: Option<Result<Intake, IntakeError>>,
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Packet(#[from] packet::BadPacket),
    #[error("{0}")]
    Order(&'static str),
}

impl Connection {
    async fn run(&mut self) -> Result<(), Ended> {
        while let Some(command) = self.command().await? {
            let first =
                matches!(command, Command::Mail(_) | Command::Abort | Command::Connect { .. });
            if first {
                self.intake = None;
            }
            let skip = self.skip_before(&command);
            let mut data = Vec::new();
            let turn = self.conversation.take(command, &mut data);
            self.gather(&data).await;
            match turn {
                Turn::Silent => {}
                Turn::Reply(reply) => {
                    let skipped = reply == Reply::Continue && self.skips(skip);
                    let reply = if skipped { Reply::Accept } else { reply };
                    self.send(&[reply]).await?;
                }
                Turn::Judge => self.judge().await?,
                Turn::Close(None) => return Ok(()),
                Turn::Close(Some(why)) => return Err(Ended::Order(why)),
            }
        }
        Ok(())
    }

    /// Reads a command; none when the service ends between two messages.
    async fn command(&mut self) -> Result<Option<Command>, Ended> {
        loop {
            if let Some((command, used)) = packet::take(self.wire.held())? {
                self.wire.consume(used);
                return Ok(Some(command));
            }
            let config = &self.shared.config;
            let between = self.wire.held().is_empty();
            let time =
                if between { seconds(config.idle_seconds) } else { seconds(config.packet_seconds) };
            let service = self.shared.service.clone();
            let free = between && self.intake.is_none();
            tokio::select! {
                filled = self.wire.fill(Instant::now() + time) => filled?,
                () = service.stopping(), if free => return Ok(None),
            }
        }
    }

    /// Says which rules a command makes decidable.
    fn skip_before(&self, command: &Command) -> Skip {
        match command {
            Command::Connect { .. } => Skip::Connection,
            Command::Mail(_) => Skip::Sender,
            _ => Skip::No,
        }
    }

    fn skips(&self, skip: Skip) -> bool {
        let envelope = self.conversation.envelope();
        match skip {
            Skip::No => false,
            Skip::Connection => self.shared.skips.connection(envelope),
            Skip::Sender => self.shared.skips.sender(envelope),
        }
    }

    async fn gather(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let new = || Ok(self.shared.service.intake(u64::MAX));
        let intake = self.intake.get_or_insert_with(new);
        if let Ok(open) = intake
            && let Err(error) = open.write(data).await
        {
            *intake = Err(error);
        }
    }

    async fn send(&mut self, replies: &[Reply]) -> Result<(), Ended> {
        let mut out = Vec::new();
        replies.iter().for_each(|reply| reply.put(&mut out));
        Ok(self.wire.send(&out).await?)
    }

    async fn judge(&mut self) -> Result<(), Ended> {
        let intake = self.intake.take();
        let terms = self.conversation.terms();
        if self.shared.skips.recipients(self.conversation.envelope()) {
            self.conversation.answered();
            return self.send(&[Reply::Accept]).await;
        }
        let outcome = if self.conversation.too_large() {
            Outcome::TooLarge
        } else {
            self.scan(intake).await?
        };
        let envelope = self.conversation.envelope().clone();
        self.tell(&outcome, &envelope);
        if let Outcome::Infected(name) = &outcome {
            self.run_action(name, &envelope).await;
        }
        let replies = self.shared.policy.replies(&outcome, &envelope, terms);
        let wanted = self.shared.policy.action(&outcome);
        if wanted == Action::Quarantine && replies == [Reply::Tempfail] {
            let why = "milter: the mail server cannot hold messages: it is to try again later";
            self.shared.service.log().warning(why);
        }
        self.conversation.answered();
        self.send(&replies).await
    }

    async fn scan(
        &mut self,
        intake: Option<Result<Intake, IntakeError>>,
    ) -> Result<Outcome, Ended> {
        let queue_id = self.conversation.envelope().queue_id.clone();
        let shared = Arc::clone(&self.shared);
        let failed = |why: &str| {
            shared.service.log().error(&format!("milter: message {queue_id}: {why}"));
            Ok(Outcome::Error)
        };
        let object = match intake {
            Some(intake) => intake.and_then(|intake| intake.finish(format!("message {queue_id}"))),
            None => return failed("nothing was gathered"),
        };
        let object = match object {
            Ok(object) => object,
            Err(error) => return failed(&error.to_string()),
        };
        let client = self.client.clone();
        let mut scan = pin!(shared.service.scan(&client, object, ScanChoice::default()));
        let end = Instant::now() + seconds(shared.config.scan_seconds);
        let answer = loop {
            tokio::select! {
                answer = &mut scan => break answer,
                () = sleep_until(end) => return failed("the scan took too long"),
                () = tokio::time::sleep(PROGRESS) => self.send(&[Reply::Progress]).await?,
            }
        };
        match answer.verdict {
            Verdict::Clean => Ok(Outcome::Clean),
            Verdict::Incomplete => Ok(Outcome::Incomplete),
            Verdict::Detected => {
                Ok(Outcome::Infected(answer.name().unwrap_or("unknown").to_owned()))
            }
            Verdict::Error => failed(answer.report.error.as_deref().unwrap_or("the scan failed")),
        }
    }

    /// Writes to the log what the configuration asks for.
    fn tell(&self, outcome: &Outcome, envelope: &Envelope) {
        let config = &self.shared.config;
        let how = match outcome {
            Outcome::Infected(_) => config.log_infected,
            Outcome::Clean => config.log_clean,
            Outcome::Incomplete | Outcome::TooLarge | Outcome::Error => LogMessages::Basic,
        };
        let result = match outcome {
            Outcome::Infected(name) => format!("infected by {name}"),
            other => super::policy::told(other).to_lowercase(),
        };
        if how == LogMessages::Off {
            return;
        }
        for recipient in self.recipients(envelope) {
            let Envelope { queue_id, sender, .. } = envelope;
            let mut line = format!("Message {queue_id} from <{sender}> to <{recipient}> ");
            if how == LogMessages::Full {
                let Envelope { subject, message_id, date, .. } = envelope;
                let more =
                    format!("with subject '{subject}' message-id '{message_id}' date '{date}' ");
                line.push_str(&more);
            }
            line.push_str(&result);
            match outcome {
                Outcome::Clean => self.shared.service.log().info(&line),
                _ => self.shared.service.log().warning(&line),
            }
        }
    }

    /// Returns the recipients that are told: the last one, or all.
    fn recipients<'e>(&self, envelope: &'e Envelope) -> Vec<&'e str> {
        let mut all = envelope.recipients.iter().map(String::as_str);
        if self.shared.config.support_multiple_recipients {
            all.collect()
        } else {
            vec![all.next_back().unwrap_or_default()]
        }
    }

    /// Runs the configured program: no shell, so that nothing in a mail is a command.
    async fn run_action(&mut self, name: &str, envelope: &Envelope) {
        let Some((program, arguments)) = self.shared.config.virus_action.split_first() else {
            return;
        };
        for recipient in self.recipients(envelope) {
            let facts = [
                name,
                &envelope.queue_id,
                &envelope.sender,
                recipient,
                &envelope.subject,
                &envelope.message_id,
                &envelope.date,
            ];
            let mut command = tokio::process::Command::new(program);
            command.args(arguments).args(facts).kill_on_drop(true);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let time = seconds(self.shared.config.virus_action_seconds);
            let why = match tokio::time::timeout(time, command.status()).await {
                Ok(Ok(status)) if status.success() => continue,
                Ok(Ok(status)) => status.to_string(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it took too long and was ended".to_owned(),
            };
            self.shared.service.log().error(&format!("milter: virus-action {program}: {why}"));
        }
    }
}

/// Rules that become decidable.
#[derive(Debug, Clone, Copy)]
enum Skip {
    No,
    Connection,
    Sender,
}

/// Ours: below the shortest time for which mail servers wait.
const PROGRESS: Duration = Duration::from_secs(10);
