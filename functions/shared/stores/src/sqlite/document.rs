//! Records that are one JSON document in a row of their own, changed with optimistic locking.

use futures_util::FutureExt;
use greenlight_core::ports::LedgerError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::query::{Query, QueryScalar};

use super::{Database, failed};

/// The most attempts of a change when others change the row at the same time.
const TRIES: usize = 64;

/// The statements for a kind of record.
#[derive(Clone, Copy)]
pub(super) struct Statements {
    /// Reads the document of a key.
    pub(super) read: &'static str,
    /// Writes it unless it was changed meanwhile: the parts of the key, the old document, the new
    /// one, and the numbers beside it.
    pub(super) write: &'static str,
}

impl Database {
    /// Changes the document with this key atomically, and returns its new state. `numbers` are what
    /// the table has besides the document. `change` may be called more than once.
    pub(super) async fn change_document<D, T>(
        &self,
        statements: Statements,
        key: &[&str],
        numbers: impl Fn(&D) -> Vec<Option<i64>> + Send + Sync,
        change: impl Fn(D) -> (D, T) + Send + Sync,
    ) -> Result<(D, T), LedgerError>
    where
        D: Clone + Default + PartialEq + Serialize + DeserializeOwned + Send,
        T: Send,
    {
        let key: Vec<String> = key.iter().map(|part| (*part).to_owned()).collect();
        for _ in 0..TRIES {
            let old = self.read_document(statements, key.clone()).await?;
            let before: D = old
                .as_deref()
                .map(serde_json::from_str)
                .transpose()
                .map_err(failed)?
                .unwrap_or_default();
            let (document, answer) = change(before.clone());
            if document == before {
                return Ok((document, answer));
            }
            let new = serde_json::to_string(&document).map_err(failed)?;
            let numbers = numbers(&document);
            if self.write_document(statements, key.clone(), old, new, numbers).await? {
                return Ok((document, answer));
            }
        }
        Err(failed("too many changes of one record at the same moment"))
    }

    async fn read_document(
        &self,
        statements: Statements,
        key: Vec<String>,
    ) -> Result<Option<String>, LedgerError> {
        self.group_commit
            .write(move |connection| {
                async move {
                    let read =
                        key.iter().fold(sqlx::query_scalar(statements.read), QueryScalar::bind);
                    read.fetch_optional(connection).await.map_err(failed)
                }
                .boxed()
            })
            .await
    }

    /// Returns `false` if the document is no longer `old`.
    async fn write_document(
        &self,
        statements: Statements,
        key: Vec<String>,
        old: Option<String>,
        new: String,
        numbers: Vec<Option<i64>>,
    ) -> Result<bool, LedgerError> {
        self.group_commit
            .write(move |connection| {
                async move {
                    let write = key.iter().fold(sqlx::query(statements.write), Query::bind);
                    let write = write.bind(old).bind(new);
                    let write = numbers.into_iter().fold(write, Query::bind);
                    let written = write.execute(connection).await.map_err(failed)?;
                    Ok(written.rows_affected() > 0)
                }
                .boxed()
            })
            .await
    }
}
