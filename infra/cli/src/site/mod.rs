//! Where greenlight runs: a stack on AWS, or a data folder of this machine. Every command works on both.

mod aws;

use std::path::PathBuf;

use greenlight_core::audit::{Grant, Overview, StoredLetter, Story, Subject};
use greenlight_core::ports::{Enqueue, LedgerError, QueueError};
use greenlight_core::secret::SecretError;
use greenlight_core::{Request, Timestamp};
use greenlight_stores::SecretFile;
use greenlight_stores::aws::{Held, StackError};
use greenlight_stores::embedded::{Database, OpenError};
use thiserror::Error;

use aws::OnAws;

use crate::flows;
use crate::secrets::Secrets;

/// Where to look.
#[derive(Clone, Debug)]
pub enum Place {
    /// The folder that `greenlight serve` was given.
    Folder(PathBuf),
    /// A stack on AWS.
    Stack(StackPlace),
}

/// A stack on AWS. Whatever is left out is as the AWS CLI has it: `AWS_PROFILE`, `AWS_REGION`,
/// `AWS_ENDPOINT_URL`, the files in `~/.aws`.
#[derive(Clone, Debug, Default)]
pub struct StackPlace {
    /// Its name.
    pub stack: String,
    /// A profile of `~/.aws/config`.
    pub profile: Option<String>,
    /// The region.
    pub region: Option<String>,
}

