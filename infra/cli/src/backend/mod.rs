//! Where greenlight runs: a stack on AWS, or a data folder of this machine. Every command works on both.

#[cfg(feature = "aws")]
mod aws;

// Without AWS no letter is held.
#[cfg(not(feature = "aws"))]
use std::convert::Infallible as Held;
use std::path::PathBuf;

use greenlight_core::audit::{
    DeployedFlows, Elsewhere, Grant, RequestHistory, StoredDeadLetter, Subject, SystemStatus,
};
use greenlight_core::ledger::ResetError;
use greenlight_core::ports::{Enqueue, LedgerError, QueueError, ResetRequest};
use greenlight_core::secret::SecretError;
use greenlight_core::{Request, RequestKey, Timestamp};
#[cfg(feature = "aws")]
use greenlight_stores::aws::{Held, StackError};
use greenlight_stores::sqlite::{Database, OpenError};
use greenlight_stores::{SecretFile, flow_variable};
use thiserror::Error;

#[cfg(feature = "aws")]
use aws::OnAws;

use crate::secrets::Secrets;

/// Where to look.
#[derive(Clone, Debug)]
pub enum Address {
    /// The folder that `greenlight serve` was given.
    Folder(PathBuf),
    /// A stack on AWS.
    Stack(StackAddress),
}

/// The name of the secret document in a data folder.
const SECRETS_FILE: &str = "secrets.json";

impl Address {
    /// The secret document of a data folder: `given`, or the one in the folder itself.
    #[must_use]
    pub fn secrets_file(&self, given: Option<PathBuf>) -> PathBuf {
        given.unwrap_or_else(|| match self {
            Self::Folder(folder) => folder.join(SECRETS_FILE),
            // A stack has its own.
            Self::Stack(_) => PathBuf::from(SECRETS_FILE),
        })
    }
}

/// A stack on AWS. Whatever is left out is as the AWS CLI has it: `AWS_PROFILE`, `AWS_REGION`,
/// `AWS_ENDPOINT_URL`, the files in `~/.aws`.
#[derive(Clone, Debug, Default)]
pub struct StackAddress {
    /// Its name.
    pub stack: String,
    /// A profile of `~/.aws/config`.
    pub profile: Option<String>,
    /// The region.
    pub region: Option<String>,
}

/// It cannot be looked into, or changed.
#[derive(Debug, Error)]
pub enum BackendError {
    /// There is no database, or it is none of ours.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nothing says where the stack is.
    #[error("no region: set AWS_REGION, or name it with --region (请指定区域)")]
    NoRegion,
    /// There is no such stack.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The command was built for the demonstration, without the AWS SDK.
    #[cfg(not(feature = "aws"))]
    #[error(
        "this greenlight was built without AWS, as `cargo demo` builds it: \
         `cargo build --package greenlight` builds all of it"
    )]
    NoAws,
    /// The queue says no.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The ledger says no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The secret cannot be read or written.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Where greenlight runs.
#[derive(Clone, Debug)]
pub enum Backend {
    /// One machine.
    Local(Database),
    /// A stack.
    #[cfg(feature = "aws")]
    Aws(Box<OnAws>),
}

/// Dead letters that are looked at.
#[derive(Clone, Debug)]
pub struct Letters {
    /// Oldest first.
    pub letters: Vec<Letter>,
    /// Those that could not be had, as somebody else holds them.
    pub elsewhere: Option<Elsewhere>,
}

/// A dead letter that is looked at; on AWS nobody else is given it meanwhile.
#[derive(Clone, Debug)]
pub struct Letter {
    /// What it is.
    pub stored: StoredDeadLetter,
    held: Option<Held>,
}

impl Backend {
    /// Opens it.
    ///
    /// # Errors
    /// [`BackendError`] says what is missing.
    pub async fn open(address: &Address) -> Result<Self, BackendError> {
        Ok(match address {
            Address::Folder(folder) => Self::Local(Database::open_beside(folder).await?),
            #[cfg(feature = "aws")]
            Address::Stack(address) => Self::Aws(Box::new(OnAws::open(address).await?)),
            #[cfg(not(feature = "aws"))]
            Address::Stack(_) => return Err(BackendError::NoAws),
        })
    }

