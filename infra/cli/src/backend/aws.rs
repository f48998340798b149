//! A stack on AWS, with the operator's own credentials.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use aws_sdk_sts::error::DisplayErrorContext;
use aws_types::region::Region;
use greenlight_admin::stores::Stores;
use greenlight_core::explain::Explanation;
use greenlight_stores::aws::{
    DynamoLedger, SecretsManager, SqsAndLedger, SqsDeadLetters, SqsQueue, Stack, StackQueues,
};

use super::{Backend, BackendError, Deployment, StackAddress};
use crate::secrets::Secrets;

/// The caller, as AWS knows the credentials.
#[derive(Clone, Debug)]
pub(super) struct Caller(aws_sdk_sts::Client);

impl Caller {
    /// The ARN; no permission is needed to ask for it.
    pub(super) async fn arn(&self) -> Result<String, BackendError> {
        let unknown = |cause: String| BackendError::Caller { cause: Explanation::quoted(cause) };
        let answer = self.0.get_caller_identity().send().await;
        let answer = answer.map_err(|error| unknown(DisplayErrorContext(&error).to_string()))?;
        answer.arn.ok_or_else(|| unknown("no ARN".to_owned()))
    }
}

/// Finds the stack by its name.
pub(super) async fn open(address: &StackAddress) -> Result<Backend, BackendError> {
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
    let (queue_url, dead_letters_url) = (stack.output("QueueUrl")?, stack.output("DlqUrl")?);
    let ledger = DynamoLedger::new(&config, stack.output("LedgerTable")?);
    let retention = super::retention(&ledger).await?;
    let ledger = ledger.keeping(retention);
    let (queue, secret) = (SqsQueue::new(&config, queue_url), stack.output("SecretArn")?);
    let dead_letters = SqsDeadLetters::new(&config, dead_letters_url, queue_url, ledger.clone());
    Ok(Backend {
        stores: Stores {
            audit: Arc::new(ledger.clone()),
            queue: Arc::new(StackQueues::new(&config, queue_url, dead_letters_url)),
            dead_letters: Arc::new(dead_letters),
            grants: Arc::new(ledger.clone()),
            blocks: Arc::new(ledger.clone()),
            acts: Arc::new(ledger.clone()),
            persons: Arc::new(ledger.clone()),
            requests: Arc::new(SqsAndLedger { queue, ledger }),
        },
        deployment: Deployment {
            webhook_url: Some(stack.output("WebhookUrl")?.to_owned()),
            secrets: Some(Secrets::Manager(SecretsManager::new(&config, secret))),
            parameters: stack.parameters().clone(),
            caller: Some(Caller(aws_sdk_sts::Client::new(&config))),
        },
    })
}
