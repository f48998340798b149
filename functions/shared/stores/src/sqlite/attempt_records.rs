//! Index rows by which an operator finds the requests of an attempt.

use greenlight_core::Request;
use greenlight_core::audit::{AttemptRecord, Lookup};
use greenlight_core::ports::LedgerError;
use sqlx::SqliteConnection;

use super::failed;

/// Writes the lookup rows of an attempt. Idempotent.
pub(super) async fn file(
    connection: &mut SqliteConnection,
    request: &Request,
    attempt_record: &AttemptRecord,
) -> Result<(), LedgerError> {
    for lookup in attempt_record.lookups(request) {
        file_under(connection, &lookup, request).await?;
    }
    Ok(())
}

/// Writes the lookup rows of a request.
pub(super) async fn file_under(
    connection: &mut SqliteConnection,
    lookup: &Lookup,
    request: &Request,
) -> Result<(), LedgerError> {
    sqlx::query("INSERT OR REPLACE INTO lookups (lookup, request, at) VALUES (?, ?, ?)")
        .bind(lookup.key())
        .bind(request.key().as_str())
        .bind(request.received_at.as_millis())
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}