    /// How queue, dead-letter queue and targets stand.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn overview(&self, now: Timestamp) -> Result<SystemStatus, BackendError> {
        match self {
            Self::Local(database) => Ok(database.overview(now).await?),
            #[cfg(feature = "aws")]
            Self::Aws(backend) => Box::pin(backend.overview(now)).await,
        }
    }

    /// The latest requests, newest first.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn recent(
        &self,
        at_most: usize,
        now: Timestamp,
    ) -> Result<Vec<RequestHistory>, BackendError> {
        Ok(match self {
            Self::Local(database) => database.recent(at_most, now).await?,
            #[cfg(feature = "aws")]
            Self::Aws(backend) => backend.ledger().recent(at_most, now).await?,
        })
    }

    /// The stories of what any of `subjects` means, newest first.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn histories_of(
        &self,
        subjects: &[Subject],
        at_most: usize,
    ) -> Result<Vec<RequestHistory>, BackendError> {
        Ok(match self {
            Self::Local(database) => database.histories_of(subjects, at_most).await?,
            #[cfg(feature = "aws")]
            Self::Aws(backend) => backend.ledger().histories_of(subjects, at_most).await?,
        })
    }

    /// Who has which device, of those that somebody has since before `before`; newest first.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn grants(
        &self,
        at_most: usize,
        before: Timestamp,
    ) -> Result<Vec<Grant>, BackendError> {
        Ok(match self {
            Self::Local(database) => database.grants(at_most, before).await?,
            #[cfg(feature = "aws")]
            Self::Aws(backend) => backend.ledger().grants(at_most, before).await?,
        })
    }

    /// The grants among these devices at these targets.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn grants_of(
        &self,
        devices: &[(String, String)],
    ) -> Result<Vec<Grant>, BackendError> {
        Ok(match self {
            Self::Local(database) => database.grants_of(devices).await?,
            #[cfg(feature = "aws")]
            Self::Aws(backend) => backend.ledger().grants_of(devices).await?,
        })
    }

    /// All dead letters that nobody else holds, oldest first. Give them back with
    /// [`Backend::give_back`].
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn letters(&self) -> Result<Letters, BackendError> {
        match self {
            Self::Local(database) => {
                let letters = database.dead_letters().await?.into_iter();
                let letters = letters.map(|stored| Letter { stored, held: None }).collect();
                Ok(Letters { letters, elsewhere: None })
            }
            #[cfg(feature = "aws")]
            Self::Aws(backend) => {
                let found = backend.hold_dead_letters().await?;
                let letter = |held: Held| Letter { stored: held.letter.clone(), held: Some(held) };
                let letters = found.held.into_iter().map(letter).collect();
                Ok(Letters { letters, elsewhere: found.elsewhere })
            }
        }
    }

    /// Gives letters back, so that others see them at once.
    ///
    /// # Errors
    /// [`BackendError`] when they stay hidden from others for a while.
    pub async fn give_back(&self, letters: Vec<Letter>) -> Result<(), BackendError> {
        match self {
            Self::Local(_) => drop(letters),
            #[cfg(feature = "aws")]
            Self::Aws(backend) => {
                let held: Vec<_> = letters.into_iter().filter_map(|letter| letter.held).collect();
                backend.dead_letters()?.give_back(&held).await?;
            }
        }
        Ok(())
    }

    /// The requests that wait for their next attempt, the soonest first.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn waiting(
        &self,
        at_most: usize,
        now: Timestamp,
    ) -> Result<Vec<RequestHistory>, BackendError> {
        Ok(match self {
            Self::Local(database) => database.waiting(at_most, now).await?,
            #[cfg(feature = "aws")]
            Self::Aws(backend) => backend.ledger().waiting(at_most, now).await?,
        })
    }

    /// The flows that run there; `None` before the first start.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn deployed_flows(&self) -> Result<Option<DeployedFlows>, BackendError> {
        Ok(match self {
            Self::Local(database) => database.deployed_flows().await?,
            #[cfg(feature = "aws")]
            Self::Aws(backend) => backend.ledger().deployed_flows().await?,
        })
    }

    /// The text of flows.toml as a parameter of the stack; `None` for a data folder, and where the
    /// flows were built in.
    #[must_use]
    pub fn flows_parameter(&self) -> Option<String> {
        match self {
            Self::Local(_) => None,
            #[cfg(feature = "aws")]
            Self::Aws(backend) => backend.flows_parameter(),
        }
    }

    /// Holds letters for longer, while others are put back; on one machine nobody takes them.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn hold_longer(&self, letters: &[&Letter]) -> Result<(), BackendError> {
        match self {
            Self::Local(_) => debug_assert!(letters.iter().all(|letter| letter.held.is_none())),
            #[cfg(feature = "aws")]
            Self::Aws(backend) => {
                let held: Vec<_> =
                    letters.iter().filter_map(|letter| letter.held.clone()).collect();
                backend.dead_letters()?.hold_longer(&held).await?;
            }
        }
        Ok(())
    }

    /// Where the office system's events go; `None` for a data folder, which does not say.
    ///
    /// # Errors
    /// [`BackendError::Stack`] when the stack does not say.
    pub fn webhook_url(&self) -> Result<Option<String>, BackendError> {
        match self {
            Self::Local(_) => Ok(None),
            #[cfg(feature = "aws")]
            Self::Aws(backend) => Ok(Some(backend.webhook_url()?)),
        }
    }

    /// Puts a letter back into the queue. `false` when it is not there any more.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn redrive(&self, letter: &Letter) -> Result<bool, BackendError> {
        match (self, &letter.held) {
            (Self::Local(database), _) => Ok(database.redrive(&letter.stored.id).await?),
            #[cfg(feature = "aws")]
            (Self::Aws(backend), Some(held)) => Ok(backend.dead_letters()?.redrive(held).await?),
            #[cfg(feature = "aws")]
            (Self::Aws(_), None) => Ok(false),
        }
    }

    /// Takes a letter out for good; it is kept beside, with the reason. `false` when it is not there any more.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn discard(
        &self,
        letter: &Letter,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, BackendError> {
        match (self, &letter.held) {
            (Self::Local(database), _) => {
                Ok(database.discard(&letter.stored.id, reason, now).await?)
            }
            #[cfg(feature = "aws")]
            (Self::Aws(backend), Some(held)) => {
                Ok(backend.dead_letters()?.discard(held, reason, now).await?)
            }
            #[cfg(feature = "aws")]
            (Self::Aws(_), None) => Ok(false),
        }
    }

    /// Where the secret is kept; `file` for a data folder, which holds none.
    ///
    /// # Errors
    /// [`BackendError::Stack`] when the stack does not say.
    pub fn secrets(&self, file: PathBuf) -> Result<Secrets, BackendError> {
        Ok(match self {
            Self::Local(_) => Secrets::File(SecretFile::new(file)),
            #[cfg(feature = "aws")]
            Self::Aws(backend) => Secrets::Manager(backend.secret()?),
        })
    }

    /// As [`Backend::variable`], where there may be no backend yet.
    #[must_use]
    pub fn variable_of(backend: Option<&Self>, name: &str) -> Option<String> {
        backend.map_or_else(|| flow_variable(name), |backend| backend.variable(name))
    }

    /// What flows take from the environment: that of the functions, or that of this process.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let of_stack = match self {
            Self::Local(_) => None,
            #[cfg(feature = "aws")]
            Self::Aws(backend) => backend.variable(name).filter(|value| !value.is_empty()),
        };
        of_stack.or_else(|| flow_variable(name))
    }

    /// Puts a request into the queue, as the receiver does.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn enqueue(&self, request: &Request) -> Result<(), BackendError> {
        match self {
            Self::Local(database) => database.enqueue(request).await?,
            #[cfg(feature = "aws")]
            Self::Aws(backend) => backend.queue()?.enqueue(request).await?,
        }
        Ok(())
    }

    /// The story of one request.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn history(&self, key: &str) -> Result<Option<RequestHistory>, BackendError> {
        Ok(match self {
            Self::Local(database) => database.history(key).await?,
            #[cfg(feature = "aws")]
            Self::Aws(backend) => backend.ledger().history(key).await?,
        })
    }

    /// Forgets what was done for a request, unless a worker is at it.
    ///
    /// # Errors
    /// [`BackendError`] says who did not answer.
    pub async fn reset(
        &self,
        request: &RequestKey,
        now: Timestamp,
    ) -> Result<Result<(), ResetError>, BackendError> {
        Ok(match self {
            Self::Local(database) => database.reset_request(request, now).await?,
            #[cfg(feature = "aws")]
            Self::Aws(backend) => backend.ledger().reset_request(request, now).await?,
        })
    }
}
