//! A stack on AWS, with the operator's own credentials.

use aws_config::BehaviorVersion;
use aws_types::SdkConfig;
use aws_types::region::Region;
use greenlight_core::Timestamp;
use greenlight_core::audit::{HOUR, MAX_WAITING, RequestHistory, SystemStatus};
use greenlight_core::ports::Clock;
use greenlight_stores::aws::{
    DeadLetterQueue, DynamoLedger, Inspection, SecretsManager, SqsQueue, Stack, StackError,
};
use greenlight_stores::{SystemClock, variable_in};

use super::{BackendError, StackAddress};

/// A stack on AWS.
#[derive(Clone, Debug)]
pub struct OnAws {
    config: SdkConfig,
    stack: Stack,
    ledger: DynamoLedger,
}

impl OnAws {
    /// Finds the stack, by its name.
    pub(super) async fn open(address: &StackAddress) -> Result<Self, BackendError> {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        if let Some(profile) = &address.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &address.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(BackendError::NoRegion);
        }
        let profile = address.profile.clone().or_else(|| std::env::var("AWS_PROFILE").ok());
        let stack = Stack::find(&config, &address.stack, profile.as_deref()).await?;
        let ledger = DynamoLedger::new(&config, stack.output("LedgerTable")?);
        Ok(Self { config, stack, ledger })
    }

    pub(super) const fn ledger(&self) -> &DynamoLedger {
        &self.ledger
    }

    pub(super) fn queue(&self) -> Result<SqsQueue, StackError> {
        Ok(SqsQueue::new(&self.config, self.stack.output("QueueUrl")?))
    }

    pub(super) fn dead_letters(&self) -> Result<DeadLetterQueue, StackError> {
        let (url, queue) = (self.stack.output("DlqUrl")?, self.stack.output("QueueUrl")?);
        Ok(DeadLetterQueue::new(&self.config, url, queue, self.ledger.clone()))
    }

    /// Hides the dead letters from others, for as long as they are looked at.
    pub(super) async fn hold_dead_letters(&self) -> Result<Inspection, BackendError> {
        Ok(self.dead_letters()?.hold(SystemClock.now()).await?)
    }

    pub(super) async fn overview(&self, now: Timestamp) -> Result<SystemStatus, BackendError> {
        let queue = self.stack.output("QueueUrl")?;
        let (counts, dead, oldest, figures, breakers, waiting) = tokio::join!(
            self.stack.counts(queue),
            self.stack.counts(self.stack.output("DlqUrl")?),
            self.stack.oldest(queue),
            self.ledger.figures(now.minus(HOUR), now),
            self.ledger.breakers(),
            self.ledger.waiting(MAX_WAITING, now),
        );
        let (counts, dead, waiting) = (counts?, dead?, waiting?);
        // SQS hides what is tried again later as it hides what is being processed.
        let is_hidden =
            |history: &&RequestHistory| history.next_attempt(now).is_some_and(|next| next > now);
        let hidden = (waiting.iter().filter(is_hidden).count() as u64).min(counts.in_flight);
        let mut overview = SystemStatus {
            is_served: None,
            waiting: counts.waiting + hidden,
            in_flight: counts.in_flight - hidden,
            oldest: oldest?,
            dead_letters: dead.waiting + dead.in_flight,
            by_class: [].into(),
            breakers: breakers?,
            last_hour: figures?,
            ..SystemStatus::default()
        };
        overview.count_waiting(&waiting);
        Ok(overview)
    }

    pub(super) fn flows_parameter(&self) -> Option<String> {
        let text = self.stack.parameter("Flows").filter(|text| !text.trim().is_empty());
        text.map(str::to_owned)
    }

    pub(super) fn webhook_url(&self) -> Result<String, StackError> {
        Ok(self.stack.output("WebhookUrl")?.to_owned())
    }

    pub(super) fn secret(&self) -> Result<SecretsManager, StackError> {
        Ok(SecretsManager::new(&self.config, self.stack.output("SecretArn")?))
    }

    /// What a function has as environment variable `name`: the parameter of that name, or its entry
    /// in the parameter `FlowVariables`.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let words = name.split('_').map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
        });
        let own =
            self.stack.parameter(&words.collect::<String>()).filter(|value| !value.is_empty());
        let listed = || variable_in(self.stack.parameter("FlowVariables")?, name);
        own.map(str::to_owned).or_else(listed)
    }
}