/// It cannot be looked into, or changed.
#[derive(Debug, Error)]
pub enum SiteError {
    /// There is no database, or it is none of ours.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nothing says where the stack is.
    #[error("no region: set AWS_REGION, or say --region (请指定区域)")]
    NoRegion,
    /// There is no such stack.
    #[error(transparent)]
    Stack(#[from] StackError),
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
pub enum Site {
    /// One machine.
    Local(Database),
    /// A stack.
    Aws(Box<OnAws>),
}

/// A dead letter that is looked at; on AWS nobody else is given it meanwhile.
#[derive(Clone, Debug)]
pub struct Letter {
    /// What it is.
    pub stored: StoredLetter,
    held: Option<Held>,
}

impl Site {
    /// Opens it.
    ///
    /// # Errors
    /// [`SiteError`] says what is missing.
    pub async fn open(place: &Place) -> Result<Self, SiteError> {
        Ok(match place {
            Place::Folder(folder) => Self::Local(Database::open_beside(folder).await?),
            Place::Stack(place) => Self::Aws(Box::new(OnAws::open(place).await?)),
        })
    }

    /// How queue, dead-letter queue and targets stand.
    ///
    /// # Errors
    /// [`SiteError`] says who did not answer.
    pub async fn overview(&self, now: Timestamp) -> Result<Overview, SiteError> {
        match self {
            Self::Local(database) => Ok(database.overview(now).await?),
            Self::Aws(site) => Box::pin(site.overview(now)).await,
        }
    }

    /// The latest requests, newest first.
    ///
    /// # Errors
    /// [`SiteError`] says who did not answer.
    pub async fn recent(&self, at_most: usize, now: Timestamp) -> Result<Vec<Story>, SiteError> {
        Ok(match self {
            Self::Local(database) => database.recent(at_most, now).await?,
            Self::Aws(site) => site.ledger().recent(at_most, now).await?,
        })
    }

    /// The stories of what any of `subjects` means, newest first.
    ///
    /// # Errors
    /// [`SiteError`] says who did not answer.
    pub async fn stories_of(
        &self,
        subjects: &[Subject],
        at_most: usize,
    ) -> Result<Vec<Story>, SiteError> {
        Ok(match self {
            Self::Local(database) => database.stories_of(subjects, at_most).await?,
            Self::Aws(site) => site.ledger().stories_of(subjects, at_most).await?,
        })
    }

    /// Who has which device, of those that somebody has since before `before`; newest first.
    ///
    /// # Errors
    /// [`SiteError`] says who did not answer.
    pub async fn grants(&self, at_most: usize, before: Timestamp) -> Result<Vec<Grant>, SiteError> {
        Ok(match self {
            Self::Local(database) => database.grants(at_most, before).await?,
            Self::Aws(site) => site.ledger().grants(at_most, before).await?,
        })
    }

    /// The grants among these devices at these targets.
    ///
    /// # Errors
    /// [`SiteError`] says who did not answer.
    pub async fn grants_of(&self, devices: &[(String, String)]) -> Result<Vec<Grant>, SiteError> {
        Ok(match self {
            Self::Local(database) => database.grants_of(devices).await?,
            Self::Aws(site) => site.ledger().grants_of(devices).await?,
        })
    }

    /// All dead letters, oldest first. Give them back with [`Site::give_back`].
    ///
    /// # Errors
    /// [`SiteError`] says who did not answer.
    pub async fn letters(&self) -> Result<Vec<Letter>, SiteError> {
        match self {
            Self::Local(database) => {
                let letters = database.dead_letters().await?.into_iter();
                Ok(letters.map(|stored| Letter { stored, held: None }).collect())
            }
            Self::Aws(site) => {
                let held = site.dead_letters()?.hold().await?.into_iter();
                let letter = |held: Held| Letter { stored: held.letter.clone(), held: Some(held) };
                Ok(held.map(letter).collect())
            }
        }
    }

    /// Gives letters back, so that others see them at once.
    pub async fn give_back(&self, letters: Vec<Letter>) {
        if let Self::Aws(site) = self
            && let Ok(queue) = site.dead_letters()
        {
            let held: Vec<_> = letters.into_iter().filter_map(|letter| letter.held).collect();
            queue.give_back(&held).await;
        }
    }

    /// Puts a letter back into the queue. `false` when it is not there any more.
    ///
    /// # Errors
    /// [`SiteError`] says who did not answer.
    pub async fn redrive(&self, letter: &Letter) -> Result<bool, SiteError> {
        match (self, &letter.held) {
            (Self::Local(database), _) => Ok(database.redrive(&letter.stored.id).await?),
            (Self::Aws(site), Some(held)) => Ok(site.dead_letters()?.redrive(held).await?),
            (Self::Aws(_), None) => Ok(false),
        }
    }

    /// Takes a letter out for good; it is kept beside, with the reason. `false` when it is not there any more.
    ///
    /// # Errors
    /// [`SiteError`] says who did not answer.
    pub async fn drop_letter(
        &self,
        letter: &Letter,
        because: &str,
        now: Timestamp,
    ) -> Result<bool, SiteError> {
        match (self, &letter.held) {
            (Self::Local(database), _) => {
                Ok(database.drop_letter(&letter.stored.id, because, now).await?)
            }
            (Self::Aws(site), Some(held)) => {
                Ok(site.dead_letters()?.drop_letter(held, because, now).await?)
            }
            (Self::Aws(_), None) => Ok(false),
        }
    }

    /// Where the secret is kept; `file` for a data folder, which holds none.
    ///
    /// # Errors
    /// [`SiteError::Stack`] when the stack does not say.
    pub fn secrets(&self, file: PathBuf) -> Result<Secrets, SiteError> {
        Ok(match self {
            Self::Local(_) => Secrets::File(SecretFile::new(file)),
            Self::Aws(site) => Secrets::Manager(site.secret()?),
        })
    }

    /// As [`Site::variable`], where there may be no site yet.
    #[must_use]
    pub fn variable_of(site: Option<&Self>, name: &str) -> Option<String> {
        site.map_or_else(|| flows::variable(name), |site| site.variable(name))
    }

    /// What flows take from the environment: that of the functions, or that of this process.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let of_stack = match self {
            Self::Local(_) => None,
            Self::Aws(site) => site.variable(name).filter(|value| !value.is_empty()),
        };
        of_stack.or_else(|| flows::variable(name))
    }

    /// Puts a request into the queue, as the receiver does.
    ///
    /// # Errors
    /// [`SiteError`] says who did not answer.
    pub async fn enqueue(&self, request: &Request) -> Result<(), SiteError> {
        match self {
            Self::Local(database) => database.enqueue(request).await?,
            Self::Aws(site) => site.queue()?.enqueue(request).await?,
        }
        Ok(())
    }

    /// The story of one request.
    ///
    /// # Errors
    /// [`SiteError`] says who did not answer.
    pub async fn story(&self, key: &str) -> Result<Option<Story>, SiteError> {
        Ok(match self {
            Self::Local(database) => database.story(key).await?,
            Self::Aws(site) => site.ledger().story(key).await?,
        })
    }

    /// Forgets what was done for a request that nobody is at. `false` when there is none, or a worker is at it.
    ///
    /// # Errors
    /// [`SiteError`] says who did not answer.
    pub async fn forget(&self, key: &str, now: Timestamp) -> Result<bool, SiteError> {
        Ok(match self {
            Self::Local(database) => database.forget(key, now).await?,
            Self::Aws(site) => site.ledger().forget(key, now).await?,
        })
    }
}
